"""The sweep: what a score is, how a choice is judged, and that a whole sweep measures what it says."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import WIDER_FIT
from PIL import Image

pytest.importorskip("diffusers")

from tiny import make_small_diorama

from unseen.bench import sweep
from unseen.bench.ablate import VARIANTS, ablation_table, leace, mean_difference
from unseen.bench.criteria import Choice, is_valley, spearman
from unseen.bench.eye import collect
from unseen.bench.study import Settings, Study
from unseen.bench.sweep import DEVELOPMENT, HELD_OUT, STRENGTHS, SweepCell, evaluate_sweep, prompts_for
from unseen.bench.together import evaluate_together
from unseen.clear.config import ClearConfig
from unseen.clear.costs import CRITERIA
from unseen.diorama.detector.labelling import load_run, write_sheets
from unseen.diorama.world import scenes
from unseen.metrics.rates import Rate


def cell(generative: float, others: float, rest: float) -> SweepCell:
    def rate(value: float) -> Rate:
        return Rate(value, value, value, 12, 12, 108)

    return SweepCell(0, 1.0, rate(generative), rate(others), rest)


def test_the_score_is_a_harmonic_mean() -> None:
    assert cell(0.0, 1.0, 1.0).score == pytest.approx(1.0)
    assert cell(0.5, 1.0, 1.0).score == pytest.approx(3 / (2 + 1 + 1))
    assert cell(1.0, 1.0, 1.0).score == 0.0
    assert cell(0.0, 1.2, 0.5).score == pytest.approx(3 / (1 + 1 + 2))


def test_a_choice_is_good_near_the_best_or_among_two() -> None:
    scores = {-1: 0.30, 0: 0.90, 1: 0.895, 2: 0.893, 3: 0.70}
    assert [Choice.of(layer, scores).good for layer in scores] == [False, True, True, True, False]
    assert Choice.of(3, scores).regret == pytest.approx(0.2)
    assert Choice.of(0, {0: 0.9, 1: 0.2, 2: 0.1}).good and Choice.of(1, {0: 0.9, 1: 0.2, 2: 0.1}).good


def test_spearman_agrees_with_known_values() -> None:
    from scipy.stats import spearmanr

    a, b = [0.1, 0.4, 0.4, 0.9, 0.2], [3.0, 1.0, 2.0, 5.0, 2.0]
    assert spearman(a, b) == pytest.approx(float(spearmanr(a, b)[0]))
    assert np.isnan(spearman([1, 1, 1], [1, 2, 3]))


def test_a_valley_needs_worse_blocks_on_both_sides() -> None:
    assert is_valley({0: 0.5, 1: 0.9, 2: 0.6})
    assert not is_valley({0: 0.9, 1: 0.6, 2: 0.5})
    assert not is_valley({0: 0.88, 1: 0.9, 2: 0.6})


def test_development_and_held_out_concepts_are_apart_and_of_all_kinds() -> None:
    assert not set(DEVELOPMENT) & set(HELD_OUT)
    assert len(HELD_OUT) >= 12
    for group in (scenes.OBJECTS, scenes.CHARACTERS, scenes.STYLES, scenes.ATTRIBUTES):
        assert set(group) & set(HELD_OUT) and set(group) & set(DEVELOPMENT)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Diorama's text encoder before a tiny video model with random weights, fits as small as may be."""
    monkeypatch.setattr(Study, "config", WIDER_FIT)
    settings = Settings(tmp_path / "out", concepts=("church",), clips=2, steps=2, progress=False)
    return Study(settings, load=make_small_diorama, cache_folder=tmp_path / "clips")


def test_prompts_of_a_sweep_are_about_the_concept_or_about_others(study: Study) -> None:
    for key in ("church", "inkwell", "burning", "amber_bramble"):
        for split in ("development", "test"):
            prompts = prompts_for(study, key, split)
            assert {p.key for p in prompts["target"]} == {key}
            assert key not in {p.key for p in prompts["others"]} and len(prompts["others"]) >= 2


