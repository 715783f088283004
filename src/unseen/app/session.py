"""What one tab holds, as a frozen record, and every change to it as a function that returns another."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass, replace
from typing import Any, get_args

from unseen.clear.eraser import ClearEraser
from unseen.concept import Concept, Kind
from unseen.errors import AppError, ConceptWarning

MOST_ERASERS = 6
"""Erasers that a tab may hold."""
MOST_STRENGTH = 3.0
LONGEST_NAME, LONGEST_PROMPT, MOST_SYNONYMS = 80, 1000, 20
KINDS: dict[str, str] = {
    "object": "a thing or an animal: French horn, church, bus",
    "style": "the look of an artist or a medium: Tobias Inkwell, oil painting",
    "identity": "one named person: Amber Bramble",
    "attribute": "a property that somebody or something has: burning, bare, holding a sword",
}
"""What the kinds of concepts are, in plain words."""


@dataclass(frozen=True)
class Held:
    """One eraser in a tab."""

    eraser: ClearEraser
    strength: float
    on: bool = True


@dataclass(frozen=True)
class Session:
    """The erasers of one tab, in the order in which they came."""

    held: tuple[Held, ...] = ()

    @property
    def acting(self) -> tuple[Held, ...]:
        """Those that are switched on."""
        return tuple(one for one in self.held if one.on)

    def add(self, eraser: ClearEraser) -> Session:
        """With one more eraser, at its own strength; one for the same concept is exchanged.

        Raises:
            AppError: there are `MOST_ERASERS` already.
        """
        new = Held(eraser, min(eraser.strength, MOST_STRENGTH))
        names = [one.eraser.name.casefold() for one in self.held]
        if eraser.name.casefold() in names:
            place = names.index(eraser.name.casefold())
            return Session((*self.held[:place], new, *self.held[place + 1 :]))
        if len(self.held) >= MOST_ERASERS:
            raise AppError(f"A page holds {MOST_ERASERS} erasers at most; remove one first.")
        return Session((*self.held, new))

    def switch(self, place: int, on: bool) -> Session:
        """With the eraser at `place` switched on or off."""
        return self._with(place, on=bool(on))

    def turn(self, place: int, strength: Any) -> Session:
        """With the eraser at `place` at another strength.

        Raises:
            AppError: it is no number from 0 to `MOST_STRENGTH`.
        """
        fine = isinstance(strength, int | float) and not isinstance(strength, bool) and math.isfinite(strength)
        if not fine or not 0 <= strength <= MOST_STRENGTH:
            raise AppError(f"A strength is a number from 0 to {MOST_STRENGTH:g}, not {strength!r}.")
        return self._with(place, strength=float(strength))

    def remove(self, place: int) -> Session:
        """Without the eraser at `place`."""
        self._at(place)
        return Session(self.held[:place] + self.held[place + 1 :])

    def _with(self, place: int, **changes: Any) -> Session:
        new = replace(self._at(place), **changes)
        return Session((*self.held[:place], new, *self.held[place + 1 :]))

    def _at(self, place: int) -> Held:
        if not 0 <= place < len(self.held):
            raise AppError("That eraser is no longer on this page.")
        return self.held[place]


def concept_from(name: Any, kind: Any, synonyms: Any = "", replacement: Any = "") -> Concept:
    """The concept that was entered; synonyms are separated by commas, semicolons or lines.

    Raises:
        AppError: it cannot be one; the sentence says why.
    """
    name = _text("name of the concept", name, LONGEST_NAME)
    if not name:
        raise AppError("Enter what to erase, for instance French horn.")
    if not re.search(r"\w", name):
        raise AppError(f"A name needs letters, and {name!r} has none; enter for instance French horn.")
    if re.match(r"(an?|the) ", name, re.IGNORECASE):
        raise AppError(f"Enter the name without an article: {name.split(' ', 1)[1]}.")
    if kind not in get_args(Kind):
        raise AppError(f"Choose a kind: {', '.join(get_args(Kind))}.")
    text = _text("list of other words", synonyms, MOST_SYNONYMS * (LONGEST_NAME + 2), lines=True)
    others = tuple(dict.fromkeys(" ".join(part.split()) for part in re.split(r"[,;\n]", text) if part.strip()))
    if len(others) > MOST_SYNONYMS:
        raise AppError(f"Enter {MOST_SYNONYMS} other words at most; there are {len(others)}.")
    for other in others:
        if other.casefold() == name.casefold():
            raise AppError(f"Leave {other!r} out of the other words: it is the name itself.")
    wanted = _text("name of the replacement", replacement, LONGEST_NAME) or None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConceptWarning)  # the page suggests the surname
        return Concept(name, kind, others, wanted)


def prompt_from(prompt: Any) -> str:
    """The prompt that was entered. Raises `AppError` for none, and for one that is too long."""
    text = _text("prompt", prompt, LONGEST_PROMPT, lines=True)
    if not text:
        raise AppError("Enter a prompt, for instance: a French horn drifts left over a green meadow.")
    return text


def seed_from(seed: Any) -> int:
    """The number that the noise comes from. Raises `AppError` for anything but a whole number from 0 to 2³¹ − 1."""
    fine = isinstance(seed, int | float) and not isinstance(seed, bool) and math.isfinite(seed) and seed == int(seed)
    if not fine or not 0 <= seed < 2**31:
        raise AppError(f"The seed is a whole number from 0 to {2**31 - 1}, not {'nothing' if seed is None else seed}.")
    return int(seed)


def _text(what: str, value: Any, longest: int, *, lines: bool = False) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise AppError(f"The {what} has to be text, not {type(value).__name__}.")
    text = " ".join(value.split()) if not lines else value.strip()
    if len(text) > longest:
        raise AppError(f"The {what} has {len(text)} characters; {longest} is the most.")
    if any(ord(c) < 32 and c not in "\n\r\t" for c in text):
        raise AppError(f"The {what} holds characters that cannot be read; type it again.")
    return text
