"""A fit whose candidate blocks do not fit into memory together: group after group, then the chosen block alone.

Within a group every block gets the same share of the training, since the preferences can only be learned when the costs
of all blocks are known; then they are learned as in a joint fit, on the finished autoencoders.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from tqdm.auto import tqdm

from .layer_search import LayerCosts, LayerPreferences
from .sae import SaeBank

if TYPE_CHECKING:
    from unseen.clear.eraser import ClearEraser
    from .fitter import ClearFitter


def fit_in_groups(fitter: ClearFitter, group: int) -> ClearEraser:
    """The fit with at most `group` blocks in memory at a time."""
    layers, config = list(fitter.searched), fitter.config
    found: list[LayerCosts] = []
    banks: list[SaeBank] = []
    steps = config.rounds * config.sae_steps
    bar = tqdm(total=-(-len(layers) // group) * steps, desc=f"fit {fitter.concept.name}", disable=not fitter.progress)
    with bar:
        for start in range(0, len(layers), group):
            fitter.narrow(layers[start : start + group])
            fitter.encode()
            trainer = fitter.trainer()
            for _ in range(steps):
                trainer.step(fitter.training_batch())
                bar.update()
            banks.append(trainer.finish())
            found.append(fitter.layer_costs(banks[-1]))
    costs = LayerCosts(
        torch.cat([part.total for part in found]),
        {name: torch.cat([part.parts[name] for part in found]) for name in found[0].parts},
    )
    preferences: LayerPreferences = fitter.preferences()
    for _ in range(preferences.rounds):
        preferences.learn(costs.total, steps=config.alpha_steps)
    layer = config.layer if config.layer is not None else layers[preferences.best()]
    place = layers.index(layer)
    bank = banks[place // group].of_layer(place % group)
    fitter.narrow([layer])
    fitter.encode()
    return fitter.finish(bank, preferences, [costs])
