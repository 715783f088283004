"""Attach erasers to a pipeline, and refuse to generate when they would be bypassed.

The edit is a forward hook on blocks of the text encoder. The encoder runs twice per call, for the prompt and for the
negative prompt, and not at all when embeddings are passed in; so `pipe.encode_prompt` is wrapped on the instance: it
edits the prompt only (unless asked otherwise), checks that the hooks really ran, and turns unknown embeddings away.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..errors import AlreadyAttachedError, EraserBypassedError, UnguardedInputError, UnseenError, WrongEncoderError
from ..text_encoder import EMBEDDING, Edit, fingerprint, install_edits, num_blocks, pads_attended
from .audit import AuditLog
from .eraser import ClearEraser, Delta, combined_edit

_HANDLES: WeakKeyDictionary[nn.Module, Handle] = WeakKeyDictionary()
"""Text encoders that carry erasers now. Keyed by encoder: two pipelines may share one."""
_KNOWN_ROWS: OrderedDict[str, frozenset[str]] = OrderedDict()
"""Digest of an embedded prompt → keys of the erasers that have seen it; the latest `_MAX_KNOWN_ROWS`."""
_MAX_KNOWN_ROWS = 65536


class Firing(NamedTuple):
    """One eraser acting on one token."""

    concept: str
    """Name of the erased concept."""
    layer: int
    """Block index at which it acts."""
    position: int
    """Token position in the prompt."""
    token: str
    """The token as the tokenizer spells it."""
    activity: float
    """Strength of the concept there; 1 is the mean on the concept's own tokens."""


class Handle:
    """Erasers attached to a pipeline. A context manager that detaches; made by `unseen.attach`."""

    def __init__(
        self,
        pipe: Any,
        erasers: Sequence[ClearEraser],
        strengths: Sequence[float],
        on_negative: bool,
        audit: AuditLog | None = None,
    ):
        self.pipe = pipe
        self.audit = audit
        self.erasers = tuple(erasers)
        self.strengths = tuple(strengths)
        self.on_negative = on_negative
        self._encoder: nn.Module = pipe.text_encoder
        self._keys = frozenset(e.with_strength(s).key for e, s in zip(self.erasers, self.strengths, strict=True))
        self._editing = True
        self._ran: set[int] = set()
        self._seen: list[tuple[ClearEraser, Delta]] | None = None  # a list while a prompt is being explained
        self._remove_edits: Callable[[], None] | None = install_edits(
            self._encoder, {layer: self._edit_at(layer) for layer in {eraser.layer for eraser in self.erasers}}
        )
        # Usually the class's method; where another tool wrapped it on the instance, that wrapper is put back.
        self._own_encode_prompt = vars(pipe).get("encode_prompt")
        pipe.encode_prompt = self._guard(pipe.encode_prompt)
        _HANDLES[self._encoder] = self

    @property
    def attached(self) -> bool:
        """Whether the erasers are still in place."""
        return self._remove_edits is not None

    def detach(self) -> None:
        """Remove every hook and the guard; the pipeline is then exactly as before. May be called twice."""
        if self._remove_edits is None:
            return
        self._remove_edits()
        self._remove_edits = None
        del self.pipe.encode_prompt
        if self._own_encode_prompt is not None:
            self.pipe.encode_prompt = self._own_encode_prompt
        _HANDLES.pop(self._encoder, None)

    def explain(self, prompt: str) -> list[Firing]:
        """Which eraser fires on which tokens of `prompt`, how strongly; empty if the prompt would stay untouched."""
        if not self.attached:
            raise UnseenError("these erasers were detached; attach them again to explain a prompt.")
        attend = pads_attended(self.pipe)
        length = min(eraser.max_length for eraser in self.erasers)
        inputs = self.pipe.tokenizer(
            [prompt], max_length=length, padding="max_length" if attend else False, truncation=True, return_tensors="pt"
        )
        device = next(self._encoder.parameters()).device
        seen: list[Any] = []
        self._seen = seen
        try:
            with torch.no_grad():
                self._encoder(inputs.input_ids.to(device), None if attend else inputs.attention_mask.to(device))
        finally:
            self._seen = None
        tokens = self.pipe.tokenizer.convert_ids_to_tokens(inputs.input_ids[0].tolist())
        return [
            Firing(eraser.name, eraser.layer, position, tokens[position], float(delta.activity[0, position]))
            for eraser, delta in seen
            for position in delta.touched[0].nonzero()[:, 0].tolist()
        ]

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    def _edit_at(self, layer: int) -> Edit:
        here = [(e, s) for e, s in zip(self.erasers, self.strengths, strict=True) if e.layer == layer]
        erasers = [eraser for eraser, _ in here]

        def observe(deltas: list[Delta]) -> None:
            if self._seen is not None:
                self._seen.extend(zip(erasers, deltas, strict=True))

        edit = combined_edit(erasers, [strength for _, strength in here], observe)

        def edit_if_wanted(hidden: Tensor, valid: Tensor | None) -> Tensor | None:
            self._ran.add(layer)
            return edit(hidden, valid) if self._editing else None

        return edit_if_wanted

    def _guard(self, encode_prompt: Callable) -> Callable:
        signature = inspect.signature(encode_prompt)

        @functools.wraps(encode_prompt)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            call = signature.bind(*args, **kwargs)
            call.apply_defaults()
            options = dict(call.arguments)
            if options["prompt_embeds"] is not None:
                self._refuse_unknown(options["prompt_embeds"])
            else:
                options["prompt_embeds"] = self._edited_embeddings(encode_prompt, options)
            # The second call finds the prompt encoded already and encodes the negative prompt alone.
            self._editing = self.on_negative
            try:
                return encode_prompt(**options)
            finally:
                self._editing = True

        return guarded

    def _edited_embeddings(self, encode_prompt: Callable, options: dict[str, Any]) -> Tensor:
        self._ran.clear()
        alone = {**options, "do_classifier_free_guidance": False}
        embeddings = (
            encode_prompt(**alone)[0] if self.audit is None else self._audited(self.audit, encode_prompt, alone)
        )
        missed = {eraser.layer for eraser in self.erasers} - self._ran
        if missed:
            raise EraserBypassedError(
                f"the prompt was encoded without passing through block {min(missed)} of the text encoder that the "
                f"erasers"
                " are attached to. If pipe.text_encoder was replaced, detach and attach again."
            )
        for row in _row_digests(embeddings):
            _KNOWN_ROWS[row] = self._keys
            _KNOWN_ROWS.move_to_end(row)
        while len(_KNOWN_ROWS) > _MAX_KNOWN_ROWS:
            _KNOWN_ROWS.popitem(last=False)
        return embeddings

    def _audited(self, audit: AuditLog, encode_prompt: Callable, options: dict[str, Any]) -> Tensor:
        seen: list[tuple[ClearEraser, Delta]] = []
        self._seen = seen
        try:
            with audit.token_ids(self._encoder) as ids:
                embeddings = encode_prompt(**options)[0]
        finally:
            self._seen = None
        prompts = [options["prompt"]] if isinstance(options["prompt"], str) else list(options["prompt"])
        used = {id(eraser): strength for eraser, strength in zip(self.erasers, self.strengths, strict=True)}
        audit.write(prompts, ids, [(e, used[id(e)], delta) for e, delta in seen], self.pipe.tokenizer)
        return embeddings

    def _refuse_unknown(self, embeddings: Tensor) -> None:
        if not all(self._keys <= _KNOWN_ROWS.get(row, frozenset()) for row in _row_digests(embeddings)):
            raise EraserBypassedError(
                "prompt_embeds were passed that the attached erasers have not seen, so the concept may still be in "
                "them."
                " Pass prompt=, or make the embeddings with pipe.encode_prompt(...) while these erasers are attached."
            )


