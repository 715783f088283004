"""How good clips look, without a reference: smoothness, motion, and how natural a frame is.

These stand in for VBench's columns where its networks cannot be had, and do not carry their names: `smoothness`
predicts frames by averaging neighbours instead of with AMT; `Naturalness` is NIQE (Mittal et al. 2013) with a model of
the pictures at hand instead of photographs.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import gamma

import cv2
import numpy as np

_SHAPES = np.arange(0.2, 10, 0.01)
_RATIOS = np.asarray([gamma(2 / s) ** 2 / (gamma(1 / s) * gamma(3 / s)) for s in _SHAPES])

_SHRINKAGE = 0.05


def smoothness(clips: np.ndarray) -> np.ndarray:
    """1 − mean error of every second frame as the average of its neighbours, `[clips]`.

    `clips` are uint8 `[clips, frames, H, W, 3]`. A frozen clip is perfectly smooth: read it beside `motion`.
    """
    frames = clips.astype(np.float32)
    inner = np.arange(1, frames.shape[1] - 1, 2)
    guess = (frames[:, inner - 1] + frames[:, inner + 1]) / 2
    return 1 - np.abs(guess - frames[:, inner]).mean(axis=(1, 2, 3, 4)) / 255


def motion(clips: np.ndarray) -> np.ndarray:
    """Mean length of the optical flow between neighbouring frames, in pixels, `[clips]` (Farnebäck 2003)."""
    found = []
    for clip in clips:
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in clip]
        flows = [
            cv2.calcOpticalFlowFarneback(a, b, np.zeros((*a.shape, 2), np.float32), 0.5, 3, 9, 3, 5, 1.1, 0)
            for a, b in itertools.pairwise(grey)
        ]
        found.append(float(np.mean([np.linalg.norm(flow, axis=-1).mean() for flow in flows])))
    return np.asarray(found)


def _contrast_normalised(luma: np.ndarray) -> np.ndarray:
    mean = cv2.GaussianBlur(luma, (7, 7), 7 / 6)
    deviation = np.sqrt(np.maximum(cv2.GaussianBlur(luma * luma, (7, 7), 7 / 6) - mean * mean, 0))
    return (luma - mean) / (deviation + 1)


def _asymmetric_gaussian(values: np.ndarray) -> tuple[float, float, float, float]:
    """Shape, mean, and spread to the left and to the right, by moments."""
    left, right = values[values < 0], values[values > 0]
    low = float(np.sqrt(np.mean(left**2))) if left.size else 1e-6
    high = float(np.sqrt(np.mean(right**2))) if right.size else 1e-6
    ratio = low / max(high, 1e-6)
    share = float(np.mean(np.abs(values)) ** 2 / max(np.mean(values**2), 1e-12))
    wanted = share * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shape = float(_SHAPES[np.argmin((_RATIOS - wanted) ** 2)])
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    mean = (high - low) * scale * gamma(2 / shape) / gamma(1 / shape)
    return shape, float(mean), low * scale, high * scale


def statistics(frame: np.ndarray) -> np.ndarray:
    """NIQE's 36 natural-scene statistics of a uint8 frame `[H, W, 3]`."""
    luma = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    found: list[float] = []
    for _ in range(2):
        values = _contrast_normalised(luma)
        shape, _, low, high = _asymmetric_gaussian(values)
        found += [shape, (low + high) / 2]
        for down, across in ((0, 1), (1, 0), (1, 1), (1, -1)):
            found += _asymmetric_gaussian(values * np.roll(values, (down, across), axis=(0, 1)))
        luma = cv2.resize(luma, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.asarray(found)


@dataclass(frozen=True)
class Naturalness:
    """The statistics that good pictures have, as a Gaussian."""

    mean: np.ndarray
    inverse: np.ndarray
    """Inverse of the covariance, which is drawn a little towards its diagonal: 36 statistics of few pictures."""

    @classmethod
    def of(cls, frames: np.ndarray) -> Naturalness:
        """Learn from good frames, uint8 `[n, H, W, 3]`, for instance renders."""
        found = np.stack([statistics(frame) for frame in frames])
        spread = np.cov(found.T)
        return cls(found.mean(axis=0), np.linalg.pinv(spread + _SHRINKAGE * np.diag(np.diag(spread))))

    def distance(self, clips: np.ndarray) -> np.ndarray:
        """Mean distance of a clip's frames from good pictures, `[clips]`; lower is better, blur and noise raise it."""
        found = np.stack([[statistics(frame) for frame in clip] for clip in clips]) - self.mean
        return np.sqrt(np.maximum(np.einsum("cfi,ij,cfj->cf", found, self.inverse, found), 0)).mean(axis=1)
