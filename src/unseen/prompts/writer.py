"""Prompts to fit on, made from a concept alone: pairs that differ in the concept only, and a bank about other things.

Everything is drawn by a seeded generator from the word lists in `unseen.prompts.lexicon`; no video
model's captions are used.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..concept import Concept, PromptPair, content_words
from ..errors import FitError
from . import lexicon as lexicon

_TEMPLATES = {
    "object": lexicon.OBJECT_TEMPLATES,
    "identity": lexicon.OBJECT_TEMPLATES,
    "style": lexicon.STYLE_TEMPLATES,
    "attribute": lexicon.ATTRIBUTE_TEMPLATES,
}
_MODIFIED = "window garden jacket postcard teapot kitchen poster shelf bridge village".split()
_MODIFIERS = "wooden toy broken paper giant plastic beach stone".split()


@dataclass(frozen=True)
class FitPrompts:
    """The prompts of one fit."""

    pairs: tuple[PromptPair, ...]
    """Positive prompts beside the same prompts about something else."""

    neutral: tuple[str, ...]
    """Ordinary prompts in which no word of the concept occurs."""

    same_word: tuple[str, ...] = ()
    """Prompts that use a word of the concept's name otherwise ("a French window"): the hardest ones to leave alone."""


def with_article(noun: str) -> str:
    """`noun` with "a" or "an" in front; proper names stay bare."""
    if noun[:1].isupper() and all(word[:1].isupper() for word in noun.split()):
        return noun
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


