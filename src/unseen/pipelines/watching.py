"""What a pipeline does with a prompt, found out by watching it encode one.

Its text encoders are hooked and given a short prompt: what reaches them, in which template, with which mask, whether a
change at a layer still reaches what the pipeline hands on, and how much of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..encoder.activations import PromptForm
from ..encoder.calls import given_to
from ..encoder.hooks import edited
from ..encoder.layers import EMBEDDING, eager, num_blocks
from ..errors import UnsupportedPipelineError


class Probe(NamedTuple):
    """A prompt that pipelines are watched with."""

    prompt: str
    heard: str
    """The part of it that the text encoder in question reads."""


PROBE = Probe("a photo of a cat", "a photo of a cat")
QUOTED = Probe('a photo of a sign that says "cat"', "cat")
"""For encoders that read nothing but words in quotation marks."""
_LEFT = 0.01
"""Share of what an edit at the embedding changes and another leaves as it is, below which it is chance."""
_FILLED = {
    "num_images_per_prompt": 1,
    "num_videos_per_prompt": 1,
    "do_classifier_free_guidance": False,
    "negative_prompt": None,
    "prompt_2": None,
    "prompt_3": None,
}
"""Arguments without a default that `encode_prompt` of some pipelines has, and what a probe gives for them."""


@torch.no_grad()
def watched(pipe: Any, name: str, tokenizer: Any) -> PromptForm:
    """The form in which `pipe` gives a prompt to its encoder `name`, seen from what it does with one.

    Raises:
        UnsupportedPipelineError: the encoder runs for none of the probes, or nothing that it makes is handed on.
    """
    encoder, encode = eager(getattr(pipe, name)), prober(pipe)
    for probe in (PROBE, QUOTED):
        seen, plain = _seen(encoder, partial(encode, probe.prompt))
        if seen is not None:
            break
    else:
        raise UnsupportedPipelineError(
            f"{type(pipe).__name__} encoded a prompt without its {name}; an eraser there would do nothing."
        )
    ids, mask = seen
    own = _unpadded(tokenizer, ids[0], None if mask is None else mask[0])
    template = _declared_template(pipe, name) or _template_of(tokenizer, own, probe.heard)
    words = [tokenizer(template.format(word)).input_ids for word in ("cat", "red")]
    padded = ids.shape[1] > len(own)
    reach = _Reach(encoder, partial(encode, probe.prompt), plain)
    blocks, wanted = reach.blocks(type(pipe).__name__)
    # A mask may be passed and mean nothing; what counts is whether padding is hidden from the encoder.
    return PromptForm(
        length=ids.shape[1] if padded else min(tokenizer.model_max_length, 512),
        attend_pads=padded and (mask is None or bool((mask > 0).all())),
        template=template,
        skip=_common(*words) if template != "{}" else 0,
        blocks=None if blocks == num_blocks(encoder) else blocks,
        whole=reach.last_whole(blocks, wanted),
        silent=() if probe is PROBE else reach.outputs(wanted),
    )


def _seen(encoder: nn.Module, encode: Callable[[], list[Tensor]]) -> tuple[tuple[Tensor, Tensor | None] | None, Any]:
    """Ids and mask of the first pass of `encoder`, if there is one, and what the pipeline makes of it."""
    seen: list[tuple[Tensor, Tensor | None]] = []

    def look(module: nn.Module, args: tuple, kwargs: dict) -> None:
        ids, mask = given_to(module, args, kwargs)
        if ids is not None:
            seen.append((ids.cpu(), None if mask is None else mask.cpu()))

    handle = encoder.register_forward_pre_hook(look, with_kwargs=True)
    try:
        plain = encode()
    finally:
        handle.remove()
    return (seen[0] if seen else None), plain


def _unpadded(tokenizer: Any, ids: Tensor, mask: Tensor | None) -> list[int]:
    """The tokens of one prompt without its padding, wherever that stands."""
    if mask is not None and not bool((mask > 0).all()):
        return ids[mask > 0].tolist()
    tokens = ids.tolist()
    words = [place for place, token in enumerate(tokens) if token != tokenizer.pad_token_id] or [0]
    ends = [place for place in range(words[-1] + 1, len(tokens)) if tokens[place] == tokenizer.eos_token_id]
    return tokens[words[0] : max([words[-1] + 1, *(end + 1 for end in ends[:1])])]  # CLIP pads with its end token


def _declared_template(pipe: Any, name: str) -> str | None:
    """What the pipeline says that it puts a prompt into for its (first) text encoder."""
    parameter = inspect.signature(pipe.encode_prompt).parameters.get("prompt_template")
    if name != "text_encoder" or parameter is None or not isinstance(parameter.default, dict):
        return None
    return parameter.default["template"]


def _template_of(tokenizer: Any, ids: list[int], heard: str) -> str:
    """What stands around the prompt in the tokens that the encoder was given, a chat model's instruction for instance;
    "{}" where that cannot be told."""
    if tokenizer(heard).input_ids == ids:
        return "{}"
    words = tokenizer(heard, add_special_tokens=False).input_ids
    places = [n for n in range(len(ids) - len(words) + 1) if ids[n : n + len(words)] == words]
    if len(places) != 1:
        return "{}"
    before, after = ids[: places[0]], ids[places[0] + len(words) :]
    own = tokenizer("").input_ids  # what the tokenizer adds by itself is not to be added twice
    start, end = (len([token for token in side[:1] if token in own]) for side in (before, after[::-1]))
    for cut in ((0, 0), (start, 0), (0, end), (start, end)):
        sides = [tokenizer.decode(before[cut[0] :]), tokenizer.decode(after[: len(after) - cut[1]])]
        for gap in ("", " "):
            left, right = (side.replace("{", "{{").replace("}", "}}") for side in sides)
            template = f"{left}{gap}{{}}{gap}{right}"
            if tokenizer(template.format(heard)).input_ids == ids:
                return template
    return "{}"


def _common(left: Sequence[int], right: Sequence[int]) -> int:
    """Length of the common beginning."""
    return next((n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), 0)


class _Reach:
    """How far a change inside a text encoder reaches into what the pipeline hands on."""

    def __init__(self, encoder: nn.Module, encode: Callable[[], list[Tensor]], plain: list[Tensor]) -> None:
        self._encoder, self._encode, self._plain = encoder, encode, plain

    def blocks(self, pipeline: str) -> tuple[int, int]:
        """How many blocks lie before what is handed on, and how many dimensions that has at least."""
        # Token states first: a pooled vector made beside them may come from a later block than they do.
        for wanted in (3, 1):
            for blocks in range(num_blocks(self._encoder), 0, -1):
                if any(map(_any, self._changed(blocks - 1, wanted))):
                    return blocks, wanted
        raise UnsupportedPipelineError(
            f"no block of the text encoder {type(self._encoder).__name__} reaches the prompt embeddings of {pipeline}."
        )

    def last_whole(self, blocks: int, wanted: int) -> int | None:
        """The last layer at which an edit changes all that one at the embedding output changes; None: any layer's
        does."""
        everything = self._changed(EMBEDDING, wanted)

        def whole(layer: int) -> bool:
            changed = self._changed(layer, wanted)
            left = sum(int((a & ~b).sum()) for a, b in zip(everything, changed, strict=True))
            return left <= _LEFT * sum(int(part.sum()) for part in everything)

        if whole(blocks - 1):
            return None
        first, last = EMBEDDING, blocks - 1  # at the first all changes, at the last it does not
        while last - first > 1:
            middle = (first + last) // 2
            first, last = (middle, last) if whole(middle) else (first, middle)
        return first

    def outputs(self, wanted: int) -> tuple[int, ...]:
        """Which of the outputs the encoder has a part in."""
        return tuple(n for n, part in enumerate(self._changed(EMBEDDING, wanted)) if _any(part))

    def _changed(self, layer: int, wanted: int) -> list[Tensor]:
        """By output, which numbers an edit at `layer` changes; none where it has too few dimensions."""
        with edited(self._encoder, {layer: _shifted}):
            outputs = self._encode()
        pairs = zip(self._plain, outputs, strict=True)
        return [a != b if a.ndim >= wanted else torch.zeros(0, dtype=torch.bool) for a, b in pairs]


def _any(part: Tensor) -> bool:
    return bool(part.any())


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
def layer_reaches(pipe: Any, name: str, layer: int, options: Mapping[str, Any], form: PromptForm) -> bool:
    """Whether a change at `layer` of the encoder `name` still reaches the embeddings when `options` are given, and as
    much of them as it does otherwise."""
    encode, encoder = prober(pipe, options), eager(getattr(pipe, name))
    prompt = (QUOTED if form.silent else PROBE).prompt
    reach = _Reach(encoder, partial(encode, prompt), encode(prompt))
    wanted = next((wanted for wanted in (3, 1) if reach.outputs(wanted)), 3)
    return bool(reach.outputs(wanted)) and reach.last_whole(layer + 1, wanted) is None


def prober(pipe: Any, options: Mapping[str, Any] | None = None) -> Callable[[str], list[Tensor]]:
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
        return floating_outputs(pipe.encode_prompt(prompt=prompt, **given))

    return encode


def floating_outputs(outputs: Any) -> list[Tensor]:
    """The floating-point tensors among what `encode_prompt` gives, in order."""
    found = []
    for part in outputs if isinstance(outputs, tuple) else (outputs,):
        # Z-Image and ErnieImage give a list of `[tokens, d]`, one for each prompt.
        found += [one[None] if one.ndim == 2 else one for one in part] if isinstance(part, list) else [part]
    return [o for o in found if isinstance(o, Tensor) and o.is_floating_point()]
