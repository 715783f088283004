"""Wan's native T5, which DiffSynth-Studio, musubi-tuner, WanVideoWrapper and LightX2V share, is the same encoder.

The class comes from the package `diffsynth`, of which one file is read: its other modules import torchvision, which is
no dependency here. Install it with `pip install --no-deps diffsynth==1.1.9`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from types import ModuleType

import pytest
import torch
from conftest import SMALL_FIT
from torch import Tensor, nn
from transformers import T5Config, T5EncoderModel

import unseen
from unseen.encoder.activations import encode_blocks
from unseen.encoder.fingerprint import architecture, fingerprint
from unseen.encoder.hooks import edited
from unseen.errors import AlreadyAttachedError, WrongEncoderError

TARGET, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river"
TOLERANCE = 1e-3
"""Most by which states of the two classes differ, in float32 (an outcome of the order of additions)."""


@pytest.fixture(scope="module")
def diffsynth() -> ModuleType:
    """The file of `diffsynth` that holds the class; it needs torch alone."""
    try:
        installed = importlib.metadata.distribution("diffsynth")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs: pip install --no-deps diffsynth==1.1.9")
    file = installed.locate_file("diffsynth/models/wan_video_text_encoder.py")
    spec = importlib.util.spec_from_file_location("wan_video_text_encoder", str(file))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def converted(diffsynth: ModuleType, encoder: nn.Module) -> nn.Module:
    """A `WanTextEncoder` with the weights of a `UMT5EncoderModel`, as Wan's makers publish them in both forms."""
    config = encoder.config
    native = diffsynth.WanTextEncoder(
        vocab=config.vocab_size, dim=config.d_model, dim_attn=config.num_heads * config.d_kv, dim_ffn=config.d_ff,
        num_heads=config.num_heads, num_layers=config.num_layers, num_buckets=config.relative_attention_num_buckets,
        shared_pos=config.model_type == "t5",
    )  # fmt: skip
    native.token_embedding.weight.data = encoder.shared.weight.data.clone()
    native.norm.weight.data = encoder.encoder.final_layer_norm.weight.data.clone()
    for own, other in zip(native.blocks, encoder.encoder.block, strict=True):
        attention, feed_forward = other.layer[0].SelfAttention, other.layer[1].DenseReluDense
        pairs = [
            (own.norm1, other.layer[0].layer_norm), (own.norm2, other.layer[1].layer_norm),
            (own.ffn.gate[0], feed_forward.wi_0), (own.ffn.fc1, feed_forward.wi_1), (own.ffn.fc2, feed_forward.wo),
            *((getattr(own.attn, name), getattr(attention, name)) for name in "qkvo"),
        ]  # fmt: skip
        if attention.has_relative_attention_bias:  # in T5 the first block's alone, which all share
            pairs.append(((own.pos_embedding or native.pos_embedding).embedding, attention.relative_attention_bias))
        for ours, theirs in pairs:
            ours.weight.data = theirs.weight.data.clone()
    return native.eval()


@pytest.fixture
def both(diffsynth, encoder_of) -> tuple[nn.Module, nn.Module]:
    """The same weights as transformers holds them, and as Wan's native class does."""
    encoder = encoder_of("umt5")
    return encoder, converted(diffsynth, encoder)


def test_t5_with_one_position_bias_is_told_from_umt5(diffsynth, tokenizer):
    sizes = {"vocab_size": 2048, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 3, "num_heads": 4}
    config = T5Config(**sizes, feed_forward_proj="gated-gelu")
    torch.manual_seed(0)
    whole = T5EncoderModel(config).eval()
    native = converted(diffsynth, whole)
    assert (fingerprint(native), architecture(native)) == (fingerprint(whole), architecture(whole))
    assert (states(native, tokenizer, TARGET) - states(whole, tokenizer, TARGET)).abs().max() < TOLERANCE


def states(encoder: nn.Module, tokenizer, prompt: str) -> Tensor:
    """`[tokens, d]`, called as each class is called."""
    inputs = tokenizer(prompt, return_tensors="pt")
    with torch.no_grad():
        return encoder(inputs.input_ids, inputs.attention_mask)[0].reshape(-1, 32)


