"""The bank of autoencoders: its invariants, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from unseen.clear.config import SaeConfig
from unseen.clear.gradients import Adam
from unseen.clear.report import statistics
from unseen.clear.sae import SaeBank, SaeTrainer, ordinary_tokens
from unseen.concept import Concept
from unseen.diorama.model.text import load_t5
from unseen.encoder.activations import PromptForm, encode_by_length
from unseen.prompts.writer import write_prompts


def sparse_data(layers=2, tokens=2000, d=24, atoms=40, seed=0):
    """Tokens that are sums of three out of `atoms` directions, off centre, at a different scale per layer."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(layers, atoms, d, generator=generator), dim=-1)
    codes = torch.zeros(layers, tokens, atoms)
    chosen = torch.randint(atoms, (layers, tokens, 3), generator=generator)
    codes.scatter_(-1, chosen, 1 + torch.rand(chosen.shape, generator=generator))
    scale = torch.tensor([1.0, 50.0])[:layers, None, None]
    return (codes @ directions + 0.5) * scale


def trainer_of(data, features=64, *, l1, seed=0, fast=True, **options) -> SaeTrainer:
    return SaeTrainer(data, SaeConfig(num_features=features, l1_coefficient=l1, **options), seed=seed, fast=fast)


def train(data, steps=250, **options) -> SaeBank:
    trainer = trainer_of(data, 64, l1=0.02, lr=1e-2, steps=steps, **options)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        trainer.step(data[:, torch.randint(data.shape[1], (128,), generator=generator)])
    return trainer.finish()


@pytest.fixture(scope="module")
def data():
    return sparse_data()


@pytest.fixture(scope="module")
def bank(data):
    return train(data[:, :1500])


def test_it_explains_held_out_tokens_with_few_features_at_every_scale(bank, data):
    result = statistics(bank, data[:, 1500:], data[:, :1500])
    assert max(result["fvu"]) < 0.2, result
    assert max(result["l0"]) < 32, result
    assert max(result["dead"]) < 0.3, result


@pytest.mark.parametrize("top_k", [None, 4])
def test_dead_features_are_those_that_fire_on_no_token_at_all(bank, data, top_k):
    some = replace(bank, top_k=top_k)
    fired = (some.encode(data[:, :1500]) > 0).any(dim=1)
    assert statistics(some, data[:, 1500:], data[:, :1500])["dead"] == pytest.approx(
        (~fired).float().mean(dim=1).tolist()
    )


def test_a_step_of_adam_is_that_of_torch_bit_for_bit():
    generator = torch.Generator().manual_seed(0)
    own, theirs = ([torch.ones(size) for size in ((), (5,), (48,))] for _ in range(2))
    steps = Adam(own, lr=0.05), torch.optim.Adam(theirs, lr=0.05)
    for _ in range(50):
        gradients = [torch.randn(parameter.shape, generator=generator) for parameter in own]
        steps[0].step(gradients)
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = gradient
        steps[1].step()
    assert all(map(torch.equal, own, theirs))


def test_training_beats_the_start(data):
    start = trainer_of(data, 64, l1=0.02, lr=1e-2, steps=10).finish()
    assert min(statistics(start, data, data)["fvu"]) > 0.3


def test_decoder_rows_have_unit_norm_and_the_gradient_along_them_is_removed(bank, data):
    assert torch.allclose(bank.W_dec.norm(dim=-1), torch.ones(2, 64), atol=1e-5)
    trainer = trainer_of(data, 64, l1=0.02, lr=1e-2, steps=10)
    before = trainer.bank.W_dec.detach().clone()
    trainer.step(data[:, :64])
    assert (trainer.bank.W_dec.grad * before).sum(dim=-1).abs().max() < 1e-5


def test_the_start_is_tied_and_the_mean_is_the_decoder_bias(data):
    bank = trainer_of(data, 64, l1=0.02, lr=1e-2, steps=10).finish()
    assert torch.equal(bank.W_enc, bank.W_dec.transpose(1, 2))
    assert torch.allclose(bank.decode(torch.zeros(2, 1, 64)), data.mean(dim=1, keepdim=True), rtol=1e-4)


def test_batched_layers_equal_one_layer_at_a_time(bank, data):
    together = bank.encode(data[:, :100])
    for layer in range(2):
        alone = bank.layers[layer].encode(data[layer : layer + 1, :100])
        assert torch.allclose(alone[0], together[layer], atol=1e-4)


def test_a_layer_without_weight_does_not_learn(data):
    trainer = trainer_of(data, 64, l1=0.02, lr=1e-2, steps=10)
    before = trainer.bank.W_enc.detach().clone()
    trainer.step(data[:, :64], torch.tensor([0.0, 1.0]))
    assert torch.equal(trainer.bank.W_enc[0], before[0])
    assert not torch.equal(trainer.bank.W_enc[1], before[1])


def test_top_k_keeps_k_features(data):
    f = train(data, steps=20, top_k=4).encode(data[:, :200])
    assert (f > 0).sum(dim=-1).max() <= 4


def test_the_same_seed_gives_the_same_bank(data):
    assert torch.equal(train(data, steps=5, seed=3).W_enc, train(data, steps=5, seed=3).W_enc)
    assert not torch.equal(train(data, steps=5, seed=3).W_enc, train(data, steps=5, seed=4).W_enc)


def test_massive_activations_are_set_aside():
    hidden = torch.randn(2, 50, 8)
    hidden[1, 7] *= 100
    assert ordinary_tokens(hidden).nonzero()[:, 0].tolist() == [i for i in range(50) if i != 7]


