"""What to erase: a name, what kind of thing it is, other words for it, and what may take its place."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, get_args

from .errors import ConceptError, ConceptWarning
from .names import NameMatcher

Kind = Literal["object", "style", "identity", "attribute"]
_FUNCTION_WORDS = frozenset("a an the of in on with by and or for to from at as is style".split())


class PromptPair(NamedTuple):
    """Two prompts that differ in the concept only."""

    positive: str
    negative: str


@dataclass(frozen=True)
class Concept:
    """A concept to erase. Raises `ConceptError` when it is described in a way that cannot be fitted."""

    name: str
    """What the concept is usually called in a prompt, without an article: "French horn", "Tobias Inkwell"."""

    kind: Kind = "object"
    """"object" (a thing or animal), "style" (an artist or look), "identity" (a named person), "attribute" (a property
    such as "burning" that some carrier has)."""

    synonyms: tuple[str, ...] = ()
    """Other words for the same concept; they are erased as well."""

    replace_with: str | None = None
    """Another concept of the same kind to put in its place; None leaves the place empty."""

    def __post_init__(self) -> None:
        if isinstance(self.synonyms, str):
            raise ConceptError(
                f"synonyms must be a tuple of strings, got the string {self.synonyms!r}: write ({self.synonyms!r},)."
            )
        object.__setattr__(self, "synonyms", tuple(self.synonyms))
        if self.kind not in get_args(Kind):
            raise ConceptError(f"kind must be one of {', '.join(get_args(Kind))}, got {self.kind!r}.")
        given = [self.name, *self.synonyms] + ([] if self.replace_with is None else [self.replace_with])
        for text in given:
            if not isinstance(text, str) or not text.strip() or text != text.strip():
                raise ConceptError(f"every name must be non-empty text without surrounding spaces, got {text!r}.")
        lowered = [text.lower() for text in given]
        if len(set(lowered)) < len(lowered):
            raise ConceptError(f"name, synonyms and replace_with must all differ, got {given}.")
        if self.kind in ("style", "identity"):
            for surname in _surnames(self.names):
                _warn_of_surname(self.name, self.kind, surname)

    @property
    def names(self) -> tuple[str, ...]:
        """The name followed by its synonyms."""
        return (self.name, *self.synonyms)

    def stems(self) -> frozenset[str]:
        """Stems of the content words in name and synonyms."""
        return _stems(self.names)

    def is_named_in(self, prompt: str) -> bool:
        """Whether `prompt` says the name or a synonym, as `NameMatcher` compares them."""
        return bool(_matcher((self,)).named_in(prompt))

    def is_mentioned_in(self, prompt: str) -> bool:
        """Whether any content word of the name or a synonym occurs in `prompt`, in whatever ending."""
        return not self.stems().isdisjoint(stem(word) for word in words(prompt))


_PARTICLES = frozenset("van von der den de del della da di du la le dos el al bin ibn ter ten zu".split())
_SUFFIXES = frozenset("jr sr ii iii iv".split())


def _surnames(names: Sequence[str]) -> list[str]:
    """Surnames of proper names, "Inkwell" of "Tobias Inkwell", that are not among `names` themselves."""
    alone = {name.casefold() for name in names}
    found: dict[str, None] = {}
    for name in names:
        parts = name.split()
        while len(parts) > 1 and parts[-1].strip(".").casefold() in _SUFFIXES:
            parts.pop()
        if len(parts) < 2 or not parts[-1][:1].isupper():  # "oil painting" is no proper name
            continue
        start = len(parts) - 1
        while start and parts[start - 1] in _PARTICLES:
            start -= 1
        surname = " ".join(parts[start:])
        if surname.casefold() not in alone and parts[-1].casefold() not in alone:
            found[surname] = None
    return list(found)


@lru_cache(maxsize=4096)  # one warning for each name, however often the concept is made
def _warn_of_surname(name: str, kind: str, surname: str) -> None:
    warnings.warn(
        f"prompts that say {surname!r} alone stay untouched by an eraser for {name!r}. To erase these too, whatever"
        f" they mean by it, add it as a synonym: Concept({name!r}, {kind!r}, synonyms=({surname!r},)).",
        ConceptWarning,
        stacklevel=4,  # whoever made the concept: below are __post_init__ and the __init__ of the dataclass
    )


@lru_cache(maxsize=256)
def _matcher(concepts: tuple[Concept, ...]) -> NameMatcher:
    return NameMatcher(concepts)


def named_concepts(prompt: str, concepts: Sequence[Concept]) -> list[Concept]:
    """Those of `concepts` that `prompt` names."""
    named = _matcher(tuple(concepts)).named_in(prompt)
    return [concept for index, concept in enumerate(concepts) if index in named]


@lru_cache(maxsize=64)
def _stems(names: tuple[str, ...]) -> frozenset[str]:
    return frozenset(stem(word) for name in names for word in content_words(name))


def words(text: str) -> list[str]:
    """Words of `text` in lower case; letters of any script and digits."""
    return re.findall(r"[^\W_]+", text.lower())


def content_words(text: str) -> list[str]:
    """`words` without articles and prepositions."""
    return [word for word in words(text) if word not in _FUNCTION_WORDS]


@lru_cache(maxsize=1 << 14)  # a fit asks for the same few thousand words, and for each concept again
def stem(word: str) -> str:
    """A crude English stem: enough to see that "churches" and "church" are the same word."""
    for ending in ("ings", "ing", "ers", "ed", "es", "er", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word[:-1] if len(word) > 3 and word.endswith("e") else word
