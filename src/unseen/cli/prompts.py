"""`unseen prompts`: look at what a fit would read."""

from __future__ import annotations

import argparse
import random
import warnings
from dataclasses import dataclass
from typing import Any

from unseen.cli.commands import print_json, refuse_idle
from unseen.cli.named import ConceptOptions, check_concept, concept_called
from unseen.cli.options import add_options, changed, option, read_options


@dataclass(frozen=True, kw_only=True)
class Options(ConceptOptions):
    """Of the command."""

    name: str = option(metavar="NAME")
    """A concept as for `unseen fit`; with --pack a concept pack or a .json file."""
    use: str | None = None
    """How the name is used: "theme", "worn", "activity", ... (default: guessed)."""
    count: int = option(10, least=1)
    """How many pairs to show."""
    seed: int = option(0, least=0, most=2**63 - 1)
    """Seed of the prompts."""
    json: bool = False
    """Print all prompts of the fit as JSON."""


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = known.add_parser(
        "prompts",
        help="show the prompts that a fit would be made of",
        description="Prints pairs of prompts, with the concept and without, and some of those that are to stay as they "
        "are. Nothing is loaded.",
    )
    add_options(parser, Options)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> None:
    """Print them."""
    options = read_options(Options, given)
    check_concept(options)
    if options.pack:
        refuse_idle(changed(options, "use"), "a name without --pack")
    import unseen
    from unseen.prompts.writer import write_prompts

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", unseen.ConceptWarning)  # said when it is fitted
        concept = concept_called(options.name, options)
    # As many as a fit has, so that a look at some of them shows what all are like.
    use: Any = options.use
    written = write_prompts(concept, seed=options.seed, use=use)
    if options.json:
        pairs = [{"positive": pair.positive, "negative": pair.negative} for pair in written.pairs]
        print_json({"pairs": pairs, "retain": [*written.retain], "same_word": [*written.same_word]})
        return
    shown = random.Random(options.seed).sample(written.pairs, min(options.count, len(written.pairs)))
    for pair in shown:
        print(f"{pair.positive}  |  {pair.negative}")
    for text in (*written.retain[:3], *written.same_word[:2]):
        print(f"stays: {text}")
