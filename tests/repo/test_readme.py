"""What the README tells people to type works: its Python runs, its commands exist."""

from __future__ import annotations

import functools
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SMALLEST_FIT

import unseen
from unseen import diorama
from unseen.clear.config import ClearConfig

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[tuple[int, str]]:
    """Line number and content of every fenced block in `language`."""
    found = re.finditer(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [(README.count("\n", 0, match.start(1)) + 1, match[1]) for match in found]


COMMANDS = sorted({line.partition(" #")[0].strip() for _, block in blocks("sh") for line in block.splitlines()} - {""})
"""The lines of all shell blocks, without comments."""


QUICK = SMALLEST_FIT.with_options({"edit.max_ratio": 0.5})


@pytest.mark.parametrize("config", [QUICK, pytest.param(None, marks=pytest.mark.slow)], ids=["quick", "whole"])
def test_the_python_examples_run(
    config: ClearConfig | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loaded_world: None
) -> None:
    examples = blocks("python")
    assert examples, "the README has lost its Python example"
    monkeypatch.chdir(tmp_path)
    if config is not None:  # the same, learnt in fewer steps and drawn in two
        monkeypatch.setattr(unseen, "fit", functools.partial(unseen.fit, config=config, progress=False))
        monkeypatch.setitem(diorama.GENERATION, "num_inference_steps", 2)
    names: dict[str, object] = {}
    for line, source in examples:  # in order and in one namespace: a later example may go on from an earlier one
        exec(compile("\n" * (line - 1) + source, str(ROOT / "README.md"), "exec"), names)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_the_make_commands_exist(command: str) -> None:
    done = subprocess.run(["make", "--dry-run", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr  # a target written twice is a warning


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("unseen ")])
def test_the_unseen_commands_and_their_options_exist(command: str) -> None:
    script = shutil.which("unseen", path=str(Path(sys.executable).parent))
    assert script, "the console script `unseen` is not installed beside this Python"
    subcommand, *arguments = shlex.split(command)[1:]
    # all arguments stay in front of --help, so that a value which is not allowed is refused
    done = subprocess.run([script, subcommand, *arguments, "--help"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for option in (argument.partition("=")[0] for argument in arguments if argument.startswith("-")):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", done.stdout), f"`unseen {subcommand}` has no {option}"


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:|#)([^)#]+)", README))))
def test_what_the_readme_links_to_is_there(target: str) -> None:
    assert (ROOT / target).exists()
