"""95 % intervals for numbers that come from clips: shares, differences, ratios, means, and a paired test.

Clips of one prompt resemble each other, and so may clips of one noise seed, so a clip is not an observation of its own.
Every interval here is a formula; nothing is resampled. `docs/statistics.md` says how they are built, and
`benchmarks/coverage.py` counts how often they cover.

All functions take values `[..., clips]` and work on the last axis; what stands before it is calculated side by side.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import special

CONFIDENCE = 0.95
PRIOR_CLUSTERS = 0.03
"""What the belief that clips of one prompt are all alike weighs, in prompts that show the concept."""
SEED_CORRELATION = 0.05
"""How alike clips of one noise seed but different prompts are held to be before there is anything to tell."""
ENUMERATED = 12
"""Up to so many prompts with a difference the test goes through all signs; beyond, Student's t is as good."""

Labels = Sequence[Any] | np.ndarray
"""One for each clip; equal ones belong together."""

_TAIL = (1 - CONFIDENCE) / 2
_NORMAL = float(special.ndtri(1 - _TAIL))
_TINY = 1e-12


class Ends(NamedTuple):
    """An estimate with both ends of its interval, each `[...]`."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Clusters:
    """Which clips belong together; `Clusters.of` makes it from labels of any kind."""

    order: np.ndarray
    """Clips, those of one cluster beside each other, int `[clips]`."""
    starts: np.ndarray
    """Where in `order` each cluster starts, int `[clusters]`."""

    @classmethod
    def of(cls, labels: Iterable[Hashable]) -> Clusters:
        """One cluster for each different label."""
        numbers: dict[Hashable, int] = {}
        index = np.fromiter((numbers.setdefault(label, len(numbers)) for label in labels), int)
        order = np.argsort(index, kind="stable")
        return cls(order, np.flatnonzero(np.diff(index[order], prepend=-1)))

    def __len__(self) -> int:
        return len(self.starts)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum over each cluster: `[..., clips]` → `[..., clusters]`."""
        return np.add.reduceat(values[..., self.order], self.starts, axis=-1)


@dataclass(frozen=True)
class Levels:
    """The levels that clips come from: prompts, and noise seeds where these recur across prompts."""

    prompts: Clusters
    seeds: Clusters | None = None
    """None where no seed is shared by prompts: then it adds no variation of its own."""

    @classmethod
    def of(cls, prompts: Labels, seeds: Labels | None = None) -> Levels:
        """From a prompt and a seed for each clip.

        Raises:
            ValueError: not one seed for each prompt, or no clip at all.
        """
        if not len(prompts):
            raise ValueError("expected at least one clip, but got none; an interval needs clips")
        names = prompts.tolist() if isinstance(prompts, np.ndarray) else list(prompts)
        if seeds is None:
            return cls(Clusters.of(names))
        noise = seeds.tolist() if isinstance(seeds, np.ndarray) else list(seeds)
        if len(noise) != len(names):
            raise ValueError(
                f"expected one seed for each of {len(names)} clips, but got {len(noise)}; pass one per clip"
            )
        by_prompt, by_seed = Clusters.of(names), Clusters.of(noise)
        pairs = len(set(zip(names, noise, strict=True)))
        if pairs == len(by_prompt):  # each prompt has a single seed: the coarser of the two is the cluster
            return cls(by_seed)
        return cls(by_prompt, None if pairs == len(by_seed) else by_seed)


