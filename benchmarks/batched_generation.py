"""Batched generation of Diorama's clips against a plain loop that calls the pipeline prompt by prompt.

    python benchmarks/batched_generation.py

Both draw the same prompts from the same noise, in turns, batch by batch, so that whatever else the machine does meets
both. Ends with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from unseen.bench.prompts.writer import Prompt, PromptWriter
from unseen.diorama.detector.detector import load_detector
from unseen.diorama.detector.readings import Readings
from unseen.diorama.model.networks import WHICH
from unseen.diorama.model.pipeline import GENERATION, as_uint8, generate, load_pipeline
from unseen.diorama.world import scenes

RATIO = 2.0
"""The bar: so many times the loop's clips per second, at least, on two cores."""
LEVELS = 2
"""The bar: a pixel may differ by so many of 255 levels, at most."""


def plain_loop(pipe: Any, prompts: Sequence[str], seeds: Sequence[int], **call: Any) -> np.ndarray:
    """One call of the pipeline a prompt; uint8 `[n, frames, H, W, 3]`."""
    clips = []
    for prompt, seed in zip(prompts, seeds, strict=True):
        generator = torch.Generator("cpu").manual_seed(seed)
        clips.append(as_uint8(pipe(prompt, generator=generator, **{**GENERATION, **call}).frames[0]))
    return np.stack(clips)


def answers(seen: Readings) -> list[np.ndarray]:
    """What the tables are made of: whether each frame shows the subject, background and style that were asked for."""
    places, styles = ([getattr(scene, aspect) for scene in seen.scenes] for aspect in ("background", "style"))
    return [seen.asked_subject(), seen.each(places), seen.each(styles)]


def compare_readings(prompts: Sequence[Prompt], batched: np.ndarray, looped: np.ndarray) -> tuple[int, int, float]:
    """Answers of both detectors that differ, their number, and the largest difference of a probability."""
    differ, count, largest = 0, 0, 0.0
    for which in ("a", "b"):
        detector = load_detector(which)
        ours, theirs = (detector.read(frames, [p.scene for p in prompts]) for frames in (batched, looped))
        for mine, other in zip(answers(ours), answers(theirs), strict=True):
            differ, count = differ + int((mine != other).sum()), count + mine.size
        largest = max(largest, *(float(np.abs(ours.read[n] - theirs.read[n]).max()) for n in ("subject", "background")))
    return differ, count, largest


def main() -> int:
    """Measure and print; 0 if both bars are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=48, help="clips drawn in each way (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=8, help="default: %(default)s")
    parser.add_argument("--steps", type=int, default=GENERATION["num_inference_steps"], help="default: %(default)s")
    parser.add_argument("--model", choices=WHICH, default="wan", help="default: %(default)s")
    options = parser.parse_args()
    pipe, call = load_pipeline(options.model), {"num_inference_steps": options.steps}
    prompts = PromptWriter("test").mixed(scenes.OBJECTS, options.clips, role="target")
    generate(pipe, ["a red thing"], [0], num_inference_steps=1)  # what only the first call takes

    seconds: dict[str, list[float]] = {"batched": [], "loop": []}
    frames: dict[str, list[np.ndarray]] = {"batched": [], "loop": []}
    for start in range(0, len(prompts), options.batch_size):
        batch = prompts[start : start + options.batch_size]
        texts, seeds = [prompt.text for prompt in batch], [prompt.seed for prompt in batch]
        for name, draw in (("batched", generate), ("loop", plain_loop)):
            started = time.perf_counter()
            frames[name].append(draw(pipe, texts, seeds, **call))
            seconds[name].append(time.perf_counter() - started)

    batched, looped = (np.concatenate(frames[name]) for name in ("batched", "loop"))
    rate = {name: len(prompts) / sum(times) for name, times in seconds.items()}
    ratio = rate["batched"] / rate["loop"]
    rounds = sorted(loop / own for own, loop in zip(seconds["batched"], seconds["loop"], strict=True))
    levels = np.abs(batched.astype(int) - looped.astype(int))
    differ, count, largest = compare_readings(prompts, batched, looped)
    equal = "all answers are equal" if differ == 0 else f"{differ} of {count} answers differ"
    threads = torch.get_num_threads()
    print(f"{len(prompts)} clips in batches of {options.batch_size}, {options.steps} steps, {threads} threads")
    print(f"batched           {rate['batched']:.2f} clips/s")
    print(f"prompt by prompt  {rate['loop']:.2f} clips/s")
    print(f"ratio             {ratio:.2f} (bar ≥ {RATIO:g}; over batches {rounds[0]:.2f} to {rounds[-1]:.2f})")
    print(f"pixels            {(levels > 0).mean():.2%} differ, by at most {levels.max()}/255 (bar ≤ {LEVELS}/255)")
    print(f"detectors         {equal}; probabilities differ by at most {largest:.1e}")
    return 0 if ratio >= RATIO and levels.max() <= LEVELS else 1


if __name__ == "__main__":
    sys.exit(main())
