"""Train the video VAE of one of the two models on clips composed as it goes: single frames first, then clips.

    python -m unseen.diorama.training.vae --which wan --device cuda --seconds 150

The loss compares pixels and their differences (edges are what makes a small picture legible), with a light KL term.
Interrupt at will: the same command goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from diffusers import AutoencoderKLCogVideoX, AutoencoderKLWan
from torch import Tensor, nn
from tqdm import tqdm

from unseen.diorama.model.networks import WHICH, Which, build_vae
from unseen.diorama.stored import WEIGHTS, load_stored, save_half, write_card
from unseen.diorama.training.checkpoints import Average, Budget, Checkpoint, autocast, prepare, set_rate
from unseen.diorama.training.clips import HELD_OUT, Plan, compose_clips, cores, plan_clips
from unseen.diorama.training.layers import Layers, drawn_individuals, layer_rows, load_layers
from unseen.diorama.training.muon import Muon
from unseen.diorama.world.scenes import FRAMES

Vae: TypeAlias = AutoencoderKLWan | AutoencoderKLCogVideoX

IMAGES = 0.2
"""Share of the time that sees single frames, `FRAMES` to the cost of a clip."""
KL_WEIGHT = 0.006
"""What costs more bits than it shows is left to the decoder, so that the transformer need not predict it. Ten times as
much blurs."""
DECODER_NOISE = 0.12
"""Of the latents' standard deviation, for a decoder that is trained alone."""
LEARNING_RATE = {"muon": 4e-3, "adamw": 3e-3}


def reconstruction_loss(output: Tensor, target: Tensor) -> Tensor:
    """Squared and absolute pixel error plus the error of horizontal and vertical differences."""
    error = output - target
    dx, dy = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
    return error.square().mean() + 0.2 * error.abs().mean() + dx.square().mean() + dy.square().mean()


def decoder_loss(vae: Vae, video: Tensor, dtype: torch.dtype | None = torch.bfloat16) -> tuple[Tensor, Tensor]:
    """The same for a decoder whose encoder stays as it is; it sees noise, since generated latents are never exact."""
    with autocast(video.device, dtype):
        with torch.no_grad():
            latents = vae.encode(video).latent_dist.mean
            noise = DECODER_NOISE * latents.std() * torch.randn_like(latents)
        output = vae.decode(latents + noise).sample.float()
    return reconstruction_loss(output, video), (output.detach() - video).square().mean()


def vae_loss(vae: Vae, video: Tensor, dtype: torch.dtype | None = torch.bfloat16) -> tuple[Tensor, Tensor]:
    """The loss of a batch `[n, 3, frames, h, w]`, and its plain mean squared pixel error."""
    with autocast(video.device, dtype):
        posterior = vae.encode(video).latent_dist
        sample = posterior.mean + posterior.std * torch.randn_like(posterior.mean)
        output = vae.decode(sample).sample
    output = output.float()
    kl = 0.5 * (posterior.mean.float().square() + posterior.var.float() - 1.0 - posterior.logvar.float())
    loss = reconstruction_loss(output, video) + KL_WEIGHT * kl.mean()
    return loss, (output.detach() - video).square().mean()


def fastest_precision(step: Callable[[torch.dtype | None], None], device: torch.device) -> torch.dtype | None:
    """Of bfloat16, float16 and (TF)32, the one in which a training step takes least; 3-D convolutions differ a lot."""
    if device.type != "cuda":
        return None
    found: dict[torch.dtype | None, float] = {}
    for dtype in (torch.bfloat16, None):
        for timed in (False, False, True):
            torch.cuda.synchronize()
            begun = time.monotonic()
            step(dtype)
            torch.cuda.synchronize()
            if timed:
                found[dtype] = time.monotonic() - begun
    print({str(k): round(v, 4) for k, v in found.items()}, "seconds a step", flush=True)
    return min(found, key=lambda k: found[k])


def start_narrow(vae: Vae) -> None:
    """Begin almost deterministic: sampling at the initial variance only slows learning."""
    last = vae.quant_conv if isinstance(vae, AutoencoderKLWan) else vae.encoder.conv_out.conv
    half = last.weight.shape[0] // 2
    with torch.no_grad():
        last.bias[half:] = -6.0
        last.weight[half:] *= 0.1


@torch.no_grad()
def latent_statistics(vae: Vae, layers: Layers, plan: Plan) -> dict[str, Any]:
    """What the pipeline normalises latents with: one scale for all channels, for Wan also each channel's mean.

    A scale for each channel would blow up those that the KL term has all but emptied.
    """
    starts = range(0, len(plan), 16)
    parts = [vae.encode(compose_clips(layers, plan, np.arange(i, min(i + 16, len(plan))))) for i in starts]
    latents = torch.cat([part.latent_dist.mean.float() for part in parts])
    if isinstance(vae, AutoencoderKLCogVideoX):
        return {"scaling_factor": float(1 / latents.square().mean().sqrt())}
    scale = float(latents.var((0, 2, 3, 4)).mean().sqrt())
    return {"latents_mean": latents.mean((0, 2, 3, 4)).tolist(), "latents_std": [scale] * latents.shape[1]}


@torch.no_grad()
def held_out_error(vae: Vae, layers: Layers, plan: Plan) -> float:
    """Mean squared error on [−1, 1] over clips that were not trained on."""
    errors = []
    for start in range(0, len(plan), 8):
        video = compose_clips(layers, plan, np.arange(start, min(start + 8, len(plan))))
        errors.append(float((vae.decode(vae.encode(video).latent_dist.mean).sample - video).square().mean()))
    return float(np.mean(errors))


