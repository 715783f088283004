"""Weights as TensorFlow.js stores them: a manifest in JSON, and one file of numbers that may be rounded to bytes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from unseen.errors import DetectorError

_TYPES = {"float32": np.float32, "int32": np.int32, "uint8": np.uint8, "uint16": np.uint16}


def read_tfjs(manifest: Path) -> dict[str, Tensor]:
    """Every weight of a manifest by name, float32, in TensorFlow's order of axes.

    Raises:
        DetectorError: the manifest is missing or damaged, or its numbers are fewer or more than it says.
    """
    try:
        groups = json.loads(manifest.read_text(encoding="utf-8"))
        weights: dict[str, Tensor] = {}
        for group in groups:
            data = b"".join((manifest.parent / path).read_bytes() for path in group["paths"])
            start = 0
            for entry in group["weights"]:
                rounded = entry.get("quantization")
                kind = np.dtype(_TYPES[rounded["dtype"] if rounded else entry["dtype"]])
                count = int(np.prod(entry["shape"], dtype=int))
                values = np.frombuffer(data, kind, count, start).astype(np.float32)
                start += count * kind.itemsize
                if rounded:
                    values = values * np.float32(rounded["scale"]) + np.float32(rounded["min"])
                weights[entry["name"]] = torch.from_numpy(values.reshape(entry["shape"]))
            if start != len(data):
                raise ValueError(f"{len(data) - start} bytes are left over")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DetectorError(
            f"expected TensorFlow.js weights at {manifest}, which could not be read: {error}"
        ) from error
    return weights
