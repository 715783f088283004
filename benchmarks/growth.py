"""How a fit's time and memory grow with the number of concepts, of prompts and of layers.

    python benchmarks/growth.py --out growth.json --results docs/benchmarks-growth.md
    python benchmarks/growth.py --quick               # small numbers, some minutes
    python benchmarks/growth.py --axes concepts --repeats 1

Each fit runs in a process of its own, since the most memory that a process ever held cannot be asked back. All fits
take turns, round after round, so that a slow hour slows all of them; the page has medians, and the median of each
round's ratios. With `--out` a run may be ended at any time: the same command goes on where it was.

Time is processor time, of all threads together: other programs lengthen the time on the clock, which stands beside it,
and hardly the processor's. The encoder is a small T5 with random weights: what is timed is the fit, not the encoder.
One concept is fitted by `unseen.fit`, several by `unseen.fit_many`.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from measuring import Peak

import unseen
from unseen.bench.ways.tiny import VOCABULARY, make_tokenizer
from unseen.clear import many
from unseen.clear.config import ClearConfig
from unseen.errors import ConceptWarning, FitWarning
from unseen.files import write_whole
from unseen.prompts.lexicon import THINGS

AXES = {"concepts": (1, 10, 100), "prompts": (100, 1000, 10000), "layers": (6, 12, 24, 48)}
QUICK_AXES = {"concepts": (1, 10, 100), "prompts": (100, 200, 400), "layers": (2, 4)}
USUAL = {"concepts": 1, "prompts": 1000, "layers": 6}
"""Of what is not varied."""
QUICK_USUAL = {"concepts": 1, "prompts": 200, "layers": 2}
QUICK = {"sae.num_features": 96, "sae.steps": 40, "search.rounds": 2, "search.warm_up": 1, "search.steps": 5}
TARGETS = {("concepts", 10): 2.5, ("concepts", 100): 10.0}
"""Most time, as a multiple of the first of the axis."""
FIGURES = ("seconds", "clock", "peak_gb")
PARTS = {"read_together": "prompts and encoding", "train_together": "autoencoders", "layer_costs": "trial edits"}
"""What `fit_many` calls for each of its parts; what it calls then, `finish`, selects, chooses γ and reports."""
NAMES = tuple(thing for thing in THINGS if " " not in thing)


def encoder_of(layers: int, width: int) -> transformers.T5EncoderModel:
    """A T5 with random weights, whose words are as loud as a trained model's."""
    torch.manual_seed(0)
    config = transformers.T5Config(
        vocab_size=VOCABULARY, d_model=width, d_kv=16, d_ff=2 * width, num_layers=layers, num_heads=width // 16
    )
    return transformers.T5EncoderModel(config).eval()


