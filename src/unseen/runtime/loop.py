"""The closed loop: before the denoiser is given a prompt, ask whether the concept is still in it. Ours.

Erasers act on words that they know, and rewriting on phrases that mean the concept. Several words that a search found
may bring it back together although none of them means it alone. So the words of a prompt that look like the concept are
put together and encoded as the erasers leave them: does the video model expect the concept even so, rather than
anything else? If so, the clauses that they stand in are taken away, since words beside them may carry what is left,
and the rest is asked again.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..concept import Concept
from ..errors import ResidualConceptError
from ..pipelines import default_length, encode_texts, preview, preview_length
from .call import EncodeCall, during
from .claims import BOUNDS
from .matching import Word, as_matched, exchanged, is_named, within, words
from .views import LOCK, Views, views_of

log = logging.getLogger("unseen")

LOOP_VERSION = 1
"""Goes up whenever a prompt may be settled otherwise."""
OnResidual = Literal["erase", "refuse", "warn"]
"""What happens to a prompt that still leads to an erased concept once the words that carry it are gone: the empty
prompt is encoded instead, it is refused, or it passes and is logged."""
ON_RESIDUAL = ("erase", "refuse", "warn")
ROUNDS = 3
"""How often words are taken away."""
HINT, WEAK = 0.35, 0.2
"""Least cosine between the previews of a word and of the concept's name, for the word to be asked about, and for it to
be put together with others."""
ALIKE = 0.45
"""Least cosine between the previews of the name and of such words as the erasers leave them. All three were chosen on
development attacks and development prompts."""
KINDS = ("object", "identity", "attribute")
"""Kinds of concepts that are asked about. Words for one style look so much like another that the loop took other styles
away: on the suite `attacks` a style's neighbors kept 40 % of their frames, and 100 % without it."""
_TOGETHER = (1, 2, 4)  # words most like the concept that are asked together; beside them the clause of the first
_NOBODY = frozenset(bounds.filler for bounds in BOUNDS.values())  # a scene without anybody shows whom it likes
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
    """What was taken away."""
    left: tuple[str, ...] = ()
    """Names of concepts that it leads to even so."""


class _Question(NamedTuple):
    """Whether some words of a prompt bring a concept back."""

    concept: Concept
    phrase: str
    """The words, in order and in lower case."""
    clauses: tuple[Span, ...]
    """That they stand in."""


