"""Two files that belong together and prove that nobody changed them: JSON for facts, safetensors for numbers."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from .errors import DamagedFileError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears complete or not at all, whatever ends this process."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_bytes(content)
    os.replace(part, path)


def write_pair(
    folder: str | Path, stem: str, version: int, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write `<stem>.json` and `<stem>.safetensors` into `folder`, which is created if need be.

    The JSON comes last: where it is, the pair is whole.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    metadata = {"format_version": version, **facts, "weights_sha256": hashlib.sha256(weights).hexdigest()}
    metadata["sha256"] = _digest(metadata)
    write_whole(folder / f"{stem}.safetensors", weights)
    text = json.dumps(metadata, indent=1, ensure_ascii=False) + "\n"
    write_whole(folder / f"{stem}.json", text.encode())


def read_pair(folder: str | Path, stem: str, version: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what `write_pair` wrote. Raises `DamagedFileError` if a file is missing, was changed, or is of another
    version."""
    folder = Path(folder)
    facts_file, weights_file = folder / f"{stem}.json", folder / f"{stem}.safetensors"
    try:
        weights = weights_file.read_bytes()
        metadata = json.loads(facts_file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DamagedFileError(
            f"{folder}: expected {facts_file.name} and {weights_file.name}, cannot read {error.filename}"
            f" ({error.strerror}). Pass the folder that save_pretrained wrote."
        ) from error
    except ValueError as error:
        raise DamagedFileError(f"{facts_file}: is not valid JSON ({error}). Save it again.") from error
    found = metadata.get("format_version") if isinstance(metadata, dict) else None
    if found != version:
        raise DamagedFileError(
            f"{facts_file}: expected format version {version}, got {found}."
            " Use the release of unseen that wrote it, or fit again."
        )
    if metadata.pop("sha256", None) != _digest(metadata):
        raise DamagedFileError(f"{facts_file}: was changed after it was written. Save it again.")
    if hashlib.sha256(weights).hexdigest() != metadata["weights_sha256"]:
        raise DamagedFileError(f"{weights_file}: does not match its checksum. Save it again.")
    try:
        return metadata, load(weights)
    except SafetensorError as error:
        raise DamagedFileError(f"{weights_file}: is not a safetensors file ({error}).") from error


def _digest(metadata: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()
