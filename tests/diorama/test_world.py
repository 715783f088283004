"""The drawn world: every subject is drawn and moves as the scene says, and some combinations are held out."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from unseen.diorama.processes import in_processes
from unseen.diorama.stored import to_signed, to_uint8
from unseen.diorama.training.clips import DATA_SEED, compose_clips, plan_clips, training_scene
from unseen.diorama.training.layers import LAYER_SEED, draw_layers, load_layers
from unseen.diorama.training.muon import Muon, orthogonalised
from unseen.diorama.world import render as rendering
from unseen.diorama.world import scenes
from unseen.diorama.world.render import place, render
from unseen.diorama.world.sampling import HELD_OUT_SHARE, is_held_out, sample_scene
from unseen.diorama.world.scenes import ATTRIBUTE_OF, BACKGROUNDS, MOTIONS, SIZE, STYLES, SUBJECTS, Scene
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
        scene = training_scene(index)
        assert not any(is_held_out(s, scene.background, scene.motion, scene.style) for s in scene.subjects)
    rng = np.random.default_rng(0)
    for _ in range(50):
        scene = sample_scene(rng, count=1, held_out=True)
        assert is_held_out(scene.subjects[0], scene.background, scene.motion, scene.style)


def test_training_scenes_contain_empty_ones_rows_stacks_and_counts():
    made = [training_scene(index) for index in range(1500)]
    different = np.bincount([len(set(scene.subjects)) for scene in made], minlength=4) / 1500
    assert different == pytest.approx([0.09, 0.47, 0.38, 0.06], abs=0.04)
    assert np.mean([scene.stacked for scene in made]) == pytest.approx(0.05, abs=0.02)
    counted = [scene for scene in made if len(scene.subjects) > len(set(scene.subjects))]
    assert len(counted) / 1500 == pytest.approx(0.07, abs=0.02)
    assert {len(scene.subjects) for scene in counted} == {2, 3}
    assert not any(set(scene.subjects) & {*scenes.CHARACTERS, scenes.STRANGER} for scene in counted)


def test_a_scene_of_the_kind_asked_for_is_sampled_and_nonsense_refused():
    rng = np.random.default_rng(3)
    assert sample_scene(rng, subject="cat").subjects == ("cat",)
    stack = sample_scene(rng, subject="cat", stacked=True)
    assert stack.stacked and len(stack.subjects) == 2 and "cat" in stack.subjects
    assert sample_scene(rng, subject="cat", repeat=3).subjects == ("cat",) * 3
    assert len(set(sample_scene(rng, count=3).subjects)) == 3
    for nonsense in ({"count": 4}, {"count": 3, "stacked": True}, {"subject": "person", "repeat": 2}):
        with pytest.raises(ValueError):
            sample_scene(rng, **nonsense)


def where(scene: Scene) -> list[np.ndarray]:
    """The centres, `[row, column]` from −1 to 1, of what subjects add to a scene, in equal parts of the frame."""
    whole = render(scene, 7, frames=(4,))[0].astype(float)
    empty = render(replace(scene, subjects=(), stacked=False), 7, frames=(4,))[0].astype(float)
    rows, columns = np.nonzero(np.abs(whole - empty).max(-1) > 24)
    points = np.stack([rows, columns], 1) / (SIZE / 2) - 1
    axis = 0 if scene.stacked else 1
    edges = np.linspace(-1, 1, len(scene.subjects) + 1)
    inside = [(points[:, axis] >= a) & (points[:, axis] < b) for a, b in pairwise(edges)]
    return [points[mine].mean(0) for mine in inside]


@pytest.mark.parametrize("subjects", [("bus", "church"), ("bus", "church", "owl"), ("teapot",) * 2, ("teapot",) * 3])
def test_subjects_stand_in_a_row(subjects):
    found = where(Scene(subjects, "snow", "zoom"))
    expected = np.linspace(-0.65, 0.65, 3) if len(subjects) == 3 else np.asarray([-0.49, 0.49])
    assert np.abs([x for _, x in found] - expected).max() < 0.2
    assert np.abs([y for y, _ in found]).max() < 0.25


def test_stacked_subjects_stand_one_above_the_other():
    upper, lower = where(Scene(("bus", "church"), "snow", "zoom", stacked=True))
    assert upper[0] < -0.3 and lower[0] > 0.3 and max(abs(upper[1]), abs(lower[1])) < 0.25


def test_clips_composed_of_layers_are_what_rendering_these_layers_gives(tmp_path: Path, monkeypatch):
    draw_layers(1, 1, tmp_path)
    layers, count = load_layers(torch.device("cpu"), tmp_path), 24
    composed = to_uint8(compose_clips(layers, plan_clips(0, count, layers.rows), np.arange(count)))
    for name in ("draw_sprite", "draw_stage"):  # of the layers' individuals
        real = getattr(rendering, name)

        def of_layers(what: str, seed: int, *rest: Any, real: Any = real) -> np.ndarray:
            return real(what, LAYER_SEED + seed % (4 if what == scenes.STRANGER else 1), *rest)

        monkeypatch.setattr(rendering, name, of_layers)
    kinds = set()
    for index in (*range(9), 22):  # the last one is empty
        rng = np.random.default_rng(DATA_SEED + index)
        scene = sample_scene(rng)
        kinds.add(len(scene.subjects))
        monkeypatch.setattr(rendering, "place", lambda scene, _, settings, rng=rng: place(scene, rng, settings))
        assert np.abs(composed[index].astype(int) - render(scene, 0)).max() <= 1
    assert kinds >= {0, 1, 2}
    some = to_uint8(compose_clips(layers, plan_clips(0, count, layers.rows), np.asarray([5, 3]), frames=[8, 2]))
    assert np.array_equal(some, composed[[5, 3]][:, [8, 2]])


def test_neighbours_and_namesakes_are_others_than_their_objects():
    for near in (scenes.NEIGHBOUR_OF, scenes.NAMESAKE_OF):
        assert set(near) == set(scenes.OBJECTS)
    groups = (scenes.OBJECTS, scenes.NEIGHBOURS, scenes.NAMESAKES, scenes.OTHERS, scenes.CHARACTERS, scenes.CARRIERS)
    assert len(SUBJECTS) == len(set(SUBJECTS)) == sum(map(len, groups)) + 1


def test_every_attribute_has_carriers():
    assert scenes.CARRIERS_OF.keys() == set(scenes.ATTRIBUTES)
    assert sorted(c for carriers in scenes.CARRIERS_OF.values() for c in carriers) == sorted(scenes.CARRIERS)


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


def test_work_in_processes_comes_back_in_order():
    # this process has used OpenCV and torch by now, so workers forked from it might never end
    jobs = [(i, i + 1) for i in range(5)]
    assert list(in_processes(pow, jobs, 2)) == list(in_processes(pow, jobs, 1)) == [i ** (i + 1) for i in range(5)]
