"""`unseen.attach`: the one door through which anything gets onto a pipeline."""

from __future__ import annotations

import inspect
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol
from weakref import WeakKeyDictionary

from torch import nn

from ..clear.eraser import ClearEraser
from ..clear.origin import model_of
from ..encoder.activations import PromptForm
from ..encoder.fingerprint import architecture, fingerprint
from ..encoder.layers import EMBEDDING, eager, layer_name, num_blocks, run_uncompiled
from ..errors import AlreadyAttachedError, UnguardedInputError, WrongEncoderError
from ..pipelines import ModularText, TextPath, adapted, text_encoders, text_path, text_paths
from .audit import AuditLog, Event, event
from .chokepoints.denoiser import readers_of_text, require_readers
from .chokepoints.guard import Guard
from .chokepoints.interception import Interceptor, intercept, uncut_class
from .chokepoints.readers import Readers
from .context.erasers import Erasers, Site
from .handle import Handle
from .rewriting.loop import ON_RESIDUAL, OnResidual
from .rewriting.paraphrase import can_preview
from .rewriting.prepare import Rewriting, rewriting_for
from .watch import Watch, heard_by, refused_by

log = logging.getLogger("unseen")
_OCCUPIED: WeakKeyDictionary[nn.Module, tuple[str, ...]] = WeakKeyDictionary()
"""Text encoders that carry erasers now, and of which concepts."""
_PICTURES = ("image", "images", "video", "conditions", "conditioning_frames", "controls")
"""How diffusers' pipelines end the names of the pictures that their calls take, such as `control_video`."""


class Baseline(Protocol):
    """A fitted baseline, which knows how to put itself on a pipeline."""

    @property
    def key(self) -> str:
        """Two with the same key do the same."""

    def put_on(self, pipe: Any, stack: ExitStack) -> Interceptor | Guard | None:
        """Enter into `stack` whatever else changes; return what comes between the pipeline and its encoding."""


