"""`unseen evaluate`: suites, from prompts to clips to tables."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, Literal

from unseen.cli.measuring import EVALUATIONS, INTERRUPTED, MeasuringOptions, measure
from unseen.cli.options import add_options, option, read_options


@dataclass(frozen=True, kw_only=True)
class Options(MeasuringOptions):
    """Of the command."""

    names: tuple[str, ...] = option(metavar="SUITE")
    """Which, by name or by file."""
    split: Literal["development", "test"] | None = None
    """Wording of the prompts (default: test)."""


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = known.add_parser(
        "evaluate",
        help="measure picture quality, erasure and what is kept",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures what a suite says: one of these, or a TOML file of your own (docs/measuring.md). Prints "
        "tables with\nnumbers of clips, intervals and detector floors, writes them as Markdown, CSV and LaTeX, and "
        "adds every row to rows.sqlite.\nWhat is said here wins over the suite. An interrupted run goes on where it "
        "stopped.\n\n" + "\n".join(f"  {name:<18} {about}" for name, about in EVALUATIONS.items()),
    )
    add_options(parser, Options)
    parser.set_defaults(run=run, interrupted=INTERRUPTED)


def run(given: argparse.Namespace) -> None:
    """Measure."""
    options = read_options(Options, given)
    measure(options, options.names, options.split)
