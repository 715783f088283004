"""`unseen sweep`: every layer and strength, to see whether the search found the best."""

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
        "sweep",
        help="erase at every layer and strength, and see whether the search found the best",
        description="`unseen evaluate sweep`. For each concept: an eraser at every candidate layer and strength, "
        "measured on video; what the layer search and every other criterion would have chosen; a figure (PNG) per "
        "concept. Strengths are chosen on development wording and scores reported on test wording.",
    )
    add_options(parser, Options)
    parser.set_defaults(run=run, interrupted=INTERRUPTED)


def run(given: argparse.Namespace) -> None:
    """Measure."""
    measure(read_options(Options, given), ["sweep"])
