"""The command line: `unseen demo | fit | generate | app | evaluate | score | list | inspect | doctor | ...`."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence

from unseen.cli.commands import UsageError, complain
from unseen.cli.parser import COMMANDS
from unseen.cli.parser import EVALUATIONS as EVALUATIONS
from unseen.cli.parser import build_parser as build_parser
from unseen.cli.train import TRAINERS as TRAINERS
from unseen.errors import UnseenError

_EXPECTED = (UsageError, UnseenError, OSError, ValueError)
"""Errors that the user can put right; anything else is a mistake of ours and keeps its traceback."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit code, as `unseen --help` lists them.

    With `UNSEEN_TRACEBACK=1` in the environment an error also prints where it came from.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that lacks an arrow gets a question mark, not a failure
    words = sys.argv[1:] if argv is None else argv
    only = words[0] if words and words[0] in COMMANDS else None  # the others' options need not be worked out
    options, rest = build_parser(only).parse_known_args(words)
    if rest and not getattr(options, "takes_rest", False):
        options.parser.refuse(rest)
    options.rest = rest
    try:
        return options.run(options) or 0
    except BrokenPipeError:  # whoever read the output has seen enough: unseen list | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except _EXPECTED as error:
        if os.environ.get("UNSEEN_TRACEBACK"):
            traceback.print_exc()
        complain(sentence(error))
        return 2
    except KeyboardInterrupt as stopped:
        kept = str(stopped) or getattr(options, "interrupted", "nothing was written")
        complain(f"interrupted; {kept}")
        return 130


def sentence(error: BaseException) -> str:
    """What an error says, in one line."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}."
    return " ".join(str(error).split()) or type(error).__name__
