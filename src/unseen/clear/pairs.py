"""How the two prompts of a pair lie beside each other: the words they share, and where they differ.

Pairs are aligned by their common first and last tokens: what lies between is the *name*, the rest is *context*; [CLS],
[SEP], `</s>` are *special*.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..encoder.activations import BlockActivations

ROLES = ("name", "context", "special")


def roles_of_pairs(
    positives: BlockActivations, negatives: BlockActivations
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Token masks of each role, for both sides of aligned pairs; prompts are counted from each side's first."""
    masks = []
    edges = _common_edges(positives, negatives)
    for part in (positives, negatives):
        prompt, position, length = _positions(part)
        start, end = edges[prompt].unbind(dim=1)
        context = ((position < start) | (position >= length[prompt] - end)) & ~part.special
        masks.append({"name": ~context & ~part.special, "context": context, "special": part.special})
    return masks[0], masks[1]


def _common_edges(positives: BlockActivations, negatives: BlockActivations) -> Tensor:
    """Number of equal tokens at the start and at the end of each pair, `[pairs, 2]`."""
    rows = []
    for a, b in zip(_rows(positives), _rows(negatives), strict=True):
        shorter = min(len(a), len(b))
        start = next((i for i in range(shorter) if a[i] != b[i]), shorter)
        end = next((i for i in range(shorter - start) if a[-1 - i] != b[-1 - i]), shorter - start)
        rows.append((start, end))
    return torch.tensor(rows)


def _rows(part: BlockActivations) -> list[list[int]]:
    _, _, length = _positions(part)
    return [ids.tolist() for ids in part.token_id.split(length.tolist())]


def _positions(part: BlockActivations) -> tuple[Tensor, Tensor, Tensor]:
    """Prompt index counted from 0, position in the prompt, both `[tokens]`, and length of each prompt `[prompts]`."""
    _, prompt, length = part.prompt.unique_consecutive(return_inverse=True, return_counts=True)
    position = torch.arange(len(prompt)) - (length.cumsum(0) - length)[prompt]
    return prompt, position, length


def aligned_context(positives: BlockActivations, negatives: BlockActivations) -> tuple[Tensor, Tensor]:
    """Indices of the context and special tokens that both sides share, in matching order."""
    edges = _common_edges(positives, negatives)
    matched: tuple[list[int], list[int]] = ([], [])
    lengths = [_positions(part)[2].tolist() for part in (positives, negatives)]
    offsets = [0, 0]
    for (start, end), *counts in zip(edges.tolist(), *lengths, strict=True):
        for side, count in enumerate(counts):
            first = offsets[side]
            matched[side].extend([*range(first, first + start), *range(first + count - end, first + count)])
            offsets[side] += count
    return torch.tensor(matched[0]), torch.tensor(matched[1])
