"""Whose request it is, and which erasers act on it: those of its key always, others if it asks for them."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...clear.eraser import ClearEraser
from ...errors import ServeError

Choice = Mapping[str, float | None]
"""Strength by concept, None for the eraser's own."""
_SHORTEST_KEY = 16


@dataclass(frozen=True)
class Customer:
    """One who may make requests."""

    name: str
    """As it is written in audit lines."""
    always: Choice
    """Erasers that act on every request of this customer."""
    key_sha256: str = field(default="", repr=False)
    """Of the key; empty for everybody, where there are no keys."""

    def choice(self, asked: Choice, own: Mapping[str, float]) -> dict[str, float | None]:
        """What acts on a request that asks for these erasers beside; `own` are the strengths that were attached.

        Raises `ServeError` (403) for a request that would weaken an eraser of the customer, and (422) for one that
        names what is not there.
        """
        chosen = dict(self.always)
        for name, strength in asked.items():
            if name not in own:
                raise ServeError(422, f"expected erasers among {', '.join(sorted(own))}, got {name!r}.")
            if name in self.always:
                least = self.always[name]
                least = own[name] if least is None else least
                if strength is not None and not strength >= least:  # not `<`: NaN is refused
                    raise ServeError(403, f"the eraser for {name!r} acts on every request here, at {least:g} or more.")
                if strength is None:
                    continue
            chosen[name] = strength
        return chosen


@dataclass(frozen=True)
class Customers:
    """All who may make requests; one without a key where there are no keys."""

    known: tuple[Customer, ...]

    def of(self, authorization: str | None) -> Customer:
        """Whose `Authorization: Bearer KEY` it is. Raises `ServeError` (401) for nobody's."""
        if not self.known[0].key_sha256:
            return self.known[0]
        scheme, _, key = (authorization or "").partition(" ")
        given = hashlib.sha256(key.strip().encode()).hexdigest()
        found = None
        for one in self.known:  # all of them, so that the time says nothing
            if hmac.compare_digest(one.key_sha256, given):
                found = one
        if scheme.lower() != "bearer" or found is None:
            raise ServeError(401, "this server answers known keys alone: send Authorization: Bearer KEY.")
        return found


def everybody(erasers: Sequence[ClearEraser], optional: Sequence[str] = ()) -> Customers:
    """Anyone may ask; all erasers act but the `optional` ones, which a request has to ask for."""
    names = {eraser.name for eraser in erasers}
    return Customers((Customer("everybody", {name: None for name in sorted(names - set(optional))}),))


def read_customers(path: str | Path, erasers: Sequence[ClearEraser]) -> Customers:
    """The customers of a JSON file: a list of `{"name", "key_sha256", "erasers": {concept: strength or null}}`.

    A plain `key` may stand for its digest. Raises `ServeError` for a file that is none, a concept without an eraser,
    and a key that two have or that is short.
    """
    names = {eraser.name for eraser in erasers}
    try:
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
        known = tuple(_customer(entry, names) for entry in entries)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = error if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"
        raise ServeError(
            500, f'{path}: expected a list of {{"name", "key_sha256", "erasers": {{...}}}} for each customer ({why}).'
        ) from error
    keys = [one.key_sha256 for one in known]
    if not known or len(set(keys)) < len(keys):
        raise ServeError(500, f"{path}: expected one or more customers, each with a key of its own.")
    return Customers(known)


def _customer(entry: Any, names: set[str]) -> Customer:
    digest = entry.get("key_sha256")
    if digest is None:
        if len(entry["key"]) < _SHORTEST_KEY:
            raise ValueError(f"the key of {entry['name']!r} has fewer than {_SHORTEST_KEY} characters")
        digest = hashlib.sha256(entry["key"].encode()).hexdigest()
    if not (isinstance(digest, str) and len(digest) == 64 and set(digest) <= set("0123456789abcdef")):
        raise ValueError("a key_sha256 is no 64 hexadecimal digits")
    always: dict[str, float | None] = {}
    for name, strength in entry["erasers"].items():
        if name not in names:
            raise ValueError(f"there is no eraser for {name!r}, only for {', '.join(sorted(names))}")
        fine = isinstance(strength, int | float) and not isinstance(strength, bool) and 0 < strength < float("inf")
        if strength is not None and not fine:
            raise ValueError(f"the strength for {name!r} is no number above 0")
        always[name] = strength
    return Customer(str(entry["name"]), always, digest)
