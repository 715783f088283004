"""The three networks of face-api (MIT): where a face is, where its parts are, and whose it is.

They are a YOLO (Redmon and Farhadi 2017) of depthwise convolutions, a small dense network for 68 landmarks, and dlib's
residual network (King 2017), whose 128 numbers are at a distance under 0.6 for two pictures of one person.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

Weights = Mapping[str, Tensor]
FACE_SIDE, LANDMARK_SIDE, IDENTITY_SIDE = 416, 112, 150
"""Square inputs of the three."""
_FACE_MEAN = torch.tensor([117.001, 114.697, 97.404]).view(3, 1, 1)
_MEAN = torch.tensor([122.782, 117.001, 104.298]).view(3, 1, 1)
_ANCHORS = torch.tensor(
    [[1.603231, 2.094468], [6.041143, 7.080126], [2.882459, 3.518061], [4.266906, 5.178857], [9.041765, 10.66308]]
)
"""Width and height of the boxes that the first network starts from, in cells."""


def _same(x: Tensor, size: int, stride: int, value: float = 0.0) -> Tensor:
    """Pad as TensorFlow does, so that the output has `ceil(side / stride)` cells."""
    pads: list[int] = []
    for side in (x.shape[-1], x.shape[-2]):
        total = max((math.ceil(side / stride) - 1) * stride + size - side, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


def _pool(x: Tensor, stride: int) -> Tensor:
    return F.max_pool2d(_same(x, 2, stride, -math.inf), 2, stride)


def _conv(weights: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    return F.conv2d(x, weights[f"{name}/filters"].permute(3, 2, 0, 1), weights[f"{name}/bias"], stride)


def _separable(weights: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    depthwise = weights[f"{name}/depthwise_filter"].permute(2, 3, 0, 1)
    x = F.conv2d(_same(x, 3, stride), depthwise, None, stride, groups=len(depthwise))
    return F.conv2d(x, weights[f"{name}/pointwise_filter"].permute(3, 2, 0, 1), weights[f"{name}/bias"])


def find_faces(weights: Weights, squares: Tensor) -> tuple[Tensor, Tensor]:
    """The surest face of each image: its probability `[n]`, and its box `[n, 4]` (left, top, right, bottom).

    `squares` are `[n, 3, 416, 416]` in 0 to 255; boxes are in shares of the square.
    """
    x = _pool(F.leaky_relu(_conv(weights, "conv0", (squares - _FACE_MEAN) / 255), 0.1), 2)
    for layer in range(1, 6):
        x = _pool(F.leaky_relu(_separable(weights, f"conv{layer}", x), 0.1), 2 if layer < 5 else 1)
    out = _conv(weights, "conv8", x)
    count, cells = len(out), out.shape[-1]
    out = out.view(count, len(_ANCHORS), 5, cells, cells).permute(0, 3, 4, 1, 2).reshape(count, -1, 5)
    best = out[..., 4].argmax(1)
    chosen = out[torch.arange(count), best]
    anchor, column, row = (best % len(_ANCHORS), best // len(_ANCHORS) % cells, best // len(_ANCHORS) // cells)
    centre = (chosen[:, :2].sigmoid() + torch.stack([column, row], 1)) / cells
    half = chosen[:, 2:4].exp() * _ANCHORS[anchor] / cells / 2
    return chosen[:, 4].sigmoid(), torch.cat([centre - half, centre + half], 1)


def find_landmarks(weights: Weights, faces: Tensor) -> Tensor:
    """68 points of each face, `[n, 68, 2]` in shares of the square; `faces` are `[n, 3, 112, 112]` in 0 to 255."""
    x = (faces - _MEAN) / 255
    for block in range(4):
        name = f"dense{block}"
        first = _conv(weights, f"{name}/conv0", _same(x, 3, 2), 2) if block == 0 else None
        total = F.relu(_separable(weights, f"{name}/conv0", x, 2) if first is None else first)
        part = total
        for layer in range(1, 4):
            part = _separable(weights, f"{name}/conv{layer}", part)
            total = total + part
            part = F.relu(total)
        x = F.relu(total)
    return (x.mean((2, 3)) @ weights["fc/weights"] + weights["fc/bias"]).view(-1, 68, 2)


def _scaled(weights: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    x = _conv(weights, f"{name}/conv", _same(x, 3, 1) if stride == 1 else x, stride)
    scale, shift = weights[f"{name}/scale/weights"], weights[f"{name}/scale/biases"]
    return x * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)


def _residual(weights: Weights, name: str, x: Tensor, down: bool) -> Tensor:
    new = F.relu(_scaled(weights, f"{name}/conv1", x, 2 if down else 1))
    new = _scaled(weights, f"{name}/conv2", new)
    if down:
        x = F.avg_pool2d(x, 2)
        x = F.pad(x, [0, 0, 0, 0, 0, new.shape[1] - x.shape[1]])
        new = F.pad(new, [0, x.shape[3] - new.shape[3], 0, x.shape[2] - new.shape[2]])
    return F.relu(x + new)


def embed_faces(weights: Weights, faces: Tensor) -> Tensor:
    """128 numbers that say whose each aligned face is, `[n, 128]`; `faces` are `[n, 3, 150, 150]` in 0 to 255."""
    x = F.max_pool2d(F.relu(_scaled(weights, "conv32_down", (faces - _MEAN) / 255, 2)), 3, 2)
    for width, more in ((32, 3), (64, 3), (128, 2), (256, 2)):
        if width > 32:
            x = _residual(weights, f"conv{width}_down", x, True)
        for number in range(1, more + 1):
            x = _residual(weights, f"conv{width}_{number}", x, False)
    x = _residual(weights, "conv256_down_out", x, True)
    return x.mean((2, 3)) @ weights["fc"]