def attach(
    pipe: Any,
    erasers: Sequence[ClearEraser | Baseline] | ClearEraser | Baseline,
    strengths: Sequence[float] | None = None,
    *,
    on_negative: bool = False,
    allow_image_input: bool = False,
    allow_unguarded_encoders: bool = False,
    allow_rounded_weights: bool = False,
    over_limit: Literal["refuse", "name_only"] = "refuse",
    on_residual: OnResidual | None = None,
    audit: str | Path | None = None,
    audit_prompts: bool = False,
    on_event: Callable[[Event], None] | None = None,
) -> Handle:
    """Attach erasers, or fitted baselines, to a pipeline; nothing is changed when an error is raised.

    Args:
        pipe: A diffusers pipeline, or several that share their text encoders. Wan and CogVideoX are known by name,
            others are watched as they encode a prompt.
        erasers: One or more erasers, each for the text encoder it was fitted on; those at the same layer all see the
            unedited hidden states. Or `FittedBaseline`s.
        strengths: One γ per eraser; default is each eraser's own.
        on_negative: Edit the negative prompt too. By default it stays, so that it may name the concept. (Pipelines that
            encode it in a call of its own, as FLUX does, do not tell it from a prompt, and it is always edited.)
        allow_image_input: Attach to a pipeline that takes an image or a video too, which no text eraser guards.
        allow_unguarded_encoders: Attach although the pipeline has another text encoder that gets no eraser.
        allow_rounded_weights: Attach to a copy of the text encoder whose weights were rounded (fp8, 4 bit) since the
            fit: same architecture, other numbers. How well the concept is erased there has to be looked at.
        over_limit: What happens to a prompt that raises more questions about what its words mean than a call should
            pay for: it is refused, or only names are erased in it.
        on_residual: Close the loop: ask the video model of each prompt, once erased, whether it still expects the
            concept, and take away the words that carry it. Says what happens where that does not suffice: the empty
            prompt is encoded instead ("erase"), the prompt is refused, or it passes and is logged ("warn").
        audit: Append a JSON line to this file for every encoded prompt: which erasers fired, on which tokens, how
            strongly. A prompt is named by its SHA-256.
        audit_prompts: Write the prompts themselves into the audit log and the events as well.
        on_event: Called with each such event, and with those of attaching, detaching and trusting.

    Returns:
        A `Handle`, also a context manager, with `detach()` and `explain(prompt)`.

    Raises:
        WrongEncoderError: An eraser was fitted on another text encoder.
        UnguardedInputError: The pipeline takes an image or a video, or reads the prompt through another text encoder
            too, and the argument that allows it was not given.
        UnsupportedPipelineError: The pipeline has no `encode_prompt`, or a denoiser that takes text in an unknown way,
            or a video model that cannot be asked although `on_residual` is given.
        OSError: The audit file cannot be written.
        AlreadyAttachedError: A text encoder carries erasers already.
        EraserBypassedError: Later, by the pipeline, when it is given text that the erasers have not seen.
        PromptTooLongError: Later, by the pipeline, for a prompt over the limit.
        ResidualConceptError: Later, by the pipeline, for a prompt that leads to a concept past the erasers.
    """
    if over_limit not in ("refuse", "name_only"):
        raise ValueError(f'expected over_limit "refuse" or "name_only", got {over_limit!r}.')
    if on_residual is not None and on_residual not in ON_RESIDUAL:
        raise ValueError(f'expected on_residual "erase", "refuse", "warn" or None, got {on_residual!r}.')
    pipes = [adapted(one) for one in (pipe if isinstance(pipe, list | tuple) else [pipe])]
    given: list[Any] = list(erasers) if isinstance(erasers, list | tuple) else [erasers]
    clear = [e for e in given if isinstance(e, ClearEraser)]
    baselines: list[Any] = [e for e in given if not isinstance(e, ClearEraser)]
    if not pipes or not given:
        raise ValueError("expected at least one pipeline and one eraser, got none.")
    if on_residual is not None and not clear:
        raise ValueError("expected erasers with on_residual, got baselines alone, which it does not ask about.")
    pairs = _with_strengths(clear, strengths)
    sites = _sites(pipes, pairs, allow_unguarded_encoders, allow_rounded_weights) if clear else []
    not_guarded = sorted({name for one in pipes for name in unguarded_inputs(one)})
    if clear and not_guarded and not allow_image_input:
        raise UnguardedInputError(
            f"{type(pipes[0]).__name__} also takes {' and '.join(not_guarded)}, which an eraser on the text encoder"
            " cannot guard. Pass allow_image_input=True if every such input is known to be free of the concept."
        )
    mentions = any(eraser.mentions for eraser in clear) and any(can_preview(one) is None for one in pipes)
    every = Erasers(sites, rewritten=mentions, settled=on_residual is not None)
    rewriting = rewriting_for(pipes, clear, every, over_limit, on_residual)
    watch = Watch(None if audit is None else AuditLog(audit), audit_prompts, on_event)
    with ExitStack() as stack:
        guard = None
        for one in pipes:
            if isinstance(one, ModularText):
                stack.callback(one.enter())
        if clear:
            by_name = {site.path.name: site for site in sites}
            edits = {(name, layer): every.edit(by_name[name], layer) for name, layer in every.layers}
            guard = Guard(
                [site.path for site in sites],
                edits,
                every.wanted,
                on_negative=on_negative,
                rewriting=rewriting if rewriting.on else None,
                heard=heard_by(watch, every) if watch.on else None,
                refused=refused_by(watch, every),
            )
            _install(stack, pipes, guard, {s.path.encoder: tuple(e.name for e in s.erasers) for s in sites})
        for baseline in baselines:
            for one in pipes:
                between = baseline.put_on(one, stack)
                if isinstance(between, Guard):
                    _install(stack, [one], between, {})
                elif between is not None:
                    stack.callback(intercept(one, between))
        watch.tell(event("attached", [e.key for e in given]))
        undo = stack.pop_all().close
    return Handle(pipes, every, guard, watch, rewriting, baselines, not_guarded, undo)


