"""Every method on the same prompts and seeds, each at its best setting.

    unseen evaluate methods

Tuning is the same for all: each method has up to four values of the constant that says how strongly it acts. Of those
that keep enough of other subjects on development wording (of all, if none does), the one with the best score there (as
in the sweep: nothing of the concept, others kept, rest of the prompt kept) is measured on test wording. What a method
fits is fitted once; the values only change how it is applied.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import unseen
from unseen.baselines import BASELINES, BASELINES_VERSION, FittedBaseline
from unseen.bench.attacks import Attacked, attack, attack_table
from unseen.bench.cache import digest
from unseen.bench.comparison import comparison_page, write_cells
from unseen.bench.effect_tables import GONE, IDEAL, NONE, instead_table, picture_table
from unseen.bench.effects import Effects, effects, ideal
from unseen.bench.prompts import Prompt, concept_kind, concept_of
from unseen.bench.readings import Readings
from unseen.bench.run import UNEDITED, Method, erased_by
from unseen.bench.scores import excess, paired, rate
from unseen.bench.study import Study, floor_of
from unseen.bench.sweep import SweepCell, measure_method, prompts_for
from unseen.bench.tables import Cell, Table, Target, Verdict
from unseen.clear.config import ClearConfig
from unseen.clear.fit import FIT_VERSION
from unseen.concept import Concept
from unseen.diorama.model.pipeline import GENERATION, generate
from unseen.diorama.world import captions
from unseen.errors import FitError
from unseen.files import write_whole
from unseen.metrics.intervals import holm
from unseen.metrics.rates import Rate

CONCEPTS = ("french_horn", "church", "inkwell", "amber_bramble", "burning")
"""At least one of each kind."""
GRID: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "clear": tuple({"strength": value} for value in (1.0, 1.5, 2.0, 3.0)),
    "clear_paper": tuple({"strength": value} for value in (1.0, 1.5, 2.0, 3.0)),
    "blocklist": ({},),
    "negative_prompt": ({},),
    "safree": tuple({"alpha": value} for value in (-0.05, 0.0, 0.01, 0.05)),
    "video_eraser": tuple({"scale": value} for value in (0.5, 2.0, 10.0, 5000.0)),
    "t2v_unlearning": tuple({"strength": value} for value in (0.5, 1.0, 1.5, 2.0)),
    "concept_steerer": tuple({"strength": value} for value in (0.5, 1.0, 2.0, 4.0)),
    "uce": tuple({"keep": value} for value in (1.0, 0.1, 0.01, 0.001)),
}
"""Settings tried on development wording, by method; the blocklist and NegPrompt have none."""
SMALL_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "t2v_unlearning": {
        "rank": 32,
        "learning_rate": 1e-3,
        "iterations": 200,
        "call": {name: value for name, value in GENERATION.items() if name != "output_type"},
    },
}
"""Settings that a model of Diorama's size needs, beside those in `GRID`."""
PRESERVING = 0.95
"""Only settings that keep at least this share of the other subjects are chosen while there are any, and only methods
that keep it compete for the best residual."""
TIE = 0.02
"""Two residuals both this close to the detector's floor are equal."""
HALF = Target(0.5, at_least=False)
"""What CLEAR may leave of the best other's residual, as in the paper."""
_CLEAR = ("clear", "clear_paper")
_TIMED = 8


@dataclass(frozen=True)
class Compared:
    """One method on one concept, at the setting that was best on development wording."""

    method: str
    setting: str
    fit_seconds: float
    cell: SweepCell
    """On test wording."""
    hits: np.ndarray
    """Frames of the target prompts that show the concept, bool `[clips, frames]`."""
    seconds: float
    """A clip's drawing time, relative to none."""
    curve: tuple[tuple[str, SweepCell], ...] = ()
    """All settings that were tried, on development wording."""
    best: Method | None = None
    """The method as it was measured."""
    effects: Effects | None = None
    """What it does besides, on test wording."""


