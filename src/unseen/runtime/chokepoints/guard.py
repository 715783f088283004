"""The first choke point: every pass of a text encoder is edited, and what comes out of it is accounted for.

Only the pass that encodes the negative prompt of a call stays as it is, known by that call's `EncodeCall`. A guard is
made once and does not change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ...encoder.calls import given_to
from ...encoder.changes import watch
from ...encoder.hooks import GUARDED, install_edits
from ...encoder.layers import eager
from ...errors import EraserBypassedError, UnseenError
from ...pipelines import TextPath, backbone_of
from ...pipelines.watching import changed_options, floating_outputs, layer_reaches
from ..context.call import EncodeCall, Record, current_call, during
from ..context.proofs import LEDGER, Proof, digests, tensors_in
from ..rewriting.prepare import Prepared
from .interception import Encode
from .options import is_embedding, is_negative_embedding, is_prompt, may_skip, prompts_of, texts_by_row
from .rows import digests_as_cast, negative_digests

Edit = Callable[[Tensor, Tensor | None], Tensor | None]
Rewriting = Callable[[Any, Sequence[str], int | None], Sequence[Prepared]]
"""`rewriting(pipe, prompts, max_sequence_length)`."""
Heard = Callable[[Sequence[str], Sequence[Prepared], Record], None]
"""`heard(prompts, rewrites, record)`: after each encoding that somebody watches."""


class Guard:
    """Edits at layers of text encoders, and the interception of `encode_prompt` that goes with them."""

    inner = True

    def __init__(
        self,
        paths: Sequence[TextPath],
        edits: Mapping[tuple[str, int], Edit],
        wanted: Callable[[], Proof],
        *,
        on_negative: bool = False,
        rewriting: Rewriting | None = None,
        heard: Heard | None = None,
        refused: Callable[[UnseenError], None] = lambda error: None,
    ) -> None:
        """`edits` by encoder and layer; `wanted` says what embeddings must have passed to be used here and now."""
        self.refused = refused
        self.paths, self.wanted, self.on_negative = tuple(paths), wanted, on_negative
        self._edits, self._rewriting, self._heard = dict(edits), rewriting, heard
        self.encoders = frozenset(path.encoder for path in paths)
        self._reached: set[tuple] = set()
        self._changes: dict[str, Callable[[], str | None]] = {}
        """Of each text encoder, what became of it since the edits were hooked in."""
        self.before: list[Callable[[Any], None]] = []
        """Called with the pipeline before it encodes."""

    # Text encoder

    def install(self, path: TextPath) -> Callable[[], None]:
        """Hook the edits into one text encoder; returns what removes them."""
        here = {layer: self._edit(path, layer) for name, layer in self._edits if name == path.name}
        encoder = path.encoder

        def begin(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
            if module is encoder:  # a deep copy carries the hook and is guarded by nobody
                self._refuse_paraphrases(path, module, args, kwargs)

        def end(module: nn.Module, args: tuple, output: Any) -> None:
            call = current_call()
            if call is not None and module is encoder and encoder not in call.spared:
                made = [t for t in _floating(output) if t.ndim == 3]
                call.record.made |= digests_as_cast(made)
                call.record.rows[path.name] += max(map(len, made), default=0)

        hooks = [encoder.register_forward_pre_hook(begin, with_kwargs=True), encoder.register_forward_hook(end)]
        remove = install_edits(path.encoder, here)
        GUARDED.add(path.encoder)
        self._changes[path.name] = watch(encoder)

        def undo() -> None:
            GUARDED.discard(path.encoder)
            for hook in hooks:
                hook.remove()
            remove()

        return undo

    def _edit(self, path: TextPath, layer: int) -> Edit:
        edit = self._edits[path.name, layer]

        def run(hidden: Tensor, valid: Tensor | None) -> Tensor | None:
            call = current_call()
            if call is not None:
                call.record.ran.add((path.name, layer))
                if path.encoder in call.spared:
                    return None
            return edit(hidden, valid)

        return run

    def _refuse_paraphrases(self, path: TextPath, encoder: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        """A pass that comes from nowhere is edited like any other, but its words can no longer be exchanged."""
        ids, _ = given_to(encoder, args, kwargs)
        if current_call() is not None or self._rewriting is None or ids is None or not self.wanted().keys:
            return
        texts = path.tokenizer.batch_decode(ids, skip_special_tokens=True)
        with self.unedited():
            done = self._rewriting(None, texts, None)
        mentioned = sorted({name for one in done for name in (*(name for name, _ in one.mentions), *one.residual)})
        if mentioned:
            raise EraserBypassedError(
                f"the {path.name} was given a prompt that speaks of {', '.join(mentioned)} in other words, by something"
                " else than an attached pipeline, so the words could not be exchanged. Encode it with"
                " handle.encode(prompts), or attach to that pipeline as well: unseen.attach([pipe, other], erasers)."
            )

    # encode_prompt

    def encode(self, pipe: Any, encode: Encode, options: dict[str, Any]) -> Any:
        """What `encode_prompt` gives: the prompt edited, the negative prompt as it is unless that was asked for."""
        try:
            return self._encode(pipe, encode, options)
        except UnseenError as error:
            self.refused(error)
            raise

    def _encode(self, pipe: Any, encode: Encode, options: dict[str, Any]) -> Any:
        call = current_call()
        assert call is not None
        for prepare in self.before:
            prepare(pipe)
        self._require_parts(pipe)
        if self.on_negative:
            self._refuse_unknown({n: v for n, v in options.items() if is_negative_embedding(n) and v is not None})
        given = {n: v for n, v in options.items() if is_embedding(n) and v is not None}
        if given:
            self._refuse_unknown(given)
            return self._spared(encode, options, call)
        asked = options
        rewrites, options = self._rewrite(pipe, options)
        self._require_reach(pipe, options)
        outputs = self._edited(encode, options, call)
        if self._heard is not None:
            self._heard(prompts_of(asked), rewrites, call.record)
        parts = outputs if isinstance(outputs, tuple | list) else (outputs,)
        self._require_made_here(pipe, options, outputs, call.record)
        if not options.get("do_classifier_free_guidance", False):
            if call.record.negative is None:  # a baseline may encode something of its own beside
                call.record.negative = frozenset()
            return outputs
        call.record.negative = frozenset(place for place, part in enumerate(parts) if _absent(part))
        return self._with_negative(pipe, encode, options, outputs, call)

    def encoded(self, pipe: Any, outputs: Any, call: EncodeCall) -> Sequence[int]:
        """Account for what the pipeline will be given, baselines' changes included."""
        parts = list(outputs) if isinstance(outputs, tuple | list) else [outputs]
        wanted, negative = self.wanted(), call.record.negative
        if negative is not None:
            LEDGER.record([part for place, part in enumerate(parts) if place not in negative], wanted)
            return sorted(negative_digests([part for place, part in enumerate(parts) if place in negative]))
        return sorted(negative_digests([p for p in parts if not all(LEDGER.covers(t, wanted) for t in _floating(p))]))

    def _edited(self, encode: Encode, options: dict[str, Any], call: EncodeCall) -> Any:
        """`encode_prompt` without a negative prompt, every pass edited."""
        call.record.ran.clear()
        call.record.made.clear()
        call.record.rows.clear()
        alone = dict(options)
        if "do_classifier_free_guidance" in alone and not self.on_negative:
            alone["do_classifier_free_guidance"] = False
        if not self.on_negative:  # they would come out beside the prompt, as if they had been encoded with it
            alone |= {name: None for name in alone if is_negative_embedding(name)}
        # With the negative prompt in the same passes, it is not known which row is whose: the token ids have to do.
        texts = None if self.on_negative else texts_by_row(options)
        with during(replace(call, texts=texts, watched=self._heard is not None)):
            outputs = encode(**alone)
        asleep = {p.name for p in self.paths if p.form.silent} - {name for name, _ in call.record.ran}
        if missed := sorted(place for place in self._edits.keys() - call.record.ran if place[0] not in asleep):
            name, layer = missed[0]
            raise EraserBypassedError(
                f"the prompt was encoded without passing through block {layer} of the {name} that the erasers are"
                f" attached to. If pipe.{name} or pipe.encode_prompt was replaced, detach and attach again."
            )
        return outputs

    def _spared(self, encode: Encode, options: dict[str, Any], call: EncodeCall) -> Any:
        spared = frozenset() if self.on_negative else self.encoders
        with during(replace(call, spared=spared, texts=None)):
            return encode(**options)

    def _with_negative(self, pipe: Any, encode: Encode, options: dict[str, Any], outputs: Any, call: EncodeCall) -> Any:
        if self.on_negative:
            call.record.negative = frozenset()
            return outputs
        # Where it is known that finished embeddings are not repeated per video again, the prompt is not encoded twice.
        again = {"prompt_embeds": outputs[0]} if backbone_of(pipe) is not None else {}
        both = self._spared(encode, {**options, **again}, call)
        # Whatever a wrapper of somebody else's made of the prompt in this pass, no eraser has seen it.
        return type(both)(b if _absent(a) else a for a, b in zip(outputs, both, strict=True))

    def _rewrite(self, pipe: Any, options: dict[str, Any]) -> tuple[Sequence[Prepared], dict[str, Any]]:
        """The options with every prompt, and where erasers act on it the negative one, in the concept's own name."""
        rewriting = self._rewriting
        if rewriting is None or not self.wanted().keys:
            return (), options
        names = [n for n in options if is_prompt(n) and (self.on_negative or not n.startswith("negative_"))]
        texts = [t for n in names for t in ([options[n]] if isinstance(options[n], str) else options[n] or ())]
        with self.unedited():
            done = list(rewriting(pipe, texts, options.get("max_sequence_length")))
        first = done[: len(prompts_of(options))]
        queue = iter(done)
        changed: dict[str, Any] = {}
        for name in names:
            value = options[name]
            if isinstance(value, str):
                changed[name] = next(queue).text
            elif value:
                changed[name] = type(value)(next(queue).text for _ in value)
        return first, {**options, **changed}

    @contextmanager
    def unedited(self) -> Iterator[None]:
        """Let this thread's passes stay as they are, for looking at what the model makes of words."""
        call = current_call()
        with during(EncodeCall(self if call is None else call.owner, spared=self.encoders)):
            yield

    # What must hold

    def _require_parts(self, pipe: Any) -> None:
        for path in self.paths:
            if eager(getattr(pipe, path.name, None) or nn.Identity()) is not path.encoder:
                layer = min(layer for name, layer in self._edits if name == path.name)
                raise EraserBypassedError(
                    f"pipe.{path.name} was replaced since the erasers were attached, so prompts are encoded without"
                    f" passing through block {layer} of the encoder that they act on. Detach and attach again."
                )
            if (change := self._changes[path.name]()) is not None:
                raise EraserBypassedError(
                    f"the {path.name} {change} since the erasers were attached, which do not fit it any more. Undo"
                    " that, or detach, and attach erasers that were fitted on it as it is now."
                )

    def _require_reach(self, pipe: Any, options: dict[str, Any]) -> None:
        """Refuse options with which the pipeline uses an earlier layer than one that is edited (`clip_skip`)."""
        changed = changed_options(pipe, {n: v for n, v in options.items() if may_skip(n)})
        for path in self.paths if changed else ():
            deepest = max(layer for name, layer in self._edits if name == path.name)
            mark = (path.name, deepest, repr(sorted(changed.items(), key=lambda item: item[0])))
            if mark in self._reached:
                continue
            with self.unedited():
                through = layer_reaches(pipe, path.name, deepest, changed, path.form)
            if not through:
                raise EraserBypassedError(
                    f"with {', '.join(sorted(changed))} the pipeline uses the {path.name}'s states from before layer"
                    f" {deepest}, where erasers act, so they would do nothing. Leave the option out, or fit erasers at"
                    " earlier layers."
                )
            self._reached.add(mark)

    def _require_made_here(self, pipe: Any, options: dict[str, Any], outputs: Any, record: Record) -> None:
        """Refuse what a wrapper of `encode_prompt` brought along: from a cache, or mixed with something stored."""
        prompts = len(set(prompts_of(options)))
        fine = all(record.rows[path.name] >= prompts for path in self.paths if not path.form.silent)
        # An encoder that did not run for a prompt has given zeros for it, and what it did make it hands on as it is.
        floats = floating_outputs(outputs)
        handed = [floats[place] for path in self.paths for place in path.form.silent]
        if backbone_of(pipe) is not None:  # as these do with all of it
            handed = _floating(outputs)
        if fine:
            fine = all(set(digests(t).flatten().tolist()) <= record.made | {0} for t in handed)
        if not fine:
            raise EraserBypassedError(
                "encode_prompt gave embeddings that the text encoder did not make in this call: something that wraps it"
                " keeps embeddings, or changes them. Remove it, or make the embeddings with handle.encode(prompts,"
                " through=...), which is given the attached text encoder's prompts."
            )

    def _refuse_unknown(self, given: Mapping[str, Any]) -> None:
        wanted = self.wanted()
        for name, value in given.items() if wanted.keys else ():  # where nothing is erased, nothing is to be proven
            tensors = list(tensors_in(value))
            fine = bool(tensors) and all(
                t.is_floating_point() and t.numel() and t.layout == torch.strided for t in tensors
            )
            if not fine:
                kinds = ", ".join(str(t.dtype) for t in tensors) or type(value).__name__
                raise EraserBypassedError(
                    f"expected {name} as tensors of a real floating-point type, got {kinds}, in which the attached"
                    " erasers have not seen them. Pass prompt=, or embeddings that handle.encode(prompts) made."
                )
            if not all(_nonzero(t) and LEDGER.covers(t, wanted) for t in tensors):
                raise EraserBypassedError(
                    f"{name} were passed that the attached erasers have not seen, or not as they are now, so the"
                    " concept may still be in them. Pass prompt=, or make the embeddings with handle.encode(prompts) or"
                    " pipe.encode_prompt(...) while these erasers are attached; what you vouch for goes through"
                    " handle.trust(embeddings). A changed copy (weighted, averaged) is not known."
                )


def _absent(part: Any) -> bool:
    """Whether `encode_prompt` gave nothing there; some pipelines say it with an empty list."""
    return part is None or (isinstance(part, list | tuple) and not part)


def _nonzero(tensor: Tensor) -> bool:
    return bool((digests(tensor) != 0).any())


def _floating(value: Any) -> list[Tensor]:
    return [t for t in tensors_in(value) if t.is_floating_point() and t.ndim]
