"""Embeddings handed over by the caller, in every form that a pipeline would take."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from unseen.bench.ways.scene import TARGET, UNRELATED, Scene, cogvideox
from unseen.bench.ways.way import way
from unseen.errors import EraserBypassedError, UnseenError


def _half_view(e: Tensor) -> Tensor:
    wide = torch.empty(*e.shape[:-1], 2 * e.shape[-1])
    wide[..., ::2] = e
    return wide[..., ::2]


def _masked(e: Tensor) -> Tensor:
    return torch.where(torch.rand(e.shape[:2])[..., None] < 2, e, torch.zeros(()))


def _saved(e: Tensor) -> Tensor:
    kept = io.BytesIO()
    torch.save(e, kept)
    kept.seek(0)
    return torch.load(kept)


FOREIGN: dict[str, Callable[[Tensor], Any]] = {
    "as they are": lambda e: e,
    "in double precision": lambda e: e.double(),
    "in half precision": lambda e: e.half(),
    "in bfloat16": lambda e: e.bfloat16(),
    "in float8": lambda e: e.to(torch.float8_e4m3fn),
    "complex": lambda e: e.to(torch.complex64),
    "as whole numbers": lambda e: (e * 1000).int(),
    "as truth values": lambda e: e > 0,
    "as a list of tensors": list,
    "as a tuple": lambda e: (e,),
    "as an empty list": lambda e: [],
    "as a numpy array": lambda e: e.numpy(),
    "as nested lists": lambda e: e.tolist(),
    "as a dictionary": lambda e: {"prompt_embeds": e},
    "as a parameter": lambda e: torch.nn.Parameter(e),
    "expanded": lambda e: e[:1].expand(2, -1, -1),
    "in steps of two": _half_view,
    "through where": _masked,
    "in channels turned twice": lambda e: e.transpose(1, 2).contiguous().transpose(1, 2),
    "with the words in another order": lambda e: e.flip(1),
    "cut to one word": lambda e: e[:, 3:4],
    "without any token": lambda e: e[:, :0],
    "without any row": lambda e: e[:0],
    "slightly scaled": lambda e: e * 1.001,
    "with a little noise": lambda e: e + 1e-4 * torch.randn_like(e),
    "negated": lambda e: -e,
    "not a number": lambda e: e * float("nan"),
    "saved and loaded": _saved,
    "sparse": lambda e: e.to_sparse(),
}
"""What is done to the embedding of the concept's prompt, which no eraser has seen."""


def _refuse(change: Callable[[Tensor], Any]) -> Callable[[Scene], None]:
    def run(s: Scene) -> None:
        with s.attach():
            s.generate(prompt_embeds=change(s.plain()))

    run.__module__ = __name__
    return run


for _name, _change in FOREIGN.items():
    way("refused", name=f"foreign, {_name}", tried=f"prompt_embeds made without the eraser, {_name}")(_refuse(_change))


def _spliced(e: Tensor, plain: Tensor) -> Tensor:
    both = e.clone()
    both[:, 3] = plain[:, 3]
    return both


def _under_it(e: Tensor, plain: Tensor) -> Tensor:
    e.set_(plain.clone())  # type: ignore[call-overload]
    return e


def _as_data(e: Tensor, plain: Tensor) -> Tensor:
    e.data = plain.clone()
    return e


def _through_numpy(e: Tensor, plain: Tensor) -> Tensor:
    e.numpy()[...] = plain.numpy()
    return e


MIXED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "with one word of the unedited": _spliced,
    "averaged with the unedited": lambda e, p: (e + p) / 2,
    "led past the erasure": lambda e, p: e + 2 * (p - e),
    "beside the unedited in one batch": lambda e, p: torch.cat([e, p]),
    "followed by the unedited": lambda e, p: torch.cat([e[:, :8], p[:, :8]], dim=1),
    "with the unedited written into it": lambda e, p: e.copy_(p),
    "with the unedited put under it": _under_it,
    "with the unedited as its data": _as_data,
    "with the unedited written into its data": lambda e, p: (e.data.copy_(p), e)[1],
    "with the unedited written through numpy": _through_numpy,
}
"""What is done to an erased embedding with the unedited one."""


