"""Tokens of extraordinary norm are left out of the autoencoders' training, and never unsaid."""

from __future__ import annotations

import warnings

import pytest
import torch
from conftest import SMALL_FIT, make_encoder, make_tokenizer

import unseen


def fitted(loud: str | None) -> unseen.ClearEraser:
    tokenizer, encoder = make_tokenizer(), make_encoder("umt5")
    if loud is not None:
        with torch.no_grad():
            encoder.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids(loud)] *= 100
    return unseen.fit((tokenizer, encoder), "zeppelin", config=SMALL_FIT, progress=False)


def test_tokens_left_out_are_counted_in_the_report() -> None:
    """Case 23."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert fitted(None).report["left_out"] == {"tokens": 0, "in_the_name": 0}
        sinks = fitted("</s>").report["left_out"]
    assert sinks["tokens"] > 100 and sinks["in_the_name"] == 0


def test_a_name_of_such_tokens_is_warned_about() -> None:
    """Case 23: a concept's own token is never dropped unsaid."""
    with pytest.warns(UserWarning, match="tokens of the name 'zeppelin' have states many times larger"):
        assert fitted("zeppelin").report["left_out"]["in_the_name"] > 0
