"""Searches for words that stand behind a prompt: genetic, which only tries, and by gradients, which also looks inside.

Both see the pipeline with whatever is attached to it, so on an erased one they know the eraser. The budget is the
number of word lists that are tried; words that share a stem with a name of the concept are not allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from unseen.bench.attacks.aim import Aim, climb, look
from unseen.bench.prompts.adversary import with_words

How = Literal["genetic", "gradient"]
_ELITE = 0.25
_BEST = 24
"""Words per place that a gradient proposes."""


@dataclass(frozen=True)
class Budget:
    """How much is tried."""

    words: int = 5
    """That are put behind a prompt."""
    tried: int = 240
    """Word lists in all."""
    at_once: int = 32
    """Word lists between two looks at the result."""


@dataclass(frozen=True)
class Words:
    """What a search found."""

    words: tuple[str, ...]
    reached: float
    """How much of the way to the named prompt they go: 0 like the prompt without them, 1 like the concept's name."""
    trend: tuple[float, ...]
    """The same for the best so far, after each round."""


def search(
    pipe: Any,
    aim: Aim,
    pool: Sequence[str],
    how: How,
    *,
    seed: int,
    budget: Budget | None = None,
    penalty: Callable[[Tensor], Tensor] | None = None,
) -> Words:
    """Words out of `pool` that bring the neutral prompts of `aim` closest to the named ones.

    `penalty` says what to take off for a preview `[values]`: an attacker that knows a guard's score stays below it.

    Raises:
        ValueError: the pool has fewer words than are wanted, or the budget is smaller than one round.
    """
    budget = budget or Budget()
    if len(pool) < budget.words or budget.tried < budget.at_once:
        raise ValueError(
            f"expected a pool of at least {budget.words} words and a budget of at least {budget.at_once}, got"
            f" {len(pool)} and {budget.tried}."
        )

    def fitness(rows: np.ndarray) -> np.ndarray:
        texts = [with_words(prompt, (pool[i] for i in row)) for row in rows for prompt in aim.neutral]
        seen = look(pipe, texts, aim.see, aim.length).unflatten(0, (len(rows), len(aim.neutral)))
        scores = aim.reached(seen)
        if penalty is not None:
            scores = scores - penalty(seen)
        return scores.nan_to_num(-1e3).mean(1).numpy()  # what is refused is worth nothing

    rng = np.random.default_rng([seed, *" ".join(pool[: budget.words]).encode()])
    move = _crossed if how == "genetic" else _climbing(pipe, aim, pool, penalty)
    rows = rng.integers(len(pool), size=(budget.at_once, budget.words))
    fit = fitness(rows)
    trend = [float(fit.max())]
    for _ in range(budget.tried // budget.at_once - 1):
        order = np.argsort(-fit, kind="stable")[: max(2, round(_ELITE * budget.at_once))]
        best, kept = rows[order], fit[order]
        children = move(best, budget.at_once, len(pool), rng)
        rows, fit = np.concatenate([best, children]), np.concatenate([kept, fitness(children)])
        trend.append(float(fit.max()))
    best_row = rows[int(np.argmax(fit))]
    return Words(tuple(pool[i] for i in best_row), float(fit.max()), tuple(trend))


def _crossed(best: np.ndarray, count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Children of two of the best each, with a word exchanged here and there."""
    pairs = best[rng.integers(len(best), size=(count, 2))]
    children = np.where(rng.random((count, best.shape[1])) < 0.5, pairs[:, 0], pairs[:, 1])
    changes = rng.random(children.shape) < 1 / best.shape[1]
    return np.where(changes, rng.integers(size, size=children.shape), children)


def _climbing(
    pipe: Any, aim: Aim, pool: Sequence[str], penalty: Callable[[Tensor], Tensor] | None
) -> Callable[[np.ndarray, int, int, np.random.Generator], np.ndarray]:
    """Exchanges one or two words of the best where the gradient promises most (HotFlip; GCG, Zou et al. 2023)."""
    tokenizer, encoder = pipe.tokenizer, pipe.text_encoder
    ids = tokenizer(list(pool), add_special_tokens=False).input_ids
    table = encoder.get_input_embeddings().weight.detach()[torch.tensor([one[0] for one in ids])].float().cpu()

    def move(best: np.ndarray, count: int, size: int, rng: np.random.Generator) -> np.ndarray:
        promised = []
        for place, prompt in enumerate(aim.neutral):
            text = with_words(prompt, (pool[i] for i in best[0]))
            gradient = climb(pipe, aim, text, place, penalty).float().cpu()
            last = len(gradient) - tokenizer.num_special_tokens_to_add() // 2
            promised.append(gradient[last - best.shape[1] : last] @ table.T)  # [words, pool]
        chosen = torch.stack(promised).mean(0).topk(min(_BEST, size), dim=1).indices.numpy()
        children = best[rng.integers(min(2, len(best)), size=count)].copy()
        for child in children:
            for spot in rng.choice(best.shape[1], size=rng.integers(1, 3), replace=False):
                child[spot] = chosen[spot, rng.integers(chosen.shape[1])]
        return children

    return move
