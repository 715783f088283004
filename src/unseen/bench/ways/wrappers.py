"""Other tools that put their own `encode_prompt` on a pipeline, and the order in which everybody leaves."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import diffusers
import torch

import unseen
from unseen.bench.ways.scene import NEGATIVE, TARGET, UNRELATED, Scene
from unseen.bench.ways.way import way

Encode = Callable[..., Any]


def _passing(encode: Encode) -> Encode:
    @functools.wraps(encode)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return encode(*args, **kwargs)

    return wrapper


@way("erased")
def a_wrapper_put_on_before(s: Scene) -> None:
    """pipe.encode_prompt = wrapper(pipe.encode_prompt), then attach."""
    s.pipe.encode_prompt = _passing(s.pipe.encode_prompt)
    with s.attach():
        s.guide(TARGET, negative_prompt=NEGATIVE)


@way("erased")
def a_wrapper_put_on_after(s: Scene) -> None:
    """Attach, then a wrapper."""
    with s.attach():
        s.pipe.encode_prompt = _passing(s.pipe.encode_prompt)
        s.guide(TARGET, negative_prompt=NEGATIVE)


@way("refused")
def replaced_by_a_constant(s: Scene) -> None:
    """encode_prompt gives an embedding made beforehand, whatever it is asked for."""
    with s.attach():
        s.pipe.encode_prompt = lambda *args, **kwargs: (s.plain(), None)
        s.generate(TARGET)


@way("refused")
def replaced_by_a_twin_encoder(s: Scene) -> None:
    """encode_prompt asks another encoder with the same weights."""
    from unseen.bench.ways.tiny import make_pipe

    other = make_pipe()
    with s.attach():
        s.pipe.encode_prompt = lambda *args, **kwargs: other.encode_prompt(*args, **kwargs)
        s.generate(TARGET)


@way("refused")
def a_cache_filled_before(s: Scene) -> None:
    """A wrapper that remembers embeddings by prompt, filled before attach."""
    s.pipe.encode_prompt = _remembering(s.pipe.encode_prompt)
    s.embed([TARGET], do_classifier_free_guidance=False)
    with s.attach():
        s.generate([TARGET])


@way("refused")
def a_cache_that_knows_one_of_two_prompts(s: Scene) -> None:
    """The same, and one of the prompts in the batch is really encoded."""
    s.pipe.encode_prompt = _remembering(s.pipe.encode_prompt)
    s.embed([TARGET], do_classifier_free_guidance=False)
    s.expected = [s.erased(TARGET), s.erased(UNRELATED)]
    with s.attach():
        s.generate([TARGET, UNRELATED])


def _remembering(encode: Encode) -> Encode:
    known: dict[str, torch.Tensor] = {}

    def wrapper(prompt: Any = None, **kwargs: Any) -> Any:
        for text in prompt:
            if text not in known:
                known[text] = encode([text], **{**kwargs, "do_classifier_free_guidance": False})[0]
        return torch.cat([known[text] for text in prompt]), None

    return wrapper


@way("refused")
def a_wrapper_that_mixes_in_the_unedited(s: Scene) -> None:
    """A wrapper adds a stored "style" embedding, which was made before attach, to what the encoder gives."""
    encode = s.pipe.encode_prompt
    stored = s.plain()

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        prompt, negative = encode(*args, **kwargs)
        return 0.01 * prompt + 0.99 * stored, negative

    with s.attach():
        s.pipe.encode_prompt = wrapper
        s.expected = [s.erased()]
        s.generate(TARGET)


@way("refused")
def a_wrapper_that_encodes_and_returns_another(s: Scene) -> None:
    """A wrapper that encodes the prompt as it should and then returns the stored unedited embedding."""
    encode, stored = s.pipe.encode_prompt, s.plain()

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return stored, encode(*args, **kwargs)[1]

    s.pipe.encode_prompt = wrapper
    with s.attach():
        s.generate(TARGET)


@way("erased")
def a_wrapper_that_makes_its_own_embeddings(s: Scene) -> None:
    """A wrapper that encodes the prompt itself and hands it on as prompt_embeds, in the negative prompt's pass too."""
    encode = s.pipe.encode_prompt

    def wrapper(prompt: Any = None, **kwargs: Any) -> Any:
        if prompt is not None:
            kwargs["prompt_embeds"] = s.pipe._get_t5_prompt_embeds(prompt, max_sequence_length=16)
        return encode(prompt, **kwargs)

    s.pipe.encode_prompt = wrapper
    with s.attach():
        s.guide(TARGET, negative_prompt=NEGATIVE)


@way("refused")
def a_wrapper_that_swaps_what_is_returned(s: Scene) -> None:
    """A wrapper that returns the negative prompt first."""
    encode = s.pipe.encode_prompt
    s.pipe.encode_prompt = lambda *args, **kwargs: encode(*args, **kwargs)[::-1]
    with s.attach():
        s.guide(UNRELATED, negative_prompt=TARGET)


@way("erased")
def a_wrapper_that_adds_words(s: Scene) -> None:
    """A prompt enhancer that brings the concept in."""
    encode = s.pipe.encode_prompt
    s.pipe.encode_prompt = lambda prompt=None, **kwargs: encode("a red zeppelin near the river", **kwargs)
    with s.attach():
        s.generate(UNRELATED)


@way("refused")
def a_wrapper_that_asks_in_threads(s: Scene) -> None:
    """A wrapper that encodes in a pool of threads, which know nothing of the call."""
    from concurrent.futures import ThreadPoolExecutor

    encode = s.pipe.encode_prompt

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(torch.no_grad()(encode), *args, **kwargs).result()

    s.pipe.encode_prompt = wrapper
    with s.attach():
        s.generate(TARGET)