class PromptWriter:
    """Draws prompts about or beside a concept. The same concept and seed give the same prompts.

    With concepts `beside` it, no prompt about other things mentions any of them, and the writers of all of them, each
    beside the same ones, write the same prompts about other things.
    """

    def __init__(self, concept: Concept, seed: int = 0, *, beside: Sequence[Concept] = ()):
        self.concept = concept
        self._avoided = (concept, *beside)
        # Concepts written for together, and alike in number of names, have all but the names in common.
        names = sorted({name for other in self._avoided for name in other.names}) if beside else concept.names
        self.rng = random.Random(f"{seed}/{concept.kind}/{'/'.join(names)}")
        self.things = self._without_concept(lexicon.THINGS)
        self.people = self._without_concept(lexicon.PEOPLE)
        self.media = self._without_concept(lexicon.MEDIA)
        self.attributes = self._without_concept(lexicon.ATTRIBUTES)
        self.places = self._without_concept(lexicon.PLACES)
        self.first_names = self._without_concept(lexicon.FIRST_NAMES)
        self.last_names = self._without_concept(lexicon.LAST_NAMES)
        if not all((self.things, self.people, self.media, self.attributes, self.places)):
            raise self._too_common()

    def _without_concept(self, candidates: Sequence[str]) -> list[str]:
        return [text for text in candidates if not self._mentions_any(text)]

    def _mentions_any(self, text: str) -> bool:
        return any(concept.is_mentioned_in(text) for concept in self._avoided)

    def person_name(self) -> str:
        """An invented person's name that shares no word with the concept."""
        return f"{self.rng.choice(self.first_names)} {self.rng.choice(self.last_names)}"

    def pairs(self, count: int) -> list[PromptPair]:
        """`count` different pairs: name or synonym against an ordinary stand-in, in the same template and context."""
        names = [
            name if self.concept.kind in ("identity", "style", "attribute") else _as_noun(name)
            for name in self.concept.names
        ]
        templates = _TEMPLATES[self.concept.kind]
        made: dict[str, PromptPair] = {}
        for attempt in range(20 * count):
            # Names and templates take turns, so that a synonym gets as many prompts as the main name.
            name = names[attempt % len(names)]
            fill = self._context()
            template = templates[(attempt // len(names)) % len(templates)]
            if self.concept.kind == "attribute" and " " in name and "a {x}" in template:
                continue  # "on fire" can follow its carrier but not stand before it
            positive = _fill(template, name, fill)
            made.setdefault(positive, PromptPair(positive, _fill(template, self._stand_in(), fill)))
            if len(made) == count:
                break
        return list(made.values())

    def neutral(self, count: int) -> list[str]:
        """`count` different ordinary prompts, none of which mentions a word of the concept."""
        made: dict[str, None] = {}
        for attempt in range(20 * count):
            template = lexicon.NEUTRAL_TEMPLATES[attempt % len(lexicon.NEUTRAL_TEMPLATES)]
            prompt = _fill(template, self._other_thing(), self._context())
            if not self._mentions_any(prompt):
                made[prompt] = None
            if len(made) == count:
                return list(made)
        raise self._too_common()

    def _too_common(self) -> FitError:
        return FitError(
            f"too few ordinary prompts are free of the words {', '.join(sorted(self._stems())[:8])};"
            " take very common words out of the synonyms."
        )

    def _stems(self) -> set[str]:
        return {stem for concept in self._avoided for stem in concept.stems()}

    def same_word(self, count: int) -> list[str]:
        """Up to `count` prompts that use one word of a many-word name otherwise; none for one-word names."""
        alone = {name.lower() for name in self.concept.names}
        phrases: dict[str, None] = {}
        for name in self.concept.names:
            parts = [word for word in name.split() if content_words(word) and word.lower() not in alone]
            if len(name.split()) < 2:
                continue
            for part in parts:
                if self.concept.kind in ("identity", "style"):
                    first, last = self.person_name().split()
                    others = [
                        f"{part} {last}",
                        f"{first} {part}",
                        f"a {part.lower()} jacket",
                        f"the word {part.lower()}",
                    ]
                elif part == name.split()[-1]:
                    others = [with_article(f"{modifier} {part}") for modifier in _MODIFIERS]
                else:
                    others = [_as_noun(f"{part} {thing}") for thing in _MODIFIED]
                phrases.update(dict.fromkeys(other for other in others if other.lower() not in alone))
        chosen = self.rng.sample(list(phrases), min(count, len(phrases)))
        return [_fill(self.rng.choice(("{x}", "a photo of {x}", "{x} {place}")), x, self._context()) for x in chosen]

    def _context(self) -> dict[str, str]:
        choose = self.rng.choice
        return {
            "place": choose(self.places),
            "action": choose(lexicon.ACTIONS),
            "medium": choose(self.media),
            "adjective": choose(self.attributes),
            "thing": choose(self.things if self.rng.random() < 0.8 else self.people),
            "other": with_article(choose(self.things)),
            "other2": with_article(choose(self.things)),
            "person": with_article(choose(self.people)),
            "artist": choose(lexicon.ARTISTS),
            "name": self.person_name(),
        }

    def _stand_in(self) -> str:
        if self.concept.kind == "style":
            return self.rng.choice([self.rng.choice(lexicon.ARTISTS), self.person_name(), self.rng.choice(self.media)])
        if self.concept.kind == "identity":
            return self.rng.choice([self.person_name(), self.person_name(), with_article(self.rng.choice(self.people))])
        if self.concept.kind == "attribute":
            return self.rng.choice(self.attributes)
        return with_article(self.rng.choice(self.things if self.rng.random() < 0.9 else self.people))

    def _other_thing(self) -> str:
        noun = self.rng.choice(self.things if self.rng.random() < 0.8 else self.people)
        return with_article(f"{self.rng.choice(self.attributes)} {noun}" if self.rng.random() < 0.2 else noun)


def _fill(template: str, x: str, context: dict[str, str]) -> str:
    text = template.format(x=x, **context)
    return re.sub(r"\ba (?=[aeiou])", "an ", text)


def _as_noun(name: str) -> str:
    """An object's name with its article, capital letters or not."""
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def write_prompts(
    concept: Concept,
    *,
    seed: int = 0,
    pairs: int = 240,
    neutral: int = 480,
    user_pairs: Sequence[PromptPair] | None = None,
    beside: Sequence[Concept] = (),
) -> FitPrompts:
    """Prompts for one fit: `pairs` pairs (or the user's own), `neutral` neutral prompts, and same-word prompts.

    `beside` are the concepts fitted together with this one, itself among them (`PromptWriter`).
    """
    writer = PromptWriter(concept, seed, beside=beside)
    made = tuple(PromptPair(*pair) for pair in user_pairs) if user_pairs else tuple(writer.pairs(pairs))
    if not neutral:
        return FitPrompts(made, ())
    return FitPrompts(made, tuple(writer.neutral(neutral)), tuple(writer.same_word(48)))
