"""What a comparison of methods leaves behind: every measured cell in a SQLite database, and a page to look at."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.bench import attacks
from unseen.bench.charts import tradeoff_chart
from unseen.bench.effect_tables import NONE, columns, values
from unseen.bench.effects import Effects
from unseen.bench.prompts import Prompt, concept_kind
from unseen.bench.report import PairGroup, Report, ShownPair
from unseen.bench.study import Study, floor_of
from unseen.bench.sweep import SweepCell, prompts_for
from unseen.bench.tables import Table
from unseen.diorama.world import captions

if TYPE_CHECKING:
    from unseen.bench.compare import Compared

COLUMNS = (
    "concept", "kind", "method", "setting", "split", "clips", "generative_rate", "generative_low", "generative_high",
    "floor", "others_kept", "others_low", "others_high", "rest_kept", "score", "fit_seconds", "relative_time",
    *columns(),
)  # fmt: skip
"""Of the table `cells`; a row leaves empty what was not measured, such as all but the rates on development wording."""
SHOWN = 2
"""Target prompts whose clips the page shows, for every method."""

Results = Mapping[str, "Sequence[Compared]"]
"""By key of the concept."""


def cells(study: Study, results: Results, unedited: Mapping[str, Effects] | None = None) -> Iterator[dict[str, Any]]:
    """One row for every method, concept, setting and split that was measured, and for the `unedited` model."""
    for key, done in results.items():
        common = {"concept": captions.main_name(key), "kind": concept_kind(key), "floor": floor_of(study.judge, key)}
        if unedited and key in unedited:
            yield common | {"method": NONE, "setting": "–", "split": "test", **dict(values(unedited[key]))}
        for found in done:
            rows: list[tuple[str, str, SweepCell]] = [(setting, "development", c) for setting, c in found.curve]
            besides = dict(values(found.effects)) if found.effects is not None else {}
            for setting, split, cell in [*rows, (found.setting, "test", found.cell)]:
                yield (
                    common
                    | (besides if split == "test" else {})
                    | {
                        "method": found.method,
                        "setting": setting,
                        "split": split,
                        "clips": cell.generative.clips,
                        "generative_rate": cell.generative.value,
                        "generative_low": cell.generative.low,
                        "generative_high": cell.generative.high,
                        "others_kept": cell.others.value,
                        "others_low": cell.others.low,
                        "others_high": cell.others.high,
                        "rest_kept": cell.rest,
                        "score": cell.score,
                        "fit_seconds": found.fit_seconds,
                        "relative_time": found.seconds,
                    }
                )


def write_cells(
    study: Study,
    results: Results,
    unedited: Mapping[str, Effects] | None = None,
    attacked: Sequence[attacks.Attacked] = (),
) -> Path:
    """Write the tables `cells` and `attacks` of `methods.sqlite` in the evaluation's folder anew, all rows or none."""
    path = study.settings.folder / "methods.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    tables = (
        ("cells", COLUMNS, list(cells(study, results, unedited))),
        ("attacks", attacks.COLUMNS, list(attacks.rows(study, attacked))),
    )
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("BEGIN")  # sqlite3 opens no transaction of its own before DROP and CREATE
        for name, columns_of, rows in tables:
            connection.execute(f"DROP TABLE IF EXISTS {name}")
            connection.execute(f"CREATE TABLE {name} ({', '.join(columns_of)})")
            connection.executemany(
                f"INSERT INTO {name} VALUES ({', '.join('?' * len(columns_of))})",
                [tuple(row.get(column) for column in columns_of) for row in rows],
            )
    return path


def comparison_page(
    study: Study, results: Results, tables: Sequence[Table], attacked: Sequence[attacks.Attacked] = ()
) -> Path:
    """Write `methods.html`: the trade-off of every concept, clips of all methods from the same noise, the tables."""
    settings = study.settings
    charts = []
    for key, done in results.items():
        curves = {
            found.method: [(cell.others.value, cell.generative.value, label) for label, cell in found.curve]
            for found in done
        }
        chosen = {found.method: (found.cell.others.value, found.cell.generative.value) for found in done}
        charts.append((f"Trade-off: {captions.main_name(key)}", tradeoff_chart(curves, chosen)))
    groups = []
    for key, done in results.items():
        name, prompts = captions.main_name(key), prompts_for(study, key, "test")["target"]
        groups.append(_clips(study, name, prompts[: 2 * SHOWN : 2], done))
        groups += [
            _clips(study, f"{name}, attacked with {found.attack}", found.prompts[: 2 * SHOWN : 2], done)
            for found in attacked
            if found.key == key and found.words is not None
        ]
    report = Report(
        title="Methods compared",
        lead="Every method on the same prompts and the same noise, each at the setting that was best on development "
        "wording.",
        groups=groups,
        tables=tables,
        charts=charts,
        charts_note="Lines: the settings of a method on development wording; dots: the chosen one on test wording. "
        "Best is the lower right corner: nothing of the concept, everything else kept.",
        facts=[
            ("pipeline weights", study.weights),
            ("seed", str(settings.seed)),
            ("detector", study.judge.describe()),
        ],
    )
    return report.write(settings.folder / "methods.html")


def _clips(study: Study, title: str, prompts: Sequence[Prompt], done: Sequence[Compared]) -> PairGroup:
    before = study.clips(prompts).frames
    pairs = [
        ShownPair(found.method, early, late, prompt.text)
        for found in done
        if found.best is not None
        for prompt, early, late in zip(prompts, before, study.clips(prompts, found.best).frames, strict=True)
    ]
    return PairGroup(title, "Left without, right with the method, from the same noise.", pairs)
