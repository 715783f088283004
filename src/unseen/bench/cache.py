"""Clips that were made once are never made again: a folder of files named after everything that determines a clip."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

BASE = "base"
"""Name of the unedited pipeline where an edit's fingerprint is asked for."""


def digest(**facts: Any) -> str:
    """SHA-256, hexadecimal, of named facts; any change of a name or a value changes it."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def weights_fingerprint(pipe: Any) -> str:
    """SHA-256 over every parameter and buffer of the pipeline's parts and their configurations.

    Two pipelines with one fingerprint hold the same numbers, bit for bit.
    """
    state = hashlib.sha256()
    for name, part in sorted(pipe.components.items()):
        if isinstance(part, torch.nn.Module):
            for key, tensor in sorted(part.state_dict().items()):
                state.update(f"{name}.{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
                state.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        settings = getattr(part, "config", None)
        if settings is not None and name == "scheduler":
            # private entries are no settings; one of them lists names in an order that differs between processes
            public = {key: value for key, value in dict(settings).items() if not key.startswith("_")}
            state.update(digest(kind=type(part).__name__, settings=public).encode())
    return state.hexdigest()


class ClipCache:
    """Clips on disk, one compressed file each, under `folder/<two letters>/<address>.npz`."""

    def __init__(self, folder: str | Path, *, pipe_fingerprint: str, call: Mapping[str, Any]):
        """`call` are the arguments of the pipeline call that shape every clip, such as steps and guidance."""
        self.folder = Path(folder)
        self._common = {"pipe": pipe_fingerprint, "call": {key: str(value) for key, value in call.items()}}

    def address(self, text: str, seed: int, edit: str) -> str:
        """Content address of the clip of prompt `text` from noise `seed` under the edit with fingerprint `edit`."""
        return digest(**self._common, text=text, seed=int(seed), edit=edit)

    def _path(self, address: str) -> Path:
        return self.folder / address[:2] / f"{address}.npz"

    def load(self, address: str) -> np.ndarray | None:
        """The clip, uint8 `[frames, H, W, 3]`, or None where there is none (a damaged file counts as none)."""
        path = self._path(address)
        try:
            with np.load(path, allow_pickle=False) as stored:
                return stored["frames"]
        except FileNotFoundError:
            return None
        except (BadZipFile, ValueError, EOFError, KeyError, OSError):
            path.unlink(missing_ok=True)  # it will be made again
            return None

    def save(self, address: str, frames: np.ndarray) -> None:
        """Keep a clip; the file appears complete or not at all, so an interruption leaves nothing half written."""
        path = self._path(address)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, frames=frames)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
