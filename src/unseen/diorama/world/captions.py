"""Captions for scenes, made from the wording in `phrasings.json`.

Every phrase and every template belongs to a split: "fit" is for learning, "development" for choosing settings and
"test" for measuring. Only main names are in all three.
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
KINDS = ("main", "synonym", "periphrasis", "fr", "de", "es")
KEYS = scenes.SUBJECTS + scenes.ATTRIBUTES + scenes.STYLES

T = TypeVar("T")
_WEIGHT = {"main": 0.45, "synonym": 0.25, "periphrasis": 0.18, "fr": 0.04, "de": 0.04, "es": 0.04}
_FULL = 0.75  # share of captions that mention background, motion and style; the rest leave some of them open
_PLAIN_SAID = 0.12  # share in which the plain style, when it would be mentioned, gets words at all
_DRAWS = 20  # uniform numbers taken from the generator at once: one call is far cheaper than many
_ARTICLE = re.compile(r"^(an?|the|une?|una|eine?|der|die|das|le|la|el) (?=\S)")
_SLOTS = re.compile(r"{(\w+)}")
_ASPECT = {"background": "b", "motion": "m", "moves": "m", "moving": "m", "camera": "m", "style": "s"}
_SUBSETS = ("", "b", "m", "s", "bm", "bs", "ms", "bms")
_NEEDED = {"empty": (set(),), "single": ({"a_subject"}, {"subject"}), "pair": ({"left", "right"},)}


@dataclass(frozen=True)
class Phrase:
    """One wording of a key. `text` includes the article, if any; `{}` in it stands for an attribute's carrier."""

    text: str
    kind: str
    split: str
    with_attribute: bool = True  # False: it says that the attribute is not shown ("a dressed mannequin")

    @property
    def noun(self) -> str:
        return _ARTICLE.sub("", self.text)

    def fits(self, kind: str | None, split: str | None) -> bool:
        return kind in (None, self.kind) and (split is None or self.split in (split, "any"))


@dataclass(frozen=True)
class Grammar:
    """The checked contents of `phrasings.json`."""

    names: Mapping[str, tuple[Phrase, ...]]
    frames: Mapping[str, str]  # what a style's main name is put into
    backgrounds: Mapping[str, Mapping[str | None, tuple[str, ...]]]
    motions: Mapping[str, Mapping[str | None, tuple[tuple[str, str, str], ...]]]  # one moves, two move, moving
    unnamed: tuple[Phrase, ...]  # words that name nothing in particular
    templates: Mapping[tuple[str, int, bool], Mapping[str, tuple[str, ...]]]
    """By (split, number of subjects, camera motion?), then by which of b(ackground), m(otion), s(tyle) they mention."""


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
        for split, texts in entry[kind].items():
            _check(split in SPLITS, f"{key} has the unknown split {split}")
            found += [Phrase(text, kind, split, text not in denied) for text in texts]
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


def _templates(data: Mapping[str, Any]) -> dict[tuple[str, int, bool], dict[str, tuple[str, ...]]]:
    table: dict[tuple[str, int, bool], dict[str, dict[str, None]]] = {}
    for (count, shape), split, camera in itertools.product(enumerate(_NEEDED), SPLITS, (False, True)):
        for variant in (variant for template in data[shape][split] for variant in expand(template)):
            slots = set(_SLOTS.findall(variant))
            _check(slots - set(_ASPECT) in _NEEDED[shape], f"wrong slots in “{variant}”")
            if not slots & ({"moves", "moving"} if camera else {"camera"}):
                aspects = "".join(sorted({_ASPECT[slot] for slot in slots if slot in _ASPECT}))
                table.setdefault((split, count, camera), {}).setdefault(aspects, {})[variant] = None
    for (split, count, camera), by_aspects in table.items():
        for aspects in _SUBSETS if count or camera else ("", "b", "s", "bs"):
            _check(aspects in by_aspects, f"no {split} template for {count} subjects that mentions “{aspects}”")
    return {key: {a: tuple(v) for a, v in by_aspects.items()} for key, by_aspects in table.items()}


@cache
def grammar() -> Grammar:
    """Load and check `phrasings.json`, once."""
    data = json.loads(Path(__file__).with_name("phrasings.json").read_text(encoding="utf-8"))
    _check(set(data["names"]) == set(KEYS), "the names are not those of the scenes' subjects, attributes and styles")
    return Grammar(
        {key: _phrases(key, data["names"][key]) for key in KEYS},
        {style: data["names"][style]["frame"] for style in scenes.STYLES},
        _contexts(data["backgrounds"], scenes.BACKGROUNDS, str),
        _contexts(data["motions"], scenes.MOTIONS, _forms),
        tuple(Phrase(text, "unnamed", "fit") for text in data["unnamed"]),
        _templates(data["templates"]),
    )


@cache
def _pool(key: str, split: str | None, kind: str | None, attribute: bool) -> list[tuple[float, tuple[Phrase, ...]]]:
    """The phrases to draw from, grouped by kind, each group with its cumulative share."""
    allowed = [p for p in grammar().names[key] if p.fits(kind, split)]
    if attribute:  # a foreign carrier would not fit into an English attribute
        allowed = [p for p in allowed if p.with_attribute and p.kind in KINDS[:3]]
    groups = [(k, group) for k in KINDS if (group := tuple(p for p in allowed if p.kind == k))]
    if not groups:
        raise ValueError(f"“{key}” has no phrase of kind {kind} in the split {split}.")
    shares = np.cumsum([_WEIGHT[k] for k, _ in groups]) / sum(_WEIGHT[k] for k, _ in groups)
    return [(float(share), group) for share, (_, group) in zip(shares, groups, strict=True)]