def guard_encoder(
    tokenizer: Any,
    encoder: nn.Module,
    erasers: Sequence[ClearEraser] | ClearEraser,
    strengths: Sequence[float] | None = None,
    **watching: Any,
) -> Handle:
    """Attach erasers to a text encoder that lives in a process of its own, without a pipeline.

    Every pass is edited, negative prompts too, and paraphrases are not looked for: there is no video model to ask, and
    no pipeline whose embeddings could be refused. `watching` are `audit`, `audit_prompts` and `on_event` of
    `unseen.attach`. Raises what `unseen.attach` raises.
    """
    given = [erasers] if isinstance(erasers, ClearEraser) else list(erasers)
    path = text_path((tokenizer, eager(encoder)))
    pairs = _with_strengths(given, strengths)
    _refuse_occupied([path])
    sites = _fitting([path], pairs, allow_unguarded=False, allow_rounded=False)
    every = Erasers(sites, rewritten=False)
    reason = "off: a text encoder alone has no video model that could be asked what words mean"
    if any(eraser.mentions for eraser in given):
        log.warning("paraphrases will not be erased: %s", reason.removeprefix("off: "))
    audit = watching.pop("audit", None)
    watch = Watch(
        None if audit is None else AuditLog(audit), watching.pop("audit_prompts", False), watching.pop("on_event", None)
    )
    if watching:
        raise TypeError(f"guard_encoder got an unexpected argument {next(iter(watching))!r}.")
    guard = Guard([path], {place: every.edit(sites[0], place[1]) for place in every.layers}, every.wanted)
    with ExitStack() as stack:
        _install(stack, [], guard, {path.encoder: tuple(e.name for e in given)})
        undo = stack.pop_all().close
    return Handle([], every, guard, watch, Rewriting(None, every, reason), [], [], undo)


def _install(stack: ExitStack, pipes: Sequence[Any], guard: Guard, concepts: dict[nn.Module, tuple[str, ...]]) -> None:
    """Put a guard on text encoders, denoisers and pipelines; `stack` takes it off again."""
    for path in guard.paths:
        stack.callback(run_uncompiled(path.encoder))
        for pipe in pipes:
            one = pipe.pipe if isinstance(pipe, ModularText) else pipe
            compiled = getattr(one, path.name)
            if compiled is not path.encoder:  # a compiled encoder would not see the hooks
                object.__setattr__(one, path.name, path.encoder)
                stack.callback(partial(object.__setattr__, one, path.name, compiled))
        stack.callback(guard.install(path))
    readers = Readers(guard)
    stack.callback(readers.release)
    for one in pipes:
        require_readers(one, readers_of_text(one, list(guard.encoders)))
        readers.sync(one)
        stack.callback(intercept(one, guard))
    guard.before.append(readers.sync)
    for encoder, names in concepts.items():
        _OCCUPIED[encoder] = names
        stack.callback(partial(_OCCUPIED.pop, encoder, None))


def _with_strengths(
    erasers: Sequence[ClearEraser], strengths: Sequence[float] | None
) -> list[tuple[ClearEraser, float]]:
    chosen = [eraser.strength for eraser in erasers] if strengths is None else list(strengths)
    fine = [isinstance(s, int | float) and not isinstance(s, bool) and 0 <= s < float("inf") for s in chosen]
    if len(chosen) != len(erasers) or not all(fine):
        raise ValueError(f"expected {len(erasers)} finite strengths ≥ 0, one per eraser, got {chosen}.")
    return list(zip(erasers, chosen, strict=True))


def _refuse_occupied(paths: Iterable[TextPath]) -> None:
    for path in paths:
        present = _OCCUPIED.get(path.encoder)
        if present is not None:
            raise AlreadyAttachedError(
                f"erasers for {', '.join(present)} are attached to this {path.name} already. Detach them first, or"
                " attach all in one call; several pipelines with the same encoder go into one list."
            )


def _sites(
    pipes: Sequence[Any],
    erasers: Sequence[tuple[ClearEraser, float]],
    allow_unguarded: bool,
    allow_rounded: bool,
) -> list[Site]:
    """The erasers by the text encoder that each was fitted on, which all pipelines share."""
    names = text_encoders(pipes[0])
    _refuse_occupied(TextPath(n, None, eager(getattr(pipes[0], n)), PromptForm()) for n in names)
    sites = _fitting(text_paths(pipes[0]), erasers, allow_unguarded, allow_rounded)
    for other in pipes[1:]:
        for site in sites:
            if eager(getattr(other, site.path.name, None) or nn.Identity()) is not site.path.encoder:
                raise WrongEncoderError(
                    f"expected pipelines that share their text encoders, but the {site.path.name} of"
                    f" {type(other).__name__} is another object. Attach to that pipeline in a call of its own."
                )
    return sites


