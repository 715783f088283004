"""Diorama's two detectors behind the protocol of `unseen.detectors`, as "diorama-a" and "diorama-b"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from unseen.detectors import DetectorCard, FrameDetector
from unseen.diorama.detector.detector import Detector, load_detector
from unseen.diorama.detector.readings import nameable
from unseen.diorama.world.scenes import ATTRIBUTES, BACKGROUNDS, SIZE, STYLES
from unseen.errors import FramesError

_EVEN = 0.5
"""From which share of one among exclusive classes (style, background, an empty scene) it is the one."""


def diorama_a() -> FrameDetector:
    """Detector "a": see `as_frame_detector`."""
    return as_frame_detector(load_detector("a"))


def diorama_b() -> FrameDetector:
    """Detector "b", which shares neither network nor training frames with "a"."""
    return as_frame_detector(load_detector("b"))


def as_frame_detector(detector: Detector) -> FrameDetector:
    """All that a detector of Diorama reads, one class for each subject, attribute, style and background, "none" for an
    empty scene and "face" for anybody.

    Thresholds and floors are those of its own card; a frame shows what `Detector.shows` says. Of a frame that it cannot
    make out, no subject or attribute is claimed: their probability is 0 there. Frames must be 96 × 96.
    """
    limits = detector.thresholds
    thresholds = {
        **dict.fromkeys(detector.subjects, limits["subject"]),
        **dict.fromkeys(ATTRIBUTES, limits["attributes"]),
        **dict.fromkeys((*STYLES, *BACKGROUNDS, "none"), _EVEN),
        "face": limits["face"],
    }

    def read(frames: np.ndarray) -> np.ndarray:
        if frames.shape[1:3] != (SIZE, SIZE):
            raise FramesError(f"expected Diorama's frames, {SIZE} × {SIZE}, got {list(frames.shape)}.")
        said = detector.probabilities(frames)
        named = nameable(said)[:, None]
        columns = [said["subject"] * named, said["attributes"] * named, said["style"], said["background"]]
        return np.concatenate([*columns, said["none"][:, None], said["face"][:, None]], axis=1)

    floors = {name: detector.floor(name) for name in thresholds if name != "none"}
    return FrameDetector(_card(detector.card, thresholds, floors), read, batch_size=256)


def _card(card: Mapping[str, Any], thresholds: Mapping[str, float], floors: Mapping[str, Any]) -> DetectorCard:
    return DetectorCard(
        card["name"],
        f"v{card['version']}",
        tuple(thresholds),
        thresholds,
        "Apache-2.0",
        {name: floor for name, floor in floors.items() if floor is not None},
        f"{card['measured']['frames']} clean renders with seed {card['measured']['seed']}",
    )
