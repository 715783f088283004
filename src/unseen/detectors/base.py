"""What a detector is, and what is recorded of it beside every number that it gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np


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

    card: DetectorCard

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Probabilities, float32 `[T, len(card.classes)]`, for frames uint8 `[T, H, W, 3]`, RGB.

        NaN where the class is undefined in a frame, as the identity of a face where there is none.

        Raises:
            FramesError: `frames` has another shape or type.
        """
        ...
