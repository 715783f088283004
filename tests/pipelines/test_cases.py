"""Cases 28 and 30: what people do with a pipeline that is attached."""

from __future__ import annotations

import pytest
import torch
from conftest import make_pipe

import unseen
from unseen import EraserBypassedError

TARGET, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river"
CALL = {"height": 32, "width": 32, "num_frames": 5, "max_sequence_length": 16, "output_type": "latent"}


def draw(pipe, prompt=None, **options):
    return pipe(prompt, generator=torch.Generator().manual_seed(0), **{**CALL, **options}).frames


def test_a_model_that_is_distilled_for_guidance_1_and_four_steps(eraser_of):
    """Case 28: CausVid and Lightning LoRAs draw without a negative prompt."""
    pipe = make_pipe()
    few = {"guidance_scale": 1.0, "num_inference_steps": 4}
    plain = [draw(pipe, prompt, **few) for prompt in (TARGET, UNRELATED)]
    with unseen.attach(pipe, eraser_of(pipe.tokenizer, pipe.text_encoder)):
        during = [draw(pipe, prompt, **few) for prompt in (TARGET, UNRELATED)]
        again = draw(pipe, TARGET, negative_prompt=TARGET, **few)
    assert not torch.equal(during[0], plain[0]) and torch.equal(during[1], plain[1])
    assert torch.equal(again, during[0])  # nothing is guided away from


def test_weighted_prompts_are_known_when_they_are_made_through_the_handle(eraser_of):
    """Case 30: compel and sd_embed run the encoder and pass on what they made of its states."""
    pipe = make_pipe()

    @torch.no_grad()
    def weighted(prompt: str) -> torch.Tensor:
        inputs = pipe.tokenizer(prompt, padding="max_length", max_length=16, return_tensors="pt")
        return 1.4 * pipe.text_encoder(inputs.input_ids, inputs.attention_mask)[0]

    few = {"num_inference_steps": 2, "guidance_scale": 1.0}
    plain = draw(pipe, prompt_embeds=weighted(TARGET), **few)
    with unseen.attach(pipe, eraser_of(pipe.tokenizer, pipe.text_encoder)) as handle:
        with pytest.raises(EraserBypassedError, match=r"handle\.encode\(prompts\)"):
            draw(pipe, prompt_embeds=weighted(TARGET), **few)
        made = handle.encode(TARGET, through=weighted)
        during = draw(pipe, prompt_embeds=made["prompt_embeds"], **few)
    assert not torch.equal(during, plain)
