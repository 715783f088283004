"""`unseen demo`: erase a concept from the built-in model, measure it, write the report."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unseen.cli.commands import UsageError, on_terminal, require_extra, require_folder
from unseen.cli.options import add_options, option, read_options


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of the command."""

    concept: str | None = option(None, positional=True, metavar="CONCEPT")
    """What to erase, for instance "church" (default: French horn)."""
    concept_option: str | None = option(None, flag="--concept", metavar="NAME")
    """The same as naming it directly."""
    out: Path = option(Path("runs/demo"), metavar="FOLDER")
    """Folder to write to."""
    model: Literal["wan", "cogvideox"] = "wan"
    """Which of the two built-in models."""
    seed: int = option(0, least=0, most=2**63 - 1)
    """Seed of the fit and of the prompts."""
    quick: bool = False
    """A few clips only: for a first look, not for numbers."""


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = known.add_parser(
        "demo",
        help="erase a concept from the small built-in video model, measure it, and write a report",
        description="Fits an eraser for one concept, generates the same prompts from the same noise with and without "
        "it, and writes report.html, clips (GIF, MP4) and a contact sheet. Takes a few minutes on two cores.",
    )
    add_options(parser, Options)
    parser.set_defaults(
        run=run,
        interrupted="finished clips and a finished fit are kept below --out and in the folder clips beside it; the "
        "same command goes on there",
    )


def run(given: argparse.Namespace) -> None:
    """Erase, measure, report."""
    options = read_options(Options, given)
    require_extra()
    if options.concept and options.concept_option and options.concept != options.concept_option:
        raise UsageError(f"Name one concept, not both {options.concept!r} and {options.concept_option!r}.")
    concept = options.concept or options.concept_option or "French horn"
    from unseen.diorama.world.captions import key_of

    key_of(concept)  # an unknown one is refused before anything is loaded
    require_folder(options.out, "--out")
    from unseen.bench.demo import run_demo

    run_demo(
        concept,
        options.out,
        model=options.model,
        seed=options.seed,
        quick=options.quick,
        progress=on_terminal(),
    )
