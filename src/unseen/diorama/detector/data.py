"""What a detector learns from: a pool of rendered frames, and batches of them degraded or destroyed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from unseen.diorama.detector.damage import degrade, destroy, subject_mask
from unseen.diorama.detector.detector import DESTROYED, EMPTY
from unseen.diorama.training.pool import clip, training_scene
from unseen.diorama.world.render import DEFAULT_SETTINGS, RenderSettings, render
from unseen.diorama.world.sampling import HELD_OUT_SHARE, sample_scene
from unseen.diorama.world.scenes import (
    ATTRIBUTE_OF,
    ATTRIBUTES,
    BACKGROUNDS,
    FRAMES,
    MOTIONS,
    SIZE,
    STYLES,
    SUBJECTS,
    Scene,
)

STRANGER = "person"
"""The key of somebody who is none of the six characters."""
DETECTED = SUBJECTS if STRANGER in SUBJECTS else (*SUBJECTS, STRANGER)
"""What a detector's subject head tells apart."""

CALIBRATION_SEED, TEST_SEED = 20_260_001, 20_260_002
SHARD = 1000
"""Frames in one file of a pool; two from each scene."""


@dataclass(frozen=True)
class Recipe:
    """What distinguishes the data of the two detectors."""

    which: str
    settings: RenderSettings
    seed: int
    frames: int
    """Own renders, each beside its empty place."""
    clips: int = 0
    """Clips of the video model's pool that are used besides, two frames each."""
    coarse: bool = False
    """Degrade by gamma, posterising, chroma blur and bars instead of gains, softness and patches."""


RECIPES = {
    "a": Recipe("a", DEFAULT_SETTINGS, seed=11, frames=4_000, clips=4_096),
    "b": Recipe(
        "b",
        RenderSettings((0.58, 0.8), (0.37, 0.49), 10.0, (0.16, 0.3), 0.12, 0.8),
        seed=7_001,
        frames=8_000,
        coarse=True,
    ),
}


@dataclass(frozen=True)
class Pool:
    """Rendered frames with their labels; a missing second subject is −1."""

    frames: np.ndarray
    """uint8 `[n, SIZE, SIZE, 3]`"""
    empties: np.ndarray
    """The same places without their subjects; only for the first frames, where there are fewer."""
    subjects: np.ndarray
    """int64 `[n, 2]`, left and right; a lone subject is in the first column."""
    attributes: np.ndarray
    """int64 `[n, len(ATTRIBUTES)]`"""
    background: np.ndarray
    style: np.ndarray


