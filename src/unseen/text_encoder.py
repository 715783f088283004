"""The one place that knows text encoders: where their blocks are, what a block returns, how to read and change it.

A *block* is one transformer layer; its index runs from 0 to L−1 everywhere in this library, for reading and for
editing. `EMBEDDING`, −1, stands for what the first block is given: the embedding output.
Blocks are found by structure, so BERT, T5, UMT5 and CLIP text encoders need no special case. Hidden states are read
with the very hook that edits them: `output_hidden_states` ends on a normalised state and may not see an edit.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .errors import UnsupportedEncoderError

Edit = Callable[[Tensor, Tensor | None], Tensor | None]
"""`(hidden [batch, tokens, d], valid [batch, tokens] bool or None) -> changed hidden, or None to leave it
untouched`."""

EMBEDDING = -1
"""Index of the embedding output, which can be read and edited like a block's output."""


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


def find_blocks(encoder: nn.Module) -> nn.ModuleList:
    """The transformer blocks of `encoder`, first to last.

    They are the one outermost `ModuleList` whose members share a class and hold at least two linear layers each.
    Raises `UnsupportedEncoderError` when there is no such list, or several (an encoder-decoder: pass its encoder).
    """
    found: dict[str, nn.ModuleList] = {}
    for name, module in encoder.named_modules():
        if any(name.startswith(f"{outer}.") for outer in found) or not isinstance(module, nn.ModuleList):
            continue
        same_class = len({type(member) for member in module}) == 1
        if same_class and all(sum(isinstance(m, nn.Linear) for m in member.modules()) >= 2 for member in module):
            found[name] = module
    if len(found) != 1:
        raise UnsupportedEncoderError(
            f"expected exactly one list of transformer blocks in {type(encoder).__name__}, found {sorted(found) or 0}."
            " Pass the text encoder alone (for an encoder-decoder model, its encoder)."
        )
    return next(iter(found.values()))


def num_blocks(encoder: nn.Module) -> int:
    """How many blocks the encoder has (L)."""
    return len(find_blocks(encoder))


def candidate_layers(encoder: nn.Module, *, embedding: bool, form: PromptForm = SHORT) -> list[int]:
    """Every index where an edit reaches the video model: its blocks, and before them, with `embedding`, the embedding
    output."""
    return list(range(EMBEDDING if embedding else 0, form.blocks or num_blocks(encoder)))


def layer_name(layer: int) -> str:
    """How an index is called in tables: "embedding", "block 0", "block 1", ..."""
    return "embedding" if layer == EMBEDDING else f"block {layer}"


def eager(encoder: nn.Module) -> nn.Module:
    """The module inside a `torch.compile`d one; hooks put on the outside, or after compiling, would not be seen."""
    return getattr(encoder, "_orig_mod", encoder)


def run_uncompiled(encoder: nn.Module) -> Callable[[], None]:
    """Let modules that were compiled in place (`module.compile()`) run as written; returns what undoes it."""
    compiled = [(m, m._compiled_call_impl) for m in encoder.modules() if m._compiled_call_impl is not None]
    for module, _ in compiled:
        module._compiled_call_impl = None

    def undo() -> None:
        for module, call in compiled:
            module._compiled_call_impl = call

    return undo


def execution_device(encoder: nn.Module) -> torch.device:
    """Where the encoder computes: with offloading, not where its weights lie."""
    for module in encoder.modules():
        device = getattr(getattr(module, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device)
    return next(encoder.parameters()).device


def rewrite_block_output(output: Any, edit: Callable[[Tensor], Tensor | None]) -> Any | None:
    """Apply `edit` to the hidden states inside whatever a block returned, and pack the result the same way.

    A block returns a tensor or a tuple that starts with one, depending on model and transformers version; a bare tensor
    handed back for a tuple is silently wrong on some batch sizes. The result has dtype and device of the hidden states
    that came (in fp16 models these are fp32, so the model's dtype must not be used). None means "leave as it is".
    """
    hidden = output[0] if isinstance(output, tuple) else output
    edited = edit(hidden)
    if edited is None:
        return None
    edited = edited.to(device=hidden.device, dtype=hidden.dtype)
    return (edited, *output[1:]) if isinstance(output, tuple) else edited


def install_edits(encoder: nn.Module, edits: Mapping[int, Edit]) -> Callable[[], None]:
    """Hook `edits` (block index or `EMBEDDING` → edit) into `encoder`; returns the function that removes every hook.

    An edit also receives the attention mask of the running call as a boolean `[batch, tokens]`, or None when the
    pipeline passed none (CogVideoX attends to its padding, Wan does not).
    """
    blocks = find_blocks(encoder)
    parameters = list(inspect.signature(encoder.forward).parameters)
    mask_position = parameters.index("attention_mask")
    valid: list[Tensor | None] = [None]

    def remember_mask(module: nn.Module, args: tuple, kwargs: dict) -> None:
        mask = kwargs.get("attention_mask", args[mask_position] if len(args) > mask_position else None)
        valid[0] = None if mask is None else mask > 0

    def hook_for(edit: Edit) -> Callable:
        return lambda module, args, output: rewrite_block_output(output, lambda hidden: edit(hidden, valid[0]))

    def input_hook_for(edit: Edit) -> Callable:
        def hook(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
            given = args or (kwargs["hidden_states"],)
            changed = rewrite_block_output(given, lambda hidden: edit(hidden, valid[0]))
            if changed is None:
                return None
            return (changed, kwargs) if args else (args, {**kwargs, "hidden_states": changed[0]})

        return hook

    handles = [encoder.register_forward_pre_hook(remember_mask, with_kwargs=True)]
    for index, edit in edits.items():
        if index == EMBEDDING:
            handles.append(blocks[0].register_forward_pre_hook(input_hook_for(edit), with_kwargs=True))
        else:
            handles.append(blocks[index].register_forward_hook(hook_for(edit)))

    def remove() -> None:
        for handle in handles:
            handle.remove()

    return remove


@contextmanager
def edited(encoder: nn.Module, edits: Mapping[int, Edit]) -> Iterator[None]:
    """`install_edits` for the length of a `with` block."""
    remove = install_edits(encoder, edits)
    try:
        yield
    finally:
        remove()


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
            rows = torch.arange(start, start + len(ids))[:, None].expand_as(ids)
            hidden = [captured[index].float().cpu()[valid] for index in layers]
            yield BlockActivations(
                torch.stack(hidden) if hidden else output.new_empty(0, int(valid.sum()), output.shape[-1]).cpu(),
                output.float().cpu()[valid],
                rows[valid],
                ids[valid],
                torch.isin(ids, special_ids)[valid],
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