def evaluate_methods(study: Study) -> Iterator[Table]:
    """Two tables per concept and one of its attacks, then over all concepts the picture, attacks, residuals and
    differences."""
    summary: list[tuple[Cell, ...]] = []
    tables: list[Table] = []
    everything: dict[str, list[Compared]] = {}
    besides: dict[str, dict[str, Effects]] = {}
    attacked: list[Attacked] = []
    measured: dict[str, dict[str, dict[str, Readings]]] = {}
    keys = study.chosen(CONCEPTS, captions.KEYS)
    plain = _seconds(study, None)
    for place, key in enumerate(keys, 1):
        study.say(f"{captions.main_name(key)} ({place} of {len(keys)})")
        asked = {split: prompts_for(study, key, split) for split in ("development", "test")}
        study.prepare((prompts, UNEDITED) for roles in asked.values() for prompts in roles.values())
        before = {
            split: {role: study.read(study.clips(prompts)) for role, prompts in roles.items()}
            for split, roles in asked.items()
        }
        done: list[Compared] = []
        failed: list[tuple[Cell, ...]] = []
        for name in study.settings.methods or GRID:
            study.say(f"{captions.main_name(key)}: {name}")
            try:
                done.append(compare(study, key, name, before, plain))
            except FitError as error:
                failed.append((name, str(error).split(".")[0], *[None] * 8))
        everything[key], measured[key] = done, before
        besides[key] = {
            NONE: effects(study, key, asked["test"]),
            IDEAL: ideal(study, key, asked["test"]),
            GONE: ideal(study, key, asked["test"], erased=True),
        }
        besides[key] |= {c.method: c.effects for c in _ranked(done) if c.effects is not None}
        tables.append(concept_table(study, key, before["test"]["target"], done, failed))
        yield tables[-1]
        tables.append(instead_table(key, besides[key], [row[0] for row in failed]))
        yield tables[-1]
        if study.settings.attacks:
            study.say(f"{captions.main_name(key)}: attacks")
            attacked += attack(study, key, done)
            tables.append(attack_table(study, [found for found in attacked if found.key == key]))
            yield tables[-1]
        summary.append(_against_the_best(study, key, before["test"]["target"].prompts, done))
    for role in ("target", "others"):
        tables.append(picture_table(role, besides))
        yield tables[-1]
    if attacked and len(keys) > 1:
        tables.append(attack_table(study, attacked))
        yield tables[-1]
    columns = ("concept", "kind", "CLEAR's residual", "best other", "its residual", "ratio", "target", "verdict")
    tables.append(
        Table(
            "Methods: CLEAR against the best other",
            columns,
            tuple(summary),
            f"Residual: generative rate less the detector's floor. The best other keeps ≥ {PRESERVING:.0%} of the other"
            f" subjects. Both within {TIE:.0%} of the floor is a tie, and certain where both intervals end there.",
            judges="ratio",
        )
    )
    yield tables[-1]
    prompts = {key: found["test"]["target"].prompts for key, found in measured.items()}
    if (table := differences_table(everything, prompts)).rows:
        tables.append(table)
        yield table
    store = write_cells(study, everything, {key: found[NONE] for key, found in besides.items()}, attacked)
    page = comparison_page(study, everything, tables, attacked)
    study.say(f"every cell in {store}; report in {page}")


def variants(study: Study, key: str, name: str) -> tuple[float, list[tuple[str, Method]]]:
    """Seconds of the fit, and the method at each of its settings."""
    concept, grid = concept_of(key), GRID[name]
    labels = [", ".join(f"{k} {v:g}" for k, v in setting.items()) or "–" for setting in grid]
    if name in _CLEAR:
        fitted = study.eraser(concept, config=ClearConfig.paper() if name == "clear_paper" else None)
        erasers = [fitted.eraser.with_strength(setting["strength"]) for setting in grid]
        return fitted.seconds, [
            (label, erased_by(f"{name}, {label}", eraser)) for label, eraser in zip(labels, erasers, strict=True)
        ]
    artefact, seconds = kept_artefact(study, name, concept)
    return seconds, [
        (label, Method(f"{name}, {label}", made.key, partial(unseen.attach, erasers=made), text_only=False))
        for label, setting in zip(labels, grid, strict=True)
        for made in [artefact.with_settings(**setting)]
    ]


def kept_artefact(study: Study, name: str, concept: Concept) -> tuple[FittedBaseline, float]:
    """What a method learned about a concept and how long that took; kept, as erasers are."""
    settings = SMALL_SETTINGS.get(name, {})
    address = digest(
        method=name,
        concept=repr(concept),
        settings=repr(settings),
        seed=study.settings.seed,
        pipe=study.weights,
        code=(FIT_VERSION, BASELINES_VERSION),
    )
    folder = study.settings.folder / "artefacts" / f"{name}-{address[:12]}"
    facts = folder / "facts.json"
    if not facts.exists():
        started = time.perf_counter()
        made = BASELINES[name].fit(
            study.pipe, concept, seed=study.settings.seed, progress=study.settings.progress, **settings
        )
        seconds = time.perf_counter() - started
        made.save_pretrained(folder)
        write_whole(facts, json.dumps({"seconds": round(seconds, 2)}).encode())
    return FittedBaseline.from_pretrained(folder), json.loads(facts.read_text(encoding="utf-8"))["seconds"]


def compare(study: Study, key: str, name: str, before: Mapping[str, Mapping[str, Readings]], plain: float) -> Compared:
    """Tune a method on development wording and measure it on test wording."""
    seconds, tried = variants(study, key, name)
    development = dict(before["development"])
    study.prepare((readings.prompts, method) for _, method in tried for readings in development.values())
    cells = [measure_method(study, key, development, method, 0, 1.0) for _, method in tried]
    curve = tuple((label, cell) for (label, _), cell in zip(tried, cells, strict=True))
    label, best = tried[best_setting(cells)]
    study.prepare((readings.prompts, best) for readings in before["test"].values())
    cell = measure_method(study, key, dict(before["test"]), best, 0, 1.0)
    after = study.read(study.clips(before["test"]["target"].prompts, best))
    took = _seconds(study, best) / plain
    besides = effects(study, key, {role: readings.prompts for role, readings in before["test"].items()}, best)
    return Compared(name, label, seconds, cell, after.shows(key), took, curve, best, besides)


