"""Train the video transformer of one of the two models on latents of composed clips, Diorama-CogVideoX's T5 with it.

    python -m unseen.diorama.training.transformer --which wan --device cuda --seconds 300

The first latent frame of a causal video VAE is the latent of the first picture alone, so the first part of the training
sees single pictures, four to a clip's cost: what things look like is learned there, motion afterwards.
Interrupt at will: the same command goes on from the last checkpoint, or with `--warm` from the stored weights.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler
from torch import Tensor, nn
from tqdm import tqdm

from unseen.diorama.model.networks import (
    T5_WIDTH,
    TEXT_LENGTH,
    WAN_TEXT_DIM,
    WHICH,
    Which,
    build_scheduler,
    build_transformer,
    build_vae,
)
from unseen.diorama.stored import WEIGHTS, load_stored, save_bytes, write_card
from unseen.diorama.training.checkpoints import Average, Budget, Checkpoint, autocast, prepare, set_rate
from unseen.diorama.training.clips import Plan, compose_clips, cores, plan_clips
from unseen.diorama.training.layers import INDIVIDUALS, layer_rows, load_layers
from unseen.diorama.training.muon import Muon
from unseen.diorama.training.text import matching_loss
from unseen.diorama.training.tokens import load_encoder, load_tokenizer, token_ids
from unseen.diorama.training.vae import Vae

CAPTIONS = 4
"""Captions of each clip; one of them is drawn at every visit."""
DROPPED = 0.1
"""Share of the captions that are replaced by the empty one, for guidance."""
IMAGES, PICTURES = 0.3, 4
"""Share of the time that sees single pictures, and how many of them stand for a clip."""
LEARNING_RATE = {"muon": 2e-3, "adamw": 1e-3}
TEXT_RATE = 0.3
"""Learning rate of a text encoder that is trained along, relative to the transformer's."""
MATCHING = 0.1
"""Weight of the T5's matching task while it is trained with the transformer."""

TRAINING_SHIFT = 5.0
"""Half the noise levels drawn lie above 0.83. What a clip shows is decided there: a render noised to 0.6 and denoised
by a half-trained model still shows its subject, one noised to 0.9 mostly does not."""
SMALLEST_SIGMA = 0.05
"""The weight of Diorama-Wan's loss, 1/σ², stops growing here."""


@dataclass(frozen=True)
class Pool:
    """What a transformer is trained on."""

    latents: Tensor
    """float16, normalised, as the VAE lays them out: `[n, channels, 5, h, w]`"""
    tokens: Tensor
    """int32 `[n, CAPTIONS, TEXT_LENGTH]`"""
    empty: Tensor
    """int32 `[TEXT_LENGTH]`, the empty caption."""


@dataclass(frozen=True)
class Script:
    """What the pool's clips show and how it is said; written without a graphics card."""

    plan: Plan
    tokens: np.ndarray
    """int32 `[n, CAPTIONS, TEXT_LENGTH]`"""
    empty: np.ndarray


def write_script(which: Which, clips: int, individuals: int, weights: Path = WEIGHTS) -> Script:
    """Plan the pool's clips and tokenize their captions."""
    plan = plan_clips(0, clips, layer_rows(individuals), captions=CAPTIONS, workers=min(8, cores()))
    tokenizer = load_tokenizer(which, weights)
    ids = token_ids([str(text) for text in plan.captions.ravel()], tokenizer).reshape(clips, CAPTIONS, TEXT_LENGTH)
    return Script(plan, ids, token_ids([""], tokenizer)[0])


@torch.no_grad()
def make_pool(which: Which, device: torch.device, script: Script, weights: Path = WEIGHTS, batch: int = 64) -> Pool:
    """Compose the script's clips and encode them with the stored VAE."""
    layers, plan = load_layers(device), script.plan
    vae = build_vae(which, json.loads((weights / f"{which}_vae.json").read_text()))
    load_stored(vae, weights / f"{which}_vae.safetensors")
    vae.to(device)
    latents: list[Tensor] = []
    for start in tqdm(range(0, len(plan), batch), desc="encoding", unit="batch", mininterval=5):
        video = compose_clips(layers, plan, np.arange(start, min(start + batch, len(plan))))
        with autocast(device):
            mean = vae.encode(video).latent_dist.mean
        latents.append(normalised(vae, mean.float()).half())
    tokens, empty = torch.from_numpy(script.tokens).to(device), torch.from_numpy(script.empty).to(device)
    return Pool(torch.cat(latents), tokens, empty)


