"""Every pipeline of the zoo with an eraser, as a page: `python benchmarks/pipeline_table --results FILE`.

Takes about six minutes on one core. `--only NAME` prints the row of one pipeline.
"""

from __future__ import annotations

import argparse
import logging
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import columns
import zoo
from diffusers.utils import logging as diffusers_logging

HEADS = {
    "fit": "fit (an eraser at each text encoder; the layer)",
    "attach": "attach, and fire at each encoder",
    "rewrite": "other words",
    "generate": "concept's clip changes, another's stays bit for bit",
    "detach": "as before, bit for bit",
    "offload": "model offload",
    "batch": "two prompts at once",
    "pictures": "pictures",
}
PACKAGES = ("diffusers", "transformers", "torch")


def line(name: str, cells: dict[str, columns.Cell]) -> str:
    """One row of the page."""
    return f"| {name} | " + " | ".join(cells[column].shown for column in columns.COLUMNS) + " |"


def made_with() -> str:
    """The packages that decide what the page says."""
    return ", ".join(f"{package} {version(package)}" for package in PACKAGES)


def page(rows: dict[str, dict[str, columns.Cell]]) -> str:
    """The whole page."""
    wrong = [f"{name}: {column}" for name, cells in rows.items() for column in cells if cells[column].fine is False]
    reasons = sum(cell.fine is None for cells in rows.values() for cell in cells.values())
    cells = sum(map(len, rows.values()))
    return "\n".join(
        [
            "# Pipelines",
            "",
            "<!-- made by `python benchmarks/pipeline_table --results docs/results-pipelines.md`; do not edit -->",
            "",
            f"{len(rows)} pipelines, each the real class at a tiny size with random weights, built from its"
            " configuration. An eraser for “zeppelin” is fitted at each text encoder, and all are attached at once."
            f" Of {cells} cells {cells - reasons - len(wrong)} are right (✓), {reasons} do not apply for the reason"
            f" that they give (–), and {len(wrong)} are wrong (✗){': ' + '; '.join(wrong) if wrong else ''}.",
            "",
            "That an eraser acts on random weights says nothing about how well a concept is erased from trained ones;"
            " this page is about whether it gets where it must, and nowhere else.",
            "",
            "| pipeline | " + " | ".join(HEADS[column] for column in columns.COLUMNS) + " |",
            "| --- |" + " --- |" * len(columns.COLUMNS),
            *(line(name, cells) for name, cells in rows.items()),
            "",
            "Pictures are refused unless `allow_image_input=True`, with which the other columns of these rows were"
            " tried. Where a pipeline hands on states of several layers, an eraser behind the first of them is refused"
            " and a fit looks before it. Wan's native T5 (DiffSynth-Studio, musubi-tuner, WanVideoWrapper, LightX2V) is"
            " guarded by `unseen.guard_encoder`, with erasers that were fitted on either form of its weights.",
            "",
            f"Made with {made_with()} on Python {platform.python_version()}.",
            "",
        ]
    )


def main() -> int:
    """Make the page, or print one row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, metavar="FILE", help="where the page is written")
    parser.add_argument("--only", choices=zoo.ZOO, metavar="NAME", help="one pipeline")
    arguments = parser.parse_args()
    diffusers_logging.set_verbosity_error()
    logging.getLogger("unseen").setLevel(logging.ERROR)
    rows = {}
    for name in [arguments.only] if arguments.only else zoo.ZOO:
        start = time.perf_counter()
        rows[name] = columns.row(name)
        print(f"{time.perf_counter() - start:5.1f} s {line(name, rows[name])}", flush=True)
    if arguments.results:
        arguments.results.write_text(page(rows), encoding="utf-8")
    return int(any(cell.fine is False for cells in rows.values() for cell in cells.values()))


if __name__ == "__main__":
    sys.exit(main())
