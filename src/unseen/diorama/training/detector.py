"""Train a detector on rendered frames, then measure it on fresh renders and store weights and card.

    python -m unseen.diorama.training.detector --which a --device cuda --seconds 120 --batch 256 --workers 15

Interrupted, it goes on from its checkpoint; `--warm` starts from the stored weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from tqdm import tqdm

from unseen.diorama.detector.card import CALIBRATION_FRAMES, TEST_FRAMES, calibrate, measure
from unseen.diorama.detector.data import DETECTED, RECIPES, Pool, Recipe, drawings_digest, make_batch, training_pool
from unseen.diorama.detector.detector import Detector, DetectorNetwork, load_detector
from unseen.diorama.detector.readings import similarity_logits
from unseen.diorama.stored import WEIGHTS, load_stored, save_half, write_card
from unseen.diorama.training.checkpoints import CHECKPOINTS, Budget, Checkpoint, autocast, prepare, set_rate
from unseen.diorama.world.scenes import CHARACTERS, STRANGER

LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.02
FLAT = 0.1
"""Share of the time before the learning rate falls."""
KNOWN = [DETECTED.index(key) for key in CHARACTERS]
PEOPLE = [*KNOWN, DETECTED.index(STRANGER)]


def losses(out: dict[str, Tensor], batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """What each head pays for a batch (the fields of a `Batch`); sums over classes, means over frames."""
    subject = batch["presence"]
    people = subject[:, PEOPLE]
    face = people.amax(1)
    # Two people in one frame have no common identity; everything that is no face has to match nobody.
    single = (people.sum(1) <= 1).float()
    identity = F.binary_cross_entropy_with_logits(
        similarity_logits(out["similarity"]), subject[:, KNOWN], reduction="none"
    ).sum(1)

    def decide(logits: Tensor, truth: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(logits, truth, reduction="none").flatten(1).sum(1).mean()

    def in_places(head: str, labelled: Tensor) -> Tensor:
        each = F.binary_cross_entropy_with_logits(out[head], batch[head], reduction="none").sum((1, 2))
        return 0.5 * (each * labelled).sum() / labelled.sum().clamp_min(1)

    return {
        "subject": decide(out["subject"], subject),
        "halves": in_places("halves", batch["apart"]),
        "tiers": 0.5 * in_places("tiers", batch["above"]),
        "attributes": decide(out["attributes"], batch["attributes"]),
        "face": decide(out["face"][:, None], face[:, None]),
        "identity": (identity * single * (0.3 + 0.7 * face)).mean(),
        "content": F.cross_entropy(out["content"], batch["content"]),
        "style": F.cross_entropy(out["style"], batch["style"]),
        "background": F.cross_entropy(out["background"], batch["background"]),
    }


class Batches(IterableDataset[dict[str, np.ndarray]]):
    """The batches from number `start` on, each a function of its number; worker w of n makes w, w + n, and so on."""

    def __init__(self, pool: Pool, recipe: Recipe, size: int, start: int) -> None:
        self.pool, self.recipe, self.size, self.start = pool, recipe, size, start

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        cv2.setNumThreads(1)
        info = get_worker_info()
        index, stride = self.start + (info.id if info else 0), info.num_workers if info else 1
        while True:
            rng = np.random.default_rng((self.recipe.seed, index))
            rows = rng.integers(len(self.pool.frames), size=self.size)
            yield vars(make_batch(self.pool, rows, rng, coarse=self.recipe.coarse))
            index += stride


def _as_it_is(batch: Any) -> Any:
    """Arrays pass between processes through pipes; tensors would need shared memory, which some lack."""
    return batch


def train(
    recipe: Recipe, device: torch.device, seconds: float, *, batch: int, workers: int, warm: bool = False
) -> tuple[DetectorNetwork, dict[str, Any]]:
    """Train the recipe's detector for `seconds`; the learning rate falls with the time used."""
    prepare(device)
    pool = training_pool(recipe, CHECKPOINTS, workers=max(1, workers))
    torch.manual_seed(recipe.seed)
    network = DetectorNetwork(recipe.which, len(DETECTED))
    if warm:  # for a world that was redrawn: most of what was learned still holds
        load_stored(network, WEIGHTS / f"detector_{recipe.which}.safetensors")
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    checkpoint = Checkpoint(f"detector_{recipe.which}", {"network": network, "optimizer": optimizer})
    values = checkpoint.load() or {"step": 0, "spent": 0.0, "loss": 0.0}
    loader = DataLoader(
        Batches(pool, recipe, batch, values["step"]),
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,
        multiprocessing_context="fork" if workers else None,  # which shares the pool
        prefetch_factor=3 if workers else None,
    )
    stream = iter(loader)
    budget = Budget(seconds, values["spent"])
    bar = tqdm(total=round(seconds), initial=round(min(values["spent"], seconds)), unit="s", desc=recipe.which)
    while budget.share < 1:
        step = values["step"]
        arrays = next(stream)
        labels = {k: torch.from_numpy(v).to(device, non_blocking=True) for k, v in arrays.items()}
        with autocast(device):
            out = network(labels.pop("frames"))
        parts = losses(out, labels)
        loss = torch.stack(list(parts.values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        set_rate({"adamw": optimizer}, budget.rate(step, flat=FLAT))
        optimizer.step()
        values |= {"step": step + 1, "spent": budget.elapsed}
        if step % 20 == 0:  # reading a loss waits for the device
            values["loss"] += (float(loss.detach()) - values["loss"]) * (0.2 if step else 1.0)
            bar.set_postfix(step=step, loss=f"{values['loss']:.3f}", subject=f"{float(parts['subject'].detach()):.3f}")
            bar.n = round(min(budget.elapsed, seconds))
            bar.update(0)
        checkpoint.save(values)
    checkpoint.save(values, force=True)
    bar.close()
    return network.eval(), {
        "warm_start": warm,
        "device": device.type,
        "seconds": round(values["spent"]),
        "steps": values["step"],
        "batch": batch,
        "learning_rate": LEARNING_RATE,
        "final_loss": round(values["loss"], 4),
        "pool_frames": len(pool.frames),
        "pool_seed": recipe.seed,
        "render_settings": vars(recipe.settings),
        "drawings": drawings_digest(),
    }


def _stored(which: str, device: torch.device) -> Detector:
    detector = load_detector(which)
    detector.network.to(device)
    return detector


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="unseen train detector", description=__doc__.split("\n")[0])
    parser.add_argument("--which", choices=sorted(RECIPES), default="a", help="which of the two detectors")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=3600, help="to train for, in all (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=64, help="frames a step (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes that render and make batches")
    parser.add_argument("--frames", type=int, help="in the pool (default: the recipe's)")
    parser.add_argument("--calibration-frames", type=int, default=CALIBRATION_FRAMES)
    parser.add_argument("--test-frames", type=int, default=TEST_FRAMES)
    parser.add_argument("--warm", action="store_true", help="start from the stored weights")
    parser.add_argument("--unmeasured", action="store_true", help="only train, and leave measuring to --measure-only")
    parser.add_argument("--measure-only", action="store_true", help="only measure the stored weights again")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    which, device, workers = options.which, torch.device(options.device), options.workers
    path = WEIGHTS / f"detector_{which}.safetensors"
    card_path = path.with_suffix(".json")
    if options.measure_only:
        settings = load_detector(which).card["training"]
    else:
        recipe = replace(RECIPES[which], frames=options.frames or RECIPES[which].frames)
        network, settings = train(
            recipe, device, options.seconds, batch=options.batch, workers=workers, warm=options.warm
        )
        save_half(network, path)
    card: dict[str, Any] = {
        "name": f"diorama detector {which}",
        "version": 2,
        "parameters": sum(p.numel() for p in DetectorNetwork(which, len(DETECTED)).parameters()),
        "subjects": list(DETECTED),
        "thresholds": {"subject": 0.5, "attributes": 0.5, "face": 0.5, "identity": 0.5},
        "training": settings,
    }
    write_card(card_path, card)
    if options.unmeasured:
        return
    card["thresholds"] = calibrate(_stored(which, device), options.calibration_frames, workers=max(1, workers))
    write_card(card_path, card)
    card["measured"] = measure(_stored(which, device), options.test_frames, workers=max(1, workers))
    write_card(card_path, card)
    print(load_detector(which).describe())


if __name__ == "__main__":
    main()
