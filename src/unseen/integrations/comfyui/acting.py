"""Erasers on text encoders for the length of one encoding, so that other branches of a graph stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from torch import Tensor, nn

from ...clear.eraser import ClearEraser
from ...encoder.fingerprint import fingerprint
from ...encoder.layers import find_blocks, layer_name
from ...errors import EraserBypassedError, UnguardedInputError, WrongEncoderError
from ...runtime.attach import guard_encoder
from ...runtime.context.call import EncodeCall, Record, during
from ...runtime.context.proofs import digests, tensors_in


class Encoder(NamedTuple):
    """A text encoder inside one of ComfyUI's objects."""

    name: str
    """As the object calls it: "umt5xxl", "clip_l"."""
    tokenizer: Any
    """Decodes token ids."""
    module: nn.Module
    deepest: Callable[[], int | None] = lambda: None
    """After an encoding: index of the earliest layer whose states were used; None if they were the last one's."""


@dataclass
class ErasedBy:
    """The erasers of one apply node, and every vector that came out of encodings under them."""

    erasers: tuple[ClearEraser, ...]
    allow_unguarded: bool = False
    known: set[int] = field(default_factory=set)

    def record(self, value: Any) -> None:
        """These embeddings came out of an encoding under the erasers."""
        for tensor in tensors_in(value):
            if tensor.is_floating_point() and tensor.ndim >= 2:
                self.known |= set(digests(tensor).flatten().tolist())

    def require(self, value: Any) -> None:
        """Raise `EraserBypassedError` for embeddings that did not."""
        tensors = [t for t in tensors_in(value) if t.is_floating_point() and t.ndim >= 2]
        if not tensors or not all(self._knows(tensor) for tensor in tensors):
            raise EraserBypassedError(
                "these text embeddings did not come out of the text encoder with erasers: from a disk cache"
                " (use_disk_cache), from another encoder, or changed since (prompt weights). Encode the prompt with"
                " the text encoder that the apply node gives, without cache and weights."
            )

    def _knows(self, tensor: Tensor) -> bool:
        return set(digests(tensor).flatten().tolist()) <= self.known | {0}

    @contextmanager
    def acting(self, encoders: Sequence[Encoder], texts: Sequence[str]) -> Iterator[Record]:
        """While this is open, the erasers act on passes of these encoders; what they do is in the record.

        Raises:
            WrongEncoderError: an eraser fits none of the encoders.
            UnguardedInputError: an encoder ran without an eraser for each of the concepts.
            EraserBypassedError: no encoder ran, or states from before an eraser's layer are used.
        """
        marks = [fingerprint(encoder.module) for encoder in encoders]
        for eraser in self.erasers:
            if eraser.encoder_fingerprint not in marks:
                present = ", ".join(f"{e.name} {mark[:12]}" for e, mark in zip(encoders, marks, strict=True))
                raise WrongEncoderError(
                    f"the eraser for {eraser.name!r} was fitted on the text encoder {eraser.encoder_fingerprint[:12]},"
                    f" and this one has {present or 'none'}. Rounded copies (fp8, GGUF) are other encoders: load the"
                    " weights that it was fitted on, in bf16 or fp32."
                )
        concepts = {eraser.name for eraser in self.erasers}
        ran: set[tuple[str, int | None]] = set()
        places: list[tuple[str, int | None]] = []
        with ExitStack() as stack:
            for encoder, mark in zip(encoders, marks, strict=True):
                own = [e for e in self.erasers if e.encoder_fingerprint == mark]
                places.append((encoder.name, None))
                stack.callback(encoder.module.register_forward_hook(_noting(ran, places[-1])).remove)
                if own:
                    stack.enter_context(guard_encoder(encoder.tokenizer, encoder.module, own))
                blocks = find_blocks(encoder.module) if own else nn.ModuleList()
                for layer in {max(e.layer, 0) for e in own}:
                    places.append((encoder.name, layer))
                    stack.callback(blocks[layer].register_forward_hook(_noting(ran, places[-1])).remove)
            record = Record()
            with during(EncodeCall(self, texts=tuple(texts), watched=True, record=record)):
                yield record
        if not ran:
            raise EraserBypassedError("the prompt was encoded without its text encoder, so nothing was erased.")
        for encoder, mark in zip(encoders, marks, strict=True):
            if (encoder.name, None) not in ran:
                continue
            own = [e for e in self.erasers if e.encoder_fingerprint == mark]
            _require_reach(encoder, own)
            here = {e.name for e in own}
            if here != concepts and not self.allow_unguarded:
                raise UnguardedInputError(
                    f"the prompt also went through {encoder.name}, where no eraser for"
                    f" {', '.join(sorted(concepts - here))} acts. Load one fitted on it, or switch allow_unguarded on."
                )
            missed = [layer for name, layer in places if name == encoder.name and (name, layer) not in ran]
            if missed:
                raise EraserBypassedError(f"{encoder.name} ran without its {layer_name(missed[0] or 0)}.")


def _noting(ran: set[tuple[str, int | None]], place: tuple[str, int | None]) -> Any:
    return partial(_note, ran, place)


def _note(ran: set[tuple[str, int | None]], place: tuple[str, int | None], *given: Any) -> None:
    ran.add(place)


def _require_reach(encoder: Encoder, erasers: Sequence[ClearEraser]) -> None:
    deepest = encoder.deepest()
    for eraser in erasers:
        if deepest is not None and eraser.layer > deepest:
            raise EraserBypassedError(
                f"states of {encoder.name} after {layer_name(deepest)} are used, and the eraser for"
                f" {eraser.name!r} acts at {layer_name(eraser.layer)}, which is later. Take CLIP Set Last Layer out, or"
                " fit at an earlier layer."
            )
