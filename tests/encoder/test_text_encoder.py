"""Finding, reading and editing blocks, on real tiny encoders of four families."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unseen.encoder.activations import PromptForm, encode_blocks, encode_by_length
from unseen.encoder.fingerprint import architecture, fingerprint
from unseen.encoder.hooks import edited, rewrite_block_output
from unseen.encoder.layers import EMBEDDING, find_blocks
from unseen.encoder.replay import Replay
from unseen.errors import NonFiniteError, UnsupportedEncoderError

FAMILIES = ("bert", "t5", "umt5", "clip")


def run(encoder, batch, dtype=torch.float32):
    ids = torch.arange(4, 4 + 6).repeat(batch, 1) + torch.arange(batch)[:, None]
    with torch.no_grad():
        return encoder.to(dtype)(ids, torch.ones_like(ids)).last_hidden_state


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_are_found_in_order(encoder_of, family):
    encoder = encoder_of(family)
    order = []
    for index, block in enumerate(find_blocks(encoder)):
        block.register_forward_hook(lambda module, args, output, index=index: order.append(index))
    run(encoder, 1)
    assert order == [0, 1, 2]


def test_a_model_without_or_with_two_block_lists_is_refused():
    with pytest.raises(UnsupportedEncoderError, match="exactly one list"):
        find_blocks(nn.Linear(2, 2))
    block = nn.TransformerEncoderLayer(8, 2)
    two = nn.ModuleDict({"encoder": nn.TransformerEncoder(block, 2), "decoder": nn.TransformerEncoder(block, 2)})
    with pytest.raises(UnsupportedEncoderError, match="its encoder"):
        find_blocks(two)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_edit_of_the_last_block_changes_one_row_only_and_keeps_shape_and_dtype(encoder_of, family, batch, dtype):
    encoder = encoder_of(family)
    plain = run(encoder, batch, dtype)

    def change_last_row(hidden, valid):
        assert hidden.shape == plain.shape
        changed = hidden.float().clone()
        changed[-1] += torch.randn(changed.shape[-1], generator=torch.Generator().manual_seed(0))
        return changed

    with edited(encoder, {2: change_last_row}):
        changed = run(encoder, batch, dtype)
    assert changed.shape == plain.shape and changed.dtype == plain.dtype == dtype
    assert torch.equal(changed[:-1], plain[:-1])
    assert not torch.allclose(changed[-1], plain[-1], atol=0.05)
    assert torch.equal(run(encoder, batch, dtype), plain), "the hook outlived its context"


@pytest.mark.parametrize("family", FAMILIES)
def test_handing_back_the_same_values_is_the_identity(encoder_of, family):
    encoder = encoder_of(family)
    plain = run(encoder, 3)
    with edited(encoder, {0: lambda hidden, valid: hidden.clone(), 2: lambda hidden, valid: None}):
        assert torch.equal(run(encoder, 3), plain)


def test_tuples_stay_tuples_and_dtype_is_that_of_the_hidden_states():
    hidden = torch.ones(3, 2, 4, dtype=torch.float16)
    for output in (hidden, (hidden, "bias")):
        result = rewrite_block_output(output, lambda h: h.float() * 2)
        assert type(result) is type(output)
        first = result[0] if isinstance(result, tuple) else result
        assert first.dtype == torch.float16 and torch.equal(first, hidden * 2)
    assert rewrite_block_output((hidden,), lambda h: None) is None


@pytest.mark.parametrize("family", FAMILIES)
def test_an_edit_at_an_early_block_is_seen_by_later_blocks_and_by_capture(encoder_of, tokenizer, family):
    encoder = encoder_of(family)
    plain = encode_blocks(tokenizer, encoder, ["a red apple", "wolf"])
    changed = encode_blocks(tokenizer, encoder, ["a red apple", "wolf"], edits={1: lambda h, valid: h * 1.5})
    assert torch.equal(changed.hidden[0], plain.hidden[0])
    assert torch.allclose(changed.hidden[1], plain.hidden[1] * 1.5)
    assert not torch.allclose(changed.hidden[2], plain.hidden[2], atol=1e-4)


def test_activations_leave_padding_out_and_mark_special_tokens(encoder_of, tokenizer):
    encoder = encoder_of("bert")
    both = encode_blocks(tokenizer, encoder, ["wolf", "a red apple under a tree"])
    assert both.hidden.shape == (3, 3 + 8, 32) and both.output.shape == (11, 32)
    assert both.prompt.tolist() == [0] * 3 + [1] * 8
    assert both.special.tolist() == [True, False, True, True, *[False] * 6, True]
    alone = encode_blocks(tokenizer, encoder, ["wolf"])
    assert torch.allclose(alone.hidden, both.hidden[:, :3], atol=1e-5), "padding was attended to"


def test_attended_padding_is_kept_as_the_pipeline_makes_it(encoder_of, tokenizer):
    form, encoder = PromptForm(20, attend_pads=True), encoder_of("t5")
    padded = encode_blocks(tokenizer, encoder, ["wolf", "a red apple under a tree"], form, every_token=True)
    assert padded.hidden.shape[1] == 40 and padded.special.sum() == 40 - 7
    read = encode_blocks(tokenizer, encoder, ["wolf", "a red apple under a tree"], form)
    places = [*range(3), 3, 8, 14, 19, *range(20, 28), 28, 32, 35, 39]  # words, and four pads spread evenly
    assert torch.equal(read.hidden, padded.hidden[:, places]) and torch.equal(read.output, padded.output[places])


def test_streaming_in_small_batches_gives_the_same_activations(encoder_of, tokenizer):
    encoder = encoder_of("umt5")
    prompts = ["wolf", "a red apple", "dog near the river", "lemon"]
    small, large = (encode_blocks(tokenizer, encoder, prompts, batch_size=size) for size in (1, 4))
    assert torch.equal(small.prompt, large.prompt) and torch.equal(small.token_id, large.token_id)
    assert torch.allclose(small.hidden, large.hidden, atol=1e-5)


def test_the_fingerprint_tells_encoders_apart_and_survives_bfloat16(encoder_of):
    encoder = encoder_of("bert")
    mark = fingerprint(encoder)
    assert mark == fingerprint(encoder_of("bert")) == fingerprint(encoder.to(torch.bfloat16))
    assert mark != fingerprint(encoder_of("bert", seed=1))
    assert mark != fingerprint(encoder_of("clip"))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_rounded_copy_has_another_fingerprint_and_the_same_architecture(encoder_of, family):
    """Case 24: bf16 is the same encoder, fp8 is a rounded copy of it."""
    encoder = encoder_of(family)
    mark, shape = fingerprint(encoder), architecture(encoder)
    assert (fingerprint(encoder.to(torch.bfloat16)), architecture(encoder)) == (mark, shape)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.copy_(parameter.to(torch.float8_e4m3fn).to(parameter.dtype))
    assert fingerprint(encoder) != mark and architecture(encoder) == shape
    assert architecture(encoder_of(family, seed=1).to("meta")) == shape
    assert len({architecture(encoder_of(other)) for other in FAMILIES}) == len(FAMILIES)


def test_packed_weights_do_not_change_the_architecture(encoder_of):
    """Case 24: 4-bit layers keep two numbers a byte."""

    class Packed(nn.Module):
        def __init__(self, plain):
            super().__init__()
            self.in_features, self.out_features = plain.in_features, plain.out_features
            self.weight = nn.Parameter(
                torch.zeros(plain.weight.numel() // 2, 1, dtype=torch.uint8), requires_grad=False
            )

    encoder = encoder_of("t5")
    shape = architecture(encoder)
    for module in list(encoder.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Linear):
                setattr(module, name, Packed(child))
    assert architecture(encoder) == shape


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_without_a_value_have_no_fingerprint(encoder_of, family):
    with pytest.raises(UnsupportedEncoderError, match="on the meta device and has none"):
        fingerprint(encoder_of(family).to("meta"))


@pytest.mark.parametrize("family", ["bert", "t5", "umt5", "clip"])
def test_the_embedding_output_can_be_read_and_edited(encoder_of, tokenizer, family):
    encoder = encoder_of(family)
    prompts = ["a red apple", "wolf"]
    before = encode_blocks(tokenizer, encoder, prompts, layers=[EMBEDDING, 0])
    inputs = tokenizer(prompts, padding=True, return_tensors="pt")
    states = encoder(inputs.input_ids, inputs.attention_mask, output_hidden_states=True).hidden_states
    assert torch.allclose(before.hidden[0], states[0][inputs.attention_mask > 0], atol=1e-5)
    # what is read under an edit is the edited state, and the blocks work on
    shifted = encode_blocks(
        tokenizer, encoder, prompts, layers=[EMBEDDING, 0], edits={EMBEDDING: lambda h, valid: h + 0.5}
    )
    assert torch.allclose(shifted.hidden[0], before.hidden[0] + 0.5, atol=1e-5)
    assert not torch.allclose(shifted.hidden[1], before.hidden[1], atol=1e-3)
    untouched = encode_blocks(tokenizer, encoder, prompts, edits={EMBEDDING: lambda h, valid: None})
    assert torch.equal(untouched.output, before.output)


def test_tokens_are_found_by_their_prompts_in_any_order(tokenizer, encoder_of):
    prompts = ["a wolf", "a red zeppelin near the river", "an apple on the table"]
    read = encode_by_length(tokenizer, encoder_of("bert"), prompts)
    chosen = encode_by_length(tokenizer, encoder_of("bert"), [prompts[i] for i in (2, 0, 0)])
    tokens = read.tokens_of(torch.tensor([2, 0, 0]))
    assert torch.equal(read.token_id[tokens], chosen.token_id)
    assert (read.output[tokens] - chosen.output).abs().max() < 1e-5


@pytest.mark.parametrize("family", ["bert", "t5", "umt5", "clip"])
@pytest.mark.parametrize("layer", [EMBEDDING, 0, 2])
def test_a_pass_that_is_taken_up_from_a_layer_gives_the_same_bits(tokenizer, encoder_of, family, layer):
    encoder, prompts = encoder_of(family), ["a wolf", "a red zeppelin near the river", "an apple on the table"]
    before = {name: vars(module).get("forward") for name, module in encoder.named_modules()}
    replay = Replay(tokenizer, encoder, prompts, batch_size=2)
    for edit in (lambda h, valid: h + 0.5, lambda h, valid: None):
        expected = encode_blocks(tokenizer, encoder, prompts, layers=[], edits={layer: edit}, batch_size=2).output
        assert torch.equal(replay.output(layer, edit), expected)
    assert {name: vars(module).get("forward") for name, module in encoder.named_modules()} == before


@pytest.mark.parametrize("layers", [None, [], [0], [2]])
@pytest.mark.parametrize("family", ["t5", "umt5"])
def test_states_that_overflow_in_half_precision_are_refused_by_the_layer_where_they_do(
    encoder_of, tokenizer, family, layers
):
    """Case 22: T5 cast to fp16 after loading."""
    encoder = encoder_of(family)
    with torch.no_grad():
        find_blocks(encoder)[1].layer[-1].DenseReluDense.wo.weight.mul_(1e6)
    encode_blocks(tokenizer, encoder, ["a red apple", "wolf"], layers=layers)  # as loaded it is sound
    with pytest.raises(NonFiniteError, match=r"those of block 1 .*float16.*Load the encoder in bfloat16"):
        encode_blocks(tokenizer, encoder.half(), ["a red apple", "wolf"], layers=layers)


def test_states_that_are_not_numbers_are_refused_and_an_edit_that_makes_them_is_told_apart(encoder_of, tokenizer):
    """Case 22."""
    encoder = encoder_of("bert")
    with pytest.raises(NonFiniteError, match="the edit at block 1 makes numbers"):
        encode_blocks(tokenizer, encoder, ["wolf"], edits={1: lambda hidden, valid: hidden * float("nan")})
    with torch.no_grad():
        encoder.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("wolf")] = float("nan")
    encode_blocks(tokenizer, encoder, ["a red apple"])
    with pytest.raises(NonFiniteError, match="those of embedding"):
        encode_blocks(tokenizer, encoder, ["a red apple", "wolf"])
