"""How a text encoder is called, whoever wrote it: under which names it takes tokens and mask, and what it gives back.

transformers' models take `input_ids` and `attention_mask` and give a record; Wan's native T5, which DiffSynth-Studio,
musubi-tuner, WanVideoWrapper and LightX2V share, takes `ids` and `mask` and gives a tensor.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from torch import Tensor, nn

from ..errors import UnsupportedEncoderError
from .layers import language_part

_IDS = ("input_ids", "ids")
_MASK = ("attention_mask", "mask")


def given_to(encoder: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> tuple[Tensor | None, Tensor | None]:
    """Token ids and mask, `[batch, tokens]` each, of a call of `encoder`; None for what it was not given."""
    by_name = {**dict(zip(_parameters(type(encoder).forward), args, strict=False)), **kwargs}

    def first(names: tuple[str, ...]) -> Tensor | None:
        found = (by_name.get(name) for name in names)
        return next((value for value in found if isinstance(value, Tensor) and value.ndim == 2), None)

    return first(_IDS), first(_MASK)


@lru_cache(maxsize=64)
def _parameters(forward: Callable[..., Any]) -> tuple[str, ...]:
    """Of a forward pass as the class wrote it: other tools' wrappers on the instance hide them."""
    names = tuple(inspect.signature(forward).parameters)[1:]
    return names if any(name in names for name in _IDS) else (_IDS[0], _MASK[0])


def run(encoder: nn.Module, ids: Tensor, mask: Tensor | None) -> Tensor:
    """One pass of `encoder`; its last states `[batch, tokens, d]`.

    Raises:
        UnsupportedEncoderError: it takes no mask by a known name, or gives no states.
    """
    parameters = _parameters(type(encoder).forward)
    name = next((name for name in _MASK if name in parameters), None)
    if name is None:
        raise UnsupportedEncoderError(
            f"expected a text encoder that takes {' or '.join(_MASK)}, but {type(encoder).__name__} takes"
            f" {', '.join(parameters)}."
        )
    part = language_part(encoder)
    if part is encoder:
        return states_of(encoder, encoder(ids, **{name: mask}))
    states: list[Tensor] = []
    handle = part.register_forward_hook(lambda module, args, output: states.append(states_of(module, output)))
    try:  # of the words that it would say next, no more than one has to be worked out
        encoder(ids, **{name: mask}, **({"logits_to_keep": 1} if "logits_to_keep" in parameters else {}))
    finally:
        handle.remove()
    return states[-1]


def states_of(encoder: nn.Module, output: Any) -> Tensor:
    """The last states `[batch, tokens, d]` in what a text encoder gave back."""
    states = output if isinstance(output, Tensor) else getattr(output, "last_hidden_state", None)
    if states is None and isinstance(output, tuple | list) and output:
        states = output[0]
    if not isinstance(states, Tensor) or states.ndim != 3:
        raise UnsupportedEncoderError(
            f"expected states [batch, tokens, d] from the text encoder {type(encoder).__name__}, got"
            f" {tuple(states.shape) if isinstance(states, Tensor) else type(output).__name__}."
        )
    return states
