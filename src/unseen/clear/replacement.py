"""What is put in the place of an erased concept: another one that was asked for, or else nothing in particular.

Subtracting the concept leaves tokens that are about no thing, yet are not what the encoder makes of words that name
nothing; a video model does not know what to draw for them, and draws a blur. So the place is given what the encoder
makes of such words. Ours, not the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from ..concept import Concept, Kind, PromptPair
from ..prompts import write_prompts
from ..text_encoder import encode_blocks
from .layer_search import roles_of_pairs

if TYPE_CHECKING:
    from .eraser import ClearEraser
    from .fitter import ClearFitter

_PAIRS = 96
VACANT: dict[Kind, str] = {"object": "thing", "identity": "a person"}
"""By kind of concept, the words that name nobody and nothing in particular. Without a style or an attribute the rest of
the prompt still says what to draw."""


def stand_in(concept: Concept, *, vacancy: bool) -> str | None:
    """What takes the concept's place: `replace_with`, else with `vacancy` the words of `VACANT`; None for nothing."""
    if concept.replace_with is not None or not vacancy:
        return concept.replace_with
    words = VACANT.get(concept.kind)
    return None if words is None or concept.is_mentioned_in(words) else words


def replacement(fitter: ClearFitter, eraser: ClearEraser, other_name: str) -> Tensor:
    """What to add where the concept was erased, `[d]`: the other name less what erasing leaves of the concept's.

    Both are means over the tokens of the names, at the eraser's block.
    """
    other = Concept(other_name, fitter.concept.kind)
    ours = fitter.prompts.pairs[:_PAIRS]
    theirs = write_prompts(other, seed=fitter.seed, pairs=len(ours), neutral=0).pairs
    return _name_mean(fitter, eraser, theirs, erase=False) - _name_mean(fitter, eraser, ours, erase=True)


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
        f = eraser.active_features(hidden) * eraser.mask
        hidden = hidden - eraser.strength * eraser.scale * (f @ eraser.W_dec)
    return hidden[roles_of_pairs(*sides)[0]["name"]].mean(dim=0)
