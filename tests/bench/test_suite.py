"""Suites: files that say what is measured, how a table asks, and what wins over what."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from conftest import WIDER_FIT

pytest.importorskip("diffusers")

from tiny import make_small_diorama

from unseen.baselines import BASELINES
from unseen.bench.methods import GRID, SMALL_SETTINGS, settings_of
from unseen.bench.run import load_suite, needs
from unseen.bench.study import Study
from unseen.bench.suite import SUITES, Suite
from unseen.clear.config import ClearConfig
from unseen.cli import EVALUATIONS, main
from unseen.diorama.world import captions, scenes
from unseen.diorama.world.concepts import concept_kind
from unseen.errors import SuiteError

GOOD = """
title = "Two"
concepts = ["church", "Tobias Inkwell"]
methods = ["clear", "safree"]
clips = 2
steps = 2

[prompts]
target = {}

[[tables]]
title = "Shown"
by = "concept"
where = { measure = "shown", role = "target" }
columns = ["clips", "before", "after"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_that_comes_along_can_be_read(name: str) -> None:
    suite = load_suite(name)
    assert suite.title and suite.clips >= 1 and suite.tables and suite.about and suite.name == name


def test_the_suites_are_those_that_the_help_names() -> None:
    assert set(EVALUATIONS) == {*SUITES, "all"}
    kinds = {concept_kind(captions.key_of(name)) for name in load_suite("paper").concepts}
    assert kinds == {"object", "style", "identity", "attribute"}
    roles = {cell.role for cell in load_suite("attacks").prompts}
    assert {"synonym", "searched words"} < roles and "synonym" not in {c.role for c in load_suite("paper").prompts}
    assert (load_suite("paper").clips, load_suite("paper").test_clips) == (12, 24)
    assert {spec.name for spec in load_suite("paper").methods} == {"clear", "clear_paper", *BASELINES} - {"none"}


def test_the_evaluations_keep_their_concepts() -> None:
    objects = {captions.main_name(key) for key in scenes.OBJECTS}
    for name in ("objects", "phrasings", "together"):
        assert set(load_suite(name).concepts) == objects
    assert {captions.key_of(name) for name in load_suite("picture").concepts} == {*scenes.SUBJECTS, *scenes.ATTRIBUTES}


def test_every_grid_has_settings_that_its_method_has() -> None:
    for name, grid in GRID.items():
        assert 1 <= len(grid) <= 5
        if name in BASELINES:
            assert all(set(setting) <= set(BASELINES[name].settings) for setting in grid)
            assert set(SMALL_SETTINGS.get(name, {})) <= set(BASELINES[name].settings)
    paper = {spec.name: settings_of(spec, tuned=True) for spec in load_suite("paper").methods}
    assert [name for name, grid in paper.items() if grid == ({},)] == ["blocklist", "negative_prompt"]


def test_every_ablation_is_a_setting_that_exists() -> None:
    variants = [spec for spec in load_suite("ablate").methods if spec.fit == "clear"]
    assert len(variants) == 23 and not variants[0].options
    for spec in variants:
        ClearConfig().with_options(dict(spec.options))


def test_development_and_held_out_concepts_are_apart_and_of_all_kinds() -> None:
    choices = [spec for spec in load_suite("sweep").tables if spec.view == "criteria"]
    development, held_out = ({captions.key_of(name) for name in spec.where["concept"]} for spec in choices)
    assert not development & held_out and len(held_out) >= 12
    assert {captions.key_of(name) for name in load_suite("sweep").concepts} == development | held_out
    for group in (scenes.OBJECTS, scenes.CHARACTERS, scenes.STYLES, scenes.ATTRIBUTES):
        assert set(group) & held_out and set(group) & development


def test_concepts_of_every_kind_are_probed() -> None:
    kinds = {concept_kind(captions.key_of(name)) for name in load_suite("depth").concepts}
    assert kinds == {"style", "attribute", "identity", "object"}


def test_a_file_of_ones_own_sets_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    suite = load_suite(written(tmp_path, GOOD))
    assert suite.concepts == ("church", "Tobias Inkwell") and [spec.name for spec in suite.methods] == [
        "clear",
        "safree",
    ]
    assert (suite.clips, suite.test_clips, suite.steps, suite.seed) == (2, 0, 2, 0)
    said = {"title", "concepts", "methods", "clips", "steps", "prompts", "tables", "name"}
    usual = {field.name: field.default for field in fields(Suite) if field.name not in said | {"classes", "call"}}
    assert {name: getattr(suite, name) for name in usual} == usual


def test_what_the_command_line_says_wins_or_is_refused(tmp_path: Path) -> None:
    suite = load_suite(written(tmp_path, GOOD))
    assert suite.with_options(steps=None, clips=None, concepts=[], quick=None) == suite
    changed = suite.with_options(clips=5, steps=3, concepts=["tench"], seed=4, methods=["safree"], config="paper")
    assert (changed.steps, changed.concepts, changed.seed, changed.config) == (3, ("tench",), 4, "paper")
    assert [spec.name for spec in changed.methods] == ["safree"]
    assert changed.count(changed.prompts[0], "test") == (5, 5) and suite.count(suite.prompts[0], "test") == (2, 2)
    assert suite.with_options(seed=0).seed == 0
    with pytest.raises(SuiteError, match="--split is not for it"):
        load_suite("paper").with_options(split="development")
    with pytest.raises(SuiteError, match="knows no method 'uce'; choose among clear, safree"):
        suite.with_options(methods=["uce"])
    with pytest.raises(SuiteError, match="did you mean"):
        suite.with_options(concepts=["cathedral of glass"])


def test_clips_are_counted_as_the_suite_or_the_command_line_says() -> None:
    paper = load_suite("paper")
    [target, _] = paper.prompts
    assert (paper.count(target, "development"), paper.count(target, "test")) == ((12, 12), (24, 12))
    assert paper.with_options(clips=3).count(target, "test") == (3, 3)
    assert paper.with_options(quick=True).count(target, "test") == (4, 4)
    empty = next(cell for cell in load_suite("objects").prompts if cell.role == "empty")
    assert load_suite("objects").count(empty, "test") == (8, 8)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "is not a TOML file"),
        (GOOD.replace('title = "Two"', ""), "has no title; add title"),
        (GOOD.replace("concepts =", "others ="), "has no concepts; add concepts"),
        (GOOD.replace("clips = 2", "clip = 3"), "does not understand 'clip'"),
        (GOOD.replace("clips = 2", 'clips = "two"'), "clips has to be of type int, got 'two'"),
        (GOOD.replace("clips = 2", "clips = 0"), "clips has to be 1 or more, got 0"),
        (GOOD.replace("clips = 2", "clips = true"), "clips has to be of type int, got True"),
        (GOOD.replace("clips = 2", "renders = 1"), "renders has to be of type bool, got 1"),
        (GOOD.replace("clips = 2", "clips = 2\ntest_clips = 1"), "test_clips has to be 2 or more, got 1"),
        (GOOD.replace("safree", "saffree"), "knows no method 'saffree'; choose among clear,"),
        (GOOD.replace("church", "cathedral of glass"), "did you mean"),
        (GOOD.replace("target = {}", "targets = {}"), "knows no recipe 'targets'; choose among target,"),
        (GOOD.replace("target = {}", "target = { drawn = 'never' }"), "knows no way to draw 'never'"),
        (GOOD.replace("target = {}", "target = 3"), "prompts.target has to be a table with keys such as recipe, got 3"),
        (GOOD.replace("clips = 2", 'measures = ["rate"]'), "knows no measure 'rate'; choose among rates"),
        (GOOD.replace("clips = 2", 'once = ["everything"]'), "knows no check 'everything'"),
        (GOOD.replace("clips = 2", 'tune = "all"'), "knows no tune 'all'; choose among setting, layer"),
        (GOOD.replace('"before"', '"befor"'), "'Shown': knows no column 'befor'; choose among clips"),
        (GOOD.replace('"before"', '{ stat = "guess" }'), "'Shown': knows no stat 'guess'; choose among rate"),
        (GOOD.replace('"before"', '{ rol = "target" }'), "does not understand 'rol'; rows have measure"),
        (GOOD.replace("where = { measure", "where = { mesure"), "does not understand 'mesure'; rows have measure"),
        (GOOD.replace('"before"', "{ at_least = 0.5, at_most = 0.1 }"), "a target is one of them"),
        (GOOD.replace('by = "concept"', 'view = "pie"'), "knows no view 'pie'; choose among targets"),
        (GOOD.replace('"safree"', '"clear"'), "has two methods of one name"),
        (GOOD.replace('role = "target"', 'role = "tarket"'), "knows no role 'tarket'; choose among target"),
        (GOOD.replace('"before"', '{ role = ["target", "synonim"] }'), "knows no role 'synonim'; choose among target"),
        ('like = "papers"\ntitle = "x"\n', "like has to be the name of a suite"),
        (GOOD.replace("clips = 2", 'model = "some/model"'), "needs prompts from a file for each role"),
        (GOOD.replace("target = {}", 'target = { file = "a", format = "ip2" }'), "knows no format 'ip2'; choose among"),
        (GOOD.replace("target = {}", 'target = { format = "i2p" }'), "prompts.target needs a file"),
        (GOOD.replace("target = {}", 'target = { file = "a", only = "x" }'), "prompts.target needs a format"),
    ],
)  # fmt: skip
def test_what_a_suite_cannot_mean_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message) as caught:
        load_suite(written(tmp_path, text))
    assert "mine.toml" in str(caught.value)