def attach_erasers(
    pipe: Any,
    erasers: Sequence[ClearEraser] | ClearEraser,
    strengths: Sequence[float] | None,
    on_negative: bool,
    *,
    allow_image_input: bool = False,
    audit: str | Path | None = None,
    audit_prompts: bool = False,
) -> Handle:
    """What `unseen.attach` does; see there."""
    erasers = [erasers] if isinstance(erasers, ClearEraser) else list(erasers)
    if not erasers:
        raise ValueError("expected at least one eraser, got none.")
    if strengths is None:
        strengths = [eraser.strength for eraser in erasers]
    if len(strengths) != len(erasers) or not all(strength >= 0 for strength in strengths):
        raise ValueError(f"expected {len(erasers)} strengths ≥ 0, one per eraser, got {list(strengths)}.")
    encoder = pipe.text_encoder
    if encoder in _HANDLES:
        present = ", ".join(eraser.name for eraser in _HANDLES[encoder].erasers)
        raise AlreadyAttachedError(
            f"erasers for {present} are attached to this text encoder already. Detach them first, or attach all in "
            f"one call."
        )
    actual, layers = fingerprint(encoder), num_blocks(encoder)
    for eraser in erasers:
        if eraser.encoder_fingerprint != actual or not EMBEDDING <= eraser.layer < layers:
            raise WrongEncoderError(
                f"the eraser for {eraser.name!r} was fitted on the text encoder {eraser.encoder_fingerprint[:12]}, this"
                f" pipeline has {actual[:12]} ({type(encoder).__name__}, {layers} blocks). Fit the concept on this "
                f"pipeline."
            )
    unguarded = [name for name in ("image", "video") if name in inspect.signature(type(pipe).__call__).parameters]
    if unguarded and not allow_image_input:
        raise UnguardedInputError(
            f"{type(pipe).__name__} also takes {' and '.join(unguarded)}, which an eraser on the text encoder cannot"
            " guard. Pass allow_image_input=True if every such input is known to be free of the concept."
        )
    log = None if audit is None else AuditLog(audit, with_prompts=audit_prompts)
    return Handle(pipe, erasers, strengths, on_negative, log)


def _row_digests(embeddings: Tensor) -> list[str]:
    rows = embeddings.detach().to("cpu", torch.float32).contiguous()
    return [hashlib.sha256(row.numpy().tobytes()).hexdigest() for row in rows]
