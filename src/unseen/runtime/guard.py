"""The guard on `encode_prompt`: the prompt is edited and the negative prompt is not, and nothing gets past the erasers.

`pipe.encode_prompt` is wrapped on the instance. Embeddings that somebody else made are turned away; and where the
prompt was encoded without the hooked blocks having run, an error is raised instead of a video.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..errors import EraserBypassedError
from ..pipelines import backbone_of, wrap_encode_prompt
from .paraphrase import Read

_KNOWN_ROWS: OrderedDict[str, frozenset[str]] = OrderedDict()
"""Digest of an embedded prompt → keys of the erasers that have seen it; the latest `_MAX_KNOWN_ROWS`."""
_MAX_KNOWN_ROWS = 65536

Audited = Callable[[Callable[[], Any], Sequence[str]], Any]
Reading = Callable[[str], Read]


class Guard:
    """Stands between a pipeline and its text encoders while erasers are attached."""

    def __init__(
        self,
        keys: frozenset[str],
        places: set[tuple[str, int]],
        on_negative: bool,
        audited: Audited | None = None,
        read: Reading | None = None,
    ) -> None:
        """`keys` are those of the erasers at their strengths, `places` (encoder, block) where they act; `audited` runs
        an encoding and writes down what happened in it; `read` exchanges mentions of a concept for its name."""
        self.read = read
        self.max_sequence_length: int | None = None
        """What the pipeline was last told to pad prompts to; None leaves it to the pipeline."""
        self.texts: list[str] | None = None
        """The prompts that are being encoded, as the erasers read them; None where it is not known."""
        self.keys, self.places, self.on_negative, self.audited = keys, places, on_negative, audited
        self.editing, self.shortcut = True, False
        self.ran: set[tuple[str, int]] = set()

    def wrap(self, pipe: Any) -> Callable[[], None]:
        """Put the guard on `pipe`; returns the function that takes it off."""
        # The backbones known by name take finished embeddings as they are; others would repeat them per video again.
        self.shortcut = backbone_of(pipe) is not None
        return wrap_encode_prompt(pipe, self._guarded)

    def _guarded(self, encode_prompt: Callable, options: dict[str, Any]) -> Any:
        guided = options.get("do_classifier_free_guidance", False)
        given = [value for name, value in options.items() if _is_embedding(name) and value is not None]
        if given:
            self._refuse_unknown(given)
            return self._negative_only(encode_prompt, options)
        self.max_sequence_length = options.get("max_sequence_length", self.max_sequence_length)
        asked, options = options.get("prompt"), self._reworded(options)
        outputs = self._edited(encode_prompt, options, asked)
        if not guided:
            return outputs
        if self.shortcut:
            return self._negative_only(encode_prompt, {**options, "prompt_embeds": outputs[0]})
        both = self._negative_only(encode_prompt, options)
        return type(both)(b if a is None else a for a, b in zip(outputs, both, strict=True))

    def _reworded(self, options: dict[str, Any]) -> dict[str, Any]:
        """The options with every prompt, and where erasers act on it the negative one, as the erasers read it."""
        reading = self.read
        if reading is None:
            return options

        def read(prompt: Any) -> Any:
            if isinstance(prompt, str):
                return reading(prompt).text
            return [read(one) for one in prompt] if isinstance(prompt, list | tuple) else prompt

        acted_on = {name for name in options if self.on_negative or not name.startswith("negative_")}
        return {n: read(value) if n in acted_on and _is_prompt(n) else value for n, value in options.items()}

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let the text encoders run unedited for something that is not the pipeline's call."""
        kept = self.editing, self.texts
        self.editing, self.texts = False, None
        try:
            yield
        finally:
            self.editing, self.texts = kept

    def _negative_only(self, encode_prompt: Callable, options: dict[str, Any]) -> Any:
        self.editing, self.texts = self.on_negative, None
        try:
            return encode_prompt(**options)
        finally:
            self.editing = True

    def _edited(self, encode_prompt: Callable, options: dict[str, Any], asked: Any) -> Any:
        """What `encode_prompt` returns without a negative prompt, edited; `asked` is the prompt before rewording."""
        self.ran.clear()
        self.texts = _texts(options)
        alone = dict(options)
        if "do_classifier_free_guidance" in alone:
            alone["do_classifier_free_guidance"] = False
        if self.audited is None:
            outputs = encode_prompt(**alone)
        else:
            prompts = [asked] if isinstance(asked, str) else list(asked)
            outputs = self.audited(lambda: encode_prompt(**alone), prompts)
        if missed := sorted(self.places - self.ran):
            name, layer = missed[0]
            raise EraserBypassedError(
                f"the prompt was encoded without passing through block {layer} of the {name} that the erasers are"
                f" attached to. If pipe.{name} was replaced, detach and attach again."
            )
        for row in _row_digests(outputs if isinstance(outputs, tuple | list) else [outputs]):
            _KNOWN_ROWS[row] = self.keys
            _KNOWN_ROWS.move_to_end(row)
        while len(_KNOWN_ROWS) > _MAX_KNOWN_ROWS:
            _KNOWN_ROWS.popitem(last=False)
        return outputs

    def _refuse_unknown(self, embeddings: Sequence[Any]) -> None:
        if not all(self.keys <= _KNOWN_ROWS.get(row, frozenset()) for row in _row_digests(embeddings)):
            raise EraserBypassedError(
                "prompt_embeds were passed that the attached erasers have not seen, so the concept may still be in"
                " them. Pass prompt=, or make the embeddings with pipe.encode_prompt(...) while these erasers are"
                " attached."
            )


def _texts(options: dict[str, Any]) -> list[str]:
    """By row everything that is asked, for whichever text encoder."""
    asked = [value for name, value in options.items() if _is_prompt(name) and not name.startswith("negative_")]
    columns = [[value] if isinstance(value, str) else list(value) for value in asked if value]
    rows = len(columns[0]) if columns else 0
    return [" / ".join(row) for row in zip(*columns, strict=True)] if all(len(c) == rows for c in columns) else []


def _is_prompt(name: str) -> bool:
    """ "prompt", "negative_prompt", and the same for a second and third text encoder ("prompt_2")."""
    first, _, number = name.removeprefix("negative_").partition("_")
    return first == "prompt" and (not number or number.isdigit())


def _is_embedding(name: str) -> bool:
    """ "prompt_embeds", "pooled_prompt_embeds", and those of one encoder among several ("prompt_embeds_2")."""
    return "prompt_embeds" in name and not name.startswith("negative") and "mask" not in name


def _row_digests(embeddings: Sequence[Any]) -> Iterator[str]:
    for embedding in embeddings:
        if isinstance(embedding, Tensor) and embedding.is_floating_point():
            for row in embedding.detach().to("cpu", torch.float32).contiguous():
                yield hashlib.sha256(row.numpy().tobytes()).hexdigest()
