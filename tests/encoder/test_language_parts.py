"""Text encoders that are more than text encoders, or whose layers are of no common class."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from conftest import BLOCKS, SMALL_FIT, VOCABULARY, WIDTH
from torch import nn
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    MistralConfig,
    PixtralVisionConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
)

import unseen
from unseen.encoder.activations import encode_blocks
from unseen.encoder.calls import run
from unseen.encoder.fingerprint import architecture, fingerprint
from unseen.encoder.hooks import edited, install_edits
from unseen.encoder.layers import EMBEDDING, find_blocks, language_part
from unseen.errors import UnsupportedEncoderError

_TEXT = {
    "vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": BLOCKS,
    "num_attention_heads": 4, "num_key_value_heads": 2,
}  # fmt: skip
_SIGHT = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14,
}  # fmt: skip


def make(family: str) -> Any:
    """A tiny model that reads and sees: LTX-2's, Kandinsky 5's or FLUX.2's text encoder."""
    torch.manual_seed(0)
    model: Any
    if family == "gemma3":
        config = Gemma3Config(text_config={**_TEXT, "head_dim": 8}, vision_config=_SIGHT, mm_tokens_per_image=4)
        model = Gemma3ForConditionalGeneration(config)
    elif family == "qwen2.5-vl":
        rope = {"type": "mrope", "mrope_section": [1, 1, 2]}
        sight = {"depth": 2, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": WIDTH}
        ids = {"image_token_id": 9, "video_token_id": 10, "vision_start_token_id": 11}
        text = {**_TEXT, "rope_scaling": rope, "bos_token_id": 1, "eos_token_id": 2}
        model = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=sight, **ids))
    else:
        config = Mistral3Config(
            text_config=MistralConfig(**_TEXT, head_dim=8), vision_config=PixtralVisionConfig(**_SIGHT)
        )
        model = Mistral3ForConditionalGeneration(config)
    nn.init.normal_(model.get_input_embeddings().weight)
    return model.eval()


@pytest.fixture(params=["gemma3", "qwen2.5-vl", "mistral3"])
def model(request) -> Any:
    return make(request.param)


def states(model: Any) -> tuple[torch.Tensor, ...]:
    ids = torch.arange(20, 28)[None]
    with torch.no_grad():
        return model(ids, attention_mask=torch.ones_like(ids), output_hidden_states=True).hidden_states


def test_the_language_parts_layers_are_found(model):
    """Case 9."""
    part = language_part(model)
    assert part is model.model.language_model
    assert list(find_blocks(model)) == list(part.layers) and len(find_blocks(model)) == BLOCKS
    ids = torch.arange(20, 28)[None]
    with torch.no_grad():
        assert torch.equal(run(model, ids, torch.ones_like(ids)), states(model)[-1])


def test_fingerprints_are_those_of_the_language_part(model):
    """An eraser fitted on the whole model fits the text model alone, which HunyuanVideo-1.5 has of Qwen2.5-VL."""
    part = language_part(model)
    assert (fingerprint(model), architecture(model)) == (fingerprint(part), architecture(part))
    with torch.no_grad():
        part.layers[1].mlp.down_proj.weight.mul_(1.1)
    assert fingerprint(model) == fingerprint(part) != fingerprint(make("gemma3"))


@pytest.mark.parametrize("layer", [EMBEDDING, 0, 1, 2])
@pytest.mark.parametrize("collected_before", [False, True])
def test_an_edit_changes_its_own_state_and_every_later_one(model, layer, collected_before):
    """Pipelines that use all states read them from transformers' collection, whose hooks stay once they are there."""
    plain = states(make(model.config.model_type.replace("qwen2_5_vl", "qwen2.5-vl")))
    if collected_before:
        states(model)
    with edited(model, {layer: lambda hidden, valid: hidden + 1}):
        changed = states(model)
    differs = [not torch.equal(a, b) for a, b in zip(plain, changed, strict=True)]
    assert differs == [n > layer for n in range(BLOCKS + 1)]
    assert all(torch.equal(a, b) for a, b in zip(states(model), plain, strict=True))


