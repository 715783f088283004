"""Train a detector on rendered frames, then measure it on fresh renders and store weights and card.

    python -m unseen.diorama.training.detector --which a --minutes 6

Interrupted, it goes on from its checkpoint; `--warm` starts from the stored weights.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from unseen.diorama.detector.card import calibrate, measure
from unseen.diorama.detector.data import (
    DETECTED,
    RECIPES,
    STRANGER,
    Batch,
    drawings_digest,
    make_batch,
    training_pool,
)
from unseen.diorama.detector.detector import DetectorNetwork, load_detector, similarity_logits
from unseen.diorama.stored import WEIGHTS, load_half, save_half, write_card
from unseen.diorama.training.checkpoints import CHECKPOINTS, Checkpoint, batches
from unseen.diorama.world.scenes import CHARACTERS

BATCH = 64
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.02
KNOWN = [DETECTED.index(key) for key in CHARACTERS]
PEOPLE = [*KNOWN, DETECTED.index(STRANGER)]


def losses(out: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
    """What each head pays for a batch; sums over classes, means over frames."""
    halves = torch.from_numpy(batch.halves)
    subject = halves.amax(1)
    apart = torch.from_numpy(batch.apart)
    people = subject[:, PEOPLE]
    face = people.amax(1)
    # Two people in one frame have no common identity; everything that is no face has to match nobody.
    single = (people.sum(1) <= 1).float()
    identity = F.binary_cross_entropy_with_logits(
        similarity_logits(out["similarity"]), subject[:, KNOWN], reduction="none"
    ).sum(1)

    def decide(logits: Tensor, truth: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, truth, reduction="none").flatten(1).sum(1).mean()

    in_halves = F.binary_cross_entropy_with_logits(out["halves"], halves, reduction="none").sum((1, 2))
    return {
        "subject": decide(out["subject"], subject),
        "halves": 0.5 * (in_halves * apart).sum() / apart.sum().clamp_min(1),
        "attributes": decide(out["attributes"], torch.from_numpy(batch.attributes)),
        "face": decide(out["face"][:, None], face[:, None]),
        "identity": (identity * single * (0.3 + 0.7 * face)).mean(),
        "content": F.cross_entropy(out["content"], torch.from_numpy(batch.content)),
        "style": F.cross_entropy(out["style"], torch.from_numpy(batch.style)),
        "background": F.cross_entropy(out["background"], torch.from_numpy(batch.background)),
    }


def train(which: str, minutes: float, *, warm: bool = False) -> tuple[DetectorNetwork, dict[str, Any]]:
    """Train detector `which` for `minutes` of processor time; the learning rate falls with the time used."""
    recipe = RECIPES[which]
    pool = training_pool(recipe, CHECKPOINTS)
    torch.manual_seed(recipe.seed)
    network = DetectorNetwork(which, len(DETECTED))
    if warm:  # for a world that was redrawn: most of what was learned still holds
        load_half(network, WEIGHTS / f"detector_{which}.safetensors")
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    checkpoint = Checkpoint(f"detector_{which}", {"network": network, "optimizer": optimizer}, every=60)
    state = checkpoint.load()
    step, spent, shown = int(state.get("step", 0)), float(state.get("spent", 0.0)), float(state.get("loss", 0.0))

    def make(index: int) -> Batch:
        rng = np.random.default_rng((recipe.seed, index))
        return make_batch(pool, rng.integers(len(pool.frames), size=BATCH), rng, coarse=recipe.coarse)

    network.train()
    stream = batches(make, step)
    budget = minutes * 60
    bar = tqdm(total=round(budget), initial=min(round(spent), round(budget)), unit="s", desc=f"detector {which}")
    while spent < budget:
        begun = time.process_time()
        falling = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(spent / budget, 1.0)))
        rate = LEARNING_RATE * min(1.0, (step + 1) / 100) * falling
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = next(stream)
        parts = losses(network(torch.from_numpy(batch.frames)), batch)
        loss = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        step += 1
        spent += time.process_time() - begun
        shown += (float(loss.detach()) - shown) * (1 if step == 1 else 0.03)
        if step % 10 == 0:
            bar.n = min(round(spent), round(budget))
            bar.set_postfix(step=step, loss=f"{shown:.3f}", subject=f"{float(parts['subject'].detach()):.3f}")
        checkpoint.save({"step": step, "spent": spent, "loss": shown})
    bar.close()
    checkpoint.save({"step": step, "spent": spent, "loss": shown}, force=True)
    settings = {
        "warm_start": warm,
        "processor_minutes": round(spent / 60, 1),
        "steps": step,
        "batch": BATCH,
        "learning_rate": LEARNING_RATE,
        "final_loss": round(shown, 4),
        "pool_frames": len(pool.frames),
        "pool_seed": recipe.seed,
        "render_settings": vars(recipe.settings),
        "drawings": drawings_digest(),
    }
    return network.eval(), settings


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="unseen train detector", description=__doc__.split("\n")[0])
    parser.add_argument("--which", choices=sorted(RECIPES), default="a", help="which of the two detectors")
    parser.add_argument("--minutes", type=float, default=6.0, help="processor time to train for, in all")
    parser.add_argument("--warm", action="store_true", help="start from the stored weights")
    parser.add_argument("--measure-only", action="store_true", help="only measure the stored weights again")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    path = WEIGHTS / f"detector_{options.which}.safetensors"
    card_path = path.with_suffix(".json")
    if options.measure_only:
        settings = load_detector(options.which).card["training"]
    else:
        network, settings = train(options.which, options.minutes, warm=options.warm)
        save_half(network, path)
    parameters = sum(p.numel() for p in DetectorNetwork(options.which, len(DETECTED)).parameters())
    card: dict[str, Any] = {
        "name": f"diorama detector {options.which}",
        "version": 1,
        "parameters": parameters,
        "subjects": list(DETECTED),
        "thresholds": {"subject": 0.5, "attributes": 0.5, "face": 0.5, "identity": 0.5},
        "training": settings,
    }
    write_card(card_path, card)
    card["thresholds"] = calibrate(load_detector(options.which))
    write_card(card_path, card)
    card["measured"] = measure(load_detector(options.which))
    write_card(card_path, card)
    print(load_detector(options.which).describe())


if __name__ == "__main__":
    main()
