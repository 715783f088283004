"""Ablations: what each part of the method is worth, measured like a cell of the sweep, on development wording.

    unseen ablate --concepts church

Variants differ from the default in one setting. Two dense edits stand beside them, at the block that the default chose
and behind the default's gate: the mean difference, and LEACE (Belrose et al. 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from unseen.bench.cache import digest
from unseen.bench.fits import Fitted
from unseen.bench.prompts import concept_of
from unseen.bench.run import Method, erased_by
from unseen.bench.study import Study
from unseen.bench.sweep import DEVELOPMENT, SweepCell, measure_method, prompts_for
from unseen.bench.tables import Cell, Table
from unseen.clear.eraser import ClearEraser
from unseen.clear.pairs import roles_of_pairs
from unseen.concept import Concept
from unseen.diorama.world import captions
from unseen.encoder.activations import encode_by_length
from unseen.encoder.hooks import edited
from unseen.encoder.layers import layer_name
from unseen.errors import FitError
from unseen.pipelines import text_path
from unseen.prompts.writer import write_prompts

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "literal mask": {"edit.mask": "literal", "edit.rho": 0.01},
    "soft mask": {"edit.mask": "soft"},
    "no retain prompts": {"prompts.retain": 0},
    "160 features": {"sae.num_features": 160},
    "320 features": {"sae.num_features": 320},
    "1280 features": {"sae.num_features": 1280},
    "80 pairs": {"prompts.pairs": 80},
    "120 pairs": {"prompts.pairs": 120},
    "480 pairs": {"prompts.pairs": 480},
    "strength 1": {"edit.strength": 1.0},
    "strength 2": {"edit.strength": 2.0},
    "strength 3": {"edit.strength": 3.0},
    "only subtracted": {"edit.replace_with": "nothing"},
    "no gate": {"edit.gate": False},
    "embedding output is a candidate": {"search.embedding": True},
    "layer by L_con": {"search.criterion": "l_con"},
    "layer by reconstruction": {"search.criterion": "reconstruction"},
    "no annealing": {"search.tau_start": 1.0, "search.tau_end": 1.0},
    "nearly joint (24 rounds)": {"search.rounds": 24, "search.warm_up": 8},
    "first block": {"search.layer": 0},
    "middle block": {"search.layer": 3},
    "last block": {"search.layer": 5},
}
"""Name → settings that differ from the default."""


def evaluate_ablations(study: Study) -> Iterator[Table]:
    """One table per concept."""
    for key in study.chosen(DEVELOPMENT, captions.KEYS):
        yield ablation_table(study, key, VARIANTS)


def ablation_table(study: Study, key: str, variants: Mapping[str, Mapping[str, Any]]) -> Table:
    """All variants of one concept's fit. `variants` must hold "default"."""
    prompts = prompts_for(study, key, "development")
    base = {role: study.read(study.clips(asked)) for role, asked in prompts.items()}
    rows: list[tuple[Cell, ...]] = []
    standard: ClearEraser | None = None
    for name, changes in variants.items():
        study.say(f"{captions.main_name(key)}: {name}")
        try:
            fitted = fit_variant(study, concept_of(key), changes)
        except FitError as error:
            rows.append((name, None, None, None, None, None, None, str(error).split(".")[0]))
            continue
        eraser = fitted.eraser
        standard = eraser if name == "default" else standard
        cell = measure_method(
            study,
            key,
            base,
            erased_by(name, eraser),
            eraser.layer,
            eraser.strength,
        )
        rows.append(_row(name, cell, ""))
    assert standard is not None
    for name, make in DENSE.items():
        study.say(f"{captions.main_name(key)}: {name}")
        method = dense_method(study, name, standard, make)
        cell = measure_method(study, key, base, method, standard.layer, 1.0)
        rows.append(_row(name, cell, "dense, behind the default's gate"))
    columns = ("variant", "edited", "strength", "generative rate", "others kept", "rest kept", "score", "note")
    clips = len(prompts["target"])
    return Table(f"Ablations: {captions.main_name(key)}", columns, tuple(rows), f"{clips} clips, development wording.")


def _row(name: str, cell: SweepCell, note: str) -> tuple[Cell, ...]:
    rates = (cell.generative, cell.others, cell.rest, cell.score)
    return (name, layer_name(cell.layer), float(cell.strength), *rates, note)


def fit_variant(study: Study, concept: Concept, changes: Mapping[str, Any]) -> Fitted:
    """The fit with some settings changed; kept like any other."""
    return study.eraser(concept, config=study.config.with_options(changes))


DenseFit = Callable[[Tensor, Tensor], Callable[[Tensor], Tensor]]
"""From name tokens `[n, d]` of positives and of negatives to an edit of `[..., d]`."""


def mean_difference(positive: Tensor, negative: Tensor) -> Callable[[Tensor], Tensor]:
    """Replace a token's component along the difference of the means by that of the negatives' mean."""
    direction = positive.mean(dim=0) - negative.mean(dim=0)
    direction = direction / direction.norm()
    return partial(_cut, direction=direction, target=negative.mean(dim=0) @ direction)


def _cut(h: Tensor, *, direction: Tensor, target: Tensor) -> Tensor:
    return h - ((h @ direction) - target).clamp_min(0)[..., None] * direction


def leace(positive: Tensor, negative: Tensor) -> Callable[[Tensor], Tensor]:
    """LEACE: the least change after which no linear probe can tell the two sides apart."""
    from concept_erasure import LeaceEraser

    x = torch.cat([positive, negative])
    z = torch.cat([torch.ones(len(positive), 1), torch.zeros(len(negative), 1)])
    return LeaceEraser.fit(x, z)


DENSE: Mapping[str, DenseFit] = {"mean difference": mean_difference, "LEACE": leace}


def dense_method(study: Study, name: str, standard: ClearEraser, make: DenseFit) -> Method:
    """The dense edit at the block of `standard`, on prompts that open its gate."""
    config, path = study.config, text_path(study.pipe, max_length=study.config.prompts.max_length)
    pairs = write_prompts(
        standard.concept, seed=study.settings.seed, pairs=config.prompts.pairs, retain=config.prompts.retain
    ).pairs
    sides = [
        encode_by_length(
            path.tokenizer, path.encoder, [pair[side] for pair in pairs], path.form, layers=[standard.layer]
        )
        for side in (0, 1)
    ]
    names = [part.hidden[0, roles["name"]] for part, roles in zip(sides, roles_of_pairs(*sides), strict=True)]
    change = make(*names)

    applied_to = partial(_edited_densely, standard=standard, change=change)
    return Method(name, digest(name=name, of=standard.key), applied_to)


def _edited_densely(
    pipe: Any, *, standard: ClearEraser, change: Callable[[Tensor], Tensor]
) -> AbstractContextManager[Any]:
    def edit(hidden: Tensor, valid: Tensor | None) -> Tensor | None:
        f = standard.active_features(hidden)
        f = f if valid is None else f * valid[..., None]
        opened = standard.opens(f.amax(dim=-2))
        if not opened.any():
            return None
        return torch.where(opened[:, None, None], change(hidden.float()), hidden.float())

    return edited(pipe.text_encoder, {standard.layer: edit})
