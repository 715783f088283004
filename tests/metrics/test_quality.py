"""Success in the top k, ID-similarity, and the quality measures, which have to tell good renders from spoilt ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("diffusers")

from unseen.diorama.world.render import render
from unseen.diorama.world.sampling import sample_scene
from unseen.metrics.identity import id_similarity, similarity
from unseen.metrics.quality import Naturalness, motion, smoothness, statistics
from unseen.metrics.success import erased, in_top_k, preserved


@pytest.fixture(scope="module")
def renders() -> np.ndarray:
    rng = np.random.default_rng(77)
    return np.stack([render(sample_scene(rng, count=1), 88_000_000 + i) for i in range(24)])


def blurred(clips: np.ndarray) -> np.ndarray:
    return np.stack([[cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in clip] for clip in clips])


def noisy(clips: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 12, clips.shape)
    return (clips + noise).clip(0, 255).astype(np.uint8)


def test_ranks_decide_what_is_in_the_top_k() -> None:
    scores = np.asarray([[[0.1, 0.9, 0.5], [0.8, 0.1, 0.8]]])
    assert in_top_k(scores, np.asarray([0]), 1).tolist() == [[False, True]]
    assert in_top_k(scores, np.asarray([2]), 2).tolist() == [[True, True]]
    assert (erased(scores, np.asarray([0])) == ~preserved(scores, np.asarray([0]))).all()
    with pytest.raises(ValueError, match="below the 3 classes"):
        in_top_k(scores, np.asarray([0]), 3)
    with pytest.raises(ValueError, match="expected scores"):
        in_top_k(scores[0], np.asarray([0]), 1)


def test_similarity_is_that_of_the_nearest_reference() -> None:
    embeddings = np.asarray([[[2.0, 0.0], [0.0, -3.0]]])
    assert similarity(embeddings, np.asarray([[1.0, 0.0], [0.0, 1.0]])).tolist() == [[1.0, 0.0]]


def test_missing_faces_are_left_out_and_not_zero() -> None:
    values = np.asarray([[0.8, 0.2], [0.6, 0.1], [0.4, 0.9]])
    faces = np.asarray([[True, False], [True, False], [False, False]])
    found = id_similarity(values, faces, ["a", "b", "c"], [0, 1, 2])
    assert found.value == pytest.approx(0.7) and found.face_present.value == pytest.approx(1 / 3)
    assert found.low <= found.value <= found.high
    nobody = id_similarity(values, np.zeros_like(faces), ["a", "b", "c"], [0, 1, 2])
    assert np.isnan(nobody.value) and nobody.face_present.value == 0


def test_noise_and_jumps_are_less_smooth_and_a_frozen_clip_does_not_move(renders: np.ndarray) -> None:
    frozen = np.repeat(renders[:, :1], renders.shape[1], axis=1)
    shuffled = renders[:, [4, 0, 8, 2, 6, 1, 5, 3, 7]]
    assert (smoothness(frozen) == 1).all() and smoothness(noisy(renders)).mean() < smoothness(renders).mean() < 1
    assert smoothness(shuffled).mean() < smoothness(renders).mean()
    assert motion(frozen).max() < 0.03 < 0.1 < motion(renders).mean()


def test_blur_and_noise_are_unnatural(renders: np.ndarray) -> None:
    rng = np.random.default_rng(78)
    good = np.concatenate([render(sample_scene(rng, count=1), 89_000_000 + i, frames=(0, 8)) for i in range(60)])
    assert statistics(good[0]).shape == (36,)
    model = Naturalness.of(good)
    plain = model.distance(renders)
    for spoilt in (blurred(renders), noisy(renders)):
        assert (model.distance(spoilt) > plain).mean() > 0.8
