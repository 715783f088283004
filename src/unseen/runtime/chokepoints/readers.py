"""Which components of the attached pipelines are checked, now and when others take their place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from torch import nn

from ...encoder.layers import eager
from .denoiser import compiled_since, install_check, readers_of_text
from .guard import Guard


class Readers:
    """The components that are checked for text which no eraser has seen; a component put in later is one of them."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._undo: WeakKeyDictionary[nn.Module, Callable[[], None]] | None = WeakKeyDictionary()
        self._around: WeakSet[nn.Module] = WeakSet()  # compiled modules whose insides are checked
        self._lock = threading.Lock()

    def sync(self, pipe: Any) -> None:
        """Check whatever reads text in `pipe` now."""
        with self._lock:
            for module in readers_of_text(pipe, list(self._guard.encoders)).values():
                inner = eager(module)
                new = module is not inner and module not in self._around
                if self._undo is None or (inner in self._undo and not new and not compiled_since(inner)):
                    continue
                if inner in self._undo:  # compiled since: it is to be checked from outside
                    self._undo.pop(inner)()
                self._undo[inner] = install_check(module, self._wanted, self._guard.refused)
                self._around.add(module)

    def _wanted(self) -> Any:
        return None if self._undo is None else self._guard.wanted()

    def release(self) -> None:
        """Check nothing any more."""
        with self._lock:
            undo, self._undo = self._undo, None
        for one in list((undo or {}).values()):
            one()
