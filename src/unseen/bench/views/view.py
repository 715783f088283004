"""Tables of a suite, made of its rows. Most are questions that the suite's file asks; some need a little more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from unseen.bench.rows import Rows
from unseen.bench.views.criteria import criteria, each_swept
from unseen.bench.views.query import PRESERVING, Query, TableSpec, excess, floor_of, others_kept, paired, rate_of
from unseen.bench.views.tables import JUDGED_COLUMNS, Cell, Table, Target, Verdict, judged
from unseen.encoder.layers import layer_name
from unseen.metrics.intervals import holm
from unseen.metrics.rates import Rate

FVU, SECONDS, KILOBYTES = 0.2, 60.0, 200.0
"""Fraction of variance unexplained, time and size that a fit may have."""
TIE = 0.02
"""Two residuals both this close to the detector's floor are equal."""
HALF = Target(0.5, at_least=False)
"""What CLEAR may leave of the best other's residual, as in the paper."""
_CLEAR = ("clear", "clear_paper")
_PLAIN = ("none", "exact renders", "renders without it")
Group = Mapping[str, Any]
View = Callable[[TableSpec, Rows, Group, Sequence[str]], Table | None]
"""From what a suite says of a table, all rows, the fields that all its questions share, and the suite's methods."""


def tables_of(specs: Sequence[TableSpec], rows: Rows, methods: Sequence[str], split: str = "") -> Iterator[Table]:
    """The tables; those about which there is no row are left out. `split` is the one that a tuned suite reports."""
    for spec in specs:
        shared = {"split": split} if split and "split" not in spec.where else {}
        values: list[Any] = [None]
        if spec.each:
            asked = {**spec.where, **shared}
            values = [value for value in rows.where(**asked).distinct(spec.each) if value not in ("", "all")]
        for value in values:
            group, one = shared, spec
            if spec.each:
                group = {**shared, spec.each: value}
                kinds = rows.where(**{spec.each: value}).distinct("kind")
                kind = kinds[0].capitalize() if kinds else ""
                one = replace(spec, title=spec.title.format(**{spec.each: value, "kind": kind}))
            if (table := VIEWS[spec.view](one, rows, group, methods)) is not None and table.rows:
                yield table


def failures(rows: Rows) -> Table | None:
    """What could not be fitted, which no suite has to ask for; None where everything could."""
    failed = rows.where(measure="failed")
    lines = tuple((row.concept, row.method, row.text) for row in failed)
    return Table("Methods that could not be fitted", ("concept", "method", "note"), lines) if lines else None


def _with_method(spec: TableSpec, group: Group, methods: Sequence[str]) -> Group:
    """Where nothing says which method, it is the suite's first one."""
    if "method" in spec.where or "method" in spec.by:
        return group
    return {**group, "method": methods[0] if methods else "none"}


def _targets(spec: TableSpec, rows: Rows, group: Group, methods: Sequence[str]) -> Table:
    group = _with_method(spec, group, methods)
    made = []
    for query in spec.columns:
        label = query.name
        if query.worst is not None:
            bound = replace(query, defaults={**query.defaults, **group})
            found = bound.worst_of(rows)
            if found is None:
                continue
            value, query = found
            label = f"{label}: {value}"
        asked = rows.where(**query.asked(group))
        cell = query.answer(rows, group)
        if cell is None:
            continue
        count = cell.clips if isinstance(cell, Rate) else len(asked)
        floor = floor_of(asked)
        row = judged(label, count, cell, query.target, floor) if query.target else None
        made.append(row or (label, count, cell, floor, None, None))
    return Table(spec.title, JUDGED_COLUMNS, tuple(made), spec.note)