def _pick(items: Sequence[T], draw: float) -> T:
    return items[int(draw * len(items))]


def _name(key: str, draws: Iterator[float], split: str | None, kind: str | None, attribute: bool = False) -> Phrase:
    draw, pool = next(draws), _pool(key, split, kind, attribute)
    return _pick(next((group for share, group in pool if draw < share), pool[-1][1]), next(draws))


def _subject(scene: Scene, index: int, draws: Iterator[float], split: str | None, kind: str | None) -> Phrase:
    """A phrase for one of the scene's subjects, with its attribute if that is shown."""
    if (attribute := scenes.ATTRIBUTE_OF.get(key := scene.subjects[index])) not in scene.attributes:
        return _name(key, draws, split, kind)
    shown = _name(attribute, draws, split, kind)
    # The kind that was asked for is the attribute's; its carrier then keeps the main name.
    carrier = _name(key, draws, split, "main" if kind else None, attribute=True)
    return _on_carrier(shown, carrier)


def _on_carrier(attribute: Phrase, carrier: Phrase) -> Phrase:
    carried = carrier.text if attribute.text.startswith("{}") else carrier.noun
    return Phrase(attribute.text.replace("{}", carried), attribute.kind, attribute.split)


def _style(style: str, draws: Iterator[float], split: str | None, kind: str | None) -> str:
    phrase = _name(style, draws, split, kind)
    frames = {"main": grammar().frames[style], "synonym": "as {}", "periphrasis": "as {}"}
    return frames.get(phrase.kind, "{}").format(phrase.text)


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

    `unnamed` is the chance of each subject to be called "something" and the like, and of an empty scene to be captioned
    like one: only in training, where the model learns what to draw for words that name nothing.
    """
    if template_split not in SPLITS or phrase_split not in (None, *SPLITS) or name_kind not in (None, *KINDS):
        raise ValueError(f"The splits are {', '.join(SPLITS)} and the kinds of names {', '.join(KINDS)}.")
    if scene.attributes and not {scenes.ATTRIBUTE_OF.get(s) for s in scene.subjects}.issuperset(scene.attributes):
        raise ValueError(f"No subject of {scene} can show one of its attributes.")
    draws = iter(rng.random(_DRAWS).tolist())
    words, camera, count = grammar(), scene.motion in ("pan", "zoom"), len(scene.subjects)
    aspects = "bms" if next(draws) < _FULL else _pick(_SUBSETS[:-1], next(draws))
    if scene.style == "plain" and next(draws) >= _PLAIN_SAID:
        aspects = aspects.replace("s", "")
    vague = [unnamed > 0 and next(draws) < unnamed for _ in range(max(1, count))]
    if not count and not camera and not vague[0]:  # nothing there that could be said to move
        aspects = aspects.replace("m", "")
    template = _pick(words.templates[template_split, count or int(vague[0]), camera][aspects], next(draws))
    one, many, moving = _pick(words.motions[scene.motion][phrase_split], next(draws))
    slots = {"moves": many if count == 2 else one, "moving": moving, "motion": moving, "camera": moving}
    slots["background"] = _pick(words.backgrounds[scene.background][phrase_split], next(draws))
    if "s" in aspects:
        slots["style"] = _style(scene.style, draws, phrase_split, name_kind)
    if count or vague[0]:
        first = _pick(words.unnamed, next(draws)) if vague[0] else _subject(scene, 0, draws, phrase_split, name_kind)
        slots |= {"a_subject": first.text, "subject": first.noun, "left": first.text}
    if count == 2:
        second = _pick(words.unnamed, next(draws)) if vague[1] else _subject(scene, 1, draws, phrase_split, None)
        slots["right"] = second.text
    text = template.format_map(slots)
    return text[0].upper() + text[1:] if text.endswith(".") else text


def names(key: str, kind: str | None = None, split: str | None = None) -> list[str]:
    """The names of a key without articles, an attribute's with its carrier; `split` includes what is in all splits."""
    if key not in KEYS or kind not in (None, *KINDS) or split not in (None, *SPLITS):
        raise ValueError(f"There are no names for “{key}” of kind {kind} in the split {split}.")
    found = [p for p in grammar().names[key] if p.fits(kind, split)]
    for carrier in (grammar().names[c][0] for c, a in scenes.ATTRIBUTE_OF.items() if a == key):
        found = [_on_carrier(p, carrier) for p in found]
    return [p.noun for p in found]


def main_name(key: str) -> str:
    """ "french_horn" → "French horn"."""
    return names(key, "main")[0]


def _plain(name: str) -> str:
    return _ARTICLE.sub("", " ".join(name.casefold().replace("_", " ").split()))


@cache
def _keys() -> dict[str, str]:
    known = {_plain(name): key for key in KEYS for name in names(key)}
    for key in scenes.ATTRIBUTES:  # "naked" alone, without its carrier
        known |= {_plain(p.noun.replace("{}", "")): key for p in grammar().names[key] if "{}" in p.text}
    return known | {_plain(key): key for key in KEYS}


def key_of(name: str) -> str:
    """The key that a main name, a key or any other name stands for, in upper or lower case."""
    if (plain := _plain(name)) in _keys():
        return _keys()[plain]
    near = difflib.get_close_matches(plain, _keys(), n=3, cutoff=0)
    raise ValueError(f"Diorama does not know “{name}”; did you mean {', '.join(near[:-1])} or {near[-1]}?")
