"""A comparison of two methods on a small pipeline, as a program that can be killed.

python small_comparison.py FOLDER ENGINE
"""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
from conftest import SMALLEST_FIT
from tiny import make_small_diorama

from unseen.bench.compare import evaluate_methods
from unseen.bench.study import Settings, Study
from unseen.bench.suite import load_suite

SUITE = 'title = "Small"\nconcepts = ["church"]\nmethods = ["clear", "safree"]\nclips = 4\nsteps = 1\n'
TIMES = ("fit, seconds", "clip's time, × none")
"""Columns that are never the same twice."""


class SmallStudy(Study):
    config = SMALLEST_FIT  # type: ignore[assignment]


def main(folder: Path, engine: str) -> None:
    """Writes `results.json`: the tables without times, and the digest of every clip."""
    folder.mkdir(exist_ok=True)
    suite = folder / "small.toml"
    suite.write_text(SUITE, encoding="utf-8")
    settings = load_suite(suite).settings(Settings(folder / "out", engine=engine, progress=False), str(suite))
    with closing(SmallStudy(settings, load=make_small_diorama, cache_folder=folder / "clips")) as study:
        tables = list(evaluate_methods(study))
    rows = [
        [str(cell) for name, cell in zip(table.columns, row, strict=True) if name not in TIMES]
        for table in tables
        for row in table.rows
    ]
    clips = {
        path.name: hashlib.sha256(np.load(path)["frames"].tobytes()).hexdigest()
        for path in sorted((folder / "clips").rglob("*.npz"))
    }
    (folder / "results.json").write_text(json.dumps({"rows": rows, "clips": clips}), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
