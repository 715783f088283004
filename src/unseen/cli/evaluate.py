"""`unseen evaluate`: tables of how well erasure works on the built-in models."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any, Literal

from unseen.cli.commands import refuse_idle
from unseen.cli.measuring import EVALUATIONS, INTERRUPTED, Asked, MeasuringOptions, measure
from unseen.cli.options import add_options, changed, option, read_options


@dataclass(frozen=True, kw_only=True)
class Options(MeasuringOptions):
    """Of the command."""

    what: str = option(metavar="WHAT", choices=tuple(EVALUATIONS))
    """Which tables."""
    split: Literal["development", "test"] = "test"
    """Wording of the prompts."""
    listed: bool = False
    """Phrasings: give the fits some other names (none of those measured) too."""
    suite: str | None = option(None, metavar="NAME")
    """Methods: what to compare; one of `unseen list suites`, or a TOML file."""
    dry_run: bool = False
    """Methods: only say how many clips, bytes and hours it takes at most."""


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = known.add_parser(
        "evaluate",
        help="measure picture quality, erasure and what is kept",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Prints tables with numbers of clips, intervals and detector floors, and writes them as Markdown "
        "and CSV.\nAn interrupted run goes on where it stopped.\n\n"
        + "\n".join(f"  {name:<14} {about}" for name, about in EVALUATIONS.items()),
    )
    add_options(parser, Options)
    parser.set_defaults(run=run, interrupted=INTERRUPTED)


def run(given: argparse.Namespace) -> None:
    """Measure."""
    options = read_options(Options, given)
    if options.what != "methods":
        refuse_idle(changed(options, "suite", "dry_run"), "unseen evaluate methods")
    if options.what != "phrasings":
        refuse_idle(changed(options, "listed"), "unseen evaluate phrasings")
    asked = Asked(
        what=options.what,
        split=options.split,
        suite=options.suite,
        listed=options.listed,
        dry_run=options.dry_run,
    )
    measure(options, asked)
