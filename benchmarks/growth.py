"""How a fit's time and memory grow with the number of concepts, of prompts and of layers.

    python benchmarks/growth.py --out growth.json --results docs/benchmarks-growth.md
    python benchmarks/growth.py --quick               # small numbers, a minute
    python benchmarks/growth.py --axes concepts

Each fit runs in a process of its own, since the most memory that a process ever held cannot be asked back. The encoder
is a small T5 with random weights: what is timed is the fit, not the encoder. One concept is fitted by `unseen.fit`,
several by `unseen.fit_many`. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers
from measuring import Peak

import unseen
from unseen.bench.ways.tiny import VOCABULARY, make_tokenizer
from unseen.clear.config import ClearConfig
from unseen.errors import ConceptWarning, FitWarning
from unseen.prompts.lexicon import THINGS

AXES = {"concepts": (1, 10, 100), "prompts": (100, 1000, 10000), "layers": (6, 12, 24, 48)}
QUICK_AXES = {"concepts": (1, 3), "prompts": (200, 400), "layers": (2, 4)}
USUAL = {"concepts": 1, "prompts": 1000, "layers": 6}
"""Of what is not varied."""
QUICK_USUAL = {"concepts": 1, "prompts": 200, "layers": 2}
QUICK = {"sae.num_features": 96, "sae.steps": 40, "search.rounds": 2, "search.warm_up": 1, "search.steps": 5}
TARGETS = {("concepts", 10): 2.5, ("concepts", 100): 10.0}
"""Most time, as a multiple of the first of the axis."""
NAMES = tuple(thing for thing in THINGS if " " not in thing)


def encoder_of(layers: int, width: int) -> transformers.T5EncoderModel:
    """A T5 with random weights, whose words are as loud as a trained model's."""
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=VOCABULARY, d_model=width, d_kv=16, d_ff=2 * width, num_layers=layers, num_heads=width // 16
    )
    return transformers.T5EncoderModel(config).eval()


def config_of(prompts: int, quick: bool) -> ClearConfig:
    """The usual settings with `prompts` prompts in all: as many in pairs as retain prompts."""
    pairs = prompts // 4
    options = {"prompts.pairs": pairs, "prompts.held_out": max(8, pairs // 6), "prompts.retain": prompts // 2}
    return ClearConfig().with_options({**options, **(QUICK if quick else {})})


def measure(concepts: int, prompts: int, layers: int, width: int, quick: bool) -> dict[str, float]:
    """Seconds and peak memory of one fit, in this process."""
    warnings.simplefilter("ignore", FitWarning)  # random weights: whether it erases does not matter here
    warnings.simplefilter("ignore", ConceptWarning)
    pipe, config = (make_tokenizer(), encoder_of(layers, width)), config_of(prompts, quick)
    small = make_tokenizer(), encoder_of(1, width)
    unseen.fit(small, NAMES[0], config=config_of(64, quick=True), progress=False)  # what only the first fit takes
    with Peak(torch.device("cpu")) as peak:
        started = time.perf_counter()
        if concepts == 1:
            unseen.fit(pipe, NAMES[0], config=config, progress=False)
        else:
            unseen.fit_many(pipe, NAMES[:concepts], config=config, progress=False)
        taken = time.perf_counter() - started
    return {"seconds": taken, "peak_gb": peak.ram}


def page(results: dict[str, Any]) -> str:
    """The results as a page of Markdown."""
    lines = [
        "# How a fit grows",
        "",
        f"Measured by `benchmarks/growth.py` on {results['threads']} threads, torch {torch.__version__}; a T5 of width"
        f" {results['width']} with random weights. Otherwise {results['usual']['concepts']} concept,"
        f" {results['usual']['prompts']} prompts each, {results['usual']['layers']} layers. Ratios are to the first row"
        " of each kind; memory is beyond what was held before the fit.",
        "",
        "| varied | number | time | ratio | peak memory | ratio | target for time |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for axis, rows in results["axes"].items():
        first = next(iter(rows.values()))
        for number, row in rows.items():
            ratio = row["seconds"] / first["seconds"]
            memory = f"{row['peak_gb']:.3g} GB | {row['peak_gb'] / max(first['peak_gb'], 1e-9):.2f}"
            target = TARGETS.get((axis, int(number)))
            said = "" if target is None else f"≤ {target:g}: {'met' if ratio <= target else 'not met'}"
            lines.append(f"| {axis} | {int(number):,} | {row['seconds']:.1f} s | {ratio:.2f} | {memory} | {said} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Measure, save after each fit, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axes", default=",".join(AXES), help="what to vary (default: %(default)s)")
    parser.add_argument("--up-to", type=int, metavar="N", help="leave out larger numbers")
    parser.add_argument("--width", type=int, default=128, help="of the encoder (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="small numbers and a short training")
    parser.add_argument("--out", type=Path, help="JSON file, written after every fit")
    parser.add_argument("--results", type=Path, help="page of Markdown, likewise")
    parser.add_argument("--one", metavar="JSON", help=argparse.SUPPRESS)  # what a process of its own is given
    options = parser.parse_args(arguments)
    if options.one is not None:
        print(json.dumps(measure(**json.loads(options.one))))
        return
    axes, usual = (QUICK_AXES, QUICK_USUAL) if options.quick else (AXES, USUAL)
    if unknown := {*options.axes.split(",")} - {*axes}:
        parser.error(f"expected axes among {', '.join(axes)}, got {', '.join(sorted(unknown))}.")
    results: dict[str, Any] = {
        "threads": torch.get_num_threads(), "width": options.width, "usual": usual, "quick": options.quick, "axes": {},
    }  # fmt: skip
    for axis in options.axes.split(","):
        for number in (n for n in axes[axis] if options.up_to is None or n <= options.up_to):
            asked = {**usual, axis: number, "width": options.width, "quick": options.quick}
            command = [sys.executable, __file__, "--one", json.dumps(asked)]
            row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])
            results["axes"].setdefault(axis, {})[str(number)] = row
            print(axis, number, row, flush=True)
            if options.out is not None:
                options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            if options.results is not None:
                options.results.write_text(page(results), encoding="utf-8")
    print(page(results))


if __name__ == "__main__":
    main()
