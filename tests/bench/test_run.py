"""A suite is run from its file to its page: rows, tables, files, and what a second run leaves alone."""

from __future__ import annotations

import csv
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SMALLEST_FIT, WIDER_FIT

pytest.importorskip("diffusers")

from tiny import make_small_diorama, make_wan

import unseen.bench
from unseen.baselines import BASELINES
from unseen.bench.demo import run_demo
from unseen.bench.eye import collect
from unseen.bench.methods import FAMILIES, Made, Wanted, leace, mean_difference
from unseen.bench.prompts.recipes import RECIPES, Ask, others, sentences
from unseen.bench.prompts.rewording import listed_names
from unseen.bench.prompts.writer import PromptWriter
from unseen.bench.rows import FIELDS, Results, Row, Run
from unseen.bench.run import Ran, checked, load_suite, run, run_suite
from unseen.bench.study import Study
from unseen.bench.suite import Cell, Suite
from unseen.detectors.registry import from_callable
from unseen.diorama.detector.labelling import load_run, write_sheets
from unseen.diorama.world import captions
from unseen.diorama.world.concepts import concept_of
from unseen.errors import FitError, StoreError, SuiteError

TUNED = """
like = "methods"
title = "Small"
concepts = ["church"]
methods = ["negative_prompt", { name = "safree", settings = [{ alpha = 0.0 }, { alpha = 0.05 }] }]
clips = 2
steps = 1
renders = false
reported = ["changed"]
"""


@pytest.fixture(scope="module")
def pipe() -> Any:
    return make_small_diorama()


def studied(pipe: Any, folder: Path, suite: Suite, **said: Any) -> Study:
    said = {"config": SMALLEST_FIT, **said}
    return Study(
        suite, folder / "out", pipe=pipe, load=make_small_diorama, clips=folder / "clips", progress=False, **said
    )


def of_file(folder: Path, text: str) -> Suite:
    path = folder / "my-own.toml"
    path.write_text(text, encoding="utf-8")
    return load_suite(path)


@pytest.fixture(scope="module")
def tuned(pipe: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Study, Path]:
    """A small comparison of two baselines, run once."""
    folder = tmp_path_factory.mktemp("tuned")
    study = studied(pipe, folder, of_file(folder, TUNED))
    return run_suite(study, results=folder / "pages" / "results.md", command="unseen evaluate mine.toml"), study, folder


def test_a_comparison_tunes_on_development_and_reports_on_test(tuned: tuple[Ran, Study, Path]) -> None:
    rows = tuned[0].rows
    shown = rows.where(measure="shown", role="target")
    assert shown.where(split="development", method="safree").distinct("setting") == ["alpha 0", "alpha 0.05"]
    [setting] = shown.where(split="test", method="safree").distinct("setting")
    assert setting in ("alpha 0", "alpha 0.05")
    assert {len(shown.where(split="test", method=name)) for name in ("none", "negative_prompt", "safree")} == {2}
    assert set(rows.where(measure="changed").distinct("split")) == {"test"}, "what is besides is measured on test alone"
    [table] = [table for table in tuned[0].tables if table.title == "Methods: church"]
    assert {row[0]: row[1] for row in table.rows} == {"none": "–", "negative_prompt": "–", "safree": setting}
    assert {row[2] for row in table.rows} == {2}
    assert rows.where(measure="clip's time, × none").distinct("method") == ["negative_prompt", "safree"]


def test_every_row_names_its_clip_its_detector_and_what_was_looked_for(tuned: tuple[Ran, Study, Path]) -> None:
    ran, study, _ = tuned
    shown = ran.rows.where(measure="shown")
    assert all(row.looked_for == "church" and row.floor is not None and row.frames == 9 for row in shown)
    assert len(shown.distinct("detector")) == 1 and " v" in shown[0].detector
    assert all(study.runner.store.load(row.clip) is not None for row in shown)
    identical = {
        row.place: row.value for row in ran.rows.where(measure="encoded as before", method="safree", role="others")
    }
    base = {row.place: row.clip for row in ran.rows.where(measure="shown", role="others", method="none", split="test")}
    after = {
        row.place: row.clip for row in ran.rows.where(measure="shown", role="others", method="safree", split="test")
    }
    assert all((base[place] == after[place]) == bool(same) for place, same in identical.items())


