"""Autoencoders and layer preferences, trained in turns (the paper's phases A and B)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .config import ClearConfig
from .costs import LayerCosts, layer_costs
from .data import FitData, subset
from .memory import SAMPLE_TOKENS
from .preferences import LayerPreferences
from .sae import SaeBank, SaeTrainer

_TOLD = 60  # how often a search tells of its progress


class Found(NamedTuple):
    """What a search has found."""

    bank: SaeBank
    """Autoencoders of the layers of the data that it comes with."""
    layer: int
    """The layer to edit."""
    candidates: tuple[int, ...]
    preferences: list[list[float]]
    """α of the candidates, at the start and after every round."""
    costs: LayerCosts | None
    """Of the candidates, in the last round."""


class Progress(NamedTuple):
    """How far a search has come."""

    step: int
    """Training steps of the autoencoders that are done."""
    steps: int
    """Those of the whole search."""
    layers: tuple[int, ...]
    """The candidates."""
    preferences: tuple[float, ...]
    """Their α so far, which sum to one."""


def search(
    data: FitData,
    config: ClearConfig,
    *,
    progress: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> Found:
    """Train the autoencoders of all layers (A) and the layer preferences (B) in turns.

    `on_progress` is called every few steps and after every round.
    """
    settings, generator = config.search, torch.Generator().manual_seed(data.seed)
    trainer = trainer_for(data, config, generator)
    preferences = preferences_for(data.layers, config, data.seed)
    costs: LayerCosts | None = None
    step, every = 0, max(1, config.sae.steps // _TOLD)

    def tell() -> None:
        if on_progress is not None:
            on_progress(Progress(step, config.sae.steps, tuple(data.layers), tuple(preferences.history[-1])))

    tell()
    with _bar(data, config.sae.steps, progress) as bar:
        for number in range(settings.rounds):
            for _ in range(number, config.sae.steps, settings.rounds):  # A: α fixed
                weights = None
                if settings.phase_a_weight and number >= settings.warm_up:
                    p = preferences.sample()[0].detach()
                    weights = 1 - settings.phase_a_weight + settings.phase_a_weight * len(p) * p
                trainer.step(training_batch(data, config, generator), weights)
                bar.update()
                step += 1
                if step % every == 0:
                    tell()
            if number >= settings.warm_up:  # B: autoencoders fixed
                costs = layer_costs(data, trainer.finish(), config, generator)
                preferences.learn(costs.total, steps=settings.steps)
                tell()
    return found(trainer.finish(), data.layers, config, preferences, costs)


def found(
    bank: SaeBank, layers: Sequence[int], config: ClearConfig, preferences: LayerPreferences, costs: LayerCosts | None
) -> Found:
    """What was found, at the configured layer or the preferred one."""
    fixed = config.search.layer
    layer = layers[preferences.best()] if fixed is None else fixed
    return Found(bank, layer, tuple(layers), preferences.history, costs)


def prefer(data: FitData, bank: SaeBank, config: ClearConfig) -> Found:
    """Learn the layer preferences on finished autoencoders: phase B of every round, with the same costs in each."""
    costs = layer_costs(data, bank, config, torch.Generator().manual_seed(data.seed))
    preferences = learned(data.layers, costs, config, data.seed)
    return found(bank, data.layers, config, preferences, costs)


def learned(layers: Sequence[int], costs: LayerCosts, config: ClearConfig, seed: int) -> LayerPreferences:
    """Layer preferences learned from costs that stay as they are."""
    preferences = preferences_for(layers, config, seed)
    for _ in range(preferences.rounds):
        preferences.learn(costs.total, steps=config.search.steps)
    return preferences


def preferences_for(layers: Sequence[int], config: ClearConfig, seed: int) -> LayerPreferences:
    """Layer preferences, not learned yet."""
    settings = config.search
    return LayerPreferences(
        len(layers),
        lr=settings.lr,
        tau_start=settings.tau_start,
        tau_end=settings.tau_end,
        rounds=settings.rounds - settings.warm_up,
        seed=seed,
    )


def trainer_for(data: FitData, config: ClearConfig, generator: torch.Generator) -> SaeTrainer:
    """A trainer for the autoencoders of the data's layers, not trained yet."""
    sample = data.hidden(subset(data.sae_tokens, SAMPLE_TOKENS, generator))
    return new_trainer(sample, config, data.seed)


def new_trainer(sample: Tensor, config: ClearConfig, seed: int) -> SaeTrainer:
    """A trainer whose autoencoders start from the states `sample` `[L, n, d]`."""
    sae = config.sae
    return SaeTrainer(
        sample,
        sae.num_features if sae.expansion is None else sae.expansion * sample.shape[-1],
        l1=sae.l1_coefficient,
        lr=sae.lr,
        steps=sae.steps,
        seed=seed,
        top_k=sae.top_k,
        start_bias=sae.start_bias,
    )


def training_batch(data: FitData, config: ClearConfig, generator: torch.Generator) -> Tensor:
    """States `[L, batch, d]` of random training tokens."""
    picked = torch.randint(len(data.sae_tokens), (config.sae.batch_size,), generator=generator)
    return data.hidden(data.sae_tokens[picked])


@contextmanager
def _bar(data: FitData, steps: int, progress: bool) -> Iterator[tqdm]:
    with tqdm(total=steps, desc=f"fit {data.concept.name}", disable=not progress) as bar:
        yield bar
