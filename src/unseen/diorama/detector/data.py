"""What a detector learns from: a pool of rendered frames, and batches of them degraded or destroyed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file
from tqdm import tqdm

from unseen.diorama.detector.damage import degrade, destroy, subject_mask
from unseen.diorama.detector.detector import DESTROYED, EMPTY
from unseen.diorama.processes import in_processes
from unseen.diorama.world.render import DEFAULT_SETTINGS, RenderSettings, render
from unseen.diorama.world.sampling import COUNTABLE, HELD_OUT_SHARE, sample_scene
from unseen.diorama.world.scenes import (
    ATTRIBUTE_OF,
    ATTRIBUTES,
    BACKGROUNDS,
    FRAMES,
    MOTIONS,
    SIZE,
    STRANGER,
    STYLES,
    SUBJECTS,
    Scene,
)

DETECTED = SUBJECTS
"""What a detector's subject head tells apart."""
_TURNS = (*DETECTED, STRANGER)
"""Whose turn it is in a pool: all equally often, strangers twice."""

CALIBRATION_SEED, TEST_SEED = 20_260_001, 20_260_002
SHARD = 4 * len(_TURNS)
"""Frames in one file of a pool."""

ALONE, ROW, STACK, THREE = range(4)
"""Layouts: one subject (or none), two in a row, two stacked, three in a row; a count has one key several times."""
_SHARES = (
    (0.55, (1, False, 1)),
    (0.77, (2, False, 1)),
    (0.85, (2, True, 1)),
    (0.93, (3, False, 1)),
    (0.965, (1, False, 2)),
    (1.0, (1, False, 3)),
)
"""Cumulative shares of (different subjects, stacked?, how often each); nobody has a double, people are alone then."""


@dataclass(frozen=True)
class Recipe:
    """What distinguishes the data of the two detectors."""

    which: str
    settings: RenderSettings
    seed: int
    frames: int = 16_000
    """Renders, two moments of each scene, each beside its empty place."""
    coarse: bool = False
    """Degrade by gamma, posterising, chroma blur and bars instead of gains, softness and patches."""


RECIPES = {
    "a": Recipe("a", DEFAULT_SETTINGS, seed=11),
    "b": Recipe(
        "b",
        RenderSettings((0.6, 0.8), (0.4, 0.5), (0.28, 0.35), tilt=10.0, travel=(0.16, 0.28), light=0.12, softness=1.0),
        seed=7_001,
        coarse=True,
    ),
}


@dataclass(frozen=True)
class Pool:
    """Rendered frames with their labels."""

    frames: np.ndarray
    """uint8 `[n, SIZE, SIZE, 3]`"""
    empties: np.ndarray
    """The same places without their subjects."""
    subjects: np.ndarray
    """int64 `[n, 3]`, from left to right or from top to bottom; −1 after the last."""
    layout: np.ndarray
    """int64 `[n]`: `ALONE`, `ROW`, `STACK` or `THREE`."""
    attributes: np.ndarray
    """int64 `[n, len(ATTRIBUTES)]`"""
    background: np.ndarray
    style: np.ndarray


