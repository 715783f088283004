"""WanVideoWrapper's text encoder: a dictionary with `model`, an object that is called with texts and a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from ...errors import UnsupportedEncoderError
from .acting import Encoder, ErasedBy


class ErasedTextEncoder:
    """Stands for the wrapper's `T5EncoderModel`; everything but the call is that object's own."""

    def __init__(self, inner: Any, by: ErasedBy) -> None:
        object.__setattr__(self, "_inner", inner)
        object.__setattr__(self, "_by", by)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._inner, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._inner, name)

    def __call__(self, texts: Sequence[str], device: Any) -> Any:
        """Embeddings of texts, `[tokens, d]` each, with the erasers."""
        with self._by.acting([encoder_of(self._inner)], list(texts)):
            made = self._inner(texts, device)
        self._by.record(made)
        return made


def encoder_of(inner: Any) -> Encoder:
    """The encoder inside the wrapper's object. Raises `UnsupportedEncoderError` where there is none."""
    module, tokenizer = getattr(inner, "model", None), getattr(inner, "tokenizer", None)
    if not isinstance(module, nn.Module) or tokenizer is None:
        raise UnsupportedEncoderError(
            f"expected the text encoder of WanVideoWrapper, with model and tokenizer, got {type(inner).__name__}."
        )
    return Encoder("umt5", getattr(tokenizer, "tokenizer", tokenizer), module)


def erased_t5(t5: Mapping[str, Any], by: ErasedBy) -> dict[str, Any]:
    """The wrapper's dictionary with erasers. Raises `UnsupportedEncoderError` for another object."""
    if not isinstance(t5, Mapping) or "model" not in t5:
        raise UnsupportedEncoderError(f"expected WanVideoWrapper's text encoder, got {type(t5).__name__}.")
    if isinstance(t5["model"], ErasedTextEncoder):
        raise UnsupportedEncoderError("this T5 has erasers already: chain the nodes that load them, and apply once.")
    encoder_of(t5["model"])
    return {**t5, "model": ErasedTextEncoder(t5["model"], by)}
