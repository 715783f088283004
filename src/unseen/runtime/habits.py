"""Erasers the way diffusers and PEFT handle adapters: load them, set which act, switch them off and on, unload them.

Each function takes the pipeline. What is set holds for every caller of the pipeline; `eraser_handle(pipe).only(...)`
holds for one thread or task. A change waits until no call of the pipeline is under way, and calls that come meanwhile
wait for it: none of them runs without erasers in between.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from ..clear.eraser import ClearEraser
from ..clear.packs import load_erasers
from ..errors import EraserBypassedError, UnseenError
from .attach import attach
from .chokepoints.interception import Encode, calling_alone, encoding_alone, intercept, waiting
from .context.call import EncodeCall
from .handle import Handle

log = logging.getLogger("unseen")


@dataclass(frozen=True)
class _Loaded:
    """Which erasers are loaded, and which of them act."""

    erasers: tuple[ClearEraser, ...] = ()
    active: Mapping[str, float | None] = field(default_factory=dict)
    """Strength by concept, None for each eraser's own; in the order in which they were set."""
    enabled: bool = True
    options: Mapping[str, Any] = field(default_factory=dict)
    """For `unseen.attach`."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(eraser.name for eraser in self.erasers))

    @property
    def acting(self) -> tuple[ClearEraser, ...]:
        return tuple(e for e in self.erasers if self.enabled and e.name in self.active)

    def attach(self, pipe: Any) -> Handle | None:
        if not self.acting:
            return None
        chosen = [self.active[e.name] for e in self.acting]
        strengths = [e.strength if s is None else s for e, s in zip(self.acting, chosen, strict=True)]
        return attach(pipe, self.acting, strengths, **self.options)


class _Door:
    """Stays on the pipeline while erasers are loaded, so that a change never leaves it as if there were none."""

    inner = False

    def __init__(self) -> None:
        self.loaded, self.handle = _Loaded(), None  # type: tuple[_Loaded, Handle | None]
        self.undo: Callable[[], None] = lambda: None

    def encode(self, pipe: Any, encode: Encode, options: dict[str, Any]) -> Any:
        """Refuses a pipeline whose erasers are said to act and are not there."""
        if self.loaded.acting and (self.handle is None or not self.handle.attached):
            raise EraserBypassedError(
                f"the erasers for {', '.join(self.loaded.active)} are set to act on this {type(pipe).__name__}, but"
                " they were taken off it, or could not be put back after a failed change. Call"
                " unseen.enable_erasers(pipe), or unseen.unload_erasers(pipe) to go on without."
            )
        return encode(**options)

    def encoded(self, pipe: Any, outputs: Any, call: EncodeCall) -> Sequence[int]:
        """Has nothing to add."""
        return ()

    def change(self, pipe: Any, loaded: _Loaded) -> None:
        """Go over to `loaded`, or stay with what was there if that fails."""
        if self.handle is not None:
            self.handle.detach()
        try:
            handle = loaded.attach(pipe)
        except BaseException:
            self.handle = None  # should the next line fail too, the door is shut
            self.handle = self.loaded.attach(pipe)
            raise
        self.loaded, self.handle = loaded, handle


_DOORS: WeakKeyDictionary[Any, _Door] = WeakKeyDictionary()


def load_eraser(
    pipe: Any,
    source: ClearEraser | Sequence[ClearEraser] | str | Path,
    *,
    strength: float | None = None,
    revision: str | None = None,
    **options: Any,
) -> tuple[str, ...]:
    """Load one eraser, or a pack of them; they act from now on, beside those that act already.

    Args:
        pipe: A diffusers pipeline.
        source: Erasers, the folder of one or of a pack, or a repository on the hub ("org/repo").
        strength: γ of all that are loaded; default is each eraser's own.
        revision: Branch, tag or commit on the hub.
        options: Those of `unseen.attach`, such as `audit`; they hold for the pipeline until everything is unloaded.

    Returns:
        The concepts' names, by which the other functions know them.

    Raises:
        ValueError: The concept is loaded already, for this text encoder.
        DamagedFileError, LoadError: There is no eraser in `source`, or no whole one.
        WrongEncoderError: And whatever else `unseen.attach` raises. What was loaded before goes on as it was.
    """
    given = [source] if isinstance(source, ClearEraser) else source
    new = tuple(load_erasers(given, revision=revision) if isinstance(given, str | Path) else given)
    with _changing(pipe, new=True) as door:
        before = door.loaded
        for eraser in new:
            if any(
                eraser.name == e.name and eraser.encoder_fingerprint == e.encoder_fingerprint for e in before.erasers
            ):
                raise ValueError(
                    f"an eraser for {eraser.name!r} is loaded already. Set its strength with unseen.set_erasers, or"
                    " unload it first."
                )
        names = tuple(dict.fromkeys(eraser.name for eraser in new))
        door.change(
            pipe,
            _Loaded(
                (*before.erasers, *new),
                {**before.active, **dict.fromkeys(names, strength)},
                True,
                {**before.options, **options},
            ),
        )
    return names


def set_erasers(pipe: Any, names: str | Sequence[str], strengths: float | Sequence[float] | None = None) -> None:
    """Let these loaded erasers act and no others; erasers that were disabled are enabled by it.

    Args:
        pipe: A pipeline with loaded erasers.
        names: Of concepts.
        strengths: One γ for all, or one for each; default is each eraser's own.

    Raises:
        ValueError: A name that is not loaded, none at all, or another number of strengths.
    """
    asked = [names] if isinstance(names, str) else list(names)
    given = list(strengths) if isinstance(strengths, Sequence) else [strengths] * len(asked)
    if not asked or len(given) != len(asked):
        raise ValueError(
            f"expected one or more names and as many strengths, got {len(asked)} and {len(given)}. To let no eraser"
            " act, call unseen.disable_erasers(pipe)."
        )
    with _changing(pipe) as door:
        _require_names(door.loaded, asked)
        door.change(pipe, replace(door.loaded, active=dict(zip(asked, given, strict=True)), enabled=True))


def disable_erasers(pipe: Any) -> None:
    """Let no eraser act until `enable_erasers` or `set_erasers`; it is logged."""
    with _changing(pipe) as door:
        door.change(pipe, replace(door.loaded, enabled=False))
    log.warning("the erasers of this %s are disabled; nothing is erased", type(pipe).__name__)


def enable_erasers(pipe: Any) -> None:
    """Let those erasers act again that acted before `disable_erasers`."""
    with _changing(pipe) as door:
        door.change(pipe, replace(door.loaded, enabled=True))


def unload_erasers(pipe: Any, names: str | Sequence[str] | None = None) -> None:
    """Forget these erasers, by default all; when none is left, the pipeline is exactly what it was.

    Raises `ValueError` for a name that is not loaded.
    """
    with _changing(pipe) as door:
        loaded = door.loaded
        asked = loaded.names if names is None else [names] if isinstance(names, str) else list(names)
        _require_names(loaded, asked)
        left = tuple(e for e in loaded.erasers if e.name not in asked)
        active = {name: strength for name, strength in loaded.active.items() if name not in asked}
        door.change(pipe, replace(loaded, erasers=left, active=active))
        if not left:
            del _DOORS[pipe]
            door.undo()


def get_active_erasers(pipe: Any) -> list[str]:
    """Names of the concepts that are erased now, in the order in which they were set; empty where none was loaded."""
    door = _DOORS.get(pipe)
    return [] if door is None or not door.loaded.enabled else list(door.loaded.active)


def eraser_handle(pipe: Any) -> Handle:
    """The handle of the erasers that act now, for `only`, `using`, `explain`, `encode` and `status`.

    It is another one after each change. Raises `UnseenError` where no eraser acts.
    """
    door = _DOORS.get(pipe)
    if door is None or door.handle is None:
        raise UnseenError("no loaded eraser acts on this pipeline; call unseen.load_eraser(pipe, source) first.")
    return door.handle


@contextmanager
def _changing(pipe: Any, *, new: bool = False) -> Iterator[_Door]:
    """The door of `pipe`, with nobody else in it or at it; made for it if it is `new`."""
    with calling_alone(pipe), encoding_alone([pipe]), waiting([pipe]):
        door = _DOORS.get(pipe)
        if door is not None:
            yield door
            return
        if not new:
            raise UnseenError("no erasers are loaded on this pipeline; call unseen.load_eraser(pipe, source) first.")
        door = _Door()
        door.undo = intercept(pipe, door)
        try:
            yield door
        except BaseException:
            door.undo()
            raise
        _DOORS[pipe] = door


def _require_names(loaded: _Loaded, names: Sequence[str]) -> None:
    for name in names:
        if name not in loaded.names:
            raise ValueError(f"expected names among {', '.join(loaded.names)}, got {name!r}.")
