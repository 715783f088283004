"""What `evaluate`, `sweep`, `ablate` and `attack` share: their options, and carrying suites out."""

from __future__ import annotations

import shlex
import sys
import tomllib
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import unseen
from unseen.cli.commands import (
    UsageError,
    did_you_mean,
    on_terminal,
    print_json,
    refuse_idle,
    require_extra,
    require_file,
    require_folder,
)
from unseen.cli.options import changed, option

ENGINES = ("inline", "processes", "ray")
ALL = ("picture", "objects", "kinds", "phrasings", "together")
"""What "all" stands for; the methods, the sweep and the ablations are studies of their own."""
INTERRUPTED = (
    "finished clips and fits are kept below --out and in the folder clips beside it; the same command goes on there"
)
_SUITES = Path(unseen.__file__).parent / "bench" / "suites"
_DIORAMA = ("wan", "cogvideox")


def evaluations() -> dict[str, str]:
    """The suites that come with the library, with a line about each; nothing has to be installed to know them."""
    found = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(_SUITES.glob("*.toml"))}
    return {**{name: data["about"] for name, data in found.items()}, "all": f"{', '.join(ALL[:-1])} and {ALL[-1]}"}


EVALUATIONS = evaluations()


@dataclass(frozen=True, kw_only=True)
class MeasuringOptions:
    """Of every measurement; what is said wins over the suite."""

    clips: int | None = option(None, least=1)
    """Clips per cell (default: what the suite says)."""
    concepts: tuple[str, ...] = option((), metavar="NAME", together=True)
    """Only these, for instance "French horn" church."""
    methods: tuple[str, ...] = option((), metavar="NAME", together=True)
    """Only these of the suite's methods."""
    config: Literal["default", "paper"] | None = None
    """Settings of the fits (default: default)."""
    seed: int | None = option(None, metavar="N", least=0, most=2**63 - 1)
    """Seed of fits and prompts (default: 0)."""
    seeds: tuple[int, ...] = option((), metavar="N", least=0, most=2**63 - 1, together=True)
    """Several seeds, a run for each."""
    model: str | None = option(None, metavar="ID")
    """Which model: wan, cogvideox, or what another model's suite is about (default: wan)."""
    steps: int | None = option(None, least=1)
    """Denoising steps a clip, to measure faster."""
    quick: bool = False
    """A few clips per cell: for a first look, not for numbers."""
    listed: bool = False
    """Give the fits some other names (none of those measured) too."""
    engine: str | None = option(None, choices=ENGINES)
    """Who generates the clips: this process, several on this machine, or a Ray cluster; the results are the same
    (default: inline)."""
    workers: int | None = option(None, least=1)
    """Of the engines processes and ray (default: 2)."""
    out: Path | None = option(None, metavar="FOLDER")
    """Folder to write to (default: runs/evaluate, for cogvideox runs/evaluate-cogvideox)."""
    results: Path | None = option(None, metavar="FILE")
    """Also write figures and tables to this Markdown file."""
    dry_run: bool = False
    """Only say how many clips, bytes and hours it takes at most."""
    json: bool = False
    """Print the tables as JSON, once all are there."""


def measure(options: MeasuringOptions, names: Sequence[str], split: str | None = None) -> None:
    """Measure suites, print their tables and write them."""
    for name in names:
        if name not in EVALUATIONS and not Path(name).is_file():
            known = ", ".join(EVALUATIONS)
            raise UsageError(
                f"expected a suite ({known}) or a TOML file of your own, got {name!r}, which is neither"
                f"{did_you_mean(name, EVALUATIONS)}"
            )
    if options.seed is not None and options.seeds:
        raise UsageError("expected --seed or --seeds, got both. Leave one of them out.")
    if options.workers is not None and options.engine in (None, "inline"):
        refuse_idle(changed(options, "workers"), "--engine processes or --engine ray")
    if options.out is not None:
        require_folder(options.out, "--out")
    if options.results is not None:
        require_file(options.results, "--results")
    require_extra()
    if options.json:
        with redirect_stdout(sys.stderr):
            tables = _measured(options, names, split)
        print_json([_as_json(table) for table in tables])
    else:
        _measured(options, names, split)


def _measured(options: MeasuringOptions, names: Sequence[str], split: str | None) -> list[Any]:
    from unseen.bench.run import evaluate, load_suite

    names = [one for name in names for one in (ALL if name == "all" else (name,))]
    said = ("clips", "concepts", "methods", "config", "model", "steps", "engine", "workers")
    given = {name: getattr(options, name) for name in said} | {"split": split}
    given |= {name: True for name in ("quick", "listed") if getattr(options, name)}
    suites = [
        load_suite(name).with_options(**given, seed=seed)
        for name in names
        for seed in (options.seeds or (options.seed,))
    ]  # all before the first, so that a mistake costs no time
    tables: list[Any] = []
    for suite in suites:
        model = "" if suite.model == "wan" else f"-{suite.model}"
        folder = options.out or Path("runs") / f"evaluate{model if suite.model in _DIORAMA else ''}"
        page = options.results
        if page is not None and len(suites) > 1:
            seed = f"-{suite.seed}" if len(suites) > len(names) else ""
            page = page.with_stem(f"{page.stem}-{Path(suite.name).stem}{seed}")
        command = _command(options, suite.name, split)
        tables += evaluate(
            suite, folder, results=page, dry_run=options.dry_run, command=command, progress=on_terminal()
        )
    return tables


def _command(options: MeasuringOptions, name: str, split: str | None) -> str:
    """The command as it could be typed again."""
    said = [f"unseen evaluate {shlex.quote(name)}"] + ([f"--split {split}"] if split else [])
    for one in fields(options):
        value = getattr(options, one.name)
        if one.name in ("names", "split", "out", "results", "dry_run", "json") or value in (None, False, ()):
            continue
        words = [] if value is True else value if isinstance(value, tuple) else [value]
        said.append(" ".join([f"--{one.name}", *(shlex.quote(str(word)) for word in words)]))
    return " ".join(said)


def _as_json(table: Any) -> dict[str, Any]:
    """A table's text, as it is printed."""
    return {
        "title": table.title,
        "note": table.note,
        "rows": [dict(zip(table.columns, row, strict=True)) for row in table.texts()],
    }
