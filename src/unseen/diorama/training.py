"""What every training shares: endless rendered batches, checkpoints that survive interruption, averaged weights."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

WEIGHTS = Path(__file__).parent / "weights"
"""Committed weights, in half precision, each beside its model card."""

CHECKPOINTS = Path("checkpoints")
"""Where a running training keeps its state (ignored by git)."""


class Stream(IterableDataset):
    """An endless, reproducible sequence: item i is `make(i)`, starting from `first`."""

    def __init__(self, make: Callable[[int], Any], first: int = 0) -> None:
        self.make, self.first = make, first

    def __iter__(self) -> Iterator[Any]:
        index = self.first
        while True:
            yield self.make(index)
            index += 1


def batches(make: Callable[[int], Any], first: int) -> Iterator[Any]:
    """Batches made ahead of time by a second process, starting with number `first`."""
    return iter(DataLoader(Stream(make, first), batch_size=None, num_workers=1, prefetch_factor=8))


class Average:
    """Exponential average of a model's weights, which draws better than the last step's do."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - decay)


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


class Checkpoint:
    """The state of one training in one file, replaced as a whole, at most every `every` seconds."""

    def __init__(self, name: str, parts: dict[str, Any], every: float = 120) -> None:
        self.path = CHECKPOINTS / f"{name}.pt"
        self.parts, self.every, self.last = parts, every, time.monotonic()

    def load(self) -> dict[str, Any]:
        """Restore every part from the file, if there is one, and return the plain values kept beside them."""
        if not self.path.exists():
            return {}
        state = torch.load(self.path, weights_only=True)
        for name, part in self.parts.items():
            part.load_state_dict(state["parts"][name])
        return state["values"]

    def save(self, values: dict[str, Any], *, force: bool = False) -> None:
        """Write all parts and `values` (plain numbers and lists), unless the last write was recent."""
        if not force and time.monotonic() - self.last < self.every:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        torch.save({"parts": {n: p.state_dict() for n, p in self.parts.items()}, "values": values}, partial)
        partial.replace(self.path)
        self.last = time.monotonic()


def to_signed(frames: np.ndarray) -> Tensor:
    """uint8 clips `[n, t, h, w, 3]` to what the VAE reads, float `[n, 3, t, h, w]` in [−1, 1]."""
    return torch.from_numpy(frames).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def to_uint8(video: Tensor) -> np.ndarray:
    """What the VAE writes, `[n, 3, t, h, w]` in [−1, 1], to uint8 clips `[n, t, h, w, 3]`."""
    return ((video.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 4, 1).numpy()
