"""What a fit reports about itself, as plain JSON-able values."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from .data import FitData
from .eraser import ClearEraser
from .sae import SaeBank
from .search import Found
from .select import activity, features_of, leak
from .verdict import verdict

_QUALITY_TOKENS = 8192
"""Tokens on which features are counted as dead."""


def describe(data: FitData, found: Found, eraser: ClearEraser, trials: dict[str, Any]) -> dict[str, Any]:
    """Facts about a finished fit.

    `verdict` says whether it worked (`unseen.clear.verdict`). Lists per layer are ordered as `layers`, the candidates.
    `preferences` holds α after every round, `costs` the last round's; `fvu`, `l0` and `dead` are per layer, the first
    two on held-out prompts (None for a layer whose states are gone, where memory was bounded); `fired_on` is the share
    of prompts that the eraser would change at all. `strength_trials` says what each γ that was tried left of the
    concept. `left_out` counts training tokens of extraordinary norm, on which the autoencoders were not trained, and
    how many of them stand in the concept's own name; these are warned about.
    """
    held_out = (data.held_out[data.prompt] & data.ordinary).nonzero()[:, 0]
    quality = statistics(found.bank, data.hidden(held_out), data.hidden(data.sae_tokens[:_QUALITY_TOKENS]))
    f = features_of(data, eraser)
    fired = data.maxima(f.sum(dim=-1, keepdim=True))[:, 0].cpu() > 0
    train = ~data.held_out
    sides = [activity(f[data.tokens_of(side & train)]) for side in (data.positive, ~data.positive)]
    groups = {
        "held_out_positives": data.held_out & data.positive,
        "held_out_negatives": data.held_out & ~data.positive,
        "same_word": data.same_word,
    }
    costs = {} if found.costs is None else {"total": found.costs.total, **found.costs.parts}
    fired_on = {name: round(float(fired[group].float().mean()), 4) for name, group in groups.items() if group.any()}
    report = {
        "verdict": verdict(trials[str(eraser.strength)], fired_on),
        "layer": eraser.layer,
        "strength": eraser.strength,
        "layers": list(found.candidates),
        "preferences": [_rounded(alpha) for alpha in found.preferences],
        "costs": {name: _rounded(values.tolist()) for name, values in costs.items()},
        **{name: _at_candidates(data, found, values) for name, values in quality.items()},
        "features": eraser.num_features,
        "leak": float(leak(sides[0], sides[1], torch.ones(eraser.num_features, device=f.device))),
        "fired_on": fired_on,
        "top_tokens": _top_tokens(data, f.cpu()),
        "prompts": {name: len(getattr(data.prompts, name)) for name in ("pairs", "retain", "same_word")},
        "special_tokens_trained": bool(data.at(data.sae_tokens).special.any()),
        "left_out": _left_out(data),
        "strength_trials": trials,
        "seed": data.seed,
    }
    # As it will be read from a file: a figure that is not finite is None.
    return json.loads(json.dumps(report), parse_constant=lambda name: None)


@torch.no_grad()
def statistics(bank: SaeBank, hidden: Tensor, dead_on: Tensor) -> dict[str, list[float]]:
    """Per layer, on held-out `hidden` `[L, N, d]`: `fvu`, `l0` (active features a token); `dead` on `dead_on`.

    FVU is squared error over variance around the training mean; `dead` the share of features silent on all of
    `dead_on`.
    """
    f = bank.encode(hidden)
    error = (hidden - bank.decode(f)).square().sum(dim=(1, 2))
    variance = (hidden - bank.mean).square().sum(dim=(1, 2))
    return {
        "fvu": (error / variance).tolist(),
        "l0": (f > 0).float().sum(dim=-1).mean(dim=-1).tolist(),
        "dead": [float(1 - _fired(one, h).float().mean()) for one, h in zip(bank.layers, dead_on, strict=True)],
    }


def _fired(bank: SaeBank, hidden: Tensor) -> Tensor:
    """Which features `[m]` of a single autoencoder fire on any of `hidden` `[N, d]`."""
    fired = torch.zeros(bank.num_features, dtype=torch.bool, device=bank.b_enc.device)
    left, asked = (~fired).nonzero()[:, 0], bank
    for some in hidden.split(1024):
        fired[left] |= (asked.encode(some[None])[0] > 0).any(dim=0)
        if bank.top_k is None:  # then features do not depend on each other: only those that have not fired are asked
            left = (~fired).nonzero()[:, 0]
            asked = replace(bank, W_enc=bank.W_enc[..., left], b_enc=bank.b_enc[..., left])
    return fired


def _left_out(data: FitData) -> dict[str, int]:
    """Attention sinks among the training tokens, and those among the concept's own; a warning about the latter."""
    sinks = (~data.ordinary)[data.name_tokens(~data.held_out)[0]]
    left_out = {
        "tokens": int((~data.held_out[data.prompt] & ~data.ordinary).sum()),
        "in_the_name": int(sinks.sum()),
    }
    if left_out["in_the_name"]:
        warnings.warn(
            f"{left_out['in_the_name']} tokens of the name {data.concept.name!r} have states many times larger than"
            " others, and the autoencoders were not trained on them. Look at what the eraser does (Handle.explain).",
            stacklevel=2,
        )
    return left_out


def _at_candidates(data: FitData, found: Found, values: Sequence[float]) -> list[float | None]:
    known = dict(zip(data.layers, _rounded(values), strict=True))
    return [known.get(layer) for layer in found.candidates]


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]


def _top_tokens(data: FitData, f: Tensor, count: int = 5) -> list[list[str]]:
    """For each feature, strongest first, the tokens on which its mean activation is highest."""
    ids, which = data.states.token_id[data.where].unique(return_inverse=True)
    means = torch.zeros(len(ids), f.shape[1]).index_add(0, which, f) / which.bincount()[:, None]
    best = means.topk(min(count, len(ids)), dim=0)
    strongest = f.square().sum(dim=0).argsort(descending=True).tolist()
    tokens = data.source.path.tokenizer.convert_ids_to_tokens(ids.tolist())
    return [[tokens[i] for i, v in zip(best.indices[:, j], best.values[:, j], strict=True) if v > 0] for j in strongest]
