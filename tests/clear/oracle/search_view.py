"""What the criteria of the layer search look at, taken from a running fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .criteria import SearchView
from .layer_search import EncoderOutputJudge, roles_of_pairs
from .sae import SaeBank, ordinary_tokens

if TYPE_CHECKING:
    from .fitter import ClearFitter

SEARCH_TOKENS = 4096
"""Tokens of each side on which masks and costs are computed while the search runs; the final ones use all."""


def search_view(fitter: ClearFitter, bank: SaeBank) -> SearchView:
    """The view with the bank as it stands."""
    positives, negatives = fitter.activities(bank, SEARCH_TOKENS)
    mask = fitter.specificity(positives, negatives)
    trials = [
        fitter.try_select(bank, layer, mask[place], positives.energy[place])
        for place, layer in enumerate(fitter.layers)
    ]
    hidden = fitter.activations.hidden
    held_out = (~fitter.train_tokens & ordinary_tokens(hidden)).nonzero()[:, 0]
    return SearchView(
        fitter.config,
        bank,
        positives,
        negatives,
        mask,
        trials,
        fitter.judge,
        (_name_tokens(fitter, held_out=False), _name_tokens(fitter, held_out=True)),
        hidden[:, fitter.sample(held_out, SEARCH_TOKENS)],
    )


def output_judge(fitter: ClearFitter) -> EncoderOutputJudge:
    """The judge of trial edits: probes from the training pairs, measured on the held-out ones."""
    activations, pairs, config = fitter.activations, fitter.prompts.pairs, fitter.config
    paired = activations.prompt < 2 * len(pairs)
    held_out = paired & ~fitter.train_tokens
    train, before, after = (
        activations.at(tokens.nonzero()[:, 0])
        for tokens in (
            paired & fitter.train_tokens,
            held_out & fitter.positive_tokens,
            held_out & ~fitter.positive_tokens,
        )
    )
    positives = [pair.positive for pair in pairs[-config.held_out :]]
    return EncoderOutputJudge(
        fitter.tokenizer, fitter.encoder, (train, pairs), (positives, before, after), form=fitter.form
    )


def _name_tokens(fitter: ClearFitter, *, held_out: bool) -> tuple[Tensor, Tensor]:
    """Block outputs `[L, tokens, d]` where the prompts of a pair differ: of positives, of negatives."""
    positive, negative = (fitter.activations.hidden[:, t] for t in name_places(fitter, held_out=held_out))
    return positive, negative


def name_places(fitter: ClearFitter, *, held_out: bool) -> tuple[Tensor, Tensor]:
    """Which tokens stand where the prompts of a pair differ: of positives, of negatives, `[tokens]` each."""
    activations, n = fitter.activations, len(fitter.prompts.pairs)
    number = torch.arange(len(fitter.positive_prompts))
    wanted = fitter.held_out_prompts if held_out else ~fitter.held_out_prompts
    sides = [
        activations.of_prompts(wanted & mask).nonzero()[:, 0]
        for mask in (fitter.positive_prompts, (number >= n) & (number < 2 * n))
    ]
    roles = roles_of_pairs(*(activations.at(tokens) for tokens in sides))
    positive, negative = (t[r["name"]] for t, r in zip(sides, roles, strict=True))
    return positive, negative
