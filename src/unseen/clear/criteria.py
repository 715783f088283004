"""Every criterion for the layer search, by name: each gives every candidate layer a cost, lower is better.

`output`, the default, is in `costs.py`; here are the paper's, and those that it was compared with. All share one
interface, `Criterion`, and one register, `CRITERIA`, which `SearchConfig.criterion` names. Which of them deserves to be
the default is measured by `unseen sweep` on video.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from .costs import LayerCosts, SearchView, output, output_costs
from .probe import discriminant
from .select import Activity, leak

Criterion = Callable[[SearchView], LayerCosts]
"""Costs `[L]` of erasing at each candidate layer."""


def energies(positives: Activity, mask: Tensor) -> tuple[Tensor, Tensor]:
    """`(S_spe, S_uni)`: mean energy of specific and of shared features on positive tokens, each `[...]`.

    `S_spe = E‖f ⊙ m_spec‖²`, `S_uni = E‖f ⊙ (1 − m_spec)‖²` (our reading of the paper).
    """
    return (positives.energy * mask.square()).sum(-1), (positives.energy * (1 - mask).square()).sum(-1)


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
    trained, held_out = data.name_tokens(~data.held_out), data.name_tokens(data.held_out)
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
    nothing = torch.zeros(len(view.trials))
    return output_costs(view.trials, view.data.output_probe, nothing, nothing.tolist(), view.config.search)


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
