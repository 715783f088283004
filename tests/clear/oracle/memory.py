"""How much memory a fit needs, and in how many groups of blocks it has to run to stay within a budget.

The encoder's weights stay loaded. Beside them lie the activations of the blocks that are read (float32 on the CPU,
twice while batches are joined and put in order) and their autoencoders (weights, gradients, Adam's two moments and the
copy that is judged). Trial edits are judged by encoding prompts in between, so both exist at the same time.
Blocks that do not fit together are trained in groups, one encoding of the prompts for each; only one group's
activations exist at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from unseen.encoder.activations import PADS_READ, PromptForm
from unseen.errors import FitError
from .config import ClearConfig

TOKENS_PER_PROMPT = 16
"""Mean length of the prompts that a fit writes, special tokens included."""
SAME_WORD = 48
"""Prompts about something else that share a word with the concept."""
_FLOAT = 4
_PROGRAM = 500_000_000
"""Python with torch and transformers loaded."""


@dataclass(frozen=True)
class FitMemory:
    """Sizes that decide what a fit needs, in bytes unless said otherwise."""

    encoder: int
    """Weights of the text encoder."""
    width: int
    """d, width of a block output."""
    feed_forward: int
    """Width inside a block."""
    layers: int
    """Candidate blocks."""
    prompts: int
    tokens: int
    """Tokens whose block outputs are kept, of all prompts."""
    batch_tokens: int
    """Tokens of one encoding batch, padding included."""
    features: int
    """m, features per autoencoder."""
    batch: int
    """Tokens per autoencoder step."""

    def activations(self, layers: int) -> int:
        """Block outputs of `layers` blocks at all kept tokens."""
        return layers * self.tokens * self.width * _FLOAT

    def bank(self, layers: int) -> int:
        """Weights of the autoencoders of `layers` blocks."""
        return layers * (2 * self.width * self.features + self.features + self.width) * _FLOAT

    def encoding(self, layers: int) -> int:
        """What a batch needs on its way through the encoder, with `layers` blocks read."""
        return self.batch_tokens * (3 * self.feed_forward + (8 + layers) * self.width) * _FLOAT

    def training(self, layers: int) -> int:
        """Autoencoders with gradients, moments and the copy that is judged, and what a step computes."""
        step = layers * self.batch * (4 * self.features + 4 * self.width) * _FLOAT
        return 5 * self.bank(layers) + step

    def peak(self, group: int | None = None) -> int:
        """Most memory at any time with `group` blocks trained together (default all)."""
        layers = min(group or self.layers, self.layers)
        held = 2 * self.activations(layers) + self.tokens * self.width * _FLOAT
        finished = self.bank(self.layers) if layers < self.layers else 0
        return _PROGRAM + self.encoder + finished + held + self.encoding(layers) + self.training(layers)

    def group_within(self, budget: int) -> int:
        """The most blocks that can be trained together in `budget` bytes.

        Raises:
            FitError: not even one.
        """
        for group in range(self.layers, 0, -1):
            if self.peak(group) <= budget:
                return group
        raise FitError(
            f"the memory budget is {budget / 1e9:.2f} GB, but a fit needs at least {self.peak(1) / 1e9:.2f} GB even one"
            f" block at a time ({self.encoder / 1e9:.2f} GB of it are the text encoder). Raise memory_budget, or lower"
            " ClearConfig.pairs and neutral."
        )


def prompts_of(config: ClearConfig) -> int:
    """How many prompts a fit encodes."""
    return 2 * config.pairs + config.neutral + SAME_WORD


def fit_memory(
    config: ClearConfig, form: PromptForm, *, encoder: int, width: int, feed_forward: int, layers: int
) -> FitMemory:
    """The sizes of a fit of a text encoder with these shapes, whose weights take `encoder` bytes."""
    prompts = prompts_of(config)
    words = min(form.length, TOKENS_PER_PROMPT)
    kept = words + (PADS_READ if form.attend_pads else 0)
    padded = form.length if form.attend_pads or form.skip else 2 * words
    return FitMemory(
        encoder=encoder,
        width=width,
        feed_forward=feed_forward,
        layers=layers,
        prompts=prompts,
        tokens=prompts * kept,
        batch_tokens=min(config.encode_batch, prompts) * padded,
        features=config.features,
        batch=config.batch,
    )


def shape_of(encoder: nn.Module) -> dict[str, int]:
    """Bytes of weights, width and inner width of a text encoder, as `fit_memory` wants them."""
    config: Any = encoder.config
    width = int(getattr(config, "d_model", None) or config.hidden_size)
    inner = getattr(config, "d_ff", None) or getattr(config, "intermediate_size", None) or 4 * width
    weights = sum(p.numel() * p.element_size() for p in encoder.parameters())
    return {"encoder": weights, "width": width, "feed_forward": int(inner)}
