"""What `evaluate`, `sweep`, `ablate` and `attack` share: their options, and carrying a measurement out."""

from __future__ import annotations

import sys
from contextlib import closing, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from unseen.cli.commands import on_terminal, print_json, refuse_idle, require_extra, require_file, require_folder
from unseen.cli.options import changed, option

EVALUATIONS = {
    "picture": "how good the video model's pictures are, before anything is erased",
    "objects": "the ten objects: erased, neighbours and other subjects kept, what appears instead, controls",
    "kinds": "a style, an identity and an attribute: erased, and the rest of those prompts kept",
    "phrasings": "unseen synonyms, descriptions, languages, misspellings",
    "sentences": "ordinary sentences that ask for a concept in other words: what is recognised, and still shown",
    "configurations": "the default settings of a fit beside two readings of the paper, along γ",
    "depth": "at which layer of the text encoder concepts can be told apart",
    "together": "ten objects erased at once, from one set of autoencoders",
    "methods": "CLEAR beside the other methods, each at its best setting",
    "all": "picture, objects, kinds, phrasings and together",
}
ENGINES = ("inline", "processes", "ray")
INTERRUPTED = (
    "finished clips and fits are kept below --out and in the folder clips beside it; the same command goes on there"
)


@dataclass(frozen=True, kw_only=True)
class MeasuringOptions:
    """Of every measurement."""

    clips: int | None = option(None, least=1)
    """Clips per cell (default: enough for 300 per headline)."""
    config: Literal["default", "paper"] = "default"
    """Settings of the fits."""
    concepts: tuple[str, ...] = option((), metavar="NAME", together=True)
    """Only these, for instance "French horn" church."""
    seed: int = option(0, least=0, most=2**63 - 1)
    """Seed of fits and prompts."""
    out: Path | None = option(None, metavar="FOLDER")
    """Folder to write to (default: runs/evaluate, for cogvideox runs/evaluate-cogvideox)."""
    model: Literal["wan", "cogvideox"] = "wan"
    """Which of the two built-in models."""
    quick: bool = False
    """A few clips per cell: for a first look, not for numbers."""
    steps: int | None = option(None, least=1)
    """Denoising steps a clip, to measure faster (default: the model's)."""
    engine: str = option("inline", choices=ENGINES)
    """Who generates the clips: this process, several on this machine, or a Ray cluster; the results are the same."""
    workers: int | None = option(None, least=1)
    """Of the engines processes and ray (default: 2)."""
    results: Path | None = option(None, metavar="FILE")
    """Also write all tables to this Markdown file."""
    json: bool = False
    """Print the tables as JSON, once all are there."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is measured beside the options that all measurements share."""

    what: str
    split: str = "test"
    suite: str | None = None
    listed: bool = False
    dry_run: bool = False
    without_suite: tuple[str, ...] = field(default=("concepts", "clips", "seed", "steps", "quick"))
    """Options that a suite decides."""


def measure(options: MeasuringOptions, asked: Asked) -> None:
    """Measure, print tables and write them."""
    require_extra()
    if options.engine == "inline":
        refuse_idle(changed(options, "workers"), "--engine processes or --engine ray")
    if asked.suite is not None:
        refuse_idle(changed(options, *asked.without_suite), "a measurement without --suite, which says it itself")
    from unseen.diorama.world.captions import key_of

    for name in options.concepts:  # an unknown one is refused before anything is loaded
        key_of(name)
    folder = options.out or Path("runs/evaluate" + ("" if options.model == "wan" else f"-{options.model}"))
    require_folder(folder, "--out")
    if options.results is not None:
        require_file(options.results, "--results")
    if options.json:
        with redirect_stdout(sys.stderr):
            tables = _measured(options, asked, folder)
        print_json([_as_json(table) for table in tables])
    else:
        _measured(options, asked, folder)


def _measured(options: MeasuringOptions, asked: Asked, folder: Path) -> list[Any]:
    from unseen.bench.evaluate import run_evaluation
    from unseen.bench.study import Settings, Study
    from unseen.bench.suite import load_suite, needs

    settings = Settings(
        folder=folder,
        model=options.model,
        split=asked.split,
        seed=options.seed,
        config=options.config,
        concepts=options.concepts,
        clips=options.clips,
        quick=options.quick,
        steps=options.steps,
        listed=asked.listed,
        engine=options.engine,
        workers=options.workers or 2,
        progress=on_terminal(),
    )
    if asked.suite:
        settings = load_suite(asked.suite).settings(settings, asked.suite)
    with closing(Study(settings)) as study:
        if asked.dry_run:
            print(needs(study))
            return []
        return run_evaluation(asked.what, settings, results=options.results, study=study)


def _as_json(table: Any) -> dict[str, Any]:
    """A table's text, as it is printed."""
    return {
        "title": table.title,
        "note": table.note,
        "rows": [dict(zip(table.columns, row, strict=True)) for row in table.texts()],
    }