@way("erased")
def encode_prompt_of_a_subclass(s: Scene) -> None:
    """A user's subclass with an encode_prompt of its own."""

    class Mine(diffusers.WanPipeline):
        def encode_prompt(self, prompt: Any, *args: Any, **kwargs: Any) -> Any:
            return super().encode_prompt(prompt, *args, **kwargs)

    s.pipe.__class__ = Mine
    with s.attach():
        s.guide(TARGET, negative_prompt=NEGATIVE)
    s.check(type(s.pipe) is Mine, "its class is back")


@way("refused")
def bound_to_the_class(s: Scene) -> None:
    """WanPipeline.encode_prompt(pipe, ...) comes past the instance; its result is not known."""
    with s.attach():
        with torch.no_grad():
            made = diffusers.WanPipeline.encode_prompt(
                s.pipe, UNRELATED, negative_prompt=TARGET, max_sequence_length=16
            )
        s.expected = [s.erased(UNRELATED)]
        s.generate(prompt_embeds=made[0])


@way("erased")
def call_of_the_class(s: Scene) -> None:
    """WanPipeline.__call__(pipe, ...) comes past the call that is intercepted."""
    with s.attach():
        s.guided = True
        diffusers.WanPipeline.__call__(
            s.pipe, TARGET, negative_prompt=NEGATIVE, **s.call, generator=torch.Generator().manual_seed(0)
        )


@way("erased")
def an_old_bound_method(s: Scene) -> None:
    """encode_prompt kept from before attach is put back on the instance."""
    kept = s.pipe.encode_prompt
    with s.attach():
        s.pipe.encode_prompt = kept
        s.generate(TARGET)


@way("erased")
def deleted_from_the_instance(s: Scene) -> None:
    """del pipe.encode_prompt, to get the original back."""
    with s.attach():
        s.pipe.encode_prompt = lambda *args, **kwargs: (s.plain(), None)
        del s.pipe.encode_prompt
        s.generate(TARGET)


@way("erased")
def patched_on_the_class(s: Scene) -> None:
    """WanPipeline.encode_prompt is monkeypatched while attached."""
    original = diffusers.WanPipeline.encode_prompt
    with s.attach():
        try:
            diffusers.WanPipeline.encode_prompt = _passing(original)
            s.generate(TARGET)
        finally:
            diffusers.WanPipeline.encode_prompt = original


@way("refused")
def patched_on_the_class_with_a_constant(s: Scene) -> None:
    """The same with a constant."""
    original = diffusers.WanPipeline.encode_prompt
    with s.attach():
        try:
            diffusers.WanPipeline.encode_prompt = lambda self, *args, **kwargs: (s.plain(), None)
            s.generate(TARGET)
        finally:
            diffusers.WanPipeline.encode_prompt = original


@way("erased")
def a_method_bound_by_hand(s: Scene) -> None:
    """types.MethodType(WanPipeline.encode_prompt, pipe) on the instance."""
    with s.attach():
        s.pipe.encode_prompt = types.MethodType(diffusers.WanPipeline.encode_prompt, s.pipe)
        s.generate(TARGET)


@way("unchanged")
def leaves_in_any_order(s: Scene) -> None:
    """Wrapper, eraser and baseline come and go in every order; at the end nothing is left."""
    from itertools import permutations

    from unseen.baselines import BASELINES

    baseline = BASELINES["blocklist"].fit(s.pipe, "wolf", progress=False)
    for order in permutations(range(3)):
        own = _passing(s.pipe.encode_prompt)
        eraser = s.attach()
        s.pipe.encode_prompt = own
        listed = unseen.attach(s.pipe, baseline)
        leave = [eraser.detach, lambda: vars(s.pipe).pop("encode_prompt", None), listed.detach]
        for place in order:
            leave[place]()
        s.check(torch.equal(s.embed(TARGET)[0], s.plain()), f"free after {order}")
        s.check(type(s.pipe) is diffusers.WanPipeline, f"class after {order}")


@way("unchanged")
def a_wrapper_of_ours_kept_by_somebody(s: Scene) -> None:
    """A tool that wrapped the attached encode_prompt and keeps it after detach."""
    s.expected = [s.plain()]
    handle = s.attach()
    s.pipe.encode_prompt = _passing(s.pipe.encode_prompt)
    handle.detach()
    s.generate(TARGET)


@way("erased")
def erasers_beside_a_baseline(s: Scene) -> None:
    """An eraser and a blocklist in one attach; the prompt comes to the eraser as the blocklist leaves it."""
    from unseen.baselines import BASELINES

    baseline = BASELINES["blocklist"].fit(s.pipe, "wolf", progress=False)
    with unseen.attach(s.pipe, [s.eraser, baseline]):
        s.guide(TARGET, negative_prompt=NEGATIVE)


@way("unchanged")
def detached_twice_and_by_threads(s: Scene) -> None:
    """detach by eight threads at once, and again."""
    from concurrent.futures import ThreadPoolExecutor

    handle = s.attach()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: handle.detach(), range(16)))
    s.check(torch.equal(s.embed(TARGET)[0], s.plain()), "free")


@way("unchanged")
def detached_after_the_encoder_is_gone(s: Scene) -> None:
    """Components are deleted and moved before detach."""
    handle = s.attach()
    s.pipe.text_encoder = None
    s.pipe.transformer = None
    handle.detach()
    s.check(not handle.attached, "detached")
