"""Weights on disk, and the two forms that clips have: what a detector reads and what a VAE reads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

WEIGHTS = Path(os.environ.get("DIORAMA_WEIGHTS") or Path(__file__).parent / "weights")
"""Committed weights, each beside its model card. A training that shall leave them alone names another folder."""

_STEP = ".step"
_LARGE = 4096
"""Matrices of at least so many weights are stored in eight bits if the network's are."""


def save_half(model: nn.Module, path: Path) -> None:
    """Write a model's weights in half precision."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.half().cpu().contiguous() for k, v in model.state_dict().items()}, path)


def save_bytes(model: nn.Module, path: Path) -> None:
    """Write a model's large matrices in eight bits with one step size a row, and the rest in half precision.

    A row's step is its largest weight over 127: an error of about 0.8 % of a weight's usual size, in half the space.
    """
    stored: dict[str, Tensor] = {}
    for name, weight in model.state_dict().items():
        if weight.ndim == 2 and weight.numel() >= _LARGE:
            step = weight.float().abs().amax(1, keepdim=True).clamp(min=1e-8) / 127
            stored[name] = (weight / step).round().to(torch.int8).cpu()
            stored[name + _STEP] = step.cpu()
        else:
            stored[name] = weight.half().cpu().contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(stored, path)


def load_stored(model: nn.Module, path: Path) -> None:
    """Read weights written by `save_half` or `save_bytes` into a model, in single precision."""
    stored = load_file(path)
    steps = {name: stored.pop(name) for name in list(stored) if name.endswith(_STEP)}
    state = {k: v.float() * steps[k + _STEP] if k + _STEP in steps else v.float() for k, v in stored.items()}
    model.load_state_dict(state)


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Write a model card (generated, never typed) beside the weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(card, indent=1) + "\n")


def to_signed(frames: np.ndarray) -> Tensor:
    """uint8 clips `[n, t, h, w, 3]` to what the VAE reads, float `[n, 3, t, h, w]` in [−1, 1]."""
    return torch.from_numpy(frames).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def to_uint8(video: Tensor) -> np.ndarray:
    """What the VAE writes, `[n, 3, t, h, w]` in [−1, 1], to uint8 clips `[n, t, h, w, 3]`."""
    return ((video.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).cpu().numpy()
