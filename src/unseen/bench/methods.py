"""What can be measured against each other: erasers in all variants, controls, and baselines, each at its settings.

A method of one's own is a function that the entry point group `unseen.methods` names: from a pipeline, a concept and
what a suite says as its `options` to anything that `unseen.attach` takes; or, as a `Method`, to whatever puts it on.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

import unseen
from unseen.baselines import BASELINES
from unseen.bench.clips.job import Method, digest, erased_by
from unseen.bench.fits import Fits, Fitted
from unseen.bench.prompts.writer import Prompt
from unseen.bench.suite import MethodSpec
from unseen.clear.config import ClearConfig
from unseen.clear.eraser import ClearEraser
from unseen.clear.probe import roles_of_pairs
from unseen.concept import Concept
from unseen.diorama.model.pipeline import GENERATION
from unseen.diorama.world.concepts import concept_kind, name_of
from unseen.encoder.activations import encode_by_length
from unseen.encoder.hooks import edited
from unseen.encoder.layers import layer_name
from unseen.errors import SuiteError
from unseen.pipelines import text_path
from unseen.prompts.writer import write_prompts

GROUP = "unseen.methods"
GRID: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "clear": tuple({"strength": value} for value in (1.0, 1.5, 2.0, 3.0)),
    "clear_paper": tuple({"strength": value} for value in (1.0, 1.5, 2.0, 3.0)),
    "safree": tuple({"alpha": value} for value in (-0.05, 0.0, 0.01, 0.05)),
    "video_eraser": tuple({"scale": value} for value in (0.5, 2.0, 10.0, 5000.0)),
    "t2v_unlearning": tuple({"strength": value} for value in (0.5, 1.0, 1.5, 2.0)),
    "concept_steerer": tuple({"strength": value} for value in (0.5, 1.0, 2.0, 4.0)),
    "cgce": tuple({"step": value} for value in (0.5, 1.0, 2.0, 4.0)),
    "uce": tuple({"keep": value} for value in (1.0, 0.1, 0.01, 0.001)),
    "layers": tuple({"strength": value} for value in (0.5, 1.0, 1.5, 2.0, 3.0)),
}
"""Settings that a tuned suite tries where it says none; a method is fitted once, and only applied in other ways."""
ATTACHED = ("on_residual",)
"""Options of a method that is an eraser which concern attaching and not the fit."""
SMALL_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "t2v_unlearning": {
        "rank": 32,
        "learning_rate": 1e-3,
        "iterations": 200,
        "call": {name: value for name, value in GENERATION.items() if name != "output_type"},
    },
}
"""Options that a model of Diorama's size needs."""


@dataclass(frozen=True)
class Variant:
    """A method at one setting."""

    method: Method
    setting: str = ""
    layer: int | None = None
    strength: float | None = None


@dataclass(frozen=True)
class Made:
    """A method for one concept, at all its settings."""

    variants: tuple[Variant, ...]
    facts: Mapping[str, float] = field(default_factory=dict)
    """What its fit is and cost: "seconds of the fit", "features", ..."""
    text: str = ""
    """What its fit says of itself."""
    by_layer: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    """The same for each layer, such as what a criterion of the search says."""


@dataclass(frozen=True)
class Wanted:
    """What a family is asked for."""

    fits: Fits
    concept: Concept
    spec: MethodSpec
    grid: tuple[Mapping[str, Any], ...]
    concepts: tuple[Concept, ...]
    """All of the suite's, in their order."""
    is_diorama: bool = True

    def method(self, setting: str, *erasers: ClearEraser, **attached: Any) -> Method:
        """Erasers as this method, attached with these arguments."""
        return erased_by(f"{self.spec.name}{setting and f', {setting}'}", *erasers, **attached)


Family = Callable[[Wanted], Made]


def make(wanted: Wanted) -> Made:
    """The method that `wanted.spec` asks for.

    Raises:
        FitError: it cannot be fitted for this concept.
    """
    name = wanted.spec.fit
    if name in FAMILIES:
        return FAMILIES[name](wanted)
    return _baseline(wanted) if name in BASELINES else _own(wanted)


