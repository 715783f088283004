"""A soak: thousands of new prompts through an attached pipeline, by several threads. Does anything grow, or get past?

    python benchmarks/soak.py [--prompts 10000] [--threads 4] [--results docs/results-soak.md]

A tiny real `WanPipeline` (random weights, 32 wide) with a planted eraser, rewriting and the closed loop. Every prompt
is new; a fourth name the concept. Each is encoded, every hundredth generates a clip, and after every tenth part the
erasers are detached and attached again. A prompt counts as unedited if its
embeddings are not those that a copy of the pipeline gives, which one caller at a time asks, bit for bit. Memory, hooks,
files and threads are counted after each part, right before the erasers are detached.
"""

from __future__ import annotations

import argparse
import copy
import gc
import os
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import torch

import unseen
from unseen.bench.ways.tiny import NOUNS, WORDS, make_eraser, make_pipe
from unseen.runtime.context.proofs import LEDGER

NAME, LENGTH, PARTS, CLIP_EVERY = "zeppelin", 16, 10, 100
CALL = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 1, "max_sequence_length": LENGTH}


class Point(NamedTuple):
    """What is there after some prompts."""

    prompts: int
    megabytes: float
    hooks: int
    files: int
    threads: int
    known: int
    """Vectors in the ledger, which is bounded."""
    unedited: int
    refused: int
    seconds: float


def write_prompts(count: int, seed: int = 0) -> list[str]:
    """Different prompts of words that the tokenizer knows; every fourth names the concept."""
    rng = random.Random(seed)
    made: dict[str, None] = {}
    while len(made) < count:
        noun = NAME if len(made) % 4 == 0 else rng.choice(NOUNS[1:])
        made[f"a {rng.choice(WORDS)} {noun} near the {rng.choice(WORDS)} {rng.choice(NOUNS[1:])}"] = None
    return list(made)


def hooks_on(pipe: Any) -> int:
    """Hooks on every module of the pipeline."""
    modules = [m for part in pipe.components.values() if isinstance(part, torch.nn.Module) for m in part.modules()]
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)


def megabytes() -> float:
    """Of this process in main memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def soak(count: int, threads: int) -> list[Point]:
    """Run the prompts; one point for each part, after one for the start."""
    torch.set_num_threads(1)
    pipe = make_pipe()
    pipe.set_progress_bar_config(disable=True)
    eraser, alone = make_eraser(pipe.tokenizer, pipe.text_encoder), threading.Lock()
    reference = copy.deepcopy(pipe)
    prompts, started = write_prompts(count), time.perf_counter()
    unedited, refused, points = 0, 0, []

    def ask(place: int) -> tuple[bool, bool]:
        """Whether a prompt passed unedited, and whether it was refused."""
        text = prompts[place]
        options = {"do_classifier_free_guidance": False, "max_sequence_length": LENGTH}
        try:
            with torch.no_grad():
                made = pipe.encode_prompt(text, **options)[0]
                if place % CLIP_EVERY == 0:
                    pipe(text, output_type="latent", guidance_scale=1.0, **CALL)
                with alone:
                    expected = reference.encode_prompt(text, **options)[0]
        except unseen.UnseenError:
            return False, True
        return not torch.equal(made, expected), False

    each = -(-count // PARTS)
    for first in range(0, count, each):
        with (
            unseen.attach(pipe, eraser, on_residual="erase"),
            unseen.attach(reference, eraser, on_residual="erase"),
            ThreadPoolExecutor(threads) as pool,
        ):
            for past, no in pool.map(ask, range(first, min(first + each, count))):
                unedited, refused = unedited + past, refused + no
            gc.collect()
            points.append(
                Point(
                    min(first + each, count), megabytes(), hooks_on(pipe), len(os.listdir("/proc/self/fd")),
                    threading.active_count(), len(LEDGER._known), unedited, refused, time.perf_counter() - started,
                )
            )  # fmt: skip
            print(points[-1], flush=True)
    return points


def page(points: Sequence[Point], threads: int) -> str:
    """The result as Markdown."""
    head = "prompts|memory, MB|hooks|open files|threads|known vectors|unedited|refused|seconds".split("|")
    command = f"python benchmarks/soak.py --prompts {points[-1].prompts} --threads {threads}"
    lines = [
        "# A soak",
        "",
        f"Written by `{command}`; not edited by hand.",
        "",
        "New prompts through a tiny attached pipeline, with rewriting and the closed loop, by several threads; a fourth"
        " name the concept. The erasers come off and on again after every line.",
        "",
        f"| {' | '.join(head)} |",
        f"| {' | '.join('---' for _ in head)} |",
    ]
    for p in points:
        shown = [p.prompts, f"{p.megabytes:.0f}", *p[2:8], f"{p.seconds:.0f}"]
        lines.append(f"| {' | '.join(map(str, shown))} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the arguments, soak, and say what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--results", type=Path)
    given = parser.parse_args()
    points = soak(given.prompts, given.threads)
    print(f"unedited {points[-1].unedited}, refused {points[-1].refused} of {given.prompts}")
    if given.results is not None:
        given.results.write_text(page(points, given.threads), encoding="utf-8")


if __name__ == "__main__":
    main()
