"""Criteria for the layer search: each gives every candidate layer a cost, lower is better, from text alone.

They share one interface, `Criterion`, and one register, `CRITERIA`, which `SearchConfig.criterion` names. Which of them
deserves to be the default is measured by `unseen sweep` on video.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from .config import ClearConfig
from .data import FitData, subset
from .eraser import ClearEraser
from .masks import Activity, energies, leak
from .probe import OutputProbe, discriminant
from .sae import SaeBank
from .select import activities, residuals, specificity, trial

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
        return [
            trial(
                self.data,
                self.bank.of_layer(place),
                layer,
                self.mask[place],
                self.positives.energy[place],
                self.config.edit,
            )
            for place, layer in enumerate(self.data.layers)
        ]


Criterion = Callable[[SearchView], LayerCosts]
"""Costs `[L]` of erasing at each candidate layer."""


def search_view(data: FitData, bank: SaeBank, config: ClearConfig, generator: torch.Generator) -> SearchView:
    """The view with the bank as it stands."""
    positives, negatives = activities(data, bank, limit=SEARCH_TOKENS, generator=generator)
    mask = specificity(positives, negatives, config.edit)
    held_out = (data.of_prompts(data.held_out) & data.ordinary).nonzero()[:, 0]
    held_out = subset(held_out, SEARCH_TOKENS, generator)
    return SearchView(data, config, bank, positives, negatives, mask, held_out)


def layer_costs(data: FitData, bank: SaeBank, config: ClearConfig, generator: torch.Generator) -> LayerCosts:
    """Cost of each layer of `data` by the configured criterion, with the bank as it stands; on the CPU."""
    costs = CRITERIA[config.search.criterion](search_view(data, bank, config, generator))
    return LayerCosts(costs.total.cpu(), {name: part.cpu() for name, part in costs.parts.items()})


def l_con(view: SearchView) -> LayerCosts:
    """The paper's: `log(1 + S_uni/(S_spe + ε))`, the share of shared energy on the concept's own tokens."""
    s_spe, s_uni = energies(view.positives, view.mask)
    return LayerCosts(torch.log1p(s_uni / (s_spe + 1e-8)), {"s_spe": s_spe, "s_uni": s_uni})


def l_con_sums(view: SearchView) -> LayerCosts:
    """The same by a third party's transcription of the paper: plain sums, `S_spe = Σ f⁺ ⊙ m_spec` on positives and
    `S_uni = Σ f⁻ ⊙ m_shared` on negatives (here, means over as many tokens as there are)."""
    s_spe = (view.positives.mean * view.mask).sum(dim=-1)
    s_uni = (view.negatives.mean * (1 - view.mask)).sum(dim=-1)
    return LayerCosts(torch.log1p(s_uni / (s_spe + 1e-8)), {"s_spe": s_spe, "s_uni": s_uni})


def output(view: SearchView) -> LayerCosts:
    """Ours: what the video model would be given. `max_role |residual| + w_d damage + w_l leak + w_z depth`, after a
    trial edit with γ = 1; see `output_costs`."""
    search = view.config.search
    return output_costs(
        view.trials,
        view.data.output_probe,
        leak(view.positives, view.negatives, view.mask),
        damage_weight=search.damage_weight,
        leak_weight=search.leak_weight,
        depths=[search.depth_weight * depth for depth in view.data.depths],
    )


def output_costs(
    candidates: Sequence[ClearEraser | None],
    probe: OutputProbe,
    leaks: Tensor,
    *,
    damage_weight: float,
    leak_weight: float,
    depths: Sequence[float] | None = None,
) -> LayerCosts:
    """Cost per layer `[L]`: worst residual over the roles, plus weighted damage, weighted leak, and depth.

    `candidates` holds a trial eraser per layer; None (no specific feature there) costs as much as not erasing.
    Residuals below zero (overshooting past the negatives) count by their size, so that they are not a bonus.
    """
    rows = []
    depths = [0.0] * len(candidates) if depths is None else depths
    for candidate, leaked, depth in zip(candidates, leaks.tolist(), depths, strict=True):
        judged = probe(candidate) if candidate is not None else {"residual_name": 1.0, "damage": 1.0}
        residual = max(map(abs, residuals(judged)))
        total = residual + damage_weight * judged["damage"] + leak_weight * leaked + depth
        rows.append((total, residual, judged["damage"], leaked))
    columns = torch.tensor(rows).unbind(dim=1)
    return LayerCosts(columns[0], dict(zip(("residual", "damage", "leak"), columns[1:], strict=True)))


def leakage(view: SearchView) -> LayerCosts:
    """`E_neg‖f ⊙ m_spec‖² / E_pos‖f ⊙ m_spec‖²`: specific energy on prompts without the concept. A layer without a
    specific feature costs 1."""
    leaked = leak(view.positives, view.negatives, view.mask)
    empty = torch.tensor([trial is None for trial in view.trials])
    return LayerCosts(torch.where(empty, 1.0, leaked), {"leak": leaked})


def residual(view: SearchView) -> LayerCosts:
    """`max_role |residual|`: how much of the concept a linear probe still reads at the encoder's output."""
    costs = _judged(view)
    return LayerCosts(costs.parts["residual"], costs.parts)


