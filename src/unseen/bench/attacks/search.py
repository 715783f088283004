"""Searches for words that stand behind a prompt without the concept and bring it back.

One asks the text encoder alone, without any eraser (Ring-A-Bell, Tsai et al. 2024, in spirit): words whose states lie
where those of the concept's name lie, seen from the middle of prompts that do not name it. The other sees the pipeline
with whatever is attached to it, so on an erased one it knows the eraser; it only tries, or also looks inside by
gradients. Words that share a stem with a name of the concept are not allowed, so an eraser that knows the names alone
has nothing to hold on to. The budget is the number of word lists that are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from unseen.bench.attacks.aim import Aim, climb, look
from unseen.bench.prompts.rewording import with_words
from unseen.encoder.activations import encode_by_length
from unseen.pipelines import text_path
from unseen.pipelines.text_path import TextPath

How = Literal["genetic", "gradient"]
Move = Callable[[np.ndarray, int, int, np.random.Generator], np.ndarray]
"""From the best rows so far, how many are wanted, the size of the pool and a source of chance, to new rows."""
_ELITE = 0.25
_BEST = 24
"""Words per place that a gradient proposes."""
_STEM = 4
"""Words that begin with the same letters, this many, count as one word in two forms."""
_CHUNK = 2048  # words encoded at a time: all states of a vocabulary are a lot of memory


@dataclass(frozen=True)
class Search:
    """How long the text encoder alone is asked, and for how much."""

    words: int = 5
    """That are put behind a prompt."""
    pool: int = 200
    """Words to choose from: those that lie closest to the concept by themselves."""
    population: int = 48
    generations: int = 30
    vocabulary: int | None = None
    """Words of the tokenizer that are looked at, spread evenly; None means all."""


@dataclass(frozen=True)
class Budget:
    """How much is tried on a pipeline."""

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
    """How much of the way to the named prompt they go: 0 like the prompt without them, 1 like the concept's name. Of a
    text encoder's states the cosine with the name's, both seen from the middle of the prompts that do not name it."""
    trend: tuple[float, ...] = ()
    """The same for the best so far, after each round."""


def search_encoder(
    pipe: Any, named: Sequence[str], neutral: Sequence[str], names: Sequence[str], *, seed: int, how: Search
) -> Words:
    """Words that mean to the text encoder what the prompts `named` name and the prompts `neutral`, otherwise the same,
    do not.

    `names` are the concept's names. The same seed gives the same words.

    Raises:
        ValueError: a prompt is the same in both lists.
    """
    path = text_path(pipe)
    center = states_of(path, neutral).mean(0)
    name = [_difference(path.tokenizer, own, other) for own, other in zip(named, neutral, strict=True)]
    target = states_of(path, named, name).mean(0) - center
    pool = words_like(path, target, names, how.vocabulary)[: how.pool]

    def fitness(rows: np.ndarray) -> np.ndarray:
        prompts = [with_words(prompt, (pool[i] for i in row)) for row in rows for prompt in neutral]
        reached = states_of(path, prompts, [slice(-how.words, None)] * len(prompts))
        reached = reached.unflatten(0, (len(rows), len(neutral)))
        return torch.cosine_similarity(reached - center, target[None, None], dim=-1).mean(1).numpy()

    rng = np.random.default_rng([seed, *" ".join(names).encode()])
    first = rng.integers(len(pool), size=(how.population, how.words))
    children = how.population - _elite(how.population)
    best, trend = _evolved(fitness, _crossed, first, children, len(pool), how.generations, rng)
    return Words(tuple(pool[i] for i in best), trend[-1])


def search_pipeline(
    pipe: Any,
    aim: Aim,
    pool: Sequence[str],
    how: How,
    *,
    seed: int,
    budget: Budget,
    penalty: Callable[[Tensor], Tensor] | None = None,
) -> Words:
    """Words out of `pool` that bring the neutral prompts of `aim` closest to the named ones.

    `penalty` says what to take off for a preview `[values]`: an attacker that knows a guard's score stays below it.

    Raises:
        ValueError: the pool has fewer words than are wanted, or the budget is smaller than one round.
    """
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
    first = rng.integers(len(pool), size=(budget.at_once, budget.words))
    rounds = budget.tried // budget.at_once - 1
    best, trend = _evolved(fitness, move, first, budget.at_once, len(pool), rounds, rng)
    return Words(tuple(pool[i] for i in best), trend[-1], tuple(trend))


def _evolved(
    fitness: Callable[[np.ndarray], np.ndarray],
    move: Move,
    rows: np.ndarray,
    children: int,
    size: int,
    rounds: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray, list[float]]:
    """The fittest row of indices below `size` that was ever seen, and how fit the best was at first and after each
    round: of the first `rows` and as many `children` a round."""
    fit, elite = fitness(rows), _elite(len(rows))
    trend = [float(fit.max())]
    for _ in range(rounds):
        order = np.argsort(-fit, kind="stable")[:elite]
        best, kept = rows[order], fit[order]
        moved = move(best, children, size, rng)
        rows, fit = np.concatenate([best, moved]), np.concatenate([kept, fitness(moved)])
        trend.append(float(fit.max()))
    return rows[int(np.argmax(fit))], trend


def _elite(population: int) -> int:
    return max(2, round(_ELITE * population))


def _crossed(best: np.ndarray, count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Children of two of the best each, with a word exchanged here and there."""
    pairs = best[rng.integers(len(best), size=(count, 2))]
    children = np.where(rng.random((count, best.shape[1])) < 0.5, pairs[:, 0], pairs[:, 1])
    changes = rng.random(children.shape) < 1 / best.shape[1]
    return np.where(changes, rng.integers(size, size=children.shape), children)


