"""Autoencoders and layer preferences α, trained in turns (the paper's phases A and B)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from .config import ClearConfig, SearchConfig
from .costs import LayerCosts, search_view
from .criteria import CRITERIA
from .data import FitData
from .gradients import Adam
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


class LayerPreferences:
    """The learned `α` (as logits `log α`) with an annealed temperature and a record of its path.

    They are learned by Gumbel-Softmax against a cost per layer.
    """

    def __init__(self, layers: int, settings: SearchConfig, seed: int = 0):
        self.log_alpha = torch.zeros(layers, requires_grad=True)
        self.optimizer = Adam([self.log_alpha], lr=settings.lr)
        self.generator = torch.Generator().manual_seed(seed)
        self.settings, self.round = settings, 0
        self.history: list[list[float]] = [self.alpha().tolist()]

    @property
    def tau(self) -> float:
        """Temperature of the current round; falls geometrically from `tau_start` to `tau_end`."""
        settings = self.settings
        progress = min(1.0, self.round / max(1, settings.rounds - settings.warm_up - 1))
        return settings.tau_start * (settings.tau_end / settings.tau_start) ** progress

    def alpha(self) -> Tensor:
        """Preferences `[L]`, normalised to sum to one."""
        return self.log_alpha.detach().softmax(dim=0)

    def best(self) -> int:
        """`l* = argmax α`."""
        return int(self.log_alpha.argmax())

    def sample(self, count: int = 1) -> Tensor:
        """Relaxed one-hot samples `p = softmax((log α + Gumbel noise)/τ)`, `[count, L]`."""
        uniform = torch.rand(count, len(self.log_alpha), generator=self.generator).clamp(1e-9, 1 - 1e-7)
        return ((self.log_alpha - (-uniform.log()).log()) / self.tau).softmax(dim=-1)

    def learn(self, costs: Tensor) -> None:
        """Phase B of a round: lower `E Σ_l p_l cost_l` for fixed `costs` `[L]`, then record α and cool down."""
        for _ in range(self.settings.steps):
            loss = (self.sample(32) * costs).sum(dim=-1).mean()
            with torch.no_grad():
                self.optimizer.step(torch.autograd.grad(loss, [self.log_alpha]))
        self.history.append(self.alpha().tolist())
        self.round += 1


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
    settings, steps, generator = config.search, config.sae.steps, torch.Generator().manual_seed(data.seed)
    trainer = SaeTrainer(data.sample(generator), config.sae, seed=data.seed)
    preferences = LayerPreferences(len(data.layers), settings, data.seed)
    costs: LayerCosts | None = None
    step, every = 0, max(1, steps // _TOLD)

    def tell() -> None:
        if on_progress is not None:
            on_progress(Progress(step, steps, data.layers, tuple(preferences.history[-1])))

    tell()
    with tqdm(total=steps, desc=f"fit {data.concept.name}", disable=not progress) as bar:
        for number in range(settings.rounds):
            for _ in range(number, steps, settings.rounds):  # A: α fixed
                weights = None
                if settings.phase_a_weight and number >= settings.warm_up:
                    p = preferences.sample()[0].detach()
                    weights = 1 - settings.phase_a_weight + settings.phase_a_weight * len(p) * p
                trainer.step(data.batch(config.sae.batch_size, generator), weights)
                bar.update()
                step += 1
                if step % every == 0:
                    tell()
            if number >= settings.warm_up:  # B: autoencoders fixed
                costs = layer_costs(data, trainer.finish(), config, generator)
                preferences.learn(costs.total)
                tell()
    return found(trainer.finish(), data.layers, config, preferences, costs)


def layer_costs(data: FitData, bank: SaeBank, config: ClearConfig, generator: torch.Generator) -> LayerCosts:
    """Cost of each layer of `data` by the configured criterion, with the bank as it stands; on the CPU."""
    costs = CRITERIA[config.search.criterion](search_view(data, bank, config, generator))
    return LayerCosts(costs.total.cpu(), {name: part.cpu() for name, part in costs.parts.items()})


def found(
    bank: SaeBank, layers: Sequence[int], config: ClearConfig, preferences: LayerPreferences, costs: LayerCosts | None
) -> Found:
    """What was found, at the configured layer or the preferred one."""
    fixed = config.search.layer
    layer = layers[preferences.best()] if fixed is None else fixed
    return Found(bank, layer, tuple(layers), preferences.history, costs)
