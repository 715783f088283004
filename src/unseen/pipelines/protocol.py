"""What the rest of this library asks of a pipeline, and how pipelines of other builds are brought to it.

A diffusers pipeline has it all. For pipelines of another build there is an adapter: `modular`. What a text encoder is
given and how much of it is used is found in `text_path`; what denoises, by the components that take text; what pictures
are taken, by the names of the call's arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from ..errors import UnsupportedPipelineError
from .modular import ModularText, is_modular, modular_text


class Pipeline(Protocol):
    """What can be watched and guarded."""

    @property
    def components(self) -> Mapping[str, Any]:
        """Tokenizers, text encoders, denoisers and whatever else there is, by name; attributes by the same names."""

    def encode_prompt(self, prompt: Any, **options: Any) -> Any:
        """Embeddings of one or several prompts, called by every call of the pipeline: a tensor, or a tuple of tensors,
        lists of them, and None for what was not asked for."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Pictures or clips."""


def adapted(pipe: Any) -> Any:
    """`pipe` itself, or a stand-in for it that is a `Pipeline`.

    Raises:
        UnsupportedPipelineError: it is none, and no adapter makes it one.
    """
    if isinstance(pipe, ModularText):
        return pipe
    name = pipe.__name__ if isinstance(pipe, type) else type(pipe).__name__
    if isinstance(pipe, type):
        raise UnsupportedPipelineError(f"expected a pipeline, got the class {name}: build or load one of it first.")
    if is_modular(pipe):
        return modular_text(pipe)
    if hasattr(pipe, "prompter"):
        raise UnsupportedPipelineError(
            f"{name} is one of DiffSynth-Studio's: it runs its denoiser part by part, so that nothing could be refused"
            " there. Guard its text encoder: unseen.guard_encoder(pipe.prompter.tokenizer, pipe.text_encoder, erasers)."
        )
    if not callable(getattr(type(pipe), "encode_prompt", None)):
        raise UnsupportedPipelineError(
            f"{name} has no encode_prompt, through which prompts are seen; pipelines that encode inside their call are"
            " not supported. Guard the text encoder alone: unseen.guard_encoder(tokenizer, text_encoder, erasers)."
        )
    return pipe