@cache
def drawings_digest() -> str:
    """A fingerprint of how the world is drawn, so that no pool or detector is mistaken for one of other drawings."""
    digest = hashlib.sha256()
    for i, subject in enumerate(DETECTED):
        background, motion, style = BACKGROUNDS[i % 5], MOTIONS[i % 6], STYLES[i // 2 % len(STYLES)]
        for attributes in ((), (ATTRIBUTE_OF[subject],)) if subject in ATTRIBUTE_OF else ((),):
            digest.update(render(Scene((subject,), background, motion, style, attributes), i, frames=(1,)).tobytes())
    return digest.hexdigest()[:12]


def _layout(scene: Scene) -> int:
    if len(scene.subjects) < 2:
        return ALONE
    return STACK if scene.stacked else ROW if len(scene.subjects) == 2 else THREE


def _labels(scene: Scene) -> dict[str, np.ndarray]:
    return {
        "subjects": np.asarray([*(DETECTED.index(key) for key in scene.subjects), -1, -1, -1][:3]),
        "layout": np.asarray(_layout(scene)),
        "attributes": np.asarray([name in scene.attributes for name in ATTRIBUTES], np.int64),
        "background": np.asarray(BACKGROUNDS.index(scene.background)),
        "style": np.asarray(STYLES.index(scene.style)),
    }


def _render_one(
    rng: np.random.Generator, subject: str, settings: RenderSettings, moments: int
) -> list[dict[str, np.ndarray]]:
    """Some moments of one new scene with `subject`, as rows of a pool."""
    held_out, draw = bool(rng.random() < HELD_OUT_SHARE), rng.random()
    count, stacked, repeat = next(shown for share, shown in _SHARES if draw < share)
    if subject not in COUNTABLE:
        repeat = 1
    scene = sample_scene(rng, subject=subject, held_out=held_out, count=count, stacked=stacked, repeat=repeat)
    seed, times = int(rng.integers(2**31)), tuple(int(i) for i in rng.permutation(FRAMES)[:moments])
    labels = _labels(scene)
    frames = render(scene, seed, settings=settings, frames=times)
    empties = empty_place(scene, seed, settings, times)
    return [{"frames": f, "empties": e, **labels} for f, e in zip(frames, empties, strict=True)]


def empty_place(scene: Scene, seed: int, settings: RenderSettings, times: tuple[int, ...]) -> np.ndarray:
    """The same frames without their subjects."""
    if len(scene.subjects) > 1:  # several subjects move less, and so does a camera that pans over them
        settings = replace(settings, travel=(0.4 * settings.travel[0], 0.4 * settings.travel[1]))
    nothing = replace(scene, subjects=(), attributes=(), stacked=False)
    return render(nothing, seed, settings=settings, frames=times)


def render_pool(settings: RenderSettings, seed: int, count: int, *, moments: int = 1) -> Pool:
    """Render `count` scenes at `moments` times each, all subjects equally often, strangers twice as often."""
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(len(_TURNS)) for _ in range(-(-count // len(_TURNS)))])[:count]
    scenes = [_render_one(rng, _TURNS[i], settings, moments) for i in order]
    rows = [row for scene in scenes for row in scene]
    return Pool(**{name: np.stack([row[name] for row in rows]) for name in rows[0]})


def _render_shard(path: Path, settings: RenderSettings, moments: int, seed: int) -> None:
    pool = render_pool(settings, seed, SHARD // moments, moments=moments)
    part = path.with_suffix(".partial")
    save_file(vars(pool), part)
    part.rename(path)


def stored_pool(
    place: Path, settings: RenderSettings, seed: int, frames: int, *, moments: int, workers: int = 1
) -> Pool:
    """The first `frames` of a pool in the folder `place`, rendered once by `workers` processes and read afterwards."""
    place.mkdir(parents=True, exist_ok=True)
    paths = [place / f"{index:03d}.safetensors" for index in range(-(-frames // SHARD))]
    missing = [(path, seed * 1000 + index) for index, path in enumerate(paths) if not path.exists()]
    jobs = [(path, settings, moments, own) for path, own in missing]
    for _ in tqdm(in_processes(_render_shard, jobs, workers), place.name, len(jobs), unit="shard", disable=not jobs):
        pass
    shards = [load_file(path) for path in paths]
    return Pool(**{f.name: np.concatenate([shard[f.name] for shard in shards])[:frames] for f in fields(Pool)})


def held_back_pool(seed: int, frames: int, folder: Path, *, workers: int = 1) -> Pool:
    """Renders that no detector is trained on, one frame of each scene; both detectors are measured on the same."""
    place = folder / f"detector_held_back_{seed}_{drawings_digest()}"
    return stored_pool(place, DEFAULT_SETTINGS, seed, frames, moments=1, workers=workers)


def training_pool(recipe: Recipe, folder: Path, *, workers: int = 1) -> Pool:
    """The recipe's pool of renders."""
    place = folder / f"detector_pool_{recipe.which}_{drawings_digest()}"
    return stored_pool(place, recipe.settings, recipe.seed, recipe.frames, moments=2, workers=workers)


@dataclass(frozen=True)
class Batch:
    """Frames and what the heads should say about them."""

    frames: np.ndarray
    """uint8 `[n, SIZE, SIZE, 3]`"""
    presence: np.ndarray
    """float32 `[n, subjects]`: what the frame shows."""
    halves: np.ndarray
    """float32 `[n, 2, subjects]`: what the left and the right half show."""
    tiers: np.ndarray
    """float32 `[n, 2, subjects]`: what the upper and the lower half show."""
    apart: np.ndarray
    """float32 `[n]`: whether left and right half are labelled: two in a row, or nothing."""
    above: np.ndarray
    """float32 `[n]`: whether upper and lower half are labelled: two stacked, or nothing."""
    content: np.ndarray
    """int64 `[n]`: 0 empty, 1 something unrecognisable, 2 a subject."""
    attributes: np.ndarray
    background: np.ndarray
    style: np.ndarray


def _other_frame(pool: Pool, row: int, rng: np.random.Generator) -> np.ndarray:
    """A frame in the same style with another subject, in the same layout if there is one."""
    differs = (pool.style == pool.style[row]) & (pool.subjects[:, 0] != pool.subjects[row, 0])
    alike = np.flatnonzero(differs & (pool.layout == pool.layout[row]))
    options = alike if len(alike) else np.flatnonzero(pool.subjects[:, 0] != pool.subjects[row, 0])
    return pool.frames[options[int(rng.integers(len(options)))]]


def _one_side(gone: int) -> np.ndarray:
    """Soft weights of the left (0) or the right (1) half, `[SIZE]`."""
    cut = np.clip((np.arange(SIZE) - SIZE / 2 + 0.5) / 3 + 0.5, 0, 1).astype(np.float32)
    return cut if gone else 1 - cut


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
    """Draw a batch: shares of `empty` and `destroyed` frames, of rows of two with one gone, of `degraded` frames."""
    n = len(rows)
    batch = Batch(
        np.empty((n, SIZE, SIZE, 3), np.uint8),
        np.zeros((n, len(DETECTED)), np.float32),
        np.zeros((n, 2, len(DETECTED)), np.float32),
        np.zeros((n, 2, len(DETECTED)), np.float32),
        np.zeros(n, np.float32),
        np.zeros(n, np.float32),
        np.full(n, 2),
        np.zeros((n, len(ATTRIBUTES)), np.float32),
        pool.background[rows],
        pool.style[rows],
    )
    for i, row in enumerate(rows):
        fate, one_goes = rng.random(), rng.random() < partial
        frame, place, layout = pool.frames[row], pool.empties[row], pool.layout[row]
        keep = np.ones(3, bool)
        if fate < empty:
            frame, batch.content[i], keep[:] = place, 0, False
        elif fate < empty + destroyed:
            batch.content[i], keep[:] = 1, False
            frame = destroy(frame, place, _other_frame(pool, row, rng), rng, subject_mask(frame, place))
            if (np.abs(frame.astype(np.int16) - place).max(-1) > 24).mean() < 0.012:
                batch.content[i] = 0
        elif layout == ROW and one_goes:
            gone = int(rng.integers(2))
            keep[gone] = False
            mask = subject_mask(frame, place) * _one_side(gone)
            if rng.random() < 0.6:
                frame = (frame * (1 - mask[..., None]) + place * mask[..., None]).astype(np.uint8)
            else:
                # the side that stays is laid over again: destroying fills all but the mask with the empty place
                side = _one_side(gone)[:, None]
                broken = destroy(frame, place, _other_frame(pool, row, rng), rng, mask)
                frame = (frame * (1 - side) + broken * side).astype(np.uint8)
        batch.apart[i] = layout == ROW or not keep.any()
        batch.above[i] = layout == STACK or not keep.any()
        for order, subject in enumerate(pool.subjects[row]):
            if subject < 0 or not keep[order]:
                continue
            batch.presence[i, subject] = 1
            if layout == ROW:
                batch.halves[i, order, subject] = 1
            elif layout == STACK:
                batch.tiers[i, order, subject] = 1
            attribute = ATTRIBUTE_OF.get(DETECTED[subject])
            if attribute is not None:
                index = ATTRIBUTES.index(attribute)
                batch.attributes[i, index] = pool.attributes[row, index]
        batch.frames[i] = degrade(frame, rng, coarse) if rng.random() < degraded else frame
    return batch
