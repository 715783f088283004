"""What a linear probe still reads of the concept at the encoder's output after a trial edit.

The paper's cost looks at the features alone, and rewards the last layer, where much of every token is about the
concept, and where subtracting it also removes what stands beside the concept. This looks at what the video model will
be given.

The two prompts of a pair are aligned by their common first and last tokens: what lies between is the *name*, the rest
is *context*; [CLS], [SEP], `</s>` are *special*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..encoder.activations import BlockActivations
from ..encoder.replay import Replay
from .edit import combined_edit
from .eraser import ClearEraser

OutputProbe = Callable[[ClearEraser], dict[str, float]]
"""Judges a trial eraser: named costs, each about 0 (good) to 1 (as bad as not erasing)."""
ROLES = ("name", "context", "special")


def shared_tokens(positives: BlockActivations, negatives: BlockActivations) -> tuple[Tensor, Tensor]:
    """Tokens with which both prompts of a pair begin or end, bool `[tokens]` of either side."""
    sides = []
    for side in (positives, negatives):
        lengths = side.prompt.unique_consecutive(return_counts=True)[1].tolist()
        sides.append([ids.tolist() for ids in side.token_id.split(lengths)])
    shared: tuple[list[bool], list[bool]] = [], []
    for pair in zip(*sides, strict=True):
        a, b = pair
        shorter = min(len(a), len(b))
        start = next((i for i in range(shorter) if a[i] != b[i]), shorter)
        end = next((i for i in range(shorter - start) if a[-1 - i] != b[-1 - i]), shorter - start)
        for own, ids in zip(shared, pair, strict=True):
            own.extend([True] * start + [False] * (len(ids) - start - end) + [True] * end)
    return torch.tensor(shared[0], dtype=torch.bool), torch.tensor(shared[1], dtype=torch.bool)


def roles_of_pairs(
    positives: BlockActivations, negatives: BlockActivations
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Token masks of each role, for both sides of aligned pairs."""
    masks = []
    for part, shared in zip((positives, negatives), shared_tokens(positives, negatives), strict=True):
        ordinary = ~part.special
        masks.append({"name": ~shared & ordinary, "context": shared & ordinary, "special": part.special})
    return masks[0], masks[1]


class EncoderOutputProbe:
    """Measures an edit at the encoder's output, on prompt pairs that the autoencoders did not see.

    For each role of a token a ridge probe learns, on unedited prompts, to tell tokens of positive from tokens of
    negative prompts. A trial edit then gives
    `residual_<role>`: probe score left, 1 = as before the edit, 0 = as in the negative prompt;
    `damage`: squared distance of edited context tokens from those of the paired negative, relative to no edit.
    """

    def __init__(
        self,
        train: Sequence[BlockActivations],
        held_out: Sequence[BlockActivations],
        replay: Replay,
        *,
        ridge: float = 3.0,
    ):
        """`train` and `held_out` are activations of positives and of their negatives; `replay` encodes the held-out
        positives again."""
        self._replay = replay
        self._probes = {}
        roles = roles_of_pairs(*train)
        for role in ROLES:
            x, y = (side.output[which[role]] for side, which in zip(train, roles, strict=True))
            if len(x) and len(y):
                self._probes[role] = discriminant(x, y, ridge)
        self._roles = roles_of_pairs(*held_out)
        self._scores = [self._score(side.output, roles) for side, roles in zip(held_out, self._roles, strict=True)]
        # Context and special tokens that both sides share, in matching order.
        self._context, other = (shared.nonzero()[:, 0] for shared in shared_tokens(*held_out))
        self._target = held_out[1].output[other]
        before = held_out[0].output[self._context]
        self._distance = (before - self._target).square().sum(dim=-1).mean().clamp_min(1e-12)

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


def residuals(judged: Mapping[str, float]) -> list[float]:
    """The residuals of all roles, of what an output probe says."""
    return [value for name, value in judged.items() if name.startswith("residual")]


def discriminant(positive: Tensor, negative: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Center and weight, each `[d]`, of a linear probe: regularised discriminant between tokens `[n, d]`."""
    center = (positive.mean(dim=0) + negative.mean(dim=0)) / 2
    centered = [x - x.mean(dim=0) for x in (positive, negative)]
    within = torch.stack([x.T @ x / len(x) for x in centered]).sum(dim=0)
    strength = ridge * float(torch.trace(within)) / within.shape[0] / math.sqrt(len(positive) + len(negative))
    weight = torch.linalg.solve(
        within + strength * torch.eye(within.shape[0], device=within.device),
        positive.mean(dim=0) - negative.mean(dim=0),
    )
    return center, weight
