"""A genuine detector of a kind that can be checked by eye: how much of a frame is red, and how much is blue."""

from __future__ import annotations

import os
import time

import numpy as np

from unseen.detectors import DetectorCard
from unseen.errors import FramesError


class Red:
    """The share of red and of blue pixels. One frame in black is undefined; frames below `smallest` are refused."""

    def __init__(self, threshold: float = 0.05, smallest: int = 1):
        self.card = DetectorCard(
            "red", "1", ("red", "blue"), {"red": threshold, "blue": 0.05}, "Apache-2.0", {"red": 0.01}
        )
        self.smallest = smallest
        self.chunks: list[int] = []

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Shares `[T, 2]`."""
        if min(frames.shape[1:3]) < self.smallest:
            raise FramesError(f"expected frames of {self.smallest} pixels or more, got {frames.shape[1:3]}")
        self.chunks.append(len(frames))
        levels = frames.astype(np.int16)
        red = (levels[..., 0] - levels[..., 1:].max(-1) > 60).mean((1, 2))
        blue = (levels[..., 2] - levels[..., :2].max(-1) > 60).mean((1, 2))
        found = np.stack([red, blue], axis=1).astype(np.float32)
        found[levels.max(axis=(1, 2, 3)) < 8] = np.nan
        return found


class Slow(Red):
    """As `Red`, but so slow that it can be killed on the way; SLOW holds the seconds of a call."""

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Shares `[T, 2]`."""
        time.sleep(float(os.environ.get("SLOW", "0")))
        return super().__call__(frames)


class Impatient(Red):
    """As `Red`, and somebody presses Ctrl-C at its fourth call."""

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Shares `[T, 2]`."""
        if len(self.chunks) == 3:
            raise KeyboardInterrupt
        return super().__call__(frames)
