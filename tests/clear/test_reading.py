"""A fit can be followed by a reader: few files, few lines."""

from __future__ import annotations

import ast
from pathlib import Path

from unseen.clear import costs, fit
from unseen.clear.config import ClearConfig
from unseen.clear.criteria import CRITERIA

FOLDER = Path(fit.__file__).parent
APART = {
    "config": "the settings",
    "eraser": "what a fit makes",
    "edit": "how erasers act",
    "origin": "what is said of a fit that is done, as are the next two",
    "report": "",
    "verdict": "",
    "witness": "how an eraser is tried, whoever made it",
    "groups": "what else is done under a memory budget",
    "gradients": "the derivative of the loss that sae.py states; test_sae.py holds it to automatic differentiation",
    "criteria": "the costs of the layer search that are not the default",
}
"""Files that `fit` leads to and a reader need not open to know how an eraser comes about, and why not."""


def imported(name: str) -> set[str]:
    """The files beside it that a file of the folder imports from."""
    nodes = ast.walk(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8")))
    return {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.level == 1 and n.module}


def test_a_fit_is_read_in_eight_files_and_twelve_hundred_lines() -> None:
    """From fit.py all imports within `unseen.clear` are followed, but not into the files of `APART`. All lines of a
    file count: code, docstrings, comments and empty ones."""
    files, met = [], ["fit"]
    for name in met:
        if name not in APART:
            files.append(name)
            met += sorted(imported(name) - {*met})
    lines = {name: len((FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()) for name in files}
    assert len(lines) <= 8, lines
    assert sum(lines.values()) <= 1200, lines
    assert {*APART} <= {*met}, "a file that is not met needs no excuse"


def test_what_a_fit_does_by_default_stands_in_those_files() -> None:
    config = ClearConfig()
    assert CRITERIA[config.search.criterion] is costs.output
    assert config.memory_budget is None