def optimizers_for(vae: nn.Module) -> dict[str, torch.optim.Optimizer]:
    """Muon for the convolutions' kernels, AdamW for the rest."""
    trained = [p for p in vae.parameters() if p.requires_grad and p.numel()]
    return {
        "muon": Muon([p for p in trained if p.ndim >= 4], LEARNING_RATE["muon"], decay=0.0),
        "adamw": torch.optim.AdamW(
            [p for p in trained if p.ndim < 4], LEARNING_RATE["adamw"], betas=(0.9, 0.97), weight_decay=1e-4
        ),
    }


def train(
    which: Which, device: torch.device, seconds: float, batch: int, clips: int, decoder_of: Path | None = None
) -> tuple[Vae, dict[str, Any]]:
    """Train for `seconds`; the averaged model, and what its card says of the training.

    With `decoder_of`, the weights in that folder are gone on with, and their encoder stays as it is.
    """
    plan = plan_clips(0, clips, layer_rows(drawn_individuals()), workers=min(8, cores()))
    prepare(device)
    torch.manual_seed(0)
    vae = build_vae(which).train()
    start_narrow(vae)
    if decoder_of:
        load_stored(vae, decoder_of / f"{which}_vae.safetensors")
        for name, parameter in vae.named_parameters():
            parameter.requires_grad_(name.startswith(("decoder.", "post_quant_conv.")))
    loss_of = decoder_loss if decoder_of else vae_loss
    for module in vae.modules():  # this layout makes 3-D convolutions faster, on a processor by a third
        if isinstance(module, nn.Conv3d):
            module.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    vae.to(device)
    optimizers, average = optimizers_for(vae), Average(vae, 0.99)
    checkpoint = Checkpoint(
        f"vae_{which}" + "_decoder" * bool(decoder_of), {"vae": vae, "average": average.model, **optimizers}
    )
    values = checkpoint.load() or {"step": 0, "spent": 0.0, "errors": []}
    layers = load_layers(device)
    rng = np.random.default_rng(values["step"])

    def video(images: bool) -> Tensor:
        if images:
            time_ = [int(rng.integers(FRAMES))]
            return compose_clips(layers, plan, rng.integers(len(plan), size=batch * FRAMES // 2), time_)
        return compose_clips(layers, plan, rng.integers(len(plan), size=batch))

    def once(dtype: torch.dtype | None) -> None:
        loss_of(vae, video(False), dtype)[0].backward()
        vae.zero_grad()

    dtype = fastest_precision(once, device)
    budget = Budget(seconds, values["spent"])
    bar = tqdm(total=round(seconds), initial=round(min(values["spent"], seconds)), unit="s", desc=f"VAE {which}")
    trained = [p for p in vae.parameters() if p.requires_grad]
    while budget.share < 1:
        step = values["step"]
        loss, error = loss_of(vae, video(budget.share < IMAGES and not decoder_of), dtype)
        vae.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        set_rate(optimizers, budget.rate(step, flat=IMAGES))
        for optimizer in optimizers.values():
            optimizer.step()
        average.update(vae, step)
        values |= {"step": step + 1, "spent": budget.elapsed}
        if step % 50 == 0:
            values["errors"].append(round(float(error), 5))
            bar.set_postfix(step=step, mse=values["errors"][-1], refresh=False)
        bar.n = round(min(budget.elapsed, seconds))
        bar.update(0)
        checkpoint.save(values)
    checkpoint.save(values, force=True)
    bar.close()
    return cast(Vae, average.model), {
        "steps": values["step"],
        "seconds": round(values["spent"]),
        "batch": batch,
        "clips": clips,
        "precision": str(dtype),
        "kl_weight": KL_WEIGHT,
        "error_every_50_steps": values["errors"],
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="unseen train vae", description=__doc__.split("\n")[0])
    parser.add_argument("--which", choices=WHICH, default="wan", help="which model's (default: %(default)s)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=3600, help="to train for, in all (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=4, help="clips a step (default: %(default)s)")
    parser.add_argument("--decoder-only", action="store_true", help="refine the stored decoder; latents stay valid")
    parser.add_argument("--clips", type=int, default=16384, help="different ones (default: %(default)s)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the weights (default: the package's)")
    options = parser.parse_args(argv)
    device = torch.device(options.device)
    path, before = options.weights / f"{options.which}_vae.safetensors", None
    if options.decoder_only:
        before = json.loads(path.with_suffix(".json").read_text())
    vae, training = train(
        options.which, device, options.seconds, options.batch, options.clips, options.weights if before else None
    )
    vae.half().float()  # what is measured is what is stored
    layers = load_layers(device)
    plan = plan_clips(HELD_OUT, 128, layers.rows)
    card = {
        "model": type(vae).__name__,
        "parameters": sum(p.numel() for p in vae.parameters()),
        "training": training,
        "held_out_error": held_out_error(vae, layers, plan),
    }
    print(f"held-out mean squared error {card['held_out_error']:.5f} on [-1, 1] after {training['steps']} steps")
    if before and before["held_out_error"] <= card["held_out_error"]:
        print(f"not kept: the stored decoder's is {before['held_out_error']:.5f}")
        return
    # a decoder alone goes with the transformer that was trained on latents which the old numbers normalise
    card |= before | card | {"training": before["training"], "decoder": training} if before else {}
    save_half(vae, path)
    write_card(path.with_suffix(".json"), card if before else card | latent_statistics(vae, layers, plan))


if __name__ == "__main__":
    main()
