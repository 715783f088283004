"""The comparison: every method at its best development setting, on the same prompts, and what is said of the result."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("diffusers")

from unseen.bench import compare
from unseen.bench.comparison import write_cells
from unseen.bench.study import Settings, Study
from unseen.bench.sweep import SweepCell
from unseen.clear.config import ClearConfig
from unseen.methods import METHODS
from unseen.metrics.rates import Rate

SMALL = ClearConfig(pairs=60, held_out=10, neutral=100, features=320, rounds=2, warm_up=1, sae_steps=60, max_length=32)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Diorama itself, two denoising steps a clip, small fits."""
    monkeypatch.setattr(Study, "config", SMALL)
    settings = Settings(tmp_path / "out", concepts=("church",), clips=2, steps=2, progress=False)
    return Study(settings, cache_folder=tmp_path / "clips")


def test_every_method_is_in_the_grid_with_settings_that_it_has() -> None:
    assert set(compare.GRID) == {"clear", "clear_paper", *METHODS} - {"none"}
    for name, grid in compare.GRID.items():
        assert 1 <= len(grid) <= 4
        if name in METHODS:
            assert all(set(setting) <= set(METHODS[name].settings) for setting in grid)
            assert set(compare.SMALL_SETTINGS.get(name, {})) <= set(METHODS[name].settings)


def test_a_comparison_tunes_on_development_and_reports_on_test(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("clear", "negative_prompt", "safree", "video_eraser")
    monkeypatch.setattr(compare, "GRID", {name: compare.GRID[name][:2] for name in names})
    table, summary = compare.evaluate_methods(study)
    assert {row[0] for row in table.rows} == {"none", *names}
    assert all(row[2] == 2 for row in table.rows)
    settings = {row[0]: row[1] for row in table.rows}
    assert settings["negative_prompt"] == "–" and settings["safree"].startswith("alpha ")
    assert summary.rows[0][:2] == ("church", "object") and len(summary.rows) == 1

    with closing(sqlite3.connect(study.settings.folder / "methods.sqlite")) as stored:
        rows = stored.execute("SELECT method, setting, split, generative_rate FROM cells").fetchall()
    assert len(rows) == sum(len(compare.GRID[name]) for name in names) + len(names)
    reported = {method: (setting, rate) for method, setting, split, rate in rows if split == "test"}
    assert reported == {row[0]: (row[1], row[3].value) for row in table.rows if row[0] != "none"}
    page = (study.settings.folder / "methods.html").read_text()
    assert "Trade-off: church" in page and page.count("<figure>") == len(names)  # one text, drawn twice
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "") and "https://" not in page

    drawn = study.runner.drawn
    monkeypatch.setattr(METHODS["safree"].__class__, "fit", None)  # nothing is fitted or drawn a second time
    again, _ = compare.evaluate_methods(study)
    assert study.runner.drawn == drawn
    assert [row[:8] for row in again.rows] == [row[:8] for row in table.rows]


def found(method: str, generative: float, others: float) -> compare.Compared:
    def rate(value: float) -> Rate:
        return Rate(value, value, value, 4, 36)

    hits = np.zeros((4, 9), bool)
    hits.flat[: round(36 * generative)] = True
    return compare.Compared(method, "–", 1.0, SweepCell(0, 1.0, rate(generative), rate(others), 1.0), hits, 1.0)


@pytest.mark.parametrize(
    ("own", "others", "met", "ratio"),
    [
        (0.10, [("safree", 0.5, 1.0)], True, 0.2),
        (0.40, [("safree", 0.5, 1.0)], False, 0.8),
        (0.40, [("safree", 0.5, 0.9), ("uce", 0.9, 0.97)], True, 0.44),  # SAFREE keeps too little to compete
        (0.0, [("safree", 0.0, 1.0)], True, "tie"),
    ],
)
def test_clear_is_held_against_the_best_that_keeps_enough(study: Study, own, others, met, ratio) -> None:
    prompts = study.writer.single("church", 4, role="target")
    row = compare._against_the_best(study, "church", prompts, [found("clear", own, 1.0), *(found(*o) for o in others)])
    assert row[-1] is met
    assert row[5] == ratio if ratio == "tie" else abs(row[5].value - ratio) < 0.06


def test_without_a_rival_nothing_is_claimed(study: Study) -> None:
    prompts = study.writer.single("church", 4, role="target")
    row = compare._against_the_best(study, "church", prompts, [found("clear", 0.0, 1.0), found("uce", 0.0, 0.5)])
    assert row[3] == "no method keeps enough" and row[-1] is None


def test_the_cells_are_replaced_as_a_whole_or_not_at_all(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def stored() -> int:
        with closing(sqlite3.connect(study.settings.folder / "methods.sqlite")) as connection:
            return connection.execute("SELECT count(*) FROM cells").fetchone()[0]

    write_cells(study, {"church": [found("clear", 0.1, 1.0), found("uce", 0.1, 1.0)]})
    assert stored() == 2
    broken = {"church": [found("clear", 0.1, 1.0), replace(found("uce", 0.1, 1.0), setting=object())]}
    with pytest.raises(sqlite3.Error):
        write_cells(study, broken)
    assert stored() == 2
