"""Recipes: what the prompts of a role are, by name. A suite says which it asks for.

An attribute or a style stands beside nothing, and some objects have no namesake: a recipe gives no prompts then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from unseen.bench.prompts.rewording import BARRED, DISGUISES, neutral, reworded, with_words
from unseen.bench.prompts.writer import OPEN, PHRASINGS, Prompt, PromptWriter, with_listed_synonyms
from unseen.bench.suite import Cell
from unseen.concept import Concept
from unseen.diorama.world import captions, scenes
from unseen.diorama.world.concepts import absent_subjects, concept_kind, near_to, neighbours_of, same_kind
from unseen.prompts.files import load_prompts
from unseen.prompts.sets import load_prompt_set

SHOWN_TO_THE_SEARCH = 2
"""Prompts that a search for words reads."""
TEXTS_OTHER = 4
"""Texts about each other subject, in each kind of other words."""
SEARCHES = ("searched words", "preview, bare", "tokens, white box", "preview, white box")
"""Attacks that search for words: in the text encoder and in the previews of the bare model, and knowing the method."""
OTHERS = 20
"""Sentences about other things that each eraser is tried on."""
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Ask:
    """What a recipe is told."""

    key: str
    """The concept, a key of Diorama's world."""
    concept: Concept
    writer: PromptWriter
    cell: Cell
    count: int
    """Prompts that are wanted."""
    fewer: int
    """As many of them would be all if there were no more on test wording than on development wording."""
    fit_texts: Callable[[], list[str]]
    """Every prompt that a fit of the concept reads."""
    words: Callable[[str], Sequence[str]]
    """Words that a search found, by the name of the attack."""
    keys: tuple[str, ...]
    """All concepts of the suite."""
    number: int
    """Which of them this one is, counted from 0."""

    @property
    def role(self) -> str:
        """What the prompts are in the suite for."""
        return self.cell.role

    @property
    def kind(self) -> str:
        """Of the concept."""
        return concept_kind(self.key)

    def plain(self) -> list[Prompt]:
        """Prompts that name the concept."""
        return self.writer.naming(self.key, self.count, role="target")

    def styles(self, keys: Sequence[str], count: int, role: str) -> list[Prompt]:
        """About `count` prompts, as many in each of some styles."""
        each = max(1, count // len(keys))
        return [prompt for key in keys for prompt in self.writer.styled(key, each, role=role)]


def target(ask: Ask) -> list[Prompt]:
    """Prompts that name the concept; where synonyms are listed, these take turns with its name."""
    return with_listed_synonyms(ask.plain(), ask.concept)


def companion(ask: Ask) -> list[Prompt]:
    """The concept and another subject."""
    return ask.writer.pairs(ask.key, ask.count, role=ask.role) if ask.key in scenes.SUBJECTS else []


def _only(near: Mapping[str, str], ask: Ask) -> list[Prompt]:
    return ask.writer.single(near[ask.key], ask.count, role=ask.role) if ask.key in near else []


def absent(ask: Ask) -> list[Prompt]:
    """Subjects that the fit never read about; each concept starts elsewhere in their list, so that all have a turn."""
    known = absent_subjects(ask.fit_texts(), without=(ask.key, *near_to(ask.key)))
    start = (scenes.SUBJECTS.index(ask.key) if ask.key in scenes.SUBJECTS else ask.number) * ask.count
    turn = [known[(start + place) % len(known)] for place in range(min(ask.count, len(known)))]
    return ask.writer.mixed(turn, ask.count, role="absent", salt=ask.key) if turn else []


def bare(ask: Ask) -> list[Prompt]:
    """The target prompts with "something" in the concept's place, or "a person" in that of a person."""
    return [neutral(prompt) for prompt in ask.plain()] if ask.kind in ("object", "identity") else []


def kin(ask: Ask) -> list[Prompt]:
    """Others of the concept's kind."""
    same = same_kind(ask.key)
    if ask.kind == "style":
        return ask.styles(same, ask.count, "others")
    return ask.writer.mixed(same, ask.count, role="others", salt=ask.key)


def carrier(ask: Ask) -> list[Prompt]:
    """What carries an attribute, without it."""
    return ask.writer.mixed(scenes.CARRIERS_OF.get(ask.key, ()), ask.count, role="carrier")


def others(ask: Ask) -> list[Prompt]:
    """The near neighbour or others of the kind, and any other subjects, half of each.

    On test wording there may be more; what fewer would have been is among them.
    """
    half, first = max(1, ask.count // 2), max(1, ask.fewer // 2)
    subjects = [k for k in scenes.SUBJECTS if k not in (ask.key, scenes.STRANGER)]
    start = (scenes.SUBJECTS + scenes.STYLES + scenes.ATTRIBUTES).index(ask.key)
    turn = [subjects[(start + 7 * place) % len(subjects)] for place in range(half)]

    def spread(keys: Sequence[str], later: Sequence[str], salt: str) -> list[Prompt]:
        made = ask.writer.mixed(list(dict.fromkeys(keys)), first, role="others", salt=salt)
        if half > first:  # apart, so that the first stay the same
            made += ask.writer.mixed(list(dict.fromkeys(later)), half - first, role="others", salt=f"{salt}, more")
        return made

    far = spread(turn[:first], turn[first:], f"far {ask.key}")
    if ask.kind == "style":
        return ask.styles(same_kind(ask.key), half, "others") + far
    pairs = {**scenes.NEIGHBOUR_OF, **{near: o for o, near in scenes.NEIGHBOUR_OF.items()}}
    same = [pairs[ask.key]] if ask.key in pairs else same_kind(ask.key)
    return spread(same, same, f"near {ask.key}") + far


def confusable(ask: Ask) -> list[Prompt]:
    """What is easily confused with the concept (`neighbours_of`)."""
    near = neighbours_of(ask.key)
    if ask.kind == "style":
        return ask.styles(near, ask.count, ask.role)
    return ask.writer.mixed(near, ask.count, role=ask.role)


def unrelated(ask: Ask) -> list[Prompt]:
    """Subjects that the fit never read about, the first of them."""
    known = absent_subjects(ask.fit_texts(), without=(ask.key, *neighbours_of(ask.key)))
    return ask.writer.mixed(known[: ask.count], ask.count, role=ask.role, salt=ask.key)


def untouched(ask: Ask) -> list[Prompt]:
    """All subjects that are none of the suite's concepts, however few prompts are wanted."""
    rest = [key for key in scenes.SUBJECTS if key not in ask.keys and key != scenes.STRANGER]
    return ask.writer.mixed(rest, max(ask.count, len(rest)), role="absent", salt="together")


def _reworded(kind: str, ask: Ask) -> list[Prompt]:
    return [reworded(prompt, ask.key, kind, place) for place, prompt in enumerate(ask.plain())]


def _said(kind: str, ask: Ask) -> list[Prompt]:
    return ask.writer.naming(ask.key, ask.count, role=ask.role, kind=kind)


def neighbour_reworded(ask: Ask) -> list[Prompt]:
    """An object's near neighbour, by its synonyms and descriptions."""
    if ask.key not in scenes.NEIGHBOUR_OF:
        return []
    near = scenes.NEIGHBOUR_OF[ask.key]
    return [p for kind in BARRED for p in ask.writer.single(near, ask.count, role=f"neighbour {kind}", kind=kind)]


def others_reworded(ask: Ask) -> list[Prompt]:
    """All other subjects, by their synonyms and descriptions."""
    if ask.key not in scenes.NEIGHBOUR_OF:
        return []
    return [
        prompt
        for other in scenes.SUBJECTS
        if other not in (ask.key, scenes.NEIGHBOUR_OF[ask.key])
        for kind in BARRED
        if captions.names(other, kind, ask.writer.split)
        for prompt in ask.writer.single(other, TEXTS_OTHER, role=f"other {kind}", kind=kind)
    ]


def same_word(ask: Ask) -> list[Prompt]:
    """Phrases that share a word with an object's name, or are about things of its sort."""
    texts = json.loads((_FOLDER / "same_word.json").read_text(encoding="utf-8"))[ask.writer.split].get(ask.key, [])
    return _written(ask, ask.key, texts)


def sentences(split: str) -> dict[str, list[Any]]:
    """The ordinary sentences of "development" or "test": "asked", "neighbours" and "unrelated".

    Each that asks for a concept says which of its words mean it and which others matter.
    """
    return json.loads((_FOLDER / "sentences.json").read_text(encoding="utf-8"))[split]


def asking(ask: Ask) -> list[Prompt]:
    """Ordinary sentences that ask for the concept in other words, the first of them."""
    mine = [e for e in sentences(ask.writer.split)["asked"] if e["key"] == ask.key][: ask.count]
    prompts = _written(ask, ask.key, [entry["text"] for entry in mine])
    return [replace(p, tags=(f"kind: {e['kind']}", f"form: {e['form']}")) for p, e in zip(prompts, mine, strict=True)]


def unasked(ask: Ask) -> list[Prompt]:
    """The sentences that ask for a style, with "picture" in its place: how often does the model choose it by itself?"""
    mine = [e for e in sentences(ask.writer.split)["asked"] if e["key"] == ask.key and e["kind"] == "style"]
    return _written(ask, ask.key, [e["text"].replace(e["phrase"], "picture") for e in mine[: ask.count]])


def near_sentences(ask: Ask) -> list[Prompt]:
    """Ordinary sentences that ask for what is near to the concept."""
    listed = sentences(ask.writer.split)["neighbours"]
    mine = [(place, entry) for place, entry in enumerate(listed) if entry["neighbour_of"] == ask.key]
    # each from noise of its own: an interval over one noise would be a point
    return [p for place, entry in mine for p in _written(ask, entry["key"], [entry["text"]], place)]


def other_sentences(ask: Ask) -> list[Prompt]:
    """Ordinary sentences about other things; each concept has others of them."""
    listed = sentences(ask.writer.split)["unrelated"]
    texts = listed[(ask.number + 1) % 5 :: max(1, len(listed) // OTHERS)]
    return _written(ask, ask.key, texts)


def _written(ask: Ask, key: str, texts: Sequence[str], first: int = 0) -> list[Prompt]:
    scene, seed = ask.writer.naming(key, 1, role=ask.role)[0].scene, ask.writer.noise_seed
    return [Prompt(text, scene, ask.role, key, seed(text, place)) for place, text in enumerate(texts, first)]


def _searched(attack: str, ask: Ask) -> list[Prompt]:
    """Prompts that do not name the concept, with words behind them that a search found."""
    words = ask.words(attack)
    return [replace(p, text=with_words(p.text, words), said=frozenset()) for p in map(neutral, ask.plain())]


def _disguised(name: str, ask: Ask) -> list[Prompt]:
    """Prompts that ask for the concept in disguise."""
    made = [DISGUISES[name](prompt, ask.key, place) for place, prompt in enumerate(ask.plain())]
    return [replace(prompt, said=frozenset()) for prompt in made if prompt is not None]


def held_out(ask: Ask) -> list[Prompt]:
    """Combinations that the video model never saw."""
    return ask.writer.single(ask.key, ask.count, role=ask.role, held_out=True)


def from_file(ask: Ask) -> list[Prompt]:
    """Prompts of the user's own, the first `count` of them, each from noise of its own, or from the seed of its set."""
    if ask.cell.format:
        only = [tag.replace("{concept}", ask.concept.name) for tag in ask.cell.only]
        found = [(one.text, one.seed, one.tags) for one in load_prompt_set(ask.cell.file, ask.cell.format, only)]
    else:
        found = [(text, None, ()) for text in load_prompts(ask.cell.file)]
    return [
        Prompt(text, OPEN, ask.role, ask.key, ask.writer.noise_seed(text, place) if seed is None else seed, tags=tags)
        for place, (text, seed, tags) in enumerate(found[: ask.count])
    ]


RECIPES: Mapping[str, Callable[[Ask], list[Prompt]]] = {
    "target": target,
    "companion": companion,
    "pair": companion,
    "neighbour": partial(_only, scenes.NEIGHBOUR_OF),
    "namesake": partial(_only, scenes.NAMESAKE_OF),
    "absent": absent,
    "empty": lambda ask: ask.writer.empty(ask.count),
    "unnamed": bare,
    "kin": kin,
    "carrier": carrier,
    "others": others,
    "confusable": confusable,
    "unrelated": unrelated,
    "untouched": untouched,
    "main": lambda ask: ask.plain(),
    **{kind: partial(_said, kind) for kind in PHRASINGS},
    "misspelt": partial(_reworded, "misspelt"),
    "compared": partial(_reworded, "compared"),
    "neighbour reworded": neighbour_reworded,
    "others reworded": others_reworded,
    "same word": same_word,
    "sentence": asking,
    "sentence, style unasked": unasked,
    "near sentence": near_sentences,
    "other sentence": other_sentences,
    **{name: partial(_searched, name) for name in SEARCHES},
    **{name: partial(_disguised, name) for name in DISGUISES},
    "held out": held_out,
    "file": from_file,
}
"""By the name that a suite gives them."""


def searched_on(key: str, seed: int) -> tuple[list[str], list[str]]:
    """What a search for words reads: prompts of the development wording with the concept, and the same without."""
    named = PromptWriter("development", seed).naming(key, 2 * SHOWN_TO_THE_SEARCH, role="target")[::2]
    return [p.text for p in named], [neutral(p).text for p in named]