def slow_training(data, steps, **options):
    """What `SaeTrainer` is to compute, by automatic differentiation."""
    bank = trainer_of(data, 64, l1=0.02, lr=1e-2, steps=steps, fast=False, **options).finish()
    parts = [part.requires_grad_() for part in (bank.W_enc, bank.b_enc, bank.W_dec)]
    optimizer = torch.optim.Adam(parts, lr=1e-2, betas=(0.8, 0.95), fused=True)
    W_enc, b_enc, W_dec = parts
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * min(1.0, (step + 1) / 5, max(0.02, (steps - step) / (0.4 * steps)))
        h, weights = batch(data, step)
        x = (h - bank.mean) / bank.scale
        f = torch.relu(torch.baddbmm(b_enc, x, W_enc))
        if bank.top_k is not None:
            kept = f.topk(bank.top_k, dim=-1)
            f = torch.zeros_like(f).scatter(-1, kept.indices, kept.values)
        error = (x - f @ W_dec).square().sum(dim=-1).mean(dim=-1) / x.square().sum(dim=-1).mean(dim=-1)
        optimizer.zero_grad()
        ((error + 0.02 * f.sum(dim=-1).mean(dim=-1) / x.shape[-1] ** 0.5) * weights).sum().backward()
        with torch.no_grad():
            W_dec.grad -= (W_dec.grad * W_dec).sum(dim=-1, keepdim=True) * W_dec
        optimizer.step()
        with torch.no_grad():
            W_dec.copy_(torch.nn.functional.normalize(W_dec, dim=-1))
    return parts


def batch(data, step):
    """Tokens and layer weights of a step."""
    generator = torch.Generator().manual_seed(step)
    chosen = torch.randint(data.shape[1], (100,), generator=generator)
    return data[:, chosen], torch.rand(len(data), generator=generator)


@pytest.mark.parametrize("top_k", [None, 4])
def test_plain_training_equals_automatic_differentiation_bit_for_bit(data, top_k):
    trainer = trainer_of(data, 64, l1=0.02, lr=1e-2, steps=12, top_k=top_k, fast=False)
    for step in range(12):
        trainer.step(*batch(data, step))
    bank = trainer.finish()
    for quick, slow in zip((bank.W_enc, bank.b_enc, bank.W_dec), slow_training(data, 12, top_k=top_k), strict=True):
        assert torch.equal(quick, slow)


@pytest.mark.parametrize("top_k", [None, 4])
def test_fast_arithmetic_trains_the_same_bank(data, top_k):
    banks = []
    for fast in (False, True):
        trainer = trainer_of(data, 64, l1=0.02, steps=6, top_k=top_k, fast=fast)
        losses = [trainer.step(*batch(data, step)) for step in range(6)]
        banks.append((trainer.finish(), torch.stack(losses)))
    (plain, plain_losses), (fast, fast_losses) = banks
    assert torch.allclose(plain_losses, fast_losses, atol=1e-4)
    assert torch.allclose(plain.W_dec, fast.W_dec, atol=1e-3) and torch.allclose(plain.W_enc, fast.W_enc, atol=1e-3)
    assert torch.allclose(plain.b_enc, fast.b_enc, atol=1e-3)


@pytest.mark.parametrize("width", [64, 1024])
def test_random_rows_start_with_two_features_in_a_hundred_firing_at_any_width(width):
    hidden = torch.randn(1, 500, width, generator=torch.Generator().manual_seed(0)) * 7 + 3
    bank = trainer_of(hidden, 400, l1=0.05, steps=10).finish()
    assert 0.01 < float((bank.encode(hidden) > 0).float().mean()) < 0.04


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_states_may_be_in_half_precision_and_parameters_are_not(data, dtype):
    half, results = data.to(dtype), []
    for states in (data, half):
        trainer = trainer_of(states[:, :1500], 64, l1=0.02, lr=1e-2, steps=200)
        for step in range(200):
            trainer.step(batch(states[:, :1500], step)[0])
        bank = trainer.finish()
        assert {part.dtype for part in (bank.W_enc, bank.b_enc, bank.W_dec, bank.mean, bank.scale)} == {torch.float32}
        results.append(max(statistics(bank, states[:, 1500:], states[:, :1500])["fvu"]))
    assert abs(results[0] - results[1]) < 0.03, results
    assert torch.equal(ordinary_tokens(half), ordinary_tokens(data))


@pytest.fixture(scope="module")
def states():
    """Outputs of two layers of Diorama's T5, `[2, tokens, 256]`."""
    tokenizer, encoder = load_t5()
    prompts = write_prompts(Concept("teapot"), seed=0, pairs=80, retain=80)
    texts = [text for pair in prompts.pairs for text in pair] + list(prompts.retain)
    hidden = encode_by_length(tokenizer, encoder, texts, PromptForm(64), layers=[2, 9]).hidden
    return hidden[:, ordinary_tokens(hidden)]


@pytest.mark.parametrize(("l1", "top_k"), [(0.05, None), (0.0, 16)])
def test_from_random_rows_hardly_a_feature_dies_on_a_real_text_encoder(states, l1, top_k):
    trainer = trainer_of(states, 320, l1=l1, steps=100, top_k=top_k)
    generator = torch.Generator().manual_seed(1)
    for _ in range(100):
        trainer.step(states[:, torch.randint(states.shape[1], (256,), generator=generator)])
    found = statistics(trainer.finish(), states, states)
    assert max(found["dead"]) <= 0.02 and max(found["fvu"]) < 0.35, found
