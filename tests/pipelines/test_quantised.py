"""Text encoders with 8-bit weights; needs torchao, which is no dependency: pip install torchao."""

from __future__ import annotations

import pytest
import torch
from conftest import SMALL_FIT

import unseen
from unseen.errors import WrongEncoderError

quantization = pytest.importorskip("torchao.quantization")

CALL = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 1, "output_type": "latent"}


@pytest.mark.parametrize("family", ["umt5", "t5"])
def test_an_encoder_with_8_bit_weights_is_fitted_guarded_and_left_as_it_was(pipe_of, family):
    pipe = pipe_of(family)
    whole = unseen.fit(pipe, "zeppelin", config=SMALL_FIT, progress=False)
    quantization.quantize_(pipe.text_encoder, quantization.Int8WeightOnlyConfig())
    with pytest.raises(WrongEncoderError):  # its weights are no longer those that were fitted on
        unseen.attach(pipe, whole)

    def draw(prompt: str) -> torch.Tensor:
        return pipe(prompt, generator=torch.Generator().manual_seed(0), max_sequence_length=16, **CALL).frames

    before = [draw(prompt) for prompt in ("a zeppelin near the river", "a wolf near the river")]
    eraser = unseen.fit(pipe, "zeppelin", config=SMALL_FIT, progress=False)
    with unseen.attach(pipe, eraser):
        during = [draw(prompt) for prompt in ("a zeppelin near the river", "a wolf near the river")]
    assert not torch.equal(before[0], during[0]) and torch.equal(before[1], during[1])
    assert torch.equal(draw("a zeppelin near the river"), before[0])
