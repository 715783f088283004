"""The layer search finds the block where a planted concept is separable, wherever it was planted."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from unseen.clear.config import SaeConfig, SearchConfig
from unseen.clear.costs import output_costs
from unseen.clear.criteria import energies
from unseen.clear.probe import EncoderOutputProbe, roles_of_pairs
from unseen.clear.sae import SaeTrainer
from unseen.clear.search import LayerPreferences
from unseen.clear.select import activity, contrast_mask
from unseen.concept import PromptPair
from unseen.encoder.activations import PromptForm, encode_blocks
from unseen.encoder.replay import Replay

BLOCKS = 4


def planted(block: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Positives and negatives `[BLOCKS, tokens, 16]`, drawn alike but for one direction at `block`."""
    generator = torch.Generator().manual_seed(seed)
    atoms = torch.randn(BLOCKS, 12, 16, generator=generator)
    active = torch.rand(2, BLOCKS, 400, 12, generator=generator) < 0.2
    codes = torch.rand(2, BLOCKS, 400, 12, generator=generator) * active
    positive, negative = torch.einsum("sbtk,bkd->sbtd", codes, atoms)
    positive[block] += 3 * torch.nn.functional.normalize(torch.randn(16, generator=generator), dim=0)
    return positive, negative


@pytest.mark.parametrize("block", range(BLOCKS))
def test_the_planted_block_is_found_at_every_position(block):
    positive, negative = planted(block)
    hidden = torch.cat([positive, negative], dim=1)
    trainer = SaeTrainer(hidden, SaeConfig(num_features=48, l1_coefficient=0.05, lr=1e-2, steps=160))
    preferences = LayerPreferences(BLOCKS, SearchConfig(lr=0.2, rounds=4, warm_up=0, steps=20))
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        for _ in range(40):  # phase A
            chosen = torch.randint(hidden.shape[1], (128,), generator=generator)
            trainer.step(hidden[:, chosen], 0.5 + 0.5 * BLOCKS * preferences.sample()[0].detach())
        bank = trainer.finish()
        sides = activity(bank.encode(positive)), activity(bank.encode(negative))
        mask = contrast_mask(*sides, min_rate=0.05, max_ratio=0.1)
        specific, shared = energies(sides[0], mask)
        preferences.learn(torch.log1p(shared / (specific + 1e-8)))  # phase B
    assert preferences.best() == block
    assert preferences.alpha()[block] > 0.5
    assert len(preferences.history) == 5 and preferences.history[0] == pytest.approx([0.25] * BLOCKS)


def test_equal_costs_leave_the_preferences_undecided():
    preferences = LayerPreferences(BLOCKS, SearchConfig(lr=0.1, rounds=4, warm_up=0, steps=40))
    preferences.learn(torch.ones(BLOCKS))
    assert preferences.alpha().max() < 0.3


def test_samples_are_distributions_that_sharpen_as_the_temperature_falls():
    preferences = LayerPreferences(BLOCKS, SearchConfig(tau_start=5.0, tau_end=0.1, rounds=3, warm_up=0))
    warm = preferences.sample(200)
    assert torch.allclose(warm.sum(dim=-1), torch.ones(200))
    preferences.round = 2
    assert preferences.tau == pytest.approx(0.1)
    assert preferences.sample(200).max(dim=-1).values.mean() > warm.max(dim=-1).values.mean() + 0.2


PAIRS = [
    PromptPair(f"a photo of a zeppelin {place}", f"a photo of the red {other} {place}")
    for place in ("near a table", "in the garden", "on the river", "under a tree", "with a dog")
    for other in ("apple", "lemon", "wolf", "chair")
]


def sides_of(tokenizer, encoder, pairs):
    return [encode_blocks(tokenizer, encoder, [pair[side] for pair in pairs]) for side in (0, 1)]


def test_roles_align_the_common_words_of_a_pair(encoder_of, tokenizer):
    positive, negative = sides_of(tokenizer, encoder_of("bert"), PAIRS[:2])
    for part, roles, middle in zip((positive, negative), roles_of_pairs(positive, negative), (2, 3), strict=True):
        words = tokenizer.convert_ids_to_tokens(part.token_id[roles["name"]].tolist())
        assert len(words) == 2 * middle, words
        assert roles["special"].sum() == 4
        assert torch.equal(roles["name"] ^ roles["context"] ^ roles["special"], torch.ones_like(part.special))


def test_the_judge_sees_an_edit_that_erases_and_one_that_does_not(encoder_of, tokenizer, eraser_of):
    encoder = encoder_of("bert")
    sides = tuple(sides_of(tokenizer, encoder, PAIRS))
    replay = Replay(tokenizer, encoder, [pair.positive for pair in PAIRS], PromptForm(32))
    judge = EncoderOutputProbe(sides, sides, replay)
    nothing = judge(eraser_of(tokenizer, encoder, strength=0.0))
    assert nothing["residual_name"] == pytest.approx(1.0, abs=1e-4)
    assert nothing["damage"] == pytest.approx(1.0, abs=1e-4)
    other = judge(eraser_of(tokenizer, encoder, word="piano"))
    assert other["residual_name"] == pytest.approx(1.0, abs=1e-4)
    # An edit of the last block's output by the mean difference of the name tokens: a linear probe's score has to
    # fall from 1 to 0 in step with γ.
    positive, negative = sides_of(tokenizer, encoder, PAIRS)
    roles = roles_of_pairs(positive, negative)
    shift = positive.output[roles[0]["name"]].mean(0) - negative.output[roles[1]["name"]].mean(0)
    exact = dataclasses.replace(
        eraser_of(tokenizer, encoder),
        layer=len(encoder.encoder.layer) - 1,
        W_enc=torch.zeros(len(shift), 1),
        b_enc=torch.ones(1),
        W_dec=shift[None],
        mask=torch.ones(1),
        scale=torch.tensor(1.0),
        gate=torch.tensor([0.0, -1.0]),
    )
    for gamma in (0.5, 1.0):
        assert judge(exact.with_strength(gamma))["residual_name"] == pytest.approx(1 - gamma, abs=1e-3)


def test_costs_prefer_what_erases_and_count_a_block_without_features_as_useless():
    erasers = [None, "good", "overshooting"]
    judged = {
        "good": {"residual_name": 0.1, "residual_context": 0.0, "damage": 0.2},
        "overshooting": {"residual_name": -0.9, "residual_context": 0.0, "damage": 0.2},
    }
    costs = output_costs(erasers, judged.__getitem__, torch.zeros(3), [0.0] * 3, SearchConfig(damage_weight=0.5))
    assert costs.total.tolist() == pytest.approx([1.5, 0.2, 1.0])
    assert set(costs.parts) == {"residual", "damage", "leak"}
