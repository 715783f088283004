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
from typing import Any, Literal, NamedTuple

from ...concept import Concept
from ...errors import PromptTooLongError
from ...pipelines import cannot_preview, default_length
from .claims import BOUNDS, LEAVE, Claim, Page, cross, effect_of, outdone, overlap
from .matching import Phrase, as_matched, exchanged, is_abbreviated, is_named, within, words
from .spans import around, head, joined, reach, whole
from .views import LOCK, RIVALS, Views, views_of

REWRITING_VERSION = 3
"""Goes up whenever a prompt may be rewritten otherwise, so that clips of an earlier version are not taken for this
one's."""
LIMIT = 128
"""Most questions in their place that a prompt may raise; words that are previewed alone count a quarter."""


_SLACK = 0.15  # how much closer a phrase may be to something ordinary
_DESCRIBED = 0.7  # least cosine of a longer phrase
_HINTS = 8  # words followed up for each concept of a prompt, the closest first
_PROPER = ("identity", "style")  # kinds whose names are names of persons
_GROW = 8  # mentions in a prompt of which it is asked what they leave
_LEFT = (0.1, 0.3)  # share and cosine of what is left of a concept, from which on it is still shown
_KEPT = 32768


class Rewrite(NamedTuple):
    """How a prompt is encoded."""

    text: str
    """The prompt with every mention exchanged for its concept's name; as it came if there is none."""
    mentions: tuple[tuple[str, Phrase], ...]
    """Name of the concept and the words that meant it, in order; places are those in the prompt as matched."""
    by_name_only: bool = False
    """Whether the prompt raised too many questions, so that none was asked."""


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
            made = dict(zip(new, self._decide(views, new, length), strict=True)) if new else {}
            self._rewritten.update({(prompt, length): rewrite for prompt, rewrite in made.items()})
            found = [self._rewritten[prompt, length] for prompt in prompts]
            while len(self._rewritten) > _KEPT:
                self._rewritten.popitem(last=False)
            return found

    def _decide(self, views: Views, prompts: Sequence[str], length: int) -> list[Rewrite]:
        pages = [self._opened(views, prompt, length) for prompt in prompts]
        alone = [page.words[place].text for page in pages for place in page.asked]
        views.of(self.pipe, [*dict.fromkeys(alone), *self._names])  # all at once
        for page in pages:
            if page.asked:
                page.claims = [claim for concept in self.concepts for claim in self._hinted(views, page, concept)]
                self._bound(page, 2 * len(page.claims))
        # many, and most prompts have no word that looks like an object that is a concept
        rivals = RIVALS if any(claim.concept.kind == "object" for page in pages for claim in page.claims) else ()
        asked = [*_each(pages, self._phrases), *rivals]
        if _offloaded(self.pipe):  # one change of place for all kinds of questions
            asked += _each(pages, self._in_place)
        views.of(self.pipe, asked)
        for page in pages:
            page.claims = [claim for claim in page.claims if self._alike(views, page, claim)]
        views.of(self.pipe, _each(pages, self._in_place))
        for page in pages:
            page.claims = self._meant(views, page)
        views.of(self.pipe, _each(pages, self._remainders))
        for page in pages:
            for claim, run in [(claim, self._grown(views, page, claim)) for claim in page.claims]:
                if not any(c is not claim and run[0] <= c.last and c.first <= run[1] for c in page.claims):
                    claim.first, claim.last = run
        return [self._written(page) for page in pages]

    def _opened(self, views: Views, prompt: str, length: int) -> Page:
        text = as_matched(self.pipe, prompt)
        named = is_named(self._names, text)
        found = [(c, span) for c in self.concepts if c.kind in _PROPER for span in is_abbreviated(c.names, text)]
        found = [one for i, one in enumerate(found) if not any(cross(one[1], other) for _, other in found[:i])]
        named = sorted({*named, *(span for _, span in found)})
        seen = words(within(self.pipe.tokenizer, text, length))
        free = [
            place
            for place, word in enumerate(seen)
            if word.content and not any(word.start < end and start < word.end for start, end in named)
        ]
        page = Page(prompt, text, seen, named, free)
        page.abbreviated = [
            Claim(concept, places[0], places[-1], (places[0], places[-1]), 1.0, long=False, alone=1.0, score=1.0)
            for concept, span in found
            if (places := [p for p, word in enumerate(seen) if cross(span, (word.start, word.end))])
        ]
        new = {seen[place].text for place in free if not views.knows(seen[place].text)}
        self._bound(page, len(new) // 4)
        return page

    def _bound(self, page: Page, questions: int) -> None:
        if self.limit is None or questions <= self.limit:
            return
        if self.over_limit == "refuse":
            raise PromptTooLongError(
                f"finding out what this prompt means takes {questions} questions to the video model, and the limit is"
                f" {self.limit}. Shorten the prompt, raise the limit, or let names alone be erased in such prompts."
            )
        page.over, page.asked, page.claims = True, [], []

    def _hinted(self, views: Views, page: Page, concept: Concept) -> Iterator[Claim]:
        """Claims around the words that look like the concept."""
        bounds = BOUNDS[concept.kind]
        seen = views.unit(self.pipe, [page.words[place].text for place in page.asked])
        close, other = views.closeness(self.pipe, concept.names, seen)
        hints = {
            place: float(near)
            for place, near, far in zip(page.asked, close, other, strict=True)
            if near >= bounds.hint and near >= far - bounds.margin
        }
        hints = dict(sorted(hints.items(), key=lambda hint: -hint[1])[:_HINTS])
        for first, last in joined(page.words, sorted(hints)):
            near = max(hints[place] for place in range(first, last + 1))
            asked = (first, last) if concept.kind == "attribute" else around(page.words, first, last)
            # what stands before a style is part of it, and shows it without the rest: "graphite sketch"
            exchanged_run = asked if concept.kind in LEAVE else (first, last)
            yield Claim(concept, *exchanged_run, asked, near, long=False)
            if concept.kind == "attribute":
                continue
            more = whole(page.words, first, last)
            if more not in ((first, last), asked):
                run = more if concept.kind in LEAVE else (first, last)
                yield Claim(concept, *run, more, near, long=True)
            if (described := head(page.words, first)) is not None:
                yield Claim(concept, described, last, (described, last), near, long=True)

    def _phrases(self, page: Page, claim: Claim) -> list[str]:
        """What is previewed alone."""
        return [page.said(*claim.around)]

    def _alike(self, views: Views, page: Page, claim: Claim) -> bool:
        """Whether the phrase alone looks like the concept, and hardly less than like anything ordinary."""
        view = views.unit(self.pipe, self._phrases(page, claim))
        close, other = views.closeness(self.pipe, claim.concept.names, view)
        claim.alone, claim.lead = float(close[0]), float(close[0] - other[0])
        bounds = BOUNDS[claim.concept.kind]
        slack = min(bounds.margin, _SLACK) if claim.concept.kind != "attribute" else bounds.margin
        least = _DESCRIBED if claim.long else bounds.alike
        if claim.concept.kind == "object" and claim.alone < views.rival(self.pipe, claim.concept.names, view):
            return False
        return claim.alone >= least and claim.lead >= -slack

    def _in_place(self, page: Page, claim: Claim) -> list[str]:
        """The prompt without the phrase, with it, and with the name; all other mentions out of the way."""
        concept = claim.concept
        fill = BOUNDS[concept.kind].filler
        rivals = [c for c in page.claims if c.concept is concept and c is not claim and not overlap(c, claim)]
        out: list[tuple[int, int]] = [page.span(*claim.around)]
        others: list[tuple[int, int]] = []
        for span in [*(page.span(*c.around) for c in rivals), *page.named]:
            if not any(span[0] < end and start < span[1] for start, end in [*out, *others]):
                others.append(span)
        away = [(span, fill) for span in others]
        texts = [exchanged(page.text, [*away, *here]) for here in ([(out[0], fill)], [], [(out[0], concept.name)])]
        return [*texts, concept.name, fill or _NOTHING]

    def _meant(self, views: Views, page: Page) -> list[Claim]:
        """The claims that hold, in order; none overlaps another."""
        meant = []
        for claim in page.claims:
            bounds = BOUNDS[claim.concept.kind]
            without, asked, named, alone, nothing = views.of(self.pipe, self._in_place(page, claim))
            least = bounds.least * float((alone - nothing).square().sum())
            claim.score, direction = effect_of(asked - without, named - without, least)
            sure = any(claim.alone >= a and claim.lead >= b and direction >= c for a, b, c in bounds.means)
            if sure and claim.score >= bounds.share:
                meant.append(claim)
        meant = [c for c in meant if not any(outdone(c, other) for other in meant)]
        meant.sort(key=lambda c: (c.long, c.last - c.first, -c.close, -c.score, c.concept.name))
        taken = list(page.abbreviated)
        for claim in meant:
            if not any(overlap(claim, other) for other in taken):
                taken.append(claim)
        return sorted(taken, key=lambda claim: claim.first)

    def _runs(self, page: Page, claim: Claim) -> list[tuple[int, int]]:
        """What may be exchanged instead of the claim's own words: these with some of those around them, shortest
        first. Empty where nothing else stands there, or concepts of this kind leave nothing behind."""
        if claim.concept.kind not in LEAVE or page.over or page.claims.index(claim) >= _GROW:
            return []
        barred = {p for c in page.claims if c is not claim for p in range(c.first, c.last + 1)}
        barred |= {p for p, w in enumerate(page.words) if any(w.start < e and s < w.end for s, e in page.named)}
        starts, ends = reach(page.words, claim.first, claim.last, barred - {*range(claim.first, claim.last + 1)})
        runs = [(start, end) for start in starts for end in ends]
        return sorted(runs, key=lambda run: run[1] - run[0]) if len(runs) > 1 else []

    def _remainders(self, page: Page, claim: Claim) -> list[str]:
        """The prompt without each of the runs, and with the name instead of the longest; all other mentions away."""
        runs, fill = self._runs(page, claim), BOUNDS[claim.concept.kind].filler
        if not runs:
            return []
        away = [(page.span(c.first, c.last), fill) for c in page.claims if c is not claim]
        away += [(span, fill) for span in page.named if not any(cross(span, other) for other, _ in away)]
        here = [(page.span(*run), fill) for run in runs] + [(page.span(*runs[-1]), claim.concept.name)]
        own = page.span(claim.first, claim.last)
        return [exchanged(page.text, [*(a for a in away if not cross(a[0], own)), one]) for one in here]

    def _grown(self, views: Views, page: Page, claim: Claim) -> tuple[int, int]:
        """The shortest run without which the prompt does not show the concept any more."""
        runs = self._runs(page, claim)
        if not runs:
            return claim.first, claim.last
        *left, named = views.of(self.pipe, self._remainders(page, claim))
        shown = (effect_of(view - left[-1], named - left[-1], 0.0) for view in left)
        return next(run for run, (share, way) in zip(runs, shown, strict=True) if share < _LEFT[0] or way < _LEFT[1])

    def _written(self, page: Page) -> Rewrite:
        spans = [page.span(claim.first, claim.last) for claim in page.claims]
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


def _each(pages: Sequence[Page], ask: Any) -> list[str]:
    return [text for page in pages for claim in page.claims for text in ask(page, claim)]


def _offloaded(pipe: Any) -> bool:
    """Whether text encoder and transformer take turns on the device."""
    return bool(getattr(pipe, "_all_hooks", None))


can_preview = cannot_preview  # the reason why not, or None
