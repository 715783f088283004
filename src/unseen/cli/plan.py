"""`unseen plan`: what tasks on a model need, before anything is downloaded."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from typing import Any

from unseen.cli.commands import print_json, require_extra
from unseen.cli.model import DType
from unseen.cli.options import add_options, option, read_options


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of the command."""

    model: str = option("", metavar="ID")
    """A hub id or a diffusers pipeline folder."""
    revision: str | None = option(None, metavar="REF")
    """Branch, tag or commit on the hub."""
    dtype: DType = "bfloat16"
    """Of the weights."""
    memory_budget: float | None = option(None, metavar="GB", above=0)
    """Most that a fit may use, the text encoder included; layers are then trained in groups."""
    tflops: float | None = option(None, above=0)
    """Speed of the device meant, in TFLOP/s (default: this one, measured)."""
    json: bool = False
    """Print as JSON: bytes, operations and seconds."""


def add_to(known: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser = known.add_parser(
        "plan",
        help="say what a fit, a sweep and an evaluation of a model need, before anything is downloaded",
        description="Reads a pipeline's configuration files alone and prints memory, disk and rough times.",
    )
    add_options(parser, Options)
    parser.set_defaults(run=run)


def run(given: argparse.Namespace) -> None:
    """Print it."""
    options = read_options(Options, given)
    if not options.model:
        given.parser.error("expected --model ID, a hub id or a pipeline folder; see unseen list models")
    require_extra()
    import unseen
    from unseen.plan import measured_speed, needs, report

    config = replace(unseen.ClearConfig(), memory_budget=options.memory_budget)
    found, remarks = needs(options.model, config=config, dtype=options.dtype, revision=options.revision)
    device, speed = ("the device meant", options.tflops * 1e12) if options.tflops else measured_speed()
    if options.json:
        tasks = [{**need._asdict(), "seconds": need.seconds(speed)} for need in found]
        print_json({"device": device, "operations_per_second": speed, "tasks": tasks, "remarks": remarks})
    else:
        print(report(found, remarks, device, speed))
