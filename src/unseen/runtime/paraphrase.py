"""Rewriting paraphrases: which words of a prompt mean a concept, by what the video model would show. Ours.

A fit knows the names it was given. A prompt may say the same in other words, which set off no feature of the concept.
But the video model knows what it would show for them. So every word of a prompt is previewed alone, once and for all
prompts. Words that look like the concept lead to the phrases around them, and these are tried in their place in the
prompt: do they do there what the name would do? Such words are exchanged for the name before the prompt is encoded,
and erased there as ever. Nothing else of the prompt changes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ..concept import Concept
from ..errors import PromptTooLongError
from ..pipelines import cannot_preview, default_length
from .matching import Phrase, Word, as_matched, exchanged, is_abbreviated, is_named, within, words
from .spans import around, head, joined, reach, whole
from .views import LOCK, Views, views_of

LIMIT = 128
"""Most questions in their place that a prompt may raise; words that are previewed alone count a quarter."""


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
    "object": Bounds("thing", 0.25, 0.25, 0.45, ((0.85, -1, 0.3), (0.5, -1, 0.5), (0.3, -1, 0.9)), 0.3, 0.25),
    "identity": Bounds("person", 0.25, 0.3, 0.4, ((0.85, -1, 0.3), (0.5, -1, 0.4), (0.3, -1, 0.9)), 0.25, 0.25),
    "style": Bounds("", 0.25, 0.25, 0.5, ((0.94, -1, 0.55), (0.85, 0.5, 0.75), (0.6, -1, 0.97)), 0.2, 0.1),
    "attribute": Bounds("", 0.25, 2.0, 0.25, ((0.8, -1, 0.15), (0.3, -1, 0.65)), 0.3, 0.01),
}
_SLACK = 0.15  # how much closer a phrase may be to something ordinary
_DESCRIBED = 0.7  # least cosine of a longer phrase
_HINTS = 8  # words followed up for each concept of a prompt, the closest first
_PROPER = ("identity", "style")  # kinds whose names are names of persons
_LEAVE = ("style",)  # kinds of which a phrase is spread over many words, so that some of them may be left
_MORE = 0.15  # of the name's effect, that other words have to do to be exchanged instead
_LEFT = (0.1, 0.4)  # share and cosine of what is left of a concept, from which on it is still shown
_KEPT = 32768


class Rewrite(NamedTuple):
    """How a prompt is encoded."""

    text: str
    """The prompt with every mention exchanged for its concept's name; as it came if there is none."""
    mentions: tuple[tuple[str, Phrase], ...]
    """Name of the concept and the words that meant it, in order; places are those in the prompt as matched."""
    by_name_only: bool = False
    """Whether the prompt raised too many questions, so that none was asked."""


@dataclass
class _Page:
    """A prompt that is being rewritten."""

    prompt: str
    text: str
    words: list[Word]
    named: list[tuple[int, int]]
    asked: list[int]
    """Places of the content words that stand in no name."""
    abbreviated: list[_Claim] = field(default_factory=list)
    """Names with initials, which need not be asked."""
    over: bool = False
    claims: list[_Claim] = field(default_factory=list)


@dataclass
class _Claim:
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