def test_a_sweep_measures_every_block_and_goes_on_where_it_stopped(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    strengths = STRENGTHS[1:3]
    monkeypatch.setattr(sweep, "STRENGTHS", strengths)
    tables = list(evaluate_sweep(study))
    folder = study.settings.folder
    blocks = {row[1] for row in tables[0].rows}
    assert blocks == {"embedding", *(f"block {k}" for k in range(6))}
    development = [row for row in tables[0].rows if row[0] == "development"]
    assert len(development) == 7 * len(strengths)
    assert len([row for row in tables[0].rows if row[0] == "test"]) == 7
    assert len({row[-1] for row in tables[0].rows}) == 2  # one block is marked as learned
    labels = [row[0] for row in tables[1].rows]
    if labels:
        assert {f"least {name}" for name in CRITERIA} <= set(labels) and "chance" in labels
    with Image.open(folder / "sweep-church.png") as figure:
        assert figure.width > 600
    with (folder / "sweep-cells.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7 * len(strengths) + 7
    drawn = study.runner.drawn
    again = list(evaluate_sweep(study))
    assert study.runner.drawn == drawn and [t.texts() for t in again] == [t.texts() for t in tables]


def test_a_smaller_step_count_is_kept_apart_in_the_cache(study: Study, tmp_path: Path) -> None:
    other = Study(dataclasses.replace(study.settings, steps=3), pipe=study.pipe, cache_folder=tmp_path / "clips")
    assert study.cache.address("a church", 1, "base") != other.cache.address("a church", 1, "base")


@pytest.mark.slow
def test_many_at_once_are_measured_beside_each_alone(study: Study) -> None:
    study.settings = dataclasses.replace(study.settings, concepts=("church", "gas pump"))
    each, rest, order = list(evaluate_together(study))
    assert [row[0] for row in each.rows] == ["church", "gas pump"]
    assert rest.rows[0][1] >= 25 and 0 <= rest.rows[1][2].value <= 1 and rest.rows[2][2] > 0
    assert order.rows[0][1] is True
    drawn = study.runner.drawn
    assert [t.texts() for t in evaluate_together(study)] == [t.texts() for t in (each, rest, order)]
    assert study.runner.drawn == drawn


def test_clips_for_the_eye_can_be_labelled(study: Study, tmp_path: Path) -> None:
    arrays = collect(study, ["church"], 2)
    np.savez(tmp_path / "run.npz", **arrays)
    run = load_run(tmp_path / "run.npz")
    assert run.erased.sum() >= 2 and (~run.erased).sum() >= 4
    assert len(write_sheets(run, tmp_path / "sheets", count=4)) == 1


def test_every_ablation_is_a_setting_that_exists() -> None:
    for changes in VARIANTS.values():
        ClearConfig().with_options(changes)


@pytest.mark.slow
def test_ablations_measure_variants_and_dense_edits(study: Study) -> None:
    table = ablation_table(study, "church", {name: VARIANTS[name] for name in ("default", "strength 2", "last block")})
    rows = {row[0]: row for row in table.rows}
    assert list(rows) == ["default", "strength 2", "last block", "mean difference", "LEACE"]
    assert rows["last block"][1] == "block 5" and rows["strength 2"][2] == 2.0
    assert all(row[6] is None or 0 <= row[6] <= 1 for row in table.rows)


@pytest.mark.parametrize("make", [mean_difference, leace], ids=["mean difference", "LEACE"])
def test_dense_edits_take_a_linear_concept_away(make) -> None:
    generator = torch.Generator().manual_seed(0)
    direction = torch.nn.functional.normalize(torch.randn(16, generator=generator), dim=0)
    negative = torch.randn(400, 16, generator=generator)
    positive = torch.randn(400, 16, generator=generator) + 4 * direction
    edited = make(positive, negative)(positive)
    before, after = (float((x.mean(0) - negative.mean(0)) @ direction) for x in (positive, edited))
    assert before > 3 and abs(after) < 0.6 * before
    away = torch.eye(16) - direction[:, None] * direction
    assert ((edited - positive) @ away).norm() < 0.5 * (edited - positive).norm()
