"""Suites: files that say what is compared, and what a comparison takes before it is begun."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import WIDER_FIT

pytest.importorskip("diffusers")

from tiny import make_small_diorama

from unseen.baselines import BASELINES
from unseen.bench import compare
from unseen.bench.study import Settings, Study
from unseen.bench.suite import SUITES, load_suite, needs
from unseen.bench.sweep import prompts_for
from unseen.cli import main
from unseen.diorama.world import captions
from unseen.errors import SuiteError

GOOD = 'title = "Two"\nconcepts = ["church", "inkwell"]\nmethods = ["clear", "safree"]\nclips = 2\nsteps = 2\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", SUITES)
def test_every_suite_that_comes_along_can_be_read(name: str) -> None:
    suite = load_suite(name)
    assert suite.title and suite.clips >= 1 and set(suite.methods) <= set(compare.GRID)


def test_the_suites_are_those_that_the_help_names() -> None:
    assert set(SUITES) == {"quick", "objects", "styles", "identity", "attributes", "attacks", "paper"}
    kinds = {compare.concept_kind(captions.key_of(name)) for name in load_suite("paper").concepts}
    assert kinds == {"object", "style", "identity", "attribute"}
    assert load_suite("attacks").attacks and not load_suite("paper").attacks
    assert (load_suite("paper").clips, load_suite("paper").test_clips) == (12, 24)
    assert set(load_suite("paper").methods) == {"clear", "clear_paper", *BASELINES} - {"none"}


def test_a_file_of_ones_own_sets_what_it_says_and_nothing_else(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    base = Settings(tmp_path / "out", split="test", progress=False)
    settings = load_suite(path).settings(base, str(path))
    assert (settings.concepts, settings.methods) == (("church", "inkwell"), ("clear", "safree"))
    assert (settings.clips, settings.test_clips, settings.steps, settings.seed) == (2, None, 2, 0)
    assert (settings.folder, settings.split, settings.config) == (base.folder, base.split, base.config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title = ", "is not a TOML file"),
        ('concepts = ["church"]', "has no title; add one"),
        ('title = "x"', "has no concepts; add one"),
        (GOOD + "clip = 3", "does not understand 'clip'"),
        (GOOD.replace("clips = 2", 'clips = "two"'), "clips has to be of type int, got 'two'"),
        (GOOD.replace("clips = 2", "clips = 0"), "clips has to be 1 or more, got 0"),
        (GOOD.replace("clips = 2", "clips = true"), "clips has to be of type int, got True"),
        (GOOD + "attacks = 1", "attacks has to be of type bool, got 1"),
        (GOOD + "test_clips = 1", "test_clips has to be 2 or more, got 1"),
        (GOOD.replace("safree", "saffree"), "knows no method 'saffree'; choose among clear,"),
        (GOOD.replace("church", "cathedral of glass"), "did you mean"),
    ],
)
def test_what_a_suite_cannot_mean_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message) as caught:
        load_suite(written(tmp_path, text))
    assert "mine.toml" in str(caught.value)


def test_a_name_that_is_neither_suite_nor_file_is_refused() -> None:
    with pytest.raises(SuiteError, match=r"expected the name of a suite .*quick.* got 'quik'"):
        load_suite("quik")


@pytest.mark.slow
def test_a_dry_run_draws_nothing_and_bounds_what_the_comparison_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Study, "config", WIDER_FIT)
    text = GOOD.replace('"church", "inkwell"', '"church"').replace('"safree"', '"negative_prompt"')
    path = written(tmp_path, text + "test_clips = 4\n")
    settings = load_suite(path).settings(Settings(tmp_path / "out", progress=False), str(path))
    study = Study(settings, load=make_small_diorama, cache_folder=tmp_path / "clips")
    found = needs(study)
    assert study.runner.drawn == 0 and not (tmp_path / "clips").exists()
    sizes = [sum(map(len, prompts_for(study, "church", split).values())) for split in ("development", "test")]
    assert sizes == [4, 8]  # as many others as target prompts
    assert found.clips == sum(sizes) + (4 * sizes[0] + sizes[1]) + (sizes[0] + sizes[1])
    assert found.bytes == found.clips * 9 * 96 * 96 * 3 and found.seconds > 0
    table, *_ = compare.evaluate_methods(study)
    assert {row[0] for row in table.rows} == {"none", "clear", "negative_prompt"}
    assert 0 < study.runner.drawn <= found.clips


def test_a_suite_belongs_to_the_comparison_of_methods(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "objects", "--suite", "quick"]) != 0
    assert "belong to: unseen evaluate methods" in capsys.readouterr().err
