"""How a pipeline turns prompts into embeddings: through which text encoders, in what form, and how much it uses.

For the backbones known by name this is written down. Any other pipeline is watched while it encodes a
short prompt: what its text encoders are given, and down to which block a change still reaches the embeddings.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..encoder.activations import PromptForm
from ..encoder.calls import given_to
from ..encoder.hooks import edited
from ..encoder.layers import eager, num_blocks
from ..errors import UnsupportedPipelineError
from .backbone import Backbone, backbone_of

_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3", "text_encoder_4")
_PROBE = "a photo of a cat"
_FILLED = {
    "num_images_per_prompt": 1,
    "num_videos_per_prompt": 1,
    "do_classifier_free_guidance": False,
    "negative_prompt": None,
    "prompt_2": None,
    "prompt_3": None,
}
"""Arguments without a default that `encode_prompt` of some pipelines has, and what a probe gives for them."""


class TextPath(NamedTuple):
    """One text encoder of a pipeline and the form in which prompts reach it."""

    name: str
    """Of the component: "text_encoder", "text_encoder_2", ..."""
    tokenizer: Any
    encoder: nn.Module
    form: PromptForm


def text_encoders(pipe: Any) -> tuple[str, ...]:
    """Names of the text encoders that a pipeline has loaded: "text_encoder", "text_encoder_2", ...

    A concept that is to disappear needs an eraser at each of them.
    """
    return tuple(name for name in _ENCODERS if isinstance(getattr(pipe, name, None), nn.Module))


def text_path(pipe: Any, name: str | None = None, *, max_length: int | None = None) -> TextPath:
    """How prompts reach one text encoder of `pipe`, or of the pair `(tokenizer, encoder)`.

    `max_length` shortens the form where padding is not attended: shorter batches, same states.

    Raises:
        UnsupportedPipelineError: no text encoder, or several and `name` is none of theirs.
    """
    if isinstance(pipe, tuple):
        tokenizer, encoder = pipe
        return TextPath("text_encoder", tokenizer, encoder, _shortened(PromptForm(), max_length))
    present = text_encoders(pipe)
    if not present:
        raise UnsupportedPipelineError(f"{type(pipe).__name__} has no text encoder loaded, which an eraser works on.")
    if name is None and len(present) > 1:
        raise UnsupportedPipelineError(
            f"{type(pipe).__name__} has {len(present)} text encoders, and each needs an eraser of its own. Say which"
            f" one this is for: encoder={present[0]!r} (or {', '.join(map(repr, present[1:]))})."
        )
    if name is not None and name not in present:
        raise UnsupportedPipelineError(f"{type(pipe).__name__} has {', '.join(present)}, but no {name!r}.")
    path = text_paths(pipe, only=name or present[0])[0]
    return path._replace(form=_shortened(path.form, max_length))


def text_paths(pipe: Any, *, only: str | None = None) -> list[TextPath]:
    """How prompts reach every text encoder of `pipe`, or the one called `only`."""
    names = text_encoders(pipe) if only is None else (only,)
    known = backbone_of(pipe)
    if known is not None:
        return [_known_path(pipe, name, known) for name in names]
    return [TextPath(name, _tokenizer(pipe, name), eager(getattr(pipe, name)), _watched(pipe, name)) for name in names]


def _known_path(pipe: Any, name: str, known: Backbone) -> TextPath:
    tokenizer, length = _tokenizer(pipe, name), known.prompt_length
    if known.attends_pads:  # how much padding is read makes a difference, and a small model may read less of it
        length = min(length, tokenizer.model_max_length)
    return TextPath(name, tokenizer, eager(getattr(pipe, name)), PromptForm(length, known.attends_pads))


def _shortened(form: PromptForm, max_length: int | None) -> PromptForm:
    if form.attend_pads or max_length is None:
        return form
    return form._replace(length=min(form.length, form.skip + max_length))


def _tokenizer(pipe: Any, name: str) -> Any:
    return getattr(pipe, name.replace("text_encoder", "tokenizer"))


@torch.no_grad()
def _watched(pipe: Any, name: str) -> PromptForm:
    """The form in which `pipe` gives a prompt to its encoder `name`, seen from what it does with one."""
    encoder, tokenizer = eager(getattr(pipe, name)), _tokenizer(pipe, name)
    encode = _prober(pipe)
    seen: list[tuple[Tensor, Tensor | None]] = []

    def look(module: nn.Module, args: tuple, kwargs: dict) -> None:
        ids, mask = given_to(module, args, kwargs)
        if ids is not None:
            seen.append((ids.cpu(), mask))

    handle = encoder.register_forward_pre_hook(look, with_kwargs=True)
    try:
        plain = encode(_PROBE)
    finally:
        handle.remove()
    if not seen:
        raise UnsupportedPipelineError(
            f"{type(pipe).__name__} encoded a prompt without its {name}; an eraser there would do nothing."
        )
    ids, mask = seen[0]
    template = _template(pipe, name)
    words = [tokenizer(template.format(word)).input_ids for word in ("cat", "red")]
    padded = ids.shape[1] > len(tokenizer(template.format(_PROBE)).input_ids)
    # A mask may be passed and mean nothing; what counts is whether padding is hidden from the encoder.
    return PromptForm(
        length=ids.shape[1] if padded else min(tokenizer.model_max_length, 512),
        attend_pads=padded and (mask is None or bool((mask > 0).all())),
        template=template,
        skip=_common(*words) if template != "{}" else 0,
        blocks=_blocks_that_reach(encoder, lambda: encode(_PROBE), plain, type(pipe).__name__),
    )


def _template(pipe: Any, name: str) -> str:
    """What the pipeline puts a prompt into for its (first) text encoder, a chat model's instruction for instance."""
    parameter = inspect.signature(pipe.encode_prompt).parameters.get("prompt_template")
    if name != "text_encoder" or parameter is None or not isinstance(parameter.default, dict):
        return "{}"
    return parameter.default["template"]


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the common beginning."""
    return next((n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), 0)


def _blocks_that_reach(
    encoder: nn.Module, encode: Callable[[], list[Tensor]], plain: list[Tensor], pipeline: str
) -> int | None:
    """How many blocks lie before what the pipeline hands on; None if all do."""
    depth = num_blocks(encoder)
    # Token states first: a pooled vector made beside them may come from a later block than they do.
    for wanted in (3, 1):
        for blocks in range(depth, 0, -1):
            with edited(encoder, {blocks - 1: _shifted}):
                changed = encode()
            if any(a.ndim >= wanted and not torch.equal(a, b) for a, b in zip(plain, changed, strict=True)):
                return None if blocks == depth else blocks
    raise UnsupportedPipelineError(
        f"no block of the text encoder {type(encoder).__name__} reaches the prompt embeddings of {pipeline}."
    )


def _shifted(hidden: Tensor, valid: Tensor | None) -> Tensor:
    return hidden + torch.linspace(1, 2, hidden.shape[-1], device=hidden.device)


def changed_options(pipe: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `options` that are not what `encode_prompt` does by default."""
    parameters = inspect.signature(pipe.encode_prompt).parameters
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    return {
        name: value
        for name, value in options.items()
        if value is not None and repr(value) != repr(defaults.get(name, inspect.Parameter.empty))
    }


