"""Weights on disk, and the two forms that clips have: what a detector reads and what a VAE reads."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

WEIGHTS = Path(__file__).parent / "weights"
"""Committed weights, each beside its model card."""


def save_half(model: nn.Module, path: Path) -> None:
    """Write a model's weights in half precision.

    Large tensors are rounded to multiples of about 1/24 of their root mean square, an error of about 1 %: the file is
    as long, but git stores it in 60 % of the space, and every retraining stays in the history for good.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: rounded(v.float()).half().contiguous() for k, v in model.state_dict().items()}, path)


def rounded(tensor: Tensor) -> Tensor:
    """The values of a large tensor on a coarse grid, see `save_half`."""
    scale = float(tensor.square().mean().sqrt()) / 24 if tensor.numel() >= 4096 else 0.0
    if not scale > 2**-20:
        return tensor
    step = 2.0 ** math.floor(math.log2(scale))
    return (tensor / step).round() * step


def load_half(model: nn.Module, path: Path) -> None:
    """Read weights written by `save_half` into a model, in single precision."""
    model.load_state_dict({k: v.float() for k, v in load_file(path).items()})


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Write a model card (generated, never typed) beside the weights."""
    path.write_text(json.dumps(card, indent=1) + "\n")


def to_signed(frames: np.ndarray) -> Tensor:
    """uint8 clips `[n, t, h, w, 3]` to what the VAE reads, float `[n, 3, t, h, w]` in [−1, 1]."""
    return torch.from_numpy(frames).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def to_uint8(video: Tensor) -> np.ndarray:
    """What the VAE writes, `[n, 3, t, h, w]` in [−1, 1], to uint8 clips `[n, t, h, w, 3]`."""
    return ((video.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy()
