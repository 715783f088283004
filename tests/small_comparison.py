"""A comparison of two methods on a small pipeline, as a program that can be killed.

python small_comparison.py FOLDER ENGINE
"""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import closing
from dataclasses import astuple
from pathlib import Path

import numpy as np
from conftest import SMALLEST_FIT
from tiny import make_small_diorama

from unseen.bench.rows import load
from unseen.bench.run import load_suite, run
from unseen.bench.study import Study

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
TIMES = ("seconds of the fit", "kilobytes", "clip's time, × none")
"""Measures that are never the same twice; the size is that of a file in which the time of the fit is written."""


def main(folder: Path, engine: str) -> None:
    """Writes `results.json`: the rows and the tables without times, and the digest of every clip."""
    folder.mkdir(exist_ok=True)
    path = folder / "small.toml"
    path.write_text(SUITE, encoding="utf-8")
    suite = load_suite(path).with_options(engine=engine)
    how = {"load": make_small_diorama, "clips": folder / "clips", "config": SMALLEST_FIT, "progress": False}
    with closing(Study(suite, folder / "out", **how)) as study:
        tables = run(study).tables
    rows = [[str(value) for value in astuple(row)] for row in load(folder / "out").rows() if row.measure not in TIMES]
    cells = [
        [str(cell) for name, cell in zip(table.columns, row, strict=True) if name not in ("fit, s", *TIMES)]
        for table in tables
        for row in table.rows
    ]
    clips = {
        path.name: hashlib.sha256(np.load(path)["frames"].tobytes()).hexdigest()
        for path in sorted((folder / "clips").rglob("*.npz"))
    }
    (folder / "results.json").write_text(json.dumps({"rows": rows, "cells": cells, "clips": clips}), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
