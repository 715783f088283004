"""What every training shares: endless rendered batches, checkpoints that survive interruption, averaged weights."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

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
