"""The face detector: its networks compute what face-api itself computes, and a missing face is undefined."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from unseen.detectors import load_detector, shown
from unseen.detectors.face_networks import embed_faces, find_faces, find_landmarks
from unseen.detectors.face_reader import WEIGHTS, face_reader
from unseen.detectors.photographs import WITH_FACES, photograph
from unseen.detectors.tfjs import read_tfjs
from unseen.errors import DetectorError

with_weights = pytest.mark.skipif(
    not os.environ.get(WEIGHTS) or importlib.util.find_spec("skimage") is None,
    reason=f"needs scikit-image and face-api's weights: set {WEIGHTS}, see src/unseen/detectors/face_reader.py",
)


def pixels(top: int, left: int, side: int) -> torch.Tensor:
    crop = photograph("astronaut")[top : top + side, left : left + side]
    return torch.from_numpy(crop.copy()).permute(2, 0, 1).float()[None]


@with_weights
def test_the_networks_compute_what_face_api_computes():
    # What face-api 1.7.15 gives in Node for the same pixels (TinyFaceDetector, FaceLandmark68Net, FaceRecognitionNet).
    boxes, landmarks, identity = face_reader().networks
    sure, box = find_faces(boxes, pixels(0, 0, 416))
    assert sure.item() == pytest.approx(0.92595866, abs=1e-4)
    assert box[0].tolist() == pytest.approx([0.38144694, 0.16542306, 0.68686867, 0.45763282], abs=1e-4)
    points = find_landmarks(landmarks, pixels(70, 170, 112))[0, :3].flatten()
    expected = [0.05719817, 0.26460433, 0.06134700, 0.37777361, 0.07363307, 0.48694319]
    assert points.tolist() == pytest.approx(expected, abs=1e-4)
    embedding = embed_faces(identity, pixels(50, 150, 150))[0, :8]
    expected = [-0.05323229, 0.06802013, 0.00526691, 0.00900737, -0.17313038, -0.00945590, -0.00682237, -0.16724315]
    assert embedding.tolist() == pytest.approx(expected, abs=1e-4)


@with_weights
def test_faces_are_found_where_they_are_and_their_absence_is_undefined():
    detector = load_detector("face", persons={"astronaut": photograph("astronaut")[None]})
    for name in ("astronaut", "grace_hopper", "chelsea", "coffee", "rocket"):
        found, match = detector(photograph(name)[None])[0]
        assert (found >= 0.5) == (name in WITH_FACES)
        assert np.isnan(match) == (name not in WITH_FACES)
    frames = np.stack([photograph("astronaut"), np.zeros_like(photograph("astronaut"))])
    assert shown(detector, frames).tolist() == [[True, True], [False, False]]


@with_weights
def test_a_person_is_known_again_and_another_is_not():
    portrait = photograph("astronaut")
    detector = load_detector("face", persons={"astronaut": portrait[None]})

    def score(frame: np.ndarray) -> float:
        return float(detector(np.ascontiguousarray(frame)[None])[0, 1])

    changed = [portrait[:, ::-1], portrait[20:400, 60:440], (portrait * 0.7).astype(np.uint8), portrait[::2, ::2]]
    assert score(portrait) == pytest.approx(1, abs=1e-3)
    assert min(score(frame) for frame in changed) > 0.5
    assert max(score(photograph("grace_hopper")), score(photograph("camera"))) < 0.5


@with_weights
def test_the_reader_says_the_same_of_frames_alone_and_together():
    frames = np.stack([photograph("astronaut")] * 9 + [photograph("camera")] * 9)
    found, embeddings = face_reader().read(frames)
    alone, embedding = face_reader().read(frames[-1:])
    assert found[-1] == pytest.approx(alone[0], abs=1e-4)
    assert np.allclose(embeddings[-1], embedding[0], atol=1e-4)


@with_weights
def test_a_person_without_a_face_on_a_photograph_is_refused():
    with pytest.raises(DetectorError, match=r"face on each photograph of 'cat'.*none is found on \[0\]"):
        load_detector("face", persons={"cat": photograph("chelsea")[None]})


def test_without_weights_it_says_where_to_get_them(monkeypatch, tmp_path):
    monkeypatch.delenv(WEIGHTS, raising=False)
    with pytest.raises(DetectorError, match="npm pack @vladmandic/face-api"):
        load_detector("face")
    with pytest.raises(DetectorError, match="tiny_face_detector_model-weights_manifest"):
        load_detector("face", weights=tmp_path)


def write_weights(folder: Path, *, size: int) -> Path:
    entries = [
        {"name": "a", "shape": [2, 2], "dtype": "float32"},
        {"name": "b", "shape": [3], "dtype": "float32", "quantization": {"dtype": "uint8", "scale": 0.5, "min": -1.0}},
    ]
    data = np.asarray([1, 2, 3, 4], np.float32).tobytes() + bytes([0, 2, 255])
    (folder / "w.bin").write_bytes(data[:size])
    manifest = folder / "manifest.json"
    manifest.write_text(json.dumps([{"paths": ["w.bin"], "weights": entries}]), encoding="utf-8")
    return manifest


def test_rounded_weights_are_read_with_their_scale(tmp_path):
    weights = read_tfjs(write_weights(tmp_path, size=19))
    assert weights["a"].tolist() == [[1, 2], [3, 4]]
    assert weights["b"].tolist() == [-1, 0, 126.5]


@pytest.mark.parametrize("size", [0, 16, 18])
def test_damaged_weights_are_refused(tmp_path, size):
    with pytest.raises(DetectorError, match=r"expected TensorFlow\.js weights at .*could not be read"):
        read_tfjs(write_weights(tmp_path, size=size))
