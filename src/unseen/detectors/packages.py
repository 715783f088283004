"""Optional packages that detectors need, and the models inside them."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unseen.errors import DetectorError


def require(module: str, extra: str) -> Any:
    """The module, imported.

    Raises:
        DetectorError: its package is not installed, or does not import; names the extra of ours that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DetectorError(
            f"this detector needs the module {module}, which cannot be imported here ({error}):"
            f' pip install "unseen[{extra}]"'
        ) from error


def file_in(module: str, path: str, extra: str) -> Path:
    """A file inside an installed package, which is not imported.

    Raises:
        DetectorError: the package is not installed, or this version of it lacks the file.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise DetectorError(
            f'this detector needs the package {module}, which is not installed: pip install "unseen[{extra}]"'
        )
    file = Path(spec.submodule_search_locations[0]) / path
    if not file.is_file():
        raise DetectorError(f'the installed {module} has no file {path}: pip install "unseen[{extra}]"')
    return file


def release(distribution: str) -> str:
    """Name and version of an installed package, such as "nudenet 3.4.2"."""
    return f"{distribution} {importlib.metadata.version(distribution)}"


def onnx_network(path: Path, extra: str) -> Callable[[np.ndarray], np.ndarray]:
    """The function from a batch to the first output that an ONNX file holds, on the processor."""
    session = require("onnxruntime", extra).InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(batch: np.ndarray) -> np.ndarray:
        return np.asarray(session.run(None, {name: batch})[0])

    return run
