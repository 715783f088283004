"""ComfyUI's `CLIP` object (whatever encoder is in it: CLIP, T5, UMT5), with erasers in its encode methods.

The shape of its classes: `clip.cond_stage_model` holds one or several `SDClipModel`s, each with its `transformer`, and
which layer's states it gives (`layer`, `layer_idx`); `clip.tokenizer` holds a tokenizer for each under the same name.
Token ids never reach the transformer, which is given embeddings; so prompts are read from the tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from torch import nn

from ...encoder.layers import num_blocks
from ...errors import EraserBypassedError, UnsupportedEncoderError
from ...runtime.context.call import Record
from .acting import Encoder, ErasedBy

_ENCODES = ("encode_from_tokens", "encode_from_tokens_scheduled")
_MARKERS = ("▁", "</w>", "Ġ")


class DecodingTokenizer:
    """As much of a tokenizer as erasers need, from one of ComfyUI's: spelling out token ids."""

    unk_token_id = -1

    def __init__(self, tokenizer: Any) -> None:
        """`tokenizer` is an `SDTokenizer`, which has `inv_vocab`."""
        self._words: Mapping[int, str] = tokenizer.inv_vocab

    def convert_ids_to_tokens(self, ids: Any) -> list[str]:
        """As the vocabulary spells them."""
        return [str(self._words.get(int(number), "<unk>")) for number in ids]

    def batch_decode(self, ids: Any, skip_special_tokens: bool = True) -> list[str]:
        """Words of each row."""
        return [self.text(row) for row in ids]

    def text(self, ids: Any) -> str:
        """Words, without tokens in angle brackets."""
        spelled = [t for t in self.convert_ids_to_tokens(ids) if not (t.startswith("<") and t.endswith(">"))]
        said = "".join(spelled) if any(m in t for t in spelled for m in _MARKERS) else " ".join(spelled)
        for marker in _MARKERS:
            said = said.replace(marker, " ")
        return " ".join(said.split())


def encoders_of(clip: Any) -> list[Encoder]:
    """The text encoders inside a `CLIP`. Raises `UnsupportedEncoderError` where none is found."""
    found = []
    for name, module in clip.cond_stage_model.named_modules():
        transformer = getattr(module, "transformer", None)
        if not isinstance(transformer, nn.Module) or not hasattr(module, "layer_idx"):
            continue
        own = name.rpartition(".")[2]
        tokenizer = getattr(clip.tokenizer, own, None) or getattr(clip.tokenizer, own.removeprefix("clip_"), None)
        tokenizer = clip.tokenizer if tokenizer is None and hasattr(clip.tokenizer, "inv_vocab") else tokenizer
        if tokenizer is None:
            raise UnsupportedEncoderError(f"this CLIP has an encoder {own} and no tokenizer of that name.")
        found.append(Encoder(own, DecodingTokenizer(tokenizer), transformer, partial(_deepest, module, transformer)))
    if not found:
        raise UnsupportedEncoderError(
            f"no text encoder was found in this CLIP ({type(clip.cond_stage_model).__name__}). Erasers act on CLIP, T5"
            " and UMT5 objects that ComfyUI itself loads."
        )
    return found


def _deepest(module: Any, transformer: nn.Module) -> int | None:
    """The earliest of the layers whose states are used; None for the last one's."""
    layer, index = getattr(module, "layer", "last"), module.layer_idx
    if layer == "all":
        return 0
    used = layer if isinstance(layer, list) else [index] if layer == "hidden" and index is not None else []
    depth = num_blocks(transformer)
    return min((number if number >= 0 else depth + number for number in used), default=None)


def texts_of(clip: Any, tokens: Mapping[str, Any]) -> list[str]:
    """What tokens of `clip.tokenize` say, a text for each encoder."""
    texts = []
    by_name = {encoder.name: encoder.tokenizer for encoder in encoders_of(clip)}
    for name, batches in tokens.items():
        tokenizer = by_name.get(name) or by_name.get(f"clip_{name}")
        if tokenizer is not None:
            texts.append(tokenizer.text([pair[0] for row in batches for pair in row if isinstance(pair[0], int)]))
    return texts


def erased_clip(clip: Any, by: ErasedBy) -> Any:
    """A clone of `clip` whose encode methods run with the erasers; clones of it keep them.

    Raises `UnsupportedEncoderError` for an object without encode methods, and for one that has erasers already.
    """
    if not all(callable(getattr(clip, name, None)) for name in ("clone", "tokenize", *_ENCODES)):
        raise UnsupportedEncoderError(f"expected a CLIP of ComfyUI, got {type(clip).__name__} without encode methods.")
    if hasattr(type(clip), "_unseen"):
        raise UnsupportedEncoderError("this CLIP has erasers already: chain the nodes that load them, and apply once.")
    encoders_of(clip)
    return _wrapped(clip.clone(), by)


def plain_clip(clip: Any) -> Any:
    """A clone of `clip` without erasers."""
    made = clip.clone()
    if hasattr(type(made), "_unseen"):
        made.__class__ = type(made).__bases__[0]
    return made


def _wrapped(clip: Any, by: ErasedBy) -> Any:
    plain = type(clip)

    def clone(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = plain.clone(self, *args, **kwargs)
        return made if getattr(type(made), "_unseen", None) is by else _wrapped(made, by)

    def encoding(name: str) -> Any:
        method = getattr(plain, name)

        def encode(self: Any, tokens: Any, *args: Any, **kwargs: Any) -> Any:
            if getattr(self, "_unseen_running", False):  # one encode method calls the other
                return method(self, tokens, *args, **kwargs)
            self._unseen_running = True
            try:
                with acting_on(self, by, tokens):
                    made = method(self, tokens, *args, **kwargs)
            finally:
                self._unseen_running = False
            by.record(made)
            return made

        return encode

    methods = {name: encoding(name) for name in _ENCODES}
    clip.__class__ = type(plain.__name__, (plain,), {"clone": clone, "_unseen": by, **methods})
    return clip


def acting_on(clip: Any, by: ErasedBy, tokens: Any) -> AbstractContextManager[Record]:
    """The erasers act on encodings of these tokens. Raises `EraserBypassedError` for a CLIP with LoRA patches."""
    if getattr(getattr(clip, "patcher", None), "patches", None):
        raise EraserBypassedError(
            "this CLIP has LoRA patches on its text encoder, which then is not the one that the erasers were fitted"
            " on. Load the LoRA with strength_clip 0 (Load LoRA Model Only)."
        )
    return by.acting(encoders_of(clip), texts_of(clip, tokens))
