"""How far clips are from the nearest clip the video model was trained on, so that memory is not taken for skill."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from unseen.bench.run import Clips
from unseen.bench.study import Study
from unseen.bench.tables import Table
from unseen.diorama.training import pool
from unseen.diorama.world.render import render

POOL_CLIPS = 2048
_QUICK_POOL = 64
_GRID = 16
"""Candidates are looked up on frames averaged to 16 × 16 pixels; the distance itself is taken at full size."""
_CANDIDATES = 8
_RENDER_SEED = 77_000_000


def _small(clips: np.ndarray) -> np.ndarray:
    """Averaged frames as one vector per clip, float32 `[clips, features]`."""
    n, f, h, w, c = clips.shape
    cells = clips.reshape(n, f, _GRID, h // _GRID, _GRID, w // _GRID, c).mean((3, 5), dtype=np.float32)
    return cells.reshape(n, -1)


def training_clips(count: int, *, progress: bool = True) -> np.ndarray:
    """The first `count` training clips, from the pool that training left on disk, else drawn again."""
    stored = [shard for shard in range(-(-count // pool.SHARD)) if pool.shard_path(shard).exists()]
    if len(stored) * pool.SHARD >= count:
        return np.stack([pool.clip(index) for index in range(count)])
    return np.stack([pool.draw_clip(index) for index in tqdm(range(count), "training clips", disable=not progress)])


def nearest_distances(clips: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Root mean square difference, in levels of 255, of each clip to its nearest reference, `[clips]`."""
    small, known = _small(clips), _small(references)
    squares = (small**2).sum(1)[:, None] - 2 * small @ known.T + (known**2).sum(1)[None]
    near = np.argsort(squares, axis=1)[:, :_CANDIDATES]
    return np.asarray(
        [
            min(float(np.sqrt(((clip.astype(np.float32) - references[k]) ** 2).mean())) for k in row)
            for clip, row in zip(clips, near, strict=True)
        ]
    )


def nearest_table(study: Study, clips: Clips) -> Table:
    """Distances of generated clips, and of fresh renders of the same scenes, to the nearest of some training clips."""
    references = training_clips(_QUICK_POOL if study.settings.quick else POOL_CLIPS, progress=study.settings.progress)
    fresh = np.stack([render(p.scene, _RENDER_SEED + place) for place, p in enumerate(clips.prompts)])
    rows = []
    for label, frames in (("generated, never trained on", clips.frames), ("fresh renders of the same scenes", fresh)):
        distances = nearest_distances(frames, references)
        low, median = float(distances.min()), float(np.median(distances))
        rows.append((label, len(distances), low, float(np.quantile(distances, 0.05)), median))
    return Table(
        "Picture: distance to the nearest training clip",
        ("clips of", "clips", "smallest", "5 % quantile", "median"),
        tuple(rows),
        f"Root mean square difference in levels of 255, to the nearest of {len(references)} training clips. Clips "
        "copied from training would lie much nearer than fresh renders do.",
    )
