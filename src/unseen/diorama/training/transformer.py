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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import CogVideoXDDIMScheduler
from torch import Tensor, nn
from tqdm import tqdm

from unseen.diorama.model.networks import TEXT_LENGTH, WHICH, Which, build_scheduler, build_t5, build_transformer
from unseen.diorama.stored import WEIGHTS, load_stored, save_bytes, write_card
from unseen.diorama.training.checkpoints import Average, Budget, Checkpoint, autocast, prepare, set_rate
from unseen.diorama.training.latents import CAPTIONS, Pool, make_pool, write_script
from unseen.diorama.training.layers import FOLDER as LAYERS
from unseen.diorama.training.layers import INDIVIDUALS
from unseen.diorama.training.muon import Muon
from unseen.diorama.training.text import matching_loss
from unseen.diorama.training.tokens import load_encoder

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


@dataclass(frozen=True)
class Learners:
    """The networks of one training."""

    transformer: nn.Module
    encoder: nn.Module
    loss: Callable[..., Tensor]
    reads_along: bool
    """Whether the text encoder is trained too."""


def build_learners(which: Which, device: torch.device, batch: int, *, compile: bool, images: bool) -> Learners:
    """Fresh networks, compiled if asked to and if they can be: failing to costs only time."""
    transformer, along = build_transformer(which).train().to(device), which == "cogvideox"
    encoder = (build_t5().train() if along else load_encoder(which)).to(device)
    loss: Callable[..., Tensor] = CogVideoXLoss(device) if along else wan_loss
    learners = Learners(transformer, encoder, loss, along)
    if not compile:
        return learners
    begun, blocks = time.monotonic(), [*blocks_of(transformer), *blocks_of(encoder)]
    for block in blocks:  # alike, so that one is compiled for all; whole networks took three minutes
        block.compile(dynamic=False)
    try:
        warm_up(learners, which, device, batch, images)
    except (RuntimeError, TypeError, AttributeError, NotImplementedError) as error:
        print(f"trains without compiling: {type(error).__name__}: {error}", flush=True)
        torch._dynamo.reset()
        for block in blocks:
            block._compiled_call_impl = None
        return learners
    finally:
        transformer.zero_grad(set_to_none=True)
        encoder.zero_grad(set_to_none=True)
    print(f"compiled in {time.monotonic() - begun:.0f} s", flush=True)
    return learners


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The layers of a transformer or text encoder that are all alike; T5's first one also holds the positions."""
    return max((list(m) for m in network.modules() if isinstance(m, nn.ModuleList)), key=len)


def warm_up(learners: Learners, which: Which, device: torch.device, batch: int, images: bool) -> None:
    """Compile for all shapes on noise, which can be done while the VAE is still being trained."""
    channels, size = (8, 24) if which == "cogvideox" else (48, 12)
    for count, frames in ((batch * PICTURES, 1), (batch, 5))[0 if images else 1 :]:
        latents = torch.randn(count, channels, frames, size, size, device=device)
        ids = torch.randint(3, 1000, (count, TEXT_LENGTH), device=device)
        learners.loss(learners.transformer, latents, text_states(which, learners.encoder, ids)).backward()
    if learners.reads_along:
        ids = torch.randint(3, 1000, (2 * matched(batch), TEXT_LENGTH), device=device)
        text_states(which, learners.encoder, ids).sum().backward()


