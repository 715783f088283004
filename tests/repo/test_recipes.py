"""The three recipes of CONTRIBUTING do what they say, in a temporary folder; and so does the page on measuring."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers")

from tiny import make_small_diorama, make_wan

import unseen
import unseen.bench
from unseen.baselines import BASELINES
from unseen.bench.rows import Results, Row, Run
from unseen.bench.run import load_suite, run, run_suite
from unseen.bench.study import Study
from unseen.bench.views.query import STATS
from unseen.cli import build_parser
from unseen.detectors.registry import load_detector
from unseen.prompts.sets import FORMATS, load_prompt_set

ROOT = Path(__file__).parents[2]
RECIPES = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MEASURING = (ROOT / "docs/measuring.md").read_text(encoding="utf-8")


def shown(text: str, kind: str) -> list[str]:
    """The blocks of a page, without the indent of the list that they stand in."""
    found = re.findall(rf"^( *)```{kind}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", block, flags=re.MULTILINE) for indent, block in found]


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, group: str, name: str, target: str) -> None:
    """A package in `folder` that names `target` in an entry point group."""
    facts = folder / "recipe-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: recipe\nVersion: 1\n", encoding="utf-8")
    (facts / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(folder)


def test_a_baseline_is_added_as_the_recipe_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mute.py").write_text(shown(RECIPES, "python")[0], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    from mute import MUTE

    monkeypatch.setitem(BASELINES, MUTE.name, MUTE)
    pipe = make_wan()
    fitted = BASELINES["mute"].fit(pipe, "zeppelin")
    plain = pipe.encode_prompt("a thing", do_classifier_free_guidance=False)[0]
    with unseen.attach(pipe, fitted):
        assert (pipe.encode_prompt("a zeppelin", do_classifier_free_guidance=False)[0] == plain).all()
    (tmp_path / "mine.toml").write_text(shown(RECIPES, "toml")[0].replace("blocklist", "mute"), encoding="utf-8")
    suite = load_suite(tmp_path / "mine.toml")
    study = Study(suite, tmp_path / "out", load=make_small_diorama, clips=tmp_path / "clips", progress=False)
    rows = run(study).rows.where(measure="shown", method="mute", role="target")
    assert len(rows) == len({row.prompt for row in rows}) == len({row.clip for row in rows}) == 2
    sys.modules.pop("mute")


def test_a_detector_is_added_as_the_recipe_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reds.py").write_text(shown(RECIPES, "python")[1], encoding="utf-8")
    installed(tmp_path, monkeypatch, "unseen.detectors", "reddish", "reds:reddish")
    detector = load_detector("reddish")
    red = np.zeros((3, 8, 8, 3), np.uint8)
    red[1:, ..., 0] = 200
    assert detector(red)[:, 0].tolist() == [0, 1, 1]
    (tmp_path / "prompts.txt").write_text("a zeppelin\na red chair\n", encoding="utf-8")
    text = shown(RECIPES, "toml")[0].replace("others = {}", "").replace("target = {}", "target = { file = 'FILE' }")
    text = text.replace("FILE", str(tmp_path / "prompts.txt")).replace('"asked"', '"shown"')
    call = "call = { height = 32, width = 32, num_frames = 5 }"
    text = text.replace("clips = 2", f'clips = 2\nmodel = "tiny"\ndetectors = ["reddish"]\n{call}')
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    study = Study(load_suite(tmp_path / "mine.toml"), tmp_path, load=make_wan, clips=tmp_path / "clips", progress=False)
    rows = run(study).rows.where(measure="shown")
    assert rows.distinct("looked_for") == ["reddish"] and len(rows) == 4
    sys.modules.pop("reds")


def test_a_suite_is_added_as_the_recipe_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.toml").write_text(shown(RECIPES, "toml")[0], encoding="utf-8")
    suite = load_suite(tmp_path / "mine.toml")
    study = Study(suite, tmp_path / "out", load=make_small_diorama, clips=tmp_path / "clips", progress=False)
    ran = run_suite(study)
    assert [row[:2] for row in ran.tables[0].rows] == [("target", 2), ("others", 2)]
    assert "Shown" in capsys.readouterr().out
    assert list((tmp_path / "out").glob("mine-1*.html"))


def test_a_method_of_ones_own_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "louder.py").write_text(
        "from unseen.baselines import BASELINES\n"
        "def fit(pipe, concept, **options):\n    return BASELINES['blocklist'].fit(pipe, concept)\n",
        encoding="utf-8",
    )
    installed(tmp_path, monkeypatch, "unseen.methods", "louder", "louder:fit")
    from unseen.bench import methods

    methods._plugins.cache_clear()
    text = shown(RECIPES, "toml")[0].replace("blocklist", "louder")
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    suite = load_suite(tmp_path / "mine.toml")
    study = Study(suite, tmp_path / "out", load=make_small_diorama, clips=tmp_path / "clips", progress=False)
    assert len(run(study).rows.where(measure="shown", method="louder", role="target")) == 2
    methods._plugins.cache_clear()
    sys.modules.pop("louder")


def test_the_suite_and_the_commands_of_the_page_on_measuring_are_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(shown(MEASURING, "toml")[0], encoding="utf-8")
    suite = load_suite("mine.toml")
    assert [spec.name for spec in suite.methods] == ["clear", "blocklist", "no gate"]
    for command in shown(MEASURING, "sh")[0].splitlines():
        program, *arguments = shlex.split(command)
        assert program == "unseen" and build_parser().parse_args(arguments).names
    asked = re.findall(r"`stat` is the question: (.*?) and others", MEASURING)[0]
    assert {name for name in re.findall(r"`(\w+)`", re.sub(r"\(.*?\)", "", asked))} <= set(STATS)


def test_the_prompt_sets_of_the_page_on_measuring_are_read_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine, sets = shown(MEASURING, "toml")
    head = mine.partition("[prompts]")[0]
    table = '[[tables]]\ntitle = "Shown"\nby = ["role"]\nwhere = { measure = "shown" }\ncolumns = ["clips", "rate"]'
    Path("mine.toml").write_text("\n".join([head, sets, table]), encoding="utf-8")
    target, coherent = load_suite("mine.toml").prompts
    assert (target.format, target.only, coherent.recipe) == ("emma", ("concept: {concept}",), "file")
    for cell, text in (
        (target, json.dumps([{"French horn": ["a horn"], "church": ["a church"]}])),
        (coherent, "case_number,prompt,evaluation_seed,evaluation_guidance\n0,Old stone church,69922,7.5\n"),
    ):
        Path(cell.file).parent.mkdir(parents=True)
        Path(cell.file).write_text(text, encoding="utf-8")
    assert [p.text for p in load_prompt_set(target.file, target.format, ["concept: church"])] == ["a church"]
    assert [p.seed for p in load_prompt_set(coherent.file, coherent.format)] == [69922]
    assert re.findall(r"^\| `([a-z0-9-]+)` \| .*\| .*\|$", MEASURING.partition("| `format` |")[2], re.MULTILINE) == [
        *FORMATS
    ]


def test_the_examples_of_the_page_on_measuring_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [Row("shown", 1.0, concept="church", method=name, role="target", split="test", prompt="a", noise=n, place=n)
            for name in ("none", "clear") for n in range(3)]  # fmt: skip
    Results("runs/evaluate").add(Run("objects", "wan", 0, "", {}, 1.0), rows)
    names: dict[str, Any] = {}
    first, frames = shown(MEASURING, "python")
    exec(first, names)
    assert "3 clips" in capsys.readouterr().out and names["svg"].startswith("<svg")
    pytest.importorskip("pandas")
    exec(frames, names)
    assert "objects" in capsys.readouterr().out
