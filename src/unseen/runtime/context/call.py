"""What one call to a pipeline is doing, held in context variables: no other thread or task ever sees it."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn


@dataclass
class Record:
    """What has happened in one call of `encode_prompt` so far."""

    ran: set[tuple[str, int]] = field(default_factory=set)
    """Places (encoder, layer) where an edit had its say."""
    made: set[int] = field(default_factory=set)
    """Digests of the vectors that came out of edited passes."""
    rows: Counter[str] = field(default_factory=Counter)
    """By encoder, how many prompts went through edited passes."""
    deltas: list[Any] = field(default_factory=list)
    """What each eraser did in each pass, where somebody watches."""
    negative: frozenset[int] | None = None
    """Which of the outputs belong to the negative prompt; None where that is not known."""


@dataclass(frozen=True)
class EncodeCall:
    """One call of `encode_prompt`, or of something that stands for it."""

    owner: object
    """What intercepts the call: a second interception inside it steps aside."""
    texts: tuple[str, ...] | None = None
    """By row the prompts that are being encoded, as they are encoded; None where that is not known."""
    spared: frozenset[nn.Module] = frozenset()
    """Text encoders whose passes stay as they are: they encode the negative prompt of this call, or a preview."""
    watched: bool = False
    """Whether what the erasers do is written down in the record."""
    record: Record = field(default_factory=Record)


_CALL: ContextVar[EncodeCall | None] = ContextVar("unseen_encode_call", default=None)


def current_call() -> EncodeCall | None:
    """The call that this thread or task is in, if it is in one."""
    return _CALL.get()


@contextmanager
def during(call: EncodeCall) -> Iterator[EncodeCall]:
    """While this is open, `current_call()` is `call`."""
    token = _CALL.set(call)
    try:
        yield call
    finally:
        _CALL.reset(token)


class Checked(NamedTuple):
    """A tensor that a denoiser was given."""

    tensor: Tensor
    copy: Tensor
    """What it held."""
    version: int | None
    kinds: tuple[str, ...]
    """By row, whose text it is."""


@dataclass
class Denoising:
    """What the denoisers may be given after an `encode_prompt`, in its thread or task."""

    negative: frozenset[int] = frozenset()
    """Digests of the vectors of this call's negative prompt."""
    pipe: weakref.ref[Any] | None = None
    """The pipeline in whose call this is; None in somebody's own loop."""
    after_prompt: set[object] = field(default_factory=set)
    """Checks whose last pass was given a prompt: only then is the negative prompt alone guidance."""
    inside: set[object] = field(default_factory=set)
    """Checks of which a pass is under way, which a compiled module and the one inside it both come by."""
    order: dict[str, list[str]] = field(default_factory=dict)
    """By denoiser, how prompts and negative prompts follow each other where they lie in one batch."""
    checked: list[Checked] = field(default_factory=list)
    """Tensors that were checked already. They are kept alive so that no other tensor can take their place in memory."""
    changed: Tensor | None = None
    """On an accelerator, whether one of them was written into past its version; read when the call ends."""


_DENOISING: ContextVar[Denoising | None] = ContextVar("unseen_denoising", default=None)


def denoising() -> Denoising:
    """What this thread or task may denoise with."""
    current = _DENOISING.get()
    if current is None:
        _DENOISING.set(current := Denoising())
    return current


def begin_denoising(negative: Sequence[int] = ()) -> None:
    """A prompt was encoded here; these are the digests of its negative prompt."""
    current = _DENOISING.get()
    if current is not None and current.pipe is not None:  # inside a clip, perhaps by a callback: the others stay known
        current.negative |= frozenset(negative)
    else:
        _DENOISING.set(Denoising(frozenset(negative)))


@contextmanager
def denoising_for(pipe: Any, negative: Sequence[int] = ()) -> Iterator[Denoising]:
    """One clip of `pipe`, whose caller gave a negative prompt with these digests."""
    state = Denoising(frozenset(negative), weakref.ref(pipe))
    token = _DENOISING.set(state)
    try:
        yield state
    finally:
        _DENOISING.reset(token)
