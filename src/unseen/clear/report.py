"""What a fit reports about itself, as plain JSON-able values. Lists per block are indexed by block."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .eraser import ClearEraser
from .gate import prompt_maxima
from .layer_search import LayerCosts, LayerPreferences
from .sae import SaeBank, ordinary_tokens, statistics
from .search_view import name_places
from .specificity import activity, leak

if TYPE_CHECKING:
    from .fitter import ClearFitter


def describe(
    fitter: ClearFitter, bank: SaeBank, eraser: ClearEraser, preferences: LayerPreferences, costs: Sequence[LayerCosts]
) -> dict[str, Any]:
    """Facts about a finished fit.

    Lists per block are ordered as `layers`. `preferences` holds α after every round, `costs` the last round's; `fvu`,
    `l0` and `dead` are per block, the first two on held-out prompts; `fired_on` is the share of prompts that the eraser
    would change at all. `left_out` counts training tokens of extraordinary norm, on which the autoencoders were not
    trained, and how many of them stand in the concept's own name; these are warned about.
    """
    hidden = fitter.activations.hidden
    ordinary = ordinary_tokens(hidden)
    held_out = (~fitter.train_tokens & ordinary).nonzero()[:, 0]
    seen = fitter.sae_tokens[:8192]
    quality = statistics(bank, hidden[:, held_out], hidden[:, seen])
    left_out = {
        "tokens": int((fitter.train_tokens & ~ordinary).sum()),
        "in_the_name": int((~ordinary)[name_places(fitter, held_out=False)[0]].sum()),
    }
    if left_out["in_the_name"]:
        warnings.warn(
            f"{left_out['in_the_name']} tokens of the name {fitter.concept.name!r} have states many times larger than"
            " others, and the autoencoders were not trained on them. Look at what the eraser does (Handle.explain).",
            stacklevel=2,
        )
    f = fitter.features_of(eraser)
    fired = (
        prompt_maxima(f.sum(dim=-1, keepdim=True), fitter.activations.prompt, len(fitter.positive_prompts))[:, 0] > 0
    )
    sides = [activity(f[side & fitter.train_tokens]) for side in (fitter.positive_tokens, ~fitter.positive_tokens)]
    same_word = fitter.same_word_prompts
    groups = {
        "held_out_positives": fitter.held_out_prompts & fitter.positive_prompts,
        "held_out_negatives": fitter.held_out_prompts & ~fitter.positive_prompts,
        "same_word": same_word,
    }
    last = {"total": costs[-1].total, **costs[-1].parts} if costs else {}
    return {
        "layer": eraser.layer,
        "strength": eraser.strength,
        "layers": list(fitter.searched),
        "preferences": [_rounded(alpha) for alpha in preferences.history],
        "costs": {name: _rounded(values.tolist()) for name, values in last.items()},
        **{name: _spread(fitter, values) for name, values in quality.items()},
        "features": eraser.num_features,
        "leak": float(leak(sides[0], sides[1], torch.ones(eraser.num_features))),
        "fired_on": {
            name: round(float(fired[group].float().mean()), 4) for name, group in groups.items() if group.any()
        },
        "top_tokens": _top_tokens(fitter, f),
        "prompts": {name: len(getattr(fitter.prompts, name)) for name in ("pairs", "retain", "same_word")},
        "special_tokens_trained": bool(fitter.activations.special[fitter.sae_tokens].any()),
        "left_out": left_out,
        "seed": fitter.seed,
    }


def only_numbers(report: dict[str, Any]) -> dict[str, Any]:
    """The report as it will be read from a file: a figure that is not finite is None."""
    return json.loads(json.dumps(report), parse_constant=lambda name: None)


def _spread(fitter: ClearFitter, values: Sequence[float]) -> list[float | None]:
    """Values of the blocks that the search kept, at their places among all; None at those that it dropped."""
    spread: list[float | None] = [None] * len(fitter.searched)
    for place, value in zip(fitter.kept, _rounded(values), strict=True):
        spread[place] = value
    return spread


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 4) for value in values]


def _top_tokens(fitter: ClearFitter, f: Tensor, count: int = 5) -> list[list[str]]:
    """For each feature, strongest first, the tokens on which its mean activation is highest."""
    ids, which = fitter.activations.token_id.unique(return_inverse=True)
    means = torch.zeros(len(ids), f.shape[1]).index_add(0, which, f) / which.bincount()[:, None]
    best = means.topk(min(count, len(ids)), dim=0)
    strongest = f.square().sum(dim=0).argsort(descending=True).tolist()
    tokens = fitter.tokenizer.convert_ids_to_tokens(ids.tolist())
    return [[tokens[i] for i, v in zip(best.indices[:, j], best.values[:, j], strict=True) if v > 0] for j in strongest]
