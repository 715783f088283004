"""Detectors are found by name, ours and other packages', and what cannot be had is refused with what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unseen.detectors import Detector, available_detectors, from_callable, load_detector, shown
from unseen.diorama.detector.detector import load_detector as load_diorama
from unseen.diorama.world.render import render
from unseen.diorama.world.scenes import CHARACTERS, SIZE, Scene
from unseen.errors import DetectorError, FramesError

CLIP = np.random.default_rng(0).integers(0, 256, (40, 24, 32, 3), dtype=np.uint8)


def bright(frames: np.ndarray) -> np.ndarray:
    return frames.mean(axis=(1, 2, 3)) > 127.5


def install(folder: Path, code: str) -> None:
    """Lay out an installed package with entry points of every kind."""
    (folder / "thirdparty.py").write_text(code, encoding="utf-8")
    info = folder / "thirdparty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thirdparty\nVersion: 1.0\n", encoding="utf-8")
    names = ("bright", "made", "wrong", "gone")
    lines = [f"their-{name} = thirdparty:{name}" for name in names]
    (info / "entry_points.txt").write_text("\n".join(["[unseen.detectors]", *lines]), encoding="utf-8")


THEIRS = """
from unseen.detectors import from_callable

def bright(frames):
    return frames.mean(axis=(1, 2, 3)) > 127.5

def made(*, threshold=0.5):
    return from_callable("made", bright, threshold=threshold, licence="MIT")

def wrong():
    return 3
"""


def test_detectors_of_other_packages_are_found_by_their_entry_points(tmp_path, monkeypatch):
    install(tmp_path, THEIRS)
    monkeypatch.syspath_prepend(tmp_path)
    assert {"their-bright", "their-made", "nudenet", "zero-shot"} <= set(available_detectors())
    plain, made = load_detector("their-bright"), load_detector("their-made:0.25")
    assert np.array_equal(shown(plain, CLIP)[:, 0], bright(CLIP))
    assert (plain.card.classes, made.card.classes) == (("their-bright",), ("made",))
    assert made.card.thresholds == {"made": 0.25}
    with pytest.raises(DetectorError, match="gave a int"):
        load_detector("their-wrong")
    with pytest.raises(DetectorError, match="entered as thirdparty:gone, which does not load"):
        load_detector("their-gone")


def test_unknown_names_and_options_say_which_there_are():
    with pytest.raises(DetectorError, match=r"no detector 'nudnet'; there are classifier, .*nudenet.*zero-shot"):
        load_detector("nudnet")
    with pytest.raises(DetectorError, match="does not take concept; it takes threshold"):
        load_detector("nsfw", concept="a church")
    with pytest.raises(DetectorError, match="needs concept and model"):
        load_detector("judge")
    with pytest.raises(DetectorError, match=r"threshold after the colon, as in nsfw:0\.2, got 'low'"):
        load_detector("nsfw:low")
    with pytest.raises(DetectorError, match=r"one threshold, got 'nsfw:0.5' and threshold=0\.2"):
        load_detector("nsfw:0.5", threshold=0.2)
    for name in ("nsfw:1.5", "nsfw:-0.1", "nsfw:nan"):
        with pytest.raises(DetectorError, match="threshold from 0 to 1"):
            load_detector(name)


def test_a_function_of_frames_is_a_detector_and_sees_a_long_video_in_pieces():
    sizes: list[int] = []

    def noted(frames: np.ndarray) -> np.ndarray:
        sizes.append(len(frames))
        return bright(frames)

    detector = from_callable("bright", noted, version="1")
    answer = detector(CLIP)
    assert isinstance(detector, Detector)
    assert answer.shape == (40, 1) and answer.dtype == np.float32
    assert np.array_equal(answer[:, 0] == 1, bright(CLIP))
    assert sum(sizes) == 40 and max(sizes) <= detector.batch_size
    assert detector(CLIP[:0]).shape == (0, 1)


@pytest.mark.parametrize(
    "answer",
    [
        lambda f: np.full(len(f), 1.5),
        lambda f: np.zeros((len(f), 2)),
        lambda f: np.zeros(3),
        lambda f: ["yes"] * len(f),
    ],
)
def test_answers_that_are_no_probabilities_are_refused(answer):
    with pytest.raises(DetectorError, match="must answer 16 frames with bool or probabilities"):
        from_callable("odd", answer)(CLIP)


def test_undefined_is_kept_apart_from_absent():
    half = from_callable("half", lambda frames: np.where(np.arange(len(frames)) % 2, np.nan, 1.0))
    assert np.isnan(half(CLIP)[1, 0])
    assert shown(half, CLIP).sum() == 20


@pytest.mark.parametrize(
    "frames", [CLIP[0], CLIP / 255, CLIP[..., :1], CLIP[:, :0], CLIP[None], CLIP.transpose(0, 3, 1, 2), [1, 2]]
)
def test_other_shapes_and_types_of_frames_are_refused(frames):
    with pytest.raises(FramesError, match=r"expected frames.* uint8 \[T, H, W, 3\]"):
        from_callable("bright", bright)(frames)


@pytest.mark.parametrize("which", ["a", pytest.param("b", marks=pytest.mark.slow)])
def test_dioramas_detectors_say_behind_the_protocol_what_they_say_themselves(which):
    if f"diorama-{which}" not in available_detectors():
        pytest.skip("the installed unseen is older than its entry points: pip install -e .")
    detector, own = load_detector(f"diorama-{which}"), load_diorama(which)
    subjects = [("french_horn",), ("church",), ("golf_ball", "tench"), CHARACTERS[:1]]
    scenes = [Scene(each, "snow", "left", "inkwell") for each in subjects]
    frames = np.concatenate([render(scene, seed, frames=(0, 4)) for seed, scene in enumerate(scenes)])
    found = shown(detector, frames)
    for column, name in enumerate(detector.card.classes):
        assert np.array_equal(found[:, column], own.shows(frames, name)), name
    assert found[:, detector.card.classes.index("french_horn")].any()
    assert detector.card.floor["church"] == own.floor("church")
    with pytest.raises(FramesError, match=f"{SIZE} × {SIZE}"):
        detector(CLIP)