@pytest.mark.skipif(transformers.__version__ < "5", reason="transformers 4 has no such hooks")
def test_hooks_of_others_keep_their_order(model):
    block, order = find_blocks(model)[1], []
    states(model)  # transformers' hooks are there now
    for name in ("first", "second"):
        block.register_forward_hook(lambda module, args, output, name=name: order.append(name))
    undo = [install_edits(model, {1: lambda h, v, n=n: order.append(n)}) for n in ("ours", "ours too")]
    states(model)
    assert order == ["ours", "ours too", "first", "second"]
    order.clear()
    for remove in undo:
        remove()
    states(model)
    assert order == ["first", "second"]


def test_it_is_fitted_and_guarded_like_any_other(model, tokenizer):
    eraser = unseen.fit((tokenizer, model), "zeppelin", config=SMALL_FIT, progress=False)
    target, other = (tokenizer(f"a red {word} near the river", return_tensors="pt") for word in ("zeppelin", "wolf"))
    with torch.no_grad():
        plain = [model(**inputs).logits for inputs in (target, other)]
        with unseen.guard_encoder(tokenizer, model, eraser) as handle:
            during = [model(**inputs).logits for inputs in (target, other)]
            assert "zeppelin" in {firing.token for firing in handle.explain("a red zeppelin near the river")}
        after = model(**target).logits
    assert not torch.equal(during[0], plain[0]) and torch.equal(during[1], plain[1])
    assert torch.equal(after, plain[0])


def test_an_encoder_with_a_decoder_is_still_refused():
    sizes = {"vocab_size": 64, "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 2, "num_heads": 2}
    model = T5ForConditionalGeneration(T5Config(**sizes, decoder_start_token_id=0))
    with pytest.raises(UnsupportedEncoderError, match="its encoder"):
        find_blocks(model)
    assert len(find_blocks(model.encoder)) == 2


class Column(nn.Module):
    """A share of a linear layer as vLLM and SGLang have it: a bare matrix in a module of its own class."""

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(plain.weight.detach().clone())
        self.input_size, self.output_size = plain.in_features, plain.out_features

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.weight)


class Packed(nn.Module):
    """A layer as GPTQ and AWQ have it: packed numbers in buffers, no parameter at all."""

    def __init__(self, plain: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = plain.in_features, plain.out_features
        self.register_buffer("qweight", plain.weight.detach().clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.qweight)


class VocabularyShard(nn.Module):
    """A token layer of a tensor-parallel encoder, which is no `nn.Embedding`."""

    def __init__(self, plain: nn.Embedding) -> None:
        super().__init__()
        self.weight = nn.Parameter(plain.weight.detach().clone())
        self.num_embeddings, self.embedding_dim = plain.num_embeddings, plain.embedding_dim

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return nn.functional.embedding(ids, self.weight)


def exchange(module: nn.Module, old: type[nn.Module], new: type[nn.Module]) -> None:
    for name, child in list(module.named_children()):
        if type(child) is old:
            setattr(module, name, new(child))
        else:
            exchange(child, old, new)


@pytest.mark.parametrize("layer", [Column, Packed])
@pytest.mark.parametrize("family", ["t5", "umt5", "bert", "clip"])
def test_layers_that_are_no_linear_layers_are_found_by_class_and_place(encoder_of, tokenizer, family, layer):
    """Case 19."""
    encoder = encoder_of(family)
    expected, kinds = encode_blocks(tokenizer, encoder, ["a red apple"]), type(find_blocks(encoder)[0])
    for block in find_blocks(encoder):
        exchange(block, nn.Linear, layer)
    assert not any(isinstance(m, nn.Linear) for block in find_blocks(encoder) for m in block.modules())
    assert [type(block) for block in find_blocks(encoder)] == [kinds] * BLOCKS
    if layer is Column and family in ("t5", "umt5"):  # the others' layers have biases, which these leave out
        assert torch.allclose(encode_blocks(tokenizer, encoder, ["a red apple"]).hidden, expected.hidden, atol=1e-6)


def test_a_bare_token_layer_tells_the_language_part_as_well(model):
    """Case 19, for tensor-parallel encoders of models that see."""
    wanted = list(find_blocks(model))
    exchange(model, type(model.get_input_embeddings()), VocabularyShard)
    model.get_input_embeddings = lambda: None  # as of a class that is none of transformers'
    assert list(find_blocks(model)) == wanted
