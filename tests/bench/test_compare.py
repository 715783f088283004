"""The comparison: every method at its best development setting, on the same prompts, and what is said of the result."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import WIDER_FIT

pytest.importorskip("diffusers")

from tiny import make_small_diorama

from unseen.baselines import BASELINES
from unseen.bench import compare
from unseen.bench.comparison import write_cells
from unseen.bench.study import Settings, Study
from unseen.bench.sweep import SweepCell, prompts_for
from unseen.metrics.rates import Rate, rate


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Diorama's text encoder before a tiny video model with random weights, small fits."""
    monkeypatch.setattr(Study, "config", WIDER_FIT)
    settings = Settings(tmp_path / "out", concepts=("church",), clips=2, steps=2, progress=False)
    return Study(settings, load=make_small_diorama, cache_folder=tmp_path / "clips")


def test_every_method_is_in_the_grid_with_settings_that_it_has() -> None:
    assert set(compare.GRID) == {"clear", "clear_paper", *BASELINES} - {"none"}
    for name, grid in compare.GRID.items():
        assert 1 <= len(grid) <= 4
        if name in BASELINES:
            assert all(set(setting) <= set(BASELINES[name].settings) for setting in grid)
            assert set(compare.SMALL_SETTINGS.get(name, {})) <= set(BASELINES[name].settings)


def test_a_comparison_tunes_on_development_and_reports_on_test(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("clear", "negative_prompt", "safree", "video_eraser")
    monkeypatch.setattr(compare, "GRID", {name: compare.GRID[name][:2] for name in names})
    table, instead, own, others, summary, differences = compare.evaluate_methods(study)
    assert {row[0] for row in table.rows} == {"none", *names}
    assert all(row[2] == 2 for row in table.rows)
    settings = {row[0]: row[1] for row in table.rows}
    assert settings["negative_prompt"] == "–" and settings["safree"].startswith("alpha ")
    assert summary.rows[0][:2] == ("church", "object") and len(summary.rows) == 1
    assert {row[:3] for row in differences.rows} == {("church", name, 2) for name in names[1:]}
    assert all(row[-2] <= row[-1] <= 1 for row in differences.rows)
    rendered = {"exact renders", "renders without it"}
    assert [row[0] for row in instead.rows if row[0] not in rendered] == [row[0] for row in table.rows]
    for picture, beside in ((own, rendered), (others, {"exact renders"})):
        assert {row[0] for row in picture.rows} == {"none", *beside, *names}
        assert {row[0] for row in picture.rows if row[-1] is None} == {"none", *beside}

    with closing(sqlite3.connect(study.settings.folder / "methods.sqlite")) as stored:
        rows = stored.execute("SELECT method, setting, split, generative_rate FROM cells").fetchall()
        names_of = [column[1] for column in stored.execute("PRAGMA table_info(cells)")]
        kept = dict(stored.execute("SELECT method, videos_mostly_of_it FROM cells WHERE split = 'test'").fetchall())
        tuned = stored.execute("SELECT count(esr_1), count(other_motion) FROM cells WHERE split != 'test'").fetchone()
    assert len(rows) == sum(len(compare.GRID[name]) for name in names) + len(names) + 1
    assert {"id_similarity_low", "near_neighbour", "own_off_the_look", "other_psr_1_high"} < set(names_of)
    assert kept == {
        row[0]: row[instead.columns.index("videos mostly of it")].value
        for row in instead.rows
        if row[0] not in rendered
    }
    assert tuned == (0, 0)  # what it does besides is measured on test wording alone
    reported = {
        method: (setting, rate) for method, setting, split, rate in rows if split == "test" and method != "none"
    }
    assert reported == {row[0]: (row[1], row[3].value) for row in table.rows if row[0] != "none"}
    page = (study.settings.folder / "methods.html").read_text()
    assert "Trade-off: church" in page and page.count("<figure>") == len(names)  # one text, drawn twice
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "") and "https://" not in page

    drawn = study.runner.drawn
    monkeypatch.setattr(BASELINES["safree"].__class__, "fit", None)  # nothing is fitted or drawn a second time
    again, *_ = compare.evaluate_methods(study)
    assert study.runner.drawn == drawn
    assert (
        [[str(cell) for cell in row[:8]] for row in again.rows]
        == [  # a share of nothing is not a number
            [str(cell) for cell in row[:8]] for row in table.rows
        ]
    )


def cell(generative: float, others: float) -> SweepCell:
    return found("", generative, others).cell


