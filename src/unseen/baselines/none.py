"""No method at all: what every other one is compared with."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .base import Baseline, FittedBaseline, nothing_to_learn


def apply(pipe: Any, artefact: FittedBaseline) -> AbstractContextManager[None]:
    """Nothing."""
    return nullcontext()


NONE = Baseline("none", {}, nothing_to_learn, apply, text_only=True)
