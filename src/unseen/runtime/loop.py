"""The closed loop: before the denoiser is given a prompt, ask whether the concept is still in it. Ours.

Erasers act on words that they know, and rewriting on phrases that mean the concept. Several words that a search found
may bring it back together although none of them means it alone. So the words that look like the concept are left out
together: does the video model then expect as much less as its name would have added there? What it expects is a preview
of the prompt as the erasers leave it. If so, these words are taken away, and what is left is asked again.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ..concept import Concept
from ..errors import ResidualConceptError
from ..pipelines import default_length, encode_texts, preview, preview_length
from .call import EncodeCall, during
from .claims import BOUNDS, effect_of
from .matching import as_matched, exchanged, is_named, within, words
from .views import LOCK, Views, views_of

log = logging.getLogger("unseen")

LOOP_VERSION = 1
"""Goes up whenever a prompt may be settled otherwise."""
OnResidual = Literal["erase", "refuse", "warn"]
"""What happens to a prompt that still leads to an erased concept once the words that carry it are gone: the empty
prompt is encoded instead, it is refused, or it passes and is logged."""
ON_RESIDUAL = ("erase", "refuse", "warn")
ROUNDS = 2
"""How often words are taken away."""
HINT = 0.4
"""Least cosine between the previews of a word and of the concept's name, for the word to be asked about."""
SHARE, WAY = 0.25, 0.4
"""Of what the name does in the place of the words: least share that they do, and least cosine between the two. All
three were chosen on development attacks and development prompts."""
_SETS = 3  # of words that are left out: the one most like the concept, two, three, ...
_KEPT = 32768
_TEXTS = 32  # encoded at a time

Span = tuple[int, int]


class Settled(NamedTuple):
    """A prompt after the closed loop."""

    text: str
    """As it is encoded."""
    found: tuple[str, ...] = ()
    """Names of concepts that it still led to."""
    taken: tuple[str, ...] = ()
    """Words that were taken away."""
    left: tuple[str, ...] = ()
    """Names of concepts that it leads to even so."""


class _Question(NamedTuple):
    """Whether some words of a prompt bring a concept back."""

    concept: Concept
    sets: tuple[tuple[Span, ...], ...]
    """Of words to leave out, each with those of the one before."""


