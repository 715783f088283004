"""VideoEraser (EMNLP 2025): SAFREE's projection of the prompt, and a third branch that guides away from the concept.

At every step after the warm-up, with predictions ε for the prompt (p), the concept (c) and the negative prompt (u):
`s = min(|ε_p − ε_c| S, 1)`, zero where `ε_p − ε_c ≥ τ`; `g = s (ε_c − ε_u) + μ m`; `m ← β m + (1 − β) g`;
`ε = ε_u + w ((ε_p − ε_u) − g)`. The pipeline does the last line itself once ε_p is replaced by `ε_p − g`.

Where we differ from the public code: there the batch of three is halved, which edits the concept's row and leaves the
prompt alone; a concept given as text is joined letter by letter; and the momentum is reset at every step. A step costs
three passes instead of two.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import GuidanceNeededError, UnseenError
from .base import Baseline, FittedBaseline
from .denoising import Forward, known_backbone, prediction_through
from .encoding import Between, Reader, prompts_of
from .safree import edit_rows, learn, project


@dataclass
class _Call:
    """What is known during one call of the pipeline."""

    prompt: Tensor
    negative: Tensor
    concept: Tensor
    step: int = 0
    momentum: Tensor | None = None
    unguided: Tensor | None = None
    """The negative branch's prediction, computed early and waiting to be asked for."""


def guidance(p: Tensor, c: Tensor, u: Tensor, momentum: Tensor | None, settings: Any) -> tuple[Tensor, Tensor]:
    """`g` and the new momentum, both like the predictions `p`, `c` and `u`."""
    scale = ((p - c).abs() * settings["scale"]).clamp(max=1.0)
    scale = torch.where(p - c >= settings["threshold"], torch.zeros_like(scale), scale)
    old = torch.zeros_like(p) if momentum is None else momentum
    g = scale * (c - u) + settings["momentum_scale"] * old
    return g, settings["momentum_decay"] * old + (1 - settings["momentum_decay"]) * g


def put_on(pipe: Any, fitted: FittedBaseline, stack: ExitStack) -> Between:
    """Project prompts and guide away from the concepts. Without guidance the call raises `GuidanceNeededError`."""
    backbone, settings = known_backbone(pipe, "VideoEraser"), fitted.settings
    call_here: ContextVar[_Call | None] = ContextVar("unseen_video_eraser", default=None)

    def encode_around(encode: Callable[..., Any], options: dict[str, Any]) -> Any:
        if not options.get("do_classifier_free_guidance"):
            raise GuidanceNeededError(
                "VideoEraser works through guidance; the pipeline has none at guidance_scale ≤ 1."
            )
        reader = Reader(pipe, options.get("max_sequence_length"))
        outputs = encode(**options)
        outputs = edit_rows(outputs, prompts_of(options), lambda text, e: project(reader, fitted, text, e))
        alone = {"prompt": fitted.names, "negative_prompt": None, "num_videos_per_prompt": 1}
        concept = encode(**{**options, **alone, "do_classifier_free_guidance": False})[0]
        call_here.set(_Call(outputs[0], outputs[1], concept.expand_as(outputs[0])))
        return outputs

    def steer(call: _Call, p: Tensor, c: Tensor, u: Tensor) -> Tensor:
        call.step += 1
        if call.step <= settings["warm_up"]:
            return p
        g, call.momentum = guidance(p.float(), c.float(), u.float(), call.momentum, settings)
        return (p.float() - g).to(p.dtype)

    def two_passes(predict: Forward, arguments: dict[str, Any]) -> Tensor:
        call, text = _current(call_here), arguments["encoder_hidden_states"]
        if call.unguided is not None and _same(text, call.negative):
            u, call.unguided = call.unguided, None
            return u
        if not _same(text, call.prompt):
            raise UnseenError(
                "VideoEraser saw a transformer call that is neither the prompt's nor the negative prompt's."
            )
        p, c, u = (
            predict(**{**arguments, "encoder_hidden_states": states.to(text)})
            for states in (call.prompt, call.concept, call.negative)
        )
        call.unguided = u
        return steer(call, p, c, u)

    def one_batch(predict: Forward, arguments: dict[str, Any]) -> Tensor:
        call, rows = _current(call_here), len(arguments["hidden_states"]) // 2
        u, p = predict(**arguments).chunk(2)
        lower = {name: arguments[name][rows:] for name in ("hidden_states", "timestep")}
        concept = call.concept.to(arguments["encoder_hidden_states"])
        c = predict(**{**arguments, **lower, "encoder_hidden_states": concept})
        return torch.cat([u, steer(call, p, c, u)])

    around = two_passes if backbone.guidance == "two passes" else one_batch
    stack.enter_context(prediction_through(pipe, backbone, around))
    return Between(encode_around, "VideoEraser")


def _current(call_here: ContextVar[_Call | None]) -> _Call:
    call = call_here.get()
    if call is None:
        raise UnseenError("VideoEraser saw the transformer run before any prompt was encoded.")
    return call


def _same(left: Tensor, right: Tensor) -> bool:
    return left.shape == right.shape and torch.equal(left, right.to(left))


VIDEO_ERASER = Baseline(
    "video_eraser",
    {"alpha": 0.01, "scale": 5000.0, "threshold": 1.0, "momentum_scale": 0.5, "momentum_decay": 0.7, "warm_up": 0},
    learn,
    put_on,
    text_only=False,
)
