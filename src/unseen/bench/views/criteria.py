"""How well a criterion picks the block: against the sweep's truth, and against what chance would get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from unseen.bench.rows import Rows
from unseen.bench.views.query import score
from unseen.bench.views.tables import Cell, Count, Table, Target
from unseen.encoder.layers import layer_name
from unseen.metrics.rates import rate

POINT = 0.01
"""A block this close to the best score counts as best."""
SPAN = 0.05
"""Concepts whose scores span less say nothing about choosing a block."""
ALIGNED = Target(0.85)
COST = "cost by "


class Choice(NamedTuple):
    """One choice of a block, judged by the sweep."""

    layer: int
    good: bool
    """Within a point of the best score, or one of the two best blocks."""
    regret: float
    """Best score minus this block's."""
    correlation: float
    """Spearman's ρ between −cost and score over the blocks; nan for a fixed choice or where either is constant."""

    @classmethod
    def of(cls, layer: int, scores: Mapping[int, float], costs: Mapping[int, float] | None = None) -> Choice:
        """Judge the choice of `layer` by `scores` (block → score)."""
        best = max(scores.values())
        second = sorted(scores.values(), reverse=True)[: min(2, len(scores))][-1]
        score = scores[layer]
        ρ = float("nan") if costs is None else spearman([-costs[k] for k in scores], list(scores.values()))
        return cls(layer, score >= best - POINT or score >= second, best - score, ρ)


@dataclass(frozen=True)
class Swept:
    """A concept erased at every layer."""

    concept: str
    scores: Mapping[int, float]
    """By layer, on test wording, each at the strength that was best on development wording."""
    strengths: Mapping[int, float]
    costs: Mapping[str, Mapping[int, float]]
    """Of every layer, by criterion."""
    learned: int
    """What the default search preferred."""

    def choice(self, criterion: str) -> Choice:
        """How the layer with the lowest cost fares, on test wording."""
        costs = {layer: self.costs[criterion][layer] for layer in self.scores}
        return Choice.of(min(costs, key=lambda layer: costs[layer]), self.scores, costs)


def swept(rows: Rows) -> list[Swept]:
    """Every concept's sweep, from the rows of the method "layers"."""
    found = []
    for concept in rows.where(measure="layer", method="layers").distinct("concept"):
        mine = rows.where(concept=concept, method=("layers", "none"))
        shown = mine.where(measure="shown", method="layers", split="test")
        strengths = {row.layer: row.strength or 0.0 for row in shown if row.layer is not None}
        scores = {
            layer: score(mine, {"method": "layers", "layer": layer, "split": "test"}) or 0.0 for layer in strengths
        }
        costs: dict[str, dict[int, float]] = {}
        for row in mine:
            if row.measure.startswith(COST) and row.layer is not None:
                costs.setdefault(row.measure.removeprefix(COST), {})[row.layer] = row.value
        learned = int(mine.where(measure="layer")[0].value)
        found.append(Swept(concept, scores, strengths, costs, learned))
    return found


def spearman(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's rank correlation; nan where one side is constant or there are fewer than three values."""
    x, y = rankdata(a), rankdata(b)
    if len(x) < 3 or x.std() == 0 or y.std() == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def criteria(title: str, rows: Rows) -> Table:
    """Every criterion and every fixed choice on the concepts whose sweep spans at least `SPAN`."""
    results = swept(rows)
    telling = [r for r in results if np.ptp(list(r.scores.values())) >= SPAN]
    columns = ("choice", "concepts", "good choices", "rate", "mean regret", "Spearman", "target", "verdict")
    note = (
        f"{len(telling)} of {len(results)} concepts span at least {100 * SPAN:g} points. A choice is good within "
        f"{100 * POINT:g} point of the best block or among the best two. Chance: a block drawn evenly."
    )
    if not telling:
        return Table(title, columns, (), note)
    choices: dict[str, list[Choice]] = {"learned by Gumbel-Softmax": [Choice.of(r.learned, r.scores) for r in telling]}
    for name in results[0].costs:
        choices[f"least {name}"] = [r.choice(name) for r in telling]
    layers = sorted(set.intersection(*(set(r.scores) for r in telling)))
    for layer in layers:
        choices[f"always {layer_name(layer)}"] = [Choice.of(layer, r.scores) for r in telling]
    lines: list[tuple[Cell, ...]] = []
    for label, made in choices.items():
        good = sum(choice.good for choice in made)
        correlations = [c.correlation for c in made if c.correlation == c.correlation]
        ρ = float(np.mean(correlations)) if correlations else None
        target = ALIGNED if label.startswith("learned") else None
        concepts = [r.concept for r in telling]
        share = rate(np.asarray([[choice.good] for choice in made]), concepts, concepts, unit="videos")
        lines.append(
            (label, len(made), Count(good, len(made)), share, float(np.mean([c.regret for c in made])), ρ, target,
             None if target is None else target.verdict(share))
        )  # fmt: skip
    even = [[Choice.of(layer, r.scores) for layer in r.scores] for r in telling]
    chance = float(np.mean([np.mean([c.good for c in row]) for row in even]))
    regret = float(np.mean([np.mean([c.regret for c in row]) for row in even]))
    lines.append(("chance", len(telling), None, chance, regret, None, None, None))
    return Table(title, columns, tuple(lines), note)


def each_swept(title: str, rows: Rows) -> Table:
    """For each concept: the best layer, the learned one, and how many would do."""
    results = swept(rows)
    lines: list[tuple[Cell, ...]] = []
    for r in results:
        scores = r.scores
        best = max(scores, key=lambda layer: scores[layer])
        choice = Choice.of(r.learned, scores) if r.learned in scores else None
        near = sum(score >= scores[best] - POINT for score in scores.values())
        lines.append(
            (r.concept, layer_name(best), scores[best], min(scores.values()), layer_name(r.learned),
             scores.get(r.learned), r.strengths.get(r.learned), Count(near, len(scores)),
             "yes" if is_valley(scores) else "no", None if choice is None else choice.good)
        )  # fmt: skip
    return Table(
        title,
        ("concept", "best", "its score", "worst score", "learned", "its score ", "strength", "within a point", "V",
         "verdict"),
        tuple(lines),
        "V: the best block lies inside, with a block at least 5 points worse on either side of it.",
    )  # fmt: skip


def is_valley(scores: Mapping[int, float]) -> bool:
    """Whether blocks on both sides of the best one are worse by at least `SPAN` (the V-curve, upside down)."""
    order = sorted(scores)
    best = max(order, key=lambda layer: scores[layer])
    sides = ([k for k in order if k < best], [k for k in order if k > best])
    return all(side and min(scores[k] for k in side) <= scores[best] - SPAN for side in sides)
