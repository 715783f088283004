"""Rates over evaluation prompts: `unseen.metrics.rates` with each clip's own prompt and seed as labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unseen.bench.prompts import Prompt
from unseen.bench.readings import Readings
from unseen.bench.tables import Measure
from unseen.metrics import rates
from unseen.metrics.rates import Rate

ASPECTS = ("background", "style")


def rate(
    hits: np.ndarray,
    prompts: Sequence[Prompt],
    *,
    floor: float | None = None,
    unit: str = "frames",
    at_least: float = 0.0,
) -> Rate:
    """Share of frames (or of videos) in which `hits`, bool `[clips, frames]`, holds."""
    texts, seeds = _labels(prompts)
    return rates.rate(hits, texts, seeds, floor=floor, unit=unit, at_least=at_least)


def kept(after: np.ndarray, before: np.ndarray, prompts: Sequence[Prompt], *, floor: float | None = None) -> Rate:
    """Rate after as a share of the rate before, on paired clips; both bool `[clips, frames]`."""
    texts, seeds = _labels(prompts)
    return rates.ratio(after, before, texts, seeds, floor=floor)


def mean(values: np.ndarray, prompts: Sequence[Prompt]) -> Measure:
    """Mean of a number per clip, `[clips]`, with the interval that `rate` would give; NaN where there are no clips."""
    if not len(values):
        return Measure(float("nan"), float("nan"), float("nan"))
    weights = rates.bootstrap_weights(*_labels(prompts))
    drawn = weights.sum(axis=1)
    samples = (weights @ values)[drawn > 0] / drawn[drawn > 0]
    tail = (1 - rates.CONFIDENCE) / 2
    return Measure(float(values.mean()), float(np.quantile(samples, tail)), float(np.quantile(samples, 1 - tail)))


def _labels(prompts: Sequence[Prompt]) -> tuple[list[str], list[int]]:
    return [p.text for p in prompts], [p.seed for p in prompts]


def settled(readings: Readings, aspect: str) -> np.ndarray:
    """bool `[clips]`: whether a clip's prompt says its "background", "style" or "motion"."""
    return np.asarray([aspect in p.said for p in readings.prompts], bool)


def aspect_hits(readings: Readings, aspect: str) -> np.ndarray:
    """Frames, bool `[clips, frames]`, with the background or the style that the prompt asks for."""
    return readings.asked_background() if aspect == "background" else readings.asked_style()


def aspect_rate(readings: Readings, aspect: str) -> Rate | None:
    """Share of frames with the asked background or style, over prompts that say it; None where none does."""
    chosen = readings.select(settled(readings, aspect))
    return rate(aspect_hits(chosen, aspect), chosen.prompts) if chosen.prompts else None


def aspect_kept(after: Readings, before: Readings, aspect: str) -> Rate | None:
    """What is kept of the asked background or style, over prompts that say it; None where none does."""
    keep = settled(before, aspect)
    late, early = after.select(keep), before.select(keep)
    if not early.prompts:
        return None
    return kept(aspect_hits(late, aspect), aspect_hits(early, aspect), early.prompts)