class Rewriter:
    """Rewrites prompts for the erasers of `concepts`. Several threads may call one rewriter."""

    def __init__(
        self,
        pipe: Any,
        concepts: Sequence[Concept],
        *,
        limit: int | None = LIMIT,
        over_limit: Literal["refuse", "name_only"] = "refuse",
    ):
        """`limit` is the number of questions that one prompt may raise, None any; `over_limit` says what happens to a
        prompt that raises more: it is refused, or known names alone are erased in it."""
        self.pipe, self.limit, self.over_limit = pipe, limit, over_limit
        self.concepts = sorted({concept.name: concept for concept in concepts}.values(), key=lambda c: c.name)
        self._names = [name for concept in self.concepts for name in concept.names]
        self._rewritten: OrderedDict[tuple[str, int], Rewrite] = OrderedDict()
        self._state: tuple = ()

    def rewrite(self, prompts: Sequence[str], max_sequence_length: int | None = None) -> list[Rewrite]:
        """Each prompt as it is to be encoded. The text encoder has to run unedited meanwhile.

        Raises:
            PromptTooLongError: a prompt raises more questions than `limit`, and `over_limit` is "refuse".
        """
        length = default_length(self.pipe) if max_sequence_length is None else max_sequence_length
        with LOCK:
            views, state = views_of(self.pipe, length)
            if state != self._state:
                self._rewritten.clear()
                self._state = state
            new = [p for p in dict.fromkeys(prompts) if (p, length) not in self._rewritten]
            made = dict(zip(new, self._decide(views, new), strict=True)) if new else {}
            self._rewritten.update({(prompt, length): rewrite for prompt, rewrite in made.items()})
            found = [self._rewritten[prompt, length] for prompt in prompts]
            while len(self._rewritten) > _KEPT:
                self._rewritten.popitem(last=False)
            return found

    def _decide(self, views: Views, prompts: Sequence[str]) -> list[Rewrite]:
        pages = [self._opened(views, prompt) for prompt in prompts]
        alone = [page.words[place].text for page in pages for place in page.asked]
        views.of(self.pipe, [*dict.fromkeys(alone), *self._names])  # all at once
        for page in pages:
            if page.asked:
                page.claims = [claim for concept in self.concepts for claim in self._hinted(views, page, concept)]
                self._bound(page, 2 * len(page.claims))
        if _offloaded(self.pipe):  # one change of place for both kinds of questions
            views.of(self.pipe, [*_each(pages, self._phrases), *_each(pages, self._in_place)])
        views.of(self.pipe, _each(pages, self._phrases))
        for page in pages:
            page.claims = [claim for claim in page.claims if self._alike(views, page, claim)]
        views.of(self.pipe, _each(pages, self._in_place))
        for page in pages:
            page.claims = self._meant(views, page)
        views.of(self.pipe, _each(pages, self._remainders))
        for page in pages:
            for claim in page.claims:
                self._grow(views, page, claim)
        return [self._written(page) for page in pages]

    def _opened(self, views: Views, prompt: str) -> _Page:
        text = as_matched(self.pipe, prompt)
        named = is_named(self._names, text)
        found = [(c, span) for c in self.concepts if c.kind in _PROPER for span in is_abbreviated(c.names, text)]
        named = sorted({*named, *(span for _, span in found)})
        seen = words(within(self.pipe.tokenizer, text, views.length))
        free = [
            place
            for place, word in enumerate(seen)
            if word.content and not any(word.start < end and start < word.end for start, end in named)
        ]
        page = _Page(prompt, text, seen, named, free)
        page.abbreviated = [
            _Claim(concept, places[0], places[-1], (places[0], places[-1]), 1.0, long=False, alone=1.0, score=1.0)
            for concept, span in found
            if (places := [p for p, word in enumerate(seen) if _cross(span, (word.start, word.end))])
        ]
        new = {seen[place].text for place in free if not views.knows(seen[place].text)}
        self._bound(page, len(new) // 4)
        return page

    def _bound(self, page: _Page, questions: int) -> None:
        if self.limit is None or questions <= self.limit:
            return
        if self.over_limit == "refuse":
            raise PromptTooLongError(
                f"finding out what this prompt means takes {questions} questions to the video model, and the limit is"
                f" {self.limit}. Shorten the prompt, raise the limit, or let names alone be erased in such prompts."
            )
        page.over, page.asked, page.claims = True, [], []

    def _hinted(self, views: Views, page: _Page, concept: Concept) -> Iterator[_Claim]:
        """Claims around the words that look like the concept."""
        bounds = BOUNDS[concept.kind]
        seen = views.unit(self.pipe, [page.words[place].text for place in page.asked])
        close, other = _closeness(views, self.pipe, concept, seen)
        hints = {
            place: float(near)
            for place, near, far in zip(page.asked, close, other, strict=True)
            if near >= bounds.hint and near >= far - bounds.margin
        }
        hints = dict(sorted(hints.items(), key=lambda hint: -hint[1])[:_HINTS])
        for first, last in joined(page.words, sorted(hints)):
            near = max(hints[place] for place in range(first, last + 1))
            asked = (first, last) if concept.kind == "attribute" else around(page.words, first, last)
            yield _Claim(concept, first, last, asked, near, long=False)
            if concept.kind == "attribute":
                continue
            more = whole(page.words, first, last)
            if more not in ((first, last), asked):
                run = more if concept.kind in _LEAVE else (first, last)  # what is left of a style still shows it
                yield _Claim(concept, *run, more, near, long=True)
            if (described := head(page.words, first)) is not None:
                yield _Claim(concept, described, last, (described, last), near, long=True)

    def _phrases(self, page: _Page, claim: _Claim) -> list[str]:
        """What is previewed alone."""
        return [_said(page, *claim.around)]

    def _alike(self, views: Views, page: _Page, claim: _Claim) -> bool:
        """Whether the phrase alone looks like the concept, and hardly less than like anything ordinary."""
        said = views.unit(self.pipe, self._phrases(page, claim))
        close, other = _closeness(views, self.pipe, claim.concept, said)
        claim.alone, claim.lead = float(close[0]), float(close[0] - other[0])
        bounds = BOUNDS[claim.concept.kind]
        slack = min(bounds.margin, _SLACK) if claim.concept.kind != "attribute" else bounds.margin
        least = _DESCRIBED if claim.long else bounds.alike
        if claim.concept.kind == "object" and claim.alone < views.rival(self.pipe, claim.concept.names, said):
            return False
        return claim.alone >= least and claim.lead >= -slack

    def _in_place(self, page: _Page, claim: _Claim) -> list[str]:
        """The prompt without the phrase, with it, and with the name; all other mentions out of the way."""
        concept = claim.concept
        fill = BOUNDS[concept.kind].filler
        rivals = [c for c in page.claims if c.concept is concept and c is not claim and not _overlap(c, claim)]
        out: list[tuple[int, int]] = [_span(page, *claim.around)]
        others: list[tuple[int, int]] = []
        for span in [*(_span(page, *c.around) for c in rivals), *page.named]:
            if not any(span[0] < end and start < span[1] for start, end in [*out, *others]):
                others.append(span)
        away = [(span, fill) for span in others]
        texts = [exchanged(page.text, [*away, *here]) for here in ([(out[0], fill)], [], [(out[0], concept.name)])]
        return [*texts, concept.name, fill or _NOTHING]

    def _meant(self, views: Views, page: _Page) -> list[_Claim]:
        """The claims that hold, in order; none overlaps another."""
        meant = []
        for claim in page.claims:
            bounds = BOUNDS[claim.concept.kind]
            without, asked, named, alone, nothing = views.of(self.pipe, self._in_place(page, claim))
            least = bounds.least * float((alone - nothing).square().sum())
            claim.score, direction = _effect(asked - without, named - without, least)
            sure = any(claim.alone >= a and claim.lead >= b and direction >= c for a, b, c in bounds.means)
            if sure and claim.score >= bounds.share:
                meant.append(claim)
        meant = [c for c in meant if not any(_outdone(c, other) for other in meant)]
        meant.sort(key=lambda c: (c.long, c.last - c.first, -c.close, -c.score, c.concept.name))
        taken = list(page.abbreviated)
        for claim in meant:
            if not any(_overlap(claim, other) for other in taken):
                taken.append(claim)
        return sorted(taken, key=lambda claim: claim.first)

    def _runs(self, page: _Page, claim: _Claim) -> list[tuple[int, int]]:
        """What may be exchanged instead of the claim's own words: these with some of those around them, shortest
        first. Empty where nothing else stands there, or concepts of this kind leave nothing behind."""
        if claim.concept.kind not in _LEAVE:
            return []
        barred = {p for c in page.claims if c is not claim for p in range(c.first, c.last + 1)}
        barred |= {p for p, w in enumerate(page.words) if any(w.start < e and s < w.end for s, e in page.named)}
        starts, ends = reach(page.words, claim.first, claim.last, barred - {*range(claim.first, claim.last + 1)})
        runs = [(start, end) for start in starts for end in ends]
        return sorted(runs, key=lambda run: run[1] - run[0]) if len(runs) > 1 else []

    def _remainders(self, page: _Page, claim: _Claim) -> list[str]:
        """The prompt without each of the runs, and with the name instead of the longest; all other mentions away."""
        runs, fill = self._runs(page, claim), BOUNDS[claim.concept.kind].filler
        if not runs:
            return []
        away = [(_span(page, c.first, c.last), fill) for c in page.claims if c is not claim]
        away += [(span, fill) for span in page.named if not any(_cross(span, other) for other, _ in away)]
        here = [(_span(page, *run), fill) for run in runs] + [(_span(page, *runs[-1]), claim.concept.name)]
        own = _span(page, claim.first, claim.last)
        return [exchanged(page.text, [*(a for a in away if not _cross(a[0], own)), one]) for one in here]

    def _grow(self, views: Views, page: _Page, claim: _Claim) -> None:
        """Have the shortest run exchanged without which the prompt does not show the concept any more."""
        runs = self._runs(page, claim)
        if not runs:
            return
        *left, named = views.of(self.pipe, self._remainders(page, claim))
        effect = named - left[-1]
        for run, shown in zip(runs, left, strict=True):
            share, direction = _effect(shown - left[-1], effect, 1e-12)
            if share < _LEFT[0] or direction < _LEFT[1]:
                claim.first, claim.last = run
                return

    def _written(self, page: _Page) -> Rewrite:
        spans = [_span(page, claim.first, claim.last) for claim in page.claims]
        text = page.prompt
        if page.claims:
            text = exchanged(page.text, [(s, c.concept.name) for s, c in zip(spans, page.claims, strict=True)])
        elif len(page.named) > len(is_named(self._names, page.prompt)):
            text = page.text  # a name was hidden by what cannot be seen
        mentions = tuple(
            (c.concept.name, Phrase(*s, page.text[slice(*s)], c.score)) for s, c in zip(spans, page.claims, strict=True)
        )
        return Rewrite(text, mentions, page.over)


_NOTHING = "a thing"


def _each(pages: Sequence[_Page], ask: Any) -> list[str]:
    return [text for page in pages for claim in page.claims for text in ask(page, claim)]


def _closeness(views: Views, pipe: Any, concept: Concept, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines of views with the closest name of a concept, and with the closest reference that is not like it."""
    names = views.unit(pipe, concept.names)
    alike = (views.references @ names.T).amax(dim=1) >= _SAME
    return (seen @ names.T).amax(dim=1), (seen @ views.references.T).masked_fill(alike, -1.0).amax(dim=1)


_SAME = 0.6  # cosine from which on a reference is the concept itself


def _span(page: _Page, first: int, last: int) -> tuple[int, int]:
    return page.words[first].start, page.words[last].end


def _said(page: _Page, first: int, last: int) -> str:
    return page.text[slice(*_span(page, first, last))].lower()


def _effect(does: Tensor, effect: Tensor, least: float) -> tuple[float, float]:
    """How much of `effect` something does, 1 being as much, and the cosine between the two."""
    most = max(float(effect.square().sum()), least, 1e-12)
    return float(does @ effect) / most, float(torch.nn.functional.cosine_similarity(does, effect, dim=0))


def _outdone(claim: _Claim, other: _Claim) -> bool:
    """Whether other words do more, where every word of a phrase shows the concept: "rose and turquoise"."""
    same = claim.concept is other.concept and claim.concept.kind in _LEAVE
    return same and _overlap(claim, other) and other.score > claim.score + _MORE


def _cross(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def _overlap(one: _Claim, other: _Claim) -> bool:
    return one.first <= other.last and other.first <= one.last


def _offloaded(pipe: Any) -> bool:
    """Whether text encoder and transformer take turns on the device."""
    return bool(getattr(pipe, "_all_hooks", None))


can_preview = cannot_preview  # the reason why not, or None
