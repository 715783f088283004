"""How far individuals of a kind differ: a random generator that keeps them near the middle of what was drawn for.

A drawing asks its generator for proportions, poses, colours and optional parts. With all of them free, a church came in
sixteen builds and every animal in two directions, more than the first video model, of six million weights, learned.
This generator keeps one build and one direction, half the range of every proportion, and the colours.
"""

from __future__ import annotations

from typing import Any

import numpy as np

VARIETY = 0.5
"""Share of every range of proportions, angles and positions that is used, around its middle."""
SMALL_CHOICE = 3
"""Choices among this many or fewer are matters of build, such as the colour of a hub, and always fall the same way."""
MOST_COLORS = 4
"""Palettes with more entries are cut to this many; a target and its neighbour share them, so both lose the same."""


class CalmGenerator:
    """The part of `numpy.random.Generator` that drawings use."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def uniform(self, low: Any, high: Any, size: Any = None) -> Any:
        """A number near the middle between `low` and `high`; with `size` (spots, hairs) the whole range is used."""
        if size is not None:
            return self._rng.uniform(low, high, size)
        middle, half = (np.add(low, high)) / 2, np.subtract(high, low) / 2
        found = middle + VARIETY * half * self._rng.uniform(-1, 1, np.shape(middle))
        return found if np.ndim(found) else float(found)

    def random(self) -> float:
        """0.5: what is drawn in less than half of all cases never is, the rest always."""
        return 0.5

    def integers(self, low: int, high: int | None = None, size: Any = None) -> Any:
        """A count (with `high`) is the middle one; a choice among few is the first, among many a random one."""
        if size is not None:
            return self._rng.integers(low, high, size)
        if high is not None:
            return (low + high) // 2
        return 0 if low <= SMALL_CHOICE else int(self._rng.integers(min(low, MOST_COLORS)))

    def permutation(self, n: int) -> np.ndarray:
        """As numpy's."""
        return self._rng.permutation(n)
