"""Which block to edit: layer preferences α learned by Gumbel-Softmax against a cost per block.

The paper's cost is `L_con = log(1 + S_uni/(S_spe + ε))`, read off the features alone. It rewards the last block, where
much of every token is about the concept, and where subtracting it also removes what stands beside the concept. Our cost
looks at what the video model will be given: the encoder's *output* after a trial edit at each block.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from unseen.concept import PromptPair
from unseen.encoder.activations import SHORT, BlockActivations, PromptForm, encode_blocks
from unseen.clear.edit import combined_edit
from unseen.clear.eraser import ClearEraser
from .specificity import Activity, energies


class LayerCosts(NamedTuple):
    """Costs of editing at each block; lower is better."""

    total: Tensor
    """`[L]`"""
    parts: dict[str, Tensor]
    """What the total is made of, each `[L]`."""

    def within(self, all_costs: LayerCosts, places: Sequence[int]) -> LayerCosts:
        """`all_costs` of all blocks with these, of the blocks at `places`, put in."""
        index = torch.tensor(places)
        return LayerCosts(
            all_costs.total.index_copy(0, index, self.total),
            {name: all_costs.parts[name].index_copy(0, index, part) for name, part in self.parts.items()},
        )


class LayerPreferences:
    """The learned `α` (as logits `log α`) with an annealed temperature and a record of its path."""

    def __init__(self, layers: int, *, lr: float, tau_start: float, tau_end: float, rounds: int, seed: int = 0):
        self.log_alpha = torch.zeros(layers, requires_grad=True)
        self.optimizer = torch.optim.Adam([self.log_alpha], lr=lr)
        self.generator = torch.Generator().manual_seed(seed)
        self.tau_start, self.tau_end, self.rounds = tau_start, tau_end, rounds
        self.round = 0
        self.history: list[list[float]] = [self.alpha().tolist()]

    @property
    def tau(self) -> float:
        """Temperature of the current round; falls geometrically from `tau_start` to `tau_end`."""
        progress = min(1.0, self.round / max(1, self.rounds - 1))
        return self.tau_start * (self.tau_end / self.tau_start) ** progress

    def alpha(self) -> Tensor:
        """Preferences `[L]`, normalised to sum to one."""
        return self.log_alpha.detach().softmax(dim=0)

    def best(self) -> int:
        """`l* = argmax α`."""
        return int(self.log_alpha.argmax())

    def sample(self, count: int = 1) -> Tensor:
        """Relaxed one-hot samples `p = softmax((log α + Gumbel noise)/τ)`, `[count, L]`."""
        uniform = torch.rand(count, len(self.log_alpha), generator=self.generator).clamp(1e-9, 1 - 1e-7)
        return ((self.log_alpha - (-uniform.log()).log()) / self.tau).softmax(dim=-1)

    def learn(self, costs: Tensor, *, steps: int, samples: int = 32) -> None:
        """Phase B of a round: lower `E Σ_l p_l cost_l` for fixed `costs` `[L]`, then record α and cool down."""
        for _ in range(steps):
            loss = (self.sample(samples) * costs).sum(dim=-1).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.history.append(self.alpha().tolist())
        self.round += 1


def paper_costs(positives: Activity, mask: Tensor, epsilon: float = 1e-8) -> LayerCosts:
    """The paper's `L_con` per block from activations of positives and `m_spec`, both `[L, m]`."""
    s_spe, s_uni = energies(positives, mask)
    return LayerCosts(torch.log1p(s_uni / (s_spe + epsilon)), {"s_spe": s_spe, "s_uni": s_uni})


class OutputJudge(Protocol):
    """Judges a trial eraser; lets the search be tested, and extended, without a text encoder."""

    def __call__(self, eraser: ClearEraser) -> dict[str, float]:
        """Named costs of this eraser, each about 0 (good) to 1 (as bad as not erasing)."""


ROLES = ("name", "context", "special")


