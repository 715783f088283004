"""Train Diorama's video transformer by flow matching on cached latents and caption states.

    python -m unseen.diorama.training.transformer --image-steps 3000 --steps 7000

The first latent frame of a causal video VAE is the latent of the first picture alone, so the first part of the training
sees single pictures, four to a clip's cost: what things look like is learned there, motion afterwards.
With `--change` the committed weights stay as they are: a change of one bit a weight is trained and kept beside them.
Interrupt at will: the same command goes on from the last checkpoint. `--warm` starts from the committed weights.
"""

from __future__ import annotations

import argparse
import copy
import math
from typing import cast

import numpy as np
import torch
from diffusers import WanTransformer3DModel
from torch import Tensor, nn
from tqdm import tqdm

from unseen.diorama.model.change import BASE, CHANGE, add_change, load_base, load_changed, read_as_stored, save_change
from unseen.diorama.model.networks import build_transformer
from unseen.diorama.model.pipeline import load_text_encoder
from unseen.diorama.stored import WEIGHTS, save_half, write_card
from unseen.diorama.training import pool
from unseen.diorama.training.checkpoints import Average, Checkpoint
from unseen.diorama.training.latents import TrainingData, encode_captions
from unseen.diorama.training.muon import Muon
from unseen.diorama.world.captions import key_of
from unseen.diorama.world.scenes import ATTRIBUTE_OF, Scene

TRAINING_SHIFT = 5.0
"""Half the noise levels drawn lie above 0.83. What a clip shows is decided there: a render noised to 0.6 and denoised
by a half-trained model still shows its subject, one noised to 0.9 mostly does not."""


def noise_levels(count: int, generator: torch.Generator) -> Tensor:
    """σ in (0, 1), logit-normal and shifted (Esser et al. 2024), `[count]`; one draw per stratum."""
    strata = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    u = torch.sigmoid(torch.special.ndtri(strata.clamp(1e-4, 1 - 1e-4)))
    return TRAINING_SHIFT * u / (1 + (TRAINING_SHIFT - 1) * u)


SMALLEST_SIGMA = 0.05
"""The weight of the loss, 1/σ², stops growing here."""


def flow_loss(
    model: nn.Module, latents: Tensor, text: Tensor, generator: torch.Generator, *, bfloat16: bool = False
) -> Tensor:
    """Squared error of the velocity `noise − latents` at random noise levels, from a model that predicts the latents.

    A token holds 192 numbers and the model is 256 wide: a model that predicts the velocity has to carry all the noise
    through; one that predicts the latents does not (Li & He 2025, "Back to Basics: Let Denoising Generative Models
    Denoise"). As the velocity is `(input − latents) / σ`, its error is the latents' error over σ.
    """
    sigma = noise_levels(len(latents), generator)
    noise = torch.randn(latents.shape, generator=generator)
    mix = sigma.view(-1, 1, 1, 1, 1)
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        predicted = model((1 - mix) * latents + mix * noise, sigma * 1000, text, return_dict=False)[0]
    return ((predicted.float() - latents) / mix.clamp(min=SMALLEST_SIGMA)).square().mean()


