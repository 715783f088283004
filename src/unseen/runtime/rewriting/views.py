"""Previews of texts in coordinates in which ordinary things are spread evenly, remembered while the weights stay."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary, ref

import torch
from torch import Tensor, nn

from ...encoder.layers import eager
from ...pipelines import encode_texts, preview, preview_length, weights_state
from ...prompts import lexicon

_SHARPEN = 0.25  # exponent: directions in which ordinary things differ much count for less, so that two that look
# alike, a parachute and a balloon, are told apart; 0.5 would be whitening
_RIDGE = 0.1
_KEPT = 32768
REFERENCES = tuple(
    dict.fromkeys(
        [
            *lexicon.THINGS[::2],
            *lexicon.PEOPLE[::3],
            *lexicon.PLACES[::2],
            *lexicon.MEDIA[::3],
            *lexicon.ATTRIBUTES[::4],
        ]
    )
)
"""Ordinary things, people, places, media and properties: what a phrase may mean if not a concept."""
RIVALS = (*lexicon.THINGS, *lexicon.PEOPLE)
"""What may look much like an object that is a concept, and yet be something else."""
_RIVAL = (0.6, 0.86)  # cosines with a name between which a rival is alike and not the concept itself
_SAME = 0.6  # cosine from which on a reference is the concept itself
_IS = 0.8  # cosine from which on a phrase is a rival


class Views:
    """What one pipeline's model sees in texts that are padded to one length. Not to be shared between threads."""

    basis: Tensor
    references: Tensor
    """Unit coordinates of the references, `[references, coordinates]`."""

    def __init__(self, pipe: Any, length: int):
        self.length = length
        self._known: OrderedDict[str, Tensor] = OrderedDict()
        texts = list(REFERENCES)
        views = self._preview(pipe, texts)
        self._mean = views.mean(dim=0)
        _, values, rows = torch.linalg.svd(views - self._mean, full_matrices=False)
        variance = values.square() / len(views)
        spread = (variance + _RIDGE * variance.mean()).clamp_min(torch.finfo(variance.dtype).tiny)
        self.basis = (rows / spread[:, None].pow(_SHARPEN)).T
        seen = (views - self._mean) @ self.basis
        self.references = nn.functional.normalize(seen, dim=-1)
        self._known.update(zip(texts, seen, strict=True))

    def of(self, pipe: Any, texts: Sequence[str]) -> Tensor:
        """Coordinates of texts, `[texts, coordinates]`; what was seen before is not looked at again."""
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        if new:
            self._known.update(zip(new, self.coordinates(self._preview(pipe, new)), strict=True))
        for text in texts:
            self._known.move_to_end(text)
        found = torch.stack([self._known[text] for text in texts]) if texts else self._mean.new_empty(0)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return found

    def coordinates(self, previews: Tensor) -> Tensor:
        """Of previews at this length `[texts, values]`, in which `of` gives those of texts: `[texts, coordinates]`."""
        return (previews - self._mean) @ self.basis

    def unit(self, pipe: Any, texts: Sequence[str]) -> Tensor:
        """The same, of unit length: products are cosines."""
        return nn.functional.normalize(self.of(pipe, texts), dim=-1)

    def closeness(self, pipe: Any, names: Sequence[str], seen: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines `[n]` of views `[n, coordinates]` of unit length with the closest of `names`, and with the closest
        reference that is not like them."""
        named = self.unit(pipe, names)
        alike = (self.references @ named.T).amax(dim=1) >= _SAME
        return (seen @ named.T).amax(dim=1), (seen @ self.references.T).masked_fill(alike, -1.0).amax(dim=1)

    def rival(self, pipe: Any, names: Sequence[str], seen: Tensor) -> float:
        """The cosine of a view, `[1, coordinates]`, with the rival of `names` that it is; -1 if it is none."""
        rivals = self.unit(pipe, RIVALS)
        like = (rivals @ self.unit(pipe, names).T).amax(dim=1)
        close = (rivals @ seen[0]).masked_fill((like < _RIVAL[0]) | (like >= _RIVAL[1]), -1.0).amax()
        return float(close) if close >= _IS else -1.0

    def knows(self, text: str) -> bool:
        """Whether a text was seen before."""
        return text in self._known

    def _preview(self, pipe: Any, texts: Sequence[str]) -> Tensor:
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))  # alike in length: little padding
        rows = encode_texts(pipe, [texts[place] for place in order], self.length)
        views = preview(pipe, rows, self.length)
        return views[torch.tensor(order).argsort()]


class _Remembered:
    """The views of one transformer, and what they came from."""

    def __init__(self, encoder: nn.Module, state: tuple):
        self.encoder, self.state = ref(encoder), state
        self.by_length: dict[int, Views] = {}


_REMEMBERED: WeakKeyDictionary[nn.Module, _Remembered] = WeakKeyDictionary()
LOCK = RLock()
"""Held while views are looked up and made: one preview at a time."""


def views_of(pipe: Any, length: int) -> tuple[Views, tuple]:
    """The views of a pipeline's present parts and weights for prompts that are encoded at `length`, and a mark that
    differs once parts or weights have changed."""
    encoder, transformer = eager(pipe.text_encoder), eager(pipe.transformer)
    state = (id(encoder), id(transformer), weights_state(encoder), weights_state(transformer))
    known = _REMEMBERED.get(transformer)
    if known is None or known.encoder() is not encoder or known.state != state:
        known = _REMEMBERED[transformer] = _Remembered(encoder, state)
    length = preview_length(pipe, length)
    if length not in known.by_length:  # from the length alone: what is rewritten depends on no other call
        known.by_length[length] = Views(pipe, length)
    return known.by_length[length], state