def _groups(spec: TableSpec, rows: Rows, group: Group, methods: Sequence[str]) -> Table:
    group = _with_method(spec, group, methods)
    columns = list(spec.columns)
    if spec.per_method:
        columns += [Query(name, "rate", {"method": name}, spec.where) for name in methods]
    target = None
    if spec.judge:
        limit = spec.at_least if spec.at_least is not None else spec.at_most
        assert limit is not None
        target = Target(limit, at_least=spec.at_least is not None)
    lines: list[tuple[tuple[str, ...], list[Cell]]] = []
    for fields in _combinations(spec, rows, group):
        cells = [query.answer(rows, {**group, **fields}) for query in columns]
        lines.append((tuple(_said(name, value) for name, value in fields.items()), cells))
    lines = [line for line in lines if any(cell is not None for cell in line[1])]
    ranked = next((i for i, query in enumerate(columns) if query.stat == "score"), None)
    if ranked is not None and "method" in spec.by:
        lines.sort(key=lambda line: (line[0][0] not in _PLAIN, -(line[1][ranked] or 0.0)))
    if spec.whole and lines:
        head = (spec.whole, *[""] * (len(spec.by) - 1))
        lines.append((head, [query.answer(rows, group) for query in columns]))
    used = [i for i in range(len(columns)) if any(cells[i] is not None for _, cells in lines)]
    names = [*(spec.head.split(" | ") if spec.head else spec.by), *(columns[i].name for i in used)]
    made = []
    for heads, cells in lines:
        row: list[Cell] = [*heads, *(cells[i] for i in used)]
        if target is not None:
            value = next((cell for query, cell in zip(columns, cells, strict=True) if query.name == spec.judge), None)
            row += [target, None if value is None else target.verdict(value)]
        made.append(tuple(row))
    ends = ("target", "verdict") if target is not None else ()
    return Table(spec.title, (*names, *ends), tuple(made), spec.note)


def _combinations(spec: TableSpec, rows: Rows, group: Group) -> list[dict[str, Any]]:
    """What `by` can be, in the order in which it comes."""
    known: list[dict[str, Any]] = [{}]
    for name in spec.by:
        known = [
            {**fields, "tags" if name.startswith("tags:") else name: value}
            for fields in known
            for value in rows.where(**{**spec.where, **group, **fields}).distinct(name)
            if value not in ("", None, "all")
        ]
    return known


def _said(name: str, value: Any) -> str:
    return layer_name(value) if name == "layer" else f"{value:g}" if isinstance(value, float) else str(value)


def _fits(spec: TableSpec, rows: Rows, group: Group, methods: Sequence[str]) -> Table:
    """What each fit chose and cost, and the quality of the autoencoder at its layer on held-out prompts."""
    facts = ("layer", "features", "strength", "fvu", "l0", "dead", "seconds of the fit", "kilobytes")
    asked = _with_method(spec, {}, methods)
    made: list[tuple[Cell, ...]] = []
    for concept in rows.where(measure="seconds of the fit", **asked).distinct("concept"):
        found = {row.measure: row.value for row in rows.where(measure=facts, layer=None, concept=concept, **asked)}
        fvu, seconds, size = found.get("fvu"), found["seconds of the fit"], found["kilobytes"]
        held = (("FVU", fvu, FVU, ""), ("fit", seconds, SECONDS, " s"), ("eraser", size, KILOBYTES, " kB"))
        beyond = [f"{name} {value:.3g}{unit}, target ≤ {limit:g}{unit}" for name, value, limit, unit in held
                  if value is not None and value > limit]  # fmt: skip
        verdict = Verdict("missed" if beyond else "met", reason="; ".join(beyond))
        made.append(
            (concept, layer_name(int(found["layer"])), int(found["features"]), found["strength"], fvu, found.get("l0"),
             found.get("dead"), round(seconds, 1), round(size, 1), verdict)
        )  # fmt: skip
    columns = ("concept", "layer", "features", "strength", "FVU", "L0", "dead", "fit, s", "eraser, kB", "verdict")
    note = (
        f"Targets: FVU ≤ {FVU:g}, fit ≤ {SECONDS:g} s, eraser ≤ {KILOBYTES:g} kB. FVU and L0 on held-out prompts; dead:"
        " share of features that never fire."
    )
    return Table(spec.title, columns, tuple(made), note)


def _against_the_best(spec: TableSpec, rows: Rows, group: Group, methods: Sequence[str]) -> Table:
    shown = rows.where(measure="shown", role="target", **group)
    made = []
    for concept in shown.where(method="clear").distinct("concept"):
        mine = shown.where(concept=concept)
        by_method = {name: mine.where(method=name) for name in methods}
        keeping = {name: others_kept(rows, {**group, "concept": concept, "method": name}) for name in methods}
        kept = {name: rate.value for name, rate in keeping.items() if rate is not None}
        made.append((concept, mine[0].kind, *against(by_method, kept, mine.floor() or 0.0)))
    columns = ("concept", "kind", "CLEAR's residual", "best other", "its residual", "ratio", "target", "verdict")
    note = (
        f"Residual: generative rate less the detector's floor. The best other keeps ≥ {PRESERVING:.0%} of the other"
        f" subjects. Both within {TIE:.0%} of the floor is a tie, and certain where both intervals end there."
    )
    return Table(spec.title, columns, tuple(made), note)


