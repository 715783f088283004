"""`unseen fit`: learn to erase concepts and keep the erasers."""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.cli.commands import (
    UsageError,
    on_terminal,
    painted,
    print_json,
    refuse_idle,
    require_extra,
    require_folder,
    say,
)
from unseen.cli.model import ModelOptions, check_model, load_model, require_device
from unseen.cli.named import ConceptOptions, check_concept, concept_called, name_of
from unseen.cli.options import add_options, changed, option, read_options
from unseen.cli.settings import add_settings, chosen_settings


@dataclass(frozen=True, kw_only=True)
class Options(ModelOptions, ConceptOptions):
    """Of the command."""

    name: tuple[str, ...] = option(metavar="NAME")
    """What to erase, without an article: "French horn", "Tobias Inkwell", "burning"; several learn together."""
    replace_with: str | None = option(None, metavar="NAME")
    """Put this concept in its place."""
    pairs: Path | None = option(None, metavar="FILE")
    """Your own prompt pairs: CSV or JSONL with positive, negative."""
    retain: Path | None = option(None, metavar="FILE")
    """Prompts of your own that are to stay as they are: .txt, CSV or JSONL."""
    seed: int = option(0, least=0, most=2**63 - 1)
    """Seed of the fit."""
    encoder: str | None = option(None, metavar="NAME")
    """Which text encoder, where a model has several: "text_encoder_2", ..."""
    out: Path | None = option(None, metavar="FOLDER")
    """Where to keep the eraser (default: erasers/NAME)."""
    overwrite: bool = False
    """Replace an eraser that lies there already."""
    json: bool = False
    """Print what was made as JSON."""


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = known.add_parser(
        "fit",
        help="learn to erase a concept and keep the eraser in a folder",
        description="Fits an eraser from the concept's name alone and writes it to a folder of some kilobytes. "
        "The video model's weights are neither needed for it nor changed by it.",
        epilog="Exit code 3: the eraser is kept, and by its held-out prompts it does not work.",
    )
    add_options(parser, Options)
    add_settings(parser)
    parser.set_defaults(
        run=run, interrupted="no eraser was written, and a fit cannot go on; the same command starts again"
    )


def run(given: argparse.Namespace) -> int:
    """Fit erasers and keep them. Returns 3 if one does not work by its held-out pairs."""
    options, config = read_options(Options, given), chosen_settings(given)
    _check(options)
    require_device("--fit-device", config.fit_device)
    asked = _concepts(options)
    several = len(asked) > 1
    folders = _folders(options, [name_of(concept) for concept in asked])
    import unseen

    how: dict[str, Any] = {"config": config, "seed": options.seed, "encoder": options.encoder}
    if not several:
        how |= {
            "pairs": None if options.pairs is None else unseen.load_pairs(options.pairs),
            "retain": () if options.retain is None else unseen.load_prompts(options.retain),
        }
    how["progress"] = on_terminal() and not options.json
    pipe = load_model(options, text_only=True)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        erasers = unseen.fit_many(pipe, asked, **how) if several else [unseen.fit(pipe, asked[0], **how)]
    made = [_keep(eraser, folder) for eraser, folder in zip(erasers, folders, strict=True)]
    for warning in told:
        say(str(warning.message))
    if options.json:
        print_json(made)
    else:
        for one in made:
            mark = "" if one["worked"] else painted(" (does not work)", "red")
            print(
                f"{one['concept']}: layer {one['layer']}, {one['features']} features, strength {one['strength']:g};"
                f" {one['bytes'] / 1000:.0f} kB in {one['folder']}{mark}"
            )
        print(f'try it: unseen generate "..." {" ".join(f"--eraser {folder}" for folder in folders)} --compare')
    return 0 if all(one["worked"] for one in made) else 3


def _check(options: Options) -> None:
    """Refuse what does not go together, before anything is loaded."""
    check_concept(options)
    if options.pack:
        refuse_idle(changed(options, "replace_with"), "a name without --pack")
    for name in changed(options, "synonym", "replace_with", "pairs", "retain"):
        if len(options.name) > 1:
            raise UsageError(f"{name} is for one concept, and {len(options.name)} are named. Fit that one alone.")
    check_model(options)
    require_extra()


def _concepts(options: Options) -> list[Any]:
    import unseen

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", unseen.ConceptWarning)
        asked = [concept_called(name, options, options.replace_with) for name in options.name]
    for warning in told:
        say(f"{warning.message} Here: --synonym NAME.")
    return asked


def _folders(options: Options, names: Sequence[str]) -> list[Path]:
    """Where the erasers go; seen to be free and writable before the work, not after it."""
    from unseen.clear.stored import METADATA_FILE
    from unseen.files import require_writable
    from unseen.names import file_name

    several = len(names) > 1
    folder = options.out or (Path("erasers") if several else Path("erasers") / file_name(names[0]))
    folders = [folder / file_name(name) if several else folder for name in names]
    for place, (one, name) in enumerate(zip(folders, names, strict=True)):
        if one in folders[:place]:
            raise UsageError(f"{names[folders.index(one)]!r} and {name!r} would both go to {one}. Fit them one by one.")
        require_folder(one, "--out")
        if not options.overwrite and os.path.lexists(one / METADATA_FILE):
            raise UsageError(f"{one} holds an eraser already. Choose another --out, or replace it with --overwrite.")
    for one in folders:
        require_writable(one)
    return folders


def _keep(eraser: Any, folder: Path) -> dict[str, Any]:
    eraser.save_pretrained(folder)
    verdict = eraser.report["verdict"]
    return {
        "concept": eraser.name,
        "folder": str(folder),
        "layer": eraser.layer,
        "features": eraser.num_features,
        "strength": eraser.strength,
        "bytes": sum(file.stat().st_size for file in folder.iterdir()),
        "worked": verdict["worked"],
        "reasons": verdict["reasons"],
    }
