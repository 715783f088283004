"""Erasers inside the engines that serve video models: vLLM-Omni's pipelines and SGLang's text encoding stage.

Both run in worker processes of their own, so this is called there, once the model is loaded. It needs neither package:
what it looks at are the attributes that their public classes have.

- vLLM-Omni: `vllm_omni.diffusion.models.*`, a module with `text_encoder` and `tokenizer` (and `text_encoder_2`, ...).
- SGLang: `sglang.multimodal_gen...stages.text_encoding.TextEncodingStage`, with lists `text_encoders` and `tokenizers`,
  or a pipeline whose `stages` hold one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from torch import nn

from ..clear.eraser import ClearEraser
from ..encoder.fingerprint import fingerprint
from ..encoder.layers import eager
from ..errors import UnguardedInputError, UnsupportedPipelineError, WrongEncoderError
from ..pipelines import text_encoders
from ..runtime.attach import guard_encoder
from ..runtime.handle import Handle


class EngineGuard:
    """Erasers on an engine's text encoders; a context manager that takes them off."""

    def __init__(self, handles: Sequence[Handle], stack: ExitStack) -> None:
        self.handles, self._stack = tuple(handles), stack

    @property
    def attached(self) -> bool:
        """Whether all of them are in place."""
        return bool(self.handles) and all(handle.attached for handle in self.handles)

    def detach(self) -> None:
        """Take everything off; may be called twice."""
        self._stack.close()

    def __enter__(self) -> EngineGuard:
        return self

    def __exit__(self, *exception: object) -> None:
        self.detach()


class _Place(NamedTuple):
    name: str
    tokenizer: Any
    encoder: nn.Module


def guard_engine(
    engine: Any,
    erasers: Sequence[ClearEraser] | ClearEraser,
    *,
    allow_unguarded_encoders: bool = False,
    **watching: Any,
) -> EngineGuard:
    """Put erasers on the text encoders of an engine's pipeline or stage, in its own process.

    Every pass is edited, negative prompts too, and other words for a concept are not looked for. Embeddings that a
    request brings along do not pass the encoder: refuse them in front of the engine.

    Args:
        engine: A pipeline of vLLM-Omni; a stage or a pipeline of SGLang.
        erasers: Each for the text encoder that it was fitted on.
        allow_unguarded_encoders: Go on although there is a text encoder without an eraser for one of the concepts.
        watching: As in `unseen.guard_encoder`.

    Raises:
        UnsupportedPipelineError: No text encoder with its tokenizer was found.
        WrongEncoderError: An eraser was fitted on none of them. Engines that split or fuse the weights of a text
            encoder over several devices have other weights than a checkpoint's: fit on what is loaded.
        UnguardedInputError: An encoder has no eraser for one of the concepts.
    """
    given = [erasers] if isinstance(erasers, ClearEraser) else list(erasers)
    places = list(_places(engine))
    if not places or not given:
        raise UnsupportedPipelineError(
            f"expected erasers, and a pipeline with text_encoder and tokenizer or a stage with text_encoders and"
            f" tokenizers, got {len(given)} erasers and {type(engine).__name__}."
        )
    marks = [fingerprint(place.encoder) for place in places]
    for eraser in given:
        if eraser.encoder_fingerprint not in marks:
            present = ", ".join(
                f"{p.name} {m[:12]} ({type(p.encoder).__name__})" for p, m in zip(places, marks, strict=True)
            )
            raise WrongEncoderError(
                f"the eraser for {eraser.name!r} was fitted on the text encoder {eraser.encoder_fingerprint[:12]}, this"
                f" engine has {present}. Fit on the encoder as this engine loads it."
            )
    concepts = {eraser.name for eraser in given}
    with ExitStack() as stack:
        handles = []
        for place, mark in zip(places, marks, strict=True):
            own = [eraser for eraser in given if eraser.encoder_fingerprint == mark]
            missing = sorted(concepts - {eraser.name for eraser in own})
            if missing and not allow_unguarded_encoders:
                raise UnguardedInputError(
                    f"prompts also go through {place.name}, where no eraser for {', '.join(missing)} was given. Fit one"
                    " on it, or pass allow_unguarded_encoders=True."
                )
            if own:
                handles.append(guard_encoder(place.tokenizer, place.encoder, own, **watching))
                stack.callback(handles[-1].detach)
        return EngineGuard(handles, stack.pop_all())


def _places(engine: Any) -> Iterator[_Place]:
    encoders, tokenizers = getattr(engine, "text_encoders", None), getattr(engine, "tokenizers", None)
    if isinstance(encoders, list | tuple) and isinstance(tokenizers, list | tuple):
        if len(encoders) != len(tokenizers):
            raise UnsupportedPipelineError(
                f"expected a tokenizer for each text encoder, got {len(tokenizers)} for {len(encoders)}."
            )
        for number, (encoder, tokenizer) in enumerate(zip(encoders, tokenizers, strict=True)):
            yield _Place(f"text_encoders[{number}]", tokenizer, _encoder_of(encoder))
        return
    stages = getattr(engine, "stages", None)
    if isinstance(stages, list | tuple):
        for stage in stages:
            if hasattr(stage, "text_encoders"):
                yield from _places(stage)
        return
    for name in text_encoders(engine):
        tokenizer = getattr(engine, name.replace("text_encoder", "tokenizer"), None)
        if tokenizer is None:
            raise UnsupportedPipelineError(f"{type(engine).__name__} has a {name} and no tokenizer for it.")
        yield _Place(name, tokenizer, _encoder_of(getattr(engine, name)))


def _encoder_of(module: nn.Module) -> nn.Module:
    """Of an encoder-decoder, which SGLang runs by its `get_encoder()`, the encoder."""
    module = eager(module)
    config = getattr(module, "config", None)
    if getattr(config, "is_encoder_decoder", False) and hasattr(module, "decoder"):
        return module.get_encoder()  # type: ignore[operator]
    return module
