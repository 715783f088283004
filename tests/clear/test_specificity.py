"""Which features count as the concept's own."""

from __future__ import annotations

import pytest
import torch

from unseen.clear.criteria import energies
from unseen.clear.gate import fit_gate, open_gate, prompt_maxima
from unseen.clear.select import activity, contrast_mask, leak, literal_mask, soft_mask

# Features: 0 the concept's own, 1 shared, 2 never active, 3 the concept's own with a trace on negatives, 4 negatives
# only.
POSITIVE = torch.tensor([[2.0, 1.0, 0.0, 2.0, 0.0]] * 10)
NEGATIVE = torch.tensor([[0.0, 1.0, 0.0, 0.0, 1.0]] * 19 + [[0.0, 1.0, 0.0, 1.0, 1.0]])


@pytest.fixture
def sides():
    return activity(POSITIVE), activity(NEGATIVE)


def test_the_contrast_mask_takes_the_concepts_own_features_and_never_a_silent_one(sides):
    mask = contrast_mask(*sides, min_rate=0.02, max_ratio=0.1)
    assert mask.tolist() == [1, 0, 0, 1, 0]


def test_the_literal_mask_counts_a_silent_feature_as_specific(sides):
    # This is the method's weakness with few negatives, and the reason why the contrast mask is the default.
    assert literal_mask(sides[1]).tolist() == [1, 0, 1, 0, 0]
    assert literal_mask(sides[1], rho=0.1).tolist() == [1, 0, 1, 1, 0]


def test_the_soft_mask_grades_by_relative_frequency(sides):
    assert soft_mask(*sides).tolist() == pytest.approx([1, 0, 0, 0.95, 0])


def test_energies_of_specific_and_shared_features_add_up_for_a_binary_mask(sides):
    mask = contrast_mask(*sides, min_rate=0.02, max_ratio=0.1)
    specific, shared = energies(sides[0], mask)
    assert specific == pytest.approx(8.0) and shared == pytest.approx(1.0)
    assert specific + shared == pytest.approx(float(POSITIVE.square().sum(dim=-1).mean()))


def test_leak_compares_specific_energy_on_negatives_with_that_on_positives(sides):
    assert leak(*sides, torch.tensor([1.0, 0, 0, 0, 0])) == 0
    assert leak(*sides, torch.tensor([0, 0, 0, 1.0, 0])) == pytest.approx(0.05 / 4)


def test_maxima_are_taken_within_prompts():
    f = torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0]])
    assert prompt_maxima(f, torch.tensor([0, 0, 2]), 3).tolist() == [[3, 0], [0, 0], [0, 2]]


def opens(gate, maxima):
    return (maxima * gate[:-1]).sum(dim=-1) > gate[-1]


def test_an_open_gate_passes_everything():
    assert opens(open_gate(3), torch.zeros(2, 3)).all()


def test_the_gate_needs_both_words_of_a_name_where_single_words_are_negatives():
    both, first, second, none = [2.0, 2.0], [2.0, 0.0], [0.0, 2.0], [0.0, 0.0]
    maxima = torch.tensor([both] * 20 + [first] * 5 + [second] * 5 + [none] * 40)
    positive = torch.arange(70) < 20
    hard = (torch.arange(70) >= 20) & (torch.arange(70) < 30)
    gate = fit_gate(maxima, positive, hard, position=0.25)
    assert (gate[:-1] > 0).all(), "more activity must never shut the gate"
    assert opens(gate, torch.tensor([both, first, second, none])).tolist() == [True, False, False, False]


def test_where_the_concept_cannot_be_told_apart_the_gate_lets_it_pass():
    maxima = torch.ones(40, 1)
    positive = torch.arange(40) < 20
    assert opens(fit_gate(maxima, positive, ~positive, position=0.25), torch.ones(1, 1)).all()
