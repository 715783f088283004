"""Fixtures: tiny real models, built in memory from configurations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn
from transformers import PreTrainedTokenizerFast

from unseen.bench.ways.tiny import (
    BLOCKS,
    NOUNS,
    VOCABULARY,
    WIDTH,
    WORDS,
    make_encoder,
    make_eraser,
    make_pipe,
    make_tokenizer,
)
from unseen.clear.eraser import ClearEraser

__all__ = [
    "BLOCKS",
    "NOUNS",
    "VOCABULARY",
    "WIDTH",
    "WORDS",
    "make_encoder",
    "make_eraser",
    "make_pipe",
    "make_tokenizer",
]


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


@pytest.fixture
def encoder_of() -> Callable[..., nn.Module]:
    return make_encoder


@pytest.fixture
def eraser_of() -> Callable[..., ClearEraser]:
    return make_eraser


@pytest.fixture
def pipe() -> Any:
    return make_pipe()


@pytest.fixture
def pipe_of() -> Callable[..., Any]:
    return make_pipe
