"""NegPrompt: the concept as negative prompt, behind what the user put there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from .base import Baseline, FittedBaseline, nothing_to_learn
from .encoding import encoding_through, with_negative


def apply(pipe: Any, artefact: FittedBaseline) -> AbstractContextManager[None]:
    """Add the concepts to every negative prompt. Without guidance the call raises `GuidanceNeededError`."""

    def around(encode: Callable[..., Any], options: dict[str, Any]) -> Any:
        return encode(**with_negative(options, artefact.concepts, "NegPrompt"))

    return encoding_through(pipe, around, "NegPrompt")


NEGATIVE_PROMPT = Baseline("negative_prompt", {}, nothing_to_learn, apply, text_only=True)