def drawings_digest() -> str:
    """A fingerprint of how the world is drawn, so that no pool or detector is mistaken for one of other drawings."""
    digest = hashlib.sha256()
    for i, subject in enumerate(DETECTED):
        background, motion, style = BACKGROUNDS[i % 5], MOTIONS[i % 6], STYLES[i // 2 % 5]
        for attributes in ((), (ATTRIBUTE_OF[subject],)) if subject in ATTRIBUTE_OF else ((),):
            digest.update(render(Scene((subject,), background, motion, style, attributes), i, frames=(1,)).tobytes())
    return digest.hexdigest()[:12]


def _labels(scene: Scene) -> dict[str, np.ndarray]:
    return {
        "subjects": np.asarray([*(DETECTED.index(key) for key in scene.subjects), -1][:2]),
        "attributes": np.asarray([name in scene.attributes for name in ATTRIBUTES], np.int64),
        "background": np.asarray(BACKGROUNDS.index(scene.background)),
        "style": np.asarray(STYLES.index(scene.style)),
    }


def _render_one(
    rng: np.random.Generator, subject: str, settings: RenderSettings, moments: int
) -> list[dict[str, np.ndarray]]:
    """Some moments of one new scene with `subject`, as rows of a pool."""
    held_out, count = bool(rng.random() < HELD_OUT_SHARE), 2 if rng.random() < 0.27 else 1
    scene = sample_scene(rng, subject=subject, held_out=held_out, count=count)
    seed, times = int(rng.integers(2**31)), tuple(int(i) for i in rng.permutation(FRAMES)[:moments])
    labels = _labels(scene)
    frames = render(scene, seed, settings=settings, frames=times)
    empties = render(replace(scene, subjects=()), seed, settings=settings, frames=times)
    return [{"frames": f, "empties": e, **labels} for f, e in zip(frames, empties, strict=True)]


def render_pool(settings: RenderSettings, seed: int, count: int, *, moments: int = 1) -> Pool:
    """Render `count` scenes at `moments` times each, all subjects equally often, strangers twice as often."""
    rng = np.random.default_rng(seed)
    turns = [*DETECTED, STRANGER]
    order = np.concatenate([rng.permutation(len(turns)) for _ in range(-(-count // len(turns)))])[:count]
    scenes = [_render_one(rng, turns[i], settings, moments) for i in order]
    rows = [row for scene in scenes for row in scene]
    return Pool(**{name: np.stack([row[name] for row in rows]) for name in rows[0]})


def stored_pool(place: Path, settings: RenderSettings, seed: int, frames: int, moments: int) -> list[dict[str, Any]]:
    """The shards of a pool in the folder `place`, rendered once and read from there afterwards."""
    place.mkdir(parents=True, exist_ok=True)
    shards = []
    for index in tqdm(range(-(-frames // SHARD)), f"{place.name}, shards of {SHARD} frames"):
        path = place / f"{index:03d}.safetensors"
        if not path.exists():
            pool = render_pool(settings, seed * 1000 + index, SHARD // moments, moments=moments)
            partial = path.with_suffix(".partial")
            save_file(vars(pool), partial)
            partial.rename(path)
        shards.append(load_file(path))
    return shards


def held_back_pool(seed: int, frames: int, folder: Path) -> Pool:
    """Renders that no detector is trained on, one frame of each scene; both detectors are measured on the same."""
    shards = stored_pool(folder / f"detector_held_back_{seed}_{drawings_digest()}", DEFAULT_SETTINGS, seed, frames, 1)
    return Pool(**{field.name: np.concatenate([shard[field.name] for shard in shards]) for field in fields(Pool)})


def training_pool(recipe: Recipe, folder: Path) -> Pool:
    """The recipe's pool: its own renders and, if it says so, frames of the video model's clips."""
    place = folder / f"detector_pool_{recipe.which}_{drawings_digest()}"
    shards = stored_pool(place, recipe.settings, recipe.seed, recipe.frames, moments=2)
    rng = np.random.default_rng(recipe.seed)
    for index in range(recipe.clips):
        scene = training_scene(index)
        if scene.subjects:
            frames = clip(index)[rng.permutation(FRAMES)[:2]]
            shards.append({"frames": frames, **{k: np.stack([v, v]) for k, v in _labels(scene).items()}})
    names = [field.name for field in fields(Pool)]
    return Pool(**{name: np.concatenate([shard[name] for shard in shards if name in shard]) for name in names})


@dataclass(frozen=True)
class Batch:
    """Frames and what the heads should say about them."""

    frames: np.ndarray
    """uint8 `[n, SIZE, SIZE, 3]`"""
    halves: np.ndarray
    """float32 `[n, 2, subjects]`: what the left and the right half show; a lone subject is in both."""
    apart: np.ndarray
    """float32 `[n]`: whether left and right half are labelled separately."""
    content: np.ndarray
    """int64 `[n]`: 0 empty, 1 something unrecognisable, 2 a subject."""
    attributes: np.ndarray
    background: np.ndarray
    style: np.ndarray


def make_batch(
    pool: Pool,
    rows: np.ndarray,
    rng: np.random.Generator,
    *,
    coarse: bool = False,
    empty: float = EMPTY,
    destroyed: float = DESTROYED,
    partial: float = 0.35,
    degraded: float = 0.85,
) -> Batch:
    """Draw a batch: shares of `empty` and `destroyed` frames, of pairs with one side gone, of `degraded` frames."""
    n = len(rows)
    batch = Batch(
        np.empty((n, SIZE, SIZE, 3), np.uint8),
        np.zeros((n, 2, len(DETECTED)), np.float32),
        np.zeros(n, np.float32),
        np.full(n, 2),
        np.zeros((n, len(ATTRIBUTES)), np.float32),
        np.zeros(n, np.int64),
        np.zeros(n, np.int64),
    )
    for i, row in enumerate(rows):
        fate, one_goes = rng.random(), rng.random() < partial
        if row >= len(pool.empties) and (fate < empty + destroyed or (one_goes and pool.subjects[row, 1] >= 0)):
            row = int(rng.integers(len(pool.empties)))  # this needs the empty place
        pair = pool.subjects[row, 1] >= 0
        batch.background[i], batch.style[i] = pool.background[row], pool.style[row]
        frame = pool.frames[row]
        place = pool.empties[row] if row < len(pool.empties) else frame
        keep = [True, True]
        if fate < empty:
            frame, keep, batch.content[i] = place, [False, False], 0
        elif fate < empty + destroyed or (pair and one_goes):
            mask = subject_mask(frame, place)
            if fate < empty + destroyed:
                keep, batch.content[i] = [False, False], 1
            else:
                gone = int(rng.integers(2))
                keep[gone] = False
                cut = np.clip((np.arange(SIZE) - SIZE / 2 + 0.5) / 2 + 0.5, 0, 1).astype(np.float32)
                mask = mask * (cut if gone else 1 - cut)
            candidates = np.flatnonzero(
                (pool.style == pool.style[row]) & (pool.subjects[:, 0] != pool.subjects[row, 0])
            )
            other = pool.frames[candidates[int(rng.integers(len(candidates)))]]
            if batch.content[i] == 2 and rng.random() < 0.6:
                frame = (frame * (1 - mask[..., None]) + place * mask[..., None]).astype(np.uint8)
            else:
                frame = destroy(frame, place, other, rng, mask)
                visible = (np.abs(frame.astype(np.int16) - place).max(-1) > 24).mean()
                if batch.content[i] == 1 and visible < 0.012:
                    batch.content[i] = 0
        batch.apart[i] = pair or not any(keep)
        for side, subject in enumerate(pool.subjects[row] if pair else pool.subjects[row, [0, 0]]):
            if keep[side]:
                batch.halves[i, side, subject] = 1
                attribute = ATTRIBUTE_OF.get(DETECTED[subject])
                if attribute is not None:
                    index = ATTRIBUTES.index(attribute)
                    batch.attributes[i, index] = pool.attributes[row, index]
        batch.frames[i] = degrade(frame, rng, coarse) if rng.random() < degraded else frame
    return batch
