"""Erasers for many concepts from one set of autoencoders.

The autoencoders are the costly part of a fit, and they do not depend on the concept: one bank, trained on the prompts
of all concepts, serves every one of them. Each concept then gets its own mask, layer, gate and strength, as alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..concept import Concept
from ..prompts.pack import ConceptPack
from .config import ClearConfig
from .data import FitData, Source, encode, source_of, view
from .eraser import ClearEraser
from .fit import concept_of, finish, fitting, written
from .groups import learned
from .origin import origin
from .sae import SAMPLE_TOKENS, SaeBank, SaeTrainer, ordinary_tokens
from .search import layer_costs
from .verdict import announce

_NAMED = 0.2
"""Share of a batch that stands in the concepts' names. In the fit of one concept its name is one token in twenty; with
ten concepts it would be one in two hundred, and a rare name would share its features with others."""


def fit_many(
    pipe: Any,
    concepts: Sequence[Concept | ConceptPack | str],
    *,
    config: ClearConfig | None = None,
    seed: int = 0,
    encoder: str | None = None,
    strict: bool = False,
    progress: bool = True,
) -> list[ClearEraser]:
    """Fit an eraser for each of `concepts`, in their order, cheaper than one by one.

    Arguments are those of `unseen.fit`. The states of all concepts' prompts are held at once, of each prompt once: per
    concept, layers × tokens × d numbers.

    Raises:
        FitError: as `unseen.fit`, for the first concept that fails.
        ValueError: no concept, two of one name, or a memory budget, which cannot be kept.
    """
    asked = [Concept(concept) if isinstance(concept, str) else concept for concept in concepts]
    names = [concept_of(concept).name for concept in asked]
    if not asked or len(set(names)) < len(names):
        raise ValueError(f"expected one or more concepts, each named once, got {names}.")
    config = config or ClearConfig()
    if config.memory_budget is not None:
        raise ValueError(
            "expected no memory_budget, since fit_many holds the states of all layers and concepts at once; fit them"
            " one by one, or leave it out."
        )
    with fitting(pipe, encoder, config) as path:
        started = time.perf_counter()
        data = read_together(source_of(path, config), asked, config, seed)
        bank = train_together(data, config, seed=seed, progress=progress)
        shared = (time.perf_counter() - started) / len(asked)
        erasers = []
        for own in tqdm(data, desc="erasers", disable=not progress):
            started = time.perf_counter() - shared
            costs = layer_costs(own, bank, config, torch.Generator().manual_seed(seed))
            found = learned(bank, own.layers, costs, config, seed)
            erasers.append(finish(own, found, config, started=started, origin=origin(pipe, path.encoder, config)))
    for eraser in erasers:
        announce(eraser.name, eraser.report["verdict"], strict=strict)
    return erasers


def read_together(
    source: Source, asked: Sequence[Concept | ConceptPack], config: ClearConfig, seed: int
) -> list[FitData]:
    """The data of all concepts, whose prompts about other things are the same ones; each prompt is encoded once."""
    concepts = [concept_of(concept) for concept in asked]
    all_prompts = [written(source.path, concept, config, seed, beside=concepts) for concept in asked]
    place = {text: number for number, text in enumerate(dict.fromkeys(t for p in all_prompts for t in p.texts))}
    states = encode(source, tuple(place), config, source.candidates)
    ordinary = ordinary_tokens(states.hidden).cpu()
    data = []
    for concept, prompts in zip(concepts, all_prompts, strict=True):
        places = torch.tensor([place[text] for text in prompts.texts])
        data.append(view(source, concept, prompts, config, seed, source.candidates, states, ordinary, places))
    return data


def train_together(data: Sequence[FitData], config: ClearConfig, *, seed: int, progress: bool) -> SaeBank:
    """One bank for all, every layer weighted alike; its batches are spread evenly over the concepts."""
    generator = torch.Generator().manual_seed(seed)
    names = [own.name_tokens(~own.held_out)[0] for own in data]

    def sample(count: int) -> Tensor:
        """States `[L, about count, d]`."""
        share = -(-count // len(data))
        named = int(_NAMED * share)
        places = []
        for own, name in zip(data, names, strict=True):
            for tokens, wanted in ((own.sae_tokens, share - named), (name, named)):
                places.append(own.where[tokens[torch.randint(len(tokens), (wanted,), generator=generator)]])
        return data[0].states.hidden[:, torch.cat(places)]

    available = sum(len(own.sae_tokens) for own in data)
    trainer = SaeTrainer(sample(min(SAMPLE_TOKENS, available)), config.sae, seed=seed)
    batches: list[Tensor] = []
    for _ in tqdm(range(config.sae.steps), desc="autoencoders", disable=not progress):
        if not batches:  # several at once: many small reads take longer than a step
            tokens = sample(8 * config.sae.batch_size)
            mixed = torch.randperm(tokens.shape[1], generator=generator)
            batches = [tokens[:, part] for part in mixed[: 8 * config.sae.batch_size].split(config.sae.batch_size)]
        trainer.step(batches.pop())
    return trainer.finish()
