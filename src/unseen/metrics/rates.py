"""Rates over generated clips, with intervals that know which clips belong together.

All frames of a clip share their fate, clips of one prompt resemble each other, and so do clips of one seed. How the
intervals are built is in `unseen.metrics.intervals`; here clips' hits and labels go in, and what is printed comes out.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from unseen.metrics import intervals
from unseen.metrics.intervals import Ends, Labels, Levels


@dataclass(frozen=True)
class Rate:
    """A share, or a ratio or difference of shares, with all that is needed to judge it."""

    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    clips: int
    clusters: int
    """Prompts that the clips come from (or seeds, where each prompt has only one and seeds recur)."""
    frames: int
    """Frames looked at, over all clips."""
    floor: float | None = None
    """How often the detector claims the concept on clean renders without it."""
    unit: str = "frames"
    """What is counted: "frames", "videos", "prompts", "ratio" of two rates, or "difference" of two."""

    def __str__(self) -> str:
        floor = "" if self.floor is None else f", detector floor {100 * self.floor:.2f} %"
        what = f"{self.clips} clips of {self.clusters} prompts, {self.frames} frames"
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}] of {self.unit} ({what}{floor})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Paired:
    """How two methods differ on the same prompts and seeds."""

    difference: Rate
    """Of the first less the second."""
    p: float
    """Two-sided p of no difference; adjust it with `unseen.metrics.intervals.holm` where there are several."""


def rate(
    hits: np.ndarray,
    prompts: Labels,
    seeds: Labels,
    *,
    unit: str = "frames",
    at_least: float = 0.0,
    floor: float | None = None,
) -> Rate:
    """The generative rate: the share of frames (or videos) that show the concept.

    `hits` is bool `[clips, frames]`, `prompts` and `seeds` name each clip's. With `unit="videos"` a video counts if any
    frame shows the concept, and at least the share `at_least` of them.

    Raises:
        ValueError: no clips, or not one prompt and seed for each.
    """
    values = _clip_values(hits, unit, at_least)
    levels = _levels(values, prompts, seeds)
    return _rate(intervals.share(values, levels), levels, hits, floor, unit)


def ratio(
    after: np.ndarray,
    before: np.ndarray,
    prompts: Labels,
    seeds: Labels,
    *,
    unit: str = "frames",
    at_least: float = 0.0,
    floor: float | None = None,
) -> Rate:
    """Rate `after` over rate `before` for paired clips: row i of both has the same prompt and seed.

    What both sides share cancels. NaN where nothing counted before.
    """
    late, early, levels = _pair(after, before, prompts, seeds, unit, at_least)
    return _rate(intervals.kept_share(late, early, levels), levels, before, floor, "ratio")


def excess(first: np.ndarray, second: np.ndarray, prompts: Labels, seeds: Labels, *, floor: float = 0.0) -> Rate:
    """What `first` shows beyond the detector's `floor`, over what `second` shows beyond it, for paired clips.

    NaN where the second does not exceed the floor; the upper end is infinite where it may not.
    """
    one, other, levels = _pair(first, second, prompts, seeds)
    return _rate(intervals.excess_ratio(one, other, levels, floor=floor), levels, first, floor, "ratio")


def paired(first: np.ndarray, second: np.ndarray, prompts: Labels, seeds: Labels) -> Paired:
    """Rate `first` less rate `second` for paired clips, and whether that may be chance."""
    one, other, levels = _pair(first, second, prompts, seeds)
    ends = intervals.difference(one, other, levels)
    return Paired(_rate(ends, levels, first, None, "difference"), intervals.paired_p_value(one, other, levels))


def disagreement(first: np.ndarray, second: np.ndarray, prompts: Labels, seeds: Labels) -> Rate:
    """How far two rates of the same clips are apart, whichever is higher."""
    one, other, levels = _pair(first, second, prompts, seeds)
    value, low, high = (float(end) for end in intervals.difference(one, other, levels))
    ends = Ends(*map(np.asarray, (abs(value), max(0.0, low, -high), max(-low, high))))
    return _rate(ends, levels, first, None, "difference")


def _rate(ends: Ends, levels: Levels, hits: np.ndarray, floor: float | None, unit: str) -> Rate:
    value, low, high = (float(end) for end in ends)
    return Rate(value, low, high, len(hits), len(levels.prompts), int(np.size(hits)), floor, unit)


def _clip_values(hits: np.ndarray, unit: str, at_least: float) -> np.ndarray:
    """Per clip the share of its frames, or whether the video counts."""
    array = np.asarray(hits, np.float64)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"expected hits as a non-empty array [clips, frames], but got shape {list(np.shape(hits))}")
    share = array.mean(1)
    if unit in ("frames", "prompts"):
        return share
    if unit == "videos":
        return ((share > 0) & (share >= at_least)).astype(np.float64)
    raise ValueError(f'expected unit "frames", "videos" or "prompts", but got {unit!r}')


def _pair(
    first: np.ndarray, second: np.ndarray, prompts: Labels, seeds: Labels, unit: str = "frames", at_least: float = 0.0
) -> tuple[np.ndarray, np.ndarray, Levels]:
    if np.shape(first) != np.shape(second):
        raise ValueError(
            f"expected paired clips of one shape, but got {list(np.shape(first))} and {list(np.shape(second))}; "
            "generate both with the same prompts and seeds"
        )
    one, other = _clip_values(first, unit, at_least), _clip_values(second, unit, at_least)
    return one, other, _levels(one, prompts, seeds)


def _levels(values: np.ndarray, prompts: Labels, seeds: Labels) -> Levels:
    if len(prompts) != len(values):
        raise ValueError(
            f"expected one prompt for each of {len(values)} clips, but got {len(prompts)}; pass one per clip"
        )
    return Levels.of(prompts, seeds)