def share(values: np.ndarray, levels: Levels, weights: np.ndarray | None = None) -> Ends:
    """Mean of values in [0, 1], `[..., clips]`, weighted if `weights` `[..., clips]` are given.

    The mean counts as that of `n` independent clips that show the concept or do not, and its interval is a beta
    interval halfway between Clopper-Pearson's and Jeffreys's. `n` is p (1 − p) over the clustered variance of the mean,
    multiplied by (z / t)², as Korn and Graubard (1998) have it for surveys, with three changes. It is never
    less than the (effective) number of prompts: clips of one prompt cannot be more alike than all the same. The
    variance is shrunk towards this limit by `PRIOR_CLUSTERS`, so that it never collapses, and is the limit where every
    clip says the same. And t has no more degrees of freedom than there is information (8 p (1 − p) times the prompts).
    Where seeds recur, the variance that they add is added (Cameron, Gelbach and Miller 2011).
    """
    values = np.asarray(values, np.float64)
    weights = np.ones_like(values) if weights is None else np.asarray(weights, np.float64)
    total = weights.sum(-1)
    safe = np.maximum(total, _TINY)
    value = np.clip((weights * values).sum(-1) / safe, 0.0, 1.0)
    spread = value * (1 - value)
    residuals = weights * (values - value[..., None])
    worst = _squares(levels.prompts.sums(weights)) / safe**2
    prompts = 1 / np.maximum(worst, _TINY)  # as many prompts of equal weight
    factor = _clustered(residuals, levels.prompts, worst, safe) * prompts
    factor = (factor + PRIOR_CLUSTERS * worst) / (spread * prompts + PRIOR_CLUSTERS)
    freedom = np.maximum(1.0, np.minimum(len(levels.prompts) - 1, 8 * spread * prompts))
    factor = np.minimum(factor * (special.stdtrit(freedom, 1 - _TAIL) / _NORMAL) ** 2, worst)
    if levels.seeds is not None:
        factor = factor + _added_by_seeds(weights, residuals, spread, levels.seeds, safe)
    count = 1 / np.maximum(factor, _TINY)
    low, high = beta_ends(value * count, count)
    known = total > _TINY  # without any weight nothing is known
    return Ends(
        np.where(known, value, np.nan), np.where(known, np.minimum(low, value), 0.0),
        np.where(known, np.maximum(high, value), 1.0),
    )  # fmt: skip


def _added_by_seeds(
    weights: np.ndarray, residuals: np.ndarray, spread: np.ndarray, seeds: Clusters, total: np.ndarray
) -> np.ndarray:
    """What clips of one seed add to the variance of a mean, over p (1 − p), shrunk towards `SEED_CORRELATION`."""
    by_seed, alone = _squares(seeds.sums(weights)) / total**2, _squares(weights) / total**2
    limit = np.maximum(0.0, by_seed - alone)  # reached if clips of one seed were all the same
    added = _clustered(residuals, seeds, by_seed, total) - _clustered(residuals, None, alone, total)
    count = 1 / np.maximum(by_seed, _TINY)
    inflated = (special.stdtrit(max(1, len(seeds) - 1), 1 - _TAIL) / _NORMAL) ** 2
    shrunk = (np.maximum(0.0, added) * count * inflated + SEED_CORRELATION * limit) / (spread * count + 1)
    return np.minimum(shrunk, limit)


