"""A fit trains its autoencoders whatever mode of autograd the caller is in."""

from __future__ import annotations

import pytest
import torch
from conftest import SMALL_FIT, make_encoder, make_tokenizer
from tiny import make_wan

import unseen
from unseen.baselines import BASELINES
from unseen.encoder.fingerprint import architecture

QUICK = {
    "concept_steerer": {"steps": 5, "pairs": 20, "retain": 20},
    "uce": {"pairs": 20, "retain": 20},
    "t2v_unlearning": {
        "iterations": 2, "rank": 2, "pairs": 6,
        "call": {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 2, "max_sequence_length": 24},
    },
}  # fmt: skip
MODES = [torch.no_grad, torch.inference_mode]


@pytest.mark.parametrize("mode", MODES)
def test_a_fit_is_the_same_where_autograd_is_off(mode):
    """Case 37."""
    pair = make_tokenizer(), make_encoder("umt5")
    plain = unseen.fit(pair, "zeppelin", config=SMALL_FIT, progress=False)
    assert plain.encoder_architecture == architecture(pair[1])
    with mode():
        again = unseen.fit(pair, "zeppelin", config=SMALL_FIT, progress=False)
        assert not torch.is_grad_enabled()
    assert again.key == plain.key


@pytest.mark.parametrize("mode", MODES)
def test_a_fit_works_on_weights_that_were_loaded_where_autograd_is_off(mode):
    """Case 37."""
    expected = unseen.fit((make_tokenizer(), make_encoder("umt5")), "zeppelin", config=SMALL_FIT, progress=False).key
    with mode():
        pair = make_tokenizer(), make_encoder("umt5")
        assert unseen.fit(pair, "zeppelin", config=SMALL_FIT, progress=False).key == expected
    assert unseen.fit(pair, "zeppelin", config=SMALL_FIT, progress=False).key == expected


@pytest.mark.parametrize("mode", MODES)
def test_fits_of_many_are_the_same_where_autograd_is_off(mode):
    """Case 37."""
    pair = make_tokenizer(), make_encoder("umt5")
    plain = unseen.fit_many(pair, ["zeppelin", "wolf"], config=SMALL_FIT, progress=False)
    with mode():
        again = unseen.fit_many(pair, ["zeppelin", "wolf"], config=SMALL_FIT, progress=False)
    assert [eraser.key for eraser in again] == [eraser.key for eraser in plain]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_fitted_where_autograd_is_off(mode, name):
    """Case 37."""
    pipe = make_wan()
    plain = BASELINES[name].fit(pipe, "zeppelin", progress=False, **QUICK.get(name, {}))
    with mode():
        again = BASELINES[name].fit(pipe, "zeppelin", progress=False, **QUICK.get(name, {}))
    assert again.key == plain.key
