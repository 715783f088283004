"""What `unseen.attach` returns: erasers and baselines on one or several pipelines, to look at and to take off."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch

from ..clear.eraser import ClearEraser
from ..concept import Concept
from ..encoder.calls import run
from ..encoder.layers import execution_device, layer_name
from ..errors import AuditError, EraserBypassedError, UnseenError, UnsupportedPipelineError
from ..pipelines import ModularText, backbone_of, call_length, cannot_preview
from .audit import event, token_names
from .chokepoints.guard import Guard
from .chokepoints.interception import encoding_alone
from .context.call import EncodeCall, Record, during
from .context.erasers import Choice, Erasers, Site
from .context.proofs import LEDGER, Proof, tensors_in
from .embeddings import Embeddings
from .rewriting.loop import Loop, Settled
from .rewriting.prepare import Prepared, Rewriting
from .watch import Watch

log = logging.getLogger("unseen")


class Firing(NamedTuple):
    """One eraser acting on one token."""

    concept: str
    """Name of the erased concept."""
    layer: int
    """Layer index at which it acts."""
    position: int
    """Token position in the prompt as it is encoded."""
    token: str
    """The token as the tokenizer spells it."""
    activity: float
    """Strength of the concept there; 1 is the mean on the concept's own tokens."""
    encoder: str = "text_encoder"
    """The pipeline's name for the text encoder."""


class Status(NamedTuple):
    """What is guarded, and what is not."""

    attached: bool
    pipelines: tuple[str, ...]
    """Names of their classes."""
    erasers: tuple[str, ...]
    """Concept, text encoder, layer, strength and key of each."""
    baselines: tuple[str, ...]
    paraphrases: str
    """Whether other words for a concept are erased too; if not, why."""
    closed_loop: str
    """What happens to prompts that lead to a concept past the erasers, or "off"."""
    inputs_refused: tuple[str, ...]
    """What is refused: embeddings that are not known, and so on."""
    not_guarded: tuple[str, ...]
    """Inputs that were allowed although no eraser guards them."""