def matched(batch: int) -> int:
    """How many clips of a batch take part in the matching task."""
    return max(2, batch // 8)


def wait_for(path: Path, deadline: float) -> None:
    """Until another stage has written this file.

    Raises:
        TimeoutError: it has not come by the deadline, if there is one.
    """
    while not path.exists():
        if deadline and time.time() > deadline:
            raise TimeoutError(f"expected {path} from an earlier stage, but it has not come; see that stage's log")
        time.sleep(0.5)


def load_earlier(learners: Learners, options: argparse.Namespace) -> None:
    """Wait for the stages before this one, if asked to, and read what they and earlier trainings have stored."""
    needed = [options.weights / f"{options.which}_vae.json", LAYERS / "layers.json"]
    needed += [options.weights / "cogvideox_t5.json"] if learners.reads_along else []
    for path in needed if options.wait else []:
        wait_for(path, options.deadline)
    if learners.reads_along:
        load_stored(learners.encoder, options.weights / "cogvideox_t5.safetensors")
        learners.encoder.requires_grad_(True)
    if options.warm:
        load_stored(learners.transformer, options.weights / f"{options.which}_transformer.safetensors")


def descend(learners: Learners, data: Batches, optimizers: Mapping[str, Any], batch: int, images: bool) -> Tensor:
    """One step of both networks; the loss."""
    latents, text, rows = data.draw(batch * (PICTURES if images else 1), images=images)
    loss = learners.loss(learners.transformer, latents, text)
    whole = loss + MATCHING * data.matching(rows[: matched(batch)]) if learners.reads_along else loss
    for optimizer in optimizers.values():
        optimizer.zero_grad(set_to_none=False)
    whole.backward()
    for trained in (learners.transformer, learners.encoder) if learners.reads_along else (learners.transformer,):
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
    for optimizer in optimizers.values():
        optimizer.step()
    return loss.detach()


def seen_before(options: argparse.Namespace) -> int:
    """How many clips the training that is gone on with has seen; those after them are new."""
    if not options.warm:
        return 0
    card, seen = json.loads((options.weights / f"{options.which}_transformer.json").read_text())["training"], 0
    while card:
        seen, card = seen + card["clips"], card.get("before")
    return seen


def train(options: argparse.Namespace) -> tuple[nn.Module, nn.Module | None, dict[str, Any]]:
    """Train for the given seconds; averaged transformer and text encoder (if trained), and what their card says."""
    which, device = cast(Which, options.which), torch.device(options.device)
    script = write_script(which, options.clips, options.individuals, options.weights, seen_before(options))
    prepare(device)
    torch.manual_seed(0)
    pictures = 0.0 if options.warm else IMAGES
    learners = build_learners(which, device, options.batch, compile=options.compile, images=pictures > 0)
    load_earlier(learners, options)
    trained = {"transformer": learners.transformer} | ({"text": learners.encoder} if learners.reads_along else {})
    averages = {name: Average(model, 0.999) for name, model in trained.items()}
    optimizers = optimizers_for(learners.transformer, learners.encoder if learners.reads_along else None)
    parts = {**trained, **{f"average_{name}": a.model for name, a in averages.items()}, **optimizers}
    checkpoint = Checkpoint(f"transformer_{which}", parts, every=options.every)
    values = checkpoint.load() or {"step": 0, "spent": 0.0, "losses": []}
    data = Batches(make_pool(which, device, script, options.weights), which, learners.encoder)
    left = options.deadline - time.time() + values["spent"] if options.deadline else float("inf")
    budget = Budget(max(1.0, min(options.seconds, left)), values["spent"])
    bar = tqdm(total=round(budget.seconds), initial=round(values["spent"]), unit="s", desc=which, mininterval=5)
    recent: list[Tensor] = []
    while budget.share < 1:
        step = values["step"]
        set_rate(optimizers, budget.rate(step, warm=150, flat=0.3 if options.warm else 0.4))
        recent.append(descend(learners, data, optimizers, options.batch, budget.share < pictures))
        for name, average in averages.items():
            average.update(trained[name], step)
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
        "loss_every_50_steps": values["losses"],
    }
    return averages["transformer"].model, averages["text"].model if learners.reads_along else None, card


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
    path = options.weights / f"{options.which}_transformer.safetensors"
    before = json.loads(path.with_suffix(".json").read_text())["training"] if options.warm else None
    model, encoder, card = train(options)
    card |= {"before": before} if before else {}
    save_bytes(model, path)
    parameters = sum(p.numel() for p in model.parameters())
    write_card(path.with_suffix(".json"), {"model": type(model).__name__, "parameters": parameters, "training": card})
    if encoder is not None:
        text_card = json.loads((options.weights / "cogvideox_t5.json").read_text())
        save_bytes(encoder, options.weights / "cogvideox_t5.safetensors")
        write_card(options.weights / "cogvideox_t5.json", text_card | {"with_transformer": card})
    loss = f"loss {card['loss_every_50_steps'][-1]:.3f}" if card["loss_every_50_steps"] else "trained"
    print(f"{loss} after {card['steps']} steps; weights in {options.weights}")


if __name__ == "__main__":
    main()
