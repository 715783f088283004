"""Exceptions and interrupts at any point of a call: nothing is left half done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unseen.bench.ways.scene import NEGATIVE, TARGET, Scene
from unseen.bench.ways.way import way


class _Raises:
    """Raises the first time that it is called."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error, self.done = error, False

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.done:
            self.done = True
            raise self.error
        return None


def _encoder(s: Scene, raises: _Raises) -> Any:
    return s.pipe.text_encoder.register_forward_pre_hook(raises)


def _after_the_encoder(s: Scene, raises: _Raises) -> Any:
    return s.pipe.text_encoder.register_forward_hook(raises)


def _layer(s: Scene, raises: _Raises) -> Any:
    return s.pipe.text_encoder.encoder.block[2].register_forward_pre_hook(raises)


def _denoiser(s: Scene, raises: _Raises) -> Any:
    return s.pipe.transformer.register_forward_pre_hook(raises)


PLACES: dict[str, Callable[[Scene, _Raises], Any]] = {
    "before the encoder": _encoder,
    "after the encoder": _after_the_encoder,
    "inside the encoder": _layer,
    "before the denoiser": _denoiser,
}


def _register(place: str, hook: Callable[[Scene, _Raises], Any], error: type[BaseException]) -> None:
    def run(s: Scene) -> None:
        with s.attach():
            handle = hook(s, _Raises(error))
            try:
                s.guide(TARGET, negative_prompt=NEGATIVE)
                s.check(False, "it was not raised")
            except error:
                s.check(True, "raised")
            handle.remove()
            s.forget()
            s.guide(TARGET, negative_prompt=NEGATIVE)
        s.check(torch.equal(s.embed(TARGET)[0], s.plain()), "free after detach")

    run.__module__ = __name__
    way("erased", name=f"{error.__name__} {place}", tried=f"{error.__name__} {place}, then another call")(run)


for _place, _hook in PLACES.items():
    for _error in (KeyboardInterrupt, MemoryError):
        _register(_place, _hook, _error)


@way("erased")
def in_a_callback(s: Scene) -> None:
    """KeyboardInterrupt in callback_on_step_end."""
    with s.attach():
        try:
            s.guide(TARGET, negative_prompt=NEGATIVE, callback_on_step_end=_Raises(KeyboardInterrupt))
        except KeyboardInterrupt:
            s.forget()
        s.guide(TARGET, negative_prompt=NEGATIVE)


@way("erased")
def in_the_negative_prompts_pass(s: Scene) -> None:
    """The second pass, in which nothing is edited, is interrupted; the next first pass is edited."""
    passes: list[int] = []

    def second(*args: Any) -> None:
        passes.append(1)
        if len(passes) == 2:
            raise KeyboardInterrupt

    with s.attach():
        handle = s.pipe.text_encoder.register_forward_hook(second)
        try:
            s.embed(TARGET, negative_prompt=NEGATIVE)
        except KeyboardInterrupt:
            s.check(True, "interrupted")
        handle.remove()
        s.same(s.embed(TARGET, do_classifier_free_guidance=False)[0], s.erased())
        s.generate(TARGET)


@way("erased")
def in_explain(s: Scene) -> None:
    """handle.explain is interrupted."""
    with s.attach() as handle:
        hook = _layer(s, _Raises(KeyboardInterrupt))
        try:
            handle.explain(TARGET)
        except KeyboardInterrupt:
            s.check(True, "interrupted")
        hook.remove()
        s.generate(TARGET)


@way("unchanged")
def in_attach(s: Scene) -> None:
    """attach fails in the middle; nothing stays."""
    modules = [*s.pipe.text_encoder.modules(), s.pipe.transformer]

    def fails(*args: Any, **kwargs: Any) -> Any:
        raise MemoryError

    s.pipe.transformer.register_forward_pre_hook = fails
    try:
        s.attach()
    except MemoryError:
        s.check(True, "failed")
    del s.pipe.transformer.register_forward_pre_hook
    s.check(not any(m._forward_hooks or m._forward_pre_hooks for m in modules), "no hooks")
    s.expected = [s.plain()]
    s.generate(TARGET)


@way("erased")
def blocks_after_an_interrupted_pass(s: Scene) -> None:
    """After an interrupted pass a block is called on its own, with another number of tokens."""
    with s.attach():
        hook = _layer(s, _Raises(KeyboardInterrupt))
        try:
            s.embed(TARGET)
        except KeyboardInterrupt:
            s.check(True, "interrupted")
        hook.remove()
        with torch.no_grad():
            s.pipe.text_encoder.encoder.block[1](torch.randn(2, 5, 32))
        s.generate(TARGET)
