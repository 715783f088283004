"""`unseen report`: find and read the reports that other commands wrote."""

from __future__ import annotations

import argparse
import time
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.cli.commands import UsageError, print_json
from unseen.cli.options import add_options, option, read_options

_PATTERNS = ("*.html", "*/*.html", "*/*/*.html", "summary.md", "*/summary.md", "*/*/summary.md", "*/*.md")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of the command."""

    place: Path = option(Path("runs"), positional=True, metavar="PLACE")
    """A report, or a folder of them (default: runs)."""
    open: bool = False
    """Open the newest in the browser."""
    json: bool = False
    """Print paths and times as JSON."""


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = known.add_parser(
        "report",
        help="find the reports that demo, evaluate and score wrote, and open them",
        description="Lists reports below a folder, the newest first. `unseen demo` writes report.html, `unseen "
        "evaluate` tables as Markdown, `unseen score` summary.md.",
    )
    add_options(parser, Options)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> None:
    """List, or open."""
    options = read_options(Options, given)
    found = reports(options.place)
    if options.open:
        print(found[0])
        webbrowser.open(found[0].resolve().as_uri())
    elif options.json:
        print_json([{"path": str(path), "modified": _when(path)} for path in found])
    else:
        for path in found:
            print(f"{_when(path)}  {path}")


def reports(place: Path) -> list[Path]:
    """Reports at or below `place`, the newest first. Raises `UsageError` where there are none."""
    if place.is_file():
        return [place]
    found = {path for pattern in _PATTERNS for path in place.glob(pattern)} if place.is_dir() else set()
    if not found:
        raise UsageError(f"There is no report in {place}: unseen demo writes one to runs/demo.")
    return sorted(found, key=lambda path: (-path.stat().st_mtime, path))


def _when(path: Path) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(path.stat().st_mtime))
