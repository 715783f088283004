"""UCE: the layers that first read the text get new weights in closed form; the concept is then read as something else.

`W* = (V + W S)(C + S)⁻¹` with `C = mean c cᵀ`, `V = mean v cᵀ`, `S = keep · mean k kᵀ + ridge · I`: `c` are the states
of the concept's words as the layer sees them, `v = W c'` for the same place in prompts about something else, and `k`
the states of other prompts, which have to be read as before. Biased layers (all of Wan's) keep their bias: the target
is `v = W c'` without it, or the edit would be off by exactly the bias. A reference only: it changes weights, and puts
the very same ones back afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from ..clear.probe import roles_of_pairs
from ..concept import Concept
from ..encoder.activations import encode_by_length
from ..errors import AlreadyAttachedError
from ..pipelines import Backbone, denoisers, text_path
from ..prompts.writer import write_prompts
from .base import Baseline, FittedBaseline
from .denoising import known_backbone


def text_linears(transformer: nn.Module, backbone: Backbone) -> dict[str, nn.Linear]:
    """The linear layers of a transformer that first read the text, by name."""
    found = {}
    for pattern in backbone.text_linears:
        before, star, after = pattern.partition("*")
        count = len(transformer.get_submodule(backbone.blocks)) if star else 1  # type: ignore[arg-type]
        for number in range(count):
            name = f"{before}{number}{after}" if star else pattern
            layer = transformer.get_submodule(name)
            assert isinstance(layer, nn.Linear)
            found[name] = layer
    return found


def learn(
    pipe: Any, concepts: Sequence[Concept], settings: Mapping[str, Any], seed: int, progress: bool
) -> dict[str, Tensor]:
    """States of the concepts' words, of what stands there instead, and of other prompts, each `[n, d]`."""
    known_backbone(pipe, "UCE")
    path = text_path(pipe, max_length=64)
    parts: dict[str, list[Tensor]] = {"concept": [], "instead": [], "kept": []}

    def read(texts: Sequence[str]) -> Any:
        return encode_by_length(path.tokenizer, path.encoder, texts, path.form, layers=[])

    for concept in concepts:
        written = write_prompts(concept, seed=seed, pairs=settings["pairs"], retain=settings["retain"])
        sides = [read([pair[side] for pair in written.pairs]) for side in (0, 1)]
        roles = roles_of_pairs(*sides)
        other = sides[1].output[roles[1]["name"]].mean(dim=0)
        named = sides[0].output[roles[0]["name"]]
        parts["concept"].append(named)
        parts["instead"].append(other.expand_as(named))
        parts["kept"].append(read(written.retain).output)
    return {name: torch.cat(tensors).clone() for name, tensors in parts.items()}


@torch.no_grad()
def edited_weight(layer: nn.Linear, c: Tensor, instead: Tensor, kept: Tensor, settings: Mapping[str, Any]) -> Tensor:
    """`W*` `[out, in]` for a layer and what it sees, each `[n, in]`."""
    weight = layer.weight.double()
    c, instead, kept = c.double(), instead.double(), kept.double()
    v = instead @ weight.T  # without the bias, which stays
    keep, ridge = settings["keep"] / len(kept), settings["ridge"]
    eye = torch.eye(c.shape[1], dtype=c.dtype)
    shared = keep * kept.T @ kept + ridge * eye
    left = v.T @ c / len(c) + weight @ shared
    right = c.T @ c / len(c) + shared
    return torch.linalg.solve(right, left.T).T.to(layer.weight.dtype)


_CHANGED: WeakSet[nn.Module] = WeakSet()
"""Transformers whose weights are edited now."""


def put_on(pipe: Any, fitted: FittedBaseline, stack: ExitStack) -> None:
    """Swap the edited weights in, and the original ones back in the end.

    Raises:
        AlreadyAttachedError: the weights are edited already; which are the original ones would depend on the order of
            leaving.
    """
    stack.enter_context(_edited(pipe, known_backbone(pipe, "UCE"), fitted))


@contextmanager
def _edited(pipe: Any, backbone: Backbone, fitted: FittedBaseline) -> Iterator[None]:
    transformers = list(denoisers(pipe, backbone).values())
    if any(transformer in _CHANGED for transformer in transformers):
        raise AlreadyAttachedError("UCE has edited this transformer's weights already. Detach it first.")
    originals: list[tuple[nn.Linear, Tensor]] = []
    try:
        for transformer in transformers:
            _CHANGED.add(transformer)
            device = next(transformer.parameters()).device
            seen = {name: tensor.to(device) for name, tensor in fitted.tensors.items()}
            if backbone.text_embedder is not None:
                embedder = transformer.get_submodule(backbone.text_embedder)
                kind = next(embedder.parameters()).dtype
                with torch.no_grad():
                    seen = {name: embedder(tensor.to(kind)) for name, tensor in seen.items()}
            for layer in text_linears(transformer, backbone).values():
                originals.append((layer, layer.weight.data))
                layer.weight.data = edited_weight(
                    layer, seen["concept"], seen["instead"], seen["kept"], fitted.settings
                )
        yield
    finally:
        for layer, weight in originals:
            layer.weight.data = weight
        for transformer in transformers:
            _CHANGED.discard(transformer)


UCE = Baseline("uce", {"pairs": 120, "retain": 480, "keep": 0.1, "ridge": 1e-3}, learn, put_on, text_only=False)
