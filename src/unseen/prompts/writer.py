"""Prompts to fit on, made from a concept alone: pairs that differ in the concept only, and a bank about other things.

Everything is drawn by a seeded generator from the word lists in `unseen.prompts.lexicon` and the templates in
`unseen.prompts.frames`; no video model's captions are used.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..concept import Concept, PromptPair, content_words, stem, words
from ..errors import ConceptError, ConceptWarning, FitError
from . import frames
from . import lexicon as lexicon
from .articles import agree, number_of, with_article
from .pack import ConceptPack, Phrasing
from .usage import USES, Use, is_behind
from .wording import Wording, wording_of

FEWEST_PAIRS = 5
"""Fewest pairs of a user's own that a fit takes as examples of how prompts about the concept are put."""
_MODIFIED = "window garden jacket postcard teapot kitchen poster shelf bridge village".split()
_MODIFIERS = "wooden toy broken paper giant plastic beach stone".split()
_PARTICLES = frozenset("van von der den de del da di du la le dos el al bin ibn ter zu jr sr ii iii".split())


@dataclass(frozen=True)
class FitPrompts:
    """The prompts of one fit."""

    pairs: tuple[PromptPair, ...]
    """Positive prompts beside the same prompts about something else. The last ones are held out by a fit."""

    retain: tuple[str, ...]
    """Ordinary prompts in which no word of the concept occurs, and the user's own that are to stay as they are."""

    same_word: tuple[str, ...] = ()
    """Prompts that use a word of the concept's name otherwise ("a French window"): the hardest ones to leave alone."""

    @property
    def texts(self) -> tuple[str, ...]:
        """All of them: positives, negatives, retain and same-word prompts."""
        sides = [pair[side] for side in (0, 1) for pair in self.pairs]
        return (*sides, *self.retain, *self.same_word)


