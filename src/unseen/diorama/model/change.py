"""A retraining of a network that costs little more than one bit a weight, kept beside the weights it changes.

Weights once committed stay in a repository's history for good. So what a retraining adds to a matrix is stored as its
signs, with one length for each row (Liu et al. 2024, "BitDelta"). A few matrices are stored anew, in four bits, and
leave the old file, so that both together are no larger than before. The training ends with everything read as it will
be stored, so that it is the stored network that is trained; gradients pass the rounding as if it were not there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from unseen.diorama.stored import load_half

BASE = "transformer.safetensors"
"""The weights of Diorama's transformer."""
CHANGE = "transformer_change.safetensors"
"""Their change, beside them."""
ANEW = ("blocks.3.ffn.net.0.proj", "blocks.3.ffn.net.2")
"""Layers that are stored as a whole."""
_ANEW_BITS = 4
_STEP = 0.335
"""Of 16 levels for a normal distribution, in standard deviations: the one with the least squared error (Max 1960)."""
_INSIDE, _ORIGINAL = ".parametrizations.weight.0.change", ".parametrizations.weight.original"
_LEVELS, _STEPS = ".levels", "steps"


class Changed(nn.Module):
    """Parametrization `W + change` of a frozen weight; with `as_stored`, rounded as the file will have it."""

    def __init__(self, change: Tensor, anew: bool) -> None:
        super().__init__()
        self.change = nn.Parameter(change)
        self.anew, self.as_stored = anew, False

    def forward(self, weight: Tensor) -> Tensor:
        if not self.as_stored:
            return weight + self.change
        with torch.no_grad():
            exact = weight + self.change if self.anew else self.change
            rounding = _restored(*_rounded(exact, _bits(self.anew))).view_as(exact) - exact
        return weight + self.change + rounding


def _bits(anew: bool) -> int:
    return _ANEW_BITS if anew else 1


def _rounded(values: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Levels (integers around −½) `[rows, columns]` and their step `[rows]`, in half precision."""
    rows = values.flatten(1)
    spread = 2 * rows.abs().mean(dim=1) if bits == 1 else _STEP * rows.square().mean(dim=1).sqrt()
    steps = spread.half().clamp_min(2**-24)
    half = 2 ** (bits - 1)
    return (rows / steps[:, None].float()).floor().clamp(-half, half - 1), steps


def _restored(levels: Tensor, steps: Tensor) -> Tensor:
    return (levels + 0.5) * steps[:, None].float()


def _packed(levels: Tensor, bits: int) -> Tensor:
    """uint8 `[rows, ⌈columns · bits / 8⌉]`."""
    places = (levels.numpy().astype(np.int16) + 2 ** (bits - 1))[..., None] >> np.arange(bits) & 1
    return torch.from_numpy(np.packbits(places.reshape(len(levels), -1).astype(np.uint8), axis=1))


def _unpacked(packed: Tensor, columns: int, bits: int) -> Tensor:
    places = np.unpackbits(packed.numpy(), axis=1, count=columns * bits).reshape(len(packed), columns, bits)
    return torch.from_numpy((places.astype(np.int16) << np.arange(bits)).sum(-1) - 2 ** (bits - 1)).float()


def add_change(model: nn.Module, changed: dict[str, Tensor] | None = None) -> None:
    """Freeze the matrices of `model` and give each a trainable change; everything else of it is trained as it is.

    `changed` holds weights to start from, by their names in `model`; those that are missing start unchanged.
    """
    changed = changed or {}
    for name, layer in [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv3d)]:
        weight = layer.weight.requires_grad_(False)
        start = changed.get(f"{name}.weight", weight)
        parametrize.register_parametrization(layer, "weight", Changed((start - weight).detach().clone(), name in ANEW))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name in changed:
                parameter.copy_(changed[name])


def read_as_stored(model: nn.Module) -> None:
    """From now on the changes count as they will be stored."""
    for module in model.modules():
        if isinstance(module, Changed):
            module.as_stored = True


def save_change(model: nn.Module, folder: Path) -> None:
    """Write the changes of all matrices and the rest of `model`, and the old weights that are still needed."""
    stored, base = {}, {}
    lengths = {}
    state = {name: value.detach().float() for name, value in model.state_dict().items()}
    for name, value in state.items():
        layer = name.removesuffix(_INSIDE)
        if name.endswith(_INSIDE):
            anew, original = layer in ANEW, state[layer + _ORIGINAL]
            levels, steps = _rounded(original + value if anew else value, _bits(anew))
            stored[layer + _LEVELS], lengths[layer] = _packed(levels, _bits(anew)), steps
            if not anew:
                base[f"{layer}.weight"] = original.half().contiguous()
        elif not name.endswith(_ORIGINAL):
            stored[name] = value.half().contiguous()
    stored[_STEPS] = torch.cat([lengths[layer] for layer in sorted(lengths)])
    save_file(stored, folder / CHANGE)
    save_file(base, folder / BASE)


@torch.no_grad()
def load_changed(model: nn.Module, folder: Path) -> None:
    """Read the weights in `folder`, and their change where there is one, into a plain `model`."""
    if not (folder / CHANGE).exists():
        load_half(model, folder / BASE)
        return
    base, stored = load_file(folder / BASE), load_file(folder / CHANGE)
    steps = stored.pop(_STEPS)
    layers = sorted(name.removesuffix(_LEVELS) for name in stored if name.endswith(_LEVELS))
    packed = {layer: stored.pop(layer + _LEVELS) for layer in layers}
    weights = {name: value.float() for name, value in stored.items()}
    for layer, own in zip(layers, steps.split([len(packed[layer]) for layer in layers]), strict=True):
        name, anew = f"{layer}.weight", layer in ANEW
        old = model.get_parameter(name)
        values = _restored(_unpacked(packed[layer], old[0].numel(), _bits(anew)), own).view_as(old)
        weights[name] = values if anew else base[name].float() + values
    model.load_state_dict(weights)


def load_base(model: nn.Module, folder: Path) -> None:
    """Read the old weights alone; where they are no longer kept, `model` stays as it is."""
    model.load_state_dict({name: value.float() for name, value in load_file(folder / BASE).items()}, strict=False)
