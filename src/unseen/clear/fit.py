"""`unseen.fit`: one call from a pipeline and a concept to an eraser, in the order of the paper."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch

from ..concept import Concept, PromptPair
from ..encoder.layers import run_uncompiled
from ..errors import FitError
from ..pipelines import TextPath, text_path
from ..prompts.check import readable_pack, require_sound
from ..prompts.pack import ConceptPack
from ..prompts.writer import FitPrompts, write_prompts
from .config import ClearConfig
from .data import FitData, read, source_of
from .eraser import ClearEraser
from .groups import group_size, search_in_groups
from .origin import origin
from .report import describe
from .search import Found, Progress, search
from .select import choose_strength, replace_concept, select
from .verdict import announce

FIT_VERSION = 2
"""Goes up whenever the same arguments give another eraser, so that one from an earlier version is not taken for it."""


def fit(
    pipe: Any,
    concept: Concept | ConceptPack | str,
    *,
    config: ClearConfig | None = None,
    seed: int = 0,
    pairs: Sequence[PromptPair] | None = None,
    retain: Sequence[str] = (),
    encoder: str | None = None,
    strict: bool = False,
    progress: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
) -> ClearEraser:
    """Fit an eraser for `concept`.

    Args:
        pipe: A diffusers pipeline, or the pair `(tokenizer, encoder)`. Only the text encoder is used; transformer and
            VAE need not be loaded.
        concept: What to erase; a string means `Concept(string)`, and a pack (`unseen.load_pack`) also says how prompts
            about it are put.
        config: Settings; default `ClearConfig()`, the published method is `ClearConfig.paper()`.
        seed: Seed of prompts, autoencoders and layer search.
        pairs: Your own prompt pairs (see `load_pairs`). If they are few, written ones are added, with a warning.
        retain: Prompts of your own that are to stay as they are (see `load_prompts`), beside those that are written.
        encoder: Which text encoder, where a pipeline has several (see `unseen.text_encoders`): each needs an eraser.
        strict: Raise where the fit did not work by its held-out pairs; otherwise `FitWarning` says so.
        progress: Show a progress bar.
        on_progress: Called while autoencoders and layer preferences are trained, with how far they have come; what it
            raises ends the fit. Not where a memory budget makes the fit train layers in groups.

    Returns:
        A frozen `ClearEraser`; `eraser.report` says how the fit went, and `report["verdict"]` whether it worked.

    Raises:
        FitError: Too few pairs, no feature specific to the concept, or a fit that did not work and `strict`.
        UnsupportedPipelineError: The pipeline has no text encoder, or several and `encoder` names none of them.
    """
    config = config or ClearConfig()
    concept = Concept(concept) if isinstance(concept, str) else concept
    started = time.perf_counter()
    with fitting(pipe, encoder, config) as path:
        data, found = learn(
            path, concept, config, seed=seed, pairs=pairs, retain=retain, progress=progress, on_progress=on_progress
        )
        eraser = finish(data, found, config, started=started, origin=origin(pipe, path.encoder, config))
    announce(eraser.name, eraser.report["verdict"], strict=strict)
    return eraser


def learn(
    path: TextPath,
    concept: Concept | ConceptPack,
    config: ClearConfig,
    *,
    seed: int = 0,
    pairs: Sequence[PromptPair] | None = None,
    retain: Sequence[str] = (),
    progress: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> tuple[FitData, Found]:
    """The first half of a fit: prompts to states, states to autoencoders and a layer."""
    source = source_of(path, config)
    prompts = written(path, concept, config, seed, pairs=pairs, retain=retain)
    concept = concept_of(concept)
    group = group_size(source, config)
    if group < len(source.candidates):
        return search_in_groups(source, concept, prompts, config, seed, group, progress=progress)
    data = read(source, concept, prompts, config, seed, source.candidates)
    return data, search(data, config, progress=progress, on_progress=on_progress)


def written(
    path: TextPath,
    concept: Concept | ConceptPack,
    config: ClearConfig,
    seed: int,
    *,
    pairs: Sequence[PromptPair] | None = None,
    retain: Sequence[str] = (),
    beside: Sequence[Concept] = (),
) -> FitPrompts:
    """The prompts of a fit, looked at before anything is trained.

    Raises `FitError` where they make no sense, or held-out pairs would leave too few to train on, and warns of what
    may be meant.
    """
    if isinstance(concept, ConceptPack):
        concept = readable_pack(concept, path.tokenizer)
    prompts = write_prompts(
        concept,
        seed=seed,
        pairs=config.prompts.pairs,
        retain=config.prompts.retain,
        user_pairs=pairs,
        user_retain=retain,
        held_out=config.prompts.held_out,
        beside=beside,
    )
    require_sound(prompts, concept_of(concept), path.tokenizer)
    least = 2 * config.prompts.held_out
    if len(prompts.pairs) < least:
        raise FitError(
            f"expected at least {least} prompt pairs (twice prompts.held_out), got {len(prompts.pairs)}. Give more, or"
            " lower prompts.held_out."
        )
    return prompts


def concept_of(concept: Concept | ConceptPack) -> Concept:
    """The concept itself, without what a pack says beside it."""
    return concept.concept if isinstance(concept, ConceptPack) else concept


def finish(data: FitData, found: Found, config: ClearConfig, *, started: float, origin: dict[str, Any]) -> ClearEraser:
    """The second half: features, gate, strength and a report, which says how long ago the fit `started`, and its
    `origin`."""
    eraser = select(data, found.bank.layers[data.place_of(found.layer)], found.layer, config)
    eraser, trials = choose_strength(data, eraser, config.edit)
    eraser = replace(replace_concept(data, eraser, config.edit), mentions=config.edit.mentions)
    report = {**describe(data, found, eraser, trials), "origin": origin}
    return replace(eraser, report={**report, "seconds": round(time.perf_counter() - started, 2)})


@contextmanager
def fitting(pipe: Any, encoder: str | None, config: ClearConfig) -> Iterator[TextPath]:
    """How prompts reach the text encoder, which runs as written and without dropout meanwhile."""
    path = text_path(pipe, encoder, max_length=config.prompts.max_length)
    was_training = path.encoder.training
    path.encoder.eval()
    undo = run_uncompiled(path.encoder)
    try:
        # The autoencoders are trained by autograd, which the caller may have switched off.
        with torch.inference_mode(False), torch.enable_grad():
            yield path
    finally:
        undo()
        path.encoder.train(was_training)
