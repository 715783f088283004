"""A suite that is killed again and again ends with the results of one that was not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers")

from unseen.bench.faults import measuring
from unseen.bench.faults.fault import Broken

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed; `make test-ray` installs it"
)
pytestmark = pytest.mark.timeout(7200)
TINY = """
title = "Tiny"
concepts = ["church"]
methods = ["safree"]
clips = 2
steps = 1

[prompts]
target = {}
others = {}

[[tables]]
title = "Shown"
by = ["role", "method"]
where = { measure = "shown" }
columns = ["clips", "rate"]
"""


def test_a_kill_changes_nothing(tmp_path: Path) -> None:
    expected = measuring.finished(tmp_path / "undisturbed", "inline", TINY)
    total = measuring.files(tmp_path / "undisturbed")
    assert measuring.killed(tmp_path / "run", "inline", 1, total, TINY) == expected
    assert len(expected["rows"]) >= 8 and len(expected["cells"]) == 4 and len(expected["clips"]) >= 6


@pytest.mark.slow
def test_a_suite_that_was_not_killed_is_not_said_to_have_been(tmp_path: Path) -> None:
    with pytest.raises(Broken, match="had ended before it was killed"):
        measuring.kill(tmp_path / "run", "inline", moment=10**9, delay=0, text=TINY)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """The results of a run that nobody disturbed, and how many files it leaves."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    return measuring.finished(folder, "inline"), measuring.files(folder)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["inline", "processes", pytest.param("ray", marks=needs_ray)])
def test_ten_kills_change_nothing(engine: str, undisturbed: tuple[dict[str, Any], int], tmp_path: Path) -> None:
    expected, total = undisturbed
    assert measuring.killed(tmp_path / "run", engine, 10, total) == expected


@pytest.mark.slow
def test_the_command_prints_what_came_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert measuring.main(["--engines", "inline", "--kills", "2"]) == 0
    assert "inline  2" in capsys.readouterr().out
