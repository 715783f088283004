"""The text encoders of the two models: MiniLM, pretrained by others, and a T5 that was trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase, T5EncoderModel

from unseen.diorama.model.minilm import load_minilm
from unseen.diorama.model.networks import Which, build_t5
from unseen.diorama.stored import WEIGHTS, load_stored

TOKENIZER = "t5_tokenizer"
"""Folder of the T5's SentencePiece tokenizer among the weights."""


def load_t5_tokenizer(weights: Path = WEIGHTS) -> PreTrainedTokenizerBase:
    """The SentencePiece tokenizer of Diorama-CogVideoX."""
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(weights / TOKENIZER)
    return tokenizer


def load_t5(weights: Path = WEIGHTS) -> tuple[PreTrainedTokenizerBase, T5EncoderModel]:
    """Tokenizer and frozen encoder of Diorama-CogVideoX: 12 layers, 256 wide."""
    encoder = build_t5()
    load_stored(encoder, weights / "cogvideox_t5.safetensors")
    return load_t5_tokenizer(weights), encoder.eval().requires_grad_(False)


def load_text_encoder(which: Which = "wan", weights: Path = WEIGHTS) -> tuple[PreTrainedTokenizerBase, nn.Module]:
    """Tokenizer and frozen text encoder of one of the two models."""
    found: tuple[Any, Any] = load_minilm() if which == "wan" else load_t5(weights)
    return found
