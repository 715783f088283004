"""`unseen score`: detectors and metrics over a folder of videos, whoever made them."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.cli.commands import UsageError, on_terminal, print_json, refuse_idle, require_folder
from unseen.cli.options import add_options, changed, option, read_options

FORMATS = ("t2vsafetybench", "safesora", "ring-a-bell", "i2p", "unlearndiffatk", "emma", "hub", "vbench")
"""Those of `unseen.prompts.sets`, named here so that help needs nothing installed."""
METRICS = ("flicker", "smoothness", "motion")
"""Those of `unseen.metrics.streaming`, named here so that help needs nothing installed."""
_NEEDS = {"av": "av", "cv2": "opencv-python-headless", "numpy": "numpy", "tqdm": "tqdm"}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of the command."""

    folder: Path = option(metavar="FOLDER")
    """Where the videos are, in subfolders too."""
    detector: tuple[str, ...] = option((), metavar="NAME")
    """A detector of `unseen list detectors`, or MODULE:ATTRIBUTE for one of your own."""
    metric: tuple[str, ...] = option((), metavar="NAME")
    """flicker, smoothness or motion."""
    prompts: Path | None = option(None, metavar="FILE")
    """CSV or JSONL with the columns file, prompt and perhaps seed; or with --format a prompt set's file."""
    format: str | None = option(None, choices=FORMATS)
    """Which prompt set the file of --prompts is; videos are named after its prompts or their numbers."""
    out: Path | None = option(None, metavar="FOLDER")
    """Folder to write to (default: runs/score/NAME)."""
    chunk: int = 32
    """Most frames held at a time."""
    json: bool = False
    """Print where the tables lie and how many files could be scored as JSON."""


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = known.add_parser(
        "score",
        help="score a folder of videos with detectors and metrics",
        description="Decodes every MP4, WebM, GIF and folder of frames below FOLDER once, asks detectors and metrics,"
        " and writes scores.csv and summary.md. Damaged and empty files are reported and skipped. The same command"
        " goes on where it stopped.",
        epilog="Exit code 0: every file was scored; 1: some were reported as unreadable or refused; 2: the command has"
        " to be changed.",
    )
    add_options(parser, Options)
    parser.set_defaults(run=run, interrupted="nothing was scored yet")


def run(given: argparse.Namespace) -> int:
    """Score, and say what came out; 1 if a file could not be scored."""
    from unseen.names import file_name

    options = read_options(Options, given)
    _require_packages()
    if options.prompts is None:
        refuse_idle(changed(options, "format"), "--prompts FILE")
    if options.chunk < 1:
        raise UsageError(f"--chunk: expected a number of 1 or more, got {options.chunk}.")
    from unseen.score import score_folder

    out = options.out or Path("runs/score") / file_name(options.folder.resolve().name or "root")
    require_folder(out, "--out")
    scores = score_folder(
        options.folder,
        detectors=[detector_of(name) for name in options.detector],
        metrics=options.metric,
        prompts=options.prompts,
        format=options.format or "",
        out=out,
        chunk=options.chunk,
        progress=on_terminal(),
    )
    if options.json:
        files = {"table": str(out / "scores.csv"), "summary": str(out / "summary.md")}
        print_json({**files, "statuses": dict(scores.statuses), "scored_now": scores.scored_now})
    else:
        print(scores.summary)
        print(f"{scores.scored_now} files decoded now; {out / 'scores.csv'}, {out / 'summary.md'}")
    return int(any(status != "scored" for status in scores.statuses))


def _require_packages() -> None:
    from unseen.errors import DetectorError

    missing = [package for module, package in _NEEDS.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise DetectorError(f'Scoring videos needs {", ".join(missing)}: pip install "unseen[score]".')


def detector_of(name: str) -> Any:
    """The detector of that name, or what MODULE:ATTRIBUTE leads to; a class or function is called for one.

    Raises:
        DetectorError: there is none.
    """
    from unseen.errors import DetectorError

    module_name, colon, attribute = name.partition(":")
    if not colon:
        load = getattr(importlib.import_module("unseen.detectors"), "load_detector", None)
        if load is None:
            raise DetectorError(f"{name!r}: this version has no detectors by name; give MODULE:ATTRIBUTE.")
        return load(name)
    if (here := os.getcwd()) not in sys.path:  # a console script, unlike `python -m`, does not look where it is run
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except ModuleNotFoundError as error:
        if error.name != module_name:
            raise
        raise DetectorError(f"{name!r}: there is no module {module_name!r} here; check its name.") from error
    except AttributeError as error:
        raise DetectorError(f"{name!r}: {module_name} has no {attribute!r}; check its name.") from error
    return found() if inspect.isclass(found) or inspect.isfunction(found) else found
