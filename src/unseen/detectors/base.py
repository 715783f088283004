"""What a detector is, and what is recorded of it beside every number that it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from unseen.errors import DetectorError, FramesError


@dataclass(frozen=True)
class DetectorCard:
    """Which detector a number comes from, and how far it can be trusted."""

    name: str
    version: str
    """Of the weights: a package with its version, or a digest."""
    classes: tuple[str, ...]
    thresholds: Mapping[str, float]
    """A frame shows a class where its probability is at least this."""
    licence: str
    floor: Mapping[str, float] = field(default_factory=dict)
    """Share of clean frames in which the class is found all the same; empty where nobody has measured it."""
    source: str = ""
    """Where the floor was measured: which images, how many."""


@runtime_checkable
class Detector(Protocol):
    """Called with the frames of one video, it gives one probability for each frame and class."""

    @property
    def card(self) -> DetectorCard:
        """What is recorded beside the numbers."""
        ...

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Probabilities, float32 `[T, len(card.classes)]`, for frames uint8 `[T, H, W, 3]`, RGB.

        NaN where the class is undefined in a frame, as the identity of a face where there is none.

        Raises:
            FramesError: `frames` has another shape or type.
        """
        ...


@dataclass(frozen=True)
class FrameDetector:
    """A `Detector` made of its card and of a function that reads a few frames at a time."""

    card: DetectorCard
    read: Callable[[np.ndarray], np.ndarray]
    """From uint8 `[n, H, W, 3]` to `[n, classes]` or, for a single class, `[n]`; bool counts as 0 and 1."""
    batch_size: int = 16
    """Most frames that `read` gets at once, so that memory does not grow with the length of a video."""

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """As `Detector`; raises `DetectorError` if `read` answers with anything but probabilities."""
        check_frames(frames)
        parts = [np.zeros((0, len(self.card.classes)), np.float32)]
        for start in range(0, len(frames), self.batch_size):
            batch = frames[start : start + self.batch_size]
            parts.append(self._checked(np.asarray(self.read(batch)), len(batch)))
        return np.concatenate(parts)

    def _checked(self, answer: np.ndarray, frames: int) -> np.ndarray:
        expected = (frames, len(self.card.classes))
        if answer.shape == expected[:1] and expected[1] == 1:
            answer = answer[:, None]
        numeric = answer.dtype == bool or np.issubdtype(answer.dtype, np.floating)
        if answer.shape != expected or not numeric or not (np.isnan(answer) | ((answer >= 0) & (answer <= 1))).all():
            raise DetectorError(
                f"detector {self.card.name!r} must answer {frames} frames with bool or probabilities in [0, 1] of shape"
                f" {list(expected)}, and answered with {answer.dtype} of shape {list(answer.shape)}"
                f"{_span(answer) if numeric else ''}; mend the function behind it."
            )
        return answer.astype(np.float32)


def _span(answer: np.ndarray) -> str:
    return f" between {np.nanmin(answer):g} and {np.nanmax(answer):g}" if answer.size else ""


def check_frames(frames: np.ndarray) -> None:
    """Refuse what is not the frames of one video, uint8 `[T, H, W, 3]`.

    Raises:
        FramesError: another shape or type.
    """
    if not isinstance(frames, np.ndarray):
        raise FramesError(f"expected frames as a numpy array, uint8 [T, H, W, 3], got a {type(frames).__name__}.")
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape[1:]:
        hint = " Frames in [0, 1] become uint8 by (255 * frames).round()." if frames.dtype.kind == "f" else ""
        raise FramesError(f"expected frames uint8 [T, H, W, 3], got {frames.dtype} {list(frames.shape)}.{hint}")


def shown(detector: Detector, frames: np.ndarray) -> np.ndarray:
    """Whether each frame shows each class at the card's thresholds, bool `[T, classes]`; undefined counts as not."""
    limits = np.asarray([detector.card.thresholds[name] for name in detector.card.classes], np.float32)
    return np.asarray(detector(frames) >= limits)
