"""What a fit learns from: the prompts of one concept, and the states that a text encoder made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

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
from .pairs import roles_of_pairs
from .probe import EncoderOutputProbe
from .sae import ordinary_tokens


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


@dataclass(frozen=True, eq=False)
class FitData:
    """The prompts of one concept and their states. Tokens are counted over positives, negatives, retain and same-word
    prompts, in this order; those of several concepts may lie in one set of states."""

    source: Source
    concept: Concept
    prompts: FitPrompts
    seed: int
    layers: tuple[int, ...]
    """Layers that were read, as the first axis of `states.hidden`."""
    states: BlockActivations
    where: Tensor
    """Place of each token among the states, `[tokens]`, as all indices on the CPU."""
    prompt: Tensor
    """Prompt of each token, `[tokens]`."""
    held_out_pairs: int
    max_tokens: int
    """Most tokens to train on."""

    def hidden(self, tokens: Tensor) -> Tensor:
        """States `[layers, n, d]` of `tokens` `[n]`, in the encoder's dtype."""
        return self.states.hidden[:, self.where[tokens]]

    def hidden_at(self, layer: int, tokens: Tensor | None = None) -> Tensor:
        """States `[n, d]` of `tokens` (default all) after `layer`, float32."""
        own = self.states.hidden[self.place_of(layer)]
        return own[self.where if tokens is None else self.where[tokens]].float()

    def at(self, tokens: Tensor) -> BlockActivations:
        """Outputs, ids and prompts of `tokens` `[n]`, without the states of layers."""
        kept = self.states.at(self.where[tokens])
        return kept._replace(prompt=self.prompt[tokens])

    def place_of(self, layer: int) -> int:
        """Where `layer` stands in the states, and in a bank trained on them."""
        return self.layers.index(layer)

    @property
    def depths(self) -> list[float]:
        """How deep each layer lies among all candidates, from 0 to 1."""
        candidates = self.source.candidates
        return [candidates.index(layer) / max(1, len(candidates) - 1) for layer in self.layers]

    @property
    def texts(self) -> tuple[str, ...]:
        """Every prompt, in order."""
        return texts_of(self.prompts)

    # Prompts, as masks [prompts]

    @cached_property
    def number(self) -> Tensor:
        """0, 1, 2, ... for each prompt."""
        return torch.arange(len(self.texts))

    @property
    def positive(self) -> Tensor:
        """Prompts about the concept."""
        return self.number < len(self.prompts.pairs)

    @property
    def paired(self) -> Tensor:
        """Prompts about the concept, and those they are paired with."""
        return self.number < 2 * len(self.prompts.pairs)

    @property
    def same_word(self) -> Tensor:
        """Prompts about something else that share a word with the concept's name."""
        return self.number >= 2 * len(self.prompts.pairs) + len(self.prompts.retain)

    @cached_property
    def held_out(self) -> Tensor:
        """Prompts on which nothing is trained: the last pairs, and every tenth retain prompt."""
        pairs = len(self.prompts.pairs)
        last = self.paired & (self.number % pairs >= pairs - self.held_out_pairs)
        return last | (~self.paired & ~self.same_word & (self.number % 10 == 0))

    # Tokens, as masks [tokens] or indices

    def of_prompts(self, keep: Tensor) -> Tensor:
        """Token mask of the prompts in `keep` (`[prompts]`, bool)."""
        return keep[self.prompt]

    def tokens_of(self, keep: Tensor) -> Tensor:
        """Tokens of the prompts in `keep` (`[prompts]`, bool)."""
        return self.of_prompts(keep).nonzero()[:, 0]

    @cached_property
    def ordinary(self) -> Tensor:
        """Tokens that are no attention sink at any layer, bool."""
        return ordinary_tokens(self.states.hidden).cpu()[self.where]

    @cached_property
    def sae_tokens(self) -> Tensor:
        """Tokens that the autoencoders are trained on."""
        tokens = (self.of_prompts(~self.held_out) & self.ordinary).nonzero()[:, 0]
        return subset(tokens, self.max_tokens, torch.Generator().manual_seed(self.seed))

    @cached_property
    def output_probe(self) -> EncoderOutputProbe:
        """Judges trial edits at the encoder's output: probes from the training pairs, measured on the held-out ones."""
        path, pairs = self.source.path, self.prompts.pairs
        train, held_out = (
            (self.at(self.tokens_of(asked & self.positive)), self.at(self.tokens_of(asked & ~self.positive)))
            for asked in (self.paired & ~self.held_out, self.paired & self.held_out)
        )
        positives = [pair.positive for pair in pairs[-self.held_out_pairs :]]
        return EncoderOutputProbe(train, held_out, Replay(path.tokenizer, path.encoder, positives, path.form))

    def name_tokens(self, *, held_out: bool) -> tuple[Tensor, Tensor]:
        """Tokens where the prompts of a pair differ: of positives, of negatives."""
        wanted = self.held_out if held_out else ~self.held_out
        sides = [self.tokens_of(wanted & side) for side in (self.positive, self.paired & ~self.positive)]
        roles = roles_of_pairs(*(self.at(tokens) for tokens in sides))
        positive, negative = (tokens[role["name"]] for tokens, role in zip(sides, roles, strict=True))
        return positive, negative


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
    """The data of one concept: every prompt encoded, `layers` kept.

    Raises `FitError` where there are too few pairs.
    """
    require_pairs(prompts, config)
    texts = texts_of(prompts)
    states = encode(source, texts, config, layers)
    return view(source, concept, prompts, config, seed, layers, states, torch.arange(len(texts)))


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
    places: Tensor,
) -> FitData:
    """The data of a concept whose prompts lie at `places` `[prompts]` of `states`."""
    lengths = states.prompt.bincount(minlength=int(places.max()) + 1)[places]
    prompt = torch.arange(len(places)).repeat_interleave(lengths)
    held_out, max_tokens = config.prompts.held_out, config.sae.max_tokens
    where = states.tokens_of(places)
    return FitData(source, concept, prompts, seed, tuple(layers), states, where, prompt, held_out, max_tokens)


def with_layers(data: FitData, config: ClearConfig, layers: Sequence[int]) -> FitData:
    """The same data with the states of other layers, read anew."""
    return replace(data, layers=tuple(layers), states=encode(data.source, data.texts, config, layers))


def texts_of(prompts: FitPrompts) -> tuple[str, ...]:
    """Every prompt of a fit: positives, negatives, retain and same-word prompts."""
    sides = [pair[side] for side in (0, 1) for pair in prompts.pairs]
    return (*sides, *prompts.retain, *prompts.same_word)


def require_pairs(prompts: FitPrompts, config: ClearConfig) -> None:
    """Raise `FitError` where held-out pairs would leave too few to train on."""
    least = 2 * config.prompts.held_out
    if len(prompts.pairs) < least:
        raise FitError(
            f"expected at least {least} prompt pairs (twice prompts.held_out), got {len(prompts.pairs)}. Give more, or"
            " lower prompts.held_out."
        )


def subset(tokens: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """At most `limit` of `tokens` `[n]`, drawn at random."""
    return tokens[torch.randperm(len(tokens), generator=generator)[:limit]] if len(tokens) > limit else tokens
