"""Intervals cover as often as they promise, behave at 0 and 1, and know which clips belong together."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

from unseen.metrics import intervals
from unseen.metrics.intervals import Levels, difference, excess_ratio, holm, kept_share, mean, paired_p_value, share
from unseen.metrics.rates import Rate, disagreement, excess, paired, rate, ratio

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "coverage.py"


@pytest.fixture(scope="module")
def simulated() -> ModuleType:
    """`benchmarks/coverage.py`, under a name that hides no package."""
    spec = importlib.util.spec_from_file_location("interval_coverage", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_rates_are_covered_where_resampling_fails(simulated: ModuleType) -> None:
    chosen = [simulated.DESIGNS[place] for place in (0, 3, 5, 6)]
    rows = list(simulated.rate_rows(500, (0.001, 0.05, 0.5, 0.99), (5, 30, 300), chosen))
    error = 2.5 * np.sqrt(0.95 * 0.05 / 500)
    assert [row for row in rows if row.covered < 0.95 - error] == []
    assert [row for row in rows if row.shown >= 10 and row.covered > 0.97 + error] == []
    assert np.mean([row.resampled < 0.9 for row in rows]) > 0.4, "the interval that this one replaces"
    no_seeds = [row for row in rows if row.design != chosen[-1].label]
    assert all(row.width <= row.scale for row in no_seeds), "more clips per prompt never cost anything"


def test_kept_shares_differences_and_ratios_are_covered(simulated: ModuleType) -> None:
    rows = list(simulated.paired_rows(400, (5, 30), (0.0, 0.95)))
    assert {row.what for row in rows} == {"kept", "difference", "ratio above the floor"}
    assert [row for row in rows if row.covered < 0.95 - 2.5 * np.sqrt(0.95 * 0.05 / 400)] == []
    assert min(row.resampled for row in rows) < 0.8


def test_equal_methods_are_rarely_said_to_differ_and_unequal_ones_often(simulated: ModuleType) -> None:
    alarms = [row.alarms for row in simulated.test_rows(400, (0.3, 0.95), (5, 30), (0.5,))]
    assert max(alarms) <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 400)
    rng = np.random.default_rng(0)
    one, other = simulated.PAIRED.draw(rng, (0.1, 0.5), 30, 100)
    levels = simulated.PAIRED.levels(30)
    assert np.mean([paired_p_value(a, b, levels) < 0.05 for a, b in zip(one, other, strict=True)]) > 0.9


@pytest.mark.parametrize(("prompts", "clips"), [(12, 2), (24, 1), (150, 2), (5, 8)])
def test_none_and_one_of_n_are_neighbours_and_every_step_is_monotone(prompts: int, clips: int) -> None:
    count = prompts * clips
    hits = (np.arange(count) < np.arange(count + 1)[:, None]).astype(float)
    ends = share(hits, Levels.of(np.repeat(np.arange(prompts), clips)))
    assert (np.diff(ends.low) > -2e-3).all() and (np.diff(ends.high) > -2e-3).all()
    assert np.allclose(ends.low, 1 - ends.high[::-1]), "a rate and its complement say the same"
    assert ends.low[0] == 0 and ends.high[-1] == 1 and ends.low[-1] < 1
    assert 0 < ends.low[1] < ends.high[0] < ends.high[1] < ends.high[0] + 2.2 / prompts


def test_independent_clips_get_an_interval_close_to_mid_p() -> None:
    for count in (12, 60, 300):
        hits = np.arange(count + 1)
        low, high = intervals.beta_ends(hits.astype(float), float(count))
        for x in (1, count // 3, count // 2):
            above = stats.binom.sf(x, count, low[x]) + 0.5 * stats.binom.pmf(x, count, low[x])
            below = stats.binom.cdf(x - 1, count, high[x]) + 0.5 * stats.binom.pmf(x, count, high[x])
            assert 0.018 < above < 0.032 and 0.018 < below < 0.032


def test_a_prompt_counts_once_where_its_clips_are_all_the_same() -> None:
    shown = np.arange(20) < 7
    once = share(shown.astype(float), Levels.of(range(20)))
    five = share(np.repeat(shown, 5).astype(float), Levels.of(np.repeat(np.arange(20), 5)))
    assert once == five
    apart = share(np.repeat(shown, 5).astype(float), Levels.of(range(100)))
    assert apart.high - apart.low < 0.6 * (five.high - five.low)


def test_more_frames_of_the_same_clips_do_not_narrow_the_interval() -> None:
    hits = np.random.default_rng(1).random((40, 1)) < 0.4
    one, nine = (rate(hits.repeat(n, axis=1), np.arange(40) // 2, range(40)) for n in (1, 9))
    assert (one.low, one.high) == (nine.low, nine.high)
    assert (one.clips, one.clusters, one.frames, nine.frames) == (40, 20, 40, 360)


def test_seeds_widen_the_interval_where_they_matter_and_recur() -> None:
    prompts, seeds = np.divmod(np.arange(200), 10)
    by_seed = (seeds < 4).astype(float)  # the seed alone decides
    crossed, alone = share(by_seed, Levels.of(prompts, seeds)), share(by_seed, Levels.of(prompts))
    assert crossed.high - crossed.low > 3 * (alone.high - alone.low)
    nested = share(by_seed, Levels.of(prompts, np.arange(200)))
    assert nested == alone, "a seed that only one prompt has adds nothing"
    none = share(np.zeros(200), Levels.of(prompts, seeds))
    assert none.high < 2 * share(np.zeros(200), Levels.of(prompts)).high
    one_seed_each = Levels.of(np.arange(200), seeds)
    assert len(one_seed_each.prompts) == 10, "where a prompt has only one seed, the seed is the cluster"


@pytest.mark.parametrize("value", [0.0, 1 / 3, 0.5, 1.0])
def test_clips_that_all_say_the_same_leave_no_point(value: float) -> None:
    for levels in (Levels.of(range(24)), Levels.of([0] * 24)):
        ends = share(np.full(24, value), levels)
        assert ends.low <= value <= ends.high and ends.high - ends.low > 0.02
    single = share(np.full(24, value), Levels.of([0] * 24))
    assert single.high - single.low > 0.9, "one prompt says next to nothing about others"


def test_video_rate_counts_a_video_with_a_single_frame() -> None:
    hits = np.zeros((4, 9), bool)
    hits[0, 3] = True
    assert rate(hits, range(4), range(4)).value == pytest.approx(1 / 36)
    assert rate(hits, range(4), range(4), unit="videos").value == 0.25
    assert rate(hits, range(4), range(4), unit="videos", at_least=0.5).value == 0


def test_a_rate_of_zero_still_has_an_upper_bound() -> None:
    none = rate(np.zeros((30, 9), bool), range(30), range(30), floor=0.001)
    assert none.low == 0 and 0.08 < none.high < 0.12
    assert "30 clips of 30 prompts, 270 frames" in str(none) and "floor 0.10 %" in str(none)
    assert Rate(**none.to_dict()) == none


def test_everything_kept_is_no_certainty_and_nothing_kept_neither() -> None:
    levels, full = Levels.of(np.arange(24) // 2), np.ones(24)
    everything, nothing = kept_share(full, full, levels), kept_share(np.zeros(24), full, levels)
    assert everything.value == 1 and everything.low < 0.85
    assert (nothing.value, nothing.low) == (0, 0) and nothing.high > 0.15
    assert np.isnan(kept_share(full, np.zeros(24), levels)).all(), "of nothing nothing can be kept"


def test_paired_ratio_cancels_what_both_sides_share() -> None:
    rng = np.random.default_rng(2)
    prompts = np.arange(240) // 2
    before = rng.random((240, 9)) < rng.beta(1, 1, 120)[prompts][:, None]
    after = before & (rng.random((240, 1)) < 0.9)
    found = ratio(after, before, prompts, range(240))
    assert found.low < 0.9 < found.high and found.unit == "ratio"
    other = rng.permutation(120)[prompts] * 2 + np.arange(240) % 2  # the same clips, the pairs of other prompts
    unpaired = ratio(after[other], before, prompts, range(240))
    assert unpaired.value == pytest.approx(found.value)
    assert found.high - found.low < 0.6 * (unpaired.high - unpaired.low)


def test_a_ratio_above_the_floor_is_open_where_the_rate_below_may_be_at_the_floor() -> None:
    levels = Levels.of(range(100))
    few, many = np.arange(100) < 10, np.arange(100) < 40
    ends = excess_ratio(few, many, levels, floor=0.02)
    assert ends.value == pytest.approx(0.08 / 0.38) and 0.05 < ends.low < ends.value < ends.high < 0.5
    assert excess_ratio(few, np.arange(100) < 3, levels, floor=0.02).high == np.inf
    at_floor = excess(np.zeros((100, 9)), np.zeros((100, 9)), range(100), range(100), floor=0.02)
    assert np.isnan(at_floor.value) and at_floor.low == 0 and at_floor.high == np.inf
    assert excess_ratio(many, many, levels).low < 1 < excess_ratio(many, many, levels).high


def test_a_difference_and_its_test_say_the_same() -> None:
    levels = Levels.of(np.arange(60) // 2)
    base = np.arange(60) % 3 == 0
    assert paired_p_value(base, base, levels) == 1
    equal = difference(base, base, levels)
    assert equal.value == 0 and equal.low == pytest.approx(-equal.high) and 0.05 < equal.high < 0.15
    more = base | (np.arange(60) % 3 == 1)
    found = paired(more[:, None], base[:, None], np.arange(60) // 2, range(60))
    assert found.difference.value == pytest.approx(1 / 3) and found.difference.low > 0 and found.p < 1e-3
    apart = disagreement(base[:, None], more[:, None], np.arange(60) // 2, range(60))
    assert (apart.value, apart.low, apart.high) == pytest.approx(
        (found.difference.value, found.difference.low, found.difference.high)
    )
    assert disagreement(base[:, None], base[:, None], range(60), range(60)).low == 0


def test_few_prompts_are_tested_by_every_sign() -> None:
    levels = Levels.of(range(8))
    assert paired_p_value(np.ones(8), np.zeros(8), levels) == pytest.approx(2 / 2**8)
    assert paired_p_value(np.r_[np.ones(7), 0], np.r_[np.zeros(7), 1], levels) == pytest.approx(2 * 9 / 2**8)
    assert paired_p_value(np.ones(14), np.zeros(14), Levels.of(range(14))) < 1e-4


def test_holm_is_the_textbook_example_in_any_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_a_mean_of_independent_numbers_has_students_interval() -> None:
    values = np.random.default_rng(3).normal(5, 2, 20)
    ends = mean(values, Levels.of(range(20)))
    low, high = stats.t.interval(0.95, 19, values.mean(), stats.sem(values))
    assert (ends.low, ends.high) == pytest.approx((low, high))
    assert np.isnan(mean(values, Levels.of([0] * 20)).low), "one prompt has no spread to tell"


def test_an_interval_takes_less_than_a_millisecond() -> None:
    prompts, seeds = [f"prompt {i // 2}" for i in range(300)], [(i // 2 + 11 * (i % 2)) % 24 for i in range(300)]
    hits = np.random.default_rng(4).random((300, 9)) < 0.3

    def lap() -> float:
        start = time.perf_counter()
        rate(hits, prompts, seeds)
        return time.perf_counter() - start

    assert min(lap() for _ in range(30)) < 1e-3


def test_labels_that_do_not_fit_are_refused_in_words() -> None:
    with pytest.raises(ValueError, match="one seed for each of 2 clips, but got 1"):
        Levels.of([0, 1], [0])
    with pytest.raises(ValueError, match="at least one clip"):
        Levels.of([])
    with pytest.raises(ValueError, match="paired clips of one shape"):
        ratio(np.ones((2, 9)), np.ones((3, 9)), range(2), range(2))
