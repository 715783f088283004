"""Memory that runs out, and interrupts, while an attached pipeline runs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unseen.bench.faults.fault import Try, kind, require
from unseen.bench.ways.scene import TARGET, Scene, wan

_PARTS = ("text_encoder", "transformer", "vae")
_PLACES = (0.0, 0.25, 0.5, 0.75, 0.99)


def _once(s: Scene) -> Any:
    return s.pipe(TARGET, height=16, width=16, num_frames=5, num_inference_steps=1, max_sequence_length=16)


def _running(s: Scene, part: str) -> list[nn.Module]:
    """The innermost modules of a part that take part in a call, in the order in which they do."""
    ran: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: ran.append(module))
        for module in getattr(s.pipe, part).modules()
        if not list(module.children())
    ]
    _once(s)
    for hook in hooks:
        hook.remove()
    return ran


def _try(part: str, place: float, error: BaseException) -> None:
    s: Scene = wan()
    running = _running(s, part)
    module = running[int(place * len(running))]
    before = {name: value.clone() for name, value in s.pipe.transformer.state_dict().items()}

    def fail(*_: Any) -> None:
        hook.remove()
        raise error

    with s.attach():
        hook = module.register_forward_hook(fail)
        try:
            _once(s)
        except BaseException as raised:
            require(raised is error, f"another error came out: {raised!r}")
        else:
            require(False, "the error did not come out")
        s.forget()
        s.generate(TARGET)
        s.look_through_the_log()
        require(bool(s.findings) and all(f.fine for f in s.findings), "the next call was not edited as it should be")
    same = all(torch.equal(value, before[name]) for name, value in s.pipe.transformer.state_dict().items())
    require(same, "weights changed")
    require(torch.equal(s.embed(TARGET)[0], s.plain()), "detached, it does not encode as before")


@kind
def memory_runs_out_on_the_device() -> Iterator[tuple[str, Try]]:
    """The error comes out as it is; the next call is edited, and detached the pipeline is as before."""

    def attempt(folder: Path, part: str, place: float) -> None:
        _try(part, place, torch.OutOfMemoryError("CUDA out of memory"))

    for part in _PARTS:
        for place in _PLACES:
            yield f"{part}, {place:.0%} of the way", partial(attempt, part=part, place=place)


@kind
def interrupted_while_it_generates() -> Iterator[tuple[str, Try]]:
    """The interrupt comes out; the next call is edited, and detached the pipeline is as before."""

    def attempt(folder: Path, part: str, place: float) -> None:
        _try(part, place, KeyboardInterrupt())

    for part in _PARTS:
        for place in _PLACES:
            yield f"{part}, {place:.0%} of the way", partial(attempt, part=part, place=place)
