"""What a text encoder makes of prompts, read in the form in which the pipeline gives them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import NonFiniteError
from .calls import run
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
    whole: int | None = None
    """Last layer at which an edit changes all that is handed on. The states of several layers may be (LTX-2 gives all,
    beginning with the embedding output), and those from before an edit do not have it. None: any layer's does."""
    silent: tuple[int, ...] = ()
    """Where the encoder runs for some prompts only (HunyuanVideo-1.5's ByT5: for words in quotation marks), which of
    the pipeline's floating-point outputs it makes, zeros for the other prompts."""


PADS_READ = 4
"""Positions of a prompt's attended padding that its activations hold."""

SHORT = PromptForm()
"""A bare encoder with masked padding, as for Wan; 64 tokens hold any prompt that a fit writes."""


class BlockActivations(NamedTuple):
    """Block outputs of many prompts, flattened over the tokens that count (padding left out unless it is attended)."""

    hidden: Tensor
    """Outputs of the read blocks, `[layers, tokens, d]`."""
    output: Tensor
    """What the encoder hands to the video model at the same tokens, `[tokens, d]`, float32."""
    prompt: Tensor
    """Index of the prompt each token belongs to, `[tokens]`, as the rest on the CPU."""
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

    def tokens_of(self, prompts: Tensor) -> Tensor:
        """Indices of the tokens of these prompts (`[n]`, one may come twice), prompt after prompt."""
        lengths = self.prompt.bincount(minlength=int(prompts.max()) + 1 if len(prompts) else 0)
        count = lengths[prompts]
        begins = (lengths.cumsum(0) - lengths)[prompts] - (count.cumsum(0) - count)
        return torch.arange(int(count.sum())) + begins.repeat_interleave(count)


def candidate_layers(encoder: nn.Module, *, embedding: bool, form: PromptForm = SHORT) -> list[int]:
    """Every index where an edit reaches all that the video model is given: its blocks, and before them, with
    `embedding` or where nothing else does, the embedding output."""
    end = form.blocks or num_blocks(encoder)
    if form.whole is not None:
        end = min(end, form.whole + 1)
    return list(range(EMBEDDING if embedding or end == EMBEDDING + 1 else 0, end))


class PromptBatch(NamedTuple):
    """Prompts as a text encoder is given them."""

    ids: Tensor
    """`[batch, tokens]`, as all others on the CPU."""
    mask: Tensor | None
    """Attention mask `[batch, tokens]`; None where padding is attended."""
    counted: Tensor
    """Tokens whose states are wanted, bool `[batch, tokens]`."""
    first: int
    """Number of the first prompt."""

    def run(self, encoder: nn.Module) -> Tensor:
        """One pass of `encoder`; its output `[batch, tokens, d]`."""
        device = execution_device(encoder)
        mask = None if self.mask is None else self.mask.to(device)
        return run(encoder, self.ids.to(device), mask)

    def states(self, hidden: Tensor) -> Tensor:
        """The states that are wanted among `hidden` `[batch, tokens, d]`: `[wanted, d]`, in its dtype, on its
        device."""
        return hidden[self.counted.to(hidden.device)]


def prompt_batches(
    tokenizer: Any, prompts: Sequence[str], form: PromptForm, *, batch_size: int = 64, every_token: bool = False
) -> Iterator[PromptBatch]:
    """`prompts` tokenized as the pipeline would, batch by batch.

    Padding that is not attended is left out, and batches are then padded to their longest prompt only. Of attended
    padding `PADS_READ` positions per prompt count, of a template's beginning none, or with `every_token` everything:
    beside ten words there may be two hundred such tokens, and all that is learned would be learned from them.
    """
    for start in range(0, len(prompts), batch_size):
        inputs = tokenizer(
            [form.template.format(prompt) for prompt in prompts[start : start + batch_size]],
            padding="max_length" if form.attend_pads else True,
            max_length=form.length,
            truncation=True,
            return_tensors="pt",
        )
        counted = inputs.attention_mask > 0
        if form.attend_pads:
            counted = torch.ones_like(counted) if every_token else counted | _some_pads(counted)
        if not every_token:
            counted[:, : form.skip] = False
        yield PromptBatch(inputs.input_ids, None if form.attend_pads else inputs.attention_mask, counted, start)


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
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> Iterator[BlockActivations]:
    """Encode `prompts` batch by batch as the pipeline would, yielding the activations of each batch.

    `layers` are the blocks to read (default all; an empty list reads the encoder output only), `edits` are applied
    while encoding; `every_token` is that of `prompt_batches`. States are selected where they are computed, and then
    come to `device` in `dtype` (None: as computed; the output is always in float32). All else is on the CPU.
    """
    batches = prompt_batches(tokenizer, prompts, form, batch_size=batch_size, every_token=every_token)
    yield from _read(tokenizer, encoder, batches, form, layers, edits, device, dtype)


