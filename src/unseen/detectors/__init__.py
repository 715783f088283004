"""Detectors: frames in, one probability for each class and frame out. Nothing here knows of prompts or pipelines."""

from __future__ import annotations

from unseen.detectors.base import Detector, DetectorCard, FrameDetector, shown
from unseen.detectors.registry import available_detectors, from_callable, load_detector

__all__ = [
    "Detector",
    "DetectorCard",
    "FrameDetector",
    "available_detectors",
    "from_callable",
    "load_detector",
    "shown",
]
