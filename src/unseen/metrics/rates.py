"""Rates over generated clips, with intervals that know which clips belong together.

All frames of a clip share their fate, clips of one prompt resemble each other, and so do clips of one seed. Intervals
come from a bootstrap that draws prompts and seeds with replacement and always takes clips whole; a clip counts as often
as its prompt was drawn times its seed was drawn (Owen 2007, "The pigeonhole bootstrap"; mildly conservative).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

CONFIDENCE = 0.95
DRAWS = 2000


@dataclass(frozen=True)
class Rate:
    """A share, or a ratio of shares, with all that is needed to judge it."""

    value: float
    low: float
    """Lower end of the 95 % interval."""
    high: float
    clips: int
    frames: int
    """Frames looked at, over all clips."""
    floor: float | None = None
    """How often the detector claims the concept on clean renders without it."""
    unit: str = "frames"
    """What is counted: "frames", "videos", or "ratio" of two rates."""

    def __str__(self) -> str:
        floor = "" if self.floor is None else f", detector floor {100 * self.floor:.2f} %"
        what = f"{self.clips} clips, {self.frames} frames"
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}] of {self.unit} ({what}{floor})"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def _labels(name: str, labels: Sequence[Any] | np.ndarray, clips: int) -> np.ndarray:
    """Consecutive integers for labels of any kind."""
    found = np.unique(np.asarray(labels), return_inverse=True)[1].reshape(-1)
    if len(found) != clips:
        raise ValueError(f"expected one {name} for each of {clips} clips, but got {len(found)}; pass one per clip")
    return found


def _nested(inner: np.ndarray, outer: np.ndarray) -> bool:
    """Whether clips with one `inner` label always have the same `outer` label."""
    return len(np.unique(np.stack([inner, outer]), axis=1).T) == inner.max() + 1


def bootstrap_weights(
    prompts: Sequence[Any] | np.ndarray,
    seeds: Sequence[Any] | np.ndarray,
    *,
    draws: int = DRAWS,
    random_seed: int = 0,
) -> np.ndarray:
    """How often each clip counts in each resampling, `[draws, clips]`, from a prompt and a seed label per clip.

    Where every seed belongs to a single prompt (or the other way round) only the coarser of the two is drawn: the
    other adds nothing new, and drawing both would count the same variation twice.
    """
    prompt, seed = _labels("prompt", prompts, len(prompts)), _labels("seed", seeds, len(prompts))
    if not len(prompt):
        raise ValueError("expected at least one clip, but got none; a rate needs clips")
    rng = np.random.default_rng(random_seed)
    weights = np.ones((draws, len(prompt)))
    use_prompts = not _nested(prompt, seed) or _nested(seed, prompt)
    use_seeds = not _nested(seed, prompt)
    for use, label in ((use_prompts, prompt), (use_seeds, seed)):
        if use:
            groups = int(label.max()) + 1
            weights *= rng.multinomial(groups, np.full(groups, 1 / groups), size=draws)[:, label]
    return weights


def _clip_values(hits: np.ndarray, unit: str, at_least: float) -> np.ndarray:
    """Per clip the share of its frames, or whether the video counts."""
    array = np.asarray(hits, np.float64)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"expected hits as a non-empty array [clips, frames], but got shape {list(np.shape(hits))}")
    share = array.mean(1)
    if unit == "frames":
        return share
    if unit == "videos":
        return ((share > 0) & (share >= at_least)).astype(np.float64)
    raise ValueError(f'expected unit "frames" or "videos", but got {unit!r}')


def _interval(samples: np.ndarray) -> tuple[float, float]:
    usable = samples[np.isfinite(samples)]
    if not len(usable):
        return float("nan"), float("nan")
    tail = (1 - CONFIDENCE) / 2
    return float(np.quantile(usable, tail)), float(np.quantile(usable, 1 - tail))


def _weighted(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = weights.sum(1)
    return np.divide(weights @ values, total, out=np.full(len(weights), np.nan), where=total > 0)


def rate(
    hits: np.ndarray,
    prompts: Sequence[Any] | np.ndarray,
    seeds: Sequence[Any] | np.ndarray,
    *,
    unit: str = "frames",
    at_least: float = 0.0,
    floor: float | None = None,
    draws: int = DRAWS,
    random_seed: int = 0,
) -> Rate:
    """The generative rate: the share of frames (or videos) that show the concept.

    `hits` is bool `[clips, frames]`, `prompts` and `seeds` name each clip's. With `unit="videos"` a video counts if any
    frame shows the concept, and at least the share `at_least` of them. If no clip (or every clip) counts, resampling
    cannot vary, and the open end is the exact binomial bound for as many independent clips.
    """
    values = _clip_values(hits, unit, at_least)
    weights = bootstrap_weights(_checked(prompts, values, "prompt"), seeds, draws=draws, random_seed=random_seed)
    low, high = _interval(_weighted(values, weights))
    value, bound = float(values.mean()), 1 - ((1 - CONFIDENCE) / 2) ** (1 / len(values))
    if value == 0:
        high = bound
    if value == 1:
        low = 1 - bound
    return Rate(value, low, high, len(values), int(np.size(hits)), floor, unit)


def ratio(
    after: np.ndarray,
    before: np.ndarray,
    prompts: Sequence[Any] | np.ndarray,
    seeds: Sequence[Any] | np.ndarray,
    *,
    unit: str = "frames",
    at_least: float = 0.0,
    floor: float | None = None,
    draws: int = DRAWS,
    random_seed: int = 0,
) -> Rate:
    """Rate `after` over rate `before` for paired clips: row i of both has the same prompt and seed.

    Both sides are resampled together, so what they share cancels. NaN where nothing counted before.
    """
    if np.shape(after) != np.shape(before):
        raise ValueError(
            f"expected paired clips of one shape, but got {list(np.shape(after))} after and {list(np.shape(before))} "
            "before; generate both with the same prompts and seeds"
        )
    late, early = _clip_values(after, unit, at_least), _clip_values(before, unit, at_least)
    weights = bootstrap_weights(_checked(prompts, early, "prompt"), seeds, draws=draws, random_seed=random_seed)
    top, bottom = _weighted(late, weights), _weighted(early, weights)
    low, high = _interval(np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0))
    value = float(late.mean() / early.mean()) if early.mean() > 0 else float("nan")
    return Rate(value, low, high, len(early), int(np.size(before)), floor, "ratio")


def _checked(labels: Sequence[Any] | np.ndarray, values: np.ndarray, name: str) -> Sequence[Any] | np.ndarray:
    if len(labels) != len(values):
        raise ValueError(
            f"expected one {name} for each of {len(values)} clips, but got {len(labels)}; pass one per clip"
        )
    return labels