def normalised(vae: Vae, latents: Tensor) -> Tensor:
    """Latents as the pipeline hands them to its transformer."""
    if isinstance(vae, AutoencoderKLCogVideoX):
        return latents * vae.config.scaling_factor
    mean = torch.tensor(vae.config.latents_mean, device=latents.device).view(1, -1, 1, 1, 1)
    std = torch.tensor(vae.config.latents_std, device=latents.device).view(1, -1, 1, 1, 1)
    return (latents - mean) / std


def strata(count: int, device: torch.device) -> Tensor:
    """Uniform numbers in (0, 1), one in each of `count` equal parts."""
    return (torch.arange(count, device=device) + torch.rand(count, device=device)) / count


def noise_levels(count: int, device: torch.device) -> Tensor:
    """σ in (0, 1), logit-normal and shifted (Esser et al. 2024), `[count]`; one draw per stratum."""
    u = torch.sigmoid(torch.special.ndtri(strata(count, device).clamp(1e-4, 1 - 1e-4)))
    return TRAINING_SHIFT * u / (1 + (TRAINING_SHIFT - 1) * u)


def wan_loss(model: nn.Module, latents: Tensor, text: Tensor) -> Tensor:
    """Squared error of the velocity `noise − latents` at random noise levels, from a model that predicts the latents.

    A token holds 192 numbers and the model is 320 wide: a model that predicts the velocity has to carry all the noise
    through; one that predicts the latents does not (Li & He 2025, "Back to Basics: Let Denoising Generative Models
    Denoise"). As the velocity is `(input − latents) / σ`, its error is the latents' error over σ.
    """
    sigma = noise_levels(len(latents), latents.device)
    mix = sigma.view(-1, 1, 1, 1, 1)
    noisy = (1 - mix) * latents + mix * torch.randn_like(latents)
    with autocast(latents.device):
        predicted = model(noisy, sigma * 1000, text, return_dict=False)[0]
    return ((predicted.float() - latents) / mix.clamp(min=SMALLEST_SIGMA)).square().mean()


class CogVideoXLoss:
    """Squared error of v at random steps of the scheduler's own noise schedule (Salimans & Ho 2022, as CogVideoX)."""

    def __init__(self, device: torch.device) -> None:
        scheduler = cast(CogVideoXDDIMScheduler, build_scheduler("cogvideox"))
        self.signal = scheduler.alphas_cumprod.to(device).float()

    def __call__(self, model: nn.Module, latents: Tensor, text: Tensor) -> Tensor:
        latents = latents.transpose(1, 2)  # CogVideoX's transformer reads frames before channels
        times = (strata(len(latents), latents.device) * len(self.signal)).long()
        signal = self.signal[times].view(-1, 1, 1, 1, 1)
        noise = torch.randn_like(latents)
        noisy = signal.sqrt() * latents + (1 - signal).sqrt() * noise
        with autocast(latents.device):
            predicted = model(noisy, text, times, return_dict=False)[0]
        return (predicted.float() - (signal.sqrt() * noise - (1 - signal).sqrt() * latents)).square().mean()


def inner_matrix(name: str, parameter: nn.Parameter) -> bool:
    """Whether a weight is for Muon: matrices of attention and feed-forward layers inside the blocks."""
    if parameter.ndim != 2 or "relative_attention_bias" in name:
        return False
    return name.startswith(("blocks.", "encoder.block.")) or (
        name.startswith("transformer_blocks.") and (".attn1." in name or ".ff." in name)
    )


