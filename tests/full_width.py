"""Fit, attach and encode with a text encoder of T5-XXL's width, and print planned and peak memory; for a slow test."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import torch
from conftest import make_tokenizer
from transformers import T5Config, T5EncoderModel

import unseen
from unseen.clear.config import ClearConfig
from unseen.clear.edit import combined_edit
from unseen.clear.memory import fit_memory, shape_of
from unseen.encoder.activations import PromptForm
from unseen.encoder.hooks import edited
from unseen.encoder.layers import num_blocks

BLOCKS = 8
# so short a fit on random weights has no use for a gate: it might keep shut on the concept itself
CONFIG = ClearConfig().with_options(
    {
        "prompts.pairs": 64, "prompts.held_out": 8, "prompts.retain": 0, "prompts.batch_size": 16,
        "sae.steps": 20, "search.rounds": 2, "search.warm_up": 1, "edit.gate": False,
    }
)  # fmt: skip


def make_encoder() -> T5EncoderModel:
    config = T5Config(
        vocab_size=32128, d_model=4096, d_kv=64, d_ff=10240, num_heads=64, num_layers=BLOCKS,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False,
    )  # fmt: skip
    with torch.device("meta"):
        encoder = T5EncoderModel(config)
    encoder = encoder.to_empty(device="cpu").eval().requires_grad_(False)
    torch.manual_seed(0)
    for name, parameter in encoder.named_parameters():
        parameter.fill_(1.0) if "layer_norm" in name else parameter.normal_(std=0.02)
    torch.nn.init.normal_(encoder.get_input_embeddings().weight)
    return encoder


def main() -> None:
    tokenizer, encoder = make_tokenizer(), make_encoder()
    planned = fit_memory(CONFIG, PromptForm(64), layers=num_blocks(encoder), **shape_of(encoder)).peak()
    eraser = unseen.fit((tokenizer, encoder), "zeppelin", config=CONFIG, progress=False)
    prompt = ["a red zeppelin near the river"]
    # padded like CogVideoX's prompts, but masked, as the fit read them
    inputs = tokenizer(prompt, padding="max_length", max_length=226, return_tensors="pt")
    ids, mask = inputs.input_ids, inputs.attention_mask
    with torch.no_grad():
        plain = encoder(ids, attention_mask=mask)[0]
        with edited(encoder, {eraser.layer: combined_edit([eraser], [eraser.strength])}):
            changed = encoder(ids, attention_mask=mask)[0]
    assert plain.shape == changed.shape == (1, 226, 4096) and not torch.equal(plain, changed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(planned, peak, eraser.layer)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
