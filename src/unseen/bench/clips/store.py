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


def versions() -> dict[str, str]:
    """Of the libraries that turn embeddings and noise into frames."""
    import diffusers

    return {"torch": torch.__version__, "diffusers": diffusers.__version__}


class ClipStore:
    """Clips on disk, one compressed file each, under `folder/<two letters>/<name>.npz`.

    A clip's name is a digest of everything that the denoiser is given, and of the denoiser. So whatever changes in the
    code that edits embeddings, a clip is found again only if the same embeddings come out.
    """

    def __init__(self, folder: str | Path, *, weights: str, call: Mapping[str, Any]):
        """`weights` is the `weights_fingerprint`; `call` are the arguments of the pipeline call that shape a clip."""
        self.folder = Path(folder)
        settings = {key: str(value) for key, value in call.items()}
        self._common = {"weights": weights, "call": settings, "versions": versions()}

    def name(self, given: str, seed: int) -> str:
        """Name of the clip from noise `seed` where `given` is the digest of the embeddings (see `make`)."""
        return digest(**self._common, given=given, seed=int(seed))

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.npz"

    def load(self, name: str) -> np.ndarray | None:
        """The clip, uint8 `[frames, H, W, 3]`, or None where there is none (a damaged file counts as none)."""
        path = self._path(name)
        try:
            with np.load(path, allow_pickle=False) as stored:
                return stored["frames"]
        except FileNotFoundError:
            return None
        except (BadZipFile, ValueError, EOFError, KeyError, OSError):
            path.unlink(missing_ok=True)  # it will be made again
            return None

    def save(self, name: str, frames: np.ndarray) -> None:
        """Keep a clip; the file appears complete or not at all, so an interruption leaves nothing half written."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(file, frames=frames)
            os.replace(name, path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
