"""Train Diorama's video VAE: single frames first, which is quick, then clips.

    python -m unseen.diorama.training.vae

The loss compares pixels and their differences (edges are what makes a small picture legible), with a light KL term.
Interrupt at will: the same command goes on from the last checkpoint. `--warm` starts from the committed weights.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from torch import Tensor, nn
from tqdm import tqdm

from unseen.diorama.model.networks import build_vae
from unseen.diorama.stored import WEIGHTS, load_half, save_half, to_signed, write_card
from unseen.diorama.training import pool
from unseen.diorama.training.checkpoints import Average, Checkpoint, batches
from unseen.diorama.training.muon import Muon
from unseen.diorama.world.scenes import FRAMES

IMAGE_BATCH, CLIP_BATCH = 16, 4
POOL = 10240
IMAGE_POOL = 2048
"""The image stage takes its frames from the first clips of the pool."""
HELD_OUT = 50_000_000
"""Clips numbered from here on are outside every pool."""
KL_WEIGHT = 0.04
"""What costs more bits than it shows is left to the decoder, so that the transformer need not predict it. Ten times as
much blurs: the pictures of such a VAE were worse than those of a linear code of the same size."""
DECODER_NOISE = 0.12
"""In units of the latents, whose standard deviation is about 0.7. Set by hand, not tuned."""


def training_batch(index: int, images: bool) -> Tensor:
    """Batch number `index`: single frames `[16, 3, 1, h, w]` or clips `[4, 3, 9, h, w]`."""
    if not images:
        return to_signed(np.stack([pool.clip((index * CLIP_BATCH + i) % POOL) for i in range(CLIP_BATCH)]))
    rng = np.random.default_rng(index)
    picks = zip(rng.integers(IMAGE_POOL, size=IMAGE_BATCH), rng.integers(FRAMES, size=IMAGE_BATCH), strict=True)
    return to_signed(np.stack([pool.clip(int(i))[int(t) : int(t) + 1] for i, t in picks]))


def held_out_batch(index: int) -> Tensor:
    """Clips that no training sees, `[4, 3, 9, h, w]`."""
    first = HELD_OUT + index * CLIP_BATCH
    return to_signed(np.stack([pool.draw_clip(first + i) for i in range(CLIP_BATCH)]))


def _image_batch(index: int) -> Tensor:
    return training_batch(index, images=True)


def _clip_batch(index: int) -> Tensor:
    return training_batch(index, images=False)


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """Squared and absolute pixel error plus the error of horizontal and vertical differences."""
    error = output - target
    dx, dy = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
    return error.square().mean() + 0.2 * error.abs().mean() + dx.square().mean() + dy.square().mean()


def train_step(vae: AutoencoderKLWan, video: Tensor) -> tuple[Tensor, float]:
    """The loss of one batch, and its plain mean squared pixel error.

    A decoder trained alone sees posterior means with `DECODER_NOISE`, since the transformer's latents are never exact.
    """
    if not vae.quant_conv.weight.requires_grad:
        with torch.no_grad():
            latents = vae.encode(video).latent_dist.mean
        output = vae.decode(latents + DECODER_NOISE * torch.randn_like(latents)).sample
        return reconstruction_loss(output, video), float((output.detach() - video).square().mean())
    posterior = vae.encode(video).latent_dist
    noise = torch.randn_like(posterior.mean)
    output = vae.decode(posterior.mean + posterior.std * noise).sample
    loss = reconstruction_loss(output, video) + KL_WEIGHT * posterior.kl().mean() / posterior.mean[0].numel()
    return loss, float((output.detach() - video).square().mean())


@torch.no_grad()
def latent_statistics(vae: AutoencoderKLWan, count: int = 64) -> tuple[list[float], list[float]]:
    """Mean of each latent channel over fresh clips, and one scale for all; the pipeline normalises with them.

    A scale for each channel would blow up those that the KL term has all but emptied.
    """
    latents = torch.cat([vae.encode(held_out_batch(i)).latent_dist.mean for i in range(count // CLIP_BATCH)])
    scale = float(latents.var((0, 2, 3, 4)).mean().sqrt())
    return latents.mean((0, 2, 3, 4)).tolist(), [scale] * latents.shape[1]


@torch.no_grad()
def held_out_error(vae: AutoencoderKLWan, count: int = 32) -> float:
    """Mean squared error on [−1, 1] over clips that were not trained on."""
    errors = []
    for i in range(count // CLIP_BATCH):
        video = held_out_batch(1000 + i)
        errors.append(float((vae.decode(vae.encode(video).latent_dist.mean).sample - video).square().mean()))
    return float(np.mean(errors))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="unseen train vae", description=__doc__.split("\n")[0])
    parser.add_argument("--image-steps", type=int, default=500)
    parser.add_argument("--clip-steps", type=int, default=650)
    parser.add_argument("--learning-rate", type=float, default=4e-3)
    parser.add_argument("--warm", action="store_true", help="start from the committed weights")
    parser.add_argument(
        "--decoder-only", action="store_true", help="keep the committed encoder, so that the transformer stays valid"
    )
    options = parser.parse_args(argv)

    torch.manual_seed(0)
    vae = build_vae().train()
    if options.warm or options.decoder_only:
        load_half(vae, WEIGHTS / "vae.safetensors")
    else:
        with torch.no_grad():  # start almost deterministic: sampling at the initial variance only slows learning
            assert vae.quant_conv.bias is not None
            vae.quant_conv.bias[vae.config.z_dim :] = -6.0
            vae.quant_conv.weight[vae.config.z_dim :] *= 0.1
    for module in vae.modules():  # this layout makes 3-D convolutions on a CPU a third faster
        if isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    if options.decoder_only:
        vae.encoder.requires_grad_(False)
        vae.quant_conv.requires_grad_(False)
    trained = [p for p in vae.parameters() if p.requires_grad and p.numel()]
    kernels, others = [p for p in trained if p.ndim >= 4], [p for p in trained if p.ndim < 4]
    optimizers = {
        "muon": Muon(kernels, options.learning_rate, decay=0.0),
        "adamw": torch.optim.AdamW(others, options.learning_rate, betas=(0.9, 0.97), weight_decay=1e-4),
    }
    average = Average(vae, 0.99)
    checkpoint = Checkpoint(
        "vae_decoder" if options.decoder_only else "vae", {"vae": vae, "average": average.model, **optimizers}
    )
    values = checkpoint.load() or {"step": 0, "errors": []}
    total = options.image_steps + options.clip_steps

    def rate(step: int) -> float:
        images = step < options.image_steps
        done = step / options.image_steps if images else (step - options.image_steps) / options.clip_steps
        start = options.learning_rate * (1.0 if images else 0.6)
        warm = min(1.0, (step if images else step - options.image_steps + 20) / 100 + 0.02)
        return (
            start
            * warm
            * ((0.6 if images else 0.03) + (0.4 if images else 0.97) * 0.5 * (1 + math.cos(math.pi * done)))
        )

    bar = tqdm(initial=values["step"], total=total, desc="VAE", smoothing=0.05)
    source = None
    for step in range(values["step"], total):
        if source is None or step == options.image_steps:
            images = step < options.image_steps
            source = batches(_image_batch if images else _clip_batch, step if images else step - options.image_steps)
        loss, error = train_step(vae, next(source).to(memory_format=torch.channels_last_3d))
        vae.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        for optimizer in optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate(step)
            optimizer.step()
        average.update(vae, step)
        values["step"] = step + 1
        if step % 20 == 0:
            values["errors"].append(round(error, 5))
            bar.set_postfix(mse=f"{np.mean(values['errors'][-5:]):.4f}", refresh=False)
        bar.update()
        checkpoint.save(values)
    checkpoint.save(values, force=True)

    final = average.model
    save_half(final, WEIGHTS / "vae.safetensors")
    load_half(final, WEIGHTS / "vae.safetensors")  # what is measured is what is stored
    mean, std = latent_statistics(final)
    card = {
        "model": "AutoencoderKLWan",
        "parameters": sum(p.numel() for p in final.parameters()),
        "data_seed": pool.DATA_SEED,
        "steps": {
            "images": options.image_steps,
            "clips": options.clip_steps,
            "warm_start": options.warm,
            "decoder_only": options.decoder_only,
        },
        "batch": {"images": IMAGE_BATCH, "clips": CLIP_BATCH},
        "training_error_every_20_steps": values["errors"],
        "held_out_error": held_out_error(final),
        "latents_mean": mean,
        "latents_std": std,
    }
    write_card(WEIGHTS / "vae.json", card)
    print(f"held-out mean squared error {card['held_out_error']:.4f} on [-1, 1]; weights in {WEIGHTS}")


if __name__ == "__main__":
    main()
