"""Rates over evaluation prompts: `unseen.metrics.rates` with each clip's own prompt and seed as labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unseen.bench.prompts import Prompt
from unseen.bench.readings import Readings
from unseen.bench.tables import Measure
from unseen.metrics import intervals, rates
from unseen.metrics.intervals import Levels
from unseen.metrics.rates import Paired, Rate

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


def share(flags: Sequence[bool] | np.ndarray, texts: Sequence[str] | None = None) -> Rate:
    """Share of prompts of which something holds, such as that they are encoded as before.

    `texts` tells which are asked more than once; without it each stands for itself.
    """
    held, each = np.asarray(flags, bool), range(len(flags))
    return rates.rate(held[:, None], each if texts is None else texts, each, unit="prompts")


def part_of(parts: Sequence[int], wholes: Sequence[int]) -> Rate:
    """Sum of `parts` over sum of `wholes`, such as lost words of all words, over texts; NaN where there is nothing."""
    part, whole = np.asarray(parts, float), np.asarray(wholes, float)
    shares = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    value, low, high = (float(end) for end in intervals.share(shares, Levels.of(range(len(part))), whole))
    return Rate(value, low, high, len(part), len(part), int(whole.sum()), unit="prompts")


def kept(after: np.ndarray, before: np.ndarray, prompts: Sequence[Prompt], *, floor: float | None = None) -> Rate:
    """Rate after as a share of the rate before, on paired clips; both bool `[clips, frames]`."""
    texts, seeds = _labels(prompts)
    return rates.ratio(after, before, texts, seeds, floor=floor)


def excess(first: np.ndarray, second: np.ndarray, prompts: Sequence[Prompt], *, floor: float) -> Rate:
    """What the first shows beyond the detector's floor over what the second does, on paired clips."""
    texts, seeds = _labels(prompts)
    return rates.excess(first, second, texts, seeds, floor=floor)


def paired(first: np.ndarray, second: np.ndarray, prompts: Sequence[Prompt]) -> Paired:
    """Rate of the first less that of the second on paired clips, with a test."""
    return rates.paired(first, second, *_labels(prompts))


def disagreement(first: np.ndarray, second: np.ndarray, prompts: Sequence[Prompt]) -> Rate:
    """How far the rates of two detectors on the same clips are apart."""
    return rates.disagreement(first, second, *_labels(prompts))


def mean(values: np.ndarray, prompts: Sequence[Prompt]) -> Measure:
    """Mean of a number per clip, `[clips]`, with its interval over prompts and seeds; NaN where there are no clips."""
    if not len(values):
        return Measure(float("nan"), float("nan"), float("nan"))
    return Measure(*(float(end) for end in intervals.mean(values, Levels.of(*_labels(prompts)))))


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
