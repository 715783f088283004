"""What `callback_on_step_end` may return, and what it may do to the pipeline in the middle of a clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unseen.bench.ways.scene import NEGATIVE, TARGET, UNRELATED, Scene, cogvideox
from unseen.bench.ways.way import way

INPUTS = ["latents", "prompt_embeds", "negative_prompt_embeds"]


def _run(s: Scene, callback: Callable[..., dict[str, Any]], prompt: str = UNRELATED, **options: Any) -> None:
    """A guided clip of five steps whose prompt is not the concept; the callback brings it in."""
    s.expected = [s.erased(prompt)]
    with s.attach():
        s.guide(
            prompt,
            negative_prompt=NEGATIVE,
            callback_on_step_end=callback,
            callback_on_step_end_tensor_inputs=INPUTS,
            **{"steps": 5, **options},
        )


@way("refused")
def returns_unedited_embeddings(s: Scene) -> None:
    """The callback exchanges prompt_embeds for the concept's, made before attach."""
    _run(s, lambda pipe, i, t, kw: {"prompt_embeds": s.plain()})


@way("refused", scene=cogvideox)
def returns_unedited_embeddings_to_cogvideox(s: Scene) -> None:
    """The same for CogVideoX, whose loop holds both prompts in one batch."""
    _run(s, lambda pipe, i, t, kw: {"prompt_embeds": torch.cat([s.plain(""), s.plain()])})


@way("refused")
def swaps_prompt_and_negative_prompt(s: Scene) -> None:
    """The negative prompt, which names the concept, becomes the prompt."""
    _run(
        s, lambda p, i, t, k: dict(prompt_embeds=k["negative_prompt_embeds"], negative_prompt_embeds=k["prompt_embeds"])
    )


@way("refused", scene=cogvideox)
def swaps_the_halves_of_the_batch(s: Scene) -> None:
    """CogVideoX: the halves of the batch change places, and guidance leads to the negative prompt."""
    _run(s, lambda p, i, t, k: {"prompt_embeds": k["prompt_embeds"].flip(0)})


@way("refused", scene=cogvideox)
def fills_the_batch_with_the_negative_prompt(s: Scene) -> None:
    """CogVideoX: both halves become the negative prompt."""
    _run(s, lambda p, i, t, k: {"prompt_embeds": k["prompt_embeds"][:1].repeat(2, 1, 1)})


@way("refused")
def negative_prompt_for_the_prompt(s: Scene) -> None:
    """The negative prompt takes the prompt's place, too."""
    _run(s, lambda p, i, t, k: {"prompt_embeds": k["negative_prompt_embeds"]})


@way("refused")
def words_of_the_negative_prompt_in_the_prompt(s: Scene) -> None:
    """Single tokens of the negative prompt are put into the prompt."""

    def splice(pipe: Any, i: int, t: Any, kw: dict[str, Tensor]) -> dict[str, Tensor]:
        mixed = kw["prompt_embeds"].clone()
        mixed[:, 1:4] = kw["negative_prompt_embeds"][:, 1:4]
        return {"prompt_embeds": mixed}

    _run(s, splice)


@way("refused")
def empties_the_negative_prompt_then_uses_it(s: Scene) -> None:
    """First the negative prompt becomes zeros, a step later its old self becomes the prompt."""
    kept: list[Tensor] = []

    def twice(pipe: Any, i: int, t: Any, kw: dict[str, Tensor]) -> dict[str, Tensor]:
        kept.append(kw["negative_prompt_embeds"])
        if i == 0:
            return {"negative_prompt_embeds": torch.zeros_like(kw["negative_prompt_embeds"])}
        return {"prompt_embeds": kept[0]}

    _run(s, twice)


@way("refused")
def ends_guidance_and_alternates(s: Scene) -> None:
    """Guidance is switched off in the middle, and every other step is given the negative prompt."""
    prompts: list[Tensor] = []
    s.expected = [s.erased(UNRELATED)]

    def every_other(pipe: Any, i: int, t: Any, kw: dict[str, Tensor]) -> dict[str, Tensor]:
        prompts.append(kw["prompt_embeds"])
        pipe._guidance_scale = 1.0
        return {"prompt_embeds": kw["negative_prompt_embeds"] if i % 2 else prompts[0]}

    with s.attach():
        s.guide(
            UNRELATED,
            negative_prompt=NEGATIVE,
            callback_on_step_end=every_other,
            callback_on_step_end_tensor_inputs=INPUTS,
            steps=6,
        )


@way("refused", scene=cogvideox)
def turns_guidance_round(s: Scene) -> None:
    """CogVideoX: the callback makes the scale negative, so that guidance leads to the negative prompt."""

    def turn(pipe: Any, i: int, t: Any, kw: dict[str, Tensor]) -> dict[str, Tensor]:
        pipe._guidance_scale = -5.0
        s.forget()
        s.expected = [s.erased(TARGET)]  # which no pass is given any more
        return {}

    _run(s, turn)


