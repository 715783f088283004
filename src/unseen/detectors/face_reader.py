"""Whose face a frame shows: face-api's networks one after the other, on the surest face of each frame.

The weights are not on PyPI. Get them once (13 MB, MIT):

    npm pack @vladmandic/face-api@1.7.15 && tar xzf vladmandic-face-api-1.7.15.tgz

and pass `weights="package/model"`, or set UNSEEN_FACE_WEIGHTS to that folder.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unseen.detectors.base import check_frames
from unseen.detectors.face_networks import (
    FACE_SIDE,
    IDENTITY_SIDE,
    LANDMARK_SIDE,
    Weights,
    embed_faces,
    find_faces,
    find_landmarks,
)
from unseen.detectors.tfjs import read_tfjs
from unseen.errors import DetectorError

WEIGHTS = "UNSEEN_FACE_WEIGHTS"
_NETWORKS = ("tiny_face_detector", "face_landmark_68", "face_recognition")
_MARGIN = 0.2  # around the landmarks, as a share of their extent
_BATCH = 4  # full frames lie in memory as floats


@dataclass(frozen=True)
class FaceReader:
    """The surest face of each frame, and its embedding."""

    networks: tuple[Weights, Weights, Weights]
    version: str
    threshold: float
    """From which probability there is a face at all."""

    @torch.inference_mode()
    def read(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probability of a face `[T]` and its embedding `[T, 128]`, NaN where there is none; frames as `Detector`."""
        check_frames(frames)
        found, embeddings = np.zeros(len(frames), np.float32), np.full((len(frames), 128), np.nan, np.float32)
        height, width = frames.shape[1:3]
        side = max(height, width)
        for start in range(0, len(frames), _BATCH):
            batch = torch.from_numpy(frames[start : start + _BATCH].copy()).permute(0, 3, 1, 2).float()
            squares = F.pad(batch, [0, side - width, 0, side - height])
            sure, boxes = find_faces(self.networks[0], _resized(squares, FACE_SIDE))
            found[start : start + len(batch)] = sure.numpy()
            for row in torch.nonzero(sure >= self.threshold).flatten().tolist():
                face = self._aligned(batch[row], boxes[row] * side)
                embeddings[start + row] = embed_faces(self.networks[2], face).numpy()[0]
        return found, embeddings

    def _aligned(self, frame: Tensor, box: Tensor) -> Tensor:
        """The part of a frame `[3, H, W]` around the landmarks of the face in `box`, `[1, 3, 150, 150]`."""
        crop, left, top = _cut(frame, box)
        height, width = crop.shape[1:]
        points = find_landmarks(self.networks[1], _squared(crop, LANDMARK_SIDE))[0] * max(height, width)
        offset = torch.tensor([left - max(height - width, 0) / 2, top - max(width - height, 0) / 2])
        low, high = points.amin(0) + offset, points.amax(0) + offset
        margin = (high - low) * _MARGIN / 2
        return _squared(_cut(frame, torch.cat([low - margin, high + margin]))[0], IDENTITY_SIDE)


def _resized(images: Tensor, side: int) -> Tensor:
    return F.interpolate(images, (side, side), mode="bilinear", antialias=True)


def _squared(crop: Tensor, side: int) -> Tensor:
    """A crop `[3, h, w]` in the middle of a black square of `side`, `[1, 3, side, side]`."""
    height, width = crop.shape[1:]
    x, y = max(height - width, 0), max(width - height, 0)
    return _resized(F.pad(crop, [x // 2, x - x // 2, y // 2, y - y // 2])[None], side)


def _cut(frame: Tensor, box: Tensor) -> tuple[Tensor, int, int]:
    """What of a frame lies in `box`, with the box's left and top; at least one pixel."""
    height, width = frame.shape[1:]
    left, top = min(max(int(box[0]), 0), width - 1), min(max(int(box[1]), 0), height - 1)
    right, bottom = max(int(box[2]), left + 1), max(int(box[3]), top + 1)
    return frame[:, top:bottom, left:right], left, top


def face_reader(weights: str | Path | None = None, *, threshold: float = 0.5) -> FaceReader:
    """The networks, from the folder `weights` or the one that UNSEEN_FACE_WEIGHTS names.

    Raises:
        DetectorError: neither is given, or the folder lacks a network.
    """
    given = weights or os.environ.get(WEIGHTS)
    if not given:
        raise DetectorError(
            "the face detector needs face-api's weights, which are not on PyPI: run `npm pack"
            " @vladmandic/face-api@1.7.15`, unpack it, and pass weights='package/model' or set"
            f" {WEIGHTS} to that folder."
        )
    networks = [read_tfjs(Path(given) / f"{name}_model-weights_manifest.json") for name in _NETWORKS]
    digest = hashlib.sha256()
    for network in networks:
        for name in sorted(network):
            digest.update(name.encode() + network[name].numpy().tobytes())
    first, second, third = networks
    return FaceReader((first, second, third), f"face-api sha256:{digest.hexdigest()[:16]}", threshold)