def optimizers_for(transformer: nn.Module, encoder: nn.Module | None) -> dict[str, torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for the rest; a text encoder learns more slowly."""
    groups: dict[str, list[dict[str, Any]]] = {"muon": [], "adamw": []}
    for module, factor in ((transformer, 1.0), (encoder, TEXT_RATE)):
        if module is None:
            continue
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        for kind, chosen in (
            ("muon", [p for n, p in named if inner_matrix(n, p)]),
            ("adamw", [p for n, p in named if not inner_matrix(n, p)]),
        ):
            groups[kind].append({"params": chosen, "lr": LEARNING_RATE[kind] * factor})
    adamw = torch.optim.AdamW(groups["adamw"], betas=(0.9, 0.95), weight_decay=0.01, fused=True)
    return {"muon": Muon(groups["muon"], LEARNING_RATE["muon"]), "adamw": adamw}


def text_states(which: Which, encoder: nn.Module, ids: Tensor) -> Tensor:
    """The states that the pipeline would hand to the transformer for these tokens, `[n, TEXT_LENGTH, width]`."""
    if which == "cogvideox":  # padding is read like everything else
        with autocast(ids.device):
            return encoder(input_ids=ids).last_hidden_state.float()
    with torch.no_grad():
        mask = (ids != 0).long()
        return encoder(ids, mask).last_hidden_state.float() * mask.unsqueeze(-1)


class Batches:
    """Random clips of a pool, each with the states of one of its captions or of the empty one."""

    def __init__(self, pool: Pool, which: Which, encoder: nn.Module) -> None:
        self.pool, self.which, self.encoder = pool, which, encoder

    def ids(self, rows: Tensor) -> Tensor:
        """A random caption of each clip, `[n, TEXT_LENGTH]`."""
        which = torch.randint(CAPTIONS, (len(rows),), device=rows.device)
        ids: Tensor = self.pool.tokens[rows, which].long()
        return ids

    def draw(self, count: int, *, images: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Latents, text states, and which clips they are of."""
        device = self.pool.latents.device
        rows = torch.randint(len(self.pool.latents), (count,), device=device)
        latents = self.pool.latents[rows]
        dropped = torch.rand(count, 1, device=device) < DROPPED
        ids = torch.where(dropped, self.pool.empty.long(), self.ids(rows))
        return (latents[:, :, :1] if images else latents).float(), text_states(self.which, self.encoder, ids), rows

    def matching(self, rows: Tensor) -> Tensor:
        """The matching task of `text.py` on these clips' captions."""
        ids = torch.cat([self.ids(rows), self.ids(rows)])
        return matching_loss(text_states(self.which, self.encoder, ids), ids)


def compiled(model: nn.Module, loss: Callable[..., Tensor], which: Which, batch: int) -> nn.Module:
    """The model, compiled for both shapes; as it is where it cannot be compiled, since that costs only time."""
    begun, device = time.monotonic(), next(model.parameters()).device
    forward = cast(nn.Module, torch.compile(model, dynamic=False))
    try:
        warm_up(forward, loss, which, device, batch)
    except (RuntimeError, TypeError, AttributeError, NotImplementedError) as error:
        print(f"trains without compiling: {type(error).__name__}: {error}", flush=True)
        torch._dynamo.reset()
        model.zero_grad(set_to_none=True)
        return model
    print(f"compiled in {time.monotonic() - begun:.0f} s", flush=True)
    return forward


def warm_up(model: nn.Module, loss: Callable[..., Tensor], which: Which, device: torch.device, batch: int) -> None:
    """Compile for both shapes on noise, which can be done while the VAE is still being trained."""
    channels, size, width = (48, 12, WAN_TEXT_DIM) if which == "wan" else (8, 24, T5_WIDTH)
    for count, frames in ((batch * PICTURES, 1), (batch, 5)):
        latents = torch.randn(count, channels, frames, size, size, device=device)
        text = torch.randn(count, TEXT_LENGTH, width, device=device, requires_grad=which == "cogvideox")
        loss(model, latents, text).backward()
        model.zero_grad(set_to_none=True)


def wait_for(path: Path, deadline: float) -> None:
    """Until another stage has written this file.

    Raises:
        TimeoutError: it has not come by the deadline, if there is one.
    """
    while not path.exists():
        if deadline and time.time() > deadline:
            raise TimeoutError(f"expected {path} from an earlier stage, but it has not come; see that stage's log")
        time.sleep(0.5)


def train(options: argparse.Namespace) -> tuple[nn.Module, nn.Module | None, dict[str, Any]]:
    """Train for the given seconds; averaged transformer and text encoder (if trained), and what their card says."""
    which: Which = options.which
    device = torch.device(options.device)
    script = write_script(which, options.clips, options.individuals, options.weights)
    prepare(device)
    torch.manual_seed(0)
    model = build_transformer(which).train().to(device)
    if options.warm:
        load_stored(model, options.weights / f"{which}_transformer.safetensors")
    loss_of: Callable[..., Tensor] = wan_loss if which == "wan" else CogVideoXLoss(device)
    forward = compiled(model, loss_of, which, options.batch) if options.compile else model
    if options.wait:
        wait_for(options.weights / f"{which}_vae.json", options.deadline)
        if which == "cogvideox":
            wait_for(options.weights / "cogvideox_t5.json", options.deadline)
    encoder = load_encoder(which, options.weights).to(device)
    learning = which == "cogvideox"
    if learning:
        encoder.requires_grad_(True).train()
    optimizers = optimizers_for(model, encoder if learning else None)
    average, text_average = Average(model, 0.999), Average(encoder, 0.999) if learning else None
    parts: dict[str, Any] = {"model": model, "average": average.model, **optimizers}
    if text_average:
        parts |= {"text": encoder, "text_average": text_average.model}
    checkpoint = Checkpoint(f"transformer_{which}", parts, every=options.every)
    values = checkpoint.load() or {"step": 0, "spent": 0.0, "losses": []}
    data = Batches(make_pool(which, device, script, options.weights), which, encoder)
    left = options.deadline - time.time() + values["spent"] if options.deadline else float("inf")
    budget = Budget(max(1.0, min(options.seconds, left)), values["spent"])
    bar = tqdm(total=round(budget.seconds), initial=round(values["spent"]), unit="s", desc=which, mininterval=5)
    recent: list[Tensor] = []
    while budget.share < 1:
        step, images = values["step"], budget.share < IMAGES
        latents, text, rows = data.draw(options.batch * (PICTURES if images else 1), images=images)
        loss = loss_of(forward, latents, text)
        whole = loss + MATCHING * data.matching(rows[: max(2, options.batch // 4)]) if learning else loss
        for optimizer in optimizers.values():
            optimizer.zero_grad(set_to_none=False)
        whole.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if learning:
            torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        set_rate(optimizers, budget.rate(step, warm=150, flat=0.4))
        for optimizer in optimizers.values():
            optimizer.step()
        average.update(model, step)
        if text_average:
            text_average.update(encoder, step)
        recent.append(loss.detach())
        values |= {"step": step + 1, "spent": budget.elapsed}
        if len(recent) == 50:
            values["losses"].append(round(float(torch.stack(recent).mean()), 4))
            recent.clear()
            bar.set_postfix(step=step, loss=values["losses"][-1], refresh=False)
            bar.n = round(min(budget.elapsed, budget.seconds))
            bar.update(0)
        checkpoint.save(values)
    if not options.deadline:
        checkpoint.save(values, force=True)
    bar.close()
    card = {
        "steps": values["step"],
        "seconds": round(values["spent"]),
        "batch": options.batch,
        "clips": options.clips,
        "warm_start": options.warm,
        "loss_every_50_steps": values["losses"],
    }
    return average.model, text_average.model if text_average else None, card


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="unseen train transformer", description=__doc__.split("\n")[0])
    parser.add_argument("--which", choices=WHICH, default="wan", help="which model's (default: %(default)s)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=7200, help="to train for, in all (default: %(default)s)")
    parser.add_argument("--deadline", type=float, default=0.0, help="when to end at the latest, seconds since 1970")
    parser.add_argument("--batch", type=int, default=32, help="clips a step (default: %(default)s)")
    parser.add_argument("--clips", type=int, default=8192, help="different ones (default: %(default)s)")
    parser.add_argument("--individuals", type=int, default=INDIVIDUALS, help="in the layers (default: %(default)s)")
    parser.add_argument("--every", type=float, default=120, help="seconds between checkpoints (default: %(default)s)")
    parser.add_argument("--warm", action="store_true", help="start from the stored weights")
    parser.add_argument("--compile", action="store_true", help="compile the model first: pays on a graphics card")
    parser.add_argument("--wait", action="store_true", help="wait for the stages before this one")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the weights (default: the package's)")
    options = parser.parse_args(argv)
    model, encoder, card = train(options)
    path = options.weights / f"{options.which}_transformer.safetensors"
    save_bytes(model, path)
    parameters = sum(p.numel() for p in model.parameters())
    write_card(path.with_suffix(".json"), {"model": type(model).__name__, "parameters": parameters, "training": card})
    if encoder is not None:
        text_card = json.loads((options.weights / "cogvideox_t5.json").read_text())
        save_bytes(encoder, options.weights / "cogvideox_t5.safetensors")
        write_card(options.weights / "cogvideox_t5.json", text_card | {"with_transformer": card})
    last = (card["loss_every_50_steps"] or [float("nan")])[-1]
    print(f"loss {last:.3f} after {card['steps']} steps; weights in {options.weights}")


if __name__ == "__main__":
    main()
