"""`unseen list`: the models, concepts, erasers, detectors and suites that there are."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.cli.commands import painted, print_json, refuse_idle, require_extra
from unseen.cli.inspect import facts_of
from unseen.cli.options import add_options, changed, option, read_options
from unseen.errors import DamagedFileError

Rows = list[dict[str, Any]]
_SUITES = Path(__file__).parents[1] / "bench" / "suites"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of the command."""

    what: str | None = option(
        None, positional=True, metavar="WHAT", choices=("models", "concepts", "erasers", "detectors", "suites")
    )
    """models, concepts, erasers, detectors or suites (default: all)."""
    erasers: Path = option(Path("erasers"), metavar="FOLDER")
    """Where to look for erasers."""
    json: bool = False
    """Print as JSON."""


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = known.add_parser(
        "list",
        help="list models, concepts, erasers, detectors and suites",
        description="Lists what can be named on the command line. No model is loaded.",
    )
    add_options(parser, Options)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> None:
    """Print them."""
    options = read_options(Options, given)
    if options.what not in (None, "erasers"):
        refuse_idle(changed(options, "erasers"), "unseen list erasers")
    kinds: dict[str, Callable[[], Rows]] = {
        "models": models,
        "concepts": concepts,
        "erasers": lambda: erasers(options.erasers),
        "detectors": detectors,
        "suites": suites,
    }
    found = {name: rows() for name, rows in kinds.items() if options.what in (None, name)}
    if options.json:
        print_json(found)
        return
    for name, rows in found.items():
        if len(found) > 1:
            print(painted(f"{name.capitalize()}:", "bold"))
        width = max((len(row["name"]) for row in rows), default=0)
        for row in rows or [{"name": f"none in {options.erasers}", "about": "unseen fit NAME makes one"}]:
            print(f"  {row['name']:<{width}}  {row['about']}".rstrip())


def models() -> Rows:
    """What `--model` may be."""
    from unseen.doctor import MODELS

    built_in = {
        "diorama-wan": "built in, small; a WanPipeline",
        "diorama-cogvideox": "built in, small, undertrained; a CogVideoXPipeline",
    }
    rows = [{"name": name, "about": about} for name, about in built_in.items()]
    return rows + [{"name": name, "about": "on the hub; any diffusers pipeline folder will do"} for name in MODELS]


def concepts() -> Rows:
    """What Diorama can show, and the packs."""
    from unseen.prompts.pack import pack_names

    packs = [{"name": name, "kind": "pack", "about": f"pack: unseen fit {name} --pack"} for name in pack_names()]
    require_extra(("numpy",))
    from unseen.diorama.world import captions, scenes

    rows = []
    for key in captions.KEYS:
        kind = "style" if key in scenes.STYLES else "attribute" if key in scenes.ATTRIBUTES else "object"
        kind = "identity" if key in scenes.CHARACTERS else kind
        name = key if kind == "attribute" else captions.main_name(key)
        rows.append({"name": name, "kind": kind, "about": f"{kind}, which Diorama shows"})
    return sorted(rows, key=lambda row: (row["kind"], row["name"].lower())) + packs


def erasers(folder: Path) -> Rows:
    """Erasers below a folder, by their own records."""
    from unseen.clear.stored import METADATA_FILE

    rows = []
    for path in sorted(folder.glob(f"**/{METADATA_FILE}")):
        try:
            facts = facts_of(path.parent)
        except DamagedFileError as error:
            rows.append({"name": str(path.parent), "about": f"damaged: {error}"})
            continue
        verdict = "works by its own fit" if facts["worked"] else "does NOT work by its own fit"
        about = f"{facts['concept']} ({facts['kind']}), layer {facts['layer']}, {facts['features']} features; {verdict}"
        rows.append({"name": str(path.parent), "about": about, **facts})
    return rows


def detectors() -> Rows:
    """What `unseen score --detector` takes."""
    require_extra(("numpy",))
    from unseen.detectors.registry import BUILT_IN, available_detectors

    return [
        {"name": name, "about": "comes with unseen" if name in BUILT_IN else "from a plug-in"}
        for name in available_detectors()
    ]


def suites() -> Rows:
    """What `unseen evaluate` takes."""
    return [
        {"name": path.stem, "about": tomllib.loads(path.read_text(encoding="utf-8"))["about"]}
        for path in sorted(_SUITES.glob("*.toml"))
    ]