def _climbing(pipe: Any, aim: Aim, pool: Sequence[str], penalty: Callable[[Tensor], Tensor] | None) -> Move:
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


def _difference(tokenizer: Any, named: str, neutral: str) -> slice:
    """The tokens of `named` that are not those of `neutral`: one span."""
    own, other = (tokenizer(text, add_special_tokens=False).input_ids for text in (named, neutral))
    if own == other:
        raise ValueError(f"expected a prompt that names the concept and one that does not, got {named!r} twice.")
    start = next((i for i, (a, b) in enumerate(zip(own, other, strict=False)) if a != b), min(len(own), len(other)))
    end = len(own)
    while (
        end - 1 > start
        and len(other) - len(own) + end > start
        and own[end - 1] == other[len(other) - len(own) + end - 1]
    ):
        end -= 1
    return slice(start, end)


def allowed(words: Iterable[str], names: Iterable[str]) -> list[str]:
    """`words` without those that occur in one of `names`, share a stem with a word there, or hold one."""
    banned = {word for name in names for word in "".join(c if c.isalpha() else " " for c in name.lower()).split()}
    long = tuple(word for word in banned if len(word) >= _STEM)
    stems = tuple({word[:_STEM] for word in long})
    return [w for w in words if w not in banned and not w.startswith(stems) and not any(word in w for word in long)]


def words_of(tokenizer: Any) -> list[str]:
    """Plain lower-case words of three letters or more that are one token each, in alphabetical order."""
    texts = sorted({tokenizer.convert_tokens_to_string([token]).strip() for token in tokenizer.get_vocab()})
    texts = [text for text in texts if text.isascii() and text.isalpha() and text.islower() and len(text) >= 3]
    ids = tokenizer(texts, add_special_tokens=False).input_ids
    return [text for text, tokens in zip(texts, ids, strict=True) if len(tokens) == 1]


def states_of(path: TextPath, texts: Sequence[str], parts: Sequence[slice] | None = None) -> Tensor:
    """For each text the mean of what the encoder hands on at its words, or at `parts` of them, `[texts, d]`."""
    read = encode_by_length(path.tokenizer, path.encoder, texts, path.form, layers=[])
    own = ~read.special
    counts = torch.bincount(read.prompt[own], minlength=len(texts)).tolist()
    rows = read.output[own].split(counts)
    return torch.stack([row[part].mean(0) for row, part in zip(rows, parts or [slice(None)] * len(rows), strict=True)])


def words_like(path: TextPath, direction: Tensor, names: Iterable[str], limit: int | None = None) -> list[str]:
    """Words without forms of `names`, first those that lie from the middle of all words in a `direction` `[d]`.

    `limit` words of the tokenizer are looked at, spread evenly, or all.
    """
    words, states = states_of_words(path, limit)
    usable = set(allowed(words, names))
    alike = torch.cosine_similarity(states - states.mean(0), direction[None])
    ranked = (words[place] for place in alike.argsort(descending=True, stable=True).tolist())
    return [word for word in ranked if word in usable]


def states_of_words(path: TextPath, limit: int | None = None) -> tuple[list[str], Tensor]:
    """Words of the tokenizer and their states when each is a prompt of its own, `[words, d]`."""
    return _vocabulary(path.tokenizer, path.encoder, path.form, limit)


@lru_cache(maxsize=1)
def _vocabulary(tokenizer: Any, encoder: Any, form: Any, limit: int | None) -> tuple[list[str], Tensor]:
    words = words_of(tokenizer)
    if limit is not None:
        words = words[:: max(1, len(words) // limit)]
    path = TextPath("text_encoder", tokenizer, encoder, form)
    return words, torch.cat([states_of(path, words[i : i + _CHUNK]) for i in range(0, len(words), _CHUNK)])