class Loop:
    """Asks what is left of concepts in prompts. Several threads may call one loop."""

    def __init__(self, pipe: Any, unedited: Callable[[], AbstractContextManager[Any]], on_residual: OnResidual) -> None:
        """`unedited()` is a context in which the text encoder runs without erasers."""
        self.length = default_length(pipe)
        """Positions that prompts are encoded at unless it is said otherwise."""
        self.on_residual = on_residual
        self._pipe, self._unedited = pipe, unedited
        self._settled: OrderedDict[tuple, Settled] = OrderedDict()
        self._phrases: OrderedDict[tuple, Tensor] = OrderedDict()
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
                done = self._decided(views, new, list(concepts.values()), mark, length)
                self._settled.update({(t, mark, length): one for t, one in zip(new, done, strict=True)})
            found = [self._settled[text, mark, length] for text in texts]
            while len(self._settled) > _KEPT:
                self._settled.popitem(last=False)
        for settled in found:
            self._act(settled)
        return found

    def residuals(
        self, texts: Sequence[str], concepts: Mapping[str, Concept], mark: Any, length: int
    ) -> dict[str, Tensor]:
        """By concept how much words of each text look like it after the erasers have acted, `[texts]`: the cosine with
        its name; 0 where they look more like something else. See `ALIKE`."""
        with LOCK:
            views = self._views(length)
            asked = [self._questions(views, self._matched(text, length), list(concepts.values())) for text in texts]
            answers = self._answers(views, asked, mark, length)
        found = {name: torch.zeros(len(texts)) for name in concepts}
        for place, (questions, cosines) in enumerate(zip(asked, answers, strict=True)):
            for question, cosine in zip(questions, cosines, strict=True):
                known = found[question.concept.name]
                known[place] = max(float(known[place]), cosine)
        return found

    def _views(self, length: int) -> Views:
        with self._unedited():
            views, state = views_of(self._pipe, length)
        if state != self._state:
            self._settled.clear()
            self._phrases.clear()
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

    def _decided(
        self, views: Views, texts: Sequence[str], concepts: Sequence[Concept], mark: Any, length: int
    ) -> list[Settled]:
        done, still = [Settled(text) for text in texts], list(range(len(texts)))
        for turn in range(ROUNDS + 1):
            now = [self._matched(done[place].text, length) for place in still]
            asked = [self._questions(views, text, concepts, WEAK if turn else HINT) for text in now]
            answers = self._answers(views, asked, mark, length)
            pages, still = list(zip(still, now, asked, answers, strict=True)), []
            for place, text, questions, cosines in pages:
                worst = _worst(questions, cosines)
                if worst:
                    done[place] = self._without(done[place], text, worst, last=turn == ROUNDS)
                    still.append(place)
        return done

    def _without(self, settled: Settled, text: str, questions: Sequence[_Question], *, last: bool) -> Settled:
        names = [question.concept.name for question in questions]
        found = tuple(dict.fromkeys((*settled.found, *names)))
        if last:
            return Settled("" if self.on_residual == "erase" else settled.text, found, settled.taken, tuple(names))
        spans = sorted({span for question in questions for span in question.clauses})
        taken = (*settled.taken, *(text[slice(*span)] for span in spans))
        return Settled(exchanged(text, [(span, "") for span in spans]), found, taken)

    def _matched(self, text: str, length: int) -> str:
        return within(self._pipe.tokenizer, as_matched(self._pipe, text), length)

    def _questions(self, views: Views, text: str, concepts: Sequence[Concept], least: float = HINT) -> list[_Question]:
        """What to ask about a text; nothing where no word looks like a concept."""
        every = words(text)
        asked = []
        for concept in concepts:
            if concept.kind not in KINDS:
                continue
            named = is_named(concept.names, text)
            seen = [word for word in every if word.content and word.text not in _NOBODY and not _stands_in(word, named)]
            with self._unedited():
                alone = views.unit(self._pipe, [word.text for word in seen])
                close = (alone @ views.unit(self._pipe, concept.names).T).amax(dim=1).tolist() if seen else []
            near = sorted(zip(close, seen, strict=True), key=lambda one: -one[0])
            if not near or near[0][0] < least:  # a name alone is the erasers' business
                continue
            ranked = [word for cosine, word in near if cosine >= min(WEAK, least)]
            runs = [ranked[:count] for count in _TOGETHER] + [[w for w in _clause(every, ranked[0]) if w in seen]]
            for run in {tuple(sorted(run, key=lambda word: word.start)): None for run in runs}:
                clauses = {(one[0].start, one[-1].end): None for word in run for one in [_clause(every, word)]}
                asked.append(_Question(concept, " ".join(word.text for word in run), tuple(clauses)))
        return asked

    def _answers(self, views: Views, asked: Sequence[Sequence[_Question]], mark: Any, length: int) -> list[list[float]]:
        """By text and question, the cosine with the name; 0 where the words look more like something else."""
        phrases = dict.fromkeys(question.phrase for questions in asked for question in questions)
        new = [phrase for phrase in phrases if (phrase, mark, length) not in self._phrases]
        if new:
            seen = nn.functional.normalize(views.coordinates(self._edited(new, length)), dim=-1)
            self._phrases.update({(phrase, mark, length): view for phrase, view in zip(new, seen, strict=True)})
        found = [
            [self._cosine(views, question, self._phrases[question.phrase, mark, length]) for question in questions]
            for questions in asked
        ]
        while len(self._phrases) > _KEPT:
            self._phrases.popitem(last=False)
        return found

    def _cosine(self, views: Views, question: _Question, view: Tensor) -> float:
        with self._unedited():
            close, other = views.closeness(self._pipe, question.concept.names, view[None])
        return float(close[0]) if close[0] > other[0] else 0.0

    def _edited(self, texts: Sequence[str], length: int) -> Tensor:
        """Previews of texts as the erasers leave them, `[texts, values]`."""
        rows: list[Tensor] = []
        for start in range(0, len(texts), _TEXTS):
            part = tuple(texts[start : start + _TEXTS])
            with during(EncodeCall(self, texts=part)):  # which names are said is told row by row
                rows += encode_texts(self._pipe, part, length)
        with during(EncodeCall(self)):
            return preview(self._pipe, rows, preview_length(self._pipe, length))


def _worst(questions: Sequence[_Question], cosines: Sequence[float]) -> list[_Question]:
    """By concept, the words that bring it back most, if any do."""
    worst: dict[str, tuple[float, _Question]] = {}
    for question, cosine in zip(questions, cosines, strict=True):
        if cosine >= max(ALIKE, worst.get(question.concept.name, (0.0,))[0]):
            worst[question.concept.name] = (cosine, question)
    return [question for _, question in worst.values()]


def _stands_in(word: Word, spans: Sequence[Span]) -> bool:
    return any(word.start < end and start < word.end for start, end in spans)


def _clause(every: Sequence[Word], word: Word) -> Sequence[Word]:
    """The words around one, up to the pauses."""
    place = every.index(word)
    start = next((n for n in range(place, -1, -1) if every[n].paused), 0)
    end = next((n for n in range(place + 1, len(every)) if every[n].paused), len(every))
    return every[start:end]