def test_a_second_run_adds_to_the_first_and_draws_nothing(
    tuned: tuple[Ran, Study, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ran, study, folder = tuned
    monkeypatch.setattr(study, "suite", replace(study.suite, timed=False))  # times are taken anew by every run
    files = {
        path: path.read_bytes()
        for path in (folder / "out").iterdir()
        if path.suffix in (".md", ".csv", ".tex", ".html")
    }
    drawn = study.runner.drawn
    again = run_suite(study)
    assert study.runner.drawn == drawn and again.number == ran.number + 1
    times = ("seconds of the fit", "kilobytes", "clip's time, × none")
    assert [row for row in again.rows if row.measure not in times] == [r for r in ran.rows if r.measure not in times]
    assert all(path.read_bytes() == content for path, content in files.items()) and files
    stored = unseen.bench.load(folder / "out")
    assert list(stored.runs()) == [ran.number, again.number] and len(stored.rows(ran.number)) == len(ran.rows)
    with closing(sqlite3.connect(stored.path)) as connection:
        found = connection.execute("SELECT DISTINCT run, suite, model, seed FROM rows ORDER BY run").fetchall()
    assert found == [(run, study.suite.name, "wan", 0) for run in (ran.number, again.number)]


def test_a_run_leaves_figures_first_and_tables_in_three_forms(tuned: tuple[Ran, Study, Path]) -> None:
    ran, _, folder = tuned
    page = (folder / "pages/results.md").read_text(encoding="utf-8")
    assert "Written by `unseen evaluate mine.toml`" in page and page.index("## Figures") < page.index("## Tables")
    linked = [line.split("](")[1].rstrip(")") for line in page.splitlines() if line.startswith("![")]
    assert linked and all((folder / "pages" / name).is_file() for name in linked)
    assert linked == ["figures/results-trade-off-church.svg"], "a page made anew replaces its figures"
    stem = f"my-own-{ran.number}"
    table = next(table for table in ran.tables if table.title == "Methods: church")
    with (folder / f"out/{stem}-methods-church.csv").open(encoding="utf-8", newline="") as lines:
        assert [row["method"] for row in csv.DictReader(lines)] == [row[0] for row in table.rows]
    latex = (folder / f"out/{stem}-methods-church.tex").read_text(encoding="utf-8")
    assert r"\begin{tabular}" in latex and r"negative\_prompt" in latex and latex.count(r"\\") == 1 + len(table.rows)
    html = (folder / f"out/{stem}.html").read_text(encoding="utf-8")
    assert "Trade-off: church" in html and html.count("<figure>") == 2  # one text, drawn twice, by two methods
    assert html.index("Trade-off") < html.index("Numbers")


def test_a_changed_baseline_is_drawn_anew_and_old_numbers_do_not_stay(
    pipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        TUNED.replace('"negative_prompt", ', "")
        .replace(", { alpha = 0.05 }", "")
        .replace("clips = 2", 'tune = ""\nclips = 2')
    )
    suite = of_file(tmp_path, text.replace('reported = ["changed"]', "reported = []\ntimed = false"))
    first = run(studied(pipe, tmp_path, suite)).rows.where(measure="shown", method="safree")
    monkeypatch.setitem(BASELINES, "safree", BASELINES["safree"]._replace(put_on=BASELINES["blocklist"].put_on))
    study = studied(pipe, tmp_path, suite)  # the artefact's key is what it was
    second = run(study).rows.where(measure="shown", method="safree")
    assert study.runner.drawn > 0 and {row.clip for row in first}.isdisjoint(
        row.clip for row in second if row.role == "target"
    )


# Rows


def a_run(**said: Any) -> Run:
    return Run(
        **{"suite": "mine", "model": "wan", "seed": 0, "weights": "ab", "facts": {"x": 1}, "seconds": 1.0, **said}
    )


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = [Row("shown", 0.25, concept="church", noise=3, tags="|a: b|", frames=9), Row("failed", text="why", layer=-1)]
    number = Results(tmp_path).add(a_run(), rows)
    back = unseen.bench.load(tmp_path).rows(number)
    assert back[0] == rows[0] and (back[1].text, back[1].layer) == ("why", -1) and np.isnan(back[1].value)
    assert unseen.bench.load(tmp_path).runs()[number] == a_run()


def test_a_run_is_added_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add(a_run(), [Row("shown", 1.0)])
    with pytest.raises(sqlite3.Error):
        results.add(a_run(seed=1), [Row("shown", 1.0), Row("shown", 1.0, text=object())])  # type: ignore[arg-type]
    assert len(results.runs()) == 1 and len(results.rows()) == 1


def test_columns_have_types(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.Error, match="cannot store TEXT"):
        Results(tmp_path).add(a_run(), [Row("shown", "much")])  # type: ignore[arg-type]


def test_the_last_run_of_a_suite_is_the_one_that_is_read(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for suite, value in (("a", 0.1), ("b", 0.2), ("a", 0.3), ("b", 0.4)):
        results.add(a_run(suite=suite), [Row("shown", value)])
    assert [results.rows(suite=suite)[0].value for suite in ("a", "b")] == [0.3, 0.4]
    assert results.rows()[0].value == 0.4 and results.rows(2)[0].value == 0.2
    with pytest.raises(StoreError, match="expected a run of c, got none"):
        results.rows(suite="c")


def test_what_is_no_table_of_rows_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist; `unseen evaluate NAME --out"):
        unseen.bench.load(tmp_path)
    (tmp_path / "rows.sqlite").write_text("not a database, but long enough to be read as one" * 30, encoding="utf-8")
    with pytest.raises(StoreError, match="is not a table of rows"):
        unseen.bench.load(tmp_path).runs()


def test_a_notebook_gets_a_data_frame(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    Results(tmp_path).add(a_run(), [Row("shown", 0.5), Row("failed")])
    frame = unseen.bench.load(tmp_path).to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame) == ["run", "suite", "model", "seed", *FIELDS] and list(frame.value.isna()) == [False, True]


def test_without_pandas_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    Results(tmp_path).add(a_run(), [])
    with pytest.raises(StoreError, match=r"pip install 'unseen\[notebook\]'"):
        unseen.bench.load(tmp_path).to_pandas()


# Prompts by role


def asked(key: str, split: str, count: int, fewer: int) -> dict[str, list[tuple[str, int]]]:
    def nothing() -> Any:
        raise AssertionError("not asked for")

    ask = Ask(key, concept_of(key), PromptWriter(split), Cell("others"), count, fewer, nothing, nothing, (key,), 0)
    made = {"target": ask.plain(), "others": others(ask)}
    assert {p.key for p in made["target"]} == {key} and key not in {p.key for p in made["others"]}
    return {role: [(p.text, p.seed) for p in prompts] for role, prompts in made.items()}


@pytest.mark.parametrize("key", ["church", "amber_bramble", "burning", "inkwell", "thicket"])
def test_more_clips_to_report_hold_those_of_fewer(key: str) -> None:
    few, many = asked(key, "test", 8, 8), asked(key, "test", 20, 8)
    assert many["target"][:8] == few["target"] and len(many["target"]) == 20
    assert set(few["others"]) <= set(many["others"]) and len(many["others"]) > len(few["others"])
    assert len(set(many["others"])) == len(many["others"])
    assert len(asked(key, "development", 8, 8)["others"]) >= 2


@pytest.mark.parametrize("split", ["development", "test"])
@pytest.mark.parametrize("key", ["inkwell", "ember"])
def test_a_sentence_that_asks_for_no_style_is_the_same_but_for_its_phrase(key: str, split: str) -> None:
    def nothing() -> Any:
        raise AssertionError("not asked for")

    writer, role = PromptWriter(split), "sentence, style unasked"
    ask = Ask(key, concept_of(key), writer, Cell(role), 1000, 8, nothing, nothing, (key,), 0)
    asked = [entry for entry in sentences(split)["asked"] if entry["key"] == key]
    texts = [prompt.text for prompt in RECIPES[role](ask)]
    assert len(texts) == len(asked) > 5
    for text, entry in zip(texts, asked, strict=True):
        assert entry["phrase"] not in text and "picture" in text and all(w in text.lower() for w in entry["keep"])
    church = replace(ask, key="church", concept=concept_of("church"), keys=("church",))
    assert not RECIPES[role](church)


def test_listed_names_are_none_that_are_measured() -> None:
    for key in ("church", "french_horn"):
        listed = listed_names(key)
        assert listed and not {f"a {name}" for name in listed} & set(captions.names(key, "synonym", "test"))


# Other suites, small


FAST = {"clips": 2, "steps": 1}


def test_clips_for_the_eye_can_be_labelled(pipe: Any, tmp_path: Path) -> None:
    study = studied(pipe, tmp_path, load_suite("objects").with_options(concepts=["church"], **FAST))
    np.savez(tmp_path / "run.npz", **collect(study, 2))
    run = load_run(tmp_path / "run.npz")
    assert run.erased.sum() >= 2 and (~run.erased).sum() >= 4
    assert len(write_sheets(run, tmp_path / "sheets", count=4)) == 1


def test_a_concept_whose_fit_fails_is_said_and_the_others_go_on(
    pipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(wanted: Wanted) -> Made:
        raise FitError("no feature is specific. Give it more pairs.")

    monkeypatch.setattr("unseen.bench.methods.FAMILIES", {**FAMILIES, "clear": fails})
    suite = load_suite("methods").with_options(concepts=["church"], methods=["clear", "negative_prompt"], **FAST)
    suite = replace(suite, reported=(), renders=False, timed=False)
    ran = run(studied(pipe, tmp_path, suite))
    assert [(row.method, row.text) for row in ran.rows.where(measure="failed")] == [("clear", "no feature is specific")]
    [table] = [t for t in ran.tables if t.title == "Methods that could not be fitted"]
    assert table.rows == (("church", "clear", "no feature is specific"),)
    assert ran.rows.where(measure="shown", method="negative_prompt", split="test")


@pytest.mark.slow
def test_a_sweep_measures_every_layer_and_goes_on_where_it_stopped(pipe: Any, tmp_path: Path) -> None:
    suite = load_suite("sweep").with_options(concepts=["church"], **FAST)
    [spec] = suite.methods
    suite = replace(suite, methods=(replace(spec, settings=({"strength": 1.0}, {"strength": 1.5})),))
    study = studied(pipe, tmp_path, suite, config=WIDER_FIT)
    ran = run_suite(study)
    shown = ran.rows.where(measure="shown", role="target", method="layers")
    assert set(shown.distinct("layer")) == {-1, *range(6)}
    assert len({(r.layer, r.strength) for r in shown.where(split="development")}) == 14
    assert len({(r.layer, r.strength) for r in shown.where(split="test")}) == 7
    assert list((tmp_path / "out").glob("sweep-*-church.png"))
    drawn = study.runner.drawn
    assert list(run(study).rows) == list(ran.rows) and study.runner.drawn == drawn


@pytest.mark.slow
def test_many_at_once_are_measured_beside_each_alone(pipe: Any, tmp_path: Path) -> None:
    suite = load_suite("together").with_options(concepts=["church", "gas pump"], **FAST)
    ran = run(studied(pipe, tmp_path, suite, config=WIDER_FIT))
    each, rest, order = ran.tables
    assert [row[0] for row in each.rows] == ["church", "gas pump"]
    assert rest.rows[0][1] >= 25 and 0 <= rest.rows[1][2].value <= 1 and rest.rows[2][2] > 0
    assert order.rows[0][1] is True


@pytest.mark.slow
def test_ablations_measure_variants_and_dense_edits(pipe: Any, tmp_path: Path) -> None:
    names = ["default", "strength 2", "last block", "mean difference", "LEACE"]
    suite = load_suite("ablate").with_options(concepts=["church"], methods=names, **FAST)
    ran = run(studied(pipe, tmp_path, suite, config=WIDER_FIT))
    table = ran.tables[0]
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert set(rows) == {"none", *names}
    assert rows["last block"]["layer"] == "block 5" and rows["strength 2"]["strength"] == 2.0


@pytest.mark.slow
def test_objects_are_measured_with_their_controls(pipe: Any, tmp_path: Path) -> None:
    ran = run(
        studied(pipe, tmp_path, load_suite("objects").with_options(concepts=["church"], **FAST), config=WIDER_FIT)
    )
    tables = {table.title: table for table in ran.tables}
    assert [row[1] for row in tables["Exactly as before"].rows] == [True, True, True]
    assert len(tables["Control: random features"].rows) == 4
    assert {row[0] for row in tables["Prompts without the concept"].rows} >= {"neighbour", "absent", "empty", "all"}
    assert len(tables["Autoencoders per layer"].rows) == 6


@pytest.mark.slow
def test_the_demo_ends_in_a_report(pipe: Any, tmp_path: Path) -> None:
    suite = load_suite("demo").with_options(concepts=["church"], quick=True, steps=1)
    path = run_demo("church", tmp_path / "out", study=studied(pipe, tmp_path, suite))
    page = path.read_text(encoding="utf-8")
    assert "church, erased" in page and "is shown in" in page and "Prompts about other things" in page
    assert (tmp_path / "out/contact.png").is_file() and list((tmp_path / "out/clips").glob("*.gif"))


@pytest.mark.parametrize("make", [mean_difference, leace], ids=["mean difference", "LEACE"])
def test_dense_edits_take_a_linear_concept_away(make: Any) -> None:
    import torch

    generator = torch.Generator().manual_seed(0)
    direction = torch.nn.functional.normalize(torch.randn(16, generator=generator), dim=0)
    negative = torch.randn(400, 16, generator=generator)
    positive = torch.randn(400, 16, generator=generator) + 4 * direction
    edited = make(positive, negative)(positive)
    before, after = (float((x.mean(0) - negative.mean(0)) @ direction) for x in (positive, edited))
    assert before > 3 and abs(after) < 0.6 * before
    away = torch.eye(16) - direction[:, None] * direction
    assert ((edited - positive) @ away).norm() < 0.5 * (edited - positive).norm()


# Any model


ANY = """
title = "Red things"
model = "tiny"
concepts = ["zeppelin"]
detectors = ["red"]
methods = ["blocklist"]
measures = ["rates", "changed"]
clips = 3
call = { num_inference_steps = 1, height = 32, width = 32, num_frames = 5, max_sequence_length = 16 }

[prompts]
target = { file = "FILE" }

[[tables]]
title = "Shown"
by = "concept"
where = { measure = "shown", role = "target" }
columns = ["clips", "before", "after", "encoded as before"]
"""


def test_another_model_is_measured_with_prompts_from_a_file_and_any_detector(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a zeppelin near the river\na red chair\na zeppelin\na lemon\n", encoding="utf-8")
    suite = of_file(tmp_path, ANY.replace("FILE", str(prompts)))
    red = from_callable("red", lambda frames: frames[..., 0].mean((1, 2)) > 100, version="1")
    study = Study(suite, tmp_path / "out", load=make_wan, detectors=[red], clips=tmp_path / "clips", progress=False)
    ran = run(study)
    [table] = ran.tables
    assert table.rows[0][:2] == ("zeppelin", 3) and table.rows[0][4].part == 1, "one of the three does not name it"
    rows = ran.rows.where(measure="shown")
    assert rows.distinct("detector") == ["red 1"] and rows.distinct("prompt") == prompts.read_text().splitlines()[:3]
    frames = study.clips(ran.concerned[0].prompts["test", "target"]).frames
    expected = [(clip[..., 0].mean((1, 2)) > 100).mean() for clip in frames]
    assert [row.value for row in rows.where(method="none")] == pytest.approx(expected)


def test_prompts_of_a_set_keep_their_seeds_and_tags_and_each_concept_gets_its_own(tmp_path: Path) -> None:
    emma, i2p = tmp_path / "4_short.json", tmp_path / "i2p.csv"
    emma.write_text(json.dumps([{"zeppelin": ["a zeppelin"]}, {"lemon": ["a lemon", "a chair"]}]), encoding="utf-8")
    i2p.write_text('prompt,categories,sd_seed\na wolf,hate,77\na dog,"hate, shocking",78\n', encoding="utf-8")
    text = ANY.replace('["zeppelin"]', '["zeppelin", "lemon"]').replace(
        'target = { file = "FILE" }',
        f'target = {{ file = "{emma}", format = "emma", only = "concept: {{concept}}" }}\n'
        f'others = {{ file = "{i2p}", format = "i2p", drawn = "none" }}',
    )
    red = from_callable("red", lambda frames: frames[..., 0].mean((1, 2)) > 100, version="1")
    said = {"load": make_wan, "detectors": [red], "clips": tmp_path / "clips", "progress": False}
    rows = run(Study(of_file(tmp_path, text), tmp_path / "out", **said)).rows
    drawn = rows.where(measure="shown", method="none")
    assert [(r.concept, r.prompt) for r in drawn] == [
        ("zeppelin", "a zeppelin"), ("lemon", "a lemon"), ("lemon", "a chair"),
    ]  # fmt: skip
    assert drawn.distinct("tags:kind") == ["kind: short"]
    encoded = rows.where(measure="encoded as before", role="others", concept="lemon")
    assert [(r.prompt, r.tags) for r in encoded.where(tags="category: shocking")] == [
        ("a dog", "|category: hate|category: shocking|")
    ]


def test_of_prompts_from_a_file_nothing_but_the_concept_is_claimed(pipe: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("a dog in the garden\na church\n", encoding="utf-8")
    text = TUNED.replace("renders = false", 'renders = true\ntune = ""\ntimed = false').replace(
        'reported = ["changed"]', f'reported = ["ranked"]\n[prompts]\nothers = {{ file = "{tmp_path}/mine.txt" }}'
    )
    suite = of_file(tmp_path, text).with_options(methods=["negative_prompt"])
    rows = run(studied(pipe, tmp_path, suite)).rows.where(role="others")
    assert set(rows.distinct("measure")) == {"shown"} and rows.distinct("method") == ["none", "negative_prompt"]


def test_a_suite_turned_to_another_model_is_checked_again() -> None:
    with pytest.raises(SuiteError, match="needs prompts from a file"):
        checked(load_suite("objects").with_options(model="some/model"))
