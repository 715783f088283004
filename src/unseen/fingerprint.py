"""A text encoder's fingerprint: an eraser belongs to the weights that it was fitted on, wherever they are loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

_FACTS = (
    "model_type hidden_size d_model num_hidden_layers num_layers num_attention_heads num_heads "
    "intermediate_size d_ff vocab_size"
).split()


def _weights(encoder: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Names and values of all weights, each once, also of those that are offloaded."""
    if not any(parameter.is_meta for parameter in encoder.parameters()):
        for name, parameter in encoder.named_parameters():
            # a quantised weight (torchao) is a tensor of another class, which cannot be sampled as it is
            plain = type(parameter.data) is Tensor
            yield name, parameter.detach() if plain else cast(Any, parameter).dequantize()
        return
    from accelerate.utils import align_module_device

    tied = set(getattr(encoder, "_tied_weights_keys", None) or ())
    for prefix, module in encoder.named_modules():
        with align_module_device(module, "cpu"):
            for name, parameter in module.named_parameters(prefix, recurse=False):
                if name not in tied:
                    yield name, parameter.detach().clone()


@torch.no_grad()
def fingerprint(encoder: nn.Module) -> str:
    """SHA-256 over the shape facts of the encoder and a sample of every weight.

    Samples are rounded to bfloat16, so that the same weights loaded in float32 or bfloat16 give the same fingerprint.
    """
    config: dict[str, Any] = cast(Any, encoder.config).to_dict()
    facts = {key: config[key] for key in _FACTS if key in config}
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name, parameter in sorted(_weights(encoder)):
        flat = parameter.reshape(-1)
        sample = flat[:: max(1, flat.numel() // 64)][:64].to("cpu", torch.bfloat16)
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        digest.update(sample.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()
