"""`unseen ablate`: what each part of the method is worth."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from unseen.cli.measuring import INTERRUPTED, MeasuringOptions, measure
from unseen.cli.options import add_options, read_options


@dataclass(frozen=True, kw_only=True)
class Options(MeasuringOptions):
    """Of the command."""


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = known.add_parser(
        "ablate",
        help="change one part of the method at a time and measure what it was worth",
        description="`unseen evaluate ablate`. Per concept: fits that differ from the default in one setting, and two "
        "dense edits, on video.",
    )
    add_options(parser, Options)
    parser.set_defaults(run=run, interrupted=INTERRUPTED)


def run(given: argparse.Namespace) -> None:
    """Measure."""
    measure(read_options(Options, given), ["ablate"])
