"""What a text encoder makes of prompts, read in the form in which the pipeline gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import NonFiniteError
from .hooks import Edit, edited
from .layers import EMBEDDING, execution_device, layer_name, num_blocks


class PromptForm(NamedTuple):
    """How a pipeline turns a prompt into what its text encoder reads."""

    length: int = 64
    """Tokens that a prompt is cut to, and with `attend_pads` padded to."""
    attend_pads: bool = False
    """Whether the encoder reads its padding like words (CogVideoX passes no mask) or is told to ignore it (Wan)."""
    template: str = "{}"
    """What the prompt is put into before it is tokenized."""
    skip: int = 0
    """Leading tokens that come from the template and are the same in every prompt."""
    blocks: int | None = None
    """How many blocks the video model gets to see: it may be handed an earlier block's output. None = all."""


PADS_READ = 4
"""Positions of a prompt's attended padding that its activations hold."""

SHORT = PromptForm()
"""A bare encoder with masked padding, as for Wan; 64 tokens hold any prompt that a fit writes."""


class BlockActivations(NamedTuple):
    """Block outputs of many prompts, flattened over the tokens that count (padding left out unless it is attended)."""

    hidden: Tensor
    """Outputs of the read blocks, `[layers, tokens, d]`, float32."""
    output: Tensor
    """What the encoder hands to the video model at the same tokens, `[tokens, d]`, float32."""
    prompt: Tensor
    """Index of the prompt each token belongs to, `[tokens]`."""
    token_id: Tensor
    """Vocabulary id of each token, `[tokens]`."""
    special: Tensor
    """True at [CLS], [SEP], `</s>` and padding, `[tokens]`."""

    def at(self, tokens: Tensor) -> BlockActivations:
        """The activations of some tokens, given by their indices `[k]`, without the block outputs (`hidden` is
        empty)."""
        return BlockActivations(self.hidden[:0, tokens], *(field[tokens] for field in self[1:]))

    def of_prompts(self, keep: Tensor) -> Tensor:
        """Token mask `[tokens]` of the prompts whose entry in `keep` (`[prompts]`, bool) is true."""
        return keep[self.prompt]

    def in_order(self, prompts: Sequence[int]) -> BlockActivations:
        """The activations of the prompts with these indices, in this order; they are counted anew from 0."""
        wanted, lengths = torch.tensor(prompts), self.prompt.bincount(minlength=max(prompts) + 1)
        count = lengths[wanted]
        begins = (lengths.cumsum(0) - lengths)[wanted] - (count.cumsum(0) - count)
        tokens = torch.arange(int(count.sum())) + begins.repeat_interleave(count)
        prompt = torch.arange(len(prompts)).repeat_interleave(count)
        return BlockActivations(
            self.hidden[:, tokens], self.output[tokens], prompt, self.token_id[tokens], self.special[tokens]
        )

    def followed_by(self, other: BlockActivations) -> BlockActivations:
        """Both together; the prompts of `other` are counted on."""
        counted_on = other._replace(prompt=other.prompt + int(self.prompt[-1]) + 1)
        return BlockActivations(
            torch.cat((self.hidden, other.hidden), dim=1),
            *(torch.cat(both) for both in zip(self[1:], counted_on[1:], strict=True)),
        )


def candidate_layers(encoder: nn.Module, *, embedding: bool, form: PromptForm = SHORT) -> list[int]:
    """Every index where an edit reaches the video model: its blocks, and before them, with `embedding`, the embedding
    output."""
    return list(range(EMBEDDING if embedding else 0, form.blocks or num_blocks(encoder)))


@torch.no_grad()
def iter_blocks(
    tokenizer: Any,
    encoder: nn.Module,
    prompts: Sequence[str],
    *,
    form: PromptForm = SHORT,
    layers: Sequence[int] | None = None,
    batch_size: int = 64,
    edits: Mapping[int, Edit] | None = None,
    every_token: bool = False,
) -> Iterator[BlockActivations]:
    """Encode `prompts` batch by batch as the pipeline would, yielding the activations of each batch.

    `layers` are the blocks to read (default all; an empty list reads the encoder output only), `edits` are applied
    while encoding. Padding that is not attended is left out, and batches are then padded to their longest prompt only.
    Of attended padding `PADS_READ` positions a prompt are given, of a template's beginning none, or with `every_token`
    everything: beside ten words there may be two hundred such tokens, and all that is learned would be learned from
    them.
    """
    layers = range(num_blocks(encoder)) if layers is None else layers
    final = [] if form.blocks is None else [form.blocks - 1]
    special_ids = torch.tensor(sorted(set(tokenizer.all_special_ids)))
    device = execution_device(encoder)
    captured: dict[int, Tensor] = {}
    broken: tuple[Tensor, Tensor | None] | None = None

    def capture(index: int) -> Edit:
        edit = (edits or {}).get(index)

        def read(hidden: Tensor, valid: Tensor | None) -> Tensor | None:
            changed = edit(hidden, valid) if edit else None
            captured[index] = hidden if changed is None else changed
            return changed

        return read

    with edited(encoder, {index: capture(index) for index in {*layers, *final, *(edits or {})}}):
        for start in range(0, len(prompts), batch_size):
            inputs = tokenizer(
                [form.template.format(prompt) for prompt in prompts[start : start + batch_size]],
                padding="max_length" if form.attend_pads else True,
                max_length=form.length,
                truncation=True,
                return_tensors="pt",
            )
            ids, mask = inputs.input_ids, inputs.attention_mask
            output = encoder(ids.to(device), attention_mask=None if form.attend_pads else mask.to(device))[0]
            output = captured[final[0]] if final else output
            valid = mask > 0
            if form.attend_pads:
                valid = torch.ones_like(valid) if every_token else valid | _some_pads(valid)
            if not every_token:
                valid[:, : form.skip] = False
            if not all(_finite(states, valid) for states in (output, *captured.values())):
                broken = ids.to(device), None if form.attend_pads else mask.to(device)
                break
            rows = torch.arange(start, start + len(ids))[:, None].expand_as(ids)
            hidden = [captured[index].float().cpu()[valid] for index in layers]
            yield BlockActivations(
                torch.stack(hidden) if hidden else output.new_empty(0, int(valid.sum()), output.shape[-1]).cpu(),
                output.float().cpu()[valid],
                rows[valid],
                ids[valid],
                torch.isin(ids, special_ids)[valid],
            )
    if broken is not None:  # out of reach of the edits
        raise _not_finite(encoder, *broken, edits)