def beta_ends(successes: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Interval of a binomial rate, for counts that need not be whole.

    Clopper-Pearson's beta quantiles with a quarter added to and taken from their parameters, which is halfway to
    Jeffreys's: close to the mid-P interval, and continuous at 0 and at `count`.
    """
    failures = count - successes
    low = special.betaincinv(successes + 0.25, failures + 0.75, _TAIL)
    high = special.betaincinv(successes + 0.75, failures + 0.25, 1 - _TAIL)
    return np.where(successes < 1e-9, 0.0, low), np.where(failures < 1e-9, 1.0, high)


def kept_share(after: np.ndarray, before: np.ndarray, levels: Levels) -> Ends:
    """Mean `after` over mean `before` for paired clips, values in [0, 1]; NaN where nothing was there before.

    Where less than half is kept it is a ratio as any other (`excess_ratio`). Else it is 1 − lost + gained / b, where b
    is the mean before, `lost` the share of what was there that is gone and `gained` the share of all frames that show
    it anew. Each of the three has the interval of `share`, and they are put together by the distances from their ends
    (MOVER, Donner and Zou 2012): all of 24 clips kept is no [100, 100].
    """
    after, before = np.asarray(after, np.float64), np.asarray(before, np.float64)
    loss, gain, one = np.maximum(before - after, 0), np.maximum(after - before, 0), np.ones_like(before)
    both = share(np.stack([_over(loss, before), gain, before]), levels, np.stack([before, one, one]))
    lost, gained, shown = (Ends(*(end[i] for end in both)) for i in range(3))
    safe = np.maximum(shown.value, _TINY)
    value = after.mean(-1) / safe
    parts = (
        (-np.ones_like(safe), lost, loss - lost.value[..., None] * before),
        (1 / safe, gained, gain - gained.value[..., None]),
        (-gained.value / safe**2, shown, before - shown.value[..., None]),
    )
    ends = _combined(value, parts, levels)
    low, high, half = np.maximum(0.0, ends.low), ends.high, value < 0.5
    if half.any():
        less = excess_ratio(after, before, levels)
        low, high = np.where(half, less.low, low), np.where(half, less.high, high)
    known = shown.value > _TINY
    return Ends(*(np.where(known, end, np.nan) for end in (value, low, high)))


def difference(first: np.ndarray, second: np.ndarray, levels: Levels) -> Ends:
    """Mean of `first` less that of `second` for paired clips, values in [0, 1].

    It is how much `first` has more, less how much `second` has more; both are shares with the interval of `share`, so
    that pairs without any difference leave an interval around 0 and no point.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    more, less = np.maximum(first - second, 0), np.maximum(second - first, 0)
    both = share(np.stack([more, less]), levels)
    above, below = (Ends(*(end[i] for end in both)) for i in range(2))
    one = np.ones_like(above.value)
    parts = (
        (one, above, more - above.value[..., None]),
        (-one, below, less - below.value[..., None]),
    )
    return _combined(above.value - below.value, parts, levels)


def excess_ratio(first: np.ndarray, second: np.ndarray, levels: Levels, *, floor: float = 0.0) -> Ends:
    """(Mean of `first` − `floor`) over (mean of `second` − `floor`) for paired clips, values in [0, 1].

    Donner and Zou's (2012) interval for a ratio from the intervals of `share`, with the correlation of both over
    prompts. The floor is taken as known. The upper end is infinite where the second mean may not exceed the floor, and
    the lower end 0 where the first may not; the value is NaN where the second mean does not exceed the floor.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    top, bottom = share(first, levels), share(second, levels)
    r = _correlation(first - top.value[..., None], second - bottom.value[..., None], levels)
    a, l1, u1 = (np.maximum(0.0, end - floor) for end in top)
    b, l2, u2 = (np.maximum(0.0, end - floor) for end in bottom)

    def end(near: np.ndarray, far: np.ndarray, sign: float) -> np.ndarray:
        # root of (a − ρ b)² = (a − near)² + 2 r ρ (a − near) (b − far) + ρ² (b − far)²; one distance is negative
        middle = a * b + r * (a - near) * (b - far)
        under = np.maximum(0.0, middle**2 - near * far * (2 * a - near) * (2 * b - far))
        below = far * (2 * b - far)
        return np.where(below > _TINY, (middle + sign * np.sqrt(under)) / np.where(below > _TINY, below, 1), np.nan)

    low, high = end(l1, u2, -1.0), end(u1, l2, 1.0)
    # with 2b < u2 the lower root lies on the other branch: the ratio cannot be told from 0
    low = np.where((l1 <= 0) | ~(low >= 0), 0.0, low)
    high = np.where((l2 <= _TINY) | ~(high >= 0), np.inf, high)
    value = np.where(b > _TINY, a / np.maximum(b, _TINY), np.nan)
    return Ends(value, np.fmin(low, value), np.fmax(high, value))


def mean(values: np.ndarray, levels: Levels, weights: np.ndarray | None = None) -> Ends:
    """Mean of numbers without limits, such as distances, `[..., clips]`: Student's t on the clustered variance.

    A single prompt tells nothing about how prompts differ: both ends are NaN then.
    """
    values = np.asarray(values, np.float64)
    weights = np.ones_like(values) if weights is None else np.asarray(weights, np.float64)
    total = weights.sum(-1)
    value = (weights * values).sum(-1) / total
    residuals = weights * (values - value[..., None])
    alike = _squares(levels.prompts.sums(weights)) / total**2
    variance, freedom = _clustered(residuals, levels.prompts, alike, total), len(levels.prompts) - 1
    if levels.seeds is not None:
        by_seed = _clustered(residuals, levels.seeds, _squares(levels.seeds.sums(weights)) / total**2, total)
        alone = _clustered(residuals, None, _squares(weights) / total**2, total)
        variance, freedom = variance + np.maximum(0.0, by_seed - alone), min(freedom, len(levels.seeds) - 1)
    if freedom < 1:
        return Ends(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    half = special.stdtrit(freedom, 1 - _TAIL) * np.sqrt(variance)
    return Ends(value, value - half, value + half)


def paired_p_value(first: np.ndarray, second: np.ndarray, levels: Levels) -> float:
    """Two-sided p of no difference between two methods on the same prompts and seeds, values `[clips]`.

    If neither method is better, the sum of each prompt's differences is as likely with the other sign. Up to
    `ENUMERATED` prompts with a difference all signs are tried, beyond them it is Student's t over prompts. 1 where no
    prompt differs.
    """
    sums = levels.prompts.sums(np.asarray(first, np.float64) - np.asarray(second, np.float64))
    told = sums[np.abs(sums) > 1e-9]
    if not len(told):
        return 1.0
    if len(told) <= ENUMERATED:
        signs = 1 - 2 * (np.arange(2 ** len(told))[:, None] >> np.arange(len(told)) & 1)
        return float((np.abs(signs @ told) >= abs(told.sum()) - 1e-9).mean())
    count = len(sums)
    error = np.sqrt(max(float(((sums - sums.mean()) ** 2).sum()) * count / (count - 1), _TINY))
    return float(2 * special.stdtr(count - 1, -abs(float(sums.sum())) / error))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) adjusted p-values, in the order given: with all of a family below 5 % the chance of any false
    one is at most 5 %."""
    order = np.argsort(p_values)
    steps = np.asarray(p_values, np.float64)[order] * np.arange(len(order), 0, -1)
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return [float(p) for p in adjusted]


def _squares(values: np.ndarray) -> np.ndarray:
    return np.einsum("...i,...i->...", values, values)


def _over(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > _TINY)


def _clustered(residuals: np.ndarray, clusters: Clusters | None, alike: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Variance of a weighted mean from its residuals' sums over clusters (None: over clips); `alike` is the sum of
    the clusters' squared shares of the weight, 1 / G for G equal clusters, and corrects for few of them."""
    sums = residuals if clusters is None else clusters.sums(residuals)
    return np.where(alike < 1 - 1e-9, _squares(sums) / total**2 / np.maximum(1 - alike, _TINY), 0.0)


def _correlation(one: np.ndarray, other: np.ndarray, levels: Levels) -> np.ndarray:
    a, b = levels.prompts.sums(one), levels.prompts.sums(other)
    size = np.sqrt(_squares(a) * _squares(b))
    product = np.einsum("...i,...i->...", a, b)
    return np.divide(product, size, out=np.zeros_like(product), where=size > _TINY)


def _combined(value: np.ndarray, parts: Sequence[tuple[np.ndarray, Ends, np.ndarray]], levels: Levels) -> Ends:
    """Ends of a sum of parts, each its slope, its own ends, and the clips' residuals around it."""
    slopes = np.stack([slope for slope, _, _ in parts])
    below = np.stack([ends.value - ends.low for _, ends, _ in parts])
    above = np.stack([ends.high - ends.value for _, ends, _ in parts])
    sums = levels.prompts.sums(np.stack([residuals for _, _, residuals in parts]))
    product = np.einsum("i...g,j...g->ij...", sums, sums)
    size = np.sqrt(np.einsum("ii...->i...", product))
    size = size[:, None] * size[None]
    alike = np.divide(product, size, out=np.zeros_like(product), where=size > _TINY)
    for i in range(len(parts)):
        alike[i, i] = 1.0
    low, high = (
        np.sqrt(np.maximum(0.0, np.einsum("i...,ij...,j...->...", distance, alike, distance)))
        for distance in (
            slopes * np.where(slopes > 0, below, above),
            slopes * np.where(slopes > 0, above, below),
        )
    )
    return Ends(value, value - low, value + high)
