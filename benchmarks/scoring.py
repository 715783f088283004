"""How long scoring a folder of mixed clips takes, beside decoding alone, and how much memory.

    python benchmarks/scoring.py

Makes 200 clips (MP4, WebM, GIF, frames), twelve of them damaged or odd, in a temporary folder. Then decodes all of
them, and scores all of them, in turns in one run. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from measuring import Peak
from mixed_clips import ODD, write_mixed

from unseen.detectors import DetectorCard
from unseen.errors import VideoError
from unseen.score import score_folder
from unseen.score.clips import find_clips
from unseen.score.decode import Decoding


class RedShare:
    """A detector that costs little: what is measured is the way to it. The share of red pixels."""

    card = DetectorCard("red-share", "1", ("red",), {"red": 0.05}, "Apache-2.0")

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        """Probabilities `[T, 1]`."""
        small = frames[:, ::4, ::4].astype(np.int16)
        return (small[..., 0] - small[..., 1:].max(-1) > 60).mean((1, 2), dtype=np.float32)[:, None]


def decode_all(folder: Path) -> int:
    """Decode every clip to its end or to where it breaks; the number of frames."""
    frames = 0
    for clip in find_clips(folder).clips:
        try:
            frames += sum(len(chunk) for chunk in Decoding(clip).chunks())
        except VideoError:
            continue
    return frames


def seconds(call: Callable[[], object]) -> tuple[float, float]:
    """On the clock, and of this process's work on all cores, which other programs hardly change."""
    started = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - started[0], time.process_time() - started[1]


def main(arguments: list[str] | None = None) -> None:
    """Make the clips, take the times, print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--size", type=int, default=192, help="pixels of a side (default: %(default)s)")
    parser.add_argument("--frames", type=int, default=32, help="of the longest clips (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="of each, taken alternately (default: %(default)s)")
    options = parser.parse_args(arguments)
    ways = {
        "detector": {"detectors": [RedShare()]},
        "detector, flicker, smoothness": {"detectors": [RedShare()], "metrics": ["flicker", "smoothness"]},
        "detector, all metrics": {"detectors": [RedShare()], "metrics": ["flicker", "smoothness", "motion"]},
    }
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for _ in write_mixed(folder / "clips", options.clips, options.size, options.frames):
            pass
        decoding: list[tuple[float, float]] = []
        scoring: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        peaks: dict[str, float] = {}
        frames = decode_all(folder / "clips")  # the first pass fills the disk's cache
        for turn in range(options.turns):
            decoding.append(seconds(lambda: decode_all(folder / "clips")))
            for way, asked in ways.items():
                with Peak(torch.device("cpu")) as peak:
                    out = folder / f"{turn} {way}"
                    scoring[way].append(
                        seconds(lambda out=out, asked=asked: score_folder(folder / "clips", out=out, **asked))
                    )
                peaks[way] = max(peaks.get(way, 0.0), peak.ram)
        scores = score_folder(folder / "clips", out=folder / f"0 {way}", **asked)
        assert scores.scored_now == 0, "what was scored is scored again"
    alone, busy = (statistics.median(each) for each in zip(*decoding, strict=True))
    print(f"{options.clips} clips, {len(ODD)} damaged or odd, {frames:,} frames; median of {options.turns} turns")
    print("  " + ", ".join(f"{number} {status}" for status, number in scores.statuses.items()))
    print(f"{'decoding alone':<32} {alone:7.2f} s  {frames / alone:7.0f} frames/s")
    for way, times in scoring.items():
        taken, worked = (statistics.median(each) for each in zip(*times, strict=True))
        print(f"{way:<32} {taken:7.2f} s  {frames / taken:7.0f} frames/s  {taken / alone:.2f} times decoding alone"
              f" ({worked / busy:.2f} by processor time),"
              f" peak {1000 * peaks[way]:.0f} MB above the start")  # fmt: skip


if __name__ == "__main__":
    main()
