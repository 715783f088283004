"""Every notebook runs from top to bottom, and is stored without output."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

pytest.importorskip("diffusers")

from conftest import SMALLEST_FIT

import unseen
from unseen import diorama

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(path.name for path in FOLDER.glob("*.ipynb"))
QUICK = SMALLEST_FIT.with_options({"edit.max_ratio": 0.5})


def cells(name: str) -> list[dict]:
    return [
        cell for cell in json.loads((FOLDER / name).read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"
    ]


@pytest.mark.parametrize("name", NOTEBOOKS)
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["quick", "whole"])
def test_a_notebook_runs_from_top_to_bottom(
    name: str, whole: bool, tmp_path, monkeypatch, capsys, loaded_world
) -> None:
    monkeypatch.chdir(tmp_path)
    if not whole:  # the same, learned in fewer steps and drawn in one
        monkeypatch.setattr(unseen, "fit", functools.partial(unseen.fit, config=QUICK))
        monkeypatch.setitem(diorama.GENERATION, "num_inference_steps", 1)
    names: dict[str, object] = {}
    for number, cell in enumerate(cells(name)):
        exec(compile("".join(cell["source"]), f"{name}, cell {number}", "exec"), names)
    said = capsys.readouterr().out
    assert "another subject, the same clip: True" in said and "the same clip as at first: True" in said
    assert "toggled off: True" in said and said.rstrip().endswith("True")
    if whole:
        assert "French horn" in said


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_stored_without_output(name: str) -> None:
    assert NOTEBOOKS
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells(name))
