"""Two files that belong together and prove that nobody changed them: JSON for facts, safetensors for numbers.

A file that somebody else made may be anything: a pipe that never ends, a million brackets, a header that promises more
than follows. Reading takes bounded time and memory, and raises `DamagedFileError` and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from safetensors import SafetensorError

from .errors import DamagedFileError

if TYPE_CHECKING:  # what reads facts alone does not wait for torch
    from torch import Tensor

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Schema = Mapping[str, type | tuple[type, ...]]
"""The keys that a JSON object must have, and no others, with the types of their values."""

MAX_JSON = 16 << 20
"""Bytes of facts; a fit's report has some ten thousand."""
MAX_WEIGHTS = 4 << 30
"""Bytes of numbers; adapters for the largest models have some hundred million."""
_MAX_HEADER = 8 << 20
_MAX_DIMENSIONS = 8
_LFS = b"version https://git-lfs.github.com/spec/"
_BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
_LOCK_SECONDS = 10.0
_NEXT = ".next.json"  # ends the name of facts whose weights are being written


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that appears complete or not at all, whatever ends this process and whoever else writes it."""
    part = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def require_writable(folder: str | Path) -> None:
    """Make `folder` if need be, and see that files can be written there: before the work, not after it.

    Raises `OSError` with the reason.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".unseen-"):
        pass


