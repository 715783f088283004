"""One fault, what must hold after it, and what came of it."""

from __future__ import annotations

import inspect
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SURVIVED = "survived"
"""What was promised holds; all other outcomes are faults of this library."""

Try = Callable[[Path], None]
"""Brings about one fault in an empty folder, and raises `Broken` if what was promised does not hold."""


class Broken(AssertionError):
    """A promise was not kept."""


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong."""

    kind: str
    name: str
    attempt: Try


@dataclass(frozen=True)
class Kind:
    """Faults that differ in where or when they happen."""

    name: str
    promise: str
    """What must hold afterwards, in words."""
    tries: Callable[[], Iterator[tuple[str, Try]]]

    def faults(self) -> Iterator[Fault]:
        """One by one."""
        for name, attempt in self.tries():
            yield Fault(self.name, name, attempt)


class Result(NamedTuple):
    """What came of a fault."""

    fault: Fault
    outcome: str
    """`SURVIVED`, "promise broken" or "crash"."""
    detail: str
    seconds: float


_KINDS: list[Kind] = []


def kind(tries: Callable[[], Iterator[tuple[str, Try]]]) -> Callable[[], Iterator[tuple[str, Try]]]:
    """Register a generator of named tries: its name is the kind, its docstring the promise."""
    promise = (inspect.getdoc(tries) or "").replace("\n", " ")
    _KINDS.append(Kind(tries.__name__.replace("_", " "), promise, tries))
    return tries


def registered() -> list[Kind]:
    """All kinds of the modules that were imported."""
    return list(_KINDS)


def require(holds: bool, what: str) -> None:
    """Raise `Broken` unless something holds."""
    if not holds:
        raise Broken(what)


def try_fault(fault: Fault) -> Result:
    """Bring it about in a folder of its own, and see what came of it."""
    begin = time.perf_counter()
    outcome, detail = SURVIVED, ""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fault.attempt(Path(folder))
        except Broken as broken:
            outcome, detail = "promise broken", str(broken)
        except Exception as error:  # whatever it is, it is what came of the fault
            outcome, detail = "crash", f"{type(error).__name__}: {error}"
    return Result(fault, outcome, detail, time.perf_counter() - begin)