def config_of(prompts: int, quick: bool) -> ClearConfig:
    """The usual settings with `prompts` prompts in all: as many in pairs as retain prompts.

    The mask is soft: by the default one, an encoder that was never trained has no feature for some names.
    """
    pairs = prompts // 4
    options: dict[str, Any] = {"prompts.pairs": pairs, "prompts.retain": prompts // 2, "edit.mask": "soft"}
    options["prompts.held_out"] = max(8, pairs // 6)
    return ClearConfig().with_options({**options, **(QUICK if quick else {})})


def measure(concepts: int, prompts: int, layers: int, width: int, quick: bool) -> dict[str, Any]:
    """Seconds of processor and clock and the peak memory of one fit, in this process."""
    warnings.simplefilter("ignore", FitWarning)  # random weights: whether it erases does not matter here
    warnings.simplefilter("ignore", ConceptWarning)
    pipe, config = (make_tokenizer(), encoder_of(layers, width)), config_of(prompts, quick)
    small = make_tokenizer(), encoder_of(1, width)
    unseen.fit(small, NAMES[0], config=config_of(64, quick=True), progress=False)  # what only the first fit takes
    parts = {part: timed(part) for part in (*PARTS, "finish")}
    with Peak(torch.device("cpu")) as peak:
        started, begun = time.process_time(), time.perf_counter()
        if concepts == 1:
            unseen.fit(pipe, NAMES[0], config=config, progress=False)
        else:
            unseen.fit_many(pipe, NAMES[:concepts], config=config, progress=False)
        taken, clock = time.process_time() - started, time.perf_counter() - begun
    spent = {part: sum(seconds) for part, seconds in parts.items()} if concepts > 1 else {}
    return {"seconds": taken, "clock": clock, "peak_gb": peak.ram, "parts": spent}


def timed(part: str) -> list[float]:
    """The processor time of every call that `fit_many` will make of a function; the list grows meanwhile."""
    call, seconds = getattr(many, part), []

    @functools.wraps(call)
    def wrapped(*args: Any, **options: Any) -> Any:
        started = time.process_time()
        result = call(*args, **options)
        seconds.append(time.process_time() - started)
        return result

    setattr(many, part, wrapped)
    return seconds


class Fit(NamedTuple):
    """What is fitted."""

    concepts: int
    prompts: int
    layers: int

    @property
    def key(self) -> str:
        """As it stands in the file."""
        return f"{self.concepts} concepts, {self.prompts} prompts, {self.layers} layers"


def fits_of(axis: str, quick: bool, up_to: int | None = None) -> dict[int, Fit]:
    """The fits of an axis, by the number that varies."""
    numbers, usual = (QUICK_AXES if quick else AXES)[axis], QUICK_USUAL if quick else USUAL
    return {n: Fit(**{**usual, axis: n}) for n in numbers if up_to is None or n <= up_to}


def page(results: dict[str, Any]) -> str:
    """The results as a page of Markdown."""
    facts, rows = results["facts"], results["rows"]
    usual = QUICK_USUAL if facts["quick"] else USUAL
    rounds = max(len(done) for done in rows.values())
    varied = [axis for axis in AXES if sum(fit.key in rows for fit in fits_of(axis, facts["quick"]).values()) > 1]
    some = "" if len(varied) == len(AXES) else f" --axes {','.join(varied)}"
    small = " **A small run**: few features, steps and prompts, so that the fixed part of a fit weighs less than usual."
    lines = [
        "# How a fit grows",
        "",
        f"Written by `python benchmarks/growth.py{' --quick' * facts['quick']}{some} --repeats {rounds}`, with torch"
        f" {facts['torch']}"
        f" (threads: {facts['threads']}); a T5 of width {facts['width']} with random weights."
        f"{small if facts['quick'] else ''} What is not varied: {usual['concepts']} concept, {usual['prompts']} prompts"
        f" for each, {usual['layers']} layers. The mask is soft, since by the default one an encoder that was never"
        " trained has no feature for some names.",
        "",
        "Time is processor time of all threads, since other programs may run beside it; time on the clock stands next"
        f" to it. All fits took turns (rounds: {rounds}); here are medians. A ratio is the median, over the rounds, of"
        " that to the first row of its kind. Memory is beyond what was held before the fit.",
        "",
        "| varied | number | time | on the clock | ratio | target | peak memory | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for axis in AXES:
        own = {n: rows[fit.key] for n, fit in fits_of(axis, facts["quick"]).items() if fit.key in rows}
        for number, done in own.items() if len(own) > 1 else ():
            pairs = list(zip(done, next(iter(own.values())), strict=False))
            seconds, clock, peak = (statistics.median(row[name] for row in done) for name in FIGURES)
            ratio, _, memory = (statistics.median(a[name] / max(b[name], 1e-9) for a, b in pairs) for name in FIGURES)
            target = TARGETS.get((axis, number))
            met = "" if target is None else f"≤ {target:g}: {'met' if ratio <= target else 'not met'}"
            lines.append(
                f"| {axis} | {number:,} | {seconds:.1f} s | {clock:.1f} s | {ratio:.2f} | {met} | {peak:.3g} GB |"
                f" {memory:.2f} |"
            )
    together = {key: done for key, done in rows.items() if done[0]["parts"]}
    if together:
        lines += ["", "Where the time of `fit_many` goes, in seconds of processor time:", ""]
        lines.append(f"| fit | {' | '.join(PARTS.values())} | gate, strength, report |")
        lines.append("| --- |" + " --- |" * (len(PARTS) + 1))
        for key, done in together.items():
            parts = (statistics.median(row["parts"][part] for row in done) for part in (*PARTS, "finish"))
            lines.append(f"| {key} | {' | '.join(f'{seconds:.1f}' for seconds in parts)} |")
    return "\n".join(lines) + "\n"


def resumed(out: Path | None, facts: dict[str, Any]) -> dict[str, Any]:
    """What was measured before, with these settings.

    Raises:
        SystemExit: the file holds a run of other settings.
    """
    if out is None or not out.exists():
        return {"facts": facts, "rows": {}}
    results = json.loads(out.read_text(encoding="utf-8"))
    if results.get("facts") != facts:
        raise SystemExit(
            f"{out}: expected a run with {facts}, got one with {results.get('facts')}. Take another --out."
        )
    return results


def main(arguments: list[str] | None = None) -> None:
    """Measure, save after each fit, and print the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axes", default=",".join(AXES), help="what to vary (default: %(default)s)")
    parser.add_argument("--up-to", type=int, metavar="N", help="leave out larger numbers")
    parser.add_argument("--width", type=int, default=128, help="of the encoder (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="rounds (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="small numbers and a short training")
    parser.add_argument("--out", type=Path, help="JSON file, written after every fit, and gone on from")
    parser.add_argument("--results", type=Path, help="page of Markdown, likewise")
    parser.add_argument("--one", metavar="JSON", help=argparse.SUPPRESS)  # what a process of its own is given
    options = parser.parse_args(arguments)
    if options.one is not None:
        print(json.dumps(measure(**json.loads(options.one))))
        return
    axes = options.axes.split(",")
    if unknown := {*axes} - {*AXES}:
        parser.error(f"expected axes among {', '.join(AXES)}, got {', '.join(sorted(unknown))}.")
    facts = {
        "width": options.width, "quick": options.quick, "threads": torch.get_num_threads(), "torch": torch.__version__,
    }  # fmt: skip
    results = resumed(options.out, facts)
    fits = [fit for axis in axes for fit in fits_of(axis, options.quick, options.up_to).values()]
    turns = [(number, fit) for number in range(options.repeats) for fit in dict.fromkeys(fits)]
    for place, (number, fit) in enumerate(turns, start=1):
        done = results["rows"].get(fit.key, [])
        if len(done) > number:
            continue
        asked = {**fit._asdict(), "width": options.width, "quick": options.quick}
        command = [sys.executable, __file__, "--one", json.dumps(asked)]
        row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])
        results["rows"][fit.key] = [*done, row]
        print(f"[{place}/{len(turns)}] {fit.key}: {row['seconds']:.1f} s of processor time", flush=True)
        if options.out is not None:
            write_whole(options.out, (json.dumps(results, indent=1) + "\n").encode())
        if options.results is not None:
            options.results.write_text(page(results), encoding="utf-8")
    if options.results is not None:
        options.results.write_text(page(results), encoding="utf-8")
    print(page(results))


if __name__ == "__main__":
    main()
