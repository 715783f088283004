"""Fréchet distance between two sets of features, such as a detector's: how far two sets of videos lie apart.

Dowson and Landau 1982; on Inception features it is FID (Heusel et al. 2017), on I3D's FVD. On any other features it has
no such name: report it with that of the detector, and with both numbers of samples, since it is biased upwards for few.
"""

from __future__ import annotations

import numpy as np


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁^½ Σ₂ Σ₁^½)^½) for features `[n, d]` and `[m, d]`, one row for each sample.

    Raises:
        ValueError: other shapes, fewer than two samples, or values that are not finite.
    """
    for features in (first, second):
        if np.ndim(features) != 2 or len(features) < 2 or not np.isfinite(features).all():
            raise ValueError(f"expected finite features [2 or more, d], got shape {np.shape(features)}; drop NaN rows")
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"expected features of one width, got {first.shape[1]} and {second.shape[1]}")
    away = first.mean(axis=0, dtype=np.float64) - second.mean(axis=0, dtype=np.float64)
    spread, other = (np.atleast_2d(np.cov(x.astype(np.float64), rowvar=False)) for x in (first, second))
    values, vectors = np.linalg.eigh(spread)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other @ root), 0)).sum()
    return max(0.0, float(away @ away + np.trace(spread) + np.trace(other) - 2 * shared))