def best_setting(cells: Sequence[SweepCell]) -> int:
    """Index of the cell with the best score among those that keep enough of other subjects; among all, if none does."""
    enough = [place for place, cell in enumerate(cells) if cell.others.value >= PRESERVING]
    return max(enough or range(len(cells)), key=lambda place: cells[place].score)


def _ranked(done: Sequence[Compared]) -> list[Compared]:
    return sorted(done, key=lambda c: -c.cell.score)


def _seconds(study: Study, method: Method | None) -> float:
    """Time of one batch of clips; the faster of two."""
    times = []
    for _ in range(2):
        started = time.perf_counter()
        arguments = (study.pipe, ["a red thing in the snow"] * _TIMED, list(range(_TIMED)))
        if method is None:
            generate(*arguments)
        else:
            with method.applied_to(study.pipe):
                generate(*arguments)
        times.append(time.perf_counter() - started)
    return min(times)


def concept_table(
    study: Study, key: str, before: Readings, done: Sequence[Compared], failed: Sequence[tuple[Cell, ...]]
) -> Table:
    """One row per method."""
    floor = floor_of(study.judge, key)
    count = len(before.prompts)
    rows: list[tuple[Cell, ...]] = [("none", "–", count, rate(before.shows(key), before.prompts), floor, *[None] * 5)]
    for found in _ranked(done):
        cell = found.cell
        rows.append(
            (found.method, found.setting, count, cell.generative, floor, cell.others, cell.rest, cell.score,
             found.fit_seconds, found.seconds)
        )  # fmt: skip
    columns = (
        "method", "setting", "clips", "generative rate", "detector floor", "others kept", "rest kept", "score",
        "fit, seconds", "clip's time, × none",
    )  # fmt: skip
    return Table(
        f"Methods: {captions.main_name(key)}",
        columns,
        (*rows, *failed),
        f"Settings were chosen on development wording, the best score among those that keep ≥ {PRESERVING:.0%} of the"
        " other subjects, or among all where none does; everything here is on test wording. Score: harmonic mean of 1 −"
        " generative rate, others kept and rest kept.",
    )


def _against_the_best(study: Study, key: str, prompts: Sequence[Prompt], done: Sequence[Compared]) -> tuple[Cell, ...]:
    floor = floor_of(study.judge, key) or 0.0
    own = next((c for c in done if c.method == "clear"), None)
    rivals = [c for c in done if c.method not in _CLEAR and c.cell.others.value >= PRESERVING]
    name, kind = captions.main_name(key), concept_kind(key)
    if own is None or not rivals:
        return (name, kind, None, "no method keeps enough", None, None, None, None)
    best = min(rivals, key=lambda c: c.cell.generative.value)
    residuals = [max(0.0, c.cell.generative.value - floor) for c in (own, best)]
    ratio = excess(own.hits, best.hits, prompts, floor=floor)
    verdict = _verdict(ratio, [c.cell.generative for c in (own, best)], floor)
    shown = "tie" if max(residuals) <= TIE else ratio
    return (name, kind, residuals[0], best.method, residuals[1], shown, "≤ 0.5×", verdict)


def _verdict(ratio: Rate, rates: Sequence[Rate], floor: float) -> Verdict:
    """Met by half the residual or by a tie, missed by neither."""
    tie = Target(floor + TIE, at_least=False)
    ways = [HALF.verdict(ratio), tie.verdict(max(rates, key=lambda rate: rate.high))]
    beyond = tie.verdict(max(rates, key=lambda rate: rate.low))  # one rate beyond is enough for no tie
    if any(way.outcome == "met" for way in ways):
        return Verdict("met")
    if ways[0].outcome == "missed" and beyond.outcome == "missed":
        return Verdict("missed")
    numbers = [way.enough for way in ways if way.enough is not None]
    return Verdict("undecided", min(numbers) if numbers else None)


def differences_table(results: Mapping[str, Sequence[Compared]], prompts: Mapping[str, Sequence[Prompt]]) -> Table:
    """CLEAR's generative rate less every other method's, on the same prompts and seeds; `prompts` by concept."""
    rows: list[tuple[Cell, ...]] = []
    values: list[float] = []
    for key, done in results.items():
        own = next((c for c in done if c.method == "clear"), None)
        if own is None:
            continue
        for other in (c for c in done if c is not own):
            found = paired(own.hits, other.hits, prompts[key])
            values.append(found.p)
            rows.append((captions.main_name(key), other.method, len(own.hits), found.difference))
    return Table(
        "Methods: CLEAR less each other",
        ("concept", "method", "clips", "difference of the generative rates", "p", "p, corrected"),
        tuple((*row, p, corrected) for row, p, corrected in zip(rows, values, holm(values), strict=True)),
        "Pairs of clips with the same prompt and seed; below 0 CLEAR shows less of the concept. p: no difference, over "
        "prompts; corrected by Holm over the whole table.",
    )
