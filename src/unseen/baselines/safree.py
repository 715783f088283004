"""SAFREE (ICLR 2025): tokens that carry the concept are projected out of its subspace, inside the prompt's own.

A token is a trigger if the prompt without it is farther from the concept than the average such prompt:
`d_i = ‖(I − P_c) p_i‖ ≥ (1 + α) mean_{j≠i} d_j`, with `p_i` the pooled prompt whose token i is masked. Triggers become
`(I − P_c) P_m e_i`, `P_m` on the span of all `p_i`; other tokens stay. The concepts are the negative prompt as well.

Where we differ from the public code: every token is tested, also the first (T5 has no BOS); prompts are pooled by the
mean over their words; projectors come from an SVD. The re-attention on latents is left out: it is written for the skip
connections of a U-Net, and there is nothing like them in a video transformer. Embeddings are used at all denoising
steps; the filter that ends them early has constants that were calibrated on CLIP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from ..concept import Concept
from .base import Baseline, FittedBaseline
from .encoding import Between, Reader, projector, prompts_of, with_negative


def learn(
    pipe: Any, concepts: Sequence[Concept], settings: Mapping[str, Any], seed: int, progress: bool
) -> dict[str, Tensor]:
    """The projector on the span of the concepts' names, `[d, d]`."""
    return {"concept": projector(Reader(pipe).embed([name for concept in concepts for name in concept.names]))}


def triggers(reader: Reader, prompt: str, concept: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Positions of the trigger tokens, and the projector on the prompt's own subspace, `[d, d]`."""
    ids, mask = reader.ids(prompt)
    special = set(reader.path.tokenizer.all_special_ids)
    words = [i for i in range(int(mask.sum())) if int(ids[0, i]) not in special]
    if len(words) < 2:  # nothing to compare with: a prompt of one word is judged by its distance alone
        return torch.tensor(words, dtype=torch.long), projector(reader.pooled(ids, mask))
    masked = ids.repeat(len(words), 1)
    masked[range(len(words)), words] = reader.path.tokenizer.pad_token_id
    pooled = reader.pooled(masked, mask.repeat(len(words), 1))
    distance = (pooled - pooled @ concept).norm(dim=-1)
    others = (distance.sum() - distance) / (len(words) - 1)
    found = torch.tensor(words)[distance >= (1 + alpha) * others]
    return found, projector(pooled)


def edit_rows(outputs: Any, prompts: Sequence[str], edit: Callable[[str, Tensor], Tensor | None]) -> Any:
    """`encode_prompt`'s outputs with `edit(prompt, embedding [tokens, d])` put in for the rows of each prompt."""
    embeds = outputs[0].clone()
    copies = len(embeds) // len(prompts)
    for number, prompt in enumerate(prompts):
        rows = slice(number * copies, (number + 1) * copies)
        changed = edit(prompt, embeds[rows][0])
        if changed is not None:
            embeds[rows] = changed.to(embeds)
    return (embeds, *outputs[1:])


def project(reader: Reader, fitted: FittedBaseline, prompt: str, embedding: Tensor) -> Tensor | None:
    """The embedding `[tokens, d]` with its trigger tokens projected; None if there are none."""
    concept = fitted.tensors["concept"]
    places, own = triggers(reader, prompt, concept, fitted.settings["alpha"])
    if not len(places):
        return None
    changed = embedding.float().cpu().clone()
    inside = changed[places] @ own
    changed[places] = inside - inside @ concept
    return changed


def put_on(pipe: Any, fitted: FittedBaseline, stack: ExitStack) -> Between:
    """Project the trigger tokens of every prompt, and use the concepts as negative prompt if `as_negative` says so."""

    def around(encode: Callable[..., Any], options: dict[str, Any]) -> Any:
        if fitted.settings["as_negative"]:
            options = with_negative(options, fitted.concepts, "SAFREE")
        reader = Reader(pipe, options.get("max_sequence_length"))
        outputs = encode(**options)
        return edit_rows(outputs, prompts_of(options), lambda text, e: project(reader, fitted, text, e))

    return Between(around, "SAFREE")


SAFREE = Baseline("safree", {"alpha": 0.01, "as_negative": True}, learn, put_on, text_only=True)
