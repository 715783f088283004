"""Where an eraser comes from: which model and settings, which versions, when. It is part of its report."""

from __future__ import annotations

import importlib.metadata
import json
import re
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from typing import Any

from torch import nn

from .config import ClearConfig

_LIBRARIES = ("unseen", "torch", "transformers", "diffusers", "safetensors")
_IN_CACHE = re.compile(r"models--([\w.-]+?)--([\w.-]+)[/\\]snapshots[/\\](\w+)")


def origin(pipe: Any, encoder: nn.Module, config: ClearConfig) -> dict[str, Any]:
    """JSON-able facts about a fit: `model`, `revision`, `encoder` (its class), `libraries`, `date` (UTC), `config`.

    `model` is a hub id where one is known, otherwise the name of a folder; never a path, which concerns nobody else.
    """
    model, revision = _model(pipe, encoder)
    return {
        "model": model,
        "revision": revision,
        "encoder": type(encoder).__name__,
        "libraries": _versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "config": json.loads(json.dumps(asdict(config), default=str)),
    }


@cache  # to read them takes as long as to fit a gate
def _versions() -> dict[str, str]:
    versions = {}
    for library in _LIBRARIES:
        try:
            versions[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def model_of(report: dict[str, Any]) -> str:
    """The model that an eraser with this report was fitted on; empty where the report does not say."""
    facts = report.get("origin")
    model = facts.get("model") if isinstance(facts, dict) else None
    return model if isinstance(model, str) else ""


def _model(pipe: Any, encoder: nn.Module) -> tuple[str, str]:
    # a pipeline that was loaded from a Path keeps it as one
    of_encoder = str(getattr(getattr(encoder, "config", None), "_name_or_path", "") or "")
    of_pipe = "" if isinstance(pipe, tuple) else str(getattr(pipe, "name_or_path", "") or "")
    for name in (of_pipe, of_encoder):
        cached = _IN_CACHE.search(name)
        if cached:
            return f"{cached[1]}/{cached[2]}", cached[3]
    name = (of_pipe or of_encoder).rstrip("/\\")
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return name, ""
    return re.split(r"[/\\]", name)[-1], ""
