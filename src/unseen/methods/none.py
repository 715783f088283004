"""No method at all: what every other one is compared with."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .artefact import Artefact, Method, nothing_to_learn


def apply(pipe: Any, artefact: Artefact) -> AbstractContextManager[None]:
    """Nothing."""
    return nullcontext()


NONE = Method("none", {}, nothing_to_learn, apply, text_only=True)
