"""Measures over videos of any length: generative rates, attacks, streaming measures, the Fréchet distance."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from unseen.metrics import quality
from unseen.metrics.frechet import frechet_distance
from unseen.metrics.generative import FrameCount, attack_success, count_frames, generative_rate, mean_of
from unseen.metrics.rates import rate
from unseen.metrics.streaming import FLOW_SIDE, MOST_PAIRS, VIDEO_METRICS, Motion
from unseen.metrics.success import erasure_success, preservation_success


def test_undefined_frames_are_neither_hits_nor_misses() -> None:
    found = count_frames(np.asarray([0.9, np.nan, 0.2, 0.7], np.float32), threshold=0.7)
    assert (found.hits, found.frames, found.undefined) == (2, 4, 1)
    assert found.share == pytest.approx(2 / 3) and found.highest == pytest.approx(0.9)
    nothing = count_frames(np.full(3, np.nan), threshold=0.5)
    assert np.isnan(nothing.share) and np.isnan(nothing.highest) and nothing.undefined == 3
    for wrong in (np.zeros((2, 2)), np.asarray([1.5]), np.asarray([-0.1])):
        with pytest.raises(ValueError, match="between 0 and 1"):
            count_frames(wrong, 0.5)


def test_videos_count_the_same_however_long() -> None:
    counts = [FrameCount(10, 10, 0, 0.9), FrameCount(0, 90, 0, 0.1), FrameCount(0, 5, 5, float("nan"))]
    found = generative_rate(counts, range(3), range(3), floor=0.02)
    assert found is not None
    assert found.frames.value == 0.5 and found.videos.value == 0.5 and found.undefined_videos == 1
    assert (found.frames.clips, found.frames.frames, found.frames.floor) == (2, 100, 0.02)
    assert generative_rate(counts[2:], [0], [0]) is None
    with pytest.raises(ValueError, match="each of 3"):
        generative_rate(counts, [0], [0, 1, 2])


def test_videos_of_one_length_have_the_rate_of_their_frames() -> None:
    hits = np.random.default_rng(0).random((30, 8)) < 0.3
    prompts = np.arange(30) // 3
    counts = [FrameCount(int(row.sum()), 8, 0, 1.0) for row in hits]
    found = generative_rate(counts, prompts, range(30), at_least=0.25)
    assert found is not None
    assert found.frames == rate(hits, prompts, range(30))
    assert found.videos == rate(hits, prompts, range(30), unit="videos", at_least=0.25)


def test_a_mean_leaves_out_what_is_undefined() -> None:
    found = mean_of([1.0, 3.0, float("nan")], ["a", "b", "c"], [0, 1, 2])
    assert found is not None and (found.value, found.clips) == (2, 2)
    # Student's t with one degree of freedom, 12.706, times the standard error √2/√2
    assert (found.low, found.high) == pytest.approx((2 - 12.706, 2 + 12.706), abs=1e-3)
    same = mean_of([1.0, 3.0] * 5, ["a"] * 10, range(10))
    assert same is not None and same.value == 2
    assert np.isnan([same.low, same.high]).all(), "one prompt says nothing of others"
    assert mean_of([float("nan")], ["a"], [0]) is None


def test_attack_success_before_after_and_paired() -> None:
    before = np.zeros((4, 5), bool)
    before[:3, 0] = True
    after = np.zeros((4, 5), bool)
    after[0, 2] = True
    found = attack_success(before, after, range(4), range(4))
    assert (found.before.value, found.after.value) == (0.75, 0.25) and found.ratio.value == pytest.approx(1 / 3)


def test_erasure_and_preservation_success_have_intervals() -> None:
    scores = np.asarray([[[0.1, 0.9, 0.5], [0.8, 0.1, 0.2]], [[0.1, 0.9, 0.5], [0.3, 0.9, 0.5]]])
    own = erasure_success(scores, np.asarray([0, 0]), range(2), range(2))
    assert own.value == 0.75 and own.low <= 0.75 <= own.high
    others = preservation_success(scores, np.asarray([1, 1]), range(2), range(2))
    assert others.value == 0.75
    assert preservation_success(scores, np.asarray([2, 2]), range(2), range(2), k=2).value == 1


def clip(frames: int, height: int = 40, width: int = 56, step: int = 2) -> np.ndarray:
    picture = np.random.default_rng(3).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return np.stack([np.roll(picture, step * i, axis=1) for i in range(frames)])


def measured(name: str, frames: np.ndarray, chunk: int) -> float:
    running = VIDEO_METRICS[name].start()
    for start in range(0, len(frames), chunk):
        running.add(frames[start : start + chunk])
    return running.value()


@pytest.mark.parametrize("name", list(VIDEO_METRICS))
def test_chunks_do_not_change_a_measure(name: str) -> None:
    frames = clip(41)
    whole = measured(name, frames, 41)
    assert np.isfinite(whole) and all(measured(name, frames, chunk) == whole for chunk in (1, 2, 7, 40))


def test_measures_have_the_values_that_follow_on_paper() -> None:
    levels = np.asarray([0, 51, 51, 0], np.uint8)[:, None, None, None] + np.zeros((4, 3, 5, 3), np.uint8)
    assert measured("flicker", levels, 2) == pytest.approx((51 + 0 + 51) / 3 / 255)
    frames = clip(9)
    assert measured("smoothness", frames, 4) == pytest.approx(float(quality.smoothness(frames[None])[0]))
    frozen = np.repeat(frames[:1], 9, axis=0)
    assert (measured("flicker", frozen, 4), measured("smoothness", frozen, 4)) == (0, 1)
    assert measured("motion", frozen, 4) < 0.05 < measured("motion", frames, 4)


@pytest.mark.parametrize(("name", "fewest"), [("flicker", 2), ("smoothness", 3), ("motion", 2)])
def test_too_few_frames_are_undefined(name: str, fewest: int) -> None:
    assert np.isnan(measured(name, clip(fewest - 1), 1)) and np.isfinite(measured(name, clip(fewest), 1))


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (7, 501)])
def test_odd_and_tiny_sizes_are_measured(shape: tuple[int, int]) -> None:
    frames = clip(3, *shape)
    assert all(np.isfinite(measured(name, frames, 2)) for name in VIDEO_METRICS)


def test_motion_holds_a_bounded_number_of_evenly_spaced_pairs() -> None:
    running = Motion()
    for number in range(500):
        running.add(np.full((1, 300, 400, 3), number % 256, np.uint8))
    levels = [int(pair[0, 0, 0, 0]) for pair in running._pairs]
    assert MOST_PAIRS // 2 < len(levels) <= MOST_PAIRS and running._pairs[0].shape[2] == FLOW_SIDE
    assert {(b - a) % 256 for a, b in itertools.pairwise(levels)} == {running._stride}


def test_the_frechet_distance_of_gaussians_is_the_formula() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0, 1, (40_000, 3)), rng.normal((3, 0, 0), 2, (40_000, 3))
    # per axis (σ₁ − σ₂)² = 1, and 9 between the means
    assert frechet_distance(first, second) == pytest.approx(12, rel=0.03)
    assert frechet_distance(first, first) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(second, first) == pytest.approx(frechet_distance(first, second))
    for wrong in (first[:1], first[:, :2], np.full((4, 3), np.nan)):
        with pytest.raises(ValueError, match="expected"):
            frechet_distance(first, wrong)
