"""How far clips are from the nearest clip the video model was trained on, so that memory is not taken for skill."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from tqdm import tqdm

from unseen.diorama.stored import to_uint8
from unseen.diorama.training.clips import Plan, compose_clips, plan_clips
from unseen.diorama.training.layers import LAYER_SEED, LayerRows, Layers, layer_rows
from unseen.diorama.world.render import PHASES, draw_sprite, draw_stage
from unseen.diorama.world.scenes import ATTRIBUTE_OF

POOL_CLIPS = 2048
QUICK_POOL = 64
_GRID = 16
"""Candidates are looked up on frames averaged to 16 × 16 pixels; the distance itself is taken at full size."""
_CANDIDATES = 8
INDIVIDUALS = 96
"""Of each subject in the layers that the committed weights were trained on (`unseen train layers --individuals`)."""
_BATCH = 64


def _small(clips: np.ndarray) -> np.ndarray:
    """Averaged frames as one vector per clip, float32 `[clips, features]`."""
    n, f, h, w, c = clips.shape
    cells = clips.reshape(n, f, _GRID, h // _GRID, _GRID, w // _GRID, c).mean((3, 5), dtype=np.float32)
    return cells.reshape(n, -1)


def _drawn_for(plan: Plan, rows: LayerRows) -> tuple[Layers, Plan]:
    """The layers that clips need, and these clips as a plan that names them by their place among these layers."""
    sprites, sprite_of = np.unique(plan.sprites, return_inverse=True)
    stages, stage_of = np.unique(plan.stages, return_inverse=True)
    individuals = {first + i: (v, i) for v, (first, many) in rows.sprites.items() for i in range(many)}
    views = {first + i: (place, i) for place, (first, many) in rows.stages.items() for i in range(many)}
    drawn = [
        [draw_sprite(subject, LAYER_SEED + i, phase, (ATTRIBUTE_OF[subject],) if shown else ()) for phase in PHASES]
        for (subject, shown), i in map(individuals.__getitem__, sprites.tolist())
    ]
    places = [draw_stage(place, LAYER_SEED + i) for place, i in map(views.__getitem__, stages.tolist())]
    layers = Layers(torch.from_numpy(np.asarray(drawn)), torch.from_numpy(np.asarray(places)), rows)
    return layers, replace(plan, sprites=sprite_of.reshape(plan.sprites.shape), stages=stage_of.reshape(-1))


def training_clips(count: int, *, progress: bool = True) -> np.ndarray:
    """The first `count` training clips, drawn again."""
    rows, found = layer_rows(INDIVIDUALS), []
    for start in tqdm(range(0, count, _BATCH), "training clips", disable=not progress):
        size = min(_BATCH, count - start)
        layers, plan = _drawn_for(plan_clips(start, size, rows), rows)
        found.append(to_uint8(compose_clips(layers, plan, np.arange(size))))
    return np.concatenate(found)


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
