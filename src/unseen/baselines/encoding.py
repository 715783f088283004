"""Come between a pipeline and its `encode_prompt`, which is where most methods act, and read prompts as it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..concept import Concept
from ..encoder.calls import run
from ..encoder.layers import execution_device
from ..errors import EraserBypassedError, GuidanceNeededError
from ..pipelines import TextPath, backbone_of, cleaned, text_path
from ..runtime.context.call import EncodeCall

Around = Callable[[Callable[..., Any], dict[str, Any]], Any]
"""`around(encode_prompt, options) -> outputs`, with every option by name."""


@dataclass(frozen=True)
class Between:
    """Comes between a pipeline and its `encode_prompt`. Ready-made embeddings are refused: nothing could be done about
    them."""

    around: Around
    what: str
    """How errors call the baseline."""
    inner: bool = False

    def encode(self, pipe: Any, encode: Callable[..., Any], options: dict[str, Any]) -> Any:
        """What the pipeline is given instead."""
        if options.get("prompt_embeds") is not None:
            raise EraserBypassedError(
                f"prompt_embeds were passed, on which {self.what} cannot act. Pass prompt= instead."
            )
        return self.around(encode, options)

    def encoded(self, pipe: Any, outputs: Any, call: EncodeCall) -> Sequence[int]:
        """Baselines keep no account."""
        return ()


def with_negative(options: dict[str, Any], concepts: Sequence[Concept], what: str) -> dict[str, Any]:
    """The options with the concepts' names behind what the negative prompt says.

    Raises:
        GuidanceNeededError: there is no guidance, and a negative prompt would do nothing.
        EraserBypassedError: the negative prompt came as embeddings.
    """
    if not options.get("do_classifier_free_guidance"):
        raise GuidanceNeededError(
            f"{what} works through the negative prompt, which the pipeline ignores at guidance_scale ≤ 1. Raise it."
        )
    if options.get("negative_prompt_embeds") is not None:
        raise EraserBypassedError(f"negative_prompt_embeds were passed, to which {what} cannot add. Pass text instead.")
    names = ", ".join(name for concept in concepts for name in concept.names)
    given = options.get("negative_prompt")
    if isinstance(given, list | tuple):
        return {**options, "negative_prompt": [f"{text}, {names}" if text else names for text in given]}
    return {**options, "negative_prompt": f"{given}, {names}" if given else names}


def prompts_of(options: dict[str, Any]) -> list[str]:
    """The prompts of a call, one or several."""
    prompt = options["prompt"]
    return [prompt] if isinstance(prompt, str) else list(prompt)


class Reader:
    """Encodes texts as the pipeline does, for looking at them."""

    def __init__(self, pipe: Any, length: int | None = None) -> None:
        """`length` cuts and pads to another number of tokens than the pipeline's own (`max_sequence_length`)."""
        self.path: TextPath = text_path(pipe)
        if length is not None:
            self.path = self.path._replace(form=self.path.form._replace(length=length))
        self.backbone = backbone_of(pipe)

    def ids(self, text: str) -> tuple[Tensor, Tensor]:
        """Token ids and mask of the words, `[1, tokens]`, padded as the encoder reads them."""
        form = self.path.form
        inputs = self.path.tokenizer(
            [form.template.format(cleaned(self.backbone, text))],
            padding="max_length" if form.attend_pads else False,
            max_length=form.length,
            truncation=True,
            return_tensors="pt",
        )
        return inputs.input_ids, inputs.attention_mask

    @torch.no_grad()
    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """What the encoder gives for token ids, `[batch, tokens, d]`, float32."""
        device = execution_device(self.path.encoder)
        seen = None if self.path.form.attend_pads else mask.to(device)
        return run(self.path.encoder, ids.to(device), seen).float().cpu()

    def pooled(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Mean over the words, `[batch, d]`. (On T5 the state at position 0, as in public code, says little.)"""
        states, weight = self.states(ids, mask), mask[..., None].float()
        return (states * weight).sum(dim=1) / weight.sum(dim=1)

    def embed(self, texts: Sequence[str]) -> Tensor:
        """`pooled` of texts, `[texts, d]`."""
        return torch.cat([self.pooled(*self.ids(text)) for text in texts])


def projector(vectors: Tensor, cutoff: float = 1e-4) -> Tensor:
    """Orthogonal projector `[d, d]` on the span of `vectors` `[n, d]`: symmetric and idempotent.

    By SVD, with directions left out whose singular value is below `cutoff` of the largest; `pinv(EᵀE)` squares the
    condition number and is neither.
    """
    _, sizes, rows = torch.linalg.svd(vectors.double(), full_matrices=False)
    kept = rows[sizes > cutoff * sizes.max()]
    return (kept.T @ kept).to(vectors.dtype)
