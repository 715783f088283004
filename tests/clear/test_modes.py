"""A fit trains its autoencoders whatever mode of autograd the caller is in."""

from __future__ import annotations

import pytest
import torch
from conftest import SMALLEST_FIT, make_encoder, make_tokenizer
from tiny import make_wan

import unseen
from unseen.baselines import BASELINES
from unseen.encoder.fingerprint import architecture

QUICK = {
    "cgce": {"steps": 5, "pairs": 20, "retain": 20},
    "concept_steerer": {"steps": 5, "pairs": 20, "retain": 20},
    "uce": {"pairs": 20, "retain": 20},
    "t2v_unlearning": {
        "iterations": 2, "rank": 2, "pairs": 6,
        "call": {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 2, "max_sequence_length": 24},
    },
}  # fmt: skip
MODES = [torch.no_grad, torch.inference_mode]


def fit(pair):
    return unseen.fit(pair, "zeppelin", config=SMALLEST_FIT, progress=False)


@pytest.fixture(scope="module")
def plain():
    """The eraser that a fit in the usual mode gives."""
    return fit((make_tokenizer(), make_encoder("umt5")))


@pytest.mark.parametrize("mode", MODES)
def test_a_fit_is_the_same_where_autograd_is_off(mode, plain):
    """Case 37."""
    pair = make_tokenizer(), make_encoder("umt5")
    assert plain.encoder_architecture == architecture(pair[1])
    with mode():
        again = fit(pair)
        assert not torch.is_grad_enabled()
    assert again.key == plain.key


@pytest.mark.parametrize("mode", MODES)
def test_a_fit_works_on_weights_that_were_loaded_where_autograd_is_off(mode, plain):
    """Case 37."""
    with mode():
        pair = make_tokenizer(), make_encoder("umt5")
        assert fit(pair).key == plain.key
    assert fit(pair).key == plain.key


@pytest.fixture(scope="module")
def many():
    """What a fit of two concepts in the usual mode gives."""
    return unseen.fit_many(
        (make_tokenizer(), make_encoder("umt5")), ["zeppelin", "wolf"], config=SMALLEST_FIT, progress=False
    )


@pytest.mark.parametrize("mode", MODES)
def test_fits_of_many_are_the_same_where_autograd_is_off(mode, many):
    """Case 37."""
    pair = make_tokenizer(), make_encoder("umt5")
    with mode():
        again = unseen.fit_many(pair, ["zeppelin", "wolf"], config=SMALLEST_FIT, progress=False)
    assert [eraser.key for eraser in again] == [eraser.key for eraser in many]


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_fitted_where_autograd_is_off(name):
    """Case 37."""
    pipe = make_wan()
    plain = BASELINES[name].fit(pipe, "zeppelin", progress=False, **QUICK.get(name, {}))
    for mode in MODES:
        with mode():
            again = BASELINES[name].fit(pipe, "zeppelin", progress=False, **QUICK.get(name, {}))
        assert again.key == plain.key, mode
