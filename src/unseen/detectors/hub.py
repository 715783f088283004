"""Models from the Hugging Face hub, or from a folder of the same form, for detectors that have no package."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unseen.errors import DetectorError


def from_hub(kind: str, model: str | Path, *, revision: str | None = None) -> Any:
    """What the class `kind` of transformers loads for `model`.

    Args:
        kind: Such as "AutoModel" or "AutoTokenizer".
        model: A hub id, or a folder that `save_pretrained` wrote.
        revision: Branch, tag or commit of the hub repository.

    Raises:
        DetectorError: `model` is in neither the hub, the local cache nor a folder, is of another kind, or needs a
            package that is not installed.
    """
    import transformers

    try:
        loaded = getattr(transformers, kind).from_pretrained(model, revision=revision)
    except ImportError as error:
        raise DetectorError(f"the detector's model {model} needs a package that is not installed: {error}") from error
    except (OSError, ValueError, KeyError) as error:
        where = "in that folder" if Path(model).is_dir() else "in the local hub cache, nor could it be fetched"
        raise DetectorError(
            f"the detector's model {model} was not found as an {kind} {where}. Check the id and the network, run"
            f" `hf download {model}` on a machine that is online, or give a folder ({type(error).__name__}:"
            f" {str(error).splitlines()[0] if str(error) else 'no reason given'})"
        ) from error
    return loaded.eval().requires_grad_(False) if hasattr(loaded, "requires_grad_") else loaded


def version_of(model: str | Path, config: Any) -> str:
    """Hub id and commit of a model, or the name of its folder."""
    commit = getattr(config, "_commit_hash", None)
    return f"{model}@{commit[:12]}" if commit else Path(model).name


def to_device(inputs: Mapping[str, Any], device: str) -> dict[str, Any]:
    """The tensors among what a processor gives, on `device`."""
    return {name: value.to(device) for name, value in inputs.items() if hasattr(value, "to")}
