"""`unseen.attach`: put erasers on a pipeline. What happens then is in `unseen.clear.attachment`.

This module imports nothing heavy, because the package loads it at once: the function and its module share a name, and
importing the module later would hide the function.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clear.attachment import Handle
    from .clear.eraser import ClearEraser


def attach(
    pipe: Any,
    erasers: Sequence[ClearEraser] | ClearEraser,
    strengths: Sequence[float] | None = None,
    *,
    on_negative: bool = False,
) -> Handle:
    """Attach `erasers` to a diffusers pipeline; nothing is changed when an error is raised.

    Args:
        pipe: A pipeline with `tokenizer`, `text_encoder` and `encode_prompt` (Wan, CogVideoX).
        erasers: One or more erasers; those at the same block all see the unedited hidden states.
        strengths: One γ per eraser; default is each eraser's own.
        on_negative: Edit the negative prompt too. By default it stays, so that it may name the concept.

    Returns:
        A `Handle`, also a context manager, with `detach()` and `explain(prompt)`.

    Raises:
        WrongEncoderError: An eraser was fitted on another text encoder.
        AlreadyAttachedError: The pipeline's text encoder carries erasers already.
        EraserBypassedError: Later, by the pipeline, when it is given embeddings that the erasers have not seen.
    """
    from .clear.attachment import attach_erasers

    return attach_erasers(pipe, erasers, strengths, on_negative)
