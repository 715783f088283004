"""How much memory a fit needs, and in how many groups of layers it has to run to stay within a budget.

The encoder's weights stay loaded. Beside them, on the device that computes, lie the states of the layers that are read,
in the encoder's dtype and once, the autoencoders of these layers, and the passes of the held-out prompts that trial
edits are taken up from. Layers that do not fit together are trained in groups, one encoding of the prompts for each;
only one group's states exist at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ..encoder.activations import PADS_READ, PromptForm
from ..encoder.identity import identity
from ..errors import FitError
from .config import ClearConfig
from .sae import SAMPLE_TOKENS

TOKENS_PER_PROMPT = 16
"""Mean length of the prompts that a fit writes, special tokens included."""
SAME_WORD = 48
"""Prompts about something else that share a word with the concept."""
_FLOAT = 4
PROGRAM = 500_000_000
"""Python with torch and transformers loaded."""


@dataclass(frozen=True)
class FitMemory:
    """Sizes that decide what a fit needs, in bytes unless said otherwise."""

    encoder: int
    """Weights of the text encoder."""
    element: int
    """Bytes of a number in the encoder's dtype."""
    width: int
    """d, width of a layer's states."""
    feed_forward: int
    """Width inside a layer."""
    layers: int
    """Candidate layers."""
    prompts: int
    tokens: int
    """Tokens whose states are kept, of all prompts."""
    batch_tokens: int
    """Tokens of one encoding batch, padding included."""
    held_out_tokens: int
    """Tokens of the held-out positives, padding included."""
    features: int
    """m, features per autoencoder."""
    batch: int
    """Tokens per autoencoder step."""

    def states(self, layers: int) -> int:
        """States of `layers` layers at all kept tokens, and the encoder's output in float32."""
        return self.tokens * self.width * (layers * self.element + _FLOAT)

    def bank(self, layers: int) -> int:
        """Weights of the autoencoders of `layers` layers."""
        return layers * (2 * self.width * self.features + self.features + self.width) * _FLOAT

    def encoding(self, layers: int) -> int:
        """What a batch needs on its way through the encoder, with `layers` layers read."""
        return self.batch_tokens * (3 * self.feed_forward + (8 + layers) * self.width) * self.element

    def start(self, layers: int) -> int:
        """The sample that the autoencoders start from, and one layer of it in float32."""
        tokens = min(self.tokens, SAMPLE_TOKENS)
        return tokens * self.width * (layers * self.element + 2 * _FLOAT)

    def training(self, layers: int) -> int:
        """Autoencoders with gradients, moments and the copy that is judged, and what a step computes."""
        step = layers * self.batch * (4 * self.features + 4 * self.width) * _FLOAT
        return 5 * self.bank(layers) + step

    def judging(self, layers: int) -> int:
        """The passes of the held-out prompts, all layers of them, and features of as many tokens as are looked at."""
        replay = self.held_out_tokens * self.width * self.layers * self.element
        looked_at = min(self.tokens, 4096) * (2 * self.features + 2 * self.width) * layers * _FLOAT
        return replay + looked_at + 4 * self.width**2 * _FLOAT

    def peak(self, group: int | None = None) -> int:
        """Most memory at any time with `group` layers trained together (default all)."""
        layers = min(group or self.layers, self.layers)
        finished = self.bank(self.layers) if layers < self.layers else 0
        learning = self.training(layers) + max(self.start(layers), self.judging(layers))
        return PROGRAM + self.encoder + finished + self.states(layers) + max(self.encoding(layers), learning)

    def group_within(self, budget: int) -> int:
        """The most layers that can be trained together in `budget` bytes.

        Raises:
            FitError: not even one.
        """
        for group in range(self.layers, 0, -1):
            if self.peak(group) <= budget:
                return group
        raise FitError(
            f"the memory budget is {budget / 1e9:.2f} GB, but a fit needs at least {self.peak(1) / 1e9:.2f} GB even one"
            f" layer at a time ({self.encoder / 1e9:.2f} GB of it are the text encoder). Raise memory_budget, or lower"
            " prompts.pairs and prompts.retain."
        )


def prompts_of(config: ClearConfig) -> int:
    """How many prompts a fit encodes."""
    return 2 * config.prompts.pairs + config.prompts.retain + SAME_WORD


def fit_memory(
    config: ClearConfig, form: PromptForm, *, encoder: int, element: int, width: int, feed_forward: int, layers: int
) -> FitMemory:
    """The sizes of a fit of a text encoder with these shapes, whose weights take `encoder` bytes."""
    prompts = prompts_of(config)
    words = min(form.length, TOKENS_PER_PROMPT)
    kept = words + (PADS_READ if form.attend_pads else 0)
    padded = form.length if form.attend_pads or form.skip else 2 * words
    return FitMemory(
        encoder=encoder,
        element=element,
        width=width,
        feed_forward=feed_forward,
        layers=layers,
        prompts=prompts,
        tokens=prompts * kept,
        batch_tokens=min(config.prompts.batch_size, prompts) * padded,
        held_out_tokens=config.prompts.held_out * padded,
        features=width * config.sae.expansion if config.sae.expansion else config.sae.num_features,
        batch=config.sae.batch_size,
    )


def shape_of(encoder: nn.Module) -> dict[str, int]:
    """Bytes of weights and of one number, width and inner width of a text encoder, as `fit_memory` wants them."""
    facts = identity(encoder).facts
    width = facts.get("d_model") or facts.get("hidden_size")
    if width is None:
        raise FitError(
            f"expected a text encoder whose width is known, but {type(encoder).__name__} has no configuration that says"
            " it, so a memory budget cannot be kept. Leave memory_budget out."
        )
    inner = facts.get("d_ff") or facts.get("intermediate_size") or 4 * width
    weights = sum(p.numel() * p.element_size() for p in encoder.parameters())
    element = next(encoder.parameters()).element_size()
    return {"encoder": weights, "element": element, "width": width, "feed_forward": int(inner)}
