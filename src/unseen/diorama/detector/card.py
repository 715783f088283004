"""Thresholds, accuracy and false-positive floors of a detector, from renders it was not trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from unseen.diorama.detector.data import (
    ALONE,
    CALIBRATION_SEED,
    DETECTED,
    ROW,
    STACK,
    TEST_SEED,
    THREE,
    Batch,
    Pool,
    held_back_pool,
    make_batch,
)
from unseen.diorama.detector.detector import Detector
from unseen.diorama.detector.readings import nameable, similarity_logits
from unseen.diorama.training.checkpoints import CHECKPOINTS
from unseen.diorama.world.scenes import ATTRIBUTES, BACKGROUNDS, CHARACTERS, STRANGER, STYLES

GRID = np.linspace(0.05, 0.95, 91)
"""Thresholds that are tried."""
CALIBRATION_FRAMES, TEST_FRAMES = 1000, 3000


def _identity(read: dict[str, np.ndarray]) -> np.ndarray:
    """The probability of each character, from the cosines, `[n, 10]`."""
    return similarity_logits(torch.from_numpy(read["similarity"])).sigmoid().numpy()


def _truth(batch: Batch) -> dict[str, np.ndarray]:
    subject = np.asarray(batch.presence > 0.5)
    known = [DETECTED.index(key) for key in CHARACTERS]
    people = subject[:, [*known, DETECTED.index(STRANGER)]]
    return {
        "subject": subject,
        "attributes": batch.attributes > 0.5,
        "face": people.any(1, keepdims=True),
        "identity": subject[:, known],
        "single": people.sum(1) == 1,
    }


def _best_threshold(probability: np.ndarray, truth: np.ndarray) -> float:
    """The threshold with the least sum of the share of misses and ten times the share of false alarms."""
    found = []
    for threshold in GRID:
        flagged = np.asarray(probability >= threshold)
        miss = 1 - float(np.mean(flagged[truth]))
        found.append(miss + 10 * flagged[~truth].mean())
    costs = np.asarray(found)
    return float(np.round(GRID[np.flatnonzero(costs <= costs.min() + 1e-4)].mean(), 3))


def calibrate(detector: Detector, frames: int = CALIBRATION_FRAMES, *, workers: int = 1) -> dict[str, float]:
    """One threshold per head, chosen on renders of their own, degraded and partly destroyed."""
    rng = np.random.default_rng(CALIBRATION_SEED)
    pool = held_back_pool(CALIBRATION_SEED, frames, CHECKPOINTS, workers=workers)
    batch = make_batch(pool, np.arange(len(pool.frames)), rng)
    read, truth = detector.probabilities(batch.frames), _truth(batch)
    alone = truth["single"]
    named = nameable(read)[:, None]
    return {
        "subject": _best_threshold(read["subject"] * named, truth["subject"]),
        "attributes": _best_threshold(read["attributes"] * named, truth["attributes"]),
        "face": _best_threshold(read["face"][:, None], truth["face"]),
        "identity": _best_threshold(_identity(read)[alone], truth["identity"][alone]),
    }


def _share(hits: Any) -> float | None:
    """The mean of a boolean array; None where there is nothing to average."""
    return round(float(np.mean(hits)), 4) if np.size(hits) else None


def _per_class(flagged: np.ndarray, truth: np.ndarray, names: tuple[str, ...]) -> dict[str, dict[str, float | None]]:
    """For each class the share of frames with it that are flagged, and of frames without it (the floor)."""
    return {
        name: {"found": _share(flagged[truth[:, i], i]), "floor": _share(flagged[~truth[:, i], i])}
        for i, name in enumerate(names)
    }


def _one_of(probability: np.ndarray, truth: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
    flagged = probability >= 0.5
    return {
        "accuracy": _share(probability.argmax(1) == truth),
        "classes": _per_class(flagged, np.eye(len(names), dtype=bool)[truth], names),
    }


def measure(detector: Detector, frames: int = TEST_FRAMES, *, workers: int = 1) -> dict[str, Any]:
    """Accuracy and floors on fresh renders: as rendered, degraded, and with every subject destroyed."""
    rng = np.random.default_rng(TEST_SEED)
    pool = held_back_pool(TEST_SEED, frames, CHECKPOINTS, workers=workers)
    rows = np.arange(len(pool.frames))
    out: dict[str, Any] = {"frames": len(rows), "seed": TEST_SEED, "calibration_seed": CALIBRATION_SEED}
    conditions = {"clean": 0.0, "degraded": 1.0}
    for name, degraded in conditions.items():
        batch = make_batch(pool, rows, rng, empty=0.06, destroyed=0.0, partial=0.0, degraded=degraded)
        out[name] = _measure_batch(detector, batch, pool)
    batch = make_batch(pool, rows, rng, empty=0.0, destroyed=1.0, degraded=0.5)
    read = detector.probabilities(batch.frames)
    flagged = detector.claims(read)
    out["destroyed"] = {
        "any_subject": _share(flagged.any(1)),
        "called_unrecognisable": _share(read["unrecognisable"] >= 0.5),
        "called_none": _share(read["none"] >= 0.5),
        "floor": {key: _share(flagged[:, i]) for i, key in enumerate(detector.subjects)},
    }
    return out


def _in_place(read: np.ndarray, subjects: np.ndarray) -> float | None:
    """The share of frames whose first and second place are each likeliest what they are."""
    return _share((read.argmax(-1) == subjects[:, :2]).all(1))


def _measure_batch(detector: Detector, batch: Batch, pool: Pool) -> dict[str, Any]:
    read, truth = detector.probabilities(batch.frames), _truth(batch)
    limits, subjects = detector.thresholds, pool.subjects
    flagged = detector.claims(read)
    present = batch.content == 2
    alone, row, stack, three = (present & (pool.layout == layout) for layout in (ALONE, ROW, STACK, THREE))
    all_found = (flagged | ~truth["subject"]).all(1)
    single = truth["single"]
    match = _identity(read) >= limits["identity"]
    stranger = truth["subject"][:, DETECTED.index(STRANGER)] & single
    return {
        "subject_accuracy": _share(read["subject"].argmax(1)[alone] == subjects[alone, 0]),
        "subject_found": _share(flagged[truth["subject"]]),
        "floor_mean": _share(flagged[~truth["subject"]]),
        "exactly_right": _share((flagged == truth["subject"]).all(1)),
        "pairs_found": _share(all_found[row]),
        "stacks_found": _share(all_found[stack]),
        "threes_found": _share(all_found[three]),
        "sides_right": _in_place(read["halves"][row], subjects[row]),
        "levels_right": _in_place(read["tiers"][stack], subjects[stack]),
        "none_accuracy": _share((read["none"] >= 0.5) == (batch.content == 0)),
        "called_unrecognisable": _share(~nameable(read)[present]),
        "subjects": _per_class(flagged, truth["subject"], detector.subjects),
        "attributes": _per_class(detector.claims(read, "attributes"), truth["attributes"], ATTRIBUTES),
        "style": _one_of(read["style"], batch.style, STYLES),
        "background": _one_of(read["background"], batch.background, BACKGROUNDS),
        "face": {
            "found": _share(read["face"][truth["face"][:, 0]] >= limits["face"]),
            "floor": _share(read["face"][~truth["face"][:, 0]] >= limits["face"]),
        },
        "identity": {
            **_per_class(match[single], truth["identity"][single], CHARACTERS),
            "strangers_matching_nobody": _share(~match[stranger].any(1)),
        },
    }
