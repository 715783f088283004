"""Fits for an evaluation: the eraser, and a control that removes as many random features at the same block."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from unseen.bench.run import Method, erased_by
from unseen.clear.config import ClearConfig
from unseen.clear.data import FitData
from unseen.clear.eraser import ClearEraser
from unseen.clear.fit import finish, fitting, learn
from unseen.clear.origin import origin
from unseen.clear.search import Found
from unseen.clear.select import select
from unseen.concept import Concept


class Fitted(NamedTuple):
    """An eraser as an evaluation uses it."""

    concept: Concept
    eraser: ClearEraser
    control: ClearEraser
    """Random active features in place of the concept's own, as many, at the same block and strength, always on."""
    folder: Path
    """Where the eraser lies."""

    @property
    def seconds(self) -> float:
        """How long the fit took."""
        return float(self.eraser.report["seconds"])

    @property
    def kilobytes(self) -> float:
        """Size of the eraser's files, in thousands of bytes."""
        return sum(file.stat().st_size for file in self.folder.iterdir()) / 1000

    @property
    def method(self) -> Method:
        """The eraser as a method, "after" in tables."""
        return erased_by("after", self.eraser)

    @property
    def random_method(self) -> Method:
        """The control as a method."""
        return erased_by("random features", self.control)


def fit_with_control(
    pipe: Any, concept: Concept, config: ClearConfig, *, seed: int = 0, progress: bool = True
) -> tuple[ClearEraser, ClearEraser]:
    """`unseen.fit`, and the control of random features: active on the concept's prompts, and not the eraser's own."""
    started = time.perf_counter()
    with fitting(pipe, None, config) as path:
        data, found = learn(path, concept, config, seed=seed, progress=progress)
        eraser = finish(data, found, config, started=started, origin=origin(pipe, path.encoder, config))
        mask = _random_mask(data, found, eraser, config, torch.Generator().manual_seed(seed))
        bank = found.bank.of_layer(data.place_of(eraser.layer))
        control = select(data, bank, eraser.layer, config.with_options({"edit.gate": False}), mask=mask)
    return eraser, control.with_strength(eraser.strength)


def _random_mask(
    data: FitData, found: Found, eraser: ClearEraser, config: ClearConfig, generator: torch.Generator
) -> Tensor:
    """As many random features `[m]` as the eraser has, that are active on positives and are not its own."""
    bank = found.bank.of_layer(data.place_of(eraser.layer))
    tokens = data.tokens_of(data.positive & ~data.held_out)
    active = (bank.encode(data.hidden_at(eraser.layer, tokens)[None])[0] > 0).float()
    own = (bank.W_dec[0] @ eraser.W_dec.T.to(bank.W_dec.device) > 1 - 1e-5).any(dim=1)  # decoder rows have unit norm
    candidates = ((active.mean(dim=0) > config.edit.min_rate) & ~own).nonzero()[:, 0].cpu()
    chosen = candidates[torch.randperm(len(candidates), generator=generator)[: eraser.num_features]]
    return torch.zeros(bank.num_features).index_fill(0, chosen, 1.0)
