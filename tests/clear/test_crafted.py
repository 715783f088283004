"""Crafted and damaged erasers: each is refused in one sentence, or erases what it says."""

from __future__ import annotations

from collections import Counter

import pytest

from unseen.bench.ways.crafted.__main__ import crafted_erasers, main, mutated_files, outcomes
from unseen.bench.ways.crafted.flaws import FLAWS


@pytest.mark.parametrize("seed", [1, 2])
def test_no_crafted_eraser_crashes_or_is_silent(seed):
    found = list(outcomes(crafted_erasers(400, seed)))
    numbers = Counter(result.outcome for result in found)
    assert set(numbers) == {"refused", "equal", "warned"}, [r for r in found if r.outcome in ("crash", "silent")]
    assert {result.description.split(":")[0] for result in found} == {"sound", *FLAWS}
    assert all(result.outcome == "equal" for result in found if result.description == "sound")
    assert max(result.seconds for result in found) < 2
    for result in found:
        assert result.outcome == "equal" or (result.message and "\n" not in result.message), result


def test_no_mutated_file_crashes_or_is_silent():
    found = list(outcomes(mutated_files(1500, seed=1)))
    assert {result.outcome for result in found} <= {"refused", "equal"}
    assert max(result.seconds for result in found) < 2


def test_the_command_prints_a_table(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["crafted", "--count", "40", "--mutated", "40", "--seed", "5"])
    assert main() == 0
    assert "| crafted, right checksums | 40 |" in capsys.readouterr().out
