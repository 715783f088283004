"""Attach erasers to a pipeline, and refuse to generate when they would be bypassed.

The edit is a forward hook on blocks of the text encoders. An encoder runs twice per call, for the prompt and for the
negative prompt, and not at all when embeddings are passed in; `guard` takes care of both.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..clear.edit import combined_edit
from ..clear.eraser import ClearEraser, Delta
from ..encoder.fingerprint import fingerprint
from ..encoder.hooks import Edit, install_edits
from ..encoder.layers import EMBEDDING, eager, execution_device, num_blocks, run_uncompiled
from ..errors import AlreadyAttachedError, UnguardedInputError, UnseenError, WrongEncoderError
from ..pipelines import TextPath, has_first_sight, text_encoders, text_paths
from .audit import AuditLog, Heard
from .guard import Guard
from .paraphrase import Read, Reader

_HANDLES: WeakKeyDictionary[nn.Module, Handle] = WeakKeyDictionary()
"""Text encoders that carry erasers now. Keyed by encoder: two pipelines may share one."""


class Firing(NamedTuple):
    """One eraser acting on one token."""

    concept: str
    """Name of the erased concept."""
    layer: int
    """Block index at which it acts."""
    position: int
    """Token position in the prompt as it is read."""
    token: str
    """The token as the tokenizer spells it."""
    activity: float
    """Strength of the concept there; 1 is the mean on the concept's own tokens."""
    encoder: str = "text_encoder"
    """The pipeline's name for the text encoder."""


class _Site(NamedTuple):
    """A text encoder and the erasers that act on it."""

    path: TextPath
    erasers: tuple[ClearEraser, ...]
    strengths: tuple[float, ...]


class Handle:
    """Erasers attached to a pipeline. A context manager that detaches; made by `unseen.attach`."""

    def __init__(self, pipe: Any, sites: Sequence[_Site], on_negative: bool, audit: AuditLog | None = None):
        self.pipe = pipe
        self.audit = audit
        self.erasers = tuple(eraser for site in sites for eraser in site.erasers)
        self.strengths = tuple(strength for site in sites for strength in site.strengths)
        self.on_negative = on_negative
        self._sites = tuple(sites)
        known = [eraser.concept for eraser in self.erasers if eraser.mentions]
        self._reader = Reader(pipe, known) if known and has_first_sight(pipe) else None
        self._seen: list[tuple[_Site, ClearEraser, float, Delta]] | None = None  # a list while somebody watches
        self._guard = Guard(
            frozenset(e.with_strength(s).key for e, s in zip(self.erasers, self.strengths, strict=True)),
            {(site.path.name, eraser.layer) for site in sites for eraser in site.erasers},
            on_negative,
            None if audit is None else self._audited,
            self._read if self._reader else None,
        )
        self._undo: list[Callable[[], None]] | None = []
        for site in sites:
            name, encoder = site.path.name, site.path.encoder
            self._undo.append(run_uncompiled(encoder))
            compiled = getattr(pipe, name)
            if compiled is not encoder:  # a compiled encoder would not see the hooks
                object.__setattr__(pipe, name, encoder)
                self._undo.append(partial(object.__setattr__, pipe, name, compiled))
            edits = {layer: self._edit_at(site, layer) for layer in {eraser.layer for eraser in site.erasers}}
            self._undo.append(install_edits(encoder, edits))
            _HANDLES[encoder] = self
        self._undo.append(self._guard.wrap(pipe))

    @property
    def attached(self) -> bool:
        """Whether the erasers are still in place."""
        return self._undo is not None

    def detach(self) -> None:
        """Remove every hook and the guard; the pipeline is then exactly as before. May be called twice."""
        if self._undo is None:
            return
        for undo in reversed(self._undo):
            undo()
        self._undo = None
        for site in self._sites:
            _HANDLES.pop(site.path.encoder, None)

    @property
    def knows_other_words(self) -> bool:
        """Whether phrases that mean a concept in other words than its names are erased too."""
        return self._reader is not None

    def read_as(self, prompt: str) -> str:
        """`prompt` as it is encoded: phrases that mean a concept are exchanged for its name, and erased like it."""
        return self._read(prompt).text

    def _read(self, prompt: str) -> Read:
        if self._reader is None:
            return Read(prompt, ())
        with self._guard.aside():
            return self._reader.read(prompt, self._guard.max_sequence_length)

    def explain(self, prompt: str) -> list[Firing]:
        """Which eraser fires on which tokens of `prompt`, how strongly; empty if the prompt would stay untouched.

        Tokens are those of `read_as(prompt)`.
        """
        if not self.attached:
            raise UnseenError("these erasers were detached; attach them again to explain a prompt.")
        fired, prompt = [], self.read_as(prompt)
        for site in self._sites:
            form, tokenizer, encoder = site.path.form, site.path.tokenizer, site.path.encoder
            inputs = tokenizer(
                [form.template.format(prompt)],
                max_length=form.length,
                padding="max_length" if form.attend_pads else False,
                truncation=True,
                return_tensors="pt",
            )
            device = execution_device(encoder)
            mask = None if form.attend_pads else inputs.attention_mask.to(device)
            seen, self._guard.texts = self._watch(), [prompt]
            try:
                with torch.no_grad():
                    encoder(inputs.input_ids.to(device), attention_mask=mask)
            finally:
                self._seen = self._guard.texts = None
            tokens = tokenizer.convert_ids_to_tokens(inputs.input_ids[0].tolist())
            fired += [
                Firing(
                    eraser.name,
                    eraser.layer,
                    position,
                    tokens[position],
                    float(delta.activity[0, position]),
                    site.path.name,
                )
                for _, eraser, _, delta in seen
                for position in delta.touched[0].nonzero()[:, 0].tolist()
            ]
        return fired

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    def _watch(self) -> list[tuple[_Site, ClearEraser, float, Delta]]:
        self._seen = []
        return self._seen

    def _edit_at(self, site: _Site, layer: int) -> Edit:
        here = [(e, s) for e, s in zip(site.erasers, site.strengths, strict=True) if e.layer == layer]

        def observe(deltas: list[Delta]) -> None:
            if self._seen is not None:
                self._seen += [(site, *which, delta) for which, delta in zip(here, deltas, strict=True)]

        edit = combined_edit([eraser for eraser, _ in here], [strength for _, strength in here], observe, self._named)

        def edit_if_wanted(hidden: Tensor, valid: Tensor | None) -> Tensor | None:
            self._guard.ran.add((site.path.name, layer))
            return edit(hidden, valid) if self._guard.editing else None

        return edit_if_wanted

    def _named(self, eraser: ClearEraser, batch: int) -> Tensor | None:
        """Which of the prompts that are being encoded say a name of the eraser's concept, bool `[batch]`."""
        texts = self._guard.texts
        if texts is None or len(texts) != batch:
            return None
        return torch.tensor([eraser.concept.is_named_in(text) for text in texts])

    def _audited(self, encode: Callable[[], Any], prompts: Sequence[str]) -> Any:
        """Run `encode` and write down what every eraser did to `prompts` in it."""
        assert self.audit is not None
        seen = self._watch()
        try:
            with self.audit.token_ids([site.path.encoder for site in self._sites]) as ids:
                outputs = encode()
        finally:
            self._seen = None
        heard = [
            Heard(
                site.path.tokenizer,
                ids[place],
                [(eraser, strength, delta) for where, eraser, strength, delta in seen if where is site],
            )
            for place, site in enumerate(self._sites)
        ]
        self.audit.write(prompts, heard, [self._read(prompt) for prompt in prompts])
        return outputs


