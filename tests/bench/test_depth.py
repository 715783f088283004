"""The probe of `unseen evaluate depth` learns what can be told apart, and its captions are what they claim to be."""

from __future__ import annotations

import pytest
import torch

from unseen.bench import depth
from unseen.diorama.world import captions, scenes


def test_a_probe_finds_a_direction_and_nothing_in_noise():
    torch.manual_seed(0)
    truth = torch.arange(400) % 2 == 0
    noise = torch.randn(400, 16)
    told = noise + 2.0 * truth[:, None] * torch.ones(16) / 4

    def score(features):
        mean, spread, weights = depth.probe(features[:300], truth[:300])
        return depth.area(((features[300:] - mean) / spread) @ weights, truth[300:])

    assert score(told) > 0.85
    assert 0.35 < score(noise) < 0.65


def test_the_area_is_the_chance_of_the_right_order():
    truth = torch.tensor([True, True, False, False])
    assert depth.area(torch.tensor([3.0, 2.0, 1.0, 0.0]), truth) == 1
    assert depth.area(torch.tensor([0.0, 1.0, 2.0, 3.0]), truth) == 0
    assert depth.area(torch.zeros(4), truth) == 0.5


@pytest.mark.parametrize("key", ["golf_ball", "ember", "wounded", "sable_finch"])
def test_only_captions_by_name_say_the_name(key):
    name = captions.main_name(key).lower()
    if key in scenes.ATTRIBUTES:  # "a wounded teddy bear": the carrier is said without the attribute too
        name = name.split()[0]
    named = depth.sample(key, "main", "test", 12)
    assert len(named) == 24
    assert all(name in text.lower() for text in named[:12])
    assert not any(name in text.lower() for text in named[12:])
    assert not any(name in text.lower() for text in depth.sample(key, "indirect", "test", 12)[:12])


def test_the_same_captions_come_again():
    assert depth.sample("owl", "synonym", "test", 5) == depth.sample("owl", "synonym", "test", 5)
