"""Erasers for many concepts from one set of autoencoders.

The autoencoders are the costly part of a fit, and they do not depend on the concept: one bank, trained on the prompts
of all concepts, serves every one of them. Each concept then gets its own mask, layer, gate and strength, as alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from tqdm.auto import tqdm

from ..concept import Concept
from ..encoder.activations import BlockActivations
from ..pipelines import text_path
from ..prompts.writer import write_prompts
from .config import ClearConfig
from .eraser import ClearEraser
from .fitter import ClearFitter
from .sae import SaeBank, SaeTrainer
from .search_view import name_places

_SAMPLE = 32768
"""Tokens, over all concepts, that set mean, scale and first rows of the bank."""
_NAMED = 0.2
"""Share of a batch that stands in the concepts' names. In the fit of one concept its name is one token in twenty; with
ten concepts it would be one in two hundred, and a rare name would share its features with others."""


@torch.inference_mode(False)  # as `fit`
@torch.enable_grad()
def fit_many(
    pipe: Any,
    concepts: Sequence[Concept | str],
    *,
    config: ClearConfig | None = None,
    seed: int = 0,
    encoder: str | None = None,
    progress: bool = True,
) -> list[ClearEraser]:
    """Fit an eraser for each of `concepts`, in their order, cheaper than one by one.

    Arguments are those of `unseen.fit`. The activations of all concepts are held at once: per concept, blocks × tokens
    × d × 4 bytes.

    Raises:
        FitError: as `unseen.fit`, for the first concept that fails.
        ValueError: no concept, or two of one name.
    """
    asked = [Concept(concept) if isinstance(concept, str) else concept for concept in concepts]
    names = [concept.name for concept in asked]
    if not asked or len(set(names)) < len(names):
        raise ValueError(f"expected one or more concepts, each named once, got {names}.")
    config = config or ClearConfig()
    path = text_path(pipe, encoder, max_length=config.max_length)
    was_training = path.encoder.training
    path.encoder.eval()
    try:
        shared = time.perf_counter()
        fitters = [
            ClearFitter(path.tokenizer, path.encoder, concept, config, seed=seed, form=path.form, progress=False)
            for concept in asked
        ]
        read_prompts(fitters, progress=progress)
        bank = train_shared_bank(fitters, seed=seed, progress=progress)
        shared_each = (time.perf_counter() - shared) / len(fitters)
        erasers = []
        for fitter in tqdm(fitters, desc="erasers", disable=not progress):
            fitter.started = time.perf_counter() - shared_each
            erasers.append(fitter.finish(bank, *fitter.prefer(bank)))
        return erasers
    finally:
        path.encoder.train(was_training)


def read_prompts(fitters: Sequence[ClearFitter], *, progress: bool) -> None:
    """Write the prompts of all, so that those about other things are the same ones, and encode each of them once."""
    concepts = [fitter.concept for fitter in fitters]
    shared: dict[str, tuple[list[str], BlockActivations]] = {}  # by kind of concept, which decides on templates
    for place, fitter in enumerate(tqdm(fitters, desc="reading prompts", disable=not progress)):
        config, kind = fitter.config, fitter.concept.kind
        fitter.prompts = write_prompts(
            fitter.concept, seed=fitter.seed, pairs=config.pairs, retain=config.neutral, beside=concepts
        )
        fitter.stand_ins = fitters[0].stand_ins
        fitter.encode(shared.get(kind))
        if kind not in shared and any(concept.kind == kind for concept in concepts[place + 1 :]):
            others = [pair.negative for pair in fitter.prompts.pairs] + list(fitter.prompts.retain)
            texts = list(dict.fromkeys(others))
            places = [fitter.texts.index(text) for text in texts]
            shared[kind] = (texts, fitter.activations.in_order(places))


def train_shared_bank(fitters: Sequence[ClearFitter], *, seed: int, progress: bool) -> SaeBank:
    """One bank for all, every block weighted alike; its batches are spread evenly over the concepts."""
    config, generator = fitters[0].config, torch.Generator().manual_seed(seed)
    names = [name_places(fitter, held_out=False)[0] for fitter in fitters]

    def sample(count: int) -> torch.Tensor:
        share = -(-count // len(fitters))
        named = int(_NAMED * share)
        parts = []
        for fitter, name in zip(fitters, names, strict=True):
            for tokens, wanted in ((fitter.sae_tokens, share - named), (name, named)):
                chosen = tokens[torch.randint(len(tokens), (wanted,), generator=generator)]
                parts.append(fitter.activations.hidden[:, chosen])
        return torch.cat(parts, dim=1)

    steps = config.rounds * config.sae_steps
    trainer = SaeTrainer(
        sample(min(_SAMPLE, sum(len(fitter.sae_tokens) for fitter in fitters))),
        config.features,
        l1=config.l1,
        lr=config.lr,
        steps=steps,
        seed=seed,
        start_bias=config.start_bias,
    )
    batches: list[torch.Tensor] = []
    for _ in tqdm(range(steps), desc="autoencoders", disable=not progress):
        if not batches:  # several at once: many small reads take longer than a step
            tokens = sample(8 * config.batch)
            mixed = torch.randperm(tokens.shape[1], generator=generator)
            batches = [tokens[:, part] for part in mixed[: 8 * config.batch].split(config.batch)]
        trainer.step(batches.pop())
    return trainer.finish()
