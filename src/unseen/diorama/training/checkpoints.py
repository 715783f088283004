"""What every training shares: a budget of seconds, states that survive interruption, averaged weights, precision."""

from __future__ import annotations

import copy
import math
import os
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn

CHECKPOINTS = Path(os.environ.get("DIORAMA_CHECKPOINTS", "checkpoints"))
"""Where running trainings keep their state (ignored by git)."""


class Average:
    """Exponential average of a model's weights, which draws better than the last step's do."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - decay)


class Budget:
    """Seconds to train for, those of earlier sittings counted in; learning rates follow the share that is spent."""

    def __init__(self, seconds: float, spent: float = 0.0) -> None:
        self.seconds, self.spent, self._since = seconds, spent, time.monotonic()

    @property
    def elapsed(self) -> float:
        return self.spent + time.monotonic() - self._since

    @property
    def share(self) -> float:
        """How much of it is spent, 0 to 1."""
        return min(1.0, self.elapsed / self.seconds)

    def rate(self, step: int, *, warm: int = 100, flat: float = 0.3) -> float:
        """The learning rate's factor: a linear start of `warm` steps, flat to share `flat`, then a half cosine."""
        decay = 0.5 * (1 + math.cos(math.pi * max(0.0, self.share - flat) / (1 - flat)))
        return min(1.0, (step + 1) / warm) * (0.01 + 0.99 * decay)


class Checkpoint:
    """The state of one training in one file, replaced as a whole, at most every `every` seconds."""

    def __init__(self, name: str, parts: dict[str, Any], every: float = 60) -> None:
        self.path = CHECKPOINTS / f"{name}.pt"
        self.parts, self.every, self.last = parts, every, time.monotonic()

    def load(self) -> dict[str, Any]:
        """Restore every part from the file, if there is one, and return the plain values kept beside them."""
        if not self.path.exists():
            return {}
        state = torch.load(self.path, weights_only=True, map_location="cpu")
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


def prepare(device: torch.device) -> None:
    """Let a graphics card multiply float32 in TF32."""
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.allow_tf32 = True


def autocast(device: torch.device, dtype: torch.dtype | None = torch.bfloat16) -> AbstractContextManager[Any]:
    """Half precision where it is fast: on a graphics card. `dtype` None leaves everything in float32."""
    if device.type == "cuda" and dtype is not None:
        return torch.autocast("cuda", dtype)
    return nullcontext()


def set_rate(optimizers: dict[str, torch.optim.Optimizer], factor: float) -> None:
    """Set every group's learning rate to its own (`base`) times `factor`."""
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("base", group["lr"]) * factor
