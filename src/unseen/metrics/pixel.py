"""How much two paired sets of clips differ, pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_GRID = 16
"""Candidates are looked up on frames averaged to 16 × 16 pixels; the distance itself is taken at full size."""
_CANDIDATES = 8


@dataclass(frozen=True)
class PixelDifference:
    """Clips with and without an eraser, same prompts and seeds, compared in 8-bit levels."""

    mean: float
    """Mean absolute difference over all pixels and channels, 0 to 255."""
    worst_clip: float
    """The largest mean difference of a single clip."""
    largest: int
    """The largest difference of any pixel."""
    identical: float
    """Share of clips that are the same bit by bit."""
    clips: int

    def __str__(self) -> str:
        return (
            f"{self.mean:.3f} of 255 levels on average (worst clip {self.worst_clip:.2f}, any pixel {self.largest}), "
            f"{100 * self.identical:.1f} % of {self.clips} clips identical"
        )


def per_clip(after: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Mean absolute difference of each pair of uint8 clips `[n, ...]`, in levels, `[n]`."""
    if after.shape != before.shape or after.dtype != np.uint8 or before.dtype != np.uint8 or not len(after):
        raise ValueError(
            f"expected two uint8 arrays of paired clips [n, frames, height, width, 3], but got {after.dtype} "
            f"{list(after.shape)} and {before.dtype} {list(before.shape)}"
        )
    return np.asarray([np.abs(a.astype(np.int16) - b).mean() for a, b in zip(after, before, strict=True)])


def pixel_difference(after: np.ndarray, before: np.ndarray) -> PixelDifference:
    """Compare uint8 clips `[n, frames, height, width, 3]` generated with the same prompts and seeds."""
    each = per_clip(after, before)
    largest = max(int(np.abs(a.astype(np.int16) - b).max()) for a, b in zip(after, before, strict=True))
    return PixelDifference(float(each.mean()), float(each.max()), largest, float((each == 0).mean()), len(each))


def nearest(clips: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Root mean square difference, in levels of 255, of each clip to its nearest reference, `[clips]`."""
    small, known = _small(clips), _small(references)
    squares = (small**2).sum(1)[:, None] - 2 * small @ known.T + (known**2).sum(1)[None]
    near = np.argsort(squares, axis=1)[:, :_CANDIDATES]
    return np.asarray(
        [
            min(float(np.sqrt(((clip.astype(np.float32) - references[k]) ** 2).mean())) for k in row)
            for clip, row in zip(clips, near, strict=True)
        ]
    )


def _small(clips: np.ndarray) -> np.ndarray:
    """Averaged frames as one vector per clip, float32 `[clips, features]`."""
    n, f, h, w, c = clips.shape
    cells = clips.reshape(n, f, _GRID, h // _GRID, _GRID, w // _GRID, c).mean((3, 5), dtype=np.float32)
    return cells.reshape(n, -1)
