"""What it costs to erase at each candidate layer, measured from text alone at the encoder's output.

This is the default criterion of the layer search; `criteria.py` holds the paper's and others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from .config import ClearConfig, SearchConfig
from .data import FitData, subset
from .eraser import ClearEraser
from .probe import OutputProbe, residuals
from .sae import SaeBank
from .select import Activity, activity_on, leak, specificity, trial

SEARCH_TOKENS = 4096
"""Tokens of each side on which masks and costs are computed while the search runs; the final ones use all."""


class LayerCosts(NamedTuple):
    """Costs of editing at each layer; lower is better."""

    total: Tensor
    """`[L]`"""
    parts: dict[str, Tensor]
    """What the total is made of, each `[L]`."""


@dataclass(frozen=True)
class SearchView:
    """What a criterion may look at; everything is ordered by candidate layer."""

    data: FitData
    config: ClearConfig
    bank: SaeBank
    positives: Activity
    """Features on tokens of positive prompts, each entry `[L, m]`."""
    negatives: Activity
    """The same on tokens of prompts without the concept."""
    mask: Tensor
    """`m_spec`, `[L, m]`."""
    held_out: Tensor
    """Some held-out tokens, `[n]`."""

    @cached_property
    def trials(self) -> list[ClearEraser | None]:
        """A trial eraser per layer; None where no feature is specific."""
        layers = zip(self.bank.layers, self.data.layers, self.mask, self.positives.energy, strict=True)
        return [trial(self.data, *own, self.config.edit) for own in layers]


def search_view(data: FitData, bank: SaeBank, config: ClearConfig, generator: torch.Generator) -> SearchView:
    """The view with the bank as it stands."""
    positives, negatives = (activity_on(data, bank, subset(side, SEARCH_TOKENS, generator)) for side in data.contrast)
    mask = specificity(positives, negatives, config.edit)
    held_out = (data.held_out[data.prompt] & data.ordinary).nonzero()[:, 0]
    held_out = subset(held_out, SEARCH_TOKENS, generator)
    return SearchView(data, config, bank, positives, negatives, mask, held_out)


def output(view: SearchView) -> LayerCosts:
    """Ours: what the video model would be given. `max_role |residual| + w_d damage + w_l leak + w_z depth`, after a
    trial edit with γ = 1; see `output_costs`."""
    search, candidates = view.config.search, view.data.source.candidates
    deepest = max(1, len(candidates) - 1)
    depths = [candidates.index(layer) / deepest for layer in view.data.layers]
    leaks = leak(view.positives, view.negatives, view.mask)
    return output_costs(view.trials, view.data.output_probe, leaks, depths, search)


def output_costs(
    trials: Sequence[ClearEraser | None],
    probe: OutputProbe,
    leaks: Tensor,
    depths: Sequence[float],
    settings: SearchConfig,
) -> LayerCosts:
    """Cost per layer `[L]`: worst residual over the roles, plus damage, leak and depth by their weights in `settings`.

    `trials` holds an eraser per layer; None (no specific feature there) costs as much as not erasing. `depths` are from
    0, the first layer, to 1, the last. Residuals below zero (overshooting past the negatives) count by their size, so
    that they are not a bonus.
    """
    rows = []
    for eraser, leaked, depth in zip(trials, leaks.tolist(), depths, strict=True):
        judged = probe(eraser) if eraser is not None else {"residual_name": 1.0, "damage": 1.0}
        residual = max(map(abs, residuals(judged)))
        total = residual + settings.damage_weight * judged["damage"] + settings.leak_weight * leaked
        rows.append((total + settings.depth_weight * depth, residual, judged["damage"], leaked))
    columns = torch.tensor(rows).unbind(dim=1)
    return LayerCosts(columns[0], dict(zip(("residual", "damage", "leak"), columns[1:], strict=True)))
