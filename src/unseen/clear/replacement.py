"""What is put in the place of an erased concept when another one is to appear there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from ..concept import Concept, PromptPair
from ..prompts import write_prompts
from ..text_encoder import encode_blocks
from .layer_search import roles_of_pairs

if TYPE_CHECKING:
    from .eraser import ClearEraser
    from .fitter import ClearFitter

_PAIRS = 96


def replacement(fitter: ClearFitter, eraser: ClearEraser) -> Tensor:
    """What to add where the concept was erased, `[d]`: the other concept's name less what erasing leaves of this one's.

    Both are means over the tokens of the names, at the eraser's block.
    """
    assert fitter.concept.replace_with is not None
    other = Concept(fitter.concept.replace_with, fitter.concept.kind)
    theirs = write_prompts(other, seed=fitter.seed, pairs=_PAIRS, neutral=0).pairs
    return _name_mean(fitter, eraser, theirs, erase=False) - _name_mean(
        fitter, eraser, fitter.prompts.pairs[:_PAIRS], erase=True
    )


def _name_mean(fitter: ClearFitter, eraser: ClearEraser, pairs: Sequence[PromptPair], *, erase: bool) -> Tensor:
    """Mean block output on the tokens that name what the pairs are about, `[d]`; with `erase`, what erasing leaves."""
    sides = [
        encode_blocks(
            fitter.tokenizer, fitter.encoder, [pair[side] for pair in pairs], fitter.form, layers=[eraser.layer]
        )
        for side in (0, 1)
    ]
    hidden = sides[0].hidden[0]
    if erase:
        hidden = hidden - eraser.scale * (eraser.active_features(hidden) * eraser.mask @ eraser.W_dec)
    return hidden[roles_of_pairs(*sides)[0]["name"]].mean(dim=0)
