"""Training clips: what each shows and how it is said, and their composing from drawn layers on any device.

Clip i is a function of i and the drawn layers alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from unseen.diorama.processes import in_processes
from unseen.diorama.stored import to_uint8
from unseen.diorama.training.layers import LAYER_SEED, LayerRows, Layers, layer_rows
from unseen.diorama.world.captions import caption
from unseen.diorama.world.render import (
    MOST_SUBJECTS,
    PHASE_OF_FRAME,
    PHASES,
    compose,
    draw_sprite,
    draw_stage,
    finish,
    place,
)
from unseen.diorama.world.sampling import sample_scene
from unseen.diorama.world.scenes import ATTRIBUTE_OF, FRAMES, SIZE, STYLES, Scene

DATA_SEED = 1_000_000_000
"""Training clip i comes from seed `DATA_SEED + i`; evaluation and detectors use other ranges."""
HELD_OUT = 50_000_000
"""Clips numbered from here on are outside every training."""
UNNAMED = 0.6
"""Share of the captions of empty scenes that say "something", moving or not, where a subject would stand: a prompt that
names nothing gets an empty scene. While subjects were called "something" too, such prompts, and those from which a name
had been erased, got a blurred average of all subjects, which guidance cannot sharpen."""
INDIVIDUALS = 96
"""Of each subject in the layers that the committed weights were trained on (`unseen train layers --individuals`)."""
_CHUNK = 512
_BATCH = 64


def training_scene(index: int) -> Scene:
    """The scene of training clip `index`."""
    return sample_scene(np.random.default_rng(DATA_SEED + index))


def training_captions(scene: Scene, index: int, count: int) -> list[str]:
    """Captions of training clip `index`, which shows `scene`."""
    rng = np.random.default_rng([DATA_SEED, index, 1])
    unnamed = 0.0 if scene.subjects else UNNAMED
    return [caption(scene, rng, template_split="fit", unnamed=unnamed) for _ in range(count)]


@dataclass(frozen=True)
class Plan:
    """What clips are composed of, one row a clip."""

    sprites: np.ndarray
    """int32 `[n, MOST_SUBJECTS]`, rows of the layers; anything where nothing is placed."""
    stages: np.ndarray
    """int32 `[n]`"""
    views: np.ndarray
    """float32 `[n, FRAMES, 2]`"""
    places: np.ndarray
    """float32 `[n, MOST_SUBJECTS, FRAMES, 4]`"""
    light: np.ndarray
    """float32 `[n]`"""
    styles: np.ndarray
    """int32 `[n]`"""
    captions: np.ndarray
    """str `[n, captions of each]`"""

    def __len__(self) -> int:
        return len(self.stages)


def _plan_chunk(first: int, count: int, rows: LayerRows, captions: int) -> Plan:
    plan = Plan(
        np.zeros((count, MOST_SUBJECTS), np.int32),
        np.empty(count, np.int32),
        np.empty((count, FRAMES, 2), np.float32),
        np.empty((count, MOST_SUBJECTS, FRAMES, 4), np.float32),
        np.empty(count, np.float32),
        np.empty(count, np.int32),
        np.empty((count, captions), object),
    )
    for row, index in enumerate(range(first, first + count)):
        rng = np.random.default_rng(DATA_SEED + index)
        scene = sample_scene(rng)
        placement = place(scene, rng)
        start, many = rows.stages[scene.background]
        plan.stages[row] = start + placement.seeds[0] % many
        for i, subject in enumerate(scene.subjects):
            start, many = rows.sprites[subject, ATTRIBUTE_OF.get(subject) in scene.attributes]
            plan.sprites[row, i] = start + placement.seeds[1 + i] % many
        plan.views[row], plan.places[row], plan.light[row] = placement.view, placement.sprites, placement.light
        plan.styles[row] = STYLES.index(scene.style)
        if captions:
            plan.captions[row] = training_captions(scene, index, captions)
    return plan


def plan_clips(first: int, count: int, rows: LayerRows, *, captions: int = 0, workers: int = 1) -> Plan:
    """What clips `first` to `first + count` show, with so many captions of each."""
    starts = range(first, first + count, _CHUNK)
    jobs = [(start, min(_CHUNK, first + count - start), rows, captions) for start in starts]
    parts = list(in_processes(_plan_chunk, jobs, workers))
    return Plan(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Plan)))


@torch.no_grad()
def compose_clips(layers: Layers, plan: Plan, picked: np.ndarray, frames: Sequence[int] = range(FRAMES)) -> Tensor:
    """Some clips of a plan, float `[n, 3, frames, SIZE, SIZE]` in [−1, 1] on the layers' device."""
    device, times = layers.sprites.device, list(frames)
    n, t = len(picked), len(times)
    poses = torch.tensor([PHASE_OF_FRAME[time] for time in times], device=device)
    rows = torch.from_numpy(plan.sprites[picked]).to(device).long()
    most = max(1, int((plan.places[picked][:, :, 0, 2] > 0).sum(1).max()))
    stages = layers.stages[torch.from_numpy(plan.stages[picked]).to(device).long()]
    sprites = layers.sprites[rows[:, None, :most], poses[None, :, None]]
    places = torch.from_numpy(plan.places[picked][:, :most, times]).to(device).transpose(1, 2)
    painted = compose(
        stages[:, None].expand(-1, t, -1, -1, -1).flatten(0, 1),
        torch.from_numpy(plan.views[picked][:, times]).to(device).flatten(0, 1),
        sprites.flatten(0, 1),
        places.flatten(0, 1),
        torch.from_numpy(plan.light[picked]).to(device).repeat_interleave(t),
    )
    styles = [STYLES[style] for style in plan.styles[picked] for _ in times]
    done = finish(painted, styles)
    whole = (done * 255).round() / 127.5 - 1  # as a stored clip would be
    return whole.view(n, t, 3, SIZE, SIZE).transpose(1, 2).contiguous()


def _drawn_for(plan: Plan, rows: LayerRows) -> tuple[Layers, Plan]:
    """The layers that clips need, and these clips as a plan that names them by their place among these layers."""
    sprites, sprite_of = np.unique(plan.sprites, return_inverse=True)
    stages, stage_of = np.unique(plan.stages, return_inverse=True)
    individuals = {first + i: (v, i) for v, (first, many) in rows.sprites.items() for i in range(many)}
    views = {first + i: (name, i) for name, (first, many) in rows.stages.items() for i in range(many)}
    drawn = [
        [draw_sprite(subject, LAYER_SEED + i, phase, (ATTRIBUTE_OF[subject],) if shown else ()) for phase in PHASES]
        for (subject, shown), i in map(individuals.__getitem__, sprites.tolist())
    ]
    places = [draw_stage(name, LAYER_SEED + i) for name, i in map(views.__getitem__, stages.tolist())]
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


def cores() -> int:
    """How many processes may draw and write captions beside a training."""
    return max(1, (os.cpu_count() or 2) - 1)