def fired(handle, prompt: str) -> list[tuple[int, str]]:
    return [(firing.position, firing.token) for firing in handle.explain(prompt)]


def test_both_forms_have_one_fingerprint_and_one_architecture(both, diffsynth, encoder_of):
    """Case 18."""
    whole, native = both
    assert fingerprint(native) == fingerprint(whole) == fingerprint(native.to(torch.bfloat16))
    assert architecture(native) == architecture(whole)
    other = converted(diffsynth, encoder_of("umt5", seed=1))
    assert fingerprint(other) != fingerprint(whole) and architecture(other) == architecture(whole)
    with torch.no_grad():
        native.blocks[1].ffn.gate[0].weight.mul_(1.1)
    assert fingerprint(native) != fingerprint(whole)
    swapped = converted(diffsynth, whole)
    swapped.blocks[0], swapped.blocks[1] = swapped.blocks[1], swapped.blocks[0]
    assert fingerprint(swapped) != fingerprint(whole)  # names are free, places are not


def test_states_are_read_from_the_native_form_like_from_the_other(both, tokenizer):
    whole, native = (encode_blocks(tokenizer, encoder, [TARGET, "a wolf"]) for encoder in both)
    assert torch.equal(whole.token_id, native.token_id)
    assert (whole.hidden - native.hidden).abs().max() < TOLERANCE
    assert (whole.output - native.output).abs().max() < TOLERANCE


@pytest.mark.parametrize("fitted_on", ["transformers", "native"])
def test_an_eraser_fitted_on_one_form_does_the_same_on_the_other(both, tokenizer, fitted_on):
    """Case 18: the same tokens fire, and the edited states are equal within rounding."""
    source = both[0] if fitted_on == "transformers" else both[1]
    eraser = unseen.fit((tokenizer, source), "zeppelin", config=SMALL_FIT, progress=False)
    changed, acted = [], []
    for encoder in both:
        plain = states(encoder, tokenizer, TARGET), states(encoder, tokenizer, UNRELATED)
        with unseen.guard_encoder(tokenizer, encoder, eraser) as handle:
            changed.append(states(encoder, tokenizer, TARGET))
            acted.append(fired(handle, TARGET))
            assert torch.equal(states(encoder, tokenizer, UNRELATED), plain[1])
            with pytest.raises(AlreadyAttachedError):
                unseen.guard_encoder(tokenizer, encoder, eraser)
        assert (changed[-1] - plain[0]).abs().max() > 0.1
        assert torch.equal(states(encoder, tokenizer, TARGET), plain[0])  # detached, bit for bit
    assert acted[0] == acted[1] and "zeppelin" in [token for _, token in acted[0]]
    assert (changed[0] - changed[1]).abs().max() < TOLERANCE


def test_another_encoders_eraser_is_refused(both, tokenizer, encoder_of, eraser_of):
    source = encoder_of("umt5", seed=9)
    stranger = eraser_of(tokenizer, source, encoder_architecture=architecture(source))
    with pytest.raises(WrongEncoderError, match="same architecture with other numbers"):
        unseen.guard_encoder(tokenizer, both[1], stranger)


def test_an_edit_is_given_the_mask_however_it_was_passed(both, tokenizer):
    """It is called `mask` in the native form; what is padding must not be edited."""
    inputs = tokenizer([TARGET, "a wolf"], padding="max_length", max_length=20, return_tensors="pt")
    ids, mask = inputs.input_ids, inputs.attention_mask
    given: list[Tensor | None] = []
    for encoder, name in zip(both, ("attention_mask", "mask"), strict=True):
        with torch.no_grad(), edited(encoder, {1: lambda hidden, valid: given.append(valid)}):
            encoder(ids, mask)
            encoder(ids, **{name: mask})
            encoder(ids)
    assert [valid is None or torch.equal(valid, mask > 0) for valid in given] == [True] * 6
    assert [valid is None for valid in given] == [False, False, True] * 2
