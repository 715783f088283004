"""`unseen evaluate`, and its short forms `unseen sweep` and `unseen ablate`: what can be typed, and what it does."""

from __future__ import annotations

import argparse
import shlex
import tomllib
from pathlib import Path
from typing import Any

import unseen

ENGINES = ("inline", "processes", "ray")
ALL = ("picture", "objects", "kinds", "phrasings", "together")
"""What "all" stands for; the methods, the sweep and the ablations are studies of their own."""
_SUITES = Path(unseen.__file__).parent / "bench" / "suites"
_DIORAMA = ("wan", "cogvideox")


def evaluations() -> dict[str, str]:
    """The suites that come with the library, with a line about each; nothing has to be installed to know them."""
    found = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(_SUITES.glob("*.toml"))}
    return {**{name: data["about"] for name, data in found.items()}, "all": f"{', '.join(ALL[:-1])} and {ALL[-1]}"}


EVALUATIONS = evaluations()


def add(known: Any) -> None:
    """Add the commands to the parser's commands."""
    evaluate = known.add_parser(
        "evaluate",
        help="measure picture quality, erasure and what is kept",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures what a suite says: one of these, or a TOML file of your own (docs/measuring.md). Prints "
        "tables with\nnumbers of clips, intervals and detector floors, writes them as Markdown, CSV and LaTeX, and "
        "adds every row to rows.sqlite.\nWhat is said here wins over the suite. An interrupted run goes on where it "
        "stopped.\n\n" + "\n".join(f"  {n:<18} {t}" for n, t in EVALUATIONS.items()),
    )
    evaluate.add_argument("names", nargs="+", type=_suite, metavar="SUITE", help="which, by name or by file")
    evaluate.add_argument("--split", choices=("development", "test"), help="wording of the prompts (default: test)")
    _add_options(evaluate)
    evaluate.set_defaults(run=run)

    sweep = known.add_parser(
        "sweep",
        help="erase at every layer and strength, and see whether the search found the best",
        description="`unseen evaluate sweep`. For each concept: an eraser at every candidate layer and strength, "
        "measured on video; what the layer search and every other criterion would have chosen; a figure (PNG) per "
        "concept. Strengths are chosen on development wording and scores reported on test wording.",
    )
    _add_options(sweep)
    sweep.set_defaults(run=run, names=["sweep"], split=None)

    ablate = known.add_parser(
        "ablate",
        help="change one part of the method at a time and measure what it was worth",
        description="`unseen evaluate ablate`. Per concept: fits that differ from the default in one setting, and two "
        "dense edits, on video.",
    )
    _add_options(ablate)
    ablate.set_defaults(run=run, names=["ablate"], split=None)


def _add_options(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("--clips", type=_positive, metavar="N", help="clips per cell (default: what the suite says)")
    add("--concepts", nargs="+", metavar="NAME", help='only these, for instance "French horn" church')
    add("--methods", nargs="+", metavar="NAME", help="only these of the suite's methods")
    add("--config", choices=("default", "paper"), help="settings of the fits (default: default)")
    add("--seed", "--seeds", nargs="+", type=int, metavar="N", dest="seeds",
        help="seed of fits and prompts; with several, one run for each (default: 0)")  # fmt: skip
    add("--model", metavar="ID", help="wan, cogvideox, or what another model's suite is about (default: wan)")
    add("--steps", type=_positive, metavar="N", help="denoising steps a clip, to measure faster")
    add("--quick", action="store_true", help="a few clips per cell: for a first look, not for numbers")
    add("--listed", action="store_true", help="give the fits some other names (none of those measured) too")
    add(
        "--engine",
        choices=ENGINES,
        help="who draws the clips: this process, several on this machine, or a Ray cluster; the results are the same "
        "(default: inline)",
    )
    add("--workers", type=_positive, metavar="N", help="of the other engines (default: 2)")
    add("--out", type=Path, help="folder to write to (default: runs/evaluate, for cogvideox runs/evaluate-cogvideox)")
    add("--results", type=Path, metavar="FILE", help="also write figures and tables to this Markdown file")
    add("--dry-run", action="store_true", help="only say how many clips, bytes and hours it takes at most")


def _suite(text: str) -> str:
    if text not in EVALUATIONS and not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a suite ({', '.join(EVALUATIONS)}) nor a file")
    return text


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of 1 or more")
    return number


def run(options: argparse.Namespace) -> None:
    """Measure, print tables and write them."""
    from unseen.cli.commands import require_extra

    require_extra()
    from unseen.bench.run import evaluate, load_suite

    names = [one for name in options.names for one in (ALL if name == "all" else (name,))]
    fields = ("split", "clips", "concepts", "methods", "config", "model", "steps", "engine", "workers")
    given = {name: getattr(options, name) for name in fields}
    given |= {name: True for name in ("quick", "listed") if getattr(options, name)}
    suites = [
        load_suite(name).with_options(**given, seed=seed) for name in names for seed in (options.seeds or [None])
    ]  # all before the first, so that a mistake costs no time
    for suite in suites:
        model = "" if suite.model == "wan" else f"-{suite.model}"
        folder = options.out or Path("runs") / f"evaluate{model if suite.model in _DIORAMA else ''}"
        page = options.results
        if page is not None and len(suites) > 1:
            seed = f"-{suite.seed}" if len(suites) > len(names) else ""
            page = page.with_stem(f"{page.stem}-{Path(suite.name).stem}{seed}")
        evaluate(suite, folder, results=page, dry_run=options.dry_run, command=_command(options, suite.name))


def _command(options: argparse.Namespace, name: str) -> str:
    """The command as it could be typed again."""
    said = [f"unseen evaluate {shlex.quote(name)}"]
    for option, value in vars(options).items():
        if option in ("names", "run", "rest", "out", "results", "dry_run") or value in (None, False):
            continue
        words = [] if value is True else value if isinstance(value, list) else [value]
        said.append(
            " ".join([f"--{'seed' if option == 'seeds' else option}", *(shlex.quote(str(word)) for word in words)])
        )
    return " ".join(said)
