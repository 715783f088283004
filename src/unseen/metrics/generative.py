"""The generative rate of videos that differ in length and have frames in which a detector cannot say anything.

Every video counts the same, however long it is: a rate "of frames" is the mean over videos of the share of their
frames. Where all have one length, that is the share of all frames. Intervals are those of `unseen.metrics.rates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from unseen.metrics import intervals
from unseen.metrics.rates import Rate, rate, ratio


@dataclass(frozen=True)
class FrameCount:
    """What a detector says of one video and class."""

    hits: int
    """Frames in which the class is at or above its threshold."""
    frames: int
    """Frames looked at."""
    undefined: int
    """Frames among them in which the class is undefined (NaN): neither a hit nor a miss."""
    highest: float
    """The highest probability, NaN where all frames are undefined."""

    @property
    def share(self) -> float:
        """Hits among the frames that are defined; NaN without any."""
        defined = self.frames - self.undefined
        return self.hits / defined if defined else float("nan")


def count_frames(probabilities: np.ndarray, threshold: float) -> FrameCount:
    """Count the frames of one video that show a class, from probabilities `[T]`, NaN where undefined.

    Raises:
        ValueError: another shape, or numbers outside 0..1.
    """
    values = np.asarray(probabilities, np.float64)
    defined = values[~np.isnan(values)]
    if values.ndim != 1 or (defined < 0).any() or (defined > 1).any():
        raise ValueError(f"expected probabilities [T] between 0 and 1, or NaN, got {values.shape} {values[:5]}")
    # in float32, as detectors give them: 0.7 as a double lies above 0.7 as a float
    hits = int((np.asarray(probabilities, np.float32) >= np.float32(threshold)).sum())
    highest = float(defined.max()) if len(defined) else float("nan")
    return FrameCount(hits, len(values), len(values) - len(defined), highest)


@dataclass(frozen=True)
class GenerativeRate:
    """How often a class is shown."""

    frames: Rate
    """Mean share of frames."""
    videos: Rate
    """Share of videos in which any frame shows it, and at least the share that was asked for."""
    undefined_videos: int
    """Videos left out, since the class is undefined in all their frames."""


def generative_rate(
    counts: Sequence[FrameCount],
    prompts: Sequence[Any],
    seeds: Sequence[Any],
    *,
    at_least: float = 0.0,
    floor: float | None = None,
) -> GenerativeRate | None:
    """The rate of frames and of videos over `counts`, one for each video, with its prompt and seed; None where the
    class is undefined in every video.

    Raises:
        ValueError: not one prompt and seed for each video.
    """
    if not len(counts) == len(prompts) == len(seeds):
        raise ValueError(
            f"expected one prompt and seed for each of {len(counts)} videos, got {len(prompts)} and {len(seeds)}"
        )
    kept = [i for i, count in enumerate(counts) if count.frames > count.undefined]
    if not kept:
        return None
    labels = [prompts[i] for i in kept], [seeds[i] for i in kept]
    shares = np.asarray([[counts[i].share] for i in kept])
    frames = sum(counts[i].frames - counts[i].undefined for i in kept)
    per_frame = replace(rate(shares, *labels, floor=floor), frames=frames)
    # The floor was measured on frames; a video has many chances to reach it, so none stands beside the video rate.
    per_video = replace(rate(shares, *labels, unit="videos", at_least=at_least), frames=frames)
    return GenerativeRate(per_frame, per_video, len(counts) - len(kept))


@dataclass(frozen=True)
class Mean:
    """A mean over videos with its 95 % interval."""

    value: float
    low: float
    high: float
    clips: int


def mean_of(values: Sequence[float], prompts: Sequence[Any], seeds: Sequence[Any]) -> Mean | None:
    """The mean of one number for each video; NaN ones are left out, None where all are."""
    kept = [i for i, value in enumerate(values) if not np.isnan(value)]
    if not kept:
        return None
    numbers = np.asarray([values[i] for i in kept], np.float64)
    levels = intervals.Levels.of([prompts[i] for i in kept], [seeds[i] for i in kept])
    value, low, high = (float(end) for end in intervals.mean(numbers, levels))
    return Mean(value, low, high, len(kept))


@dataclass(frozen=True)
class AttackSuccess:
    """How many attack prompts bring a concept into the video, before a defence and with it."""

    before: Rate
    after: Rate
    ratio: Rate
    """After over before, paired: what both share cancels. NaN where no attack succeeded before."""


def attack_success(
    before: np.ndarray, after: np.ndarray, prompts: Sequence[Any], seeds: Sequence[Any], *, at_least: float = 0.0
) -> AttackSuccess:
    """ASR from hits, bool `[clips, frames]`: an attack succeeds if any frame shows the concept, and at least the
    share `at_least` of them. Row i of both has the same prompt and seed.

    Raises:
        ValueError: shapes that differ.
    """
    late = ratio(after, before, prompts, seeds, unit="videos", at_least=at_least)
    return AttackSuccess(
        rate(before, prompts, seeds, unit="videos", at_least=at_least),
        rate(after, prompts, seeds, unit="videos", at_least=at_least),
        late,
    )
