"""`unseen train`: train a part of the built-in video model."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from unseen.cli.commands import require_extra
from unseen.cli.options import How, value_of

TRAINERS = {
    "layers": "unseen.diorama.training.layers",
    "tokens": "unseen.diorama.training.tokens",
    "vae": "unseen.diorama.training.vae",
    "text": "unseen.diorama.training.text",
    "transformer": "unseen.diorama.training.transformer",
    "detector": "unseen.diorama.training.detector",
}


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = known.add_parser(
        "train",
        help="train a part of the built-in video model (hours)",
        description="Trains one part of Diorama; interrupted training goes on from its last checkpoint. Further "
        "options are the part's own: unseen train vae --help.",
        add_help=False,
    )
    parser.add_argument(
        "part",
        nargs="?",
        help="which part: " + ", ".join(TRAINERS),
        **value_of(str, How(metavar="PART", choices=tuple(TRAINERS))),
    )
    parser.add_argument("-h", "--help", action="store_true", help="show this help, or that of the part")
    parser.set_defaults(
        run=run, takes_rest=True, interrupted="the last checkpoint is kept; the same command goes on from there"
    )


def run(options: argparse.Namespace) -> None:
    """Train it."""
    if options.part is None:
        options.parser.print_help()
        return
    require_extra()
    rest = [*options.rest, *(["--help"] if options.help else [])]
    importlib.import_module(TRAINERS[options.part]).main(rest)