def _mix(change: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Scene], None]:
    def run(s: Scene) -> None:
        with s.attach():
            erased = s.embed(TARGET)[0]
            s.generate(prompt_embeds=erased)  # once as it is
            s.forget()
            s.generate(prompt_embeds=change(erased, s.plain()))

    run.__module__ = __name__
    return run


for _name, _blend in MIXED.items():
    way("refused", name=f"erased, {_name}", tried=f"an erased embedding, {_name}")(_mix(_blend))

LEGITIMATE: dict[str, Callable[[Tensor], Any]] = {
    "as they are": lambda e: e,
    "cloned": lambda e: e.clone(),
    "as a view": lambda e: e.view(1, -1).view(e.shape),
    "in half precision and back": lambda e: e.half().float(),
    "in bfloat16 and back": lambda e: e.bfloat16().float(),
    "in double precision and back": lambda e: e.double().float(),
    "through numpy": lambda e: torch.from_numpy(e.numpy().copy()),
    "in steps of two": _half_view,
    "saved and loaded": _saved,
    "cut to its words": lambda e: e[:, :8],
    "padded with zeros": lambda e: torch.nn.functional.pad(e, (0, 0, 0, 8)),
    "as a parameter": lambda e: torch.nn.Parameter(e, requires_grad=False),
    "in one batch twice": lambda e: torch.cat([e, e]),
    "expanded": lambda e: e.expand(2, -1, -1),
    "detached": lambda e: e.detach().requires_grad_(False),
}
"""What people do to the erased embeddings that they made beforehand."""


def _accept(change: Callable[[Tensor], Any]) -> Callable[[Scene], None]:
    def run(s: Scene) -> None:
        with s.attach():
            given = change(s.embed(TARGET)[0])
            s.expected = [change(s.erased()).detach()]
            s.generate(prompt_embeds=given)

    run.__module__ = __name__
    return run


for _name, _change in LEGITIMATE.items():
    way("erased", name=f"own, {_name}", tried=f"embeddings made while the eraser is attached, {_name}")(
        _accept(_change)
    )


@way("erased")
def made_in_inference_mode(s: Scene) -> None:
    """Inference tensors have no version that could be watched."""
    with s.attach(), torch.inference_mode():
        s.generate(prompt_embeds=s.embed(TARGET)[0])


@way("refused")
def inference_tensor_rewritten(s: Scene) -> None:
    """An erased inference tensor, used once, then written into."""
    with s.attach(), torch.inference_mode():
        erased = s.embed(TARGET)[0]
        s.generate(prompt_embeds=erased)
        s.forget()
        erased.copy_(s.plain())
        s.generate(prompt_embeds=erased)


@way("refused")
def made_before_attaching(s: Scene) -> None:
    """encode_prompt before attach, its result passed afterwards."""
    early = s.embed(TARGET)[0]
    with s.attach():
        s.generate(prompt_embeds=early)


@way("refused")
def made_after_detaching(s: Scene) -> None:
    """Detach, encode, attach again, pass it."""
    s.attach().detach()
    late = s.embed(TARGET)[0]
    with s.attach():
        s.generate(prompt_embeds=late)


@way("erased")
def made_by_an_earlier_handle(s: Scene) -> None:
    """Embeddings of an earlier attachment of the same eraser."""
    with s.attach():
        early = s.embed(TARGET)[0]
    with s.attach():
        s.generate(prompt_embeds=early)


@way("refused")
def made_with_less_strength(s: Scene) -> None:
    """Embeddings of the same eraser at a tenth of its strength."""
    with s.attach(strengths=[0.1]):
        weak = s.embed(TARGET)[0]
    with s.attach():
        s.generate(prompt_embeds=weak)