class Loop:
    """Asks what is left of concepts in prompts. Several threads may call one loop."""

    def __init__(self, pipe: Any, unedited: Callable[[], AbstractContextManager[Any]], on_residual: OnResidual) -> None:
        """`unedited()` is a context in which the text encoder runs without erasers."""
        self.length = default_length(pipe)
        """Positions that prompts are encoded at unless it is said otherwise."""
        self.on_residual = on_residual
        self._pipe, self._unedited = pipe, unedited
        self._settled: OrderedDict[tuple, Settled] = OrderedDict()
        self._state: tuple = ()

    def settle(self, texts: Sequence[str], concepts: Mapping[str, Concept], mark: Any, length: int) -> list[Settled]:
        """What is to be encoded for each of the texts, in which the `concepts`, by name, are erased.

        `mark` tells apart what the erasers do: another choice or strength.

        Raises:
            ResidualConceptError: a text leads to a concept even so, and that is to be refused.
        """
        with LOCK:
            views = self._views(length)
            new = [t for t in dict.fromkeys(texts) if (t, mark, length) not in self._settled]
            if new:
                done = self._decided(views, new, list(concepts.values()), length)
                self._settled.update({(t, mark, length): one for t, one in zip(new, done, strict=True)})
            found = [self._settled[text, mark, length] for text in texts]
            while len(self._settled) > _KEPT:
                self._settled.popitem(last=False)
        for settled in found:
            self._act(settled)
        return found

    def residuals(self, texts: Sequence[str], concepts: Mapping[str, Concept], length: int) -> dict[str, Tensor]:
        """By concept what each text does of what its name would do, `[texts]`; see `SHARE`."""
        with LOCK:
            views, listed = self._views(length), list(concepts.values())
            matched = [self._matched(text, length) for text in texts]
            asked = [self._questions(views, text, listed) for text in matched]
            found = self._answers(views, matched, asked, length)
        shares = {name: torch.zeros(len(texts)) for name in concepts}
        for place, (questions, answers) in enumerate(zip(asked, found, strict=True)):
            for question, answer in zip(questions, answers, strict=True):
                shares[question.concept.name][place] = max(answer)
        return shares

    def _views(self, length: int) -> Views:
        with self._unedited():
            views, state = views_of(self._pipe, length)
        if state != self._state:
            self._settled.clear()
            self._state = state
        return views

    def _act(self, settled: Settled) -> None:
        if not settled.left:
            return
        names = ", ".join(settled.left)
        if self.on_residual == "refuse":
            raise ResidualConceptError(
                f"the prompt leads to {names} even without the words that seemed to carry it. Put it in other words, or"
                ' attach with on_residual="erase" to generate from the empty prompt instead.'
            )
        log.warning("a prompt leads to %s past the erasers (on_residual=%r)", names, self.on_residual)

    def _decided(self, views: Views, texts: Sequence[str], concepts: Sequence[Concept], length: int) -> list[Settled]:
        now = [self._matched(text, length) for text in texts]
        done = [Settled(text) for text in texts]
        open_ = list(range(len(texts)))
        for turn in range(ROUNDS + 1):
            asked = [self._questions(views, now[place], concepts) for place in open_]
            answers = self._answers(views, [now[place] for place in open_], asked, length)
            still = []
            for place, questions, shares in zip(open_, asked, answers, strict=True):
                over = [(q, s) for q, s in zip(questions, shares, strict=True) if max(s) >= SHARE]
                if not over:
                    continue
                names = tuple(question.concept.name for question, _ in over)
                found = (*done[place].found, *(name for name in names if name not in done[place].found))
                if turn == ROUNDS:
                    text = "" if self.on_residual == "erase" else now[place]
                    done[place] = Settled(text, found, done[place].taken, names)
                    continue
                spans = {span for question, shares_ in over for span in question.sets[shares_.index(max(shares_))]}
                taken = (*done[place].taken, *(now[place][slice(*span)] for span in sorted(spans)))
                now[place] = exchanged(now[place], [(span, "") for span in _apart(spans)])
                done[place] = Settled(now[place], found, taken)
                still.append(place)
            open_ = still
        return done

    def _matched(self, text: str, length: int) -> str:
        return within(self._pipe.tokenizer, as_matched(self._pipe, text), length)

    def _questions(self, views: Views, text: str, concepts: Sequence[Concept]) -> list[_Question]:
        """Which words to leave out, by concept; none for a prompt that is far from all of them."""
        seen = [word for word in words(text) if word.content]
        if not seen:
            return []
        with self._unedited():
            alone = views.unit(self._pipe, [word.text for word in seen])
            close = [(alone @ views.unit(self._pipe, c.names).T).amax(dim=1).tolist() for c in concepts]
        asked = []
        for concept, cosines in zip(concepts, close, strict=True):
            named = is_named(concept.names, text)
            hints = [((w.start, w.end), near) for w, near in zip(seen, cosines, strict=True) if near >= HINT
                     and not any(w.start < end and start < w.end for start, end in named)]  # fmt: skip
            if not hints:  # a name alone is the erasers' business, which know "church" from "church bell"
                continue
            spans = [*named, *(span for span, _ in sorted(hints, key=lambda hint: -hint[1]))]
            sets = [tuple(spans[: n + 1]) for n in range(min(_SETS, len(spans)))]
            if len(spans) > _SETS:
                sets[-1] = tuple(spans)
            asked.append(_Question(concept, tuple(sets)))
        return asked

    def _answers(
        self, views: Views, texts: Sequence[str], asked: Sequence[Sequence[_Question]], length: int
    ) -> list[list[list[float]]]:
        """By text, question and set, the share of the name's effect that the words have; 0 where they lead
        elsewhere."""
        pages = list(zip(texts, asked, strict=True))
        edited = [said for text, questions in pages for said in _left_out(text, questions)]
        bare = [said for text, questions in pages for said in _named(text, questions)]
        if not edited:
            return [[] for _ in texts]
        seen = iter(views.coordinates(self._edited(edited, length)))
        with self._unedited():
            plain = iter(views.of(self._pipe, bare))
        found: list[list[list[float]]] = []
        for questions in asked:
            whole = next(seen) if questions else torch.empty(0)
            found.append([])
            for question in questions:
                bounds = BOUNDS[question.concept.kind]
                name, nothing = next(plain), next(plain)
                least = bounds.least * float((name - nothing).square().sum())
                shares = []
                for _ in question.sets:
                    with_name, without = next(plain), next(plain)
                    share, way = effect_of(whole - next(seen), with_name - without, least)
                    shares.append(share if way >= WAY else 0.0)
                found[-1].append(shares)
        return found

    def _edited(self, texts: Sequence[str], length: int) -> Tensor:
        """Previews of texts as the erasers leave them, `[texts, values]`."""
        rows: list[Tensor] = []
        for start in range(0, len(texts), _TEXTS):
            part = tuple(texts[start : start + _TEXTS])
            with during(EncodeCall(self, texts=part)):  # which names are said is told row by row
                rows += encode_texts(self._pipe, part, length)
        with during(EncodeCall(self)):
            return preview(self._pipe, rows, preview_length(self._pipe, length))


def _apart(spans: Any) -> list[Span]:
    """Spans in order, without those that lie in another."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not kept or span[0] >= kept[-1][1]:
            kept.append(span)
    return kept


def _left_out(text: str, questions: Sequence[_Question]) -> list[str]:
    """The prompt, and without each set."""
    without = [exchanged(text, [(s, "") for s in _apart(spans)]) for q in questions for spans in q.sets]
    return [text, *without] if questions else []


def _named(text: str, questions: Sequence[_Question]) -> list[str]:
    """By question the name, what stands for it, and for each set the prompt with the name in its place and
    without."""
    texts = []
    for concept, sets in questions:
        texts += [concept.name, BOUNDS[concept.kind].filler or "a thing"]
        for spans in sets:
            first, *others = _apart(spans)
            away = [(span, "") for span in others]
            texts += [exchanged(text, [(first, put), *away]) for put in (concept.name, "")]
    return texts
