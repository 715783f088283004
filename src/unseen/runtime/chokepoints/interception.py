"""The one layer between a pipeline and its parts, for erasers and baselines alike.

While anything is attached, a pipeline's class is a subclass of its own in which `encode_prompt` is always ours,
whatever else is put on the instance before or after: the pipeline calls us, and we call what would have been called.
Leaving gives the class back. A wrapper that somebody else keeps of ours then does nothing.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Protocol, cast
from weakref import WeakKeyDictionary

from torch import nn

from ...errors import StaleCopyError, UnsupportedPipelineError
from ..context.call import EncodeCall, begin_denoising, current_call, denoising_for, during
from .rows import negative_digests, require_unchanged

Encode = Callable[..., Any]


class Interceptor(Protocol):
    """What comes between a pipeline and its `encode_prompt`."""

    @property
    def inner(self) -> bool:
        """Whether it stands next to the pipeline: erasers do, so that they see the prompt that baselines have
        changed."""

    def encode(self, pipe: Any, encode: Encode, options: dict[str, Any]) -> Any:
        """Stands for `encode(**options)`, with every option by name."""

    def encoded(self, pipe: Any, outputs: Any, call: EncodeCall) -> Sequence[int]:
        """Sees what the pipeline will be given; returns digests of its negative prompt."""


class _Station:
    """Who stands between one pipeline and its `encode_prompt`; the outermost first."""

    def __init__(self, cls: type) -> None:
        self.cls = cls
        self.interceptors: tuple[Interceptor, ...] = ()

    @property
    def prepare(self) -> list[Callable[[Any], None]]:
        """What is to be called with a pipeline before it does anything."""
        return [prepare for i in self.interceptors for prepare in getattr(i, "before", ())]

    def encode(self, pipe: Any, inner: Encode, args: tuple, kwargs: dict[str, Any]) -> Any:
        running = current_call()
        if not self.interceptors:
            if vars(type(pipe)).get("_unseen_station") is self:
                raise StaleCopyError(
                    f"this {type(pipe).__name__} is a copy that was made while erasers were attached; they have been"
                    " detached from the original since. Copy the pipeline again, or attach erasers to this one."
                )
            return inner(*args, **kwargs)
        if running is not None and running.owner is self:
            return inner(*args, **kwargs)
        options = named_options(inner, args, kwargs, self.cls)
        call = EncodeCall(self)
        with during(call), encoding_alone([pipe]):
            chain = inner
            for interceptor in sorted(self.interceptors, key=lambda i: not i.inner):
                chain = _linked(interceptor, pipe, chain)
            outputs = chain(**options)
            negative = [d for i in self.interceptors for d in i.encoded(pipe, outputs, call)]
        begin_denoising(negative)
        return outputs


def _linked(interceptor: Interceptor, pipe: Any, encode: Encode) -> Encode:
    @functools.wraps(encode)
    def linked(**options: Any) -> Any:
        return interceptor.encode(pipe, encode, options)

    return linked


class _EncodePrompt:
    """`encode_prompt` of an intercepted class: a data descriptor, which no attribute of an instance hides."""

    def __init__(self, station: _Station) -> None:
        self._station = station

    def __get__(self, pipe: Any, owner: type) -> Encode:
        if pipe is None:
            return cast(Any, self._station.cls).encode_prompt
        station, own = self._station, vars(pipe).get("encode_prompt")
        inner = own if own is not None else cast(Any, self._station.cls).encode_prompt.__get__(pipe)

        @functools.wraps(inner)
        def encode_prompt(*args: Any, **kwargs: Any) -> Any:
            return station.encode(pipe, inner, args, kwargs)

        return encode_prompt

    def __set__(self, pipe: Any, value: Encode) -> None:
        vars(pipe)["encode_prompt"] = value

    def __delete__(self, pipe: Any) -> None:
        if vars(pipe).pop("encode_prompt", None) is None:
            raise AttributeError("encode_prompt")


def intercept(pipe: Any, interceptor: Interceptor) -> Callable[[], None]:
    """Put `interceptor` between `pipe` and its `encode_prompt`; returns what undoes it, in any order.

    Raises:
        UnsupportedPipelineError: the pipeline has no `encode_prompt`, or is no object of a class of its own.
    """
    cls = type(pipe)
    if isinstance(pipe, type) or not callable(getattr(cls, "encode_prompt", None)):
        name = pipe.__name__ if isinstance(pipe, type) else cls.__name__
        raise UnsupportedPipelineError(
            f"{name} has no encode_prompt, through which erasers see a pipeline's prompts; pipelines that encode in"
            " their call are not supported."
        )
    station = vars(cls).get("_unseen_station")
    if station is None:
        station = _Station(cls)
        pipe.__class__ = _intercepted(cls, station)
    station.interceptors = (*station.interceptors, interceptor)

    def undo() -> None:
        station.interceptors = tuple(i for i in station.interceptors if i is not interceptor)
        if not station.interceptors and vars(type(pipe)).get("_unseen_station") is station:
            pipe.__class__ = station.cls

    return undo


def _intercepted(cls: type, station: _Station) -> type:
    @functools.wraps(cls.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        for prepare in station.prepare:
            prepare(self)
        given = [v for n, v in kwargs.items() if n.startswith("negative_prompt_embeds") and v is not None]
        with calling_alone(self), denoising_for(self, sorted(negative_digests(given))) as state:
            outputs = cast(Any, cls).__call__(self, *args, **kwargs)
            require_unchanged(state)
        return outputs

    def set_attribute(self: Any, name: str, value: Any) -> None:
        cast(Any, cls).__setattr__(self, name, value)
        if isinstance(value, nn.Module):  # a denoiser that comes later, perhaps in the middle of a clip
            for prepare in station.prepare:
                prepare(self)

    facts = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    return type(
        cls.__name__,
        (cls,),
        {
            **facts,
            "_unseen_station": station,
            "__call__": call,
            "__setattr__": set_attribute,
            "__copy__": _copied,
            "__deepcopy__": _not_copied,
            "__reduce_ex__": _not_copied,
            "encode_prompt": _EncodePrompt(station),
        },
    )


def _copied(pipe: Any) -> Any:
    """For `copy.copy`: the copy shares the components, and is guarded like the pipeline."""
    made = object.__new__(type(pipe))
    vars(made).update(vars(pipe))
    return made


def _not_copied(pipe: Any, _: Any) -> Any:
    raise StaleCopyError(
        f"this {type(pipe).__name__} has erasers attached, which a deep or pickled copy would lose. Detach them, copy,"
        " and attach them to the copy, in its own process; copy.copy shares the components and keeps them."
    )


def uncut_class(pipe: Any) -> type:
    """The class that a pipeline has when nothing is attached to it."""
    station = vars(type(pipe)).get("_unseen_station")
    return type(pipe) if station is None else station.cls


def _signature(cls: type) -> inspect.Signature:
    """Of the first `encode_prompt` among a class and its bases that names all its arguments, without `self`."""
    for base in cls.__mro__:
        if "encode_prompt" in vars(base):
            parameters = list(inspect.signature(vars(base)["encode_prompt"]).parameters.values())[1:]
            if all(p.kind is not inspect.Parameter.VAR_POSITIONAL for p in parameters):
                return inspect.Signature(parameters)
    raise UnsupportedPipelineError(
        f"{cls.__name__}.encode_prompt names none of its arguments, so it is not known which of them is the prompt."
    )


def named_options(encode: Encode, args: tuple, kwargs: dict[str, Any], cls: type | None = None) -> dict[str, Any]:
    """The arguments of a call of `encode_prompt`, each by name, defaults too; `cls` is the class of its pipeline."""
    signature = inspect.signature(encode)
    if cls is not None and any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in signature.parameters.values()):
        signature = _signature(cls)  # a wrapper that takes whatever comes does not say which place is whose
    call = signature.bind(*args, **kwargs)
    call.apply_defaults()
    options = dict(call.arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            options |= options.pop(name)
    return options


_LOCKS: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()
_LOCKS_LOCK = threading.Lock()


@contextmanager
def waiting(parts: Sequence[Any]) -> Iterator[None]:
    """Wait until no other thread works with these parts, each of which holds the state of one call at a time."""
    with _LOCKS_LOCK:
        present = {id(part): part for part in parts if part is not None}
        locks = [_LOCKS.setdefault(present[key], threading.RLock()) for key in sorted(present)]
    with ExitStack() as stack:
        for lock in locks:
            stack.enter_context(lock)
        yield


def calling_alone(pipe: Any) -> AbstractContextManager[None]:
    """Wait until no other thread is in a call of `pipe`, or of one that shares its scheduler."""
    return waiting([getattr(pipe, "scheduler", None), *_that_move(pipe)])


@contextmanager
def encoding_alone(pipes: Sequence[Any], tokenizers: Sequence[Any] = ()) -> Iterator[None]:
    """Wait until no other thread encodes with these parts: a tokenizer is set anew for every length it pads to."""
    own = [p for pipe in pipes for n, p in getattr(pipe, "components", {}).items() if "tokenizer" in n]
    with waiting([part for pipe in pipes for part in _that_move(pipe)]), waiting([*own, *tokenizers]):
        yield


def _that_move(pipe: Any) -> list[nn.Module]:
    """Components that offloading moves about, or whose steps are cached: two calls at once would disturb each other."""
    modules = [m for m in getattr(pipe, "components", {}).values() if isinstance(m, nn.Module)]
    return [m for m in modules if hasattr(m, "_hf_hook") or getattr(m, "is_cache_enabled", False)]