def known_families() -> tuple[str, ...]:
    """Everything that a suite's method may be made by."""
    return (*FAMILIES, *(name for name in BASELINES if name != "none"), *_plugins())


@cache
def _plugins() -> dict[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}


def _label(setting: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:g}" if isinstance(value, float | int) else f"{name} {value}"
                     for name, value in setting.items())  # fmt: skip


def _clear(wanted: Wanted, config: ClearConfig | None = None) -> Made:
    options = dict(wanted.spec.options)
    attached = {name: options.pop(name) for name in ATTACHED if name in options}
    config = (config or wanted.fits.config).with_options(options)
    fitted = wanted.fits.eraser(wanted.concept, config)
    own = fitted.eraser
    strengths = [own.strength if s.get("strength") in (None, "own") else s["strength"] for s in wanted.grid]
    variants = [
        Variant(wanted.method(label, own.with_strength(strength), **attached), label, own.layer, float(strength))
        for strength in dict.fromkeys(strengths)
        for label in [_label({"strength": strength}) if len(wanted.grid) > 1 else ""]
    ]
    return Made(tuple(variants), _facts(fitted), "; ".join(own.report["verdict"]["reasons"]), _quality(own))


def _facts(fitted: Fitted) -> dict[str, float]:
    eraser = fitted.eraser
    found = {"layer": eraser.layer, "features": eraser.num_features, "strength": eraser.strength,
             "seconds of the fit": fitted.seconds, "kilobytes": fitted.kilobytes}  # fmt: skip
    at_layer = {name: row[eraser.layer] for name, row in _quality(eraser).items() if eraser.layer in row}
    return {**found, **{name.removesuffix(" of a layer"): value for name, value in at_layer.items()}}


def _quality(eraser: ClearEraser) -> dict[str, dict[int, float]]:
    """Held-out quality of every layer's autoencoder; of those that were not trained to the end nothing is known."""
    report = eraser.report
    found = {}
    for name in ("fvu", "l0", "dead"):
        pairs = zip(report["layers"], report.get(name) or (), strict=False)
        found[f"{name} of a layer"] = {layer: float(value) for layer, value in pairs if value is not None}
    return found


def _random_features(wanted: Wanted) -> Made:
    """As many random active features, removed in place of the concept's own."""
    control = wanted.fits.eraser(wanted.concept).control
    return Made((Variant(wanted.method("", control), "", control.layer, float(control.strength)),))


def _layers(wanted: Wanted) -> Made:
    """The concept erased at every layer and strength."""
    found = wanted.fits.candidates(wanted.concept)
    variants = [
        Variant(wanted.method(label, eraser.with_strength(setting["strength"])), label, layer, setting["strength"])
        for layer, eraser in found.erasers.items()
        for setting in wanted.grid
        for label in [f"{layer_name(layer)}, γ = {setting['strength']:g}"]
    ]
    costs = {f"cost by {name}": row for name, row in found.costs.items()}
    return Made(tuple(variants), {"layer": found.learned}, by_layer=costs)


def _shared_bank(wanted: Wanted) -> Made:
    """The concept's eraser out of a fit of all of the suite's concepts."""
    eraser = wanted.fits.together(wanted.concepts).erasers[wanted.concepts.index(wanted.concept)]
    return Made((Variant(wanted.method("", eraser)),))


def _all_at_once(wanted: Wanted) -> Made:
    """The erasers of all of the suite's concepts, attached together."""
    return Made((Variant(wanted.method("", *wanted.fits.together(wanted.concepts).erasers)),))


def _baseline(wanted: Wanted) -> Made:
    name = wanted.spec.fit
    options = {**(SMALL_SETTINGS.get(name, {}) if wanted.is_diorama else {}), **wanted.spec.options}
    artefact, seconds = wanted.fits.baseline(name, wanted.concept, options)
    variants = [
        Variant(
            Method(f"{wanted.spec.name}, {label}", made.key, partial(unseen.attach, erasers=made), text_only), label
        )
        for setting in wanted.grid
        for label, made in [(_label(setting), artefact.with_settings(**setting))]
        for text_only in [BASELINES[name].text_only]
    ]
    return Made(tuple(variants), {"seconds of the fit": seconds})