def split_parameters(model: WanTransformer3DModel) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """The blocks' weight matrices, for Muon, and the rest, for AdamW."""
    inner: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for name, p in model.named_parameters():
        if p.requires_grad:
            (inner if p.ndim == 2 and name.startswith("blocks.") else rest).append(p)
    return inner, rest


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="unseen train transformer", description=__doc__.split("\n")[0])
    parser.add_argument("--image-steps", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=7000, help="in all")
    parser.add_argument(
        "--batch", type=int, default=32, help="clips a step; in the image stage four times as many pictures"
    )
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--warm", action="store_true", help="start from the committed weights")
    parser.add_argument("--change", action="store_true", help="keep what is learned as a one-bit change of the weights")
    parser.add_argument("--free", type=float, default=0.6, help="part of the steps before a change is read as stored")
    parser.add_argument("--empty", type=float, default=1.0, help="how often empty scenes are drawn, relative to others")
    parser.add_argument("--often", nargs="*", default=[], metavar="SUBJECT", help="subjects to be drawn twice as often")
    parser.add_argument("--bare", type=float, default=1.0, help="how often carriers without their attribute are drawn")
    parser.add_argument("--name", default="transformer", help="of the checkpoint")
    parser.add_argument(
        "--bfloat16", action="store_true", help="multiply in bfloat16: twice as fast where AVX512-BF16 is"
    )
    parser.add_argument(
        "--compile", action="store_true", help="compile the model: a tenth faster, for 90 s once a stage"
    )
    parser.add_argument("--adamw", action="store_true", help="train all weights with AdamW, to compare")
    options = parser.parse_args(argv)

    torch.manual_seed(0)
    model = build_transformer().train()
    if options.warm or options.change:
        load_changed(model, WEIGHTS)
        if options.change:
            latest = copy.deepcopy(model).state_dict()
            load_base(model, WEIGHTS)
            add_change(model, latest)
    inner, rest = split_parameters(model)
    optimizers: dict[str, torch.optim.Optimizer] = {}
    if options.adamw:
        inner, rest = [], inner + rest
    else:
        optimizers["muon"] = Muon(inner, lr=options.learning_rate, bfloat16=options.bfloat16)
    optimizers["adamw"] = torch.optim.AdamW(
        rest, options.learning_rate, betas=(0.9, 0.95), weight_decay=0.01, fused=True
    )
    average = Average(model, 0.998)
    checkpoint = Checkpoint(options.name, {"model": model, "average": average.model, **optimizers})
    values = checkpoint.load() or {"step": 0, "losses": []}
    tokenizer, encoder = load_text_encoder()
    empty = encode_captions([""], tokenizer, encoder)[0]
    often = {key_of(name) for name in options.often}

    def weight(scene: Scene) -> float:
        if not scene.subjects:
            return options.empty
        bare = any(ATTRIBUTE_OF.get(subject, "") not in ("", *scene.attributes) for subject in scene.subjects)
        return max(2.0 if often & set(scene.subjects) else 1.0, options.bare if bare else 1.0)

    data = TrainingData(weight)

    def rate(step: int) -> float:
        flat = max(options.image_steps, 0.3 * options.steps)  # then a half cosine
        decay = 0.5 * (1 + math.cos(math.pi * max(0.0, (step - flat) / (options.steps - flat))))
        return options.learning_rate * min(1.0, (step + 1) / 150) * (0.01 + 0.99 * decay)

    forward: nn.Module = model
    if options.compile:
        forward = cast(nn.Module, torch.compile(model, dynamic=False))
    bar = tqdm(initial=values["step"], total=options.steps, desc="transformer", smoothing=0.02, mininterval=5)
    recent: list[float] = []
    for step in range(values["step"], options.steps):
        if step % 100 == 0:
            data.refresh()
        if options.change and step >= options.free * options.steps:
            read_as_stored(model)
        rng = np.random.default_rng([step, 7])
        generator = torch.Generator().manual_seed(step)
        if step < options.image_steps:
            latents, text = data.batch(rng, 4 * options.batch, empty)
            latents = latents[:, :, :1]
        else:
            latents, text = data.batch(rng, options.batch, empty)
        loss = flow_loss(forward, latents, text, generator, bfloat16=options.bfloat16)
        for optimizer in optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = rate(step)
            optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers.values():
            optimizer.step()
        average.update(model, step)
        recent.append(loss.item())
        values["step"] = step + 1
        if len(recent) == 50:
            values["losses"].append(round(float(np.mean(recent)), 4))
            recent.clear()
            bar.set_postfix(loss=values["losses"][-1], clips=len(data.latents) * pool.SHARD, refresh=False)
        bar.update()
        checkpoint.save(values)
    checkpoint.save(values, force=True)
    store(average.model, options, values, data)


def store(model: WanTransformer3DModel, options: argparse.Namespace, values: dict, data: TrainingData) -> None:
    """Commit-ready weights and their card."""
    if options.change:
        save_change(model, WEIGHTS)
    else:
        save_half(model, WEIGHTS / BASE)
        (WEIGHTS / CHANGE).unlink(missing_ok=True)  # it changed the weights that are now replaced
    card = {
        "model": "WanTransformer3DModel",
        "parameters": sum(p.numel() for name, p in model.named_parameters() if not name.endswith(".original")),
        "data_seed": pool.DATA_SEED,
        "clips": len(data.latents) * pool.SHARD,
        "steps": values["step"],
        "image_steps": options.image_steps,
        "batch": options.batch,
        "learning_rate": options.learning_rate,
        "empty": options.empty,
        "often": options.often,
        "bare": options.bare,
        **({"free": options.free} if options.change else {}),
        "bfloat16": options.bfloat16,
        "training_shift": TRAINING_SHIFT,
        "warm_start": options.warm,
        "loss_every_50_steps": values["losses"],
    }
    write_card((WEIGHTS / (CHANGE if options.change else "transformer")).with_suffix(".json"), card)
    print(f"loss {values['losses'][-1]:.3f}; weights in {WEIGHTS}")


if __name__ == "__main__":
    main()
