"""The drawn world: every subject is drawn and moves as the scene says, and some combinations are held out."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch

from unseen.diorama.stored import to_signed, to_uint8
from unseen.diorama.training import pool
from unseen.diorama.training.muon import Muon, orthogonalised
from unseen.diorama.world import scenes
from unseen.diorama.world.render import render
from unseen.diorama.world.sampling import HELD_OUT_SHARE, is_held_out, sample_scene
from unseen.diorama.world.scenes import ATTRIBUTE_OF, BACKGROUNDS, MOTIONS, STYLES, SUBJECTS, Scene
from unseen.diorama.world.subjects import DRAWINGS


def frame(subject: str | None, seed: int, **scene: str) -> np.ndarray:
    subjects = (subject,) if subject else ()
    return render(Scene(subjects, "snow", "left", **scene), seed, frames=(4,))[0].astype(float)


def test_every_subject_is_drawn_and_nothing_else_is():
    assert set(DRAWINGS) == set(SUBJECTS)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_subject_fills_a_good_part_of_the_frame_and_is_never_one_icon(subject):
    covered = [np.abs(frame(subject, seed) - frame(None, seed)).max(-1) > 24 for seed in range(4)]
    assert np.mean(covered) > 0.08
    assert all((a != b).mean() > 0.01 for a, b in pairwise(covered))


def test_a_scene_and_a_seed_decide_a_clip():
    scene = Scene(("cat", "church"), "meadow", "zoom", "pebble")
    assert np.array_equal(render(scene, 3), render(scene, 3))
    assert not np.array_equal(render(scene, 3), render(scene, 4))
    assert np.array_equal(render(scene, 3)[[2, 7]], render(scene, 3, frames=(2, 7)))


@pytest.mark.parametrize("carrier", ATTRIBUTE_OF)
def test_an_attribute_changes_its_carrier_and_leaves_the_place(carrier):
    bare = render(Scene((carrier,), "desert", "up"), 5)
    shown = render(Scene((carrier,), "desert", "up", "plain", (ATTRIBUTE_OF[carrier],)), 5)
    changed = (bare != shown).any(-1)
    assert changed.mean() > 0.01 and not changed[:, :3, :3].any()


def test_styles_differ_from_each_other_on_the_same_scene():
    looks = {style: frame("bus", 1, style=style) for style in STYLES}
    for a, b in product(STYLES, STYLES):
        assert a == b or np.abs(looks[a] - looks[b]).mean() > 12


@pytest.mark.parametrize(("motion", "axis", "sign"), [("left", 1, -1), ("right", 1, 1), ("up", 0, -1), ("down", 0, 1)])
def test_a_subject_moves_as_the_scene_says(motion, axis, sign):
    clip = render(Scene(("bus",), "snow", motion), 2).astype(float)
    empty = render(Scene((), "snow", motion), 2).astype(float)
    centres = [np.argwhere(np.abs(a - b).max(-1) > 24).mean(0)[axis] for a, b in zip(clip, empty, strict=True)]
    steps = np.diff(centres) * sign
    assert (steps > 0.3).all()


def test_a_fifth_of_the_combinations_is_never_trained_on():
    combinations = list(product(SUBJECTS, BACKGROUNDS, MOTIONS, STYLES))
    assert np.mean([is_held_out(*c) for c in combinations]) == pytest.approx(HELD_OUT_SHARE, abs=0.02)
    for index in range(400):
        scene = pool.training_scene(index)
        assert not any(is_held_out(s, scene.background, scene.motion, scene.style) for s in scene.subjects)
    rng = np.random.default_rng(0)
    for _ in range(50):
        scene = sample_scene(rng, count=1, held_out=True)
        assert is_held_out(scene.subjects[0], scene.background, scene.motion, scene.style)


def test_training_scenes_contain_empty_ones_and_pairs():
    counts = np.bincount([len(pool.training_scene(index).subjects) for index in range(1500)], minlength=3) / 1500
    assert counts == pytest.approx([0.1, 0.45, 0.45], abs=0.04)


def test_neighbours_are_others_than_their_objects():
    assert set(scenes.NEIGHBOUR_OF) == set(scenes.OBJECTS)
    assert not set(scenes.NEIGHBOURS) & set(scenes.OBJECTS)


def test_frames_survive_the_way_to_the_vae_and_back():
    clip = render(Scene(("cat",), "night", "pan"), 0)[None]
    assert np.array_equal(to_uint8(to_signed(clip)), clip)


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 16, 5), (2, 5, 16)])
def test_muon_orthogonalises(shape):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    singular = torch.linalg.svdvals(orthogonalised(matrices))
    assert singular.min() > 0.4 and singular.max() < 1.4


def test_muon_lowers_a_loss():
    torch.manual_seed(0)
    weight, target = torch.nn.Parameter(torch.randn(8, 8)), torch.randn(8, 8)
    optimizer = Muon([weight], lr=0.1)
    losses = []
    for _ in range(200):
        loss = (weight - target).square().mean()
        weight.grad = torch.autograd.grad(loss, weight)[0]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]
