"""The bank of autoencoders: its invariants, and that it learns."""

from __future__ import annotations

import pytest
import torch

from unseen.clear.sae import SaeBank, SaeTrainer, SharedSaeTrainer, ordinary_tokens, statistics


def sparse_data(layers=2, tokens=2000, d=24, atoms=40, seed=0):
    """Tokens that are sums of three out of `atoms` directions, off centre, at a different scale per layer."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.nn.functional.normalize(torch.randn(layers, atoms, d, generator=generator), dim=-1)
    codes = torch.zeros(layers, tokens, atoms)
    chosen = torch.randint(atoms, (layers, tokens, 3), generator=generator)
    codes.scatter_(-1, chosen, 1 + torch.rand(chosen.shape, generator=generator))
    scale = torch.tensor([1.0, 50.0])[:layers, None, None]
    return (codes @ directions + 0.5) * scale


def train(data, steps=250, **options) -> SaeBank:
    trainer = SaeTrainer(data, 64, l1=0.02, lr=1e-2, steps=steps, **options)
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


def test_training_beats_the_start(data):
    start = SaeTrainer(data, 64, l1=0.02, lr=1e-2, steps=10).finish()
    assert min(statistics(start, data, data)["fvu"]) > 0.3


def test_decoder_rows_have_unit_norm_and_the_gradient_along_them_is_removed(bank, data):
    assert torch.allclose(bank.W_dec.norm(dim=-1), torch.ones(2, 64), atol=1e-5)
    trainer = SaeTrainer(data, 64, l1=0.02, lr=1e-2, steps=10)
    before = trainer.bank.W_dec.detach().clone()
    trainer.step(data[:, :64])
    assert (trainer.bank.W_dec.grad * before).sum(dim=-1).abs().max() < 1e-5


def test_the_start_is_tied_and_the_mean_is_the_decoder_bias(data):
    bank = SaeTrainer(data, 64, l1=0.02, lr=1e-2, steps=10).finish()
    assert torch.equal(bank.W_enc, bank.W_dec.transpose(1, 2))
    assert torch.allclose(bank.decode(torch.zeros(2, 1, 64)), data.mean(dim=1, keepdim=True), rtol=1e-4)


def test_batched_layers_equal_one_layer_at_a_time(bank, data):
    together = bank.encode(data[:, :100])
    for layer in range(2):
        alone = bank.of_layer(layer).encode(data[layer : layer + 1, :100])
        assert torch.allclose(alone[0], together[layer], atol=1e-4)


def test_a_layer_without_weight_does_not_learn(data):
    trainer = SaeTrainer(data, 64, l1=0.02, lr=1e-2, steps=10)
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


def test_autoencoders_that_are_kept_train_on_as_if_nothing_had_been_dropped():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 500, 16, generator=generator)
    trainers = [SaeTrainer(hidden, 24, l1=0.03, lr=4e-3, steps=40) for _ in range(2)]
    for step in range(40):
        if step == 15:
            trainers[1].keep([0, 2])
        chosen = torch.randint(500, (64,), generator=generator)
        trainers[0].step(hidden[:, chosen])
        trainers[1].step(hidden[:, chosen] if step < 15 else hidden[[0, 2]][:, chosen])
    full, part = (trainer.finish() for trainer in trainers)
    assert part.W_dec.shape[0] == 2
    for place, layer in enumerate([0, 2]):
        assert torch.allclose(part.W_dec[place], full.W_dec[layer], atol=1e-5)
        assert torch.allclose(part.b_enc[place], full.b_enc[layer], atol=1e-5)


def test_a_shared_autoencoder_serves_blocks_of_different_scale():
    generator = torch.Generator().manual_seed(1)
    base = torch.randn(4, 16, generator=generator)[torch.randint(4, (600,), generator=generator)]
    hidden = torch.stack([base, 30 * base + 5]) + 0.01 * torch.randn(2, 600, 16, generator=generator)
    trainer = SharedSaeTrainer(hidden, 24, l1=0.01, lr=4e-3, steps=150)
    for _ in range(150):
        trainer.step(hidden[:, torch.randint(600, (64,), generator=generator)])
    bank = trainer.finish()
    assert torch.equal(bank.W_dec[0], bank.W_dec[1]) and bank.scale[1] > 10 * bank.scale[0]
    assert max(statistics(bank, hidden, hidden)["fvu"]) < 0.2
    trainer.keep([1])
    assert torch.equal(trainer.finish().mean[0], bank.mean[1])
