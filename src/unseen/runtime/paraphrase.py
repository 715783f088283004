"""Which phrases of a prompt mean a concept, in whatever words: the video model is asked. Ours, not the paper's.

A fit knows the names it was given. A prompt may say the same in other words, which set off no feature of the concept.
But the video model knows what it would draw for them. So every phrase of a prompt is shown to it alone, and one that
looks like the concept is tried in its place in the prompt: does it do there what the name would do? Such a phrase is
exchanged for the name before the prompt is encoded, and erased there as ever.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..concept import Concept
from ..pipelines import first_sight
from ..prompts import lexicon as lexicon
from ..prompts.writer import with_article
from .phrases import Phrase, overlap, phrases

ALIKE = 0.55
"""Least cosine between the views of a phrase and of a name, for the phrase to be tried in its place."""
MEANT = 0.4
"""Least share of the name's effect in that place, for the phrase to mean the concept."""
NEARLY = 0.1
"""How much less alike a phrase may be than one that it overlaps, to be exchanged in its stead."""
_SHARPEN = 0.25  # exponent: directions in which ordinary things differ much count for less, so that two that look
# alike at first sight, a parachute and a balloon, are told apart; 0.5 would be whitening
_RIDGE = 0.1
_UNSEEN = 0.25  # of the name's effect alone: where its effect in a place is less than that, nothing is concluded
_NOTHING = "thing"
_KEPT = 32768  # views and prompts that were read last
_TRIED = 3  # wordings of a claim
_DETERMINER = re.compile(r"\b(an?|the)\s+$", re.IGNORECASE)
_INNER = re.compile(r"\s(an?)\s", re.IGNORECASE)  # "footage of a valve horn": more than the thing
_ARTICLE = re.compile(r"\b([Aa])n?\s+$")


class _Claim(NamedTuple):
    close: float
    concept: Concept
    span: Phrase


class Read(NamedTuple):
    """How a prompt is read."""

    text: str
    """The prompt with every mention exchanged for its concept's name."""
    mentions: tuple[tuple[str, Phrase], ...]
    """Name of the concept and where it was mentioned, in order."""


class Views:
    """What one pipeline's model sees, in coordinates in which ordinary things are spread evenly."""

    def __init__(self, pipe: Any, max_sequence_length: int | None):
        self.max_sequence_length = max_sequence_length
        self._known: OrderedDict[str, Tensor] = OrderedDict()
        seen = first_sight(
            pipe, [with_article(thing) for thing in lexicon.THINGS], max_sequence_length=self.max_sequence_length
        )
        self._mean = seen.mean(dim=0)
        _, values, rows = torch.linalg.svd(seen - self._mean, full_matrices=False)
        variance = values.square() / len(seen)
        self._basis = (rows / (variance + _RIDGE * variance.mean())[:, None].pow(_SHARPEN)).T

    def of(self, pipe: Any, texts: Sequence[str]) -> Tensor:
        """Coordinates of texts, `[texts, things]`; what was seen before is not looked at again."""
        new = list(dict.fromkeys(text for text in texts if text not in self._known))
        if new:
            seen = (first_sight(pipe, new, max_sequence_length=self.max_sequence_length) - self._mean) @ self._basis
            self._known.update(zip(new, seen, strict=True))
        for text in texts:
            self._known.move_to_end(text)
        found = torch.stack([self._known[text] for text in texts])
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return found


_VIEWS: WeakKeyDictionary[Any, dict[int | None, Views]] = WeakKeyDictionary()
"""By pipeline and padded length; whatever erasers are attached, the model sees the same."""