def damage(view: SearchView) -> LayerCosts:
    """`E‖edited − negative‖² / E‖positive − negative‖²` over the context tokens: how far the rest of the prompt is from
    what it would be if the concept had never been named."""
    costs = _judged(view)
    return LayerCosts(costs.parts["damage"], costs.parts)


def probe(view: SearchView) -> LayerCosts:
    """`1 − AUC` on held-out pairs of a linear probe that tells the concept's tokens from their stand-ins at the layer
    itself; where probes are about perfect, `1/(1 + d′)` tells them apart (d′: distance of the means in spreads)."""
    rows = []
    data = view.data
    trained, held_out = (data.name_tokens(held_out=held_out) for held_out in (False, True))
    for layer in data.layers:
        positive, negative = (data.hidden_at(layer, tokens) for tokens in trained)
        tested, other = (data.hidden_at(layer, tokens) for tokens in held_out)
        center, weight = discriminant(positive, negative, 3.0)
        scores = [(x - center) @ weight for x in (tested, other)]
        above = (scores[0][:, None] > scores[1]).float().mean()
        spread = math.sqrt(float((scores[0].var() + scores[1].var()) / 2)) + 1e-12
        margin = float(scores[0].mean() - scores[1].mean()) / spread
        rows.append((1 - float(above), 1 / (1 + max(0.0, margin))))
    columns = torch.tensor(rows).unbind(dim=1)
    return LayerCosts(columns[0] + columns[1], {"auc_missed": columns[0], "closeness": columns[1]})


def reconstruction(view: SearchView) -> LayerCosts:
    """FVU of the autoencoder on held-out tokens: the layer that is best reconstructed, whatever the concept."""
    hidden = view.data.hidden(view.held_out).float()
    error = (hidden - view.bank.decode(view.bank.encode(hidden))).square().sum(dim=(1, 2))
    fvu = error / (hidden - view.bank.mean).square().sum(dim=(1, 2))
    return LayerCosts(fvu, {"fvu": fvu})


def _judged(view: SearchView) -> LayerCosts:
    return output_costs(
        view.trials,
        view.data.output_probe,
        torch.zeros(len(view.trials)),
        damage_weight=0.0,
        leak_weight=0.0,
    )


CRITERIA: dict[str, Criterion] = {
    "output": output,
    "l_con": l_con,
    "l_con_sums": l_con_sums,
    "leakage": leakage,
    "residual": residual,
    "damage": damage,
    "probe": probe,
    "reconstruction": reconstruction,
}
"""By the name that `SearchConfig.criterion` takes."""
