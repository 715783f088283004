"""Fits for an evaluation: the eraser, and a control that removes as many random features at the same block."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import unseen
from unseen.bench.run import Method
from unseen.clear.config import ClearConfig
from unseen.clear.eraser import ClearEraser
from unseen.clear.fitter import ClearFitter
from unseen.clear.layer_search import LayerCosts, LayerPreferences
from unseen.clear.sae import SaeBank
from unseen.clear.specificity import Activity
from unseen.concept import Concept
from unseen.pipelines import text_path


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
        return Method("after", self.eraser.key, partial(unseen.attach, erasers=self.eraser))

    @property
    def random_method(self) -> Method:
        """The control as a method."""
        return Method("random features", self.control.key, partial(unseen.attach, erasers=self.control))


class _BankKeepingFitter(ClearFitter):
    """A fit that keeps its autoencoders, so that the control needs no second fit."""

    bank: SaeBank
    forced: Tensor | None = None  # a mask [m] to use in place of the specificity mask

    def search(self) -> tuple[SaeBank, LayerPreferences, list[LayerCosts]]:
        found = super().search()
        self.bank = found[0]
        return found

    def specificity(self, positives: Activity, negatives: Activity) -> Tensor:
        if self.forced is None:
            return super().specificity(positives, negatives)
        return self.forced.expand_as(positives.rate)


def fit_with_control(
    pipe: Any, concept: Concept, config: ClearConfig, *, seed: int = 0, progress: bool = True
) -> tuple[ClearEraser, ClearEraser]:
    """`unseen.fit`, and the control of random features: active on the concept's prompts, and not the eraser's own."""
    path = text_path(pipe, max_length=config.max_length)
    fitter = _BankKeepingFitter(
        path.tokenizer, path.encoder, concept, config, seed=seed, form=path.form, progress=progress
    )
    eraser = fitter.fit()
    fitter.config = replace(config, gate=False)
    fitter.forced = _random_mask(fitter, eraser, torch.Generator().manual_seed(seed))
    control = fitter.select(fitter.bank, eraser.layer).with_strength(eraser.strength)
    return eraser, control


def _random_mask(fitter: _BankKeepingFitter, eraser: ClearEraser, generator: torch.Generator) -> Tensor:
    place = fitter.place_of(eraser.layer)
    tokens = fitter.positive_tokens & fitter.train_tokens
    active = (fitter.bank.of_layer(place).encode(fitter.activations.hidden[place][None, tokens])[0] > 0).float()
    own = (fitter.bank.W_dec[place] @ eraser.W_dec.T > 1 - 1e-5).any(dim=1)  # decoder rows have unit norm
    candidates = ((active.mean(dim=0) > fitter.config.min_rate) & ~own).nonzero()[:, 0]
    chosen = candidates[torch.randperm(len(candidates), generator=generator)[: eraser.num_features]]
    return torch.zeros(fitter.bank.num_features).index_fill(0, chosen, 1.0)
