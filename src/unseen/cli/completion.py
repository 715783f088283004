"""`unseen completion`: what a shell needs to complete commands and options."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from unseen.cli.commands import UsageError
from unseen.cli.options import add_options, option, read_options

SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of the command."""

    shell: str = option(metavar="SHELL", choices=SHELLS)
    """bash, zsh, fish, tcsh or powershell."""


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = known.add_parser(
        "completion",
        help="print a script with which a shell completes commands and options",
        description="Prints a completion script, made by shtab: pip install 'unseen[completion]'.",
        epilog="For bash: unseen completion bash > ~/.local/share/bash-completion/completions/unseen",
    )
    add_options(parser, Options)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> None:
    """Print it."""
    options = read_options(Options, given)
    try:
        import shtab
    except ImportError as error:
        raise UsageError("Completion scripts are made by shtab: pip install 'unseen[completion]'.") from error
    from unseen.cli.parser import build_parser

    print(shtab.complete(build_parser(), options.shell))