class PromptWriter:
    """Draws prompts about or beside a concept. The same concept and seed give the same prompts.

    With concepts `beside` it, no prompt about other things mentions any of them, and the writers of all of them, each
    beside the same ones, write the same prompts about other things. `use` says how the concept's name is used, where
    the word lists of `unseen.prompts.usage` are wrong; synonyms keep theirs.
    """

    def __init__(self, concept: Concept, seed: int = 0, *, beside: Sequence[Concept] = (), use: Use | None = None):
        if use is not None and use not in USES[concept.kind]:
            raise ConceptError(
                f"use of the {concept.kind} {concept.name!r} must be one of {USES[concept.kind]}, got {use!r}."
            )
        self.concept, self.use = concept, use
        self._avoided = (concept, *beside)
        self._avoided_stems = frozenset().union(*(other.stems() for other in self._avoided))
        # Concepts written for together, and alike in number of names, have all but the names in common.
        names = sorted({name for other in self._avoided for name in other.names}) if beside else concept.names
        self.rng = random.Random(f"{seed}/{concept.kind}/{'/'.join(names)}")
        self.things = self._without_concept(lexicon.THINGS)
        self.people = self._without_concept(lexicon.PEOPLE)
        self.media = self._without_concept(lexicon.MEDIA)
        self.attributes = self._without_concept(lexicon.ATTRIBUTES)
        self.looks = [attribute for attribute in self.attributes if attribute in frames.LOOKS] or self.attributes
        self.places = self._without_concept(lexicon.PLACES)
        self.artists = self._without_concept(lexicon.ARTISTS)
        self.first_names = self._without_concept(lexicon.FIRST_NAMES)
        self.last_names = self._without_concept(lexicon.LAST_NAMES)
        if not all((self.things, self.people, self.media, self.attributes, self.places)):
            raise self._too_common()

    def _without_concept(self, candidates: Sequence[str]) -> list[str]:
        return [text for text in candidates if not self._mentions_any(text)]

    def _mentions_any(self, text: str) -> bool:
        return not self._avoided_stems.isdisjoint(stem(word) for word in words(text))

    def person_name(self) -> str:
        """An invented person's name that shares no word with the concept."""
        return f"{self.rng.choice(self.first_names)} {self.rng.choice(self.last_names)}"

    def pairs(self, count: int) -> list[PromptPair]:
        """`count` different pairs: name or synonym against an ordinary stand-in, in the same template and context.

        Raises:
            FitError: The concept's words are so common that no prompt is free of them.
        """
        wordings = [self._wording(name) for name in self.concept.names]
        made: dict[str, PromptPair] = {}
        for attempt in range(20 * count):
            # Names and templates take turns, so that a synonym gets as many prompts as the main name.
            wording = wordings[attempt % len(wordings)]
            fill = self._context(wording)
            template = wording.templates[(attempt // len(wordings)) % len(wording.templates)]
            if wording.behind and ("a {x}" in template or template.startswith("{x} {thing}")):
                continue  # "on fire" can follow its carrier but not stand before it
            positive = _fill(template, wording.x, fill)
            negative = _fill(template, self._stand_in(wording, template), fill)
            if not self._mentions_any(negative):  # a template's own words may be the concept's
                made.setdefault(positive, PromptPair(positive, negative))
            if len(made) == count:
                break
        if count and not made:
            raise self._too_common()
        return list(made.values())

    def pairs_of_pack(self, pack: ConceptPack, count: int) -> list[PromptPair]:
        """`count` different pairs, or as many as there are, in the phrases of `pack`: every second in its first
        language, the others in turns."""
        others = pack.phrasings[1:]
        turns = [language for other in others for language in (pack.phrasings[0], other)] or [pack.phrasings[0]]
        made: dict[str, PromptPair] = {}
        used = dict.fromkeys((phrasing.language for phrasing in pack.phrasings), 0)
        said = {phrasing.language: _in_script_of(phrasing, self.concept.names) for phrasing in pack.phrasings}
        for attempt in range(20 * count):
            phrasing = turns[attempt % len(turns)]
            turn = used[phrasing.language]
            used[phrasing.language] += 1
            phrase = phrasing.phrases[turn % len(phrasing.phrases)]
            frame = phrasing.frames[(turn // len(phrasing.phrases)) % len(phrasing.frames)]
            slots = {
                "carrier": self.rng.choice(phrasing.carriers) if phrasing.carriers else "",
                "name": said[phrasing.language][turn % len(said[phrasing.language])],
                "other_name": self._somebody(),
            }
            fill = self._context()
            sides = [frame.format(x=side.format(**slots), **fill) for side in phrase]
            pair = PromptPair(*(agree(side) if phrasing.language == "en" else side for side in sides))
            if not any(concept.is_named_in(pair.negative) for concept in self._avoided):
                made.setdefault(pair.positive, pair)
            if len(made) == count:
                break
        if count and not made:
            raise self._too_common()
        return list(made.values())

    def retain(self, count: int) -> list[str]:
        """`count` different ordinary prompts, none of which mentions a word of the concept."""
        made: dict[str, None] = {}
        for attempt in range(20 * count):
            template = lexicon.RETAIN_TEMPLATES[attempt % len(lexicon.RETAIN_TEMPLATES)]
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

    def same_word(self, count: int, names: Sequence[str] | None = None) -> list[str]:
        """Up to `count` prompts that use one word of a many-word name otherwise; none for one-word names.

        `names` are the English ones, by default all of the concept's.
        """
        alone = {name.lower() for name in self.concept.names}
        phrases: dict[str, None] = {}
        for name in self.concept.names if names is None else names:
            parts = [word for word in name.split() if content_words(word) and word.lower() not in alone]
            if len(name.split()) < 2:
                continue
            for part in parts:
                if self.concept.kind in ("identity", "style"):
                    if part.lower().strip(".") in _PARTICLES:
                        continue
                    first, last = self.person_name().split()
                    others = [
                        f"{part} {last}",
                        f"{first} {part}",
                        f"a {part.lower()} jacket",
                        f"the word {part.lower()}",
                    ]
                elif self.concept.kind == "attribute" and (is_behind(name) or part.endswith("ing")):
                    continue  # "having" of "having a beard" is no noun's first half
                elif part == name.split()[-1]:
                    others = [with_article(f"{modifier} {part}") for modifier in _MODIFIERS]
                else:
                    others = [with_article(f"{part} {thing}", makes=True) for thing in _MODIFIED]
                phrases.update(dict.fromkeys(other for other in others if other.lower() not in alone))
        chosen = self.rng.sample(list(phrases), min(count, len(phrases)))
        made = [_fill(self.rng.choice(("{x}", "a photo of {x}", "{x} {place}")), x, self._context()) for x in chosen]
        return [text for text in made if not self.concept.is_named_in(text)]

    def _wording(self, name: str) -> Wording:
        wording = wording_of(name, self.concept.kind, self.use if name == self.concept.name else None)
        stand_ins = tuple(self._without_concept(wording.stand_ins))
        places, actions = tuple(self._without_concept(wording.places)), tuple(self._without_concept(wording.actions))
        return replace(wording, stand_ins=stand_ins, places=places, actions=actions, behind=is_behind(name))

    def _context(self, wording: Wording | None = None) -> dict[str, str]:
        choose = self.rng.choice
        context = {
            "place": choose(self.places),
            "action": choose(lexicon.ACTIONS),
            "medium": choose(self.media),
            "adjective": choose(self.attributes),
            "thing": _one(choose(self.things if self.rng.random() < 0.8 else self.people)),
            "other": with_article(choose(self.things)),
            "other2": with_article(choose(self.things)),
            "person": with_article(choose(self.people)),
            "artist": choose(self.artists or self.media),
            "name": self.person_name(),
        }
        # derived, not drawn: the prompts of a seed stay what they were
        context["look"] = self.looks[self.attributes.index(context["adjective"]) % len(self.looks)]
        context["work"] = with_article(context["medium"])
        if wording is not None:
            carriers = {"people": self.people, "depictions": wording.depictions}
            slots = (("thing", carriers.get(wording.carrier)), ("action", wording.actions), ("place", wording.places))
            context.update({slot: choose(words) for slot, words in slots if words})
        return context

    def _stand_in(self, wording: Wording, template: str = "") -> str:
        choose = self.rng.choice
        if wording.stand_ins:
            return choose(wording.stand_ins)
        if wording.use == "artist":
            artist, person, medium = choose(self.artists or self.media), self.person_name(), choose(self.media)
            # no mosaic paints a picture, but a picture may be in its style
            return choose([artist, person, medium if "style" in template else artist])
        if wording.use == "look":
            return choose(self.media)
        if wording.use == "figure":
            return choose([self.person_name(), self.person_name(), with_article(choose(self.people))])
        if self.concept.kind == "attribute":
            return choose(self.attributes)
        return with_article(choose(self.things if self.rng.random() < 0.9 else self.people))

    def _somebody(self) -> str:
        """Another person, or for a style another artist."""
        if self.concept.kind == "style" and self.artists:
            return self.rng.choice((self.rng.choice(self.artists), self.person_name()))
        return self.person_name()

    def _other_thing(self) -> str:
        noun = self.rng.choice(self.things if self.rng.random() < 0.8 else self.people)
        return with_article(f"{self.rng.choice(self.attributes)} {noun}" if self.rng.random() < 0.2 else noun)


def _in_script_of(phrasing: Phrasing, names: Sequence[str]) -> list[str]:
    """Those of `names` in letters of the language's kind, Latin or other; all, if there are none."""
    latin = _is_latin("".join(phrasing.frames))
    return [name for name in names if _is_latin(name) == latin] or list(names)


def _is_latin(text: str) -> bool:
    return all(letter < "\u0250" for letter in text if letter.isalpha())


def _one(thing: str) -> str:
    return thing if number_of(thing) != "plural" else f"pair of {thing}"


def _fill(template: str, x: str, context: dict[str, str]) -> str:
    if number_of(x) == "plural":
        template = template.replace("there is {x}", "there are {x}").replace("there stands {x}", "there stand {x}")
    return agree(template.format(x=x, **context))


def write_prompts(
    concept: Concept | ConceptPack,
    *,
    seed: int = 0,
    pairs: int = 240,
    retain: int = 480,
    user_pairs: Sequence[PromptPair] | None = None,
    user_retain: Sequence[str] = (),
    held_out: int = 40,
    beside: Sequence[Concept] = (),
    use: Use | None = None,
) -> FitPrompts:
    """Prompts for one fit: `pairs` pairs, `retain` retain prompts beside `user_retain`, and same-word prompts.

    Args:
        concept: What to erase, or a `ConceptPack`, which says how prompts about it are put.
        seed: Seed of everything that is drawn.
        pairs: Pairs to write, the user's included.
        retain: Retain prompts to write; with 0 there are only the user's, and no same-word prompts.
        user_pairs: Pairs of the user's own. If they are fewer than twice `held_out`, written ones are added with a
            `ConceptWarning`; the user's are then found both among the held-out pairs and among the others.
        user_retain: Prompts of the user's own that are to stay as they are.
        held_out: How many pairs, the last ones, the fit holds out.
        beside: The concepts fitted together with this one, itself among them (`PromptWriter`).
        use: How the name is used, if the word lists are wrong (`unseen.prompts.usage`).

    Raises:
        FitError: Fewer than five user pairs, or no prompts are free of the concept's words.
    """
    pack = concept if isinstance(concept, ConceptPack) else None
    named = concept.concept if isinstance(concept, ConceptPack) else concept
    writer = PromptWriter(named, seed, beside=beside, use=use)
    own = [PromptPair(*pair) for pair in user_pairs or ()]
    if own and len(own) < FEWEST_PAIRS:
        raise FitError(
            f"expected at least {FEWEST_PAIRS} prompt pairs of your own, got {len(own)}: add more, or pass none."
        )
    if len(own) >= 2 * held_out > 0:
        made = own
    else:
        written = writer.pairs_of_pack(pack, pairs) if pack else writer.pairs(pairs)
        made = _mixed(own, written, pairs, held_out, named) if own else written
    kept = dict.fromkeys(user_retain)
    if not retain:
        return FitPrompts(tuple(made), tuple(kept))
    kept.update(dict.fromkeys(writer.retain(retain)))
    english = (
        None if pack is None else [named.name, *(n for p in pack.phrasings if p.language == "en" for n in p.names)]
    )
    return FitPrompts(tuple(made), tuple(kept), tuple(writer.same_word(48, english)))


def _mixed(
    own: list[PromptPair], written: Sequence[PromptPair], count: int, held_out: int, concept: Concept
) -> list[PromptPair]:
    """The user's pairs and as many written ones as make `count`; of both, a share is among the last `held_out`."""
    known = {pair.positive for pair in own}
    added = [pair for pair in written if pair.positive not in known][: max(count, 2 * held_out) - len(own)]
    warnings.warn(
        f"{len(own)} prompt pairs are few, so {len(added)} written ones about {concept.name!r} are added. Give"
        f" {2 * held_out} or more to fit on your own alone.",
        ConceptWarning,
        stacklevel=4,
    )
    share = min(held_out, max(1, round(len(own) * held_out / (len(own) + len(added)))))
    first, last = own[: len(own) - share], own[len(own) - share :]
    of_added = len(added) - (held_out - share)
    return [*first, *added[:of_added], *added[of_added:], *last]