@torch.no_grad()
def layer_reaches(pipe: Any, name: str, layer: int, options: Mapping[str, Any]) -> bool:
    """Whether a change at `layer` of the encoder `name` still reaches the embeddings when `options` are given."""
    encode, encoder = _prober(pipe, options), eager(getattr(pipe, name))
    plain = encode(_PROBE)
    with edited(encoder, {layer: _shifted}):
        changed = encode(_PROBE)
    return any(a.ndim >= 3 and not torch.equal(a, b) for a, b in zip(plain, changed, strict=True))


def _prober(pipe: Any, options: Mapping[str, Any] | None = None) -> Callable[[str], list[Tensor]]:
    """A function that encodes a prompt as the pipeline does and gives its floating-point outputs."""
    parameters = inspect.signature(pipe.encode_prompt).parameters
    given: dict[str, Any] = dict(options or {})
    if "device" in parameters:
        given["device"] = pipe._execution_device
    for name, parameter in parameters.items():
        if name in given or name == "prompt" or parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        if name == "do_classifier_free_guidance" or parameter.default is inspect.Parameter.empty:
            if name not in _FILLED:
                raise UnsupportedPipelineError(
                    f"{type(pipe).__name__}.encode_prompt wants {name!r}, which this library has no value for."
                )
            given[name] = _FILLED[name]

    def encode(prompt: str) -> list[Tensor]:
        outputs = pipe.encode_prompt(prompt=prompt, **given)
        found = []
        for part in outputs if isinstance(outputs, tuple) else (outputs,):
            # Z-Image and ErnieImage give a list of `[tokens, d]`, one for each prompt.
            found += [one[None] if one.ndim == 2 else one for one in part] if isinstance(part, list) else [part]
        return [o for o in found if isinstance(o, Tensor) and o.is_floating_point()]

    return encode
