"""Captions for scenes, made from the wording in `phrasings.json`.

Every phrase and every template belongs to a split: "fit" is for learning, "development" for choosing settings and
"test" for measuring. Only main names and their plurals are in all three.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from unseen.diorama.world import scenes
from unseen.diorama.world.scenes import Scene

SPLITS = ("fit", "development", "test")
KINDS = ("main", "synonym", "periphrasis", "indirect", "fr", "de", "es")
"""How a thing is called: its name, other names, how it looks, what it does or causes, and three languages."""
KEYS = scenes.SUBJECTS + scenes.ATTRIBUTES + scenes.STYLES

T = TypeVar("T")
_ENGLISH = KINDS[:4]
_COUNTABLE = tuple(s for s in scenes.SUBJECTS if s not in (*scenes.CHARACTERS, scenes.STRANGER))
_WEIGHT = dict(zip(KINDS, (0.42, 0.22, 0.13, 0.13, 0.035, 0.035, 0.03), strict=True))
_FULL = 0.75  # share of captions that mention background, motion and style; the rest leave some of them open
_PLAIN_SAID = 0.12  # share in which the plain style, when it would be mentioned, gets words at all
_LONG = 0.2  # share of captions made from the templates of several sentences, as prompt enhancers write them
_DRAWS = 32  # uniform numbers taken from the generator at once: one call is far cheaper than many
_ARTICLE = re.compile(r"^(an?|the|une?|una|eine?|der|die|das|le|la|el) (?=\S)")
_SLOTS = re.compile(r"{(\w+)}")
_ASPECT = {"background": "b", "motion": "m", "moves": "m", "moving": "m", "camera": "m", "style": "s"}
_SUBSETS = ("", "b", "m", "s", "bm", "bs", "ms", "bms")
_NEEDED: dict[str, tuple[set[str], ...]] = {  # the slots for subjects in the templates of each shape
    "empty": (set(),),
    "single": ({"a_subject"}, {"subject"}),
    "pair": ({"left", "right"},),
    "triple": ({"left", "middle", "right"},),
    "stack": ({"upper", "lower"},),
    "count": ({"subjects"},),
}
_PLACES = {"pair": ("left", "right"), "triple": ("left", "middle", "right"), "stack": ("upper", "lower")}
_NUMBERS = {2: "two", 3: "three"}


@dataclass(frozen=True)
class Phrase:
    """One wording of a key. `text` includes the article, if any; `{}` in it stands for an attribute's carrier."""

    text: str
    kind: str
    split: str
    with_attribute: bool = True  # False: it says that the attribute is not shown ("a dressed mannequin")
    carrier: str | None = None  # the only carrier that a foreign attribute fits ("un mannequin nu")

    @property
    def noun(self) -> str:
        return _ARTICLE.sub("", self.text)

    def fits(self, kind: str | None, split: str | None) -> bool:
        return kind in (None, self.kind) and (split is None or self.split in (split, "any"))


@dataclass(frozen=True)
class Grammar:
    """The checked contents of `phrasings.json`."""

    names: Mapping[str, tuple[Phrase, ...]]
    plurals: Mapping[str, str]
    frames: Mapping[str, str]  # what a style's main name is put into
    backgrounds: Mapping[str, Mapping[str | None, tuple[str, ...]]]
    motions: Mapping[str, Mapping[str | None, tuple[tuple[str, str, str], ...]]]  # one moves, two move, moving
    unnamed: tuple[Phrase, ...]  # words that name nothing in particular
    templates: Mapping[tuple[str, str, bool, bool], Mapping[str, tuple[str, ...]]]
    """By (split, shape, camera motion?, long?), then by which of b(ackground), m(otion), s(tyle) they mention."""


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(f"phrasings.json: {message}.")


