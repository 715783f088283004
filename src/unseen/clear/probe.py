"""What a linear probe still reads of the concept at the encoder's output after a trial edit.

The paper's cost looks at the features alone, and rewards the last layer, where much of every token is about the
concept, and where subtracting it also removes what stands beside the concept. This looks at what the video model will
be given.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from ..encoder.activations import BlockActivations
from ..encoder.replay import Replay
from .edit import combined_edit
from .eraser import ClearEraser
from .pairs import ROLES, aligned_context, roles_of_pairs


class OutputProbe(Protocol):
    """Judges a trial eraser; lets the search be tested, and extended, without a text encoder."""

    def __call__(self, eraser: ClearEraser) -> dict[str, float]:
        """Named costs of this eraser, each about 0 (good) to 1 (as bad as not erasing)."""


class EncoderOutputProbe:
    """Measures an edit at the encoder's output, on prompt pairs that the autoencoders did not see.

    For each role of a token (see `unseen.clear.pairs`) a ridge probe learns, on unedited prompts, to tell tokens of
    positive from tokens of negative prompts. A trial edit then gives
    `residual_<role>`: probe score left, 1 = as before the edit, 0 = as in the negative prompt;
    `damage`: squared distance of edited context tokens from those of the paired negative, relative to no edit.
    """

    def __init__(
        self,
        train: tuple[BlockActivations, BlockActivations],
        held_out: tuple[BlockActivations, BlockActivations],
        replay: Replay,
        *,
        ridge: float = 3.0,
    ):
        """`train` and `held_out` are activations of positives and of their negatives; `replay` encodes the held-out
        positives again."""
        self._replay = replay
        self._probes = _probes(train, ridge)
        self._roles = roles_of_pairs(*held_out)
        self._scores = [self._score(part.output, roles) for part, roles in zip(held_out, self._roles, strict=True)]
        before, after = held_out
        self._context, other = aligned_context(before, after)
        self._target = after.output[other]
        self._distance = (before.output[self._context] - self._target).square().sum(dim=-1).mean().clamp_min(1e-12)

    def __call__(self, eraser: ClearEraser) -> dict[str, float]:
        output = self._replay.output(eraser.layer, combined_edit([eraser], [eraser.strength])).to(self._target.device)
        result = {}
        for role, score in self._score(output, self._roles[0]).items():
            positive, negative = self._scores[0][role], self._scores[1][role]
            result[f"residual_{role}"] = (score - negative) / max(positive - negative, 1e-6)
        distance = (output[self._context] - self._target).square().sum(dim=-1).mean()
        return {**result, "damage": float(distance / self._distance)}

    def _score(self, output: Tensor, roles: dict[str, Tensor]) -> dict[str, float]:
        return {
            role: float(((output[roles[role]] - center) @ weight).mean())
            for role, (center, weight) in self._probes.items()
            if roles[role].any()
        }


def _probes(sides: tuple[BlockActivations, BlockActivations], ridge: float) -> dict[str, tuple[Tensor, Tensor]]:
    roles = roles_of_pairs(*sides)
    probes = {}
    for role in ROLES:
        x, y = (side.output[which[role]] for side, which in zip(sides, roles, strict=True))
        if len(x) and len(y):
            probes[role] = discriminant(x, y, ridge)
    return probes


def discriminant(positive: Tensor, negative: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Center and weight, each `[d]`, of a linear probe: regularised discriminant between tokens `[n, d]`."""
    center = (positive.mean(dim=0) + negative.mean(dim=0)) / 2
    centerd = [x - x.mean(dim=0) for x in (positive, negative)]
    within = torch.stack([x.T @ x / len(x) for x in centerd]).sum(dim=0)
    strength = ridge * float(torch.trace(within)) / within.shape[0] / math.sqrt(len(positive) + len(negative))
    weight = torch.linalg.solve(
        within + strength * torch.eye(within.shape[0], device=within.device),
        positive.mean(dim=0) - negative.mean(dim=0),
    )
    return center, weight
