"""The measures mean what they say: intervals cover, pairs cancel, motion is read from pictures alone."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.diorama.world.render import render
from unseen.diorama.world.scenes import MOTIONS, STYLES, Scene
from unseen.metrics.motion import STILL, check, evidence, motion_of
from unseen.metrics.pixel import pixel_difference
from unseen.metrics.rates import Rate, bootstrap_weights, rate, ratio
from unseen.metrics.replacement import Reading, outcome_rates, outcomes


def _crossed(rng: np.random.Generator, prompts: int = 20, seeds: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clips whose probability depends on the prompt and on the seed; the expectation is one half."""
    p, s = np.divmod(np.arange(prompts * seeds), seeds)
    logit = rng.normal(0, 1.0, prompts)[p] + rng.normal(0, 0.7, seeds)[s]
    share = 1 / (1 + np.exp(-logit))
    return rng.random((len(p), 9)) < share[:, None], p, s


def test_interval_covers_the_truth_about_as_often_as_it_promises() -> None:
    rng = np.random.default_rng(0)
    covered, covered_by_clips, runs = 0, 0, 120
    for _ in range(runs):
        hits, prompts, seeds = _crossed(rng)
        found = rate(hits, prompts, seeds, draws=400)
        covered += found.low <= 0.5 <= found.high
        naive = rate(hits, np.arange(len(hits)), np.arange(len(hits)), draws=400)
        covered_by_clips += naive.low <= 0.5 <= naive.high
    assert covered / runs >= 0.88
    assert covered_by_clips / runs < 0.75, "resampling clips alone is overconfident where prompts and seeds matter"


def test_clips_stay_whole_and_a_nested_seed_adds_no_variation() -> None:
    prompts = np.repeat(np.arange(10), 3)
    assert (bootstrap_weights(prompts, np.arange(30), draws=50).reshape(50, 10, 3).std(axis=2) == 0).all()
    crossed = bootstrap_weights(prompts, np.tile(np.arange(3), 10), draws=50)
    assert (crossed.reshape(50, 10, 3).std(axis=2) > 0).any()
    by_seed = bootstrap_weights(np.arange(30), prompts, draws=50)
    assert (by_seed.reshape(50, 10, 3).std(axis=2) == 0).all()


def test_more_frames_of_the_same_clips_do_not_narrow_the_interval() -> None:
    hits, prompts, seeds = _crossed(np.random.default_rng(1))
    whole = hits[:, :1].repeat(9, axis=1)
    once, nine = rate(hits[:, :1], prompts, seeds), rate(whole, prompts, seeds)
    assert (once.low, once.high) == (nine.low, nine.high)


def test_video_rate_counts_a_video_with_a_single_frame() -> None:
    hits = np.zeros((4, 9), bool)
    hits[0, 3] = True
    assert rate(hits, range(4), range(4)).value == pytest.approx(1 / 36)
    assert rate(hits, range(4), range(4), unit="videos").value == 0.25
    assert rate(hits, range(4), range(4), unit="videos", at_least=0.5).value == 0


def test_a_rate_of_zero_still_has_an_upper_bound() -> None:
    none = rate(np.zeros((30, 9), bool), range(30), range(30), floor=0.001)
    assert none.low == 0 and 0.09 < none.high < 0.14
    assert "30 clips, 270 frames" in str(none) and "floor 0.10 %" in str(none)
    assert Rate(**none.to_dict()) == none


def test_paired_ratio_cancels_what_both_sides_share() -> None:
    rng = np.random.default_rng(2)
    before, prompts, seeds = _crossed(rng)
    same = ratio(before, before, prompts, seeds)
    assert (same.value, same.low, same.high) == (1, 1, 1)
    halved = before & (rng.random(before.shape) < 0.5)
    found, alone = ratio(halved, before, prompts, seeds), rate(halved, prompts, seeds)
    assert found.low < 0.5 < found.high
    assert (found.high - found.low) / found.value < (alone.high - alone.low) / alone.value


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
    error, seen = check(clips=60, seed=4)
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
