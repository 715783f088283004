"""How far a frame's colours and lines are from those of good pictures of any kind; no network is asked.

It stands in for a learned aesthetic score, which needs people's votes on photographs, and does not carry its name. In a
world with a handful of styles, what its pictures should look like is known: their palette, their contrast, how much
line there is. A picture in no known style is far from all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np

_SHRINKAGE = 0.05


def palette_and_line(frame: np.ndarray) -> np.ndarray:
    """12 statistics of a uint8 frame `[H, W, 3]`.

    Mean and spread of lightness and of both colour axes (CIELAB), colourfulness (Hasler and Süsstrunk 2003), mean and
    spread of saturation, and how steep the picture is: mean, spread and upper tenth of its gradient, as logarithms.
    """
    lab = cv2.cvtColor(frame, cv2.COLOR_RGB2LAB).astype(np.float32).reshape(-1, 3)
    red, green, blue = (frame[..., i].astype(np.float32) for i in range(3))
    first, second = red - green, (red + green) / 2 - blue
    colourful = np.hypot(first.std(), second.std()) + 0.3 * np.hypot(first.mean(), second.mean())
    chroma = np.hypot(lab[:, 1] - 128, lab[:, 2] - 128)
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    steep = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    lines = np.log1p([steep.mean(), steep.std(), np.quantile(steep, 0.9)])
    return np.asarray([*lab.mean(0), *lab.std(0), colourful, chroma.mean(), chroma.std(), *lines])


@dataclass(frozen=True)
class Look:
    """What good pictures of each kind (a style, say) have in common: a Gaussian over their statistics."""

    means: np.ndarray
    """`[kinds, 12]`"""
    inverses: np.ndarray
    """Inverse covariances, each drawn a little towards its diagonal, `[kinds, 12, 12]`."""

    @classmethod
    def of(cls, frames: Mapping[str, np.ndarray]) -> Look:
        """Learn from good frames of every kind, each uint8 `[n, H, W, 3]` with `n` well above 12."""
        found = [np.stack([palette_and_line(frame) for frame in shown]) for shown in frames.values()]
        spreads = [np.cov(statistics.T) for statistics in found]
        inverses = [np.linalg.pinv(spread + _SHRINKAGE * np.diag(np.diag(spread))) for spread in spreads]
        return cls(np.stack([statistics.mean(0) for statistics in found]), np.stack(inverses))

    def distance(self, clips: np.ndarray) -> np.ndarray:
        """Mean distance of a clip's frames from the kind they are nearest to, `[clips]`; lower is better.

        `clips` are uint8 `[clips, frames, H, W, 3]`. Blur, noise and washed-out colours raise it. It says nothing of
        what is shown, nor whether the style is the one that was asked for.
        """
        found = np.stack([[palette_and_line(frame) for frame in clip] for clip in clips])
        away = found[:, :, None] - self.means
        squared = np.einsum("cfsi,sij,cfsj->cfs", away, self.inverses, away)
        return np.sqrt(np.maximum(squared, 0)).min(axis=2).mean(axis=1)
