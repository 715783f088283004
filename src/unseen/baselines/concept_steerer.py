"""Concept Steerers (2025), the sparse-autoencoder ancestor of CLEAR: one fixed block, every prompt steered alike.

A k-sparse autoencoder learns the outputs of one block. The concept's own prompt gives activations `a`, averaged over
its words; `v = a W_dec` is a direction, and `h' = h − s v` is done at every token of every prompt, whatever it says.

Where we differ from the public code: its loss counts the pre-bias twice; ours subtracts it once. Features may not be 16
times the width on a laptop; `features_per_width` says how many times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..clear.config import SaeConfig
from ..clear.sae import SaeTrainer, ordinary_tokens
from ..concept import Concept
from ..encoder.activations import encode_by_length
from ..encoder.layers import num_blocks
from ..pipelines import text_path
from ..prompts.writer import write_prompts
from ..runtime.chokepoints.guard import Guard
from ..runtime.context.proofs import Proof
from .base import Baseline, FittedBaseline


def block_of(pipe: Any, settings: Mapping[str, Any]) -> int:
    """The block that is steered; counted from the end if negative (the paper's is the last but one of T5-XXL)."""
    block = settings["block"]
    return block if block >= 0 else num_blocks(text_path(pipe).encoder) + block


def learn(
    pipe: Any, concepts: Sequence[Concept], settings: Mapping[str, Any], seed: int, progress: bool
) -> dict[str, Tensor]:
    """The direction to subtract, `[d]`: the sum over the concepts of what the autoencoder reads in their names."""
    path, block = text_path(pipe, max_length=64), block_of(pipe, settings)
    texts = []
    for concept in concepts:
        written = write_prompts(concept, seed=seed, pairs=settings["pairs"], retain=settings["retain"])
        texts += [text for pair in written.pairs for text in pair] + list(written.retain)
    part = encode_by_length(path.tokenizer, path.encoder, list(dict.fromkeys(texts)), path.form, layers=[block])
    hidden = part.hidden[:, ordinary_tokens(part.hidden)]
    generator = torch.Generator().manual_seed(seed)
    sae = SaeConfig(
        expansion=settings["features_per_width"],
        l1_coefficient=0.0,
        lr=settings["learning_rate"],
        steps=settings["steps"],
        top_k=settings["k"],
    )
    trainer = SaeTrainer(hidden[:, torch.randperm(hidden.shape[1], generator=generator)[:32768]], sae, seed=seed)
    for _ in tqdm(range(settings["steps"]), desc="k-sparse autoencoder", disable=not progress):
        trainer.step(hidden[:, torch.randint(hidden.shape[1], (256,), generator=generator)])
    bank = trainer.finish()
    direction = torch.zeros(hidden.shape[-1])
    for concept in concepts:
        named = encode_by_length(path.tokenizer, path.encoder, [concept.name], path.form, layers=[block])
        active = bank.encode(named.hidden[:, ~named.special])[0].mean(dim=0)
        direction += active @ bank.W_dec[0] * bank.scale[0, 0, 0]
    return {"direction": direction}


def put_on(pipe: Any, fitted: FittedBaseline, stack: ExitStack) -> Guard:
    """Subtract the direction from every token of the prompt, not of the negative prompt."""
    path, block = text_path(pipe), block_of(pipe, fitted.settings)
    change, proof = -fitted.settings["strength"] * fitted.tensors["direction"], Proof(frozenset({fitted.key}), False)

    def edit(hidden: Tensor, valid: Tensor | None) -> Tensor | None:
        if not fitted.settings["strength"]:
            return None
        return hidden.float() + change.to(hidden.device) * (1.0 if valid is None else valid[..., None])

    return Guard([path], {(path.name, block): edit}, lambda: proof)


CONCEPT_STEERER = Baseline(
    "concept_steerer",
    {
        "block": -2,
        "strength": 1.0,
        "k": 32,
        "features_per_width": 4,
        "learning_rate": 4e-3,
        "steps": 400,
        "pairs": 120,
        "retain": 480,
    },
    learn,
    put_on,
    text_only=True,
)
