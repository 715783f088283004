"""Detectors: frames in, one probability for each class and frame out. Nothing here knows of prompts or pipelines."""

from __future__ import annotations

from unseen.detectors.base import Detector, DetectorCard

__all__ = ["Detector", "DetectorCard"]