def _fitting(
    paths: Sequence[TextPath],
    erasers: Sequence[tuple[ClearEraser, float]],
    allow_unguarded: bool,
    allow_rounded: bool,
) -> list[Site]:
    marks = [fingerprint(path.encoder) for path in paths]
    shapes = [architecture(path.encoder) for path in paths]
    here: list[list[tuple[ClearEraser, float]]] = [[] for _ in paths]
    for eraser, strength in erasers:
        alike = [n for n, shape in enumerate(shapes) if eraser.encoder_architecture == shape]
        places = [n for n, mark in enumerate(marks) if mark == eraser.encoder_fingerprint]
        places = places or (alike if allow_rounded else [])
        places = [n for n in places if EMBEDDING <= eraser.layer < _depth(paths[n])]
        if not places:
            present = ", ".join(
                f"{mark[:12]} ({type(path.encoder).__name__}, {_depth(path)} blocks)"
                for path, mark in zip(paths, marks, strict=True)
            )
            advice = "Fit the concept on this pipeline."
            if alike:
                advice = (
                    f"The {paths[alike[0]].name} has the same architecture with other numbers: a rounded copy (fp8, 4"
                    " bit), or fine-tuned. Fit the concept on this copy, or pass allow_rounded_weights=True and look at"
                    " what it erases."
                )
            model = model_of(eraser.report)
            raise WrongEncoderError(
                f"the eraser for {eraser.name!r} was fitted on the text encoder {eraser.encoder_fingerprint[:12]}"
                f"{f' of {model}' if model else ''}, this pipeline has {present or 'none'}. {advice}"
            )
        for place in places:
            _require_whole(paths[place], eraser)
            here[place].append((eraser, strength))
    sites = []
    for path, own in zip(paths, here, strict=True):
        twice = [name for name, count in Counter(e.name.casefold() for e, _ in own).items() if count > 1]
        if twice:
            raise ValueError(
                f"expected one eraser per concept at the {path.name}, got several for {twice[0]!r}. Attach one of them"
                " with a larger strength."
            )
        missing = sorted({e.name for e, _ in erasers} - {e.name for e, _ in own})
        if missing and not allow_unguarded:
            raise UnguardedInputError(
                f"the pipeline also reads prompts through its {path.name}, where no eraser for {', '.join(missing)} was"
                f" given. Fit one with unseen.fit(pipe, ..., encoder={path.name!r}) and attach all in one call, or pass"
                " allow_unguarded_encoders=True."
            )
        if own:
            sites.append(Site(path, tuple(e for e, _ in own), tuple(s for _, s in own)))
    return sites


def _require_whole(path: TextPath, eraser: ClearEraser) -> None:
    """Refuse an eraser that acts behind states that the pipeline hands on too."""
    whole = path.form.whole
    if whole is not None and eraser.layer > whole:
        raise UnguardedInputError(
            f"the pipeline hands on states of the {path.name} from before {layer_name(eraser.layer)} too, where the"
            f" eraser for {eraser.name!r} acts, and the concept would stay in those. Fit it on this pipeline, which"
            f" takes care of it, or with search.layer at most {whole} ({layer_name(whole)})."
        )


def _depth(path: TextPath) -> int:
    return path.form.blocks or num_blocks(path.encoder)


def unguarded_inputs(pipe: Any) -> list[str]:
    """What the pipeline's call takes beside text: images, videos, and an image prompt where there is a model for it."""
    parameters = getattr(pipe, "call_inputs", None) or inspect.signature(uncut_class(pipe).__call__).parameters
    other = ("num_", "ip_adapter_", "negative_ip_adapter_")
    found = [name for name in parameters if name.endswith(_PICTURES) and not name.startswith(other)]
    if "ip_adapter_image" in parameters and getattr(pipe, "image_encoder", None) is not None:
        found.append("ip_adapter_image")
    return found
