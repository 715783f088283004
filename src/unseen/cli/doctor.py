"""`unseen doctor`: is this installation fit for work, and if not, what to do."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

from unseen.cli.commands import EXTRA, EXTRA_MODULES, painted, print_json
from unseen.cli.options import add_options, read_options


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of the command."""

    json: bool = False
    """Print the findings as JSON."""


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = known.add_parser(
        "doctor",
        help="check the installation and say what to do",
        description="Looks at versions known to be broken, the device, Diorama's parts and the local hub cache, and "
        "says how to fix what it finds.",
        epilog="Exit code 1: something will not work.",
    )
    add_options(parser, Options)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Say what is wrong with the installation; 1 if something is."""
    from unseen.doctor import examine

    options = read_options(Options, given)
    findings = list(examine(EXTRA_MODULES, EXTRA))
    if options.json:
        print_json([finding._asdict() for finding in findings])
    else:
        width = max(len(finding.what) for finding in findings)
        colors = {"ok": "green", "note": "yellow", "problem": "red"}
        for finding in findings:
            verdict = painted(f"{finding.verdict:<8}", colors[finding.verdict])
            print(f"{verdict} {finding.what:<{width}}  {finding.detail}")
            if finding.advice:
                print(f"{'':<8} {'':<{width}}  → {finding.advice}")
        wrong = [finding for finding in findings if finding.verdict == "problem"]
        print("\nNothing has to be mended." if not wrong else f"\nTo mend: {'; '.join(one.advice for one in wrong)}")
    return int(any(finding.verdict == "problem" for finding in findings))
