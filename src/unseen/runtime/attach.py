"""`unseen.attach`: put erasers on a pipeline. What happens then is in `unseen.runtime.handle`.

This module imports nothing heavy, because the package loads it at once: the function and its module share a name, and
importing the module later would hide the function.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..clear.eraser import ClearEraser
    from .handle import Handle


def attach(
    pipe: Any,
    erasers: Sequence[ClearEraser] | ClearEraser,
    strengths: Sequence[float] | None = None,
    *,
    on_negative: bool = False,
    allow_image_input: bool = False,
    allow_unguarded_encoders: bool = False,
    audit: str | Path | None = None,
    audit_prompts: bool = False,
) -> Handle:
    """Attach `erasers` to a diffusers pipeline; nothing is changed when an error is raised.

    Args:
        pipe: A diffusers pipeline. Wan and CogVideoX are known by name, others are watched as they encode a prompt.
        erasers: One or more erasers, each for the text encoder it was fitted on; those at the same block all see the
            unedited hidden states.
        strengths: One γ per eraser; default is each eraser's own.
        on_negative: Edit the negative prompt too. By default it stays, so that it may name the concept. (Pipelines that
            encode it in a call of its own, as FLUX does, do not tell it from a prompt, and it is always edited.)
        allow_image_input: Attach to a pipeline that takes an image or a video too, which no text eraser guards.
        allow_unguarded_encoders: Attach although the pipeline has another text encoder that gets no eraser.
        audit: Append a JSON line for every encoded prompt to this file: which erasers fired, on which tokens, how
            strongly. A prompt is named by its SHA-256.
        audit_prompts: Write the prompts themselves into the audit log as well.

    Returns:
        A `Handle`, also a context manager, with `detach()` and `explain(prompt)`.

    Raises:
        WrongEncoderError: An eraser was fitted on another text encoder.
        UnguardedInputError: The pipeline takes an image or a video, or reads the prompt through another text encoder
            too, and the argument that allows it was not given.
        OSError: The audit file cannot be written.
        AlreadyAttachedError: The pipeline's text encoder carries erasers already.
        EraserBypassedError: Later, by the pipeline, when it is given embeddings that the erasers have not seen.
    """
    from .handle import attach_erasers

    return attach_erasers(
        pipe,
        erasers,
        strengths,
        on_negative,
        allow_image_input=allow_image_input,
        allow_unguarded_encoders=allow_unguarded_encoders,
        audit=audit,
        audit_prompts=audit_prompts,
    )
