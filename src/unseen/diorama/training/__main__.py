"""Train all of Diorama on one graphics card, stages side by side where they do not need each other.

    python -m unseen.diorama.training --device cuda --seconds 600 --workers 16

A machine needs torch, transformers, opencv and the packages diffusers, ftfy and wcwidth, and the folder that
`python -m unseen.diorama.training.tokens --carry` writes; it needs no network. Every stage can also be run alone
(`python -m unseen.diorama.training.vae --help`), goes on where it was interrupted, and writes files below 15 MB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from unseen.diorama.model.networks import WHICH
from unseen.diorama.stored import WEIGHTS
from unseen.diorama.training.checkpoints import CHECKPOINTS

Stage = subprocess.Popen[bytes]
LOGS = CHECKPOINTS / "logs"
PREPARING = 0.34
"""Share of the time for layers, VAEs and the first training of the T5; the transformers have the rest."""
TEXT, WAN = 0.6, 0.8
"""Of that, the T5's and Diorama-Wan's VAE's; CogVideoX's VAE works at full resolution and needs longest."""
DETECTORS = 0.4
"""Share of the time for the detectors, whose batches are made by the processor's cores."""
DECODERS = 0.3
"""Share of the time for the decoders, where a training goes on from stored weights."""
WAN_ENDS = 0.6
"""Share of the time after which Diorama-Wan's transformer leaves the card to the other, which learns its words too."""
SAVING = 8.0
"""Seconds that a stage may take to store and measure what it has trained."""


@dataclass(frozen=True)
class Sizes:
    """How much of everything: for a card, or for a rehearsal on a processor."""

    individuals: int
    vae_batch: int
    vae_clips: int
    pairs: int
    scenes: int
    batch: int
    clips: int
    detector_batch: int
    detector_frames: int


LARGE = Sizes(96, 36, 32_768, 384, 100_000, 256, 72_000, 256, 16_000)
MIDDLE = Sizes(24, 2, 4_096, 32, 10_000, 16, 4_096, 64, 8_000)
"""For a processor."""
SMALL = Sizes(1, 1, 8, 2, 20, 2, 8, 8, 60)


def start(stage: str, *arguments: object) -> Stage:
    """Begin a stage in a process of its own; what it prints goes to a log."""
    LOGS.mkdir(parents=True, exist_ok=True)
    name = "-".join([stage, *(str(a) for a in arguments if str(a) in (*WHICH, "a", "b"))])
    with (LOGS / f"{name}.log").open("ab") as log:
        command = [sys.executable, "-m", f"unseen.diorama.training.{stage}", *map(str, arguments)]
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def finish(stages: Sequence[Stage]) -> None:
    """Wait for all of them, and say which failed; what does not need those goes on."""
    for stage in stages:
        if stage.wait() != 0:
            print(f"{' '.join(map(str, stage.args[2:]))} failed; see {LOGS}", flush=True)  # type: ignore[index]


def begin_transformers(options: argparse.Namespace, sizes: Sizes, begun: float, *extra: str) -> list[Stage]:
    """The transformers, each in a process of its own, until the time is up."""
    compiling = ["--compile"] if options.device.startswith("cuda") and not options.rehearse else []
    ends = {"wan": WAN_ENDS if options.warm else 1.0, "cogvideox": 1.0}
    return [
        start(
            *("transformer", "--which", which, "--device", options.device, *compiling, "--wait", *extra),
            *("--individuals", sizes.individuals, "--batch", sizes.batch, "--clips", sizes.clips),
            *("--seconds", options.seconds, "--deadline", begun + ends[which] * options.seconds - SAVING),
            *("--every", 1e9 if compiling else 120),
        )
        for which in options.models
    ]


def train_all(options: argparse.Namespace, sizes: Sizes, begun: float) -> list[Stage]:
    """Layers; then VAEs and T5; then both transformers until the time is up. Detectors learn beside these."""
    on = ("--device", options.device)
    for name in (*(f"{which}_vae.json" for which in WHICH), "cogvideox_t5.json"):
        (WEIGHTS / name).unlink(missing_ok=True)  # the transformers wait for these
    transformers = begin_transformers(options, sizes, begun)
    finish([start("layers", "--individuals", sizes.individuals, "--workers", options.workers)])
    print(f"layers drawn after {time.time() - begun:.0f} s", flush=True)
    left = max(2.0, begun + PREPARING * options.seconds - time.time())
    vae = ("--batch", sizes.vae_batch, "--clips", sizes.vae_clips, "--seconds")
    finish(
        [
            start("text", *on, "--batch", sizes.pairs, "--scenes", sizes.scenes, "--seconds", TEXT * left),
            start("vae", "--which", "wan", *on, *vae, WAN * left),
            start("vae", "--which", "cogvideox", *on, *vae, left),
        ]
    )
    print(f"VAEs and T5 trained after {time.time() - begun:.0f} s", flush=True)
    learning = ("--seconds", DETECTORS * options.seconds, "--batch", sizes.detector_batch, "--unmeasured")
    drawing = ("--workers", max(1, options.workers // 2 - 3), "--frames", sizes.detector_frames)
    detectors = [start("detector", "--which", which, *on, *learning, *drawing) for which in ("a", "b")]
    return [*transformers, *detectors]


def go_on(options: argparse.Namespace, sizes: Sizes, begun: float) -> list[Stage]:
    """Transformers and VAEs' decoders from the stored weights; latents and detectors stay as they are."""
    transformers = begin_transformers(options, sizes, begun, "--warm")
    finish([start("layers", "--individuals", sizes.individuals, "--workers", options.workers)])
    seconds = ("--seconds", DECODERS * options.seconds)
    decoder = ("--decoder-only", "--device", options.device, "--batch", sizes.vae_batch, "--clips", sizes.vae_clips)
    return [*transformers, *(start("vae", "--which", which, *decoder, *seconds) for which in options.decoders)]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="unseen train", description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=600, help="for all stages together (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that draw")
    parser.add_argument("--rehearse", action="store_true", help="everything tiny, to see whether it runs")
    parser.add_argument("--warm", action="store_true", help="go on with the stored transformers and decoders")
    parser.add_argument("--models", nargs="+", choices=WHICH, default=WHICH, help="with --warm: only these")
    parser.add_argument("--decoders", nargs="*", choices=WHICH, help="with --warm: only these (default: the models')")
    options = parser.parse_args(argv)
    if not options.warm and (set(options.models) != set(WHICH) or options.decoders is not None):
        parser.error("--models and --decoders choose what --warm goes on with; a first training needs everything")
    options.decoders = options.models if options.decoders is None else options.decoders
    begun, sizes = time.time(), LARGE if options.device.startswith("cuda") else MIDDLE
    sizes = SMALL if options.rehearse else sizes
    stages = go_on(options, sizes, begun) if options.warm else train_all(options, sizes, begun)
    finish(stages)
    print(f"everything trained after {time.time() - begun:.0f} s", flush=True)
    if any(stage.returncode for stage in stages):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
