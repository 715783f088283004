"""An evaluation that is killed again and again ends with the results of one that was not."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers")

KILLS = 10
HERE = Path(__file__).parents[1]
needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed; `make test-ray` installs it"
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]


def start(folder: Path, engine: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", str(HERE / "small_comparison.py"), str(folder), engine],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(folder: Path, engine: str) -> dict[str, Any]:
    _, errors = start(folder, engine).communicate()
    assert (folder / "results.json").exists(), errors
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def files(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], int]:
    """The results of a run that nobody disturbed, and how many files it leaves."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    return finish(folder, "inline"), files(folder)


@pytest.mark.parametrize("engine", ["inline", "processes", pytest.param("ray", marks=needs_ray)])
def test_ten_kills_change_nothing(engine: str, undisturbed: tuple[dict[str, Any], int], tmp_path: Path) -> None:
    expected, total = undisturbed
    rng = random.Random(engine)
    folder = tmp_path / "run"
    # Moments are numbers of files that the run has written, so that they lie all over it on any machine.
    for moment in sorted(rng.sample(range(1, int(0.6 * total)), KILLS)):
        running = start(folder, engine)
        before = files(folder)
        while running.poll() is None and files(folder) < max(moment, before + 1):
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.1))  # some of them in the middle of a file, a batch or a fit
        running.kill()
        _, errors = running.communicate()
        assert running.returncode == -9, f"it had ended by itself: {errors}"
    assert not (folder / "results.json").exists()
    assert finish(folder, engine) == expected
