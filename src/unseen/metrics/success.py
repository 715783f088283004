"""ESR-k and PSR-k: whether a class is among the k that a classifier thinks most likely.

ESR-k, erasure success, is the share of frames of the concept's own prompts where it is *not*; PSR-k, preservation
success, the share of frames of other prompts where their own class *is*. With `unseen.metrics.rates.rate` both get
intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from unseen.metrics.rates import Rate, rate


def in_top_k(scores: np.ndarray, wanted: np.ndarray, k: int) -> np.ndarray:
    """Frames in which fewer than `k` classes score higher than the wanted one, bool `[clips, frames]`.

    `scores` are `[clips, frames, classes]`, `wanted` `[clips]` class indices. Of equal scores both count as reached.

    Raises:
        ValueError: shapes that do not fit, or a `k` that is no number of classes.
    """
    if scores.ndim != 3 or wanted.shape != scores.shape[:1]:
        raise ValueError(
            f"expected scores [clips, frames, classes] and wanted [clips], got {scores.shape}, {wanted.shape}"
        )
    if not 1 <= k < scores.shape[2]:
        raise ValueError(f"k must be at least 1 and below the {scores.shape[2]} classes, got {k}")
    own = np.take_along_axis(scores, wanted[:, None, None], axis=2)
    return (scores > own).sum(axis=2) < k


def erased(scores: np.ndarray, wanted: np.ndarray, k: int = 1) -> np.ndarray:
    """What ESR-k counts, bool `[clips, frames]`, on the concept's own prompts."""
    return ~in_top_k(scores, wanted, k)


def preserved(scores: np.ndarray, wanted: np.ndarray, k: int = 1) -> np.ndarray:
    """What PSR-k counts, bool `[clips, frames]`, on other prompts."""
    return in_top_k(scores, wanted, k)


def erasure_success(
    scores: np.ndarray, wanted: np.ndarray, prompts: Sequence[Any], seeds: Sequence[Any], k: int = 1
) -> Rate:
    """ESR-k with its interval, on the erased concept's own prompts; arguments as in `in_top_k`."""
    return rate(erased(scores, wanted, k), prompts, seeds)


def preservation_success(
    scores: np.ndarray, wanted: np.ndarray, prompts: Sequence[Any], seeds: Sequence[Any], k: int = 1
) -> Rate:
    """PSR-k with its interval, on other prompts than the erased concept's; arguments as in `in_top_k`."""
    return rate(preserved(scores, wanted, k), prompts, seeds)