class Handle:
    """Erasers attached to pipelines; made by `unseen.attach`. A context manager that detaches.

    Several threads or tasks may call the pipelines: what one of them chooses with `using` concerns it alone, and two
    calls that would disturb each other (one scheduler, offloaded components) wait for each other.
    """

    def __init__(
        self,
        pipes: Sequence[Any],
        erasers: Erasers,
        guard: Guard | None,
        watch: Watch,
        rewriting: Rewriting,
        baselines: Sequence[Any],
        not_guarded: Sequence[str],
        undo: Callable[[], None],
    ):
        self._pipes, self._erasers, self._guard, self._watch = tuple(pipes), erasers, guard, watch
        self._rewriting, self._baselines, self._not_guarded = rewriting, tuple(baselines), tuple(not_guarded)
        self._undo: Callable[[], None] | None = undo
        self._lock = threading.Lock()

    @property
    def pipes(self) -> tuple[Any, ...]:
        """The pipelines."""
        return tuple(pipe.pipe if isinstance(pipe, ModularText) else pipe for pipe in self._pipes)

    @property
    def erasers(self) -> tuple[ClearEraser, ...]:
        """All erasers, by text encoder."""
        return tuple(eraser for site in self._erasers.sites for eraser in site.erasers)

    @property
    def strengths(self) -> tuple[float, ...]:
        """Their strengths as attached. To change them for some calls, see `using`; for all, detach and attach."""
        return tuple(strength for site in self._erasers.sites for strength in site.strengths)

    @property
    def attached(self) -> bool:
        """Whether the erasers are still in place."""
        return self._undo is not None

    def detach(self) -> None:
        """Remove everything; the pipelines are then exactly as before. May be called twice, never fails."""
        with self._lock:
            undo, self._undo = self._undo, None
        if undo is not None:
            undo()
            try:
                self._watch.tell(event("detached", [e.key for e in self.erasers]))
            except AuditError as error:  # they are off, whether it can be written down or not
                log.error("erasers were detached: %s", error)

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()

    @contextmanager
    def using(
        self, strengths: Mapping[str, float | None] | None = None, *, request_id: str | None = None
    ) -> Iterator[Handle]:
        """For the length of a `with` block, and in this thread or task alone, another choice of erasers.

        Args:
            strengths: By name of the concept, None for the strength that it was attached with; concepts that are not
                named are not erased. None keeps all.
            request_id: What audit lines and events of this block carry.

        Raises:
            ValueError: A name that no attached eraser has, or a strength that is no number ≥ 0.
        """
        self._require_attached()
        names = {eraser.name for eraser in self.erasers}
        for name, strength in (strengths or {}).items():
            if name not in names:
                raise ValueError(f"expected names among {', '.join(sorted(names))}, got {name!r}.")
            fine = isinstance(strength, int | float) and not isinstance(strength, bool) and 0 <= strength < float("inf")
            if strength is not None and not fine:
                raise ValueError(f"expected a strength ≥ 0 for {name!r}, got {strength!r}.")
        chosen = None if strengths is None else {n: None if v is None else float(v) for n, v in strengths.items()}
        with self._erasers.choosing(Choice(chosen, request_id)):
            yield self

    def only(self, *names: str, request_id: str | None = None) -> AbstractContextManager[Handle]:
        """`using`, with the concepts named and no others, each at the strength that it was attached with.

        Raises `ValueError` for a name that no attached eraser has.
        """
        return self.using(dict.fromkeys(names), request_id=request_id)

    @contextmanager
    def unedited(self) -> Iterator[None]:
        """For the length of a `with` block, and in this thread or task alone, text encoders run without erasers.

        For looking at what the bare model makes of words. A generation refuses what is encoded here.
        """
        self._require_attached()
        with nullcontext() if self._guard is None else self._guard.unedited():
            yield

    # Prompts

    def rewrite(self, prompt: str, *, max_sequence_length: int | None = None) -> str:
        """`prompt` as it is encoded: phrases that mean a concept are exchanged for its name, and erased like it.

        `max_sequence_length` is that of the call, where it has one of its own: what the video model makes of words
        depends on it.
        """
        return self._rewritten([prompt], max_sequence_length)[0].text

    def _rewritten(self, prompts: Sequence[str], length: int | None = None) -> list[Prepared]:
        if self._guard is None or not self._rewriting.on:
            return [Prepared(prompt) for prompt in prompts]
        with encoding_alone(self._pipes), self._guard.unedited():
            return list(self._rewriting(None, prompts, length))

    def settle(self, prompts: Sequence[str], *, max_sequence_length: int | None = None) -> list[Settled]:
        """What the closed loop makes of prompts, which are taken as they are: not rewritten before.

        Raises:
            UnseenError: erasers were attached without `on_residual`, or detached since.
            ResidualConceptError: a prompt leads to a concept even so, and that is to be refused.
        """
        loop, concepts, mark = self._asked()
        with encoding_alone(self._pipes):
            return loop.settle(prompts, concepts, mark, max_sequence_length or loop.length)

    def residuals(self, prompts: Sequence[str], *, max_sequence_length: int | None = None) -> dict[str, torch.Tensor]:
        """By concept how much words of each prompt look like it to the video model, or do what its name would do, after
        the erasers have acted, `[prompts]`; 0 where they look more like something else. From 1 on the closed loop steps
        in. Prompts are taken as they are.

        Raises:
            UnseenError: erasers were attached without `on_residual`, or detached since.
        """
        loop, concepts, mark = self._asked()
        with encoding_alone(self._pipes):
            return loop.residuals(prompts, concepts, mark, max_sequence_length or loop.length)

    def _asked(self) -> tuple[Loop, dict[str, Concept], frozenset[str]]:
        """The closed loop, the concepts that it asks for, and what tells their erasers apart."""
        self._require_attached()
        loop = self._rewriting.loop
        if loop is None:
            raise UnseenError("expected erasers that were attached with on_residual=, which alone asks what is left.")
        return loop, self._rewriting.acting(), self._erasers.wanted().keys

    def warm_up(self, max_sequence_length: int | None = None) -> None:
        """Pay now what the first prompt would pay: views of ordinary things, copies on the device.

        `max_sequence_length` is that of the calls to come, where they do not leave it to the pipeline.
        """
        self._require_attached()
        lengths = {call_length(pipe) for pipe in self._pipes if cannot_preview(pipe) is None}
        for length in lengths if max_sequence_length is None else {max_sequence_length}:
            self._rewritten(["a photo of a cat"], length)

    def explain(self, prompt: str, *, max_sequence_length: int | None = None) -> list[Firing]:
        """Which eraser fires on which tokens of `prompt`, how strongly; empty if the prompt would stay untouched.

        Tokens are those of `rewrite(prompt)`, with the same `max_sequence_length`.
        """
        self._require_attached()
        prompt = self.rewrite(prompt, max_sequence_length=max_sequence_length)
        with encoding_alone(self._pipes, [site.path.tokenizer for site in self._erasers.sites]):
            return [firing for site in self._erasers.sites for firing in self._fired_at(site, prompt)]

    def _fired_at(self, site: Site, prompt: str) -> list[Firing]:
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
        record = Record()
        with torch.no_grad(), during(EncodeCall(self, texts=(prompt,), watched=True, record=record)):
            run(encoder, inputs.input_ids.to(device), mask)
        return [
            Firing(a.eraser.name, a.eraser.layer, place, name, float(a.delta.activity[0, place]), site.path.name)
            for a in record.deltas
            for places in [a.delta.touched[0].nonzero()[:, 0].tolist()]
            for place, name in zip(places, token_names(a, 0, places), strict=True)
        ]

    def encode(
        self,
        prompts: str | Sequence[str],
        *,
        through: Callable[[str | Sequence[str]], Any] | None = None,
        **options: Any,
    ) -> Embeddings:
        """Embeddings that carry their proof: `pipe(**handle.encode(prompts))`, now, later, or in another process.

        Args:
            prompts: One prompt or several.
            through: Something else than the pipeline that encodes, with the same text encoder; prompt weighting for
                instance. It is given the rewritten prompts and returns a tensor, or several.
            options: For `pipe.encode_prompt`: `negative_prompt`, `max_sequence_length`, `do_classifier_free_guidance`
                (by default as there is a negative prompt or not).

        Raises:
            UnsupportedPipelineError: How the pipeline names what it encodes is not known; `pipe.encode_prompt` makes
                embeddings that this process knows.
            EraserBypassedError: `through` did not use the attached text encoder.
        """
        self._require_attached()
        pipe, given = self._pipes[0], prompts if isinstance(prompts, str) else list(prompts)
        with torch.no_grad():
            if through is not None:
                return self._encoded_through(given, through)
            if backbone_of(pipe) is None:
                raise UnsupportedPipelineError(
                    f"how {type(pipe).__name__} names its embeddings is not known. Call pipe.encode_prompt(...) while"
                    " the erasers are attached, and pass what it returns."
                )
            options.setdefault("do_classifier_free_guidance", options.get("negative_prompt") is not None)
            outputs = pipe.encode_prompt(given, **options)
        made = {"prompt_embeds": outputs[0], "negative_prompt_embeds": outputs[1]}
        return Embeddings({n: t for n, t in made.items() if t is not None}, self._erasers.wanted())

    def _encoded_through(self, prompts: str | list[str], through: Callable[[Any], Any]) -> Embeddings:
        assert self._guard is not None
        texts = [prompts] if isinstance(prompts, str) else prompts
        rewritten = [rewrite.text for rewrite in self._rewritten(texts)]
        record = Record()
        with encoding_alone(self._pipes), during(EncodeCall(self, texts=tuple(rewritten), record=record)):
            outputs = through(rewritten[0] if isinstance(prompts, str) else rewritten)
        if missed := sorted(self._erasers.layers.keys() - record.ran):
            raise EraserBypassedError(
                f"what was given as through= did not pass {layer_name(missed[0][1])} of the attached {missed[0][0]}."
                " Build it on the pipeline's own text encoder."
            )
        proof, tensors = self._erasers.wanted(), [t for t in tensors_in(outputs) if t.is_floating_point()]
        LEDGER.record(tensors, proof)
        names = ["prompt_embeds", "pooled_prompt_embeds", *(f"output_{n}" for n in range(2, len(tensors)))]
        return Embeddings(dict(zip(names, tensors, strict=False)), proof)

    def trust(self, embeddings: Any) -> None:
        """Let embeddings pass that no eraser has seen: you vouch that no concept is in them. It is logged.

        Args:
            embeddings: A tensor, or tensors in lists, tuples or dictionaries.
        """
        self._require_attached()
        tensors = list(tensors_in(embeddings))
        if not tensors or not all(t.is_floating_point() for t in tensors):
            raise ValueError("expected embeddings as floating-point tensors to trust, got none or others.")
        LEDGER.record(tensors, Proof(frozenset(self._erasers.wanted().keys), True, True))
        log.warning("embeddings that no eraser has seen were trusted (%d tensors)", len(tensors))
        self._watch.tell(event("trusted", self._erasers.wanted().keys, self._erasers.choice().request_id))

    def status(self) -> Status:
        """What is guarded, and what is not."""
        return Status(
            self.attached,
            tuple(type(pipe).__name__ for pipe in self._pipes),
            tuple(
                f"{eraser.name}: {site.path.name}, {layer_name(eraser.layer)}, γ = {strength:g}, {eraser.key}"
                for site in self._erasers.sites
                for eraser, strength in zip(site.erasers, site.strengths, strict=True)
            ),
            tuple(f"{baseline.method}: {baseline.names}" for baseline in self._baselines),
            self._rewriting.reason,
            "off" if self._rewriting.loop is None else self._rewriting.loop.on_residual,
            ("embeddings that did not pass the erasers", "replaced text encoders", "layers skipped past an eraser"),
            self._not_guarded,
        )

    def _require_attached(self) -> None:
        if not self.attached:
            raise UnseenError("these erasers were detached; attach them again.")
