"""A text encoder's fingerprint: an eraser belongs to the weights that it was fitted on, wherever they are loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..errors import UnsupportedEncoderError
from .identity import identity

_SIZES = ("in_features", "out_features", "num_embeddings", "embedding_dim")
"""How linear layers and embeddings, whoever's they are, call their sizes."""


def _weights(encoder: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Names and values of all weights, each once, also of those that are offloaded."""
    if not any(parameter.is_meta for parameter in encoder.parameters()):
        for name, parameter in encoder.named_parameters():
            yield name, _plain(parameter)
        return
    tied = set(getattr(encoder, "_tied_weights_keys", None) or ())
    for prefix, module in encoder.named_modules():
        for name, parameter in module.named_parameters(prefix, recurse=False):
            if name not in tied:
                yield name, _plain(_offloaded(module, name) if parameter.is_meta else parameter)


def _plain(weight: Tensor) -> Tensor:
    """A quantised weight (torchao) is a tensor of another class, which cannot be sampled as it is; nor can a shard."""
    weight = weight.detach()
    if hasattr(weight, "full_tensor"):  # a shard of a tensor-parallel layer; all processes ask at once
        weight = cast(Any, weight).full_tensor()
    return weight if type(weight.data) is Tensor else cast(Any, weight).dequantize()


def _offloaded(module: nn.Module, name: str) -> Tensor:
    """The value that accelerate holds for a weight of `module` while it does not compute.

    accelerate's own `align_module_device` overlooks a module that has two names, as T5's word embeddings have in
    transformers 4, and so one hook for each name. Raises `UnsupportedEncoderError` where no hook holds a value.
    """
    hook, own = getattr(module, "_hf_hook", None), name.rpartition(".")[2]
    for one in getattr(hook, "hooks", (hook,)):
        value = (getattr(one, "weights_map", None) or {}).get(own)
        if value is not None and not value.is_meta:
            return value
    raise UnsupportedEncoderError(
        f"expected a value for the text encoder's weight {name}, or an offloading of accelerate's that holds it; it is"
        " on the meta device and has none. Load the encoder with its weights."
    )


@torch.no_grad()
def fingerprint(encoder: nn.Module) -> str:
    """SHA-256 over the shape facts of the encoder and a sample of every weight.

    Samples are rounded to bfloat16, so that the same weights loaded in float32 or bfloat16 give the same fingerprint;
    and so they do in Wan's native T5, since weights go by their canonical names. Of a model that sees as well, the
    language part counts.
    """
    own = identity(encoder)
    digest = hashlib.sha256(json.dumps(own.facts, sort_keys=True).encode())
    for name, parameter in sorted((own.name(name), weight) for name, weight in _weights(own.root)):
        flat = parameter.reshape(-1)
        sample = flat[:: max(1, flat.numel() // 64)][:64].to("cpu", torch.bfloat16)
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        digest.update(sample.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()


def architecture(encoder: nn.Module) -> str:
    """SHA-256 over the encoder's shape alone: facts of its configuration, and where it has matrices of which size.

    Copies with rounded weights (8 or 4 bits, fp8) have another `fingerprint` but the same architecture. Sizes of linear
    layers and embeddings are taken from the layers and not from their weights, which a quantizer packs.
    """
    own = identity(encoder)
    digest = hashlib.sha256(json.dumps(own.facts, sort_keys=True).encode())
    tied = set(getattr(own.root, "_tied_weights_keys", None) or ())
    modules = [(own.name(name), module) for name, module in own.root.named_modules()]
    for name, module in sorted(modules, key=lambda pair: pair[0]):
        if f"{name}.weight" in tied:  # one module under two names, or two after an offloading
            continue
        size = [getattr(module, fact, None) for fact in _SIZES]
        shapes = [] if any(size) else sorted((which, *p.shape) for which, p in module.named_parameters(recurse=False))
        if any(size) or shapes:
            digest.update(f"{name}{size}{shapes}".encode())
    return digest.hexdigest()
