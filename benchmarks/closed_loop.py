"""What the closed loop costs a prompt, beside a clip, in one run on Diorama.

    python benchmarks/closed_loop.py [--concept church] [--prompts 24]

Prompts of the test wording: about other subjects, which are far from the concept, and without the concept but with
words behind them that look like it, each in another choice, so that nothing is known from before. Processor time of
this process on one thread; the same prompt a second time costs a look-up. A clip is Diorama's own, with guidance.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

import unseen
from unseen import diorama
from unseen.bench.attacks.known import pool_of
from unseen.bench.prompts.rewording import neutral, with_words
from unseen.bench.prompts.writer import PromptWriter
from unseen.diorama.world import captions, scenes
from unseen.diorama.world.concepts import concept_of
from unseen.runtime.rewriting.paraphrase import Rewriter

LENGTH = diorama.GENERATION["max_sequence_length"]


def seconds(run: Callable[[], Any]) -> float:
    """Processor time of one run."""
    started = time.process_time()
    run()
    return time.process_time() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--concept", default="church")
    parser.add_argument("--prompts", type=int, default=24)
    given = parser.parse_args()
    torch.set_num_threads(1)
    pipe, key = diorama.load_pipeline(), captions.key_of(given.concept)
    pipe.set_progress_bar_config(disable=True)
    writer = PromptWriter("test", 5)
    others = [subject for subject in scenes.SUBJECTS if subject not in (key, scenes.STRANGER)]
    far = [p.text for p in writer.mixed(others, given.prompts, role="others")]
    words = pool_of(pipe, key)
    bare = [neutral(p).text for p in writer.single(key, given.prompts, role="target")]
    near = [with_words(text, words[5 * n : 5 * n + 5]) for n, text in enumerate(bare)]
    eraser = unseen.fit(pipe, concept_of(key), progress=False)
    clip = median(seconds(lambda: pipe("a red thing in the snow", **diorama.GENERATION)) for _ in range(3))
    print(f"a clip: {clip:.3f} s of processor time")
    rewriter = Rewriter(pipe, [eraser.concept])  # pays for its words
    with unseen.attach(pipe, eraser, on_residual="erase") as handle:
        handle.warm_up(LENGTH)
        for what, plain in (("far", far), ("near", near)):
            with handle.unedited():
                texts = [rewrite.text for rewrite in rewriter.rewrite(plain, LENGTH)]
            each = [seconds(lambda text=text: handle.settle([text], max_sequence_length=LENGTH)) for text in texts]
            found = sum(bool(one.found) for one in handle.settle(texts, max_sequence_length=LENGTH))
            mean = sum(each) / len(each)
            print(
                f"{what}: {len(texts)} prompts, {1000 * mean:.1f} ms each ({100 * mean / clip:.2f} % of a clip; median"
                f" {1000 * median(each):.1f} ms, most {1000 * max(each):.1f} ms), stepped in for {found}"
            )


if __name__ == "__main__":
    main()