@way("refused", scene=cogvideox)
def zero_guidance(s: Scene) -> None:
    """CogVideoX: the callback sets the scale to 0, and the negative prompt alone is drawn."""

    def zero(pipe: Any, i: int, t: Any, kw: dict[str, Tensor]) -> dict[str, Tensor]:
        pipe._guidance_scale = 0.0
        s.forget()
        s.expected = [s.erased(TARGET)]
        return {}

    _run(s, zero)


def _written(how: Callable[[Tensor, Tensor], Any]) -> Callable[[Scene], None]:
    def run(s: Scene) -> None:
        def write(pipe: Any, i: int, t: Any, kw: dict[str, Tensor]) -> dict[str, Tensor]:
            how(kw["prompt_embeds"], s.plain())
            return {}

        _run(s, write)

    run.__module__ = __name__
    return run


for _name, _how in {
    "in place": lambda e, p: e.copy_(p),
    "into its data": lambda e, p: e.data.copy_(p),
    "through numpy": lambda e, p: e.numpy().__setitem__(..., p.numpy()),
    "through a view": lambda e, p: e.view(-1).copy_(p.reshape(-1)),
    "through its storage": lambda e, p: torch.empty(0).set_(e.untyped_storage()).copy_(p.flatten()),
    "one number at a time": lambda e, p: [
        e.data.view(-1).__setitem__(n, v) for n, v in enumerate(p.flatten().tolist())
    ],
}.items():
    way("refused", name=f"writes the concept {_name}", tried=f"the callback writes into prompt_embeds {_name}")(
        _written(_how)
    )


@way("refused")
def another_type_with_the_concept(s: Scene) -> None:
    """prompt_embeds becomes a complex tensor."""
    _run(s, lambda p, i, t, k: {"prompt_embeds": s.plain().to(torch.complex64)})


@way("refused")
def scales_the_prompt(s: Scene) -> None:
    """The callback turns the prompt up, in changed vectors that nobody has seen."""
    _run(s, lambda p, i, t, k: {"prompt_embeds": k["prompt_embeds"] * 1.5})


@way("refused")
def exchanges_the_denoiser(s: Scene) -> None:
    """The callback puts another transformer in, which was not there when the erasers came, and the concept with it."""
    twin = type(s.pipe.transformer).from_config(s.pipe.transformer.config).eval()
    s.spy(twin)

    def exchange(pipe: Any, i: int, t: Any, kw: dict[str, Tensor]) -> dict[str, Tensor]:
        pipe.transformer = twin
        return {"prompt_embeds": s.plain()}

    _run(s, exchange)


@way("refused")
def replaces_encode_prompt(s: Scene) -> None:
    """The callback puts an encode_prompt of its own on the pipeline and returns what it gives."""

    def replace(pipe: Any, i: int, t: Any, kw: dict[str, Tensor]) -> dict[str, Tensor]:
        pipe.encode_prompt = lambda *a, **k: (s.plain(), None)
        return {"prompt_embeds": pipe.encode_prompt(TARGET)[0]}

    _run(s, replace)


@way("erased")
def encodes_another_prompt(s: Scene) -> None:
    """Prompt travel: the callback encodes the concept's prompt itself, and the old negative prompt stays."""
    travelled: list[Tensor] = []

    def travel(pipe: Any, i: int, t: Any, kw: dict[str, Tensor]) -> dict[str, Tensor]:
        s.look_through_the_log()
        s.expected = [s.erased(TARGET)]
        travelled[:] = [s.embed(TARGET, pipe=pipe, do_classifier_free_guidance=False)[0]]
        return {"prompt_embeds": travelled[0]}

    _run(s, travel)


@way("unchanged")
def changes_latents_only(s: Scene) -> None:
    """A callback that leaves the text alone."""
    _run(s, lambda p, i, t, k: {"latents": k["latents"] * 0.99})


@way("unchanged")
def hands_back_what_it_got(s: Scene) -> None:
    """A callback that returns all tensors as they came, or copies of them."""
    _run(s, lambda p, i, t, k: {name: tensor.clone() for name, tensor in k.items()})


@way("unchanged", scene=cogvideox)
def changes_latents_only_in_cogvideox(s: Scene) -> None:
    """The same for CogVideoX with guidance that varies."""
    _run(s, lambda p, i, t, k: {"latents": k["latents"]}, use_dynamic_cfg=True)


@way("unchanged")
def stops_guidance(s: Scene) -> None:
    """Guidance ends in the middle of a clip, as the documentation of diffusers shows."""

    def stop(pipe: Any, i: int, t: Any, kw: dict[str, Tensor]) -> dict[str, Tensor]:
        if i == 1:
            s.log[:] = s.log[::2]
            s.look_through_the_log()
            s.guided = False
            pipe._guidance_scale = 1.0
        return {}

    _run(s, stop)


@way("unchanged")
def interrupts(s: Scene) -> None:
    """pipe._interrupt ends the clip; the next one is as ever."""

    def interrupt(pipe: Any, i: int, t: Any, kw: dict[str, Tensor]) -> dict[str, Tensor]:
        pipe._interrupt = True
        return {}

    _run(s, interrupt)
    s.check(True, "ended")
