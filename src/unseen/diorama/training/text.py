"""Teach Diorama-CogVideoX's T5 what captions mean before it meets a picture.

    python -m unseen.diorama.training.text --device cuda --seconds 120

Two tasks, both solved only in the last layer, so that meaning has to be built over depth: fill in hidden words, and
find among many captions the one that says the same in other words.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm
from transformers import T5EncoderModel

from unseen.diorama.model.networks import build_t5
from unseen.diorama.model.text import load_t5_tokenizer
from unseen.diorama.processes import in_processes
from unseen.diorama.stored import WEIGHTS, save_bytes, write_card
from unseen.diorama.training.checkpoints import Average, Budget, Checkpoint, autocast, prepare, set_rate
from unseen.diorama.training.clips import cores, training_captions, training_scene
from unseen.diorama.training.muon import Muon
from unseen.diorama.training.tokens import EXTRA_IDS, ordinary_prompts, token_ids

FIRST = 10_000_000
"""Number of the first scene whose captions are read here; none of them is drawn."""
ORDINARY = 20_000
"""Prompts about everyday things."""
HIDDEN = 0.25
"""Share of the tokens that are hidden."""
SHARPNESS = 20.0
"""What cosines are multiplied by when captions are compared."""
LEARNING_RATE = {"muon": 2e-3, "adamw": 1e-3}


def _captions(first: int, count: int, each: int) -> list[str]:
    return [text for i in range(first, first + count) for text in training_captions(training_scene(i), i, each)]


def caption_tokens(first: int, count: int, each: int, workers: int, weights: Path = WEIGHTS) -> np.ndarray:
    """Tokens of `each` captions of so many scenes, int32 `[count, each, TEXT_LENGTH]`."""
    starts = range(first, first + count, 512)
    jobs = [(start, min(512, first + count - start), each) for start in starts]
    parts = in_processes(_captions, jobs, workers)
    ids = token_ids([text for part in parts for text in part], load_t5_tokenizer(weights))
    return ids.reshape(count, each, -1)


def summary(states: Tensor, ids: Tensor) -> Tensor:
    """One unit vector for each text: the mean of its tokens' states, padding left out. `[n, width]`"""
    said = (ids != 0).unsqueeze(-1)
    return F.normalize((states * said).sum(1) / said.sum(1), dim=-1)


def matching_loss(states: Tensor, ids: Tensor) -> Tensor:
    """How hard it is to find each caption's partner; the second half of the rows are the first half's partners."""
    first, second = summary(states, ids).float().chunk(2)
    logits = SHARPNESS * first @ second.T
    truth = torch.arange(len(first), device=ids.device)
    return (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2


def text_loss(encoder: nn.Module, guess: nn.Module, ids: Tensor, ordinary: Tensor, sentinel: int) -> Tensor:
    """Both tasks for captions `[2 n, TEXT_LENGTH]`, of which row i and row n + i describe the same scene.

    Hidden words are filled in `ordinary` prompts too, so that the encoder knows more words than this world has.
    """
    texts = torch.cat([ids, ordinary])
    hidden = (torch.rand(texts.shape, device=ids.device) < HIDDEN) & (texts > 1)
    states = encoder(input_ids=torch.where(hidden, sentinel, texts)).last_hidden_state
    words = F.cross_entropy(guess(states[hidden]).float(), texts[hidden])
    return words + matching_loss(states[: len(ids)], ids)


def optimizers_for(*modules: nn.Module) -> dict[str, torch.optim.Optimizer]:
    """Muon for the matrices inside the encoder's layers, AdamW for the rest."""
    named = [(n, p) for module in modules for n, p in module.named_parameters() if p.requires_grad]
    inner = [p for n, p in named if p.ndim == 2 and ".block." in n and "relative_attention_bias" not in n]
    rest = [p for n, p in named if not (p.ndim == 2 and ".block." in n and "relative_attention_bias" not in n)]
    return {
        "muon": Muon(inner, LEARNING_RATE["muon"]),
        "adamw": torch.optim.AdamW(rest, LEARNING_RATE["adamw"], betas=(0.9, 0.98), weight_decay=0.01),
    }


def train(
    device: torch.device, seconds: float, batch: int, scenes: int, weights: Path = WEIGHTS
) -> tuple[T5EncoderModel, dict]:
    """Train for `seconds`; the averaged encoder, and what its card says of it."""
    tokens = torch.from_numpy(caption_tokens(FIRST, scenes, 4, min(8, cores()), weights))
    others = torch.from_numpy(token_ids(ordinary_prompts(ORDINARY), load_t5_tokenizer(weights)))
    prepare(device)
    tokens, others = tokens.to(device), others.to(device)
    torch.manual_seed(0)
    encoder = build_t5().train().to(device)
    guess = nn.Linear(encoder.config.d_model, encoder.config.vocab_size).to(device)
    optimizers, average = optimizers_for(encoder, guess), Average(encoder, 0.998)
    checkpoint = Checkpoint("t5", {"encoder": encoder, "guess": guess, "average": average.model, **optimizers})
    values = checkpoint.load() or {"step": 0, "spent": 0.0, "losses": []}
    sentinel = encoder.config.vocab_size - EXTRA_IDS
    budget = Budget(seconds, values["spent"])
    bar = tqdm(total=round(seconds), initial=round(min(values["spent"], seconds)), unit="s", desc="T5")
    while budget.share < 1:
        step = values["step"]
        rows = torch.randint(scenes, (batch,), device=device)
        which = torch.rand(batch, 4, device=device).argsort(1)
        ids = torch.cat([tokens[rows, which[:, 0]], tokens[rows, which[:, 1]]]).long()
        ordinary = others[torch.randint(len(others), (batch // 2,), device=device)].long()
        with autocast(device):
            loss = text_loss(encoder, guess, ids, ordinary, sentinel)
        for optimizer in optimizers.values():
            optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        set_rate(optimizers, budget.rate(step))
        for optimizer in optimizers.values():
            optimizer.step()
        average.update(encoder, step)
        values |= {"step": step + 1, "spent": budget.elapsed}
        if step % 50 == 0:
            values["losses"].append(round(float(loss), 4))
            bar.set_postfix(step=step, loss=values["losses"][-1], refresh=False)
        bar.n = round(min(budget.elapsed, seconds))
        bar.update(0)
        checkpoint.save(values)
    checkpoint.save(values, force=True)
    bar.close()
    card = {"steps": values["step"], "seconds": round(values["spent"]), "batch": batch, "scenes": scenes}
    return average.model, card | {"loss_every_50_steps": values["losses"]}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="unseen train text", description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=3600, help="to train for, in all (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="pairs of captions a step (default: %(default)s)")
    parser.add_argument("--scenes", type=int, default=20_000, help="to take captions of (default: %(default)s)")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the weights (default: the package's)")
    options = parser.parse_args(argv)
    device, path = torch.device(options.device), options.weights / "cogvideox_t5.safetensors"
    encoder, card = train(device, options.seconds, options.batch, options.scenes, options.weights)
    save_bytes(encoder, path)
    write_card(path.with_suffix(".json"), {"model": "T5EncoderModel", "words": card})
    print(f"loss {card['loss_every_50_steps'][-1]:.3f} after {card['steps']} steps; weights in {path}")


if __name__ == "__main__":
    main()