class Reader:
    """Reads prompts for the erasers of `concepts`; each reads the prompt as it came, so their order does not matter."""

    def __init__(self, pipe: Any, concepts: Sequence[Concept]):
        self.pipe = pipe
        self.concepts = sorted({concept.name: concept for concept in concepts}.values(), key=lambda c: c.name)
        self._read: OrderedDict[tuple[str, int | None], Read] = OrderedDict()

    def read(self, prompt: str, max_sequence_length: int | None = None) -> Read:
        """`prompt` as it is to be encoded. No hook on the text encoder may edit anything meanwhile."""
        key = (prompt, max_sequence_length)
        if key not in self._read:
            self._read[key] = self._decide(prompt, max_sequence_length)
            if len(self._read) > _KEPT:
                self._read.popitem(last=False)
        return self._read[key]

    def _views(self, max_sequence_length: int | None) -> Views:
        known = _VIEWS.setdefault(self.pipe, {})
        if max_sequence_length not in known:
            known[max_sequence_length] = Views(self.pipe, max_sequence_length)
        return known[max_sequence_length]

    def _decide(self, prompt: str, max_sequence_length: int | None) -> Read:
        known = "|".join(re.escape(name) for concept in self.concepts for name in concept.names)
        named = [m.span() for m in re.finditer(rf"(?<!\w)(?:{known})(?!\w)", prompt, re.IGNORECASE)]
        spans = [s for s in phrases(prompt) if not any(s.start < end and start < s.end for start, end in named)]
        if not spans:
            return Read(prompt, ())
        views = self._views(max_sequence_length)
        seen = nn.functional.normalize(views.of(self.pipe, [with_article(span.text) for span in spans]), dim=-1)
        claims = []
        for concept in self.concepts:
            names = views.of(self.pipe, [with_article(name) for name in concept.names])
            close = (seen @ nn.functional.normalize(names, dim=-1).T).amax(dim=1).tolist()
            claims += [_Claim(near, concept, span) for span, near in zip(spans, close, strict=True) if near >= ALIKE]
        claims.sort(key=lambda claim: (-claim.close, claim.concept.name, claim.span))
        taken: list[tuple[Concept, Phrase]] = []
        for claim in claims:
            out = [span for _, span in taken]
            for concept, span in _wordings(prompt, claim, claims):
                if any(overlap(span, other) for other in out):
                    continue
                share = self._share(views, prompt, concept, span, out)
                if share >= MEANT:
                    taken.append((concept, span._replace(score=share)))
                    break
        taken.sort(key=lambda claim: claim[1].start)
        text = _exchanged(prompt, [(found, concept.name) for concept, found in taken])
        return Read(text, tuple((concept.name, found) for concept, found in taken))

    def _share(self, views: Views, prompt: str, concept: Concept, span: Phrase, taken: Sequence[Phrase]) -> float:
        """How much of what the name would do in the place of `span` the phrase does; 0 = as "thing", 1 = as the name.

        Mentions found already are out of the way for it.
        """
        out = [(other, _NOTHING) for other in taken]
        texts = [_exchanged(prompt, [*out, *here]) for here in ([], [(span, concept.name)], [(span, _NOTHING)])]
        asked, named, without, alone, nothing = views.of(
            self.pipe, [*texts, with_article(concept.name), with_article(_NOTHING)]
        )
        effect = named - without
        most = max(float(effect.square().sum()), _UNSEEN * float((alone - nothing).square().sum()), 1e-12)
        return float((asked - without) @ effect) / most


def _wordings(prompt: str, claim: _Claim, claims: Sequence[_Claim]) -> list[tuple[Concept, Phrase]]:
    """What may be exchanged for a claim: the phrases about as close that overlap it, whole noun phrases first."""

    def rank(span: Phrase) -> tuple[bool, int]:
        whole = _DETERMINER.search(prompt[: span.start]) is not None and not _INNER.search(span.text)
        return not whole, span.start - span.end

    rivals = {
        other.span
        for other in claims
        if other.concept is claim.concept and other.close >= claim.close - NEARLY and overlap(other.span, claim.span)
    }
    return [(claim.concept, span) for span in sorted(rivals, key=rank)[:_TRIED]]


def _exchanged(prompt: str, exchanges: Sequence[tuple[Phrase, str]]) -> str:
    """`prompt` with every span, none of which overlap, exchanged for a word, an "a" or "an" before it adapted."""
    for span, word in sorted(exchanges, key=lambda exchange: -exchange[0].start):
        before = _ARTICLE.sub(r"\1n " if word[0].lower() in "aeiou" else r"\1 ", prompt[: span.start])
        prompt = before + word + prompt[span.end :]
    return prompt


class Rewrite(NamedTuple):
    """How a prompt is encoded."""

    text: str
    mentions: tuple[tuple[str, Phrase], ...]


class Rewriter:
    """Stands in until paraphrases are rewritten anew."""

    def __init__(self, pipe: Any, concepts: Sequence[Concept]):
        self._reader = Reader(pipe, concepts)

    def rewrite(self, prompts: Sequence[str], max_sequence_length: int | None = None) -> list[Rewrite]:
        return [Rewrite(*self._reader.read(prompt, max_sequence_length)) for prompt in prompts]


def can_preview(pipe: Any) -> str | None:
    from ..pipelines import has_first_sight

    return None if has_first_sight(pipe) else "its video model cannot be asked"
