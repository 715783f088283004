"""Words that mean a concept to the text encoder without naming it, found by search.

In the spirit of Ring-A-Bell (Tsai et al. 2024): the video model is not asked, only the text encoder, and without any
eraser. A genetic search looks for a few words whose states lie where the states of the concept's name lie, seen from
the middle of prompts that do not name it. Words that share a stem with any name of the concept are not allowed, so an
eraser that knows the names alone has nothing to hold on to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unseen.encoder.activations import encode_by_length
from unseen.pipelines import text_path
from unseen.pipelines.text_path import TextPath

_STEM = 4
"""Words that begin with the same letters, this many, count as one word in two forms."""
_ELITE = 0.25
_CHUNK = 2048  # words encoded at a time: all states of a vocabulary are a lot of memory


@dataclass(frozen=True)
class Search:
    """How long is searched, and for how much."""

    words: int = 5
    """That are put behind a prompt."""
    pool: int = 200
    """Words to choose from: those that lie closest to the concept by themselves."""
    population: int = 48
    generations: int = 30
    vocabulary: int | None = None
    """Words of the tokenizer that are looked at, spread evenly; None means all."""


@dataclass(frozen=True)
class Found:
    """What a search found."""

    words: tuple[str, ...]
    cosine: float
    """Between the words' states and the name's, both seen from the neutral prompts' middle; 1 is the same direction."""


def with_words(prompt: str, words: Iterable[str]) -> str:
    """`prompt` with `words` at its very end."""
    return f"{prompt.removesuffix('.')}, {' '.join(words)}"


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


def search(
    pipe: Any,
    named: Sequence[str],
    neutral: Sequence[str],
    names: Sequence[str],
    *,
    seed: int,
    how: Search | None = None,
) -> Found:
    """Words that stand for what the prompts `named` name and the prompts `neutral`, otherwise the same, do not.

    `names` are the concept's names. The same seed gives the same words.

    Raises:
        ValueError: a prompt is the same in both lists.
    """
    how, path = how or Search(), text_path(pipe)
    centre = states_of(path, neutral).mean(0)
    name = [_difference(path.tokenizer, own, other) for own, other in zip(named, neutral, strict=True)]
    target = states_of(path, named, name).mean(0) - centre
    words, states = states_of_words(path, how.vocabulary)
    usable = set(allowed(words, names))
    alike = torch.cosine_similarity(states - states.mean(0), target[None])
    ranked = [words[i] for i in alike.argsort(descending=True, stable=True).tolist() if words[i] in usable]
    pool = ranked[: how.pool]

    def fitness(rows: np.ndarray) -> np.ndarray:
        prompts = [with_words(prompt, (pool[i] for i in row)) for row in rows for prompt in neutral]
        reached = states_of(path, prompts, [slice(-how.words, None)] * len(prompts))
        reached = reached.unflatten(0, (len(rows), len(neutral)))
        return torch.cosine_similarity(reached - centre, target[None, None], dim=-1).mean(1).numpy()

    best, cosine = _evolve(fitness, len(pool), how, np.random.default_rng([seed, *" ".join(names).encode()]))
    return Found(tuple(pool[i] for i in best), cosine)


def _evolve(
    fitness: Callable[[np.ndarray], np.ndarray], size: int, how: Search, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """The fittest row of indices below `size` that was ever seen, and how fit it is."""
    rows = rng.integers(size, size=(how.population, how.words))
    fit = fitness(rows)
    elite = max(2, round(_ELITE * how.population))
    for _ in range(how.generations):
        order = np.argsort(-fit, kind="stable")[:elite]
        parents, kept = rows[order], fit[order]
        pairs = parents[rng.integers(elite, size=(how.population - elite, 2))]
        children = np.where(rng.random((len(pairs), how.words)) < 0.5, pairs[:, 0], pairs[:, 1])
        changes = rng.random(children.shape) < 1 / how.words
        children = np.where(changes, rng.integers(size, size=children.shape), children)
        rows, fit = np.concatenate([parents, children]), np.concatenate([kept, fitness(children)])
    best = int(np.argmax(fit))
    return rows[best], float(fit[best])


def states_of(path: TextPath, texts: Sequence[str], parts: Sequence[slice] | None = None) -> Tensor:
    """For each text the mean of what the encoder hands on at its words, or at `parts` of them, `[texts, d]`."""
    read = encode_by_length(path.tokenizer, path.encoder, texts, path.form, layers=[])
    own = ~read.special
    counts = torch.bincount(read.prompt[own], minlength=len(texts)).tolist()
    rows = read.output[own].split(counts)
    return torch.stack([row[part].mean(0) for row, part in zip(rows, parts or [slice(None)] * len(rows), strict=True)])


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


def states_of_words(path: TextPath, limit: int | None = None) -> tuple[list[str], Tensor]:
    """Words of the tokenizer and their states when each is a prompt of its own, `[words, d]`; `limit` of them, spread
    evenly, or all."""
    return _vocabulary(path.tokenizer, path.encoder, path.form, limit)


@lru_cache(maxsize=1)
def _vocabulary(tokenizer: Any, encoder: Any, form: Any, limit: int | None) -> tuple[list[str], Tensor]:
    """Words and their states when each is a prompt of its own, `[words, d]`; the same for every concept."""
    words = words_of(tokenizer)
    if limit is not None:
        words = words[:: max(1, len(words) // limit)]
    path = TextPath("text_encoder", tokenizer, encoder, form)
    return words, torch.cat([states_of(path, words[i : i + _CHUNK]) for i in range(0, len(words), _CHUNK)])
