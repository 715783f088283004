"""A report says by its title what came out, and writes before and after on its clips."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("diffusers")

from unseen.bench.demo import EMBEDDED, GLOSSARY, outcome, paragraph, title
from unseen.bench.views.report import PairGroup, Report, ShownPair
from unseen.bench.views.tables import Measure


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (0.99, (0.0, 0.0, 0.03), "erased"),
        (0.99, (0.0, 0.0, 0.3), "probably erased"),
        (0.806, (0.5, 0.4, 0.6), "partly erased"),
        (0.9, (0.2, 0.1, 0.3), "mostly erased"),
        (0.9, (0.8, 0.7, 0.9), "not erased"),
        (0.2, (0.0, 0.0, 0.1), "not to be judged"),
        (float("nan"), (0.0, 0.0, 0.1), "not to be judged"),
    ],
)
def test_the_outcome_goes_by_rates_and_intervals(before, after, expected) -> None:
    assert outcome(Measure(before, before, before), Measure(*after)) == expected


def test_a_failure_is_not_called_erased() -> None:
    before, after = Measure(0.806, 0.7, 0.9), Measure(0.5, 0.4, 0.6)
    assert title("bare", before, after) == "bare: partly erased (80.6 → 50 % of frames)"
    said = paragraph("bare", 48, before, after, {"neighbours": Measure(0.97, 0.9, 1.0), "other subjects": None})
    assert "do not rely on this eraser" in said and "Neighbours keep 97 %" in said and "48 clips" in said


def pair(shade: int, side: int = 96) -> ShownPair:
    clip = np.full((9, side, side, 3), shade, np.uint8)
    clip[:, :8, :8] = np.arange(0, 225, 25, dtype=np.uint8)[:, None, None, None]  # something moves, far from the words
    return ShownPair("a prompt", clip, clip.copy())


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_before_and_after_are_written_on_the_clips(shade: int) -> None:
    picture = Image.open(io.BytesIO(base64.b64decode(pair(shade).source.partition(",")[2])))
    assert picture.n_frames == 9, "both halves are one picture and play in step"
    picture.seek(4)
    frame = np.asarray(picture.convert("L")).astype(int)
    wide = frame.shape[1] // 2
    feet = [frame[-frame.shape[0] // 6 :, start : start + wide - 8] for start in (0, wide + 4)]
    for foot in feet:
        assert (np.abs(foot - shade) > 100).mean() > 0.005, "white or black letters show on any ground"
    assert np.abs(feet[0] - feet[1]).max() > 100, "the two words differ"


def test_the_page_starts_with_the_verdict_and_ends_with_how_it_was_made() -> None:
    page = Report(
        title="French horn: erased (99 → 0 % of frames)",
        lead="The concept is gone from these clips.",
        groups=[PairGroup("Prompts that ask for it", "note", [pair(80)])],
        tables=[],
        rates=[("French horn", Measure(0.9, 0.8, 1.0), Measure(0.0, 0.0, 0.03))],
        facts=[("command", "unseen demo"), ("version", "unseen 0.1.0, 2026-01-01")],
        model=EMBEDDED,
        glossary=GLOSSARY,
    ).to_html()
    words = ["The concept is gone", "not show how well it works on your model", "Prompts that ask for it",
             "How often it is shown", "What the words mean", "unseen demo", "unseen 0.1.0"]  # fmt: skip
    places = [page.index(word) for word in words]
    assert places == sorted(places)
    assert 'name="viewport"' in page and re.search(r"@media \(max-width: 40rem\)", page)
