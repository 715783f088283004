"""`unseen attack`: try to get erased concepts back, by words or past the guard."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from typing import Any

from unseen.cli.commands import refuse_idle, require_extra
from unseen.cli.measuring import INTERRUPTED, MeasuringOptions, measure
from unseen.cli.options import add_options, changed, option, read_options

_WHAT = {
    "words": "other words for a concept, and words that a search in the text encoder found, against four methods "
    "(hours; tables as of unseen evaluate)",
    "guard": "every known way past attached erasers, tried on small pipelines (minutes)",
}


@dataclass(frozen=True, kw_only=True)
class Options(MeasuringOptions):
    """Of the command."""

    what: str = option(metavar="WHAT", choices=tuple(_WHAT))
    """Which attacks: words or guard."""
    suite: str | None = option(None, metavar="NAME")
    """Words: what to attack; one of `unseen list suites`, or a TOML file (default: attacks)."""
    only: str = option("", metavar="TEXT")
    """Guard: part of a way's name, to try those alone."""


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = known.add_parser(
        "attack",
        help="try to get erased concepts back",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Tries to get erased concepts back, and counts how often it succeeds.\n\n"
        + "\n".join(f"  {name:<7} {about}" for name, about in _WHAT.items()),
        epilog="Exit code 1: a way past an eraser worked.",
    )
    add_options(parser, Options)
    parser.set_defaults(run=run, interrupted=INTERRUPTED)


def run(given: argparse.Namespace) -> int:
    """Attack. Returns 1 if a way past the guard worked."""
    options = read_options(Options, given)
    if options.what == "words":
        refuse_idle(changed(options, "only"), "unseen attack guard")
        measure(options, [options.suite or "attacks"])
        return 0
    words = [one.name for one in fields(options) if one.name not in ("what", "only", "results")]
    refuse_idle(changed(options, *words), "unseen attack words")
    require_extra()
    from unseen.bench.ways.__main__ import main

    results = [] if options.results is None else ["--results", str(options.results)]
    return main([*results, f"--only={options.only}"])
