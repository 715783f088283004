"""Criteria for the layer search: each gives every candidate block a cost, lower is better, from text alone.

They share one interface, `Criterion`, and one register, `CRITERIA`, which `ClearConfig.criterion` names. Which of them
deserves to be the default is measured by `unseen sweep` on video.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .config import ClearConfig
from unseen.clear.eraser import ClearEraser
from .layer_search import LayerCosts, OutputJudge, discriminant, output_costs, paper_costs
from .sae import SaeBank
from .specificity import Activity, leak


class SearchView(NamedTuple):
    """What a criterion may look at; everything is ordered by candidate block."""

    config: ClearConfig
    bank: SaeBank
    positives: Activity
    """Features on tokens of positive prompts, each entry `[L, m]`."""
    negatives: Activity
    """The same on tokens of prompts without the concept."""
    mask: Tensor
    """`m_spec`, `[L, m]`."""
    trials: Sequence[ClearEraser | None]
    """A trial eraser per block; None where no feature is specific."""
    judge: OutputJudge
    """Judges a trial at the encoder's output, on held-out pairs."""
    name_tokens: tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]
    """Block outputs `[L, tokens, d]` at the tokens where the prompts of a pair differ: (positives, negatives) of the
    training pairs, and the same of the held-out pairs."""
    held_out: Tensor
    """Block outputs of held-out tokens, `[L, tokens, d]`."""


Criterion = Callable[[SearchView], LayerCosts]
"""Costs `[L]` of erasing at each candidate block."""


def l_con(view: SearchView) -> LayerCosts:
    """The paper's: `log(1 + S_uni/(S_spe + ε))`, the share of shared energy on the concept's own tokens."""
    return paper_costs(view.positives, view.mask)


def output(view: SearchView) -> LayerCosts:
    """Ours: what the video model would be given. `max_role |residual| + w_d damage + w_l leak + w_z depth`, after a
    trial edit with γ = 1; see `output_costs`."""
    config = view.config
    return output_costs(
        view.trials,
        view.judge,
        leak(view.positives, view.negatives, view.mask),
        damage_weight=config.damage_weight,
        leak_weight=config.leak_weight,
        depth_weight=config.depth_weight,
    )


def leakage(view: SearchView) -> LayerCosts:
    """`E_neg‖f ⊙ m_spec‖² / E_pos‖f ⊙ m_spec‖²`: specific energy on prompts without the concept. A block without a
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
    """`1 − AUC` on held-out pairs of a linear probe that tells the concept's tokens from their stand-ins at the block
    itself; where probes are about perfect, `1/(1 + d′)` tells them apart (d′: distance of the means in spreads)."""
    rows = []
    for place in range(len(view.mask)):
        (positive, negative), (tested, other) = ((side[0][place], side[1][place]) for side in view.name_tokens)
        centre, weight = discriminant(positive, negative, 3.0)
        scores = [(x - centre) @ weight for x in (tested, other)]
        above = (scores[0][:, None] > scores[1]).float().mean()
        spread = math.sqrt(float((scores[0].var() + scores[1].var()) / 2)) + 1e-12
        margin = float(scores[0].mean() - scores[1].mean()) / spread
        rows.append((1 - float(above), 1 / (1 + max(0.0, margin))))
    columns = torch.tensor(rows).unbind(dim=1)
    return LayerCosts(columns[0] + columns[1], {"auc_missed": columns[0], "closeness": columns[1]})


def reconstruction(view: SearchView) -> LayerCosts:
    """FVU of the autoencoder on held-out tokens: the block that is best reconstructed, whatever the concept."""
    error = (view.held_out - view.bank.decode(view.bank.encode(view.held_out))).square().sum(dim=(1, 2))
    fvu = error / (view.held_out - view.bank.mean).square().sum(dim=(1, 2))
    return LayerCosts(fvu, {"fvu": fvu})


def _judged(view: SearchView) -> LayerCosts:
    return output_costs(
        view.trials,
        view.judge,
        torch.zeros(len(view.trials)),
        damage_weight=0.0,
        leak_weight=0.0,
    )


CRITERIA: dict[str, Criterion] = {
    "output": output,
    "l_con": l_con,
    "leakage": leakage,
    "residual": residual,
    "damage": damage,
    "probe": probe,
    "reconstruction": reconstruction,
}
"""By the name that `ClearConfig.criterion` takes."""
