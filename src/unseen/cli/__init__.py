"""The command line: `unseen demo | fit | prompts | generate | app | evaluate | sweep | plan | score | doctor | ...`."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

from unseen.cli import commands
from unseen.cli.commands import TRAINERS as TRAINERS
from unseen.cli.measure import EVALUATIONS as EVALUATIONS
from unseen.cli.parser import build_parser as build_parser
from unseen.errors import UnseenError

_EXPECTED = (
    commands.UsageError,
    UnseenError,
    FileExistsError,
    FileNotFoundError,
    NotADirectoryError,
    PermissionError,
    ValueError,
)
"""Errors that the user can put right; anything else is a mistake of ours and keeps its traceback."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns 0; 1 if `doctor` finds a problem or `score` a file that it cannot read; 2 after an error
    that the user can put right; 3 for a fit that does not work."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that lacks an arrow gets a question mark, not a failure
    parser = build_parser()
    options, rest = parser.parse_known_args(argv)
    if rest and options.run is not commands.train:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    try:
        return options.run(options) or 0
    except _EXPECTED as error:
        print(f"unseen: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("unseen: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
