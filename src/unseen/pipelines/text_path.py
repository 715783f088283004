"""How a pipeline turns prompts into embeddings: through which text encoders, in what form, and how much it uses.

For the backbones known by name this is written down. Any other pipeline is watched while it encodes a
short prompt: what its text encoders are given, and down to which block a change still reaches the embeddings.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from ..encoder.activations import PromptForm
from ..encoder.layers import eager
from ..errors import UnsupportedPipelineError
from .backbone import Backbone, backbone_of
from .protocol import adapted
from .watching import watched

_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3", "text_encoder_4")


class TextPath(NamedTuple):
    """One text encoder of a pipeline and the form in which prompts reach it."""

    name: str
    """Of the component: "text_encoder", "text_encoder_2", ..."""
    tokenizer: Any
    encoder: nn.Module
    form: PromptForm


def text_encoders(pipe: Any) -> tuple[str, ...]:
    """Names of the text encoders that a pipeline has loaded: "text_encoder", "text_encoder_2", ...

    A concept that is to disappear needs an eraser at each of them.
    """
    return tuple(name for name in _ENCODERS if isinstance(getattr(pipe, name, None), nn.Module))


def text_path(pipe: Any, name: str | None = None, *, max_length: int | None = None) -> TextPath:
    """How prompts reach one text encoder of `pipe`, or of the pair `(tokenizer, encoder)`.

    `max_length` shortens the form where padding is not attended: shorter batches, same states.

    Raises:
        UnsupportedPipelineError: no text encoder, or several and `name` is none of theirs.
    """
    if isinstance(pipe, tuple):
        tokenizer, encoder = pipe
        tokenizer = getattr(tokenizer, "tokenizer", tokenizer)
        return TextPath("text_encoder", tokenizer, encoder, _shortened(PromptForm(), max_length))
    pipe = adapted(pipe)
    present = text_encoders(pipe)
    if not present:
        raise UnsupportedPipelineError(f"{type(pipe).__name__} has no text encoder loaded, which an eraser works on.")
    if name is None and len(present) > 1:
        raise UnsupportedPipelineError(
            f"{type(pipe).__name__} has {len(present)} text encoders, and each needs an eraser of its own. Say which"
            f" one this is for: encoder={present[0]!r} (or {', '.join(map(repr, present[1:]))})."
        )
    if name is not None and name not in present:
        raise UnsupportedPipelineError(f"{type(pipe).__name__} has {', '.join(present)}, but no {name!r}.")
    path = text_paths(pipe, only=name or present[0])[0]
    return path._replace(form=_shortened(path.form, max_length))


def text_paths(pipe: Any, *, only: str | None = None) -> list[TextPath]:
    """How prompts reach every text encoder of `pipe`, or the one called `only`."""
    pipe = adapted(pipe)
    names = text_encoders(pipe) if only is None else (only,)
    known = backbone_of(pipe)
    if known is not None:
        return [_known_path(pipe, name, known) for name in names]
    return [_watched_path(pipe, name) for name in names]


def _watched_path(pipe: Any, name: str) -> TextPath:
    tokenizer = _tokenizer(pipe, name)
    return TextPath(name, tokenizer, eager(getattr(pipe, name)), watched(pipe, name, tokenizer))


def _known_path(pipe: Any, name: str, known: Backbone) -> TextPath:
    tokenizer, length = _tokenizer(pipe, name), known.prompt_length
    if known.attends_pads:  # how much padding is read makes a difference, and a small model may read less of it
        length = min(length, tokenizer.model_max_length)
    return TextPath(name, tokenizer, eager(getattr(pipe, name)), PromptForm(length, known.attends_pads))


def _shortened(form: PromptForm, max_length: int | None) -> PromptForm:
    if form.attend_pads or max_length is None:
        return form
    return form._replace(length=min(form.length, form.skip + max_length))


def _tokenizer(pipe: Any, name: str) -> Any:
    place = name.replace("text_encoder", "tokenizer")
    tokenizer = getattr(pipe, place, None)
    if tokenizer is None:
        raise UnsupportedPipelineError(
            f"{type(pipe).__name__} has a {name} but no {place}, so its prompts cannot be read."
        )
    # A processor for words and pictures holds one for words; so does the wrapper that Wan's own code has.
    return getattr(tokenizer, "tokenizer", tokenizer)
