"""Where the transformer layers of a text encoder are, and where it computes.

A *block* is one transformer layer; its index runs from 0 to L−1 everywhere in this library, for reading and for
editing. `EMBEDDING`, −1, stands for what the first block is given: the embedding output. Blocks are found by structure,
so BERT, T5, UMT5 and CLIP text encoders, and the language parts of models that see, need no special case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from ..errors import UnsupportedEncoderError

Blocks = nn.ModuleList | nn.Sequential
EMBEDDING = -1
"""Index of the embedding output, which can be read and edited like a block's output."""


def find_blocks(encoder: nn.Module) -> Blocks:
    """The transformer blocks of `encoder`, first to last.

    They are the one outermost list whose members share a class and hold at least two matrices each, of whatever class:
    4-bit and tensor-parallel layers are no `nn.Linear`. Of a model that sees or hears as well, they are those of its
    language part. Raises `UnsupportedEncoderError` when there is no such list, or several (an encoder-decoder: pass its
    encoder).
    """
    return _find(encoder)[1]


def language_part(encoder: nn.Module) -> nn.Module:
    """The module inside `encoder` that reads words, where other parts see or hear; else `encoder` itself."""
    return _find(encoder)[0]


def _find(encoder: nn.Module) -> tuple[nn.Module, Blocks]:
    """The module that reads words, and its blocks."""
    found = dict(_lists_of_blocks(encoder, "", set()))
    if len(found) == 1:
        return encoder, next(iter(found.values()))
    # The blocks that read words lie closest to the layer that turns tokens into vectors.
    tokens = _token_layer(encoder) if found else []
    shared = {name: _common(name.split("."), tokens) for name in found}
    closest = [name for name, depth in shared.items() if depth == max(shared.values())]
    if len(closest) != 1 or not shared[closest[0]]:  # an encoder-decoder's lie equally far from it
        raise UnsupportedEncoderError(
            f"expected exactly one list of transformer blocks in {type(encoder).__name__}, found {sorted(found) or 0}."
            " Pass the text encoder alone (for an encoder-decoder model, its encoder)."
        )
    (name,) = closest
    return encoder.get_submodule(".".join(name.split(".")[: shared[name]])), found[name]


def _lists_of_blocks(module: nn.Module, name: str, met: set[nn.Module]) -> Iterator[tuple[str, Blocks]]:
    """The outermost lists of blocks below `module`, by name; their blocks, where most modules are, are not gone into,
    since this is asked at every encoding."""
    met.add(module)
    if isinstance(module, nn.ModuleList | nn.Sequential) and (
        len({type(member) for member in module}) == 1 and all(map(_is_block, module))
    ):
        yield name, module
        return
    for own, child in module.named_children():
        if child not in met:
            yield from _lists_of_blocks(child, f"{name}.{own}" if name else own, met)


def _common(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the common beginning."""
    return next((n for n, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


def _is_block(module: nn.Module) -> bool:
    matrices = 0
    for part in module.modules():
        matrices += sum(weight.ndim >= 2 for weight in part.parameters(recurse=False))
        # packed layers (GPTQ, AWQ) keep their numbers in buffers
        matrices += sum(buffer.ndim >= 2 and "weight" in name for name, buffer in part.named_buffers(recurse=False))
        if matrices >= 2:
            return True
    return False


def _token_layer(encoder: nn.Module) -> list[str]:
    """Where in `encoder` the layer is that turns tokens into vectors, as the names on the way there.

    transformers' models say it; elsewhere it is the matrix with most rows for which a layer says `num_embeddings`.
    """
    names = {module: name for name, module in encoder.named_modules()}
    ask: Any = getattr(encoder, "get_input_embeddings", None)
    layer = ask() if callable(ask) else None
    if layer not in names:
        layer = max(names, key=lambda module: getattr(module, "num_embeddings", None) or 0)
    return names[layer].split(".")


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