def attach_erasers(
    pipe: Any,
    erasers: Sequence[ClearEraser] | ClearEraser,
    strengths: Sequence[float] | None,
    on_negative: bool,
    *,
    allow_image_input: bool = False,
    audit: str | Path | None = None,
    allow_unguarded_encoders: bool = False,
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
    sites = _sites(pipe, list(zip(erasers, strengths, strict=True)), allow_unguarded_encoders)
    unguarded = _unguarded_inputs(pipe)
    if unguarded and not allow_image_input:
        raise UnguardedInputError(
            f"{type(pipe).__name__} also takes {' and '.join(unguarded)}, which an eraser on the text encoder cannot"
            " guard. Pass allow_image_input=True if every such input is known to be free of the concept."
        )
    log = None if audit is None else AuditLog(audit, with_prompts=audit_prompts)
    return Handle(pipe, sites, on_negative, log)


def _sites(pipe: Any, erasers: Sequence[tuple[ClearEraser, float]], allow_unguarded: bool) -> list[_Site]:
    """The erasers by the text encoder that each was fitted on."""
    for name in text_encoders(pipe):
        if (holder := _HANDLES.get(eager(getattr(pipe, name)))) is not None:
            present = ", ".join(eraser.name for eraser in holder.erasers)
            raise AlreadyAttachedError(
                f"erasers for {present} are attached to this {name} already. Detach them first, or attach all in one"
                " call."
            )
    paths = text_paths(pipe)
    marks = [fingerprint(path.encoder) for path in paths]
    for eraser, _ in erasers:
        fitting = [path for path, mark in zip(paths, marks, strict=True) if mark == eraser.encoder_fingerprint]
        if not any(EMBEDDING <= eraser.layer < (p.form.blocks or num_blocks(p.encoder)) for p in fitting):
            present = ", ".join(
                f"{mark[:12]} ({type(path.encoder).__name__}, {path.form.blocks or num_blocks(path.encoder)} blocks)"
                for path, mark in zip(paths, marks, strict=True)
            )
            raise WrongEncoderError(
                f"the eraser for {eraser.name!r} was fitted on the text encoder {eraser.encoder_fingerprint[:12]}, this"
                f" pipeline has {present or 'none'}. Fit the concept on this pipeline."
            )
    sites = []
    for path, mark in zip(paths, marks, strict=True):
        here = [(eraser, strength) for eraser, strength in erasers if eraser.encoder_fingerprint == mark]
        missing = sorted({e.name for e, _ in erasers} - {e.name for e, _ in here})
        if missing and not allow_unguarded:
            raise UnguardedInputError(
                f"the pipeline also reads prompts through its {path.name}, where no eraser for {', '.join(missing)} was"
                f" given. Fit one with unseen.fit(pipe, ..., encoder={path.name!r}) and attach all in one call, or pass"
                " allow_unguarded_encoders=True."
            )
        if here:
            sites.append(_Site(path, tuple(e for e, _ in here), tuple(s for _, s in here)))
    return sites


_PICTURES = ("image", "images", "video", "conditions", "conditioning_frames", "controls")
"""How diffusers' pipelines end the names of the pictures that their calls take, such as `control_video`."""


def _unguarded_inputs(pipe: Any) -> list[str]:
    """What the pipeline's call takes beside text: images, videos, and an image prompt where there is a model for it."""
    parameters = inspect.signature(type(pipe).__call__).parameters
    other = ("num_", "ip_adapter_", "negative_ip_adapter_")
    found = [name for name in parameters if name.endswith(_PICTURES) and not name.startswith(other)]
    if "ip_adapter_image" in parameters and getattr(pipe, "image_encoder", None) is not None:
        found.append("ip_adapter_image")
    return found
