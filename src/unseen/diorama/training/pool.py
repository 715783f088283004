"""The pool of training clips, drawn once and kept in shards, so that no training draws them again.

    python -m unseen.diorama.training.pool --clips 16384

Clip i is a function of i alone. Shards that exist are not drawn again, so the command can be interrupted; readers wait
for the shards that are still being drawn.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from unseen.diorama.training.checkpoints import CHECKPOINTS
from unseen.diorama.world.render import render
from unseen.diorama.world.sampling import sample_scene
from unseen.diorama.world.scenes import Scene

DATA_SEED = 1_000_000_000
"""Training clip i is drawn with seed `DATA_SEED + i`; evaluation and detectors use other ranges."""
SHARD = 512


def training_scene(index: int) -> Scene:
    """The scene of training clip `index`."""
    return sample_scene(np.random.default_rng(DATA_SEED + index))


def draw_clip(index: int) -> np.ndarray:
    """Training clip `index`, uint8 `[9, 64, 64, 3]`."""
    return render(training_scene(index), DATA_SEED + index)


def shard_path(shard: int) -> Path:
    """Where the clips from `shard * SHARD` on are kept."""
    return CHECKPOINTS / "pool" / f"{shard:04d}.npy"


@lru_cache(maxsize=64)
def _open_shard(shard: int) -> np.ndarray:
    return np.load(shard_path(shard), mmap_mode="r")


def clip(index: int) -> np.ndarray:
    """Training clip `index` from the pool; waits for a shard that is still being drawn."""
    shard, row = divmod(index, SHARD)
    while not shard_path(shard).exists():
        time.sleep(1)
    return _open_shard(shard)[row]


def draw_shard(shard: int) -> None:
    """Draw a shard and keep it; the file appears when it is complete."""
    cv2.setNumThreads(1)
    clips = np.stack([draw_clip(shard * SHARD + row) for row in range(SHARD)])
    partial = shard_path(shard).with_suffix(".partial.npy")
    np.save(partial, clips)
    partial.replace(shard_path(shard))


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="unseen train pool", description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=16384)
    parser.add_argument("--workers", type=int, default=2, help="processes that draw")
    options = parser.parse_args(argv)
    shard_path(0).parent.mkdir(parents=True, exist_ok=True)
    missing = [s for s in range(-(-options.clips // SHARD)) if not shard_path(s).exists()]
    with ProcessPoolExecutor(options.workers) as workers:
        list(tqdm(workers.map(draw_shard, missing), total=len(missing), desc="drawing", unit="shard"))


if __name__ == "__main__":
    main()
