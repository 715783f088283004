"""What stands for a text encoder's weights, whoever's class holds them: whose they are, facts, and canonical names.

The same T5 has other names in Wan's native class than in transformers, and no configuration. Its weights are then
called as transformers calls them and its facts are read from their sizes, so that the weights have one fingerprint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple, cast

from torch import nn

from .layers import language_part

_FACTS = (
    "model_type hidden_size d_model num_hidden_layers num_layers num_attention_heads num_heads "
    "intermediate_size d_ff vocab_size"
).split()
_NATIVE_T5 = (
    (r"shared\.|encoder\.(block|final_layer_norm)\.", r"\g<0>"),
    (r"token_embedding\.", "shared."),
    (r"norm\.", "encoder.final_layer_norm."),
    (r"pos_embedding\.embedding\.", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias."),
    (r"blocks\.(\d+)\.pos_embedding\.embedding\.", r"encoder.block.\1.layer.0.SelfAttention.relative_attention_bias."),
    (r"blocks\.(\d+)\.norm1\.", r"encoder.block.\1.layer.0.layer_norm."),
    (r"blocks\.(\d+)\.attn\.([qkvo])\.", r"encoder.block.\1.layer.0.SelfAttention.\2."),
    (r"blocks\.(\d+)\.norm2\.", r"encoder.block.\1.layer.1.layer_norm."),
    (r"blocks\.(\d+)\.ffn\.gate\.0\.", r"encoder.block.\1.layer.1.DenseReluDense.wi_0."),
    (r"blocks\.(\d+)\.ffn\.fc1\.", r"encoder.block.\1.layer.1.DenseReluDense.wi_1."),
    (r"blocks\.(\d+)\.ffn\.fc2\.", r"encoder.block.\1.layer.1.DenseReluDense.wo."),
)
"""Names of weights in Wan's native T5, and what transformers calls them; ComfyUI's T5 has transformers' names."""
_FIRST = "encoder.block.0.layer.1.DenseReluDense."
_BIAS = re.compile(r"encoder\.block\.\d+\.layer\.0\.SelfAttention\.relative_attention_bias")


class Identity(NamedTuple):
    """What a fingerprint is made of."""

    root: nn.Module
    """The module whose weights count: the language part of a model that sees as well."""
    facts: Mapping[str, Any]
    """Sizes, and the kind of model."""
    names: Mapping[str, str]
    """By name of a weight or module its canonical name, where that is another one."""

    def name(self, own: str) -> str:
        """The canonical name of a weight or module."""
        return self.names.get(own, own)


def identity(encoder: nn.Module) -> Identity:
    """Whose weights, with which facts and under which names, `encoder` holds."""
    root = language_part(encoder)
    if hasattr(getattr(root, "config", None), "to_dict"):
        config: dict[str, Any] = cast(Any, root.config).to_dict()
        return Identity(root, {key: config[key] for key in _FACTS if key in config}, {})
    names = _as_transformers([name for name, _ in root.named_parameters(remove_duplicate=False)])
    modules = {own.rpartition(".")[0]: name.rpartition(".")[0] for own, name in names.items()}
    return Identity(root, _t5_facts(root, modules), {**names, **modules})


def _as_transformers(own: list[str]) -> dict[str, str]:
    """Names of a native T5's weights as transformers has them; empty if there is one that no T5 has."""
    names = {}
    for name in own:
        renamed = [re.sub(f"^{pattern}", to, name) for pattern, to in _NATIVE_T5 if re.match(pattern, name)]
        if not renamed:
            return {}
        names[name] = renamed[0]
    return names


def _t5_facts(root: nn.Module, modules: Mapping[str, str]) -> dict[str, Any]:
    """What transformers' configuration of the same T5 says."""
    named = {name: cast(Any, root.get_submodule(own)) for own, name in modules.items()}
    tokens = named.get("shared")
    inner = named.get(f"{_FIRST}wi_0", named.get(f"{_FIRST}wi"))
    biases = [module for name, module in named.items() if _BIAS.fullmatch(name)]
    if tokens is None or inner is None or not biases:
        return {}
    blocks = {name.split(".")[2] for name in named if name.startswith("encoder.block.")}
    return {
        "model_type": "t5" if len(biases) < len(blocks) else "umt5",  # in T5 all blocks share the first one's bias
        "d_model": tokens.embedding_dim,
        "num_layers": len(blocks),
        "num_heads": biases[0].embedding_dim,
        "d_ff": inner.out_features,
        "vocab_size": tokens.num_embeddings,
    }
