"""What is put in the place of an erased concept: another one that was asked for, or else nothing in particular.

Subtracting the concept leaves tokens that are about no thing, yet are not what the encoder makes of words that name
nothing; a video model does not know what to draw for them, and draws a blur. So the place is given what the encoder
makes of such words. Ours, not the paper's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..concept import Concept, Kind
from ..encoder.activations import encode_by_length
from ..prompts.writer import write_prompts
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


def exchange(fitter: ClearFitter, eraser: ClearEraser, other_name: str) -> tuple[Tensor, Tensor]:
    """`target` and `mean_edit` of an eraser whose concept gives way to `other_name`, both `[d]`.

    T − h̄, from the mean state of the concept's tokens to that of the other's, and v̄, the mean of what γ = 1 subtracts
    from the concept's. Both are means over the tokens of the names, at the eraser's layer.
    """
    ours = len(fitter.prompts.pairs[:_PAIRS])
    prompts, place = torch.arange(len(fitter.positive_prompts)), fitter.place_of(eraser.layer)
    of_pairs, activations = len(fitter.prompts.pairs), fitter.activations
    sides = [
        activations.of_prompts((prompts >= first) & (prompts < first + ours)).nonzero()[:, 0] for first in (0, of_pairs)
    ]
    named = sides[0][roles_of_pairs(*(activations.at(tokens) for tokens in sides))[0]["name"]]
    hidden = activations.hidden[place, named]
    f = eraser.active_features(hidden) * eraser.mask
    mean_edit = (eraser.scale * (f @ eraser.W_dec)).mean(dim=0)
    return _mean_of(other_name, fitter, eraser.layer, ours) - hidden.mean(dim=0), mean_edit


def _mean_of(name: str, fitter: ClearFitter, layer: int, pairs: int) -> Tensor:
    """Mean output of block `layer` on the tokens of `name`, `[d]`; read once for all concepts fitted together."""
    kind, known = fitter.concept.kind, fitter.stand_ins
    if (name, kind, layer) not in known:
        made = write_prompts(Concept(name, kind), seed=fitter.seed, pairs=pairs, retain=0).pairs
        texts = [pair[side] for side in (0, 1) for pair in made]
        read = encode_by_length(fitter.tokenizer, fitter.encoder, texts, fitter.form, layers=fitter.layers)
        positive = (read.prompt < len(made)).nonzero()[:, 0]
        roles = roles_of_pairs(read.at(positive), read.at((read.prompt >= len(made)).nonzero()[:, 0]))
        means = read.hidden[:, positive[roles[0]["name"]]].mean(dim=1)
        known.update({(name, kind, block): mean for block, mean in zip(fitter.layers, means, strict=True)})
    return known[name, kind, layer]