def against(shown: Mapping[str, Rows], kept: Mapping[str, float], floor: float) -> tuple[Cell, ...]:
    """CLEAR's residual, the best other's name and residual, their ratio, the target and whether it is met.

    `shown` are the rows of target prompts and `kept` what is kept of other subjects, by method.
    """
    rivals = [name for name in shown if name not in _CLEAR and len(shown[name]) and kept.get(name, 0) >= PRESERVING]
    if "clear" not in shown or not len(shown["clear"]) or not rivals:
        return (None, "no method keeps enough", None, None, None, None)
    rates = {name: rate_of(shown[name]) for name in ("clear", *rivals)}
    best = min(rivals, key=lambda name: rates[name].value)
    residuals = [max(0.0, rates[name].value - floor) for name in ("clear", best)]
    ratio = excess(shown["clear"], shown[best], floor)
    verdict = _verdict(ratio, [rates["clear"], rates[best]], floor)
    return (residuals[0], best, residuals[1], "tie" if max(residuals) <= TIE else ratio, "≤ 0.5×", verdict)


def _verdict(ratio: Rate, rates: Sequence[Rate], floor: float) -> Verdict:
    """Met by half the residual or by a tie, missed by neither."""
    tie = Target(floor + TIE, at_least=False)
    ways = [HALF.verdict(ratio), tie.verdict(max(rates, key=lambda rate: rate.high))]
    beyond = tie.verdict(max(rates, key=lambda rate: rate.low))  # one rate beyond is enough for no tie
    if any(way.outcome == "met" for way in ways):
        return Verdict("met")
    if ways[0].outcome == "missed" and beyond.outcome == "missed":
        return Verdict("missed", value=ratio, target=HALF)
    numbers = [way.enough for way in ways if way.enough is not None]
    return Verdict("undecided", min(numbers) if numbers else None, value=ratio, target=HALF)


def _differences(spec: TableSpec, rows: Rows, group: Group, methods: Sequence[str]) -> Table:
    """CLEAR's generative rate less every other method's, on the same prompts and seeds."""
    shown = rows.where(measure="shown", role="target", **group)
    made: list[tuple[Cell, ...]] = []
    values: list[float] = []
    for concept in shown.distinct("concept"):
        own = shown.where(concept=concept, method="clear")
        for name in methods:
            other = shown.where(concept=concept, method=name)
            if name == "clear" or not len(own) or not len(other):
                continue
            found = paired(own, other)
            values.append(found.p)
            made.append((concept, name, len(own), found.difference))
    note = (
        "Pairs of clips with the same prompt and seed; below 0 CLEAR shows less of the concept. p: no difference, over "
        "prompts; corrected by Holm over the whole table."
    )
    columns = ("concept", "method", "clips", "difference of the generative rates", "p", "p, corrected")
    corrected = zip(made, values, holm(values), strict=True)
    return Table(spec.title, columns, tuple((*row, p, holms) for row, p, holms in corrected), note)


def _best_layer(spec: TableSpec, rows: Rows, group: Group, methods: Sequence[str]) -> Table:
    """Where each concept is told apart best in other words, and what is lost at the other layers."""
    told = rows.where(measure="told apart", role=("synonym", "periphrasis", "indirect"))
    made = []
    for concept in told.distinct("concept"):
        by_layer = {layer: [row.value for row in told.where(concept=concept, layer=layer)]
                    for layer in told.distinct("layer")}  # fmt: skip
        words = {layer: round(sum(values) / len(values), 3) for layer, values in by_layer.items()}
        best = max(words, key=lambda layer: words[layer])
        made.append((concept, layer_name(best), words[best], words[min(words)], words[max(words)]))
    return Table(spec.title, ("concept", "best layer", "there", "first layer", "last layer"), tuple(made), spec.note)


VIEWS: Mapping[str, View] = {
    "targets": _targets,
    "groups": _groups,
    "fits": _fits,
    "against the best": _against_the_best,
    "differences": _differences,
    "criteria": lambda spec, rows, group, methods: criteria(spec.title, rows.where(**spec.where)),
    "swept": lambda spec, rows, group, methods: each_swept(spec.title, rows.where(**spec.where)),
    "best layer": _best_layer,
}
"""By the name that a suite gives them."""
