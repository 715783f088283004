"""A search whose candidate layers do not fit into memory together: group after group, then the chosen layer alone.

Within a group every layer gets the same share of the training, since the preferences can only be learned when the costs
of all layers are known; then they are learned as in a joint search, on the finished autoencoders.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tqdm.auto import tqdm

from ..concept import Concept
from ..prompts.writer import FitPrompts
from .config import ClearConfig
from .costs import LayerCosts
from .data import FitData, Source, read
from .memory import fit_memory, shape_of
from .sae import SaeBank, SaeTrainer
from .search import Found, LayerPreferences, found, layer_costs


def group_size(source: Source, config: ClearConfig) -> int:
    """How many layers may be trained together within the memory budget; all without one.

    Raises `FitError` where there is no room for one.
    """
    if config.memory_budget is None:
        return len(source.candidates)
    shape = shape_of(source.path.encoder)
    needs = fit_memory(config, source.path.form, layers=len(source.candidates), **shape)
    return needs.group_within(int(config.memory_budget * 1e9))


def search_in_groups(
    source: Source, concept: Concept, prompts: FitPrompts, config: ClearConfig, seed: int, group: int, *, progress: bool
) -> tuple[FitData, Found]:
    """Data and search with at most `group` layers in memory at a time; the data are those of the chosen layer."""
    layers, generator = source.candidates, torch.Generator().manual_seed(seed)
    parts: list[LayerCosts] = []
    banks: dict[int, SaeBank] = {}
    rounds = -(-len(layers) // group)
    with tqdm(total=rounds * config.sae.steps, desc=f"fit {concept.name}", disable=not progress) as bar:
        for start in range(0, len(layers), group):
            data = read(source, concept, prompts, config, seed, layers[start : start + group])
            trainer = SaeTrainer(data.sample(generator), config.sae, seed=seed)
            for _ in range(config.sae.steps):
                trainer.step(data.batch(config.sae.batch_size, generator))
                bar.update()
            bank = trainer.finish()
            banks.update({layer: bank.layers[place] for place, layer in enumerate(data.layers)})
            parts.append(layer_costs(data, bank, config, generator))
            del data, trainer  # before the next group is read
    costs = LayerCosts(
        torch.cat([part.total for part in parts]),
        {name: torch.cat([part.parts[name] for part in parts]) for name in parts[0].parts},
    )
    chosen = learned(bank, layers, costs, config, seed)
    data = read(source, concept, prompts, config, seed, [chosen.layer])
    return data, chosen._replace(bank=banks[chosen.layer])


def learned(bank: SaeBank, layers: Sequence[int], costs: LayerCosts, config: ClearConfig, seed: int) -> Found:
    """What is found on finished autoencoders: phase B of every round, with the same costs in each."""
    preferences = LayerPreferences(len(layers), config.search, seed)
    for _ in range(config.search.warm_up, config.search.rounds):
        preferences.learn(costs.total)
    return found(bank, layers, config, preferences, costs)
