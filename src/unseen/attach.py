"""`unseen.attach`: put erasers on a pipeline. What happens then is in `unseen.clear.attachment`.

This module imports nothing heavy, because the package loads it at once: the function and its module share a name, and
importing the module later would hide the function.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
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
    allow_image_input: bool = False,
    audit: str | Path | None = None,
    audit_prompts: bool = False,
) -> Handle:
    """Attach `erasers` to a diffusers pipeline; nothing is changed when an error is raised.

    Args:
        pipe: A pipeline with `tokenizer`, `text_encoder` and `encode_prompt` (Wan, CogVideoX).
        erasers: One or more erasers; those at the same block all see the unedited hidden states.
        strengths: One γ per eraser; default is each eraser's own.
        on_negative: Edit the negative prompt too. By default it stays, so that it may name the concept.
        allow_image_input: Attach to a pipeline that takes an image or a video too, which no text eraser guards.
        audit: Append a JSON line for every encoded prompt to this file: which erasers fired, on which tokens, how
            strongly. A prompt is named by its SHA-256.
        audit_prompts: Write the prompts themselves into the audit log as well.

    Returns:
        A `Handle`, also a context manager, with `detach()` and `explain(prompt)`.

    Raises:
        WrongEncoderError: An eraser was fitted on another text encoder.
        UnguardedInputError: The pipeline takes an image or a video, and `allow_image_input` was not given.
        OSError: The audit file cannot be written.
        AlreadyAttachedError: The pipeline's text encoder carries erasers already.
        EraserBypassedError: Later, by the pipeline, when it is given embeddings that the erasers have not seen.
    """
    from .clear.attachment import attach_erasers

    return attach_erasers(
        pipe,
        erasers,
        strengths,
        on_negative,
        allow_image_input=allow_image_input,
        audit=audit,
        audit_prompts=audit_prompts,
    )
