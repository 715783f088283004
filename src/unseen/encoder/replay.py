"""Prompts encoded once, and then again from any layer on: what lies below an edit does not have to run again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from .activations import SHORT, PromptForm, prompt_batches
from .hooks import Edit, edited
from .layers import find_blocks


class Replay:
    """The passes of some prompts through a text encoder, kept so that an edit at one layer is tried from there on.

    Memory is layers × prompts × padded length × d, in the encoder's dtype, where it computes.
    """

    @torch.no_grad()
    def __init__(
        self, tokenizer: Any, encoder: nn.Module, prompts: Sequence[str], form: PromptForm = SHORT, batch_size: int = 64
    ):
        self._encoder, self._blocks = encoder, list(find_blocks(encoder))  # to find them takes as long as a short pass
        self._last = None if form.blocks is None else form.blocks - 1
        self._batches = list(prompt_batches(tokenizer, prompts, form, batch_size=batch_size))
        self._outputs: list[list[Any]] = []
        for batch in self._batches:
            with _kept(self._blocks) as outputs:
                batch.run(encoder)
            self._outputs.append(outputs)

    @torch.no_grad()
    def output(self, layer: int, edit: Edit) -> Tensor:
        """What the encoder hands on with `edit` at `layer`, `[tokens, d]` float32, on its device; tokens are those of
        `iter_blocks`."""
        parts = []
        for batch, outputs in zip(self._batches, self._outputs, strict=True):
            seen: list[Tensor] = []
            edits = {layer: edit}
            if self._last is not None:
                edits[self._last] = _reading(seen, edits.get(self._last))
            with _resumed(self._blocks, outputs[: layer + 1]), edited(self._encoder, edits):
                output = batch.run(self._encoder)
            parts.append(batch.states(seen[0] if seen else output).float())
        return torch.cat(parts)


def _reading(seen: list[Tensor], edit: Edit | None) -> Edit:
    def read(hidden: Tensor, valid: Tensor | None) -> Tensor | None:
        changed = edit(hidden, valid) if edit else None
        seen.append(hidden if changed is None else changed)
        return changed

    return read


@contextmanager
def _kept(blocks: Sequence[nn.Module]) -> Iterator[list[Any]]:
    """Everything that each layer returns during one pass, in order."""
    outputs: list[Any] = []
    handles = [block.register_forward_hook(lambda module, args, output: outputs.append(output)) for block in blocks]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _resumed(blocks: Sequence[nn.Module], outputs: Sequence[Any]) -> Iterator[None]:
    """The first layers return `outputs` instead of computing; hooks on them run as ever."""
    blocks = blocks[: len(outputs)]
    before = [block.__dict__.get("forward") for block in blocks]
    for block, output in zip(blocks, outputs, strict=True):
        block.forward = _constant(output)
    try:
        yield
    finally:
        for block, forward in zip(blocks, before, strict=True):
            if forward is None:
                del block.forward
            else:
                block.forward = forward  # of somebody who offloads it


def _constant(output: Any) -> Any:
    """A copy each time, since an edit may write into it."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        return (output[0].clone(), *output[1:]) if isinstance(output, tuple) else output.clone()

    return forward
