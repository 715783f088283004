"""What it costs to look for paraphrases in a new prompt, beside generating its clip.

    python benchmarks/rewriting_prompts.py

Prompts are rewritten and generated in turns, so that whatever else the machine does meets both. Each prompt is new to
the rewriter. Words that it has met before are remembered, so the first prompts, which are given apart, cost more; the
views of ordinary things, which are made once for a pipeline, are timed apart as well.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from unseen.bench.prompts.writer import PromptWriter
from unseen.diorama.model.networks import WHICH
from unseen.diorama.model.pipeline import GENERATION, generate, load_pipeline
from unseen.diorama.world import scenes
from unseen.diorama.world.concepts import concept_of
from unseen.runtime.rewriting.paraphrase import Rewriter

LONG = 2000
"""Words of the long prompt."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=48, help="prompts, half of them to warm up (default: %(default)s)")
    parser.add_argument("--concept", default="french_horn", help="key of the erased concept (default: %(default)s)")
    parser.add_argument("--model", choices=WHICH, default="wan", help="default: %(default)s")
    options = parser.parse_args()
    pipe, length = load_pipeline(options.model), GENERATION["max_sequence_length"]
    others = [key for key in scenes.SUBJECTS if key != options.concept]
    prompts = PromptWriter("development").mixed(others, max(options.clips, len(others)), role="rest", salt="rewriting")
    prompts = [prompts[place] for place in np.random.default_rng(0).permutation(len(prompts))[: options.clips]]
    rewriter = Rewriter(pipe, [concept_of(options.concept)])
    generate(pipe, ["a red thing"], [0], num_inference_steps=1)  # what only the first call takes
    first = timed(lambda: rewriter.rewrite(["a red thing"], length))
    rewriting, generating = [], []
    for prompt in prompts:
        rewriting.append(timed(lambda text=prompt.text: rewriter.rewrite([text], length)))
        generating.append(timed(lambda prompt=prompt: generate(pipe, [prompt.text], [prompt.seed])))
    known = timed(lambda: rewriter.rewrite([prompts[-1].text], length))
    words = sorted({word for prompt in prompts for word in prompt.text.split()})
    long = " ".join(words[place % len(words)] + ("" if place % 7 else ",") for place in range(LONG))
    clip, half = float(np.mean(generating)), len(prompts) // 2
    print(f"once for a pipeline:       {first:.1f} s")
    print(f"generating a clip:         {clip:.3f} s")
    for name, times in (("prompts 1 to n/2", rewriting[:half]), ("prompts n/2 to n", rewriting[half:])):
        print(f"rewriting, {name}: {np.mean(times):.3f} s, median {np.median(times):.3f} s, most {max(times):.3f} s")
        print(f"  of the time of a clip:   {np.mean(times) / clip:.3f}, median {np.median(times) / clip:.3f}")
    print(f"a prompt it knows:         {1000 * known:.2f} ms")
    print(f"a prompt of {LONG} words:    {timed(lambda: rewriter.rewrite([long], length)) / clip:.2f} of a clip")


def timed(action) -> float:
    """Seconds that it takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
