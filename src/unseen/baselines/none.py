"""No method at all: what every other one is compared with."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from .base import Baseline, FittedBaseline, nothing_to_learn


def put_on(pipe: Any, fitted: FittedBaseline, stack: ExitStack) -> None:
    """Nothing."""
    return None


NONE = Baseline("none", {}, nothing_to_learn, put_on, text_only=True)