@torch.no_grad()
def _read(
    tokenizer: Any,
    encoder: nn.Module,
    batches: Iterable[PromptBatch],
    form: PromptForm,
    layers: Sequence[int] | None = None,
    edits: Mapping[int, Edit] | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> Iterator[BlockActivations]:
    """`iter_blocks` of prompts that are tokenized."""
    layers = range(num_blocks(encoder)) if layers is None else layers
    final = [] if form.blocks is None else [form.blocks - 1]
    special_ids = torch.tensor(sorted(set(tokenizer.all_special_ids)))
    captured: dict[int, Tensor] = {}
    broken: PromptBatch | None = None

    def capture(index: int) -> Edit:
        edit = (edits or {}).get(index)

        def read(hidden: Tensor, valid: Tensor | None) -> Tensor | None:
            changed = edit(hidden, valid) if edit else None
            captured[index] = hidden if changed is None else changed
            return changed

        return read

    with edited(encoder, {index: capture(index) for index in {*layers, *final, *(edits or {})}}):
        for batch in batches:
            output = batch.run(encoder)
            states = {index: batch.states(captured.pop(index)) for index in list(captured)}
            output = states[final[0]] if final else batch.states(output)
            if not finite([output, *states.values()]):
                broken = batch
                break
            rows = torch.arange(batch.first, batch.first + len(batch.ids))[:, None].expand_as(batch.ids)
            hidden = [states[index].to(device, dtype or states[index].dtype) for index in layers]
            yield BlockActivations(
                torch.stack(hidden) if hidden else output.new_empty(0, *output.shape, dtype=dtype).to(device),
                output.to(device, torch.float32),
                rows[batch.counted],
                batch.ids[batch.counted],
                torch.isin(batch.ids, special_ids)[batch.counted],
            )
    if broken is not None:  # out of reach of the edits
        raise _not_finite(encoder, broken, edits)


_HALF_LIMIT = torch.finfo(torch.float16).max - 1000
"""Where T5 in transformers cuts states off that overflow in half precision; what is cut off is finite, and wrong."""


def finite(states: Sequence[Tensor]) -> bool:
    """Whether states `[tokens, d]` are sound; asked of all at once, since each answer waits for the device."""
    largest = torch.stack([s.abs().amax().double().to(states[0].device) for s in states if s.numel()]).tolist()
    limits = [_HALF_LIMIT if s.dtype == torch.float16 else math.inf for s in states if s.numel()]
    return all(value < limit for value, limit in zip(largest, limits, strict=True))  # NaN is not below anything


def _not_finite(encoder: nn.Module, batch: PromptBatch, edits: Mapping[int, Edit] | None) -> NonFiniteError:
    """The error that names the first layer whose states are not finite, found by reading all of them once more."""
    first: list[int] = []

    def look(index: int) -> Edit:
        def read(hidden: Tensor, _: Tensor | None) -> None:
            if not first and not finite([batch.states(hidden)]):
                first.append(index)

        return read

    with edited(encoder, {index: look(index) for index in range(EMBEDDING, num_blocks(encoder))}):
        output = batch.run(encoder)
    if edits and not first and finite([batch.states(output)]):
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

    The result is in the order of `prompts`, and is filled in place: no states are ever held twice.
    """
    if not prompts:
        raise ValueError("expected at least one prompt, got an empty list.")
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    shorter_first = [prompts[index] for index in order]
    batching = {name: options.pop(name) for name in ("batch_size", "every_token") if name in options}
    batches = list(prompt_batches(tokenizer, shorter_first, form, **batching))
    lengths = torch.zeros(len(prompts), dtype=torch.long)
    for batch in batches:
        numbers = torch.tensor(order[batch.first : batch.first + len(batch.ids)])
        lengths[numbers] = batch.counted.sum(dim=1)
    begins, total = lengths.cumsum(0) - lengths, int(lengths.sum())
    whole: BlockActivations | None = None
    for part in _read(tokenizer, encoder, batches, form, **options):
        number = torch.tensor(order)[part.prompt]
        _, count = part.prompt.unique_consecutive(return_counts=True)
        within = torch.arange(len(number)) - (count.cumsum(0) - count).repeat_interleave(count)
        places = begins[number] + within
        if whole is None:
            whole = BlockActivations(
                part.hidden.new_empty(len(part.hidden), total, part.hidden.shape[-1]),
                *(field.new_empty(total, *field.shape[1:]) for field in part[1:]),
            )
        for field, own in zip(whole, part._replace(prompt=number), strict=True):
            where = places.to(field.device)
            if field is whole.hidden:
                for layer, states in zip(field, own, strict=True):
                    layer[where] = states
            else:
                field[where] = own
    assert whole is not None
    return whole
