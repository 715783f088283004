"""NegPrompt: the concept as negative prompt, behind what the user put there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from .base import Baseline, FittedBaseline, nothing_to_learn
from .encoding import Between, with_negative


def put_on(pipe: Any, fitted: FittedBaseline, stack: ExitStack) -> Between:
    """Add the concepts to every negative prompt. Without guidance the call raises `GuidanceNeededError`."""

    def around(encode: Callable[..., Any], options: dict[str, Any]) -> Any:
        return encode(**with_negative(options, fitted.concepts, "NegPrompt"))

    return Between(around, "NegPrompt")


NEGATIVE_PROMPT = Baseline("negative_prompt", {}, nothing_to_learn, put_on, text_only=True)
