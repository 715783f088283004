"""What it costs to read a prompt for other words of a concept, against drawing its clip.

    python benchmarks/reading_prompts.py

Prompts are read and drawn in turns, so that whatever else the machine does meets both. Each prompt is new to the
reader; the views of ordinary things, which are made once for a pipeline, are timed apart.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from unseen.bench.prompts import PromptWriter, concept_of
from unseen.diorama.model.networks import WHICH
from unseen.diorama.model.pipeline import GENERATION, generate, load_pipeline
from unseen.diorama.world import scenes
from unseen.runtime.paraphrase import Reader


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=24, help="prompts read, and drawn (default: %(default)s)")
    parser.add_argument("--model", choices=WHICH, default="wan", help="default: %(default)s")
    options = parser.parse_args()
    pipe, length = load_pipeline(options.model), GENERATION["max_sequence_length"]
    prompts = PromptWriter("development").mixed(scenes.OBJECTS, options.clips, role="target", salt="reading")
    reader = Reader(pipe, [concept_of("french_horn")])
    generate(pipe, ["a red thing"], [0], num_inference_steps=1)  # what only the first call takes
    started = time.perf_counter()
    reader.read("a red thing", length)
    first = time.perf_counter() - started
    reading, drawing = [], []
    for prompt in prompts:
        times = [time.perf_counter()]
        reader.read(prompt.text, length)
        times.append(time.perf_counter())
        generate(pipe, [prompt.text], [prompt.seed])
        times.append(time.perf_counter())
        reading.append(times[1] - times[0])
        drawing.append(times[2] - times[1])
    print(f"once for a pipeline: {first:.1f} s")
    print(f"reading a prompt:    {np.mean(reading):.3f} s, at most {max(reading):.3f} s")
    print(f"drawing its clip:    {np.mean(drawing):.3f} s")
    print(f"ratio:               {np.sum(reading) / np.sum(drawing):.2f}, over {len(prompts)} prompts")


if __name__ == "__main__":
    main()
