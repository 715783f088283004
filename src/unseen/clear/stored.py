"""How an eraser lies on disk: names of its files, what they hold, and its facts without its numbers.

Reading the facts needs no torch, so that a folder of erasers can be listed at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files import read_facts

FORMAT_VERSION = 4
STEM = "unseen_eraser"
METADATA_FILE, WEIGHTS_FILE = FILES = f"{STEM}.json", f"{STEM}.safetensors"
TENSORS = ("W_enc", "b_enc", "W_dec", "mask", "b_dec", "scale", "gate", "target", "mean_edit")
WITNESS = ("witness", "witness_edited")
SCHEMA: dict[str, type | tuple[type, ...]] = {
    "concept": dict,
    "layer": int,
    "strength": (int, float),
    "unit_firing": (int, float),
    "max_length": int,
    "encoder_fingerprint": str,
    "encoder_architecture": str,
    "mentions": bool,
    "report": dict,
}
MAX_WEIGHTS = 1 << 28
"""Bytes of weights that an eraser may have: 4,096 features of the widest encoders are half of it."""


def stored_facts(folder: str | Path) -> tuple[dict[str, Any], bytes]:
    """What `unseen_eraser.json` says, and the bytes of `unseen_eraser.safetensors`, whose checksum is right.

    Whether the eraser acts is not tried; `ClearEraser.from_pretrained` does.

    Raises:
        DamagedFileError: a file is missing, was changed after it was written, or is of another version.
    """
    return read_facts(folder, STEM, FORMAT_VERSION, SCHEMA, MAX_WEIGHTS)
