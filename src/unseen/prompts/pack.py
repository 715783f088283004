"""Concept packs: what to erase together with how prompts about it are put, in several languages, as a JSON file.

The ready ones lie in `packs/`: nudity, sexual-content, violence, gore, weapons, drugs, self-harm, smoking, and the
templates celebrity and artist. A file of your own has the same form:

    {
      "name": "smoking", "kind": "attribute", "about": "People who smoke.",
      "languages": {
        "en": {"names": ["vaping"], "carriers": ["woman", "man"], "frames": ["{x}", "a photo of {x} {place}"],
               "phrases": [{"positive": "a {carrier} smoking", "negative": "a {carrier} reading"}]},
        "de": {"names": ["rauchend"], "frames": ["{x}", "{x} im Garten"],
               "phrases": [{"positive": "ein rauchender Mann", "negative": "ein lesender Mann"}]}
      }
    }

A phrase, filled with a carrier, takes the place of {x} in a frame; English frames may also use the slots of
`unseen.prompts.frames` and need not be given. In a template, "name" is "{name}": `load_pack("artist", name="Claude
Monet")`; its phrases say {name} and, for somebody else, {other_name}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..concept import Concept, PromptPair, words
from ..errors import PromptFileError
from . import lexicon

PACKS = Path(__file__).with_name("packs")
ENGLISH_FRAMES = (
    "{x}",
    "{x} {place}",
    "a photo of {x}",
    "a photo of {x} {place}",
    "a video of {x} {place}",
    "close-up of {x}",
    "{x} next to {other} {place}",
    "somebody filmed {x} {place}",
    "{work} of {x}",
    "{other} and {x} {place}",
    "the camera shows {x} {place}",
    "{x} {place}, in soft light",
)
"""Frames of English phrases for which a pack gives none."""

_KINDS_OF_VALUE: dict[type, str] = {str: "non-empty text", list: "a list", dict: "an object"}
_TEMPLATE = "{name}"
_SLOTS = {"phrases": {"carrier", "name", "other_name"}, "frames": {"x"}}
_ENGLISH_SLOTS = {"place", "medium", "work", "other", "other2", "person", "adjective"}
_MINORS = frozenset(lexicon.YOUNG) | frozenset(
    "children girls boys teen teens teenager teenagers kid kids baby toddler infant minor minors schoolgirl schoolboy"
    " preteen adolescent".split()
)


@dataclass(frozen=True)
class Phrasing:
    """How prompts about a concept are put in one language."""

    language: str
    """A code such as "en" or "zh"."""
    names: tuple[str, ...]
    """What the concept is called in it."""
    phrases: tuple[PromptPair, ...]
    """Phrases with the concept beside the same without; slots {carrier}, {name}, {other_name}."""
    carriers: tuple[str, ...]
    """Who or what fits in the slot {carrier}; adults, where they are people."""
    frames: tuple[str, ...]
    """Prompts around a phrase, which takes the place of {x}."""


@dataclass(frozen=True)
class ConceptPack:
    """A concept and how prompts about it are written; `write_prompts` takes one in place of a concept."""

    concept: Concept
    about: str
    """What belongs to the concept, and what does not."""
    phrasings: tuple[Phrasing, ...]
    """By language; the first gets half of the prompts."""


def pack_names() -> list[str]:
    """Names of the ready packs."""
    return sorted(path.stem for path in PACKS.glob("*.json"))


def load_pack(
    pack: str | Path,
    *,
    name: str | None = None,
    synonyms: Sequence[str] = (),
    languages: Sequence[str] | None = None,
) -> ConceptPack:
    """A ready pack by its name ("nudity"), or one of your own by its path.

    Args:
        pack: Name or path (a `Path`, or text that ends in ".json").
        name: Whom a template is about: `load_pack("artist", name="Claude Monet", synonyms=("Monet",))`.
        synonyms: More names of the concept, in any language.
        languages: Codes of those to write prompts in, such as ("en",): a text encoder that reads English alone learns
            nothing from others, even if its tokenizer knows their letters. None = all. The names stay.

    Raises:
        PromptFileError: There is no such pack, or its file is not as it should be; the message says where.
        ConceptError: The names make no concept.
    """
    path = Path(pack)
    if not isinstance(pack, Path) and path.suffix.lower() != ".json":
        path = PACKS / f"{pack.lower().replace(' ', '-').replace('_', '-')}.json"
        if path.stem not in pack_names():
            raise PromptFileError(
                f"there is no pack {str(pack)!r}: take one of {', '.join(pack_names())}, or the path of a .json file."
            )
    try:
        given = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise PromptFileError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise PromptFileError(f"{path}: is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise PromptFileError(f"{path}, line {error.lineno}: is not JSON ({error.msg}).") from error
    except RecursionError as error:
        raise PromptFileError(f"{path}: is not a pack; its brackets are nested too deep.") from error
    made = _read(path, given, name, synonyms)
    if languages is None:
        return made
    known = [phrasing.language for phrasing in made.phrasings]
    if not languages or not set(languages) <= set(known):
        raise PromptFileError(
            f"{path}: expected languages among {', '.join(known)}, got {', '.join(languages) or 'none'}."
        )
    return replace(made, phrasings=tuple(p for p in made.phrasings if p.language in languages))


def _read(path: Path, given: Any, name: str | None, synonyms: Sequence[str]) -> ConceptPack:
    fields = _fields(path, "the pack", given, {"name": str, "kind": str, "about": str, "languages": dict}, {})
    if fields["name"] == _TEMPLATE and name is None:
        raise PromptFileError(
            f"{path}: is a template; say whom it is about: load_pack({path.stem!r}, name='Claude Monet')."
        )
    if fields["name"] != _TEMPLATE and name is not None:
        raise PromptFileError(f"{path}: is about {fields['name']!r} and no template; leave out name={name!r}.")
    if not fields["languages"]:
        raise PromptFileError(f"{path}: languages must hold at least one, such as 'en'.")
    phrasings = tuple(_phrasing(path, code, language) for code, language in fields["languages"].items())
    main = name or fields["name"]
    names = {other.lower(): other for other in (*synonyms, *(other for p in phrasings for other in p.names))}
    names.pop(main.lower(), None)
    pack = ConceptPack(Concept(main, fields["kind"], tuple(names.values())), fields["about"], phrasings)
    for phrasing in phrasings:
        for phrase in phrasing.phrases:
            if pack.concept.is_named_in(phrase.negative):
                raise PromptFileError(
                    f"{path}, {phrasing.language}: the negative {phrase.negative!r} names the concept; take the word"
                    " out of it, or out of the names."
                )
    return pack


def _phrasing(path: Path, code: str, given: Any) -> Phrasing:
    where = f"languages.{code}"
    texts: dict[str, type] = {"carriers": list, "frames": list}
    fields = _fields(path, where, given, {"names": list, "phrases": list}, texts)
    phrases = []
    for number, phrase in enumerate(fields["phrases"]):
        sides = _fields(path, f"{where}.phrases[{number}]", phrase, {"positive": str, "negative": str}, {})
        phrases.append(PromptPair(sides["positive"], sides["negative"]))
    carriers, names = (_texts(path, f"{where}.{key}", fields.get(key, [])) for key in ("carriers", "names"))
    frames = _texts(path, f"{where}.frames", fields.get("frames", []))
    if not phrases:
        raise PromptFileError(f"{path}, {where}.phrases: must hold at least one pair of positive and negative.")
    if not frames and code != "en":
        raise PromptFileError(
            f"{path}, {where}: frames are missing; only 'en' has ready ones. Give at least [\"{{x}}\"]."
        )
    said = [text for phrase in phrases for text in phrase]
    minors = sorted({word for text in (*carriers, *said) for word in words(text)} & _MINORS)
    if minors:
        raise PromptFileError(f"{path}, {where}: carriers must be adults, got {', '.join(minors)}. Take them out.")
    for text in said:
        slots = _slots(path, where, text, _SLOTS["phrases"])
        if "carrier" in slots and not carriers:
            raise PromptFileError(f"{path}, {where}: {text!r} has the slot {{carrier}}, but there are no carriers.")
    for text in frames:
        allowed = _SLOTS["frames"] | (_ENGLISH_SLOTS if code == "en" else set())
        if "x" not in _slots(path, where, text, allowed):
            raise PromptFileError(f"{path}, {where}: the frame {text!r} must have the slot {{x}} for the phrase.")
    return Phrasing(code, names, tuple(phrases), carriers, frames or ENGLISH_FRAMES)


def _fields(path: Path, where: str, given: Any, needed: dict[str, type], other: dict[str, type]) -> dict[str, Any]:
    """`given`, if it is an object with all keys of `needed`, perhaps those of `other`, no more, and of these types."""
    if not isinstance(given, dict):
        raise PromptFileError(f"{path}, {where}: expected an object, got {type(given).__name__}.")
    known = needed | other
    for problem, keys in (("unknown", given.keys() - known.keys()), ("missing", needed.keys() - given.keys())):
        if keys:
            raise PromptFileError(
                f"{path}, {where}: {problem} {', '.join(map(repr, sorted(keys)))}; expected the keys"
                f" {', '.join(known)}."
            )
    for key, value in given.items():
        if not isinstance(value, known[key]) or (isinstance(value, str) and not value.strip()):
            kind = _KINDS_OF_VALUE[known[key]]
            raise PromptFileError(f"{path}, {where}: {key!r} must be {kind}, got {value!r}.")
    return given


def _texts(path: Path, where: str, given: list[Any]) -> tuple[str, ...]:
    for value in given:
        if not isinstance(value, str) or not value.strip():
            raise PromptFileError(f"{path}, {where}: every entry must be non-empty text, got {value!r}.")
    return tuple(given)


def _slots(path: Path, where: str, text: str, allowed: set[str]) -> set[str]:
    slots = set(re.findall(r"{(\w*)}", text))
    if slots - allowed or re.search(r"[{}]", re.sub(r"{\w+}", "", text)):
        raise PromptFileError(
            f"{path}, {where}: {text!r} may have the slots {', '.join(f'{{{slot}}}' for slot in sorted(allowed))} only."
        )
    return slots
