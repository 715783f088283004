"""`unseen inspect`: what an eraser is, from its own files. No model and no torch is loaded."""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.cli.commands import painted, print_json
from unseen.cli.options import add_options, option, read_options

_GROUPS = {
    "held_out_positives": "unseen prompts about it",
    "held_out_negatives": "unseen prompts about other things",
    "same_word": "prompts that use a word of its name otherwise",
}
_MOST_FEATURES = 6


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of the command."""

    eraser: tuple[Path, ...] = option(metavar="ERASER")
    """Folders of erasers."""
    json: bool = False
    """Print as JSON."""


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = known.add_parser(
        "inspect",
        help="say what an eraser erases, where, and whether its fit worked",
        description="Reads an eraser's files and checks that nobody changed them. Nothing is loaded; that it acts is "
        "tried when it is.",
        epilog="Exit code 1: an eraser does not work by its own fit.",
    )
    add_options(parser, Options)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> int:
    """Print it. Returns 1 for one that does not work by its own fit."""
    options = read_options(Options, given)
    found = [facts_of(folder) for folder in options.eraser]
    if options.json:
        print_json(found)
    else:
        print("\n\n".join(_text(facts) for facts in found))
    return int(not all(facts["worked"] for facts in found))


def facts_of(folder: Path) -> dict[str, Any]:
    """What an eraser's files say of it. Raises `DamagedFileError` where they were changed or are no eraser's."""
    from unseen.clear.stored import METADATA_FILE, WEIGHTS_FILE, stored_facts

    facts, weights = stored_facts(folder)
    concept, report = facts["concept"], facts["report"]
    verdict = report.get("verdict", {})
    files = [folder / METADATA_FILE, folder / WEIGHTS_FILE]
    return {
        "folder": str(folder),
        "concept": concept.get("name"),
        "kind": concept.get("kind"),
        "synonyms": concept.get("synonyms", []),
        "replace_with": concept.get("replace_with"),
        "other_words": facts["mentions"],
        "layer": facts["layer"],
        "candidates": report.get("layers", []),
        "features": report.get("features"),
        "strength": facts["strength"],
        "worked": bool(verdict.get("worked")),
        "reasons": verdict.get("reasons", ["no verdict was recorded"]),
        "fired_on": report.get("fired_on", {}),
        "top_tokens": report.get("top_tokens", []),
        "seed": report.get("seed"),
        "prompts": report.get("prompts", {}),
        "encoder_fingerprint": facts["encoder_fingerprint"],
        "encoder_architecture": facts["encoder_architecture"],
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "bytes": sum(file.stat().st_size for file in files),
        "written": time.strftime("%Y-%m-%d %H:%M", time.localtime(files[0].stat().st_mtime)),
    }


def _text(facts: dict[str, Any]) -> str:
    title = f"{facts['concept']} ({facts['kind']})"
    reasons = "; ".join(facts["reasons"])
    works = painted("works by its own fit", "green")
    lines = [
        ("verdict", works if facts["worked"] else painted("does not work by its own fit", "red") + f": {reasons}"),
        ("layer", f"{facts['layer']}" + _among(facts["candidates"])),
        ("features", f"{facts['features']}, strength {facts['strength']:g}"),
        ("also named", ", ".join(facts["synonyms"]) or "nothing else; see --synonym of unseen fit"),
        ("other words", "are looked for where the video model can be asked" if facts["other_words"] else "are not"),
        ("instead", facts["replace_with"] or "what the kind says: a thing, a person, or nothing"),
        ("fires on", ", ".join(f"{share:.0%} of {_GROUPS.get(n, n)}" for n, share in facts["fired_on"].items())),
        ("tokens", _tokens(facts["top_tokens"])),
        ("made from", ", ".join(f"{n} {name}" for name, n in facts["prompts"].items()) + f"; seed {facts['seed']}"),
        ("encoder", f"{facts['encoder_fingerprint'][:16]}…, {facts['encoder_architecture'][:16] or 'unknown'}…"),
        ("files", f"{facts['bytes'] / 1000:.0f} kB in {facts['folder']}, written {facts['written']}, unchanged since"),
    ]
    return "\n".join([painted(title, "bold"), *(f"  {name:<12} {text or '–'}" for name, text in lines)])


def _among(candidates: Sequence[int]) -> str:
    return f" of the candidates {min(candidates)} to {max(candidates)}" if candidates else ""


def _tokens(features: Sequence[Sequence[str]]) -> str:
    shown = " | ".join(" ".join(tokens) for tokens in features[:_MOST_FEATURES])
    return shown + (f" | and {len(features) - _MOST_FEATURES} more" if len(features) > _MOST_FEATURES else "")