@way("unchanged")
def trusted(s: Scene) -> None:
    """handle.trust lets exactly these pass, and is logged."""
    events: list[dict[str, Any]] = []
    with s.attach(on_event=events.append) as handle:
        vouched = s.plain().clone() + 1
        handle.trust({"any": [vouched]})
        s.expected = [vouched]
        s.generate(prompt_embeds=vouched)
    s.check("trusted" in [event["event"] for event in events], "the event of trusting")


@way("refused")
def trusted_something_else(s: Scene) -> None:
    """What handle.trust was given opens the door to nothing else."""
    with s.attach() as handle:
        handle.trust(s.plain() + 1)
        s.generate(prompt_embeds=s.plain())


@way("refused")
def in_a_second_video_of_the_batch(s: Scene) -> None:
    """Erased embeddings for one video, unedited ones for the other."""
    with s.attach():
        s.generate(prompt_embeds=torch.cat([s.embed(UNRELATED)[0], s.plain()]))


@way("refused", scene=cogvideox)
def foreign_to_cogvideox(s: Scene) -> None:
    """CogVideoX is given embeddings that the eraser has not seen."""
    with s.attach():
        s.guide(prompt_embeds=s.plain(), negative_prompt_embeds=s.plain(""))


@way("erased", scene=cogvideox)
def own_to_cogvideox(s: Scene) -> None:
    """CogVideoX is given its own erased embeddings and negative ones."""
    with s.attach():
        made = s.embed(TARGET, negative_prompt="a zeppelin in the garden")
        s.guide(prompt_embeds=made[0], negative_prompt_embeds=made[1])


@way("refused")
def straight_into_the_denoiser(s: Scene) -> None:
    """Somebody's own loop calls the transformer."""
    with s.attach():
        s.denoise(s.plain())


@way("erased")
def own_loop(s: Scene) -> None:
    """Somebody's own loop with guidance, the prompt first, twenty steps."""
    with s.attach():
        prompt, negative = s.embed(TARGET, negative_prompt="a zeppelin in the garden")
        s.guided = True
        for _ in range(20):
            s.denoise(prompt)
            s.denoise(negative)


@way("refused")
def own_loop_with_the_negative_alone(s: Scene) -> None:
    """A model of one step: its only pass is given the negative prompt, which names the concept."""
    with s.attach():
        _, negative = s.embed(UNRELATED, negative_prompt=TARGET)
        s.denoise(negative)


@way("refused")
def own_loop_that_alternates_with_nothing(s: Scene) -> None:
    """Zeros where the prompt should be, the negative prompt in its place."""
    with s.attach():
        _, negative = s.embed(UNRELATED, negative_prompt=TARGET)
        s.expected = [torch.zeros_like(negative)]
        for _ in range(3):
            s.denoise(s.expected[0])
            s.denoise(negative)


@way("refused")
def positional_into_the_denoiser(s: Scene) -> None:
    """The transformer's arguments by position."""
    with s.attach(), torch.no_grad():
        s.pipe.transformer(torch.zeros(1, 4, 2, 4, 4), torch.tensor([500]), s.plain())


@way("refused")
def forward_of_the_denoiser(s: Scene) -> None:
    """transformer.forward(...), which skips every hook of PyTorch."""
    with s.attach(), torch.no_grad():
        s.pipe.transformer.forward(torch.zeros(1, 4, 2, 4, 4), torch.tensor([500]), s.plain())


@way("unchanged")
def the_denoiser_without_words(s: Scene) -> None:
    """The transformer is given text without a single token, which says nothing."""
    s.expected = [s.plain()[:, :0]]
    with s.attach():
        s.denoise(s.plain()[:, :0])


@way("erased")
def refused_first_then_right(s: Scene) -> None:
    """After a refusal the pipeline works as before."""
    with s.attach():
        wrongs: list[Any] = [s.plain(), s.plain().double(), s.plain().to(torch.complex64)]
        for wrong in wrongs:
            try:
                s.generate(prompt_embeds=wrong)
                s.check(False, "foreign embeddings passed")
            except EraserBypassedError:
                s.check(True, "refused")
            except UnseenError:
                s.check(False, "another error")
        s.generate(TARGET)
