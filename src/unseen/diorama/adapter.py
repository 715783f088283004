"""A low-rank correction of a network's weight matrices: trained like a fine-tuning, stored in a tenth of the space.

Weights once committed stay in a repository's history for good, so a small change of behaviour is kept as an adapter
(Hu et al. 2022, "LoRA") beside the weights it corrects, and added to them when they are loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from unseen.diorama.training import rounded

ADAPTER = "transformer_adapter.safetensors"
"""The correction of Diorama's transformer, beside its weights."""
IS_ADAPTER = ".parametrizations.weight.0"
"""What the names of an adapter's parameters contain."""


class LowRank(nn.Module):
    """Parametrization `W + up @ down` of a frozen weight `[out, in]`; adds nothing until it is trained."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        out_features, in_features = weight.shape
        self.down = nn.Parameter(torch.randn(rank, in_features) / in_features**0.5)
        self.up = nn.Parameter(torch.zeros(out_features, rank))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.up @ self.down


def add_adapter(model: nn.Module, rank: int, wanted: Callable[[str], bool] = lambda name: True) -> None:
    """Freeze `model` and give every linear layer whose name is `wanted` a trainable correction of `rank`."""
    model.requires_grad_(False)
    layers = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Linear) and wanted(name)]
    for _, layer in layers:
        parametrize.register_parametrization(layer, "weight", LowRank(layer.weight, rank))


def _corrections(model: nn.Module) -> dict[str, LowRank]:
    return {
        name.removesuffix(IS_ADAPTER): module for name, module in model.named_modules() if isinstance(module, LowRank)
    }


def save_adapter(model: nn.Module, path: Path) -> None:
    """Write the corrections alone, in half precision."""
    tensors = {
        f"{name}.{part}": rounded(getattr(correction, part).detach().float()).half().contiguous()
        for name, correction in _corrections(model).items()
        for part in ("down", "up")
    }
    save_file(tensors, path)


def load_adapter(model: nn.Module, path: Path) -> None:
    """Go on training the corrections in `path`; `model` has an adapter of the same rank on the same layers."""
    stored = load_file(path)
    with torch.no_grad():
        for name, correction in _corrections(model).items():
            for part in ("down", "up"):
                getattr(correction, part).copy_(stored[f"{name}.{part}"].float())


@torch.no_grad()
def merge_adapter(model: nn.Module, path: Path) -> None:
    """Add the corrections in `path` to the plain weights of `model`."""
    stored = load_file(path)
    for name in sorted({key.rpartition(".")[0] for key in stored}):
        weight = model.get_submodule(name).get_parameter("weight")
        weight.add_(stored[f"{name}.up"].float() @ stored[f"{name}.down"].float())
