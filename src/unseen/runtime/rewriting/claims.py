"""Claims that words of a prompt mean a concept, and from which values on they hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from ...concept import Concept
from .matching import Word


class Bounds(NamedTuple):
    """From which values on words mean a concept of one kind. Chosen on development sentences."""

    filler: str
    """What stands for the phrase where the prompt is asked without it."""
    hint: float
    """Least cosine between the views of a word and of a name, for the word to be followed up."""
    margin: float
    """How much closer the word may be to something ordinary."""
    alike: float
    """Least cosine between the views of the phrase and of a name."""
    means: tuple[tuple[float, float, float], ...]
    """Of which one has to be reached: least cosine between the views of the phrase and of a name, how much less the
    phrase has to look like anything ordinary, and least cosine between what phrase and name do in its place."""
    share: float
    """Least share of the name's effect there."""
    least: float
    """Of the name's effect alone: where its effect in a place is less, nothing is concluded."""


BOUNDS = {
    "object": Bounds("thing", 0.25, 0.25, 0.45, ((0.85, -1, 0.3), (0.65, -1, 0.5), (0.6, -1, 0.9)), 0.3, 0.25),
    "identity": Bounds("person", 0.25, 0.3, 0.4, ((0.85, -1, 0.3), (0.5, -1, 0.4), (0.3, -1, 0.9)), 0.25, 0.25),
    "style": Bounds("", 0.25, 0.25, 0.5, ((0.94, -1, 0.55), (0.85, 0.45, 0.65), (0.6, -1, 0.97)), 0.2, 0.1),
    "attribute": Bounds("", 0.25, 2.0, 0.25, ((0.8, -1, 0.15), (0.27, -0.4, 0.5)), 0.4, 0.01),
}
_MORE = 0.15  # of the name's effect, that other words have to do to be exchanged instead
LEAVE = ("style",)  # kinds of which a phrase is spread over many words, so that some of them may be left


@dataclass
class Page:
    """A prompt that is being rewritten."""

    prompt: str
    text: str
    words: list[Word]
    named: list[tuple[int, int]]
    asked: list[int]
    """Places of the content words that stand in no name."""
    abbreviated: list[Claim] = field(default_factory=list)
    """Names with initials, which need not be asked."""
    over: bool = False
    claims: list[Claim] = field(default_factory=list)

    def span(self, first: int, last: int) -> tuple[int, int]:
        """Where a run of words begins and ends, in characters."""
        return self.words[first].start, self.words[last].end

    def said(self, first: int, last: int) -> str:
        """A run of words in lower case."""
        return self.text[slice(*self.span(first, last))].lower()


@dataclass
class Claim:
    """Words of a prompt that may mean a concept."""

    concept: Concept
    first: int
    """Of the words that would be exchanged."""
    last: int
    around: tuple[int, int]
    """First and last word of the phrase that is asked: the words with those that stand directly around them."""
    close: float
    """Of the closest word."""
    long: bool
    """Whether more than the usual is asked, which counts only where the usual does not mean it."""
    alone: float = 0.0
    """Cosine between the views of the phrase and of the name."""
    lead: float = 0.0
    """How much closer it is than that with the view of anything ordinary."""
    score: float = 0.0


def effect_of(does: Tensor, effect: Tensor, least: float) -> tuple[float, float]:
    """How much of `effect` something does, 1 being as much, and the cosine between the two."""
    most = max(float(effect.square().sum()), least, 1e-12)
    return float(does @ effect) / most, float(torch.nn.functional.cosine_similarity(does, effect, dim=0))


def outdone(claim: Claim, other: Claim) -> bool:
    """Whether other words do more, where every word of a phrase shows the concept: "rose and turquoise"."""
    same = claim.concept is other.concept and claim.concept.kind in LEAVE
    return same and overlap(claim, other) and other.score > claim.score + _MORE


def cross(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two spans share a character."""
    return one[0] < other[1] and other[0] < one[1]


def overlap(one: Claim, other: Claim) -> bool:
    """Whether two claims share a word."""
    return one.first <= other.last and other.first <= one.last