def expand(template: str) -> Iterator[str]:
    """The template with each of its optional parts, those in square brackets, present or absent."""
    pieces = re.split(r"\[(.*?)\]", template)
    for kept in itertools.product((True, False), repeat=len(pieces) // 2):
        yield "".join(p for i, p in enumerate(pieces) if i % 2 == 0 or kept[i // 2])


def _phrases(key: str, entry: Mapping[str, Any]) -> tuple[Phrase, ...]:
    found = [Phrase(entry["main"], "main", "any")]
    denied = entry.get("without_attribute", ())
    for kind in KINDS[1:]:
        _check(bool(entry.get(kind)), f"{key} has no {kind}")
        by_carrier = {None: entry[kind]}
        if key in scenes.ATTRIBUTES and kind not in _ENGLISH:
            by_carrier = entry[kind]
            _check(tuple(by_carrier) == scenes.CARRIERS_OF[key], f"{key} needs its {kind} for each carrier")
        for carrier, by_split in by_carrier.items():
            _check(set(by_split) <= set(SPLITS), f"{key} has an unknown split")
            for split, texts in by_split.items():
                found += [Phrase(text, kind, split, text not in denied, carrier) for text in texts]
    _check(set(denied) <= {p.text for p in found}, f"{key} denies its attribute in a phrase that is not listed")
    _check(key in scenes.ATTRIBUTES or not any("{" in p.text for p in found), f"{key} has a stray slot")
    return tuple(found)


def _forms(phrase: str) -> tuple[str, str, str]:
    """ "drifts/drift/drifting left" in its three forms; a camera's motion has only one."""
    verb, _, rest = phrase.partition(" ")
    forms = verb.split("/") if "/" in verb else [verb] * 3
    _check(len(forms) == 3, f"a motion needs three verb forms: “{phrase}”")
    one, many, moving = (f"{form} {rest}".rstrip() for form in forms)
    return one, many, moving


def _contexts(data: Mapping[str, Any], keys: tuple[str, ...], make: Any) -> dict[str, dict[str | None, Any]]:
    """The phrases of each background or motion by split, with all of them under None."""
    complete = set(data) == set(keys) and all(data[key].get(split) for key in keys for split in SPLITS)
    _check(complete, f"the keys have to be {', '.join(keys)}, each with phrases of all splits")
    made = {key: {split: tuple(make(text) for text in data[key][split]) for split in SPLITS} for key in keys}
    return {key: by_split | {None: sum(by_split.values(), ())} for key, by_split in made.items()}


def _templates(
    short: Mapping[str, Any], long: Mapping[str, Any]
) -> dict[tuple[str, str, bool, bool], dict[str, tuple[str, ...]]]:
    table: dict[tuple[str, str, bool, bool], dict[str, dict[str, None]]] = {}
    for shape, split, camera, extended in itertools.product(_NEEDED, SPLITS, (False, True), (False, True)):
        if extended and shape == "empty":
            continue
        by_aspects = table.setdefault((split, shape, camera, extended), {})
        for variant in (v for template in (long if extended else short)[shape][split] for v in expand(template)):
            slots = set(_SLOTS.findall(variant))
            _check(slots - set(_ASPECT) in _NEEDED[shape], f"wrong slots in “{variant}”")
            if not slots & ({"moves", "moving"} if camera else {"camera"}):
                aspects = "".join(sorted({_ASPECT[slot] for slot in slots if slot in _ASPECT}))
                by_aspects.setdefault(aspects, {})[variant] = None
        for aspects in _SUBSETS if shape != "empty" or camera else ("", "b", "s", "bs"):
            _check(aspects in by_aspects, f"no {split} template for “{shape}” that mentions “{aspects}”")
    return {key: {a: tuple(v) for a, v in by_aspects.items()} for key, by_aspects in table.items()}


@cache
def grammar() -> Grammar:
    """Load and check `phrasings.json`, once."""
    data = json.loads(Path(__file__).with_name("phrasings.json").read_text(encoding="utf-8"))
    _check(set(data["names"]) == set(KEYS), "the names are not those of the scenes' subjects, attributes and styles")
    plurals = {key: entry["plural"] for key, entry in data["names"].items() if "plural" in entry}
    _check(set(plurals) == set(_COUNTABLE), "things, and only things, need a plural")
    return Grammar(
        {key: _phrases(key, data["names"][key]) for key in KEYS},
        plurals,
        {style: data["names"][style]["frame"] for style in scenes.STYLES},
        _contexts(data["backgrounds"], scenes.BACKGROUNDS, str),
        _contexts(data["motions"], scenes.MOTIONS, _forms),
        tuple(Phrase(text, "unnamed", "fit") for text in data["unnamed"]),
        _templates(data["templates"], data["long"]),
    )


@cache
def _pool(
    key: str, split: str | None, kind: str | None, attribute: bool, carrier: str | None
) -> list[tuple[float, tuple[Phrase, ...]]]:
    """The phrases to draw from, grouped by kind, each group with its cumulative share."""
    allowed = [p for p in grammar().names[key] if p.fits(kind, split) and p.carrier in (None, carrier)]
    if attribute:  # a foreign carrier would not fit into an English attribute
        allowed = [p for p in allowed if p.with_attribute and p.kind in _ENGLISH]
    groups = [(k, group) for k in KINDS if (group := tuple(p for p in allowed if p.kind == k))]
    if not groups:
        raise ValueError(f"“{key}” has no phrase of kind {kind} in the split {split}.")
    shares = np.cumsum([_WEIGHT[k] for k, _ in groups]) / sum(_WEIGHT[k] for k, _ in groups)
    return [(float(share), group) for share, (_, group) in zip(shares, groups, strict=True)]


def _pick(items: Sequence[T], draw: float) -> T:
    return items[int(draw * len(items))]


def _name(
    key: str,
    draws: Iterator[float],
    split: str | None,
    kind: str | None,
    attribute: bool = False,
    carrier: str | None = None,
) -> Phrase:
    draw, pool = next(draws), _pool(key, split, kind, attribute, carrier)
    return _pick(next((group for share, group in pool if draw < share), pool[-1][1]), next(draws))


def _subject(scene: Scene, index: int, draws: Iterator[float], split: str | None, kind: str | None) -> Phrase:
    """A phrase for one of the scene's subjects, with its attribute if that is shown."""
    if (attribute := scenes.ATTRIBUTE_OF.get(key := scene.subjects[index])) not in scene.attributes:
        return _name(key, draws, split, kind)
    shown = _name(attribute, draws, split, kind, carrier=key)
    # The kind that was asked for is the attribute's; its carrier then keeps the main name.
    return _on_carrier(shown, _name(key, draws, split, "main" if kind else None, attribute=True))


def _on_carrier(attribute: Phrase, carrier: Phrase) -> Phrase:
    carried = carrier.text if attribute.text.startswith("{}") else carrier.noun
    return Phrase(attribute.text.replace("{}", carried), attribute.kind, attribute.split)


def _style(style: str, draws: Iterator[float], split: str | None, kind: str | None) -> str:
    phrase = _name(style, draws, split, kind)
    if phrase.kind == "main":
        return grammar().frames[style].format(phrase.text)
    return f"as {phrase.text}" if phrase.kind in _ENGLISH else phrase.text


def _shape(scene: Scene) -> str:
    """Which templates a scene needs; refuses scenes that captions cannot describe."""
    subjects = scene.subjects
    if scene.attributes and not {scenes.ATTRIBUTE_OF.get(s) for s in subjects}.issuperset(scene.attributes):
        raise ValueError(f"No subject of {scene} can show one of its attributes.")
    count, different = len(subjects), len(set(subjects))
    if scene.stacked and (count, different) != (2, 2):
        raise ValueError(f"Only two different subjects can be stacked, not {subjects}.")
    if different == count <= 3:
        return "stack" if scene.stacked else ("empty", "single", "pair", "triple")[count]
    if different > 1 or count > 3:
        raise ValueError(f"A caption needs up to three different subjects or one two or three times, not {subjects}.")
    plural(subjects[0])  # a person has none
    if scene.attributes:
        raise ValueError(f"Attributes are not shown in scenes with a count like {subjects}.")
    return "count"


def caption(
    scene: Scene,
    rng: np.random.Generator,
    *,
    template_split: str = "fit",
    phrase_split: str | None = None,
    name_kind: str | None = None,
    unnamed: float = 0.0,
) -> str:
    """A random caption; `phrase_split` None draws on all phrases, `name_kind` is for first subject and style.

    Counts are always said with the main name, because only that has a plural.

    `unnamed` is the chance of each subject to be called "something" and the like, and of an empty scene to be captioned
    like one: only in training, where the model learns what to draw for words that name nothing.
    """
    if template_split not in SPLITS or phrase_split not in (None, *SPLITS) or name_kind not in (None, *KINDS):
        raise ValueError(f"The splits are {', '.join(SPLITS)} and the kinds of names {', '.join(KINDS)}.")
    shape, words, camera, count = _shape(scene), grammar(), scene.motion in ("pan", "zoom"), len(scene.subjects)
    draws = iter(rng.random(_DRAWS).tolist())
    aspects = "bms" if next(draws) < _FULL else _pick(_SUBSETS[:-1], next(draws))
    if scene.style == "plain" and next(draws) >= _PLAIN_SAID:
        aspects = aspects.replace("s", "")
    vague = [unnamed > 0 and next(draws) < unnamed for _ in range(max(1, count))]
    if shape == "empty":
        if vague[0]:
            shape = "single"
        elif not camera:  # nothing there that could be said to move
            aspects = aspects.replace("m", "")
    long = shape != "empty" and next(draws) < _LONG
    template = _pick(words.templates[template_split, shape, camera, long][aspects], next(draws))
    one, many, moving = _pick(words.motions[scene.motion][phrase_split], next(draws))
    slots = {"moves": many if count > 1 else one, "moving": moving, "motion": moving, "camera": moving}
    slots["background"] = _pick(words.backgrounds[scene.background][phrase_split], next(draws))
    if "s" in aspects:
        slots["style"] = _style(scene.style, draws, phrase_split, name_kind)
    if shape == "count":
        slots["subjects"] = f"{_NUMBERS[count]} {'things' if vague[0] else words.plurals[scene.subjects[0]]}"
    elif shape != "empty":
        called = [
            _pick(words.unnamed, next(draws))
            if vague[index]
            else _subject(scene, index, draws, phrase_split, None if index else name_kind)
            for index in range(max(1, count))
        ]
        if shape == "single":
            slots |= {"a_subject": called[0].text, "subject": called[0].noun}
        else:
            slots.update(zip(_PLACES[shape], (phrase.text for phrase in called), strict=True))
    text = template.format_map(slots)
    return text[0].upper() + text[1:] if text.endswith(".") else text


def names(key: str, kind: str | None = None, split: str | None = None) -> list[str]:
    """The names of a key without articles, an attribute's with its carrier; `split` includes what is in all splits."""
    if key not in KEYS or kind not in (None, *KINDS) or split not in (None, *SPLITS):
        raise ValueError(f"There are no names for “{key}” of kind {kind} in the split {split}.")
    found = [p for p in grammar().names[key] if p.fits(kind, split)]
    if key not in scenes.ATTRIBUTES:
        return [p.noun for p in found]
    carriers = {carrier: grammar().names[carrier][0] for carrier in scenes.CARRIERS_OF[key]}
    return [_on_carrier(p, main).noun for c, main in carriers.items() for p in found if p.carrier in (None, c)]


def plural(key: str) -> str:
    """ "cat" → "cats"; persons, attributes and styles have no plural."""
    if key not in grammar().plurals:
        raise ValueError(f"“{key}” has no plural: only things can be counted.")
    return grammar().plurals[key]


def main_name(key: str) -> str:
    """ "french_horn" → "French horn"."""
    return names(key, "main")[0]


def _plain(name: str) -> str:
    return _ARTICLE.sub("", " ".join(name.casefold().replace("_", " ").split()))


@cache
def _keys() -> dict[str, str]:
    known = {_plain(name): key for key, name in grammar().plurals.items()}
    known |= {_plain(name): key for key in KEYS for name in names(key)}
    for key in scenes.ATTRIBUTES:  # "naked" alone, without its carrier
        known |= {_plain(p.noun.replace("{}", "")): key for p in grammar().names[key] if "{}" in p.text}
    return known | {_plain(key): key for key in KEYS}


def key_of(name: str) -> str:
    """The key that a main name, a key or any other name stands for, in upper or lower case."""
    if (plain := _plain(name)) in _keys():
        return _keys()[plain]
    near = difflib.get_close_matches(plain, _keys(), n=3, cutoff=0)
    raise ValueError(f"Diorama does not know “{name}”; did you mean {', '.join(near[:-1])} or {near[-1]}?")