def test_a_name_that_is_neither_suite_nor_file_is_refused() -> None:
    with pytest.raises(SuiteError, match=r"expected the name of a suite .*quick.* got 'quik'"):
        load_suite("quik")


def test_a_suite_can_be_like_another_one(tmp_path: Path) -> None:
    text = 'like = "objects"\nconcepts = ["tench"]\n[prompts]\nempty = { clips = 2 }\n'
    suite, base = load_suite(written(tmp_path, text)), load_suite("objects")
    assert suite.concepts == ("tench",) and suite.tables == base.tables and suite.methods == base.methods
    assert [cell.clips for cell in suite.prompts if cell.role == "empty"] == [2]
    assert [cell.role for cell in suite.prompts] == [cell.role for cell in base.prompts]
    more = '[[more_tables]]\ntitle = "More"\nby = ["role"]\nwhere = { measure = "shown" }\ncolumns = ["clips"]\n'
    *same, last = load_suite(written(tmp_path, f'like = "methods"\n{more}')).tables
    assert tuple(same) == load_suite("methods").tables and last.title == "More"


def test_a_dry_run_draws_nothing_and_bounds_what_the_suite_draws(tmp_path: Path) -> None:
    text = (
        'like = "methods"\nconcepts = ["church"]\nmethods = ["clear", "negative_prompt"]\nclips = 2\ntest_clips = 4\n'
    )
    suite = load_suite(written(tmp_path, text + "steps = 1\n"))
    study = Study(suite, tmp_path / "out", load=make_small_diorama, clips=tmp_path / "clips", config=WIDER_FIT)
    found = needs(study)
    assert study.runner.drawn == 0 and not (tmp_path / "clips").exists()
    development, test = 4, 8  # as many others as target prompts
    assert found.clips == development + test + (4 * development + test) + (development + test)
    assert found.bytes == found.clips * 9 * 96 * 96 * 3 and found.seconds > 0


def test_attacks_are_counted_before_they_are_begun(tmp_path: Path) -> None:
    suite = load_suite("attacks").with_options(concepts=["church"], methods=["safree"], clips=2, steps=1)
    found = needs(Study(suite, tmp_path, load=make_small_diorama, detectors=()))
    # 21 roles, without and with the method; words found against it are drawn without it too
    assert len(suite.prompts) == 21 and found.clips == 2 * 21 * 2 + 2 * 2


def test_clips_of_all_concepts_at_once_are_counted_too(tmp_path: Path) -> None:
    suite = load_suite("together").with_options(concepts=["church", "tench"], clips=2, steps=1)
    found = needs(Study(suite, tmp_path, load=make_small_diorama, detectors=()))
    untouched = sum(key not in ("church", "tench", scenes.STRANGER) for key in scenes.SUBJECTS)
    assert found.clips == 2 * 2 * (1 + 3) + untouched * (1 + 1), "each without and by three methods; the rest by one"


def test_the_command_line_refuses_what_is_no_suite(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "everything"]) == 2
    assert "expected a suite" in capsys.readouterr().err
    assert main(["evaluate", "paper", "--split", "development"]) == 2
    assert "--split is not for it" in capsys.readouterr().err
