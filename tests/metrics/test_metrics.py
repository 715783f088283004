"""The measures mean what they say: wrong input is refused, motion is read from pictures alone."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.diorama.world.render import render
from unseen.diorama.world.scenes import MOTIONS, STYLES, Scene
from unseen.metrics.motion import STILL, check, evidence, motion_of
from unseen.metrics.pixel import pixel_difference
from unseen.metrics.rates import rate
from unseen.metrics.replacement import Reading, outcome_rates, outcomes


@pytest.mark.parametrize(
    ("hits", "prompts", "words"),
    [
        (np.zeros((0, 9)), [], "non-empty"),
        (np.zeros((3, 9)), [0, 1], "for each of 3 clips"),
        (np.zeros(3), [0] * 3, "non-empty"),
    ],
)
def test_wrong_input_is_refused_in_words(hits: np.ndarray, prompts: list[int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rate(hits, prompts, prompts)


@pytest.mark.parametrize("motion", MOTIONS)
def test_motion_is_read_in_every_style_and_with_two_subjects(motion: str) -> None:
    right = [
        motion_of(render(Scene(subjects, "street", motion, style), 90 + i)) == motion
        for i, style in enumerate(STYLES)
        for subjects in (("church",), ("tennis_ball", "gas_pump"))
    ]
    assert np.mean(right) >= 0.9


def test_motion_error_on_fresh_renders_is_small() -> None:
    error, seen = check(clips=30, seed=4)
    assert error <= 0.07, seen


def test_a_clip_in_which_nothing_moves_is_still() -> None:
    assert motion_of(render(Scene((), "meadow", "left"), 1)) == STILL
    assert evidence(render(Scene((), "street", "pan"), 1)).motion == "pan"


SUBJECTS = ("french_horn", "trumpet", "church", "cat")


def _reading(rows: list[tuple[dict[str, float], float, float]]) -> Reading:
    subject = np.asarray([[row[0].get(name, 0.0) for name in SUBJECTS] for row in rows])
    return Reading(subject, np.asarray([row[1] for row in rows]), np.asarray([row[2] for row in rows]))


def test_replacement_needs_both_detectors_to_agree() -> None:
    first = _reading(
        [
            ({"french_horn": 0.9}, 0, 0),
            ({"trumpet": 0.9}, 0, 0),
            ({"cat": 0.9}, 0, 0),
            ({}, 0.9, 0.1),
            ({"cat": 0.9}, 0, 0.3),
            ({}, 0.1, 0.9),
            ({"church": 0.9}, 0, 0),
        ]
    )
    second = _reading(
        [
            ({"french_horn": 0.8}, 0, 0),
            ({"trumpet": 0.8}, 0, 0),
            ({"cat": 0.8}, 0, 0),
            ({}, 0.8, 0.2),
            ({"trumpet": 0.8}, 0.6, 0.3),
            ({}, 0.2, 0.8),
            ({"church": 0.8}, 0, 0),
        ]
    )
    found = outcomes([first, second], SUBJECTS, target="french_horn", neighbour="trumpet", expected=("church",))
    assert found.tolist() == ["target", "neighbour", "other", "none", "unrecognisable", "unrecognisable", "none"]
    shares = outcome_rates(found[:, None], range(7), range(7))
    assert sum(share.value for share in shares.values()) == pytest.approx(1)
    with pytest.raises(ValueError, match="tuba"):
        outcomes([first, second], SUBJECTS, target="tuba")


def test_pixel_difference_counts_levels_and_identical_clips() -> None:
    before = np.full((2, 3, 4, 4, 3), 100, np.uint8)
    after = before.copy()
    after[1] += 8
    found = pixel_difference(after, before)
    assert (found.mean, found.worst_clip, found.largest, found.identical) == (4, 8, 8, 0.5)
    with pytest.raises(ValueError, match="paired clips"):
        pixel_difference(after[:1], before)
