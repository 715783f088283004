"""A bank of autoencoders in the layout of SAELens, and back: one folder for each layer.

Each holds `cfg.json` and `sae_weights.safetensors`, as `sae_lens.SAE.load_from_disk` reads them. SAELens knows no scale
of the states; it goes into the weights. So features are the same numbers in both: `f = act((x − b_dec) W_enc + b_enc)`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..errors import DamagedFileError
from ..files import MAX_JSON, read_regular, write_whole
from .sae import SaeBank

CONFIG_FILE, WEIGHTS_FILE = "cfg.json", "sae_weights.safetensors"
_MAX_WEIGHTS = 4 << 30
_PARTS = ("W_enc", "b_enc", "W_dec", "mean", "scale")
_SAME_NORM = 1e-4
"""Relative spread of decoder rows that are taken for equally long."""
_PLAIN: dict[str, tuple[Any, ...]] = {
    "normalize_activations": ("none", None),
    "reshape_activations": ("none", None),
    "apply_b_dec_to_input": (True,),
    "rescale_acts_by_decoder_norm": (False, None),
    "activation_fn": ("relu", "topk", None),
    "activation_fn_str": ("relu", "topk", None),
    "finetuning_scaling_factor": (False, None),
}
"""Settings of theirs that change what a feature is, and the values that mean what our features are."""


def export_saelens(
    bank: SaeBank, folder: str | Path, layers: Sequence[int] | None = None, *, model: str = "", hook: str = "{layer}"
) -> list[Path]:
    """Write one folder for each layer of `bank`, `layer_<number>`, into `folder`; returns them.

    Args:
        bank: L autoencoders.
        folder: Made if need be.
        layers: Numbers of the layers; default 0..L−1.
        model: Name of the text encoder, kept as metadata.
        hook: Name of the place that is read, kept as metadata; "{layer}" stands for the number.

    Raises `ValueError` for another number of layers than the bank has.
    """
    numbers = list(range(len(bank.W_enc))) if layers is None else list(layers)
    if len(numbers) != len(bank.W_enc) or len(set(numbers)) < len(numbers):
        raise ValueError(f"expected {len(bank.W_enc)} numbers of layers, each once, got {numbers}.")
    written = []
    for place, number in enumerate(numbers):
        scale = bank.scale[place, 0, 0]
        tensors = {
            "W_enc": bank.W_enc[place] / scale,
            "b_enc": bank.b_enc[place, 0],
            "W_dec": bank.W_dec[place] * scale,
            "b_dec": bank.mean[place, 0],
        }
        config: dict[str, Any] = {
            "architecture": "standard" if bank.top_k is None else "topk",
            "d_in": bank.W_enc.shape[1],
            "d_sae": bank.num_features,
            "dtype": "float32",
            "device": "cpu",
            "apply_b_dec_to_input": True,
            "normalize_activations": "none",
            "reshape_activations": "none",
            "metadata": {"model_name": model, "hook_name": hook.format(layer=number), "layer": number},
        }
        if bank.top_k is not None:
            config |= {"k": bank.top_k, "rescale_acts_by_decoder_norm": False}
        own = Path(folder) / f"layer_{number}"
        own.mkdir(parents=True, exist_ok=True)
        write_whole(own / WEIGHTS_FILE, save({name: t.float().cpu().contiguous() for name, t in tensors.items()}))
        write_whole(own / CONFIG_FILE, (json.dumps(config, indent=2) + "\n").encode())
        written.append(own)
    return written


def import_saelens(folders: Sequence[str | Path]) -> SaeBank:
    """The autoencoders in these folders as one bank, in their order; features are the same numbers.

    Decoder rows get length one where all of a layer's are equally long, as those of our own export are; otherwise they
    stay as they come.

    Raises:
        DamagedFileError: A file is missing or is not in SAELens' layout; it is of a kind whose features are no ReLU or
            TopK of a linear map (gated, jump-ReLU, normalized or reshaped input); or they are of different sizes.
    """
    if not folders:
        raise ValueError("expected at least one folder of an autoencoder, got none.")
    banks = [_read(Path(folder)) for folder in folders]
    for folder, bank in zip(folders, banks, strict=True):
        if bank.W_enc.shape != banks[0].W_enc.shape or bank.top_k != banks[0].top_k:
            raise DamagedFileError(
                f"{folder}: expected an autoencoder as in {folders[0]}, {tuple(banks[0].W_enc.shape[1:])} with top_k"
                f" {banks[0].top_k}, got {tuple(bank.W_enc.shape[1:])} with {bank.top_k}. Import them apart."
            )
    parts = {name: torch.cat([getattr(bank, name) for bank in banks]) for name in _PARTS}
    return SaeBank(**parts, top_k=banks[0].top_k)


def _read(folder: Path) -> SaeBank:
    config_file, weights_file = folder / CONFIG_FILE, folder / WEIGHTS_FILE
    try:
        config = json.loads(read_regular(config_file, MAX_JSON))
        tensors = load(read_regular(weights_file, _MAX_WEIGHTS))
        d, m = int(config["d_in"]), int(config["d_sae"])
        top_k = int(config["k"]) if config["architecture"] == "topk" else None
    except (SafetensorError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedFileError(
            f"{folder}: expected {CONFIG_FILE} and {WEIGHTS_FILE} in SAELens' layout, which say d_in, d_sae and"
            f" architecture, got something else ({type(error).__name__}: {str(error)[:80]})."
        ) from error
    _require_plain(config_file, config)
    shapes = {"W_enc": (d, m), "b_enc": (m,), "W_dec": (m, d), "b_dec": (d,)}
    for name, shape in shapes.items():
        tensor = tensors.get(name)
        if tensor is None or tuple(tensor.shape) != shape or not bool(tensor.float().isfinite().all()):
            found = "none" if tensor is None else f"{tuple(tensor.shape)}"
            raise DamagedFileError(f"{weights_file}: expected finite {name} of shape {shape}, got {found}.")
    if surplus := sorted(tensors.keys() - shapes.keys()):
        raise DamagedFileError(
            f"{weights_file}: expected {', '.join(shapes)}, got {surplus[0][:40]!r} as well, which changes features."
        )
    own = {name: tensor.float() for name, tensor in tensors.items()}
    scale = _scale(own["W_dec"])
    return SaeBank(
        (own["W_enc"] * scale)[None],
        own["b_enc"][None, None],
        (own["W_dec"] / scale)[None],
        own["b_dec"][None, None],
        scale.reshape(1, 1, 1),
        top_k,
    )


def _require_plain(path: Path, config: dict[str, Any]) -> None:
    if config["architecture"] not in ("standard", "topk"):
        raise DamagedFileError(
            f"{path}: expected the architecture standard or topk, got {str(config['architecture'])[:40]!r}, whose"
            " features are not a ReLU or TopK of a linear map."
        )
    for name, allowed in _PLAIN.items():
        if name in config and config[name] not in allowed:
            raise DamagedFileError(
                f"{path}: expected {name} {allowed[0]!r}, got {str(config[name])[:40]!r}, with which features differ."
            )


def _scale(W_dec: Tensor) -> Tensor:
    norms = W_dec.norm(dim=1)
    mean = norms.mean()
    alike = bool(mean > 0) and bool(((norms - mean).abs() <= _SAME_NORM * mean).all())
    return mean if alike else torch.ones(())
