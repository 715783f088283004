"""Faults: a few of each kind here, all of them by `make faults`."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from unseen.bench.faults import every_fault
from unseen.bench.faults.__main__ import main
from unseen.bench.faults.fault import SURVIVED, Fault, require, try_fault

BY_KIND: dict[str, list[Fault]] = defaultdict(list)
for _fault in every_fault():
    BY_KIND[_fault.kind].append(_fault)
WHOLE = ("bytes of a video change", "a video is cut off", "no folder to save into")
"""Kinds that are tried in full here: damaged videos have crashed `unseen score`."""


def test_there_are_many_faults_of_many_kinds() -> None:
    assert len(BY_KIND) >= 15 and sum(map(len, BY_KIND.values())) >= 300


@pytest.mark.parametrize("kind", BY_KIND)
def test_a_fault_is_survived(kind: str) -> None:
    faults = BY_KIND[kind]
    chosen = faults if kind in WHOLE else [faults[0], faults[len(faults) // 2]]
    for fault in chosen:
        result = try_fault(fault)
        assert result.outcome == SURVIVED, f"{fault.name}: {result.detail}"


def test_a_broken_promise_and_a_crash_are_told_from_what_is_survived() -> None:
    def crash(folder: Path) -> None:
        raise KeyError("x")

    outcomes = [
        try_fault(Fault("a", "b", attempt)).outcome
        for attempt in (lambda folder: require(True, ""), lambda folder: require(False, "no"), crash)
    ]
    assert outcomes == [SURVIVED, "promise broken", "crash"]


def test_the_command_writes_a_table_and_fails_where_a_promise_is_broken(tmp_path, capsys, monkeypatch) -> None:
    page = tmp_path / "faults.md"
    assert main(["--only", "the clock jumps: by 1 s", "--results", str(page)]) == 0
    assert capsys.readouterr().out.startswith("1 of 1 faults of 1 kinds survived")
    assert "| the clock jumps |" in page.read_text()
    broken = Fault("a kind", "a name", lambda folder: require(False, "not kept"))
    monkeypatch.setattr("unseen.bench.faults.__main__.every_fault", lambda: [broken])
    monkeypatch.setattr(
        "unseen.bench.faults.__main__.registered", lambda: [type("K", (), {"name": "a kind", "promise": "p"})]
    )
    assert main(["--results", str(page)]) == 1
    assert "not kept" in page.read_text()
