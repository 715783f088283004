"""Questions to rows: a share with its interval, what is kept, the worst of a group, and whether that is enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from unseen.bench.rows import FIELDS, Row, Rows
from unseen.bench.views.tables import Cell, Count, Measure, Share, Target
from unseen.encoder.layers import layer_name
from unseen.errors import SuiteError
from unseen.metrics import intervals, rates
from unseen.metrics.intervals import Levels
from unseen.metrics.rates import Paired, Rate

MOSTLY = 0.5
PRESERVING = 0.95
"""What keeps at least this share of other subjects is preferred to what keeps less."""


@dataclass(frozen=True)
class Query:
    """One question, as it stands in a suite: what is counted (`stat`, one of `STATS`) over which rows (`where`)."""

    name: str
    stat: str = "rate"
    where: Mapping[str, Any] = field(default_factory=dict)
    """What it says itself, which wins over the group that a table asks about, which wins over `defaults`."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What its table says of all its questions."""
    unit: str = "frames"
    """What a rate counts: frames, or "videos" with any such frame (`mostly`: in at least half of its frames)."""
    mostly: bool = False
    worst: str | None = None
    """Ask of each value of this field, and answer with the worst (the highest where `at_most` is the target)."""
    target: Target | None = None

    @classmethod
    def read(cls, said: Mapping[str, Any], defaults: Mapping[str, Any], place: str) -> Query:
        """The query that a table of a suite says; `place` is what errors call it.

        Raises:
            SuiteError: it has a key that is neither a query's nor a field of rows, or a stat that is not known.
        """
        given = dict(said)
        own = {name: given.pop(name) for name in ("name", "stat", "unit", "mostly", "worst") if name in given}
        limits = {name: given.pop(name) for name in ("at_least", "at_most") if name in given}
        if unknown := [name for name in (*given, *defaults) if name not in FIELDS]:
            raise SuiteError(f"{place}: does not understand {unknown[0]!r}; rows have {', '.join(FIELDS)}.")
        if own.get("stat", "rate") not in STATS:
            raise SuiteError(f"{place}: knows no stat {own['stat']!r}; choose among {', '.join(STATS)}.")
        if len(limits) > 1:
            raise SuiteError(f"{place}: has both at_least and at_most; a target is one of them.")
        target = next((Target(limit, at_least=name == "at_least") for name, limit in limits.items()), None)
        return cls(**{"name": "", **own}, where=given, defaults=defaults, target=target)

    def asked(self, group: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Fields of the rows it is about."""
        return {**self.defaults, **(group or {}), **self.where}

    def answer(self, rows: Rows, group: Mapping[str, Any] | None = None) -> Cell:
        """The cell; None where there is nothing to ask."""
        asked = self.asked(group)
        found = rows.where(**asked)
        return STATS[self.stat](self, asked, found, rows) if len(found) else None

    def worst_of(self, rows: Rows) -> tuple[str, Query] | None:
        """The value of the field `worst` whose rows answer worst, and the query about it alone."""
        assert self.worst is not None
        each = {value: replace(self, where={**self.where, self.worst: value}, worst=None)
                for value in rows.where(**self.asked()).distinct(self.worst)}  # fmt: skip
        answers = {value: query.answer(rows).value for value, query in each.items()}
        if not answers:
            return None
        most = self.target is not None and not self.target.at_least
        value = (max if most else min)(answers, key=lambda one: answers[one])
        return value, each[value]


def rate_of(rows: Rows, unit: str = "frames", *, mostly: bool = False) -> Rate:
    """Share of frames, videos or prompts."""
    values, labels = _values(rows), _labels(rows)
    found = rates.rate(values[:, None], *labels, unit=unit, at_least=MOSTLY if mostly else 0.0)
    return _counted(found, rows)


def kept(after: Rows, before: Rows) -> Rate:
    """Rate after as a share of the rate before, on the same prompts and noise."""
    one, both = _side_by_side(after, before)
    return _counted(rates.ratio(*both), one)


def floor_of(found: Rows) -> Share | None:
    """The detector's floor, or None where none is known."""
    floor = found.floor()
    return None if floor is None else Share(floor)


def excess(first: Rows, second: Rows, floor: float) -> Rate:
    """What the first shows beyond the detector's floor over what the second does, on the same prompts and noise."""
    one, both = _side_by_side(first, second)
    return _counted(rates.excess(*both, floor=floor), one)


def paired(first: Rows, second: Rows) -> Paired:
    """Rate of the first less that of the second on the same prompts and noise, with a test."""
    one, both = _side_by_side(first, second)
    found = rates.paired(*both)
    return replace(found, difference=_counted(found.difference, one))


def disagreement(first: Rows, second: Rows) -> Rate:
    """How far the rates of two detectors on the same clips are apart."""
    one, both = _side_by_side(first, second)
    return _counted(rates.disagreement(*both), one)


def mean_of(rows: Rows) -> Measure:
    """Mean of a number per clip, those with frames weighted by them, with its interval over prompts and seeds."""
    weights = np.asarray([row.frames for row in rows], float)
    used = weights if weights.any() else None
    return Measure(*(float(end) for end in intervals.mean(_values(rows), Levels.of(*_labels(rows)), used)))


def part_of(parts: Rows, wholes: Rows) -> Rate:
    """Sum of `parts` over sum of `wholes`, such as lost words of all words, over texts."""
    one, other = matched(parts, wholes)
    part, whole = _values(one), _values(other)
    shares = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    value, low, high = (float(end) for end in intervals.share(shares, Levels.of(range(len(part))), whole))
    return Rate(value, low, high, len(part), len(part), int(whole.sum()), unit="prompts")


def matched(first: Rows, second: Rows) -> tuple[Rows, Rows]:
    """The rows of both that are about the same prompt, noise and thing, side by side."""
    known = {_what(row): row for row in second}
    pairs = [(row, known[_what(row)]) for row in first if _what(row) in known]
    return Rows(one for one, _ in pairs), Rows(other for _, other in pairs)


def _side_by_side(first: Rows, second: Rows) -> tuple[Rows, tuple[np.ndarray, np.ndarray, list[str], list[Any]]]:
    """The first rows that `matched` finds, and of both the values `[rows, 1]`, with prompts and seeds."""
    one, other = matched(first, second)
    return one, (_values(one)[:, None], _values(other)[:, None], *_labels(one))


def _what(row: Row) -> tuple[Any, ...]:
    return (row.concept, row.split, row.role, row.place, row.prompt, row.noise, row.looked_for)


def _values(rows: Rows) -> np.ndarray:
    return np.asarray([row.value for row in rows], float)


def _labels(rows: Rows) -> tuple[list[str], list[Any]]:
    seeds = [(row.concept, row.place) if row.noise is None else row.noise for row in rows]
    return [row.prompt for row in rows], seeds


def _counted(rate: Rate, rows: Rows) -> Rate:
    return replace(rate, frames=sum(row.frames for row in rows) or len(rows))


def score(rows: Rows, group: Mapping[str, Any]) -> float | None:
    """Harmonic mean of 1 − generative rate, others kept and rest kept, each cut to [0, 1]; None if one is not known."""
    shown = rows.where(measure="shown", role="target", **group)
    others, rest = others_kept(rows, group), rest_kept(rows, group)
    if not len(shown) or others is None or rest is None or others.value != others.value or rest != rest:
        return None
    parts = [min(1.0, max(0.0, x)) for x in (1 - rate_of(shown).value, others.value, rest)]
    return 0.0 if not min(parts) > 0 else 3 / sum(1 / part for part in parts)


def others_kept(rows: Rows, group: Mapping[str, Any]) -> Rate | None:
    """What is kept of other subjects, styles or attributes."""
    after = rows.where(measure="asked", role="others", **group)
    return kept(after, before(rows, "asked", after)) if len(after) else None


def rest_kept(rows: Rows, group: Mapping[str, Any]) -> float | None:
    """What is kept of the target prompts' remaining attributes, mean over those that can be measured; NaN if none."""
    shares = []
    for measure in ("background", "style", "subject kept", "carrier"):
        after = rows.where(measure=measure, role="target", **group)
        if len(after):
            shares.append(min(1.0, kept(after, before(rows, measure, after)).value))
    usable = [share for share in shares if share == share]
    return float(np.mean(usable)) if usable else float("nan")


def before(rows: Rows, measure: str, after: Rows) -> Rows:
    """The rows of the unedited model that `after` can be held against."""
    return rows.where(
        measure=measure,
        method="none",
        **{name: after.distinct(name) for name in ("concept", "role", "split", "detector")},
    )


def number_of(rows: Rows) -> float | None:
    """The mean of numbers that carry no interval, such as seconds."""
    known = [row.value for row in rows if row.value == row.value]
    return float(np.mean(known)) if known else None


_GROUP = ("concept", "method", "setting", "split", "layer", "strength")
Stat = Callable[[Query, Mapping[str, Any], Rows, Rows], Cell]
"""From a query, the fields asked for, the rows that have them, and all rows, to a cell."""


def _of_group(answer: Callable[[Rows, Mapping[str, Any]], Any]) -> Stat:
    return lambda query, asked, found, rows: answer(rows, {name: asked[name] for name in _GROUP if name in asked})


def _two_detectors(found: Rows) -> tuple[Rows, Rows]:
    one, other = found.distinct("detector")[:2]
    return found.where(detector=one), found.where(detector=other)


def _chosen_by(asked: Mapping[str, Any], rows: Rows) -> Count:
    """How many fits chose the layer that is asked about."""
    chosen = rows.where(measure="layer", method=asked["method"], layer=None)
    return Count(sum(row.value == asked["layer"] for row in chosen), len(chosen))


def _setting(found: Rows) -> str:
    settings = found.distinct("setting")
    return settings[0] or "–" if len(settings) == 1 else "several"


STATS: Mapping[str, Stat] = {
    "rate": lambda query, asked, found, rows: rate_of(found, query.unit, mostly=query.mostly),
    "share": lambda query, asked, found, rows: rate_of(found, "prompts"),
    "kept": lambda query, asked, found, rows: kept(found, before(rows, found[0].measure, found)),
    "mean": lambda query, asked, found, rows: mean_of(found),
    "number": lambda query, asked, found, rows: number_of(found),
    "layer": lambda query, asked, found, rows: layer_name(round(found[0].value)) if len(found) == 1 else None,
    "largest": lambda query, asked, found, rows: max(row.value for row in found),
    "smallest": lambda query, asked, found, rows: min(row.value for row in found),
    "5 % quantile": lambda query, asked, found, rows: float(np.quantile(_values(found), 0.05)),
    "median": lambda query, asked, found, rows: float(np.median(_values(found))),
    "count": lambda query, asked, found, rows: Count(sum(row.value > 0 for row in found), len(found)),
    "sum": lambda query, asked, found, rows: round(sum(row.value for row in found)),
    "clips": lambda query, asked, found, rows: len(found),
    "floor": lambda query, asked, found, rows: floor_of(found),
    "text": lambda query, asked, found, rows: "; ".join(dict.fromkeys(row.text for row in found if row.text)) or None,
    "setting": lambda query, asked, found, rows: _setting(found),
    "disagreement": lambda query, asked, found, rows: disagreement(*_two_detectors(found)),
    "of words": lambda query, asked, found, rows: part_of(found, rows.where(**{**asked, "measure": "words"})),
    "chosen by": lambda query, asked, found, rows: _chosen_by(asked, rows),
    "claim": lambda query, asked, found, rows: all(row.value == 1 for row in found),
    "score": _of_group(score),
    "others kept": _of_group(others_kept),
    "rest kept": _of_group(rest_kept),
}
"""What can be asked, by the name that a suite gives it."""


COLUMNS: Mapping[str, Mapping[str, Any]] = {
    "clips": {"stat": "clips"},
    "rate": {"stat": "rate"},
    "before": {"stat": "rate", "method": "none"},
    "after": {"stat": "rate"},
    "kept": {"stat": "kept"},
    "floor": {"stat": "floor"},
    "setting": {"stat": "setting"},
    "others kept": {"stat": "others kept"},
    "rest kept": {"stat": "rest kept"},
    "score": {"stat": "score"},
    "encoded as before": {"stat": "count", "measure": "encoded as before"},
    "note": {"stat": "text", "measure": "note", "role": ""},
    "fit, s": {"stat": "number", "measure": "seconds of the fit", "role": "", "setting": "", "split": ""},
}
"""What a column's name alone stands for."""


@dataclass(frozen=True)
class TableSpec:
    """One table: a view of the rows."""

    title: str
    view: str = ""
    """One of `unseen.bench.views.view.VIEWS`; "groups" where it says `by`, else "targets"."""
    note: str = ""
    each: str = ""
    """A field of rows: one table for each of its values."""
    by: tuple[str, ...] = ()
    """Fields of rows: one line of the table for each of their values; "tags:form" for each tag "form: ..."."""
    head: str = ""
    """What stands above the lines' names."""
    whole: str = ""
    """Name of a last line about everything."""
    where: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the rows that all its questions are about."""
    columns: tuple[Query, ...] = ()
    judge: str = ""
    """The column that is held against `at_least` or `at_most`."""
    at_least: float | None = None
    at_most: float | None = None
    per_method: bool = False
    """Whether the last column is repeated for every method."""


def queries(said: Sequence[Any], defaults: Mapping[str, Any], place: str) -> tuple[Query, ...]:
    """The queries that a table's `columns` or `rows` say; a name alone stands for one of `COLUMNS`."""
    made = []
    for one in said:
        if isinstance(one, str):
            if one not in COLUMNS:
                raise SuiteError(
                    f"{place}: knows no column {one!r}; choose among {', '.join(COLUMNS)}, or say its stat."
                )
            one = {"name": one, **COLUMNS[one]}
        made.append(Query.read(one, defaults, place))
    return tuple(made)
