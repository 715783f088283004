"""Erasers inside serving engines. The stand-ins have the attributes and calls of vLLM-Omni's `Wan22Pipeline` and of
SGLang's `TextEncodingStage`, around real encoders of transformers; neither package is installed here.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import T5Config, T5ForConditionalGeneration

from unseen import UnguardedInputError, UnsupportedPipelineError, WrongEncoderError
from unseen.integrations.engines import guard_engine

TARGET, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river"


class Wan22Pipeline(nn.Module):
    """vLLM-Omni's, as far as text goes: a module with encoder and tokenizer, prompts padded and cut again."""

    def __init__(self, tokenizer, text_encoder):
        super().__init__()
        self.tokenizer, self.text_encoder = tokenizer, text_encoder

    @torch.no_grad()
    def encode_prompt(self, prompt, negative_prompt=None, do_classifier_free_guidance=True, num_videos_per_prompt=1,
                      max_sequence_length=512, device=None, dtype=None):  # fmt: skip
        inputs = self.tokenizer(prompt, padding="max_length", max_length=max_sequence_length, return_tensors="pt")
        states = self.text_encoder(inputs.input_ids, inputs.attention_mask).last_hidden_state
        return states * inputs.attention_mask[..., None], None


class TextEncodingStage:
    """SGLang's: lists of encoders and tokenizers, called by keyword; of an encoder-decoder the encoder runs."""

    def __init__(self, text_encoders, tokenizers):
        self.text_encoders, self.tokenizers = text_encoders, tokenizers

    @torch.no_grad()
    def encode_text(self, texts):
        embeds = []
        for encoder, tokenizer in zip(self.text_encoders, self.tokenizers, strict=True):
            inputs = tokenizer(texts, padding=True, return_tensors="pt")
            given = {
                "input_ids": inputs.input_ids,
                "attention_mask": inputs.attention_mask,
                "output_hidden_states": True,
            }
            try:
                made = encoder(**given, use_cache=False)
            except (ValueError, TypeError):
                made = (encoder.get_encoder() if hasattr(encoder, "decoder") else encoder)(**given)
            embeds.append(made.last_hidden_state)
        return embeds


class Pipeline:
    """SGLang's composed pipeline: stages in order."""

    def __init__(self, *stages):
        self.stages = list(stages)


@pytest.fixture
def encoder(encoder_of):
    return encoder_of("umt5")


@pytest.fixture
def eraser(tokenizer, encoder, eraser_of):
    return eraser_of(tokenizer, encoder)


def test_a_pipeline_of_vllm_omni(tokenizer, encoder, eraser):
    pipe = Wan22Pipeline(tokenizer, encoder)

    def encode(prompt):
        return pipe.encode_prompt([prompt], max_sequence_length=16)[0]

    plain = [encode(prompt) for prompt in (TARGET, UNRELATED)]
    with guard_engine(pipe, eraser) as guard:
        assert guard.attached
        erased = [encode(prompt) for prompt in (TARGET, UNRELATED)]
        assert [firing.token for firing in guard.handles[0].explain(TARGET)] == ["zeppelin"]
    assert not torch.equal(erased[0], plain[0]) and torch.equal(erased[1], plain[1])
    assert torch.equal(encode(TARGET), plain[0]) and not guard.attached


@pytest.mark.parametrize("whole", [False, True])
def test_a_stage_or_a_pipeline_of_sglang(tokenizer, encoder, eraser, whole):
    stage = TextEncodingStage([encoder], [tokenizer])
    plain = [stage.encode_text([prompt])[0] for prompt in (TARGET, UNRELATED)]
    with guard_engine(Pipeline(object(), stage) if whole else stage, [eraser]):
        erased = [stage.encode_text([prompt])[0] for prompt in (TARGET, UNRELATED)]
    assert not torch.equal(erased[0], plain[0]) and torch.equal(erased[1], plain[1])
    assert torch.equal(stage.encode_text([TARGET])[0], plain[0])


def test_the_encoder_of_an_encoder_decoder(tokenizer, eraser_of):
    torch.manual_seed(0)
    sizes = {"vocab_size": 2048, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 3, "num_heads": 4}
    both = T5ForConditionalGeneration(T5Config(**sizes)).eval()
    nn.init.normal_(both.shared.weight)
    stage = TextEncodingStage([both], [tokenizer])
    plain = stage.encode_text([TARGET])[0]
    with guard_engine(stage, eraser_of(tokenizer, both.get_encoder())):
        assert not torch.equal(stage.encode_text([TARGET])[0], plain)
    assert torch.equal(stage.encode_text([TARGET])[0], plain)


def test_what_would_not_be_guarded_is_refused(tokenizer, encoder, encoder_of, eraser, eraser_of):
    other = encoder_of("umt5", seed=1)
    with pytest.raises(WrongEncoderError, match=r"text_encoders\[0\]"):
        guard_engine(TextEncodingStage([other], [tokenizer]), eraser)
    both = TextEncodingStage([encoder, other], [tokenizer, tokenizer])
    with pytest.raises(UnguardedInputError, match=r"through text_encoders\[1\]"):
        guard_engine(both, eraser)
    guard_engine(both, eraser, allow_unguarded_encoders=True).detach()
    with guard_engine(both, [eraser, eraser_of(tokenizer, other)]) as guard:
        assert len(guard.handles) == 2
    for engine in (object(), TextEncodingStage([], []), Pipeline(object())):
        with pytest.raises(UnsupportedPipelineError, match="expected erasers, and a pipeline"):
            guard_engine(engine, eraser)
    with pytest.raises(UnsupportedPipelineError, match="a tokenizer for each"):
        guard_engine(TextEncodingStage([encoder, other], [tokenizer]), eraser)
    guard_engine(Wan22Pipeline(tokenizer, encoder), eraser).detach()  # nothing was left behind
