"""A suite that is killed again and again ends with the rows, tables and clips of one that nobody disturbed.

`python -m unseen.bench.faults.measuring` kills it, for every engine, and prints what came of it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unseen.bench.clips.engines import ENGINES
from unseen.bench.faults import jobs
from unseen.bench.faults.fault import require
from unseen.bench.rows import load
from unseen.bench.run import load_suite, run
from unseen.bench.study import Study
from unseen.bench.views.tables import Table
from unseen.bench.ways.families import make_small_diorama
from unseen.clear.config import ClearConfig
from unseen.files import write_whole

SUITE = """
like = "methods"
title = "Small"
concepts = ["church"]
methods = ["clear", "safree"]
clips = 4
steps = 1
renders = false
reported = ["changed"]
"""
_FIT = {"prompts.pairs": 48, "prompts.held_out": 8, "prompts.retain": 48, "sae.num_features": 96, "sae.steps": 40,
        "search.rounds": 2, "search.warm_up": 1, "search.steps": 5}  # fmt: skip
TIMES = ("seconds of the fit", "kilobytes", "clip's time, × none", "fit, s")
"""Measures that are never the same twice; the size is that of a file in which the time of the fit is written."""
LATEST = 0.6
"""Kills come before this share of the files is there."""
WAIT = 1800.0
RESULTS = "results.json"

jobs.PRELOADED.append(__name__)


def measure(ready: Any, folder: Path, engine: str, text: str) -> None:
    """Measure the suite, and write what must be the same whatever happened: its rows, tables and clips."""
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    path = folder / "small.toml"
    path.write_text(text, encoding="utf-8")
    suite = load_suite(path).with_options(engine=engine)
    config = ClearConfig().with_options(_FIT)
    how: dict[str, Any] = {"load": make_small_diorama, "clips": folder / "clips", "config": config, "progress": False}
    ready.send(True)
    with closing(Study(suite, folder / "out", **how)) as study:
        tables = run(study).tables
    rows = [[str(value) for value in astuple(row)] for row in load(folder / "out").rows() if row.measure not in TIMES]
    cells = [
        [str(cell) for name, cell in zip(table.columns, row, strict=True) if name not in TIMES]
        for table in tables
        for row in table.rows
    ]
    clips = {
        path.name: hashlib.sha256(np.load(path)["frames"].tobytes()).hexdigest()
        for path in sorted((folder / "clips").rglob("*.npz"))
    }
    write_whole(folder / RESULTS, json.dumps({"rows": rows, "cells": cells, "clips": clips}).encode())


def finished(folder: Path, engine: str, text: str = SUITE) -> dict[str, Any]:
    """What the suite ends with, or goes on to."""
    code = jobs.Process(measure, folder, engine, text, has_children=True, wait=WAIT).end()
    require(code == 0, f"the suite ended with {code}")
    return json.loads((folder / RESULTS).read_text(encoding="utf-8"))


def files(folder: Path) -> int:
    """How many there are below a folder."""
    return sum(len(names) for _, _, names in os.walk(folder))


def kill(folder: Path, engine: str, moment: int, delay: float, text: str = SUITE) -> None:
    """Let the suite go on until `moment` files are there and one more than before, and `delay` seconds; then kill it.

    Moments are numbers of files so that they lie all over a run on any machine.
    """
    before = files(folder)
    process = jobs.Process(measure, folder, engine, text, has_children=True, wait=WAIT)
    try:
        while not process.ended and files(folder) < max(moment, before + 1):
            time.sleep(0.01)
        time.sleep(delay)  # some in the middle of a file, a batch or a fit
        require(not process.ended, "the suite had ended before it was killed")
    finally:
        process.kill()


def killed(folder: Path, engine: str, kills: int, total: int, text: str = SUITE) -> dict[str, Any]:
    """What the suite ends with after it was killed so often; `total` files are what it leaves undisturbed."""
    rng = random.Random(engine)
    for moment in sorted(rng.sample(range(1, max(kills + 1, int(LATEST * total))), kills)):
        kill(folder, engine, moment, rng.uniform(0, 0.1), text)
    require(not (folder / RESULTS).exists(), "the suite came to its end between kills")
    return finished(folder, engine, text)


def main(argv: Sequence[str] | None = None) -> int:
    """Kill it; 1 if anything differs."""
    parser = argparse.ArgumentParser(prog="python -m unseen.bench.faults.measuring", description=__doc__)
    there = [name for name in ENGINES if name != "ray" or importlib.util.find_spec("ray") is not None]
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=there, metavar="NAME")
    parser.add_argument("--kills", type=int, default=10)
    options = parser.parse_args(argv)
    lines: list[tuple[Any, ...]] = []
    with tempfile.TemporaryDirectory(prefix="unseen-killed-", ignore_cleanup_errors=True) as home:
        undisturbed = Path(home) / "undisturbed"
        expected = finished(undisturbed, "inline")
        total = files(undisturbed)
        for engine in options.engines:
            started = time.perf_counter()
            found = killed(Path(home) / engine, engine, options.kills, total)
            equal = [found[name] == expected[name] for name in ("rows", "cells", "clips")]
            counts = [len(found[name]) for name in ("rows", "cells", "clips")]
            lines.append((engine, options.kills, *counts, round(time.perf_counter() - started), all(equal)))
    columns = ("engine", "kills", "rows", "lines of tables", "clips", "seconds", "as undisturbed")
    print(Table("Killed while measuring", columns, tuple(lines)).to_text())
    return int(not all(line[-1] for line in lines))


if __name__ == "__main__":
    sys.exit(main())