def write_pair(
    folder: str | Path, stem: str, version: int, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]
) -> None:
    """Write `<stem>.json` and `<stem>.safetensors` into `folder`, which is created if need be.

    The JSON comes last: where it is, the pair is whole. Of several that write at once, the last one's pair stays. Over
    an older pair, the new facts are laid beside first: whenever this process ends, one of the two pairs can be read.
    """
    from safetensors.torch import save

    folder = Path(folder)
    weights = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    metadata = {"format_version": version, **facts, "weights_sha256": hashlib.sha256(weights).hexdigest()}
    metadata["sha256"] = facts_digest(metadata)
    text = json.dumps(metadata, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    content = text.encode()
    folder.mkdir(parents=True, exist_ok=True)
    next_facts = folder / f"{stem}{_NEXT}"
    with _locked(folder, alone=True):
        try:
            write_whole(next_facts, content)
            write_whole(folder / f"{stem}.safetensors", weights)
            os.replace(next_facts, folder / f"{stem}.json")
        except BaseException:
            next_facts.unlink(missing_ok=True)
            raise


def read_pair(
    folder: str | Path, stem: str, version: int, schema: Schema, max_weights: int = MAX_WEIGHTS
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what `write_pair` wrote: the facts of `schema`, and the tensors.

    Raises:
        DamagedFileError: a file is missing, is no regular file, is too large, is not what `write_pair` writes, was
            changed afterwards, or is of another version.
    """
    facts, weights = read_facts(folder, stem, version, schema, max_weights)
    return facts, _tensors(Path(folder) / f"{stem}.safetensors", weights)


def read_facts(
    folder: str | Path, stem: str, version: int, schema: Schema, max_weights: int = MAX_WEIGHTS
) -> tuple[dict[str, Any], bytes]:
    """The facts of a pair, and the bytes of its numbers, which match their checksum; torch is not needed.

    Raises:
        DamagedFileError: as `read_pair`, but for what is wrong inside the numbers.
    """
    folder = Path(folder)
    facts_file, weights_file = folder / f"{stem}.json", folder / f"{stem}.safetensors"
    with _locked(folder, alone=False):
        weights = read_regular(weights_file, max_weights)
        digest = hashlib.sha256(weights).hexdigest()
        metadata = _facts(facts_file, version, schema)
        next_facts = folder / f"{stem}{_NEXT}"
        if metadata["weights_sha256"] != digest and next_facts.exists():  # whoever wrote the weights was ended there
            metadata = _facts(next_facts, version, schema)
    if metadata.pop("weights_sha256") != digest:
        _refuse(weights_file, "does not match its checksum. Save it again.")
    del metadata["format_version"]
    return metadata, weights


def _facts(path: Path, version: int, schema: Schema) -> dict[str, Any]:
    """What a JSON file of a pair says, its own checksum taken off."""
    text = read_regular(path, MAX_JSON)
    try:
        metadata = _json_object(text)
        _require_version(path, metadata, version)
        digest = metadata.pop("sha256", None)
        if digest != facts_digest(metadata):
            _refuse(path, "was changed after it was written. Save it again.")
    except (ValueError, RecursionError) as error:
        _refuse(path, f"is not valid JSON of an eraser or baseline ({_first_line(error)}). Save it again.")
    require_schema(path, metadata, {"format_version": int, **schema, "weights_sha256": str})
    return metadata


def _refuse(path: Path, why: str) -> NoReturn:
    raise DamagedFileError(f"{path}: {why}")


def _first_line(error: BaseException) -> str:
    return str(error).split("\n")[0][:200]


# Bytes


def read_regular(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes, or a link to one."""
    try:
        # Opening a pipe waits for its other end, and a device may never end: look before, and again at what was opened.
        _require_regular(path, os.stat(path), limit)
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            _require_regular(path, status, limit)
            content = file.read(status.st_size + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise DamagedFileError(
            f"{path.parent}: expected {path.stem}.json and {path.stem}.safetensors, cannot read {path.name} ({why})."
            " Pass the folder that save_pretrained wrote."
        ) from error
    if len(content) > status.st_size:
        _refuse(path, "grew while it was read. Save it again.")
    if content.startswith(_LFS):
        _refuse(path, "this is a Git LFS pointer, not the file itself. Run `git lfs pull` in its repository.")
    return content


def _require_regular(path: Path, status: os.stat_result, limit: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        kinds = {
            stat.S_IFIFO: "a named pipe", stat.S_IFDIR: "a folder", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
            stat.S_IFSOCK: "a socket",
        }  # fmt: skip
        found = kinds.get(stat.S_IFMT(status.st_mode), "something else")
        _refuse(path, f"expected a regular file, got {found}. Pass the folder that save_pretrained wrote.")
    if status.st_size > limit:
        _refuse(path, f"expected at most {limit:,} bytes, got {status.st_size:,}. It is no file of this library.")


@contextmanager
def _locked(folder: Path, *, alone: bool) -> Iterator[None]:
    """Keep writers of a folder's pair from each other, and readers from seeing half of what one writes.

    Where folders cannot be locked (Windows, some network drives), or somebody holds the lock for long, go on without:
    a pair that does not match is then refused by its checksum.
    """
    descriptor = None
    try:
        if fcntl is not None:
            descriptor = os.open(folder, os.O_RDONLY | os.O_NONBLOCK | os.O_DIRECTORY)
            wanted = (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB
            patience = time.monotonic() + _LOCK_SECONDS
            while time.monotonic() < patience:
                try:
                    fcntl.flock(descriptor, wanted)
                    break
                except BlockingIOError:
                    time.sleep(0.002)
    except (OSError, ValueError):  # what is wrong with the folder is said when its files are read or written
        pass
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)  # and with it the lock


# Facts


def _json_object(text: bytes) -> dict[str, Any]:
    """Strict JSON: UTF-8, an object, no key twice, no NaN, no number beyond a float's range."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            raise ValueError("a key is there twice")
        return made

    def constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON number")

    def finite(digits: str) -> float:
        value = float(digits)
        return value if math.isfinite(value) else constant(digits[:20])

    metadata = json.loads(text.decode("utf-8"), object_pairs_hook=unique, parse_constant=constant, parse_float=finite)
    if not isinstance(metadata, dict):
        raise ValueError(f"expected an object, got {type(metadata).__name__}")
    return metadata


def _require_version(path: Path, metadata: Mapping[str, Any], version: int) -> None:
    found = metadata.get("format_version")
    if isinstance(found, bool) or found != version:
        _refuse(
            path,
            f"expected format version {version}, got {str(found)[:40]}."
            " Use the release of unseen that wrote it, or fit again.",
        )


def require_schema(path: Path, facts: Mapping[str, Any], schema: Schema) -> None:
    """Raise `DamagedFileError`, which names `path`, for facts that are not an object of this schema."""
    if not isinstance(facts, dict):
        _refuse(path, f"expected an object with {', '.join(schema)}, got {type(facts).__name__}. Save it again.")
    for name in schema.keys() - facts.keys():
        _refuse(path, f"expected a value for {name!r}, got none. Save it again.")
    for name in facts.keys() - schema.keys():
        _refuse(path, f"expected {', '.join(schema)}, got {name[:40]!r} as well. Save it again.")
    for name, kinds in schema.items():
        value, allowed = facts[name], kinds if isinstance(kinds, tuple) else (kinds,)
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            names = " or ".join(kind.__name__ for kind in allowed)
            _refuse(path, f"expected {names} for {name!r}, got {type(value).__name__}. Save it again.")


def facts_digest(metadata: Mapping[str, Any]) -> str:
    """SHA-256 of facts, in whatever order they are written."""
    return hashlib.sha256(json.dumps(metadata, sort_keys=True).encode()).hexdigest()


# Numbers


def _tensors(path: Path, weights: bytes) -> dict[str, Tensor]:
    """The tensors of a safetensors file, once its header agrees with what follows."""
    from safetensors.torch import load

    try:
        _require_header(weights)
        return load(weights)
    except (SafetensorError, ValueError, TypeError, KeyError, RuntimeError, RecursionError, OverflowError) as error:
        _refuse(path, f"is not a safetensors file of floating-point numbers ({_first_line(error)}). Save it again.")


def _require_header(weights: bytes) -> None:
    size = int.from_bytes(weights[:8], "little")
    if len(weights) < 8 or size > min(_MAX_HEADER, len(weights) - 8):
        raise ValueError("its header is longer than the file or than any of ours")
    for name, facts in _json_object(weights[8 : 8 + size]).items():
        if name == "__metadata__":
            continue
        if not isinstance(facts, dict) or facts.get("dtype") not in _BYTES:
            raise ValueError(f"{name[:40]!r} has a dtype other than {', '.join(_BYTES)}")
        shape, place = facts.get("shape"), facts.get("data_offsets")
        if (
            not isinstance(shape, list)
            or len(shape) > _MAX_DIMENSIONS
            or not isinstance(place, list)
            or len(place) != 2
        ):
            raise ValueError(f"{name[:40]!r} has no shape or no place")
        if not all(type(n) is int and 0 <= n <= len(weights) for n in (*shape, *place)):
            raise ValueError(f"{name[:40]!r} has a shape or a place that the file has not")
        if place[1] - place[0] != math.prod(shape) * _BYTES[facts["dtype"]]:
            raise ValueError(f"{name[:40]!r} has a shape that its bytes do not fill")