def _own(wanted: Wanted) -> Made:
    spec, made = wanted.spec, []
    fit = _plugins()[spec.fit].load()
    for setting in wanted.grid:
        label = _label(setting)
        found = fit(wanted.fits.pipe, wanted.concept, **{**spec.options, **setting})
        if not isinstance(found, Method):
            if not isinstance(getattr(found, "key", None), str):
                raise SuiteError(
                    f"the method {spec.fit!r} gave a {type(found).__name__} without a `key`; return a Method."
                )
            found = Method(f"{spec.name}, {label}", found.key, partial(unseen.attach, erasers=found), text_only=False)
        made.append(Variant(found, label))
    return Made(tuple(made))


@dataclass
class Concerned:
    """One concept of a suite, on its way."""

    key: str
    concept: Concept
    number: int
    prompts: dict[tuple[str, str], list[Prompt]] = field(default_factory=dict)
    """By split and role."""
    made: dict[str, Made] = field(default_factory=dict)
    """By method."""
    measured: dict[str, Variant] = field(default_factory=dict)
    """By method, at the setting that is reported."""

    def common(self, **more: Any) -> dict[str, Any]:
        """What all its rows say."""
        return {"concept": name_of(self.key), "kind": concept_kind(self.key), **more}

    def of_prompt(self, prompt: Prompt, place: int, **more: Any) -> dict[str, Any]:
        """What rows about prompt number `place` of a role say."""
        tags = f"|{'|'.join(prompt.tags)}|" if prompt.tags else ""
        return self.common(tags=tags, place=place, about=name_of(prompt.key), prompt=prompt.text, **more)


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
    """LEACE (Belrose et al. 2023): the least change after which no linear probe can tell the two sides apart."""
    from concept_erasure import LeaceEraser

    x = torch.cat([positive, negative])
    z = torch.cat([torch.ones(len(positive), 1), torch.zeros(len(negative), 1)])
    return LeaceEraser.fit(x, z)


def _dense(fit: DenseFit, wanted: Wanted) -> Made:
    """A dense edit at the layer that the default chose, on prompts that open its gate."""
    standard, config = wanted.fits.eraser(wanted.concept).eraser, wanted.fits.config
    path = text_path(wanted.fits.pipe, max_length=config.prompts.max_length)
    pairs = write_prompts(
        standard.concept, seed=wanted.fits.seed, pairs=config.prompts.pairs, retain=config.prompts.retain
    ).pairs
    sides = [
        encode_by_length(
            path.tokenizer, path.encoder, [pair[side] for pair in pairs], path.form, layers=[standard.layer]
        )
        for side in (0, 1)
    ]
    names = [part.hidden[0, roles["name"]] for part, roles in zip(sides, roles_of_pairs(*sides), strict=True)]
    applied_to = partial(_edited_densely, standard=standard, change=fit(*names))
    method = Method(wanted.spec.name, digest(name=wanted.spec.fit, of=standard.key), applied_to)
    return Made((Variant(method, "", standard.layer, 1.0),), text="dense, behind the default's gate")


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


FAMILIES: Mapping[str, Family] = {
    "clear": _clear,
    "clear_paper": partial(_clear, config=ClearConfig.paper()),
    "clear_paper_table10": partial(_clear, config=ClearConfig.paper_table10()),
    "random features": _random_features,
    "layers": _layers,
    "shared bank": _shared_bank,
    "all at once": _all_at_once,
    "mean difference": partial(_dense, mean_difference),
    "LEACE": partial(_dense, leace),
}
"""How a method is made, by the name that a suite gives it; baselines and plugins have their own names."""


def settings_of(spec: MethodSpec, *, tuned: bool) -> tuple[Mapping[str, Any], ...]:
    """What a method is applied with, one after the other."""
    return spec.settings or (GRID.get(spec.fit, ({},)) if tuned or spec.fit == "layers" else ({},))
