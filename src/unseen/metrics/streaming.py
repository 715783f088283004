"""Measures of a whole video that need no network and never hold it: frames come in chunks, one number comes out.

`flicker` and `smoothness` see every frame. `motion` looks at evenly spaced pairs of neighbours, at most `MOST_PAIRS`,
scaled down to `FLOW_SIDE`, since optical flow costs far more than decoding. None of them is one of VBench's columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from unseen.metrics import quality

MOST_PAIRS = 16
FLOW_SIDE = 128


class Running(Protocol):
    """A measure of one video while its frames come in."""

    def add(self, frames: np.ndarray) -> None:
        """Take the next frames, uint8 `[n, H, W, 3]`."""
        ...

    def value(self) -> float:
        """The measure of all frames so far; NaN where too few came."""
        ...


@dataclass(frozen=True)
class VideoMetric:
    """A measure by its name, and how a new one for the next video is made."""

    name: str
    version: str
    """Raise it where the same frames now give another number."""
    start: Callable[[], Running]
    meaning: str


class Flicker:
    """Mean absolute difference between neighbouring frames / 255: 0 for a frozen video, and motion adds to it."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._sum, self._pairs = 0.0, 0

    def add(self, frames: np.ndarray) -> None:
        """Take the next frames, uint8 `[n, H, W, 3]`."""
        for frame in frames:
            if self._last is not None:
                self._sum += float(cv2.absdiff(frame, self._last).mean())
                self._pairs += 1
            self._last = frame
        if self._last is not None:
            self._last = self._last.copy()  # a view would keep the whole chunk alive

    def value(self) -> float:
        """0 to 1; NaN for fewer than two frames."""
        return self._sum / self._pairs / 255 if self._pairs else float("nan")


class Smoothness:
    """As `unseen.metrics.quality.smoothness`, frame by frame: 1 − mean error of every second frame as the average of
    its neighbours / 255."""

    def __init__(self) -> None:
        self._window: list[np.ndarray] = []
        self._sum, self._triples = 0.0, 0

    def add(self, frames: np.ndarray) -> None:
        """Take the next frames, uint8 `[n, H, W, 3]`."""
        for frame in frames:
            self._window.append(frame.copy())
            if len(self._window) == 3:
                before, middle, after = (each.astype(np.int16) for each in self._window)
                self._sum += 1 - float(cv2.absdiff(before + after, 2 * middle).mean()) / 2 / 255
                self._triples += 1
                del self._window[:2]

    def value(self) -> float:
        """0 to 1; NaN for fewer than three frames."""
        return self._sum / self._triples if self._triples else float("nan")


class Motion:
    """`unseen.metrics.quality.motion` in per cent of the longer side: mean optical flow between neighbouring frames."""

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._seen, self._stride = 0, 1
        self._pairs: list[np.ndarray] = []

    def add(self, frames: np.ndarray) -> None:
        """Take the next frames, uint8 `[n, H, W, 3]`."""
        for frame in frames:
            pair = self._seen - 1
            if self._last is not None and pair % self._stride == 0:
                self._pairs.append(np.stack([_small(self._last), _small(frame)]))
                if len(self._pairs) > MOST_PAIRS:  # every second one goes; those left are evenly spaced again
                    self._pairs, self._stride = self._pairs[::2], 2 * self._stride
            self._last = frame
            self._seen += 1
        if self._last is not None:
            self._last = self._last.copy()

    def value(self) -> float:
        """NaN for fewer than two frames."""
        if not self._pairs:
            return float("nan")
        flow = quality.motion(np.stack(self._pairs))
        return 100 * float(flow.mean()) / max(self._pairs[0].shape[1:3])


def _small(frame: np.ndarray) -> np.ndarray:
    """`frame` with its longer side at most `FLOW_SIDE`; Farnebäck's pyramid needs more than a few pixels."""
    height, width = frame.shape[:2]
    scale = min(1.0, FLOW_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return frame.copy() if scale == 1 else cv2.resize(frame, size, interpolation=cv2.INTER_AREA)


VIDEO_METRICS: Mapping[str, VideoMetric] = {
    metric.name: metric
    for metric in (
        VideoMetric("flicker", "1", Flicker, "mean absolute difference of neighbouring frames, 0 to 1"),
        VideoMetric("smoothness", "1", Smoothness, "1 − mean error of odd frames as the mean of their neighbours"),
        VideoMetric(
            "motion", "1", Motion,
            f"mean optical flow, % of the longer side a frame; at most {MOST_PAIRS} evenly spaced pairs of neighbours",
        ),
    )
}  # fmt: skip
"""What `unseen score --metric` knows."""
