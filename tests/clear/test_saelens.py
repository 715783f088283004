"""Autoencoders go to SAELens' layout and come back with the same features; `sae-lens` itself agrees where installed."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from unseen import DamagedFileError
from unseen.clear.config import SaeConfig
from unseen.clear.sae import SaeBank, SaeTrainer
from unseen.clear.saelens import CONFIG_FILE, WEIGHTS_FILE, export_saelens, import_saelens

LAYERS, WIDTH, FEATURES = 2, 16, 48


@pytest.fixture(params=[None, 5], ids=["relu", "topk"])
def bank(request) -> SaeBank:
    torch.manual_seed(0)
    states = 3 * torch.randn(LAYERS, 512, WIDTH) + torch.randn(LAYERS, 1, WIDTH)
    trainer = SaeTrainer(states, SaeConfig(num_features=FEATURES, l1_coefficient=0.01, steps=20, top_k=request.param))
    for part in states.split(64, dim=1):
        trainer.step(part)
    return trainer.finish()


@pytest.fixture
def states() -> torch.Tensor:
    return 3 * torch.randn(LAYERS, 100, WIDTH, generator=torch.Generator().manual_seed(1))


def test_a_bank_comes_back_as_it_went(bank, states, tmp_path):
    folders = export_saelens(bank, tmp_path, [4, 7], model="MiniLM", hook="encoder.layer.{layer}")
    assert [folder.name for folder in folders] == ["layer_4", "layer_7"]
    config = json.loads((folders[1] / CONFIG_FILE).read_text(encoding="utf-8"))
    assert config["metadata"] == {"model_name": "MiniLM", "hook_name": "encoder.layer.7", "layer": 7}
    back = import_saelens(folders)
    assert back.top_k == bank.top_k
    for name in ("W_enc", "b_enc", "W_dec", "mean", "scale"):
        torch.testing.assert_close(getattr(back, name), getattr(bank, name), rtol=1e-5, atol=1e-6)
    assert (bank.encode(states) > 0).any()
    torch.testing.assert_close(back.encode(states), bank.encode(states), rtol=1e-5, atol=1e-5)


def test_decoder_rows_of_other_lengths_stay_and_so_do_features(bank, states, tmp_path):
    """A foreign autoencoder, by the formula of its layout."""
    folder = export_saelens(bank, tmp_path)[0]
    weights = load_file(folder / WEIGHTS_FILE)
    weights["W_dec"] = weights["W_dec"] * torch.linspace(0.5, 2, FEATURES)[:, None]
    save_file(weights, folder / WEIGHTS_FILE)
    back = import_saelens([folder])
    f = torch.relu((states[:1] - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"])
    if bank.top_k is not None:
        kept = f.topk(bank.top_k, dim=-1)
        f = torch.zeros_like(f).scatter(-1, kept.indices, kept.values)
    torch.testing.assert_close(back.encode(states[:1]), f, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(back.decode(f), f @ weights["W_dec"] + weights["b_dec"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "jumprelu"}, "expected the architecture standard or topk"),
        ({"normalize_activations": "layer_norm"}, "with which features differ"),
        ({"apply_b_dec_to_input": False}, "with which features differ"),
        ({"d_sae": 12}, "expected finite W_enc of shape"),
        ({"d_in": None}, "got something else"),
    ],
)
def test_what_has_other_features_is_refused(tmp_path, changes, message):
    layers = torch.randn(1, WIDTH, FEATURES)
    ones = torch.ones(1, 1, 1)
    bank = SaeBank(layers, torch.zeros(1, 1, FEATURES), layers.mT.contiguous(), torch.zeros(1, 1, WIDTH), ones)
    folder = export_saelens(bank, tmp_path)[0]
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    (folder / CONFIG_FILE).write_text(json.dumps(config | changes), encoding="utf-8")
    with pytest.raises(DamagedFileError, match=message):
        import_saelens([folder])


def test_numbers_of_layers_and_sizes_have_to_fit(bank, tmp_path):
    with pytest.raises(ValueError, match="expected 2 numbers of layers"):
        export_saelens(bank, tmp_path, [3])
    first = export_saelens(bank, tmp_path)[0]
    other = export_saelens(SaeBank(**{**vars(bank), "top_k": 3}), tmp_path / "other")[0]
    with pytest.raises(DamagedFileError, match="Import them apart"):
        import_saelens([first, other])
    (first / WEIGHTS_FILE).unlink()
    with pytest.raises(DamagedFileError, match="cannot read"):
        import_saelens([first])


def test_sae_lens_reads_the_same_features_and_writes_what_we_read(bank, states, tmp_path):
    """Must show: the package itself, both ways."""
    sae_lens = pytest.importorskip("sae_lens", reason="pip install sae-lens")
    folders = export_saelens(bank, tmp_path / "ours", model="MiniLM")
    ours = bank.encode(states)
    for place, folder in enumerate(folders):
        theirs = sae_lens.SAE.load_from_disk(folder)
        with torch.no_grad():
            f = theirs.encode(states[place])
            torch.testing.assert_close(f, ours[place], rtol=1e-4, atol=1e-4)
            assert torch.equal(f > 0, ours[place] > 0)
            torch.testing.assert_close(theirs.decode(f), bank.decode(ours)[place], rtol=1e-4, atol=1e-4)
        theirs.save_model(tmp_path / "theirs" / folder.name)
    back = import_saelens([tmp_path / "theirs" / folder.name for folder in folders])
    torch.testing.assert_close(back.encode(states), ours, rtol=1e-4, atol=1e-4)
