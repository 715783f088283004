"""The one place that knows text encoders: where their blocks are, what a block returns, how to read and change it.

A *block* is one transformer layer; its index runs from 0 to L−1 everywhere in this library, for reading and for
editing. `EMBEDDING`, −1, stands for what the first block is given: the embedding output.
Blocks are found by structure, so BERT, T5, UMT5 and CLIP text encoders need no special case. Hidden states are read
with the very hook that edits them: `output_hidden_states` ends on a normalised state and may not see an edit.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from .errors import UnsupportedEncoderError

Edit = Callable[[Tensor, Tensor | None], Tensor | None]
"""`(hidden [batch, tokens, d], valid [batch, tokens] bool or None) -> changed hidden, or None to leave it
untouched`."""

EMBEDDING = -1
"""Index of the embedding output, which can be read and edited like a block's output."""

_FINGERPRINT_FACTS = (
    "model_type hidden_size d_model num_hidden_layers num_layers num_attention_heads num_heads "
    "intermediate_size d_ff vocab_size"
).split()


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


def candidate_layers(encoder: nn.Module, *, embedding: bool) -> list[int]:
    """Every index that can be edited: the blocks, and before them, with `embedding`, the embedding output."""
    return list(range(EMBEDDING if embedding else 0, num_blocks(encoder)))


def layer_name(layer: int) -> str:
    """How an index is called in tables: "embedding", "block 0", "block 1", ..."""
    return "embedding" if layer == EMBEDDING else f"block {layer}"


def pads_attended(pipe: Any) -> bool:
    """Whether the pipeline lets its text encoder attend to padding: CogVideoX passes no mask, Wan does."""
    return "CogVideoX" in type(pipe).__name__


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
    max_length: int = 64,
    layers: Sequence[int] | None = None,
    batch_size: int = 64,
    attend_pads: bool = False,
    edits: Mapping[int, Edit] | None = None,
) -> Iterator[BlockActivations]:
    """Encode `prompts` batch by batch as the pipeline would, yielding the activations of each batch.

    `layers` are the blocks to read (default all; an empty list reads the encoder output only), `edits` are applied
    while encoding. With `attend_pads` every prompt is padded to `max_length` and no mask is passed, as CogVideoX does.
    """
    layers = range(num_blocks(encoder)) if layers is None else layers
    special_ids = torch.tensor(sorted(set(tokenizer.all_special_ids)))
    device = next(encoder.parameters()).device
    captured: dict[int, Tensor] = {}

    def capture(index: int) -> Edit:
        edit = (edits or {}).get(index)

        def read(hidden: Tensor, valid: Tensor | None) -> Tensor | None:
            changed = edit(hidden, valid) if edit else None
            captured[index] = hidden if changed is None else changed
            return changed

        return read

    with edited(encoder, {index: capture(index) for index in {*layers, *(edits or {})}}):
        for start in range(0, len(prompts), batch_size):
            inputs = tokenizer(
                list(prompts[start : start + batch_size]),
                padding="max_length" if attend_pads else True,
                max_length=max_length,
                truncation=True,
                return_tensors="pt",
            )
            ids, mask = inputs.input_ids, inputs.attention_mask
            output = encoder(ids.to(device), None if attend_pads else mask.to(device)).last_hidden_state
            valid = torch.ones_like(mask, dtype=torch.bool) if attend_pads else mask > 0
            rows = torch.arange(start, start + len(ids))[:, None].expand_as(ids)
            hidden = [captured[index].float().cpu()[valid] for index in layers]
            yield BlockActivations(
                torch.stack(hidden) if hidden else output.new_empty(0, int(valid.sum()), output.shape[-1]).cpu(),
                output.float().cpu()[valid],
                rows[valid],
                ids[valid],
                torch.isin(ids, special_ids)[valid],
            )


def encode_blocks(
    tokenizer: Any, encoder: nn.Module, prompts: Sequence[str], max_length: int = 64, **options: Any
) -> BlockActivations:
    """All activations of `prompts` at once; `options` are those of `iter_blocks`.

    Memory is layers × tokens × d × 4 bytes. For large encoders read a few `layers`, or few prompts, at a time.
    Longer prompts are cut at `max_length` tokens. Batches are padded to their longest prompt, which masked padding
    does not feel.
    """
    parts = list(iter_blocks(tokenizer, encoder, prompts, max_length=max_length, **options))
    if not parts:
        raise ValueError("expected at least one prompt, got an empty list.")
    return BlockActivations(
        torch.cat([part.hidden for part in parts], dim=1),
        *(torch.cat([part[field] for part in parts]) for field in range(1, 5)),
    )


def encode_by_length(
    tokenizer: Any, encoder: nn.Module, prompts: Sequence[str], max_length: int = 64, **options: Any
) -> BlockActivations:
    """`encode_blocks` with prompts of like length in one batch, so that short ones spend no time on padding.

    The result is in the order of `prompts`.
    """
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    part = encode_blocks(tokenizer, encoder, [prompts[index] for index in order], max_length, **options)
    original = torch.tensor(order)[part.prompt]
    back = original.argsort(stable=True)
    return BlockActivations(
        part.hidden[:, back], part.output[back], original[back], part.token_id[back], part.special[back]
    )


@torch.no_grad()
def fingerprint(encoder: nn.Module) -> str:
    """SHA-256 over the shape facts of the encoder and a sample of every weight.

    Samples are rounded to bfloat16, so that the same weights loaded in float32 or bfloat16 give the same fingerprint.
    """
    config: dict[str, Any] = cast(Any, encoder.config).to_dict()
    facts = {key: config[key] for key in _FINGERPRINT_FACTS if key in config}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, parameter in sorted(encoder.named_parameters()):
        flat = parameter.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // 64)][:64].to("cpu", torch.bfloat16)
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        digest.update(sample.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()