_HALF_LIMIT = torch.finfo(torch.float16).max - 1000
"""Where T5 in transformers cuts states off that overflow in half precision; what is cut off is finite, and wrong."""


def _finite(states: Tensor, valid: Tensor) -> bool:
    """Whether states `[batch, tokens, d]` are sound at the tokens that count; masked padding may hold anything."""
    largest = states.abs().amax(dim=-1).float().cpu()[valid].amax()  # NaN stays NaN
    return bool(largest.isfinite()) and not (states.dtype == torch.float16 and float(largest) >= _HALF_LIMIT)


def _not_finite(
    encoder: nn.Module, ids: Tensor, mask: Tensor | None, edits: Mapping[int, Edit] | None
) -> NonFiniteError:
    """The error that names the first layer whose states are not finite, found by reading all of them once more."""
    first: list[int] = []
    valid = torch.ones_like(ids, dtype=torch.bool).cpu() if mask is None else (mask > 0).cpu()

    def look(index: int) -> Edit:
        def read(hidden: Tensor, _: Tensor | None) -> None:
            if not first and not _finite(hidden, valid):
                first.append(index)

        return read

    with edited(encoder, {index: look(index) for index in range(EMBEDDING, num_blocks(encoder))}):
        output = encoder(ids, attention_mask=mask)[0]
    if edits and not first and _finite(output, valid):
        layers = ", ".join(map(layer_name, sorted(edits)))
        return NonFiniteError(f"expected finite states, but the edit at {layers} makes numbers that are not finite.")
    where, dtype = layer_name(first[0]) if first else "its output", next(encoder.parameters()).dtype
    return NonFiniteError(
        f"expected finite states of the text encoder, but those of {where} overflow or are not numbers"
        f" ({type(encoder).__name__} in {dtype}). Load the encoder in bfloat16 (or float32)."
    )


def _some_pads(words: Tensor) -> Tensor:
    """`PADS_READ` positions of each prompt's padding, spread evenly, bool `[batch, tokens]`."""
    chosen = torch.zeros_like(words)
    for row, own in zip(chosen, words, strict=True):
        pads = (~own).nonzero()[:, 0]
        if len(pads):
            row[pads[torch.linspace(0, len(pads) - 1, PADS_READ).round().long()]] = True
    return chosen


def encode_blocks(
    tokenizer: Any, encoder: nn.Module, prompts: Sequence[str], form: PromptForm = SHORT, **options: Any
) -> BlockActivations:
    """All activations of `prompts` at once; `options` are those of `iter_blocks`.

    Memory is layers × tokens × d × 4 bytes. For large encoders read a few `layers`, or few prompts, at a time.
    """
    parts = list(iter_blocks(tokenizer, encoder, prompts, form=form, **options))
    if not parts:
        raise ValueError("expected at least one prompt, got an empty list.")
    return BlockActivations(
        torch.cat([part.hidden for part in parts], dim=1),
        *(torch.cat([part[field] for part in parts]) for field in range(1, 5)),
    )


def encode_by_length(
    tokenizer: Any, encoder: nn.Module, prompts: Sequence[str], form: PromptForm = SHORT, **options: Any
) -> BlockActivations:
    """`encode_blocks` with prompts of like length in one batch, so that short ones spend no time on padding.

    The result is in the order of `prompts`.
    """
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    part = encode_blocks(tokenizer, encoder, [prompts[index] for index in order], form, **options)
    original = torch.tensor(order)[part.prompt]
    back = original.argsort(stable=True)
    return BlockActivations(
        part.hidden[:, back], part.output[back], original[back], part.token_id[back], part.special[back]
    )
