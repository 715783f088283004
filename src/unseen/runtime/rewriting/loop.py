"""The closed loop: before the denoiser is given a prompt, ask whether the concept is still in it. Ours.

Erasers act on words that they know, and rewriting on phrases that mean the concept. Several words that a search found
may bring it back together although none of them means it alone. So the words of a prompt that look like the concept are
put together and encoded as the erasers leave them: does the video model expect the concept even so, rather than
anything else? And a clause whose words resemble it a little, all of them taken together, is asked in its place: does it
do there what the concept's name would do? If so, the clauses are taken away, since words beside them may carry what is
left, and the rest is asked again. A word that means the concept by itself goes alone, and is asked together with the
one before it, which may make it something else.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ...concept import Concept
from ...errors import ResidualConceptError
from ...pipelines import default_length, encode_texts, preview, preview_length
from ..context.call import EncodeCall, during
from .claims import BOUNDS, cross, effect_of
from .matching import Word, as_matched, exchanged, is_named, within, words
from .spans import around
from .views import LOCK, Views, views_of

log = logging.getLogger("unseen")

LOOP_VERSION = 3
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
ALIKE = {"object": 0.64, "identity": 0.7, "attribute": 0.45}
"""Least cosine between the previews of the name and of words alone as the erasers leave them, by kind of concept. What
is near to an object, said in other words, resembles it (of 60 development sentences about such things 16 lost words at
0.45), and one person's name another's. Words for one style look so much like another that other styles were taken away
(on the suite `attacks` a style's neighbors kept 40 % of their frames, and 100 % without it), so they are asked in their
place alone."""
PLAIN = 0.64
"""The cosine from which on one word, or one with the word before it, means the concept by itself: it alone goes."""
CHANCE = 0.1
"""A cosine that words about anything have: a long clause would come to much by its length alone."""


class Carried(NamedTuple):
    """From when on a clause carries a concept: in its place it does, past the erasers, what the name would do there."""

    total: float
    """Least sum, over its words, of how far their cosines with the name exceed `CHANCE`, for it to be asked about."""
    direction: float
    """Least cosine between what it does and what the name would do."""
    share: float
    """Least share of what the name would do."""


_THING = Carried(0.4, 0.6, 0.35)
CARRIED = {"object": _THING, "identity": _THING, "attribute": _THING, "style": Carried(0.2, 0.95, 0.5)}
"""By kind of concept. Words that a search found hardly look like the concept each for itself. Like the constants above,
these were chosen on development attacks and development prompts."""
_ONE = Carried(PLAIN, 0.85, 0.5)
"""From when on one word does whatever stands before it: "felt ball" does not quite do what "golf ball" would."""
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
    words: Span | None = None
    """Where they stand, if they are one word, or one with the word before it."""
    place: tuple[str, str] | None = None
    """If they are asked in their place: the text, which `phrase` is then, without them, and with the name instead."""
    least: Carried = _THING
    """Then: from when on they carry the concept."""


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
        """By concept how much words of each text look like it, or do what its name would do, after the erasers have
        acted, `[texts]`: from 1 on the loop would take them away; 0 where they look more like something else."""
        with LOCK:
            views = self._views(length)
            asked = [self._questions(views, self._matched(text, length), list(concepts.values())) for text in texts]
            answers = self._answers(views, asked, mark, length)
        found = {name: torch.zeros(len(texts)) for name in concepts}
        for place, (questions, scores) in enumerate(zip(asked, answers, strict=True)):
            for question, score in zip(questions, scores, strict=True):
                known = found[question.concept.name]
                known[place] = max(float(known[place]), score)
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
            for place, text, questions, scores in pages:
                worst = _worst(questions, scores, words=turn == 0)
                if worst:
                    done[place] = self._without(done[place], text, worst, last=turn == ROUNDS)
                    still.append(place)
        return done

    def _without(self, settled: Settled, text: str, worst: Mapping[str, _Question], *, last: bool) -> Settled:
        found = tuple(dict.fromkeys((*settled.found, *worst)))
        if last:
            return Settled("" if self.on_residual == "erase" else settled.text, found, settled.taken, tuple(worst))
        away: dict[Span, str] = {}
        for question in worst.values():
            if question.words is None:
                away.update(dict.fromkeys(question.clauses, ""))
            else:
                away[question.words] = BOUNDS[question.concept.kind].filler
        spans: list[Span] = []  # longest first; of what crosses another it is asked again
        for span in sorted(away, key=lambda one: one[0] - one[1]):
            if not any(cross(span, other) for other in spans):
                spans.append(span)
        taken = (*settled.taken, *(text[slice(*span)] for span in sorted(spans)))
        return Settled(exchanged(text, [(span, away[span]) for span in spans]), found, taken)

    def _matched(self, text: str, length: int) -> str:
        return within(self._pipe.tokenizer, as_matched(self._pipe, text), length)

    def _questions(self, views: Views, text: str, concepts: Sequence[Concept], least: float = HINT) -> list[_Question]:
        """What to ask about a text; nothing where no words look like a concept."""
        every = words(text)
        asked = []
        for concept in concepts:
            named = is_named(concept.names, text)
            seen = [word for word in every if word.content and word.text not in _NOBODY and not _stands_in(word, named)]
            with self._unedited():
                alone = views.unit(self._pipe, [word.text for word in seen])
                close = (alone @ views.unit(self._pipe, concept.names).T).amax(dim=1).tolist() if seen else []
            near = sorted(zip(close, seen, strict=True), key=lambda one: -one[0])
            totals: dict[Span, float] = {}
            for cosine, word in near:
                totals[_clause(every, word)] = totals.get(_clause(every, word), 0.0) + max(0.0, cosine - CHANCE)
            carriers = [clause for clause, total in totals.items() if total >= CARRIED[concept.kind].total]
            asked += [_in_place(concept, text, clause, named, CARRIED[concept.kind]) for clause in carriers]
            if concept.kind not in ALIKE or not near or near[0][0] < least:  # a name alone is the erasers' business
                continue
            ranked = [word for cosine, word in near if cosine >= min(WEAK, least)]
            if near[0][0] >= _ONE.total and len(_with_before(every, ranked[0])) > 1:
                span = (ranked[0].start, ranked[0].end)
                asked.append(_in_place(concept, text, span, named, _ONE)._replace(
                    words=span, clauses=(_clause(every, ranked[0]),)))  # fmt: skip
            first = _clause(every, ranked[0])
            runs = [[w for word in ranked[:count] for w in _with_before(every, word)] for count in _TOGETHER]
            runs.append([word for word in seen if _clause(every, word) == first])
            for run in {tuple(sorted({*run}, key=lambda word: word.start)): None for run in runs}:
                clauses = tuple(dict.fromkeys(_clause(every, word) for word in run))
                one = (run[0].start, run[-1].end) if [*run] == _with_before(every, ranked[0]) else None
                asked.append(_Question(concept, " ".join(word.text for word in run), clauses, one))
        return asked

    def _answers(self, views: Views, asked: Sequence[Sequence[_Question]], mark: Any, length: int) -> list[list[float]]:
        """By text and question how much it is so; from 1 on it is."""
        every = [question for questions in asked for question in questions]
        new = [p for p in dict.fromkeys(q.phrase for q in every) if (p, mark, length) not in self._phrases]
        if new:
            seen = views.coordinates(self._edited(new, length))
            self._phrases.update({(phrase, mark, length): view for phrase, view in zip(new, seen, strict=True)})
        with self._unedited():
            views.of(self._pipe, [text for question in every for text in question.place or ()])  # all at once
            found = [[self._score(views, q, self._phrases[q.phrase, mark, length]) for q in some] for some in asked]
        while len(self._phrases) > _KEPT:
            self._phrases.popitem(last=False)
        return found

    def _score(self, views: Views, question: _Question, view: Tensor) -> float:
        concept = question.concept
        if question.place is None:
            unit = nn.functional.normalize(view, dim=-1)[None]
            close, other = views.closeness(self._pipe, concept.names, unit)
            if concept.kind == "object":
                other = other.clamp_min(views.rival(self._pipe, concept.names, unit))
            return float(close[0]) / ALIKE[concept.kind] if close[0] > other[0] else 0.0
        bounds = BOUNDS[concept.kind]
        texts = [*question.place, concept.name, bounds.filler or "a thing"]
        without, named, alone, nothing = views.of(self._pipe, texts)
        least = bounds.least * float((alone - nothing).square().sum())
        share, direction = effect_of(view - without, named - without, least)
        return direction / question.least.direction if share >= question.least.share else 0.0

    def _edited(self, texts: Sequence[str], length: int) -> Tensor:
        """Previews of texts as the erasers leave them, `[texts, values]`."""
        rows: list[Tensor] = []
        for start in range(0, len(texts), _TEXTS):
            part = tuple(texts[start : start + _TEXTS])
            with during(EncodeCall(self, texts=part)):  # which names are said is told row by row
                rows += encode_texts(self._pipe, part, length)
        with during(EncodeCall(self)):
            return preview(self._pipe, rows, preview_length(self._pipe, length))


def _worst(questions: Sequence[_Question], scores: Sequence[float], *, words: bool) -> dict[str, _Question]:
    """By concept, what brings it back most, if anything does; with `words`, rather the word that means it by itself."""
    worst: dict[str, tuple[bool, float, _Question]] = {}
    for question, score in zip(questions, scores, strict=True):
        one = words and _by_itself(question, score)
        if score >= 1 and (one, score) >= worst.get(question.concept.name, (False, 0.0))[:2]:
            worst[question.concept.name] = (one, score, question)
    return {name: question if one else question._replace(words=None) for name, (one, _, question) in worst.items()}


def _by_itself(question: _Question, score: float) -> bool:
    plain = question.place is not None or score * ALIKE[question.concept.kind] >= PLAIN
    return question.words is not None and score >= 1 and plain


def _in_place(concept: Concept, text: str, clause: Span, named: Sequence[Span], least: Carried) -> _Question:
    """Asked of the text without the concept's names, which would hide what the clause adds."""
    away = [(span, BOUNDS[concept.kind].filler) for span in named]
    beside = [one for one in away if not cross(one[0], clause)]
    without, instead = (exchanged(text, [*beside, (clause, word)]) for word in ("", concept.name))
    return _Question(concept, exchanged(text, away), (clause,), place=(without, instead), least=least)


def _stands_in(word: Word, spans: Sequence[Span]) -> bool:
    return any(cross((word.start, word.end), span) for span in spans)


def _with_before(every: Sequence[Word], word: Word) -> list[Word]:
    """A word, and the content word directly before it, which may make it something else: "felt ball"."""
    place = every.index(word)
    first, last = around(every, place, place)
    return [*every[first : last + 1]]


def _clause(every: Sequence[Word], word: Word) -> Span:
    """Where the words around one, up to the pauses, begin and end."""
    place = every.index(word)
    start = next((n for n in range(place, -1, -1) if every[n].paused), 0)
    end = next((n for n in range(place + 1, len(every)) if every[n].paused), len(every))
    return every[start].start, every[end - 1].end
