"""CGCE (Nguyen and Patel 2026): a classifier reads the embeddings and, where it finds the concept, its gradient
moves them until it does not.

For each concept a small classifier with cross-attention, one learned query over the tokens that the encoder hands on,
tells prompts with the concept from similar ones without it. A prompt whose score exceeds the threshold is refined by a
few steps down the gradient; several concepts add their gradients. Other prompts stay as they are, bit for bit.

There is no public code. Pairs of prompts come from our writer, where the paper asks a language model. Gradients are
taken to unit length, so that `step` is a distance in units of a token's spread and means the same for every encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, pad
from tqdm.auto import tqdm

from ..concept import Concept
from ..prompts.writer import write_prompts
from .base import Baseline, FittedBaseline
from .encoding import Between, Reader, prompts_of
from .safree import edit_rows

_BATCH = 64


def logits(tokens: Tensor, real: Tensor, learned: Mapping[str, Tensor]) -> Tensor:
    """How surely each prompt has each concept, `[prompts, concepts]`.

    `tokens` are `[prompts, tokens, d]`, `real` bool `[prompts, tokens]` says which of them are no padding.
    """
    x = (tokens - learned["mean"]) / learned["spread"]
    alike = torch.einsum("ptd,cd->ptc", x, learned["query"])
    weights = alike.masked_fill(~real[..., None], -torch.inf).softmax(dim=1)
    return torch.einsum("ptc,ptd,cd->pc", weights, x, learned["value"]) + learned["bias"]


def _padded(reader: Reader, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """States of texts `[texts, tokens, d]`, and which tokens are real."""
    rows = []
    for text in texts:
        ids, mask = reader.ids(text)
        rows.append(reader.states(ids, mask)[0, : int(mask.sum())])
    longest = max(len(row) for row in rows)
    real = torch.arange(longest) < torch.tensor([len(row) for row in rows])[:, None]
    return torch.stack([pad(row, (0, 0, 0, longest - len(row))) for row in rows]), real


def learn(
    pipe: Any, concepts: Sequence[Concept], settings: Mapping[str, Any], seed: int, progress: bool
) -> dict[str, Tensor]:
    """A query, a value and a bias for each concept, `[c, d]` and `[c]`, and how tokens are scaled."""
    texts: list[str] = []
    truths: list[Tensor] = []
    for place, concept in enumerate(concepts):
        written = write_prompts(concept, seed=seed, pairs=settings["pairs"], retain=settings["retain"])
        positive = [pair.positive for pair in written.pairs]
        others = [pair.negative for pair in written.pairs] + list(written.retain)
        texts += positive + others
        truth = torch.zeros(len(positive) + len(others), len(concepts))
        truth[: len(positive), place] = 1
        truths.append(truth)
    tokens, real = _padded(Reader(pipe), texts)
    truth, used = torch.cat(truths), tokens[real]
    learned = {"mean": used.mean(dim=0), "spread": used.std().clamp_min(1e-6)}
    generator = torch.Generator().manual_seed(seed)
    shape = (len(concepts), tokens.shape[-1])
    trained = {name: (torch.randn(shape, generator=generator) * 0.02).requires_grad_() for name in ("query", "value")}
    trained["bias"] = torch.zeros(len(concepts), requires_grad=True)
    optimizer = torch.optim.AdamW(trained.values(), lr=settings["learning_rate"], weight_decay=1e-3)
    balance = (len(truth) - truth.sum(dim=0)) / truth.sum(dim=0)
    for _ in tqdm(range(settings["steps"]), desc="CGCE's classifier", disable=not progress):
        batch = torch.randint(len(texts), (_BATCH,), generator=generator)
        found = logits(tokens[batch], real[batch], {**learned, **trained})
        loss = binary_cross_entropy_with_logits(found, truth[batch], pos_weight=balance)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return {**learned, **{name: tensor.detach() for name, tensor in trained.items()}}


@torch.inference_mode(False)
@torch.enable_grad()
def refine(embedding: Tensor, count: int, fitted: FittedBaseline) -> Tensor | None:
    """The embedding `[tokens, d]`, whose first `count` tokens are real, moved until no concept's score exceeds the
    threshold or the steps are used up; None where none does to begin with."""
    settings = fitted.settings
    limit = torch.logit(torch.tensor(float(settings["threshold"])))
    tokens = embedding[:count].float().cpu().clone()
    real = torch.ones(1, count, dtype=torch.bool)
    changed = False
    for _ in range(settings["iterations"]):
        moving = tokens.clone().requires_grad_()
        found = logits(moving[None], real, fitted.tensors)[0]
        over = found > limit
        if not over.any():
            break
        [gradient] = torch.autograd.grad(found[over].sum(), moving)
        length = gradient.norm(dim=-1).amax().clamp_min(1e-12)
        tokens = (tokens - settings["step"] * fitted.tensors["spread"] * gradient / length).detach()
        changed = True
    return torch.cat([tokens.to(embedding), embedding[count:]]) if changed else None


def put_on(pipe: Any, fitted: FittedBaseline, stack: ExitStack) -> Between:
    """Refine the embeddings of every prompt in which the classifier finds a concept."""

    def around(encode: Callable[..., Any], options: dict[str, Any]) -> Any:
        reader = Reader(pipe, options.get("max_sequence_length"))
        outputs = encode(**options)

        def edit(text: str, embedding: Tensor) -> Tensor | None:
            count = min(int(reader.ids(text)[1].sum()), len(embedding))
            return refine(embedding, count, fitted)

        return edit_rows(outputs, prompts_of(options), edit)

    return Between(around, "CGCE")


CGCE = Baseline(
    "cgce",
    {
        "step": 1.0,
        "iterations": 20,
        "threshold": 0.5,
        "learning_rate": 1e-2,
        "steps": 400,
        "pairs": 120,
        "retain": 480,
    },
    learn,
    put_on,
    text_only=True,
)