@pytest.mark.parametrize(
    ("cells", "chosen"),
    [
        ([(0.5, 1.0), (0.3, 0.97), (0.0, 0.9)], 1),  # the third has the best score
        ([(0.5, 0.8), (0.1, 0.7), (0.6, 0.94)], 1),  # none keeps enough: the best score
        ([(0.0, 0.95), (0.0, 0.95)], 0),  # the first of equals
    ],
)
def test_a_setting_that_keeps_enough_is_preferred_to_one_with_a_better_score(cells, chosen) -> None:
    made = [cell(*values) for values in cells]
    assert compare.best_setting(made) == chosen


def test_the_score_alone_would_have_chosen_otherwise() -> None:
    kept, thorough = cell(0.3, 0.97), cell(0.0, 0.9)
    assert thorough.score > kept.score and compare.best_setting([kept, thorough]) == 0


@pytest.mark.parametrize("key", ["church", "amber_bramble", "burning", "inkwell", "thicket"])
def test_more_clips_to_report_hold_those_of_fewer(study: Study, key: str) -> None:
    def asked(split: str, **counts: int) -> dict[str, list[tuple[str, int]]]:
        settings = replace(study.settings, **counts)
        roles = prompts_for(Study(settings, pipe=study.pipe, detectors=study.detectors), key, split)
        return {role: [(p.text, p.seed) for p in prompts] for role, prompts in roles.items()}

    few, many = asked("test", clips=8), asked("test", clips=8, test_clips=20)
    assert many["target"][:8] == few["target"] and len(many["target"]) == 20
    assert set(few["others"]) <= set(many["others"]) and len(many["others"]) > len(few["others"])
    assert len(set(many["others"])) == len(many["others"])
    assert asked("development", clips=8, test_clips=20) == asked("development", clips=8)


def found(method: str, generative: float, others: float, clips: int = 4) -> compare.Compared:
    kept = Rate(others, others, others, clips, clips, 9 * clips)
    hits = np.repeat(np.arange(clips) < round(clips * generative), 9).reshape(clips, 9)
    shown = rate(hits, range(clips), range(clips))
    return compare.Compared(method, "–", 1.0, SweepCell(0, 1.0, shown, kept, 1.0), hits, 1.0)


@pytest.mark.parametrize(
    ("clips", "own", "others", "verdict", "ratio"),
    [
        (200, 0.10, [("safree", 0.5, 1.0)], "met", 0.2),
        (200, 0.40, [("safree", 0.5, 1.0)], "missed", 0.8),
        (200, 0.20, [("safree", 0.5, 0.9), ("uce", 0.9, 0.97)], "met", 0.22),  # SAFREE keeps too little to compete
        (200, 0.25, [("safree", 0.5, 1.0)], "undecided", 0.5),
        (8, 0.125, [("safree", 0.5, 1.0)], "undecided", 0.25),  # half as much, and few clips
        (300, 0.0, [("safree", 0.0, 1.0)], "met", "tie"),
        (24, 0.0, [("safree", 0.0, 1.0)], "undecided", "tie"),  # either may show 10 %
    ],
)
def test_clear_is_held_against_the_best_that_keeps_enough(study: Study, clips, own, others, verdict, ratio) -> None:
    prompts = study.writer.single("church", 2 * clips, role="target")[::2]
    done = [found("clear", own, 1.0, clips), *(found(*other, clips) for other in others)]
    row = compare._against_the_best(study, "church", prompts, done)
    assert row[-1].outcome == verdict, row
    assert row[5] == ratio if ratio == "tie" else abs(row[5].value - ratio) < 0.06


def test_differences_are_paired_tested_and_corrected(study: Study) -> None:
    prompts = study.writer.single("church", 80, role="target")[::2]
    others = [found("safree", 0.5, 1.0, 40), found("uce", 0.1, 1.0, 40), found("blocklist", 0.2, 1.0, 40)]
    table = compare.differences_table({"church": [found("clear", 0.1, 1.0, 40), *others]}, {"church": prompts})
    difference, p, corrected = (dict(zip([row[1] for row in table.rows], column, strict=True))
                                for column in list(zip(*table.rows, strict=True))[3:])  # fmt: skip
    assert difference["safree"].high < 0 and corrected["safree"] < 0.05
    assert difference["uce"].low < 0 < difference["uce"].high and p["uce"] == 1
    assert corrected["safree"] == pytest.approx(3 * p["safree"]) and corrected["blocklist"] >= p["blocklist"]


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
