"""What a fit learns from: the prompts of one concept, and the states that a text encoder made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..concept import Concept
from ..encoder.activations import BlockActivations, candidate_layers, encode_by_length
from ..encoder.fingerprint import architecture, fingerprint
from ..encoder.hooks import require_unedited
from ..encoder.layers import EMBEDDING, execution_device
from ..encoder.replay import Replay
from ..errors import FitError
from ..pipelines import TextPath
from ..prompts.writer import FitPrompts
from .config import ClearConfig
from .gate import prompt_maxima
from .probe import EncoderOutputProbe, roles_of_pairs
from .sae import SAMPLE_TOKENS, ordinary_tokens


@dataclass(frozen=True, eq=False)
class Source:
    """The text encoder that a fit reads with."""

    path: TextPath
    candidates: tuple[int, ...]
    """Layers among which the search chooses."""
    fingerprint: str
    architecture: str
    device: torch.device
    """Where states are kept."""
    known: dict[tuple[Any, ...], Tensor] = field(default_factory=dict, repr=False)
    """States that several concepts need, by what they are of, once they were read."""


@dataclass(frozen=True, eq=False)
class FitData:
    """The prompts of one concept and their states. Prompts are positives, negatives, retain and same-word prompts, in
    this order, and tokens lie prompt after prompt; the states of several concepts may lie in one tensor.

    Indices and masks are on the CPU.
    """

    source: Source
    concept: Concept
    prompts: FitPrompts
    seed: int
    layers: tuple[int, ...]
    """Layers that were read, as the first axis of `states.hidden`."""
    states: BlockActivations

    # Masks of prompts, bool [prompts]
    positive: Tensor
    """Prompts about the concept."""
    paired: Tensor
    """Prompts about the concept, and those they are paired with."""
    same_word: Tensor
    """Prompts about something else that share a word with the concept's name."""
    held_out: Tensor
    """Prompts on which nothing is trained: the last pairs, and every tenth retain prompt."""

    # Of each token [tokens]
    where: Tensor
    """Its place among the states."""
    prompt: Tensor
    """The number of its prompt."""
    ordinary: Tensor
    """Whether it is no attention sink at any layer."""
    sae_tokens: Tensor
    """The tokens `[n]` that the autoencoders are trained on."""

    def place_of(self, layer: int) -> int:
        """Where `layer` stands in the states, and in a bank trained on them."""
        return self.layers.index(layer)

    def tokens_of(self, keep: Tensor) -> Tensor:
        """Tokens of the prompts in `keep` (`[prompts]`, bool)."""
        return keep[self.prompt].nonzero()[:, 0]

    def hidden(self, tokens: Tensor) -> Tensor:
        """States `[layers, n, d]` of `tokens` `[n]`, in the encoder's dtype."""
        return self.states.hidden[:, self.where[tokens]]

    def hidden_at(self, layer: int, tokens: Tensor | None = None) -> Tensor:
        """States `[n, d]` of `tokens` (default all) after `layer`, float32."""
        own = self.states.hidden[self.place_of(layer)]
        return own[self.where if tokens is None else self.where[tokens]].float()

    def sides(self, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens of the pairs' positives, and of their negatives, among the prompts in `wanted` (`[prompts]`, bool)."""
        return self.tokens_of(wanted & self.positive), self.tokens_of(wanted & self.paired & ~self.positive)

    def name_tokens(self, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Those of them where the two prompts of a pair differ."""
        sides = self.sides(wanted)
        roles = roles_of_pairs(*map(self.at, sides))
        return sides[0][roles[0]["name"]], sides[1][roles[1]["name"]]

    @property
    def contrast(self) -> tuple[Tensor, Tensor]:
        """Training tokens of prompts about the concept, and of those about other things.

        Prompts that share a word with the concept are the gate's business: at early layers, where a word is still
        itself, they would leave no feature specific to a name made of ordinary words.
        """
        other = ~self.positive & ~self.same_word
        return self.tokens_of(self.positive & ~self.held_out), self.tokens_of(other & ~self.held_out)

    def at(self, tokens: Tensor) -> BlockActivations:
        """Outputs, ids and prompts of `tokens` `[n]`, without the states of layers."""
        return self.states.at(self.where[tokens])._replace(prompt=self.prompt[tokens])

    def maxima(self, f: Tensor) -> Tensor:
        """Maximum of each feature over each prompt, `[prompts, k]`, of activations on all tokens `[tokens, k]`."""
        return prompt_maxima(f, self.prompt, len(self.positive))

    def sample(self, generator: torch.Generator) -> Tensor:
        """States `[layers, n, d]` from which autoencoders start."""
        return self.hidden(subset(self.sae_tokens, SAMPLE_TOKENS, generator))

    def batch(self, size: int, generator: torch.Generator) -> Tensor:
        """States `[layers, size, d]` of random training tokens."""
        return self.hidden(self.sae_tokens[torch.randint(len(self.sae_tokens), (size,), generator=generator)])

    @cached_property
    def output_probe(self) -> EncoderOutputProbe:
        """Judges trial edits at the encoder's output: probes from the training pairs, measured on the held-out ones."""
        path = self.source.path
        train, held_out = (tuple(map(self.at, self.sides(wanted))) for wanted in (~self.held_out, self.held_out))
        positives = [
            pair.positive for pair, held in zip(self.prompts.pairs, self.held_out.tolist(), strict=False) if held
        ]
        return EncoderOutputProbe(train, held_out, Replay(path.tokenizer, path.encoder, positives, path.form))


def source_of(path: TextPath, config: ClearConfig) -> Source:
    """The text encoder of `path`, looked at once.

    Raises:
        FitError: the configured layer does not exist.
        AlreadyAttachedError: erasers are attached to the encoder.
    """
    require_unedited(path.encoder)
    embedding = config.search.embedding or config.search.layer == EMBEDDING
    layers = candidate_layers(path.encoder, embedding=embedding, form=path.form)
    if config.search.layer is not None and config.search.layer not in layers:
        raise FitError(
            f"expected a layer from 0 to {layers[-1]} (or {EMBEDDING} for the embedding output), got search.layer ="
            f" {config.search.layer}."
        )
    device = execution_device(path.encoder) if config.fit_device is None else torch.device(config.fit_device)
    return Source(path, tuple(layers), fingerprint(path.encoder), architecture(path.encoder), device)


def read(
    source: Source, concept: Concept, prompts: FitPrompts, config: ClearConfig, seed: int, layers: Sequence[int]
) -> FitData:
    """The data of one concept: every prompt encoded, `layers` kept."""
    states = encode(source, prompts.texts, config, layers)
    ordinary, places = ordinary_tokens(states.hidden).cpu(), torch.arange(len(prompts.texts))
    return view(source, concept, prompts, config, seed, layers, states, ordinary, places)


def encode(source: Source, texts: Sequence[str], config: ClearConfig, layers: Sequence[int]) -> BlockActivations:
    """States of `texts` where the fit keeps them, in the encoder's own dtype."""
    tokenizer, encoder, form = source.path.tokenizer, source.path.encoder, source.path.form
    return encode_by_length(
        tokenizer, encoder, texts, form,
        layers=layers, batch_size=config.prompts.batch_size, device=source.device, dtype=None,
    )  # fmt: skip


def view(
    source: Source,
    concept: Concept,
    prompts: FitPrompts,
    config: ClearConfig,
    seed: int,
    layers: Sequence[int],
    states: BlockActivations,
    ordinary: Tensor,
    places: Tensor,
) -> FitData:
    """The data of a concept whose prompts lie at `places` `[prompts]` of `states`, of which `ordinary` ones are no
    attention sinks."""
    pairs, number = len(prompts.pairs), torch.arange(len(places))
    positive, paired = number < pairs, number < 2 * pairs
    same_word = number >= 2 * pairs + len(prompts.retain)
    held_out = torch.where(paired, number % pairs >= pairs - config.prompts.held_out, ~same_word & (number % 10 == 0))
    where = states.tokens_of(places)
    lengths = states.prompt.bincount(minlength=int(places.max()) + 1)[places]
    prompt = number.repeat_interleave(lengths)
    trained = (~held_out[prompt] & ordinary[where]).nonzero()[:, 0]
    return FitData(
        source, concept, prompts, seed, tuple(layers), states,
        positive, paired, same_word, held_out, where, prompt, ordinary[where],
        sae_tokens=subset(trained, config.sae.max_tokens, torch.Generator().manual_seed(seed)),
    )  # fmt: skip


def subset(tokens: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """At most `limit` of `tokens` `[n]`, drawn at random."""
    return tokens[torch.randperm(len(tokens), generator=generator)[:limit]] if len(tokens) > limit else tokens
