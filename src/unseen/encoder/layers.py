"""Where the transformer layers of a text encoder are, and where it computes.

A *block* is one transformer layer; its index runs from 0 to L−1 everywhere in this library, for reading and for
editing. `EMBEDDING`, −1, stands for what the first block is given: the embedding output. Blocks are found by structure,
so BERT, T5, UMT5 and CLIP text encoders need no special case.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from ..errors import UnsupportedEncoderError

EMBEDDING = -1
"""Index of the embedding output, which can be read and edited like a block's output."""


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