class EncoderOutputJudge:
    """Measures an edit at the encoder's output, on prompt pairs that the autoencoders did not see.

    Pairs are aligned by their common first and last tokens: what lies between is the *name*, the rest is *context*;
    [CLS], [SEP], `</s>` are *special*. For each role a ridge probe learns, on unedited prompts, to tell tokens of
    positive from tokens of negative prompts. A trial edit then gives
    `residual_<role>`: probe score left, 1 = as before the edit, 0 = as in the negative prompt;
    `damage`: squared distance of edited context tokens from those of the paired negative, relative to no edit.
    """

    def __init__(
        self,
        tokenizer: Any,
        encoder: nn.Module,
        train: tuple[BlockActivations, Sequence[PromptPair]],
        held_out: tuple[Sequence[str], BlockActivations, BlockActivations],
        *,
        form: PromptForm = SHORT,
        ridge: float = 3.0,
    ):
        """`train` are the activations of all positives followed by all negatives of the given pairs; `held_out` the
        positives of other pairs, with their activations and those of their negatives."""
        self.tokenizer, self.encoder, self.form = tokenizer, encoder, form
        self.positives, before, after = held_out
        activations, pairs = train
        self._probes = self._fit_probes(activations, len(pairs), ridge)
        self._roles = roles_of_pairs(before, after)
        self._scores = [self._score(part, roles) for part, roles in zip((before, after), self._roles, strict=True)]
        self._context = _aligned_context(before, after)
        self._target = after.output[self._context[1]]
        self._distance = (before.output[self._context[0]] - self._target).square().sum(dim=-1).mean().clamp_min(1e-12)

    def __call__(self, eraser: ClearEraser) -> dict[str, float]:
        edited = self._encode(self.positives, {eraser.layer: combined_edit([eraser], [eraser.strength])})
        scores = self._score(edited, self._roles[0])
        result = {}
        for role, score in scores.items():
            positive, negative = self._scores[0][role], self._scores[1][role]
            result[f"residual_{role}"] = (score - negative) / max(positive - negative, 1e-6)
        distance = (edited.output[self._context[0]] - self._target).square().sum(dim=-1).mean()
        return {**result, "damage": float(distance / self._distance)}

    def _encode(self, prompts: Sequence[str], edits=None) -> BlockActivations:
        return encode_blocks(self.tokenizer, self.encoder, prompts, self.form, layers=[], edits=edits)

    def _fit_probes(self, activations: BlockActivations, pairs: int, ridge: float) -> dict[str, tuple[Tensor, Tensor]]:
        positive = activations.prompt < pairs
        halves = [_select(activations, positive), _select(activations, ~positive)]
        roles = roles_of_pairs(*halves)
        probes = {}
        for role in ROLES:
            x, y = (half.output[which[role]] for half, which in zip(halves, roles, strict=True))
            if len(x) and len(y):
                probes[role] = discriminant(x, y, ridge)
        return probes

    def _score(self, part: BlockActivations, roles: dict[str, Tensor]) -> dict[str, float]:
        return {
            role: float(((part.output[roles[role]] - centre) @ weight).mean())
            for role, (centre, weight) in self._probes.items()
            if roles[role].any()
        }


def output_costs(
    candidates: Sequence[ClearEraser | None],
    judge: OutputJudge,
    leaks: Tensor,
    *,
    damage_weight: float,
    leak_weight: float,
    depth_weight: float = 0.0,
) -> LayerCosts:
    """Cost per block `[L]`: worst residual over the roles, plus weighted damage, leak and depth.

    `candidates` holds a trial eraser per block; None (no specific feature there) costs as much as not erasing.
    Residuals below zero (overshooting past the negatives) count by their size, so that they are not a bonus.
    """
    rows = []
    for index, (candidate, leaked) in enumerate(zip(candidates, leaks.tolist(), strict=True)):
        judged = judge(candidate) if candidate is not None else {"residual_name": 1.0, "damage": 1.0}
        residual = max(abs(value) for name, value in judged.items() if name.startswith("residual"))
        depth = index / max(1, len(candidates) - 1)
        total = residual + damage_weight * judged["damage"] + leak_weight * leaked + depth_weight * depth
        rows.append((total, residual, judged["damage"], leaked))
    columns = torch.tensor(rows).unbind(dim=1)
    return LayerCosts(columns[0], dict(zip(("residual", "damage", "leak"), columns[1:], strict=True)))


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


def _aligned_context(positives: BlockActivations, negatives: BlockActivations) -> tuple[Tensor, Tensor]:
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


def _select(part: BlockActivations, keep: Tensor) -> BlockActivations:
    return BlockActivations(part.hidden[:, keep], *(field[keep] for field in part[1:]))


def discriminant(positive: Tensor, negative: Tensor, ridge: float) -> tuple[Tensor, Tensor]:
    """Centre and weight, each `[d]`, of a linear probe: regularised discriminant between tokens `[n, d]`."""
    centre = (positive.mean(dim=0) + negative.mean(dim=0)) / 2
    centred = [x - x.mean(dim=0) for x in (positive, negative)]
    within = torch.stack([x.T @ x / len(x) for x in centred]).sum(dim=0)
    strength = ridge * float(torch.trace(within)) / within.shape[0] / math.sqrt(len(positive) + len(negative))
    weight = torch.linalg.solve(
        within + strength * torch.eye(within.shape[0]), positive.mean(dim=0) - negative.mean(dim=0)
    )
    return centre, weight
