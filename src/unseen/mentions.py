"""Which phrase of a prompt means a concept, in whatever words. Ours, not the paper's.

A fit knows the names it was given. A prompt may say the same in other words, which set off no feature of the concept.
So every phrase of a prompt is read with a sentence encoder and weighed: how close is it to a name, and how close to
anything else? A phrase that means the concept is exchanged for its name before the prompt is encoded, and erased there
as ever.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from . import words as lexicon
from .concept import Concept
from .errors import MissingReaderError
from .minilm import load_minilm

MAX_WORDS = 10
"""Longest phrase that is read, in words."""
OTHERS = 192
"""Ordinary words kept beside the names: those that come closest to them."""
VOCABULARY = 8000
"""Whole words of the reader's vocabulary that are looked through for them, the most frequent ones."""
OWN = 0.6
"""A word at least this close to a name hardly speaks against it: "horn" in "valve horn", for a French horn."""
SLACK = 0.12
"""How much closer to such a word than to the name a phrase may be. Words before the name's head are no such words:
"golf" speaks against a golf ball in "golf course"."""
ALONE = 0.8
"""Such a word is not the concept by itself: "ball" is not a golf ball. From this closeness on it is."""
NEAR = 0.45
"""Least closeness of a phrase that means the concept."""
MARGIN = -0.05
"""Least closeness to a name over that to anything else."""

NEARLY = 0.06
"""How much less close a phrase may be than the closest one that it overlaps."""

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_SIMPLE_WORD = re.compile(r"[^\W_]+")
_ARTICLES = frozenset("a an the".split())
_AFTER_A = re.compile(r"(?<=\b[Aa])n?\s+$")
_NOT_AT_EDGE = frozenset(
    "a an the of in on with by and or for to from at as is are was were be being into onto over under across through "
    "towards toward off up down out that this these those which who whom whose its it his her their our your my he she "
    "they we you i there here while than then but so not no before after amid among between behind beside above below "
    "near against around along during within without upon amidst about like one two three four five some any every "
    "each several many".split()
)
_CLAUSE = frozenset("that which who whom whose where when".split())  # what they open describes the noun before them
_KEPT = 65536  # embeddings of phrases that were read last


class Mention(NamedTuple):
    """A phrase that means the concept."""

    start: int
    """Where it begins in the prompt, in characters; an article before it is left out."""
    end: int
    """Where it ends."""
    text: str
    score: float
    """How much closer it is to a name than to anything else; higher is surer."""


class PhraseReader:
    """A sentence encoder that places short phrases: unit vectors whose dot product says how alike they are."""

    def __init__(self, tokenizer: Any, encoder: nn.Module):
        self.tokenizer, self.encoder = tokenizer, encoder
        self._known: OrderedDict[str, Tensor] = OrderedDict()

    @torch.no_grad()
    def read(self, phrases: Sequence[str], *, batch_size: int = 256) -> Tensor:
        """Mean of the encoder's output over each phrase's tokens, of length 1: `[phrases, d]`; case does not matter.

        The rounding of a vector depends on its batch, and the batches on `phrases` alone: an eraser fitted again is the
        same to the bit.
        """
        texts = [phrase.lower() for phrase in phrases]
        different = sorted(set(texts), key=lambda text: (len(text), text))
        vectors: dict[str, Tensor] = {}
        for start in range(0, len(different), batch_size):
            part = different[start : start + batch_size]
            inputs = self.tokenizer(part, padding=True, truncation=True, max_length=64, return_tensors="pt")
            hidden = self.encoder(**inputs).last_hidden_state
            mean = (hidden * inputs.attention_mask[..., None]).sum(dim=1)
            vectors.update(zip(part, nn.functional.normalize(mean, dim=-1), strict=True))
        return torch.stack([vectors[text] for text in texts])

    def embed(self, phrases: Sequence[str]) -> Tensor:
        """`read`, but what was read before is not read again."""
        texts = [phrase.lower() for phrase in phrases]
        new = sorted({text for text in texts if text not in self._known})
        if new:
            self._known.update(zip(new, self.read(new), strict=True))
        for text in texts:
            self._known.move_to_end(text)
        found = torch.stack([self._known[text] for text in texts])
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return found

    @cached_property
    def pieces(self) -> dict[str, int]:
        """The tokenizer's words and parts of words with their numbers."""
        return self.tokenizer.get_vocab()

    @cached_property
    def vocabulary(self) -> tuple[list[str], Tensor]:
        """Ordinary words and things with their vectors `[words, d]`."""
        pieces = sorted(self.pieces.items(), key=lambda item: item[1])
        whole = [piece for piece, _ in pieces if piece.isascii() and piece.isalpha() and len(piece) > 2]
        words = list(dict.fromkeys([*whole[:VOCABULARY], *lexicon.THINGS, *lexicon.PEOPLE]))
        vectors = self.read(words)
        self._known.update(zip((word.lower() for word in words), vectors, strict=True))
        return words, vectors


@lru_cache(maxsize=1)
def phrase_reader() -> PhraseReader:
    """The reader that everything is measured with, MiniLM; loaded once.

    Raises `MissingReaderError` where it is not installed.
    """
    try:
        return PhraseReader(*load_minilm())
    except FileNotFoundError as error:
        raise MissingReaderError(f"{error}, or fit with ClearConfig(mentions=False).") from error


@dataclass(frozen=True)
class Mentions:
    """What it takes to find a concept's mentions; made by `learn_mentions`."""

    name: str
    """What a mention is exchanged for."""
    names: Tensor = field(repr=False)
    """Vectors of the names, `[names, d]`."""
    others: Tensor = field(repr=False)
    """Vectors of what is near them but something else, `[others, d]`."""
    spellings: tuple[str, ...] = ()
    """The names, in lower case and without an article."""
    margin: float = MARGIN

    @cached_property
    def modifiers(self) -> frozenset[str]:
        """Words of the names that stand before the head: "French", "golf"."""
        return frozenset(word for name in self.spellings for word in _modifiers(name))

    def find(self, prompt: str, names: Sequence[str] = ()) -> list[Mention]:
        """The mentions in `prompt`, in order; no two overlap, and none holds the name itself or one of `names`."""
        known = "|".join(re.escape(name) for name in (self.name, *names))
        named = [m.span() for m in re.finditer(rf"(?<!\w)(?:{known})(?!\w)", prompt, re.IGNORECASE)]
        spans = [s for s in phrases(prompt) if not any(s.start < end and start < s.end for start, end in named)]
        if not spans:
            return []
        found: list[Mention] = []
        left = sorted(self._weigh(spans), key=lambda pair: -pair[1])
        while left and left[0][1] >= NEAR:
            # The closest phrase, or one nearly as close, decides for all that overlap it: more words around it only
            # blur what it is.
            closest, most = left[0]
            rivals = [(span, close) for span, close in left if close >= most - NEARLY and _overlap(span, closest)]
            meant = next((span for span, _ in rivals if span.score >= self.margin), None)
            if meant is not None:
                found.append(meant)
            settled = [closest] if meant is None else [closest, meant]
            left = [(span, close) for span, close in left if not any(_overlap(span, other) for other in settled)]
        return sorted(found)

    def _weigh(self, spans: Sequence[Mention]) -> list[tuple[Mention, float]]:
        """The spans with their scores, and how close each is to a name."""
        reader = phrase_reader()
        inside = [_SIMPLE_WORD.findall(span.text.lower()) for span in spans]
        places = {word: place for place, word in enumerate(sorted({word for some in inside for word in some}))}
        words = reader.embed(list(places))
        own = (words @ self.names.T).amax(dim=1) >= OWN
        slack = [
            SLACK if near and word not in self.modifiers else 0.0
            for word, near in zip(places, own.tolist(), strict=True)
        ]
        vectors = reader.embed([span.text for span in spans])
        slips = [i for i, some in enumerate(inside) if any(self._is_slip(some, n.split()) for n in self.spellings)]
        close = (vectors @ self.names.T).amax(dim=1)
        other = (vectors @ self.others.T).amax(dim=1)
        for row, some in enumerate(inside):
            rows = [places[word] for word in some]
            spared = torch.tensor([slack[i] for i in rows])
            if len(some) > 1 and some[1] in _NOT_AT_EDGE:
                spared[0] = 0.0  # "ball in a garden" is about a ball and no more
            against = (words[rows] @ vectors[row] - spared).max()
            other[row] = torch.maximum(other[row], against)
        close[slips], other[slips] = 1.0, 0.0
        scored = [span._replace(score=float(score)) for span, score in zip(spans, close - other, strict=True)]
        weighed = zip(scored, close.tolist(), strict=True)
        return [(span, near) for span, near in weighed if " " in span.text or near >= ALONE]

    def _is_slip(self, words: Sequence[str], name: Sequence[str]) -> bool:
        """Whether `words` are `name` with a slip of the pen in one of them or more; a word that exists is no slip."""
        if len(words) != len(name):
            return False
        wrong = [(word, right) for word, right in zip(words, name, strict=True) if word != right]
        return all(_one_slip(*pair) and pair[0] not in phrase_reader().pieces for pair in wrong)


def learn_mentions(concept: Concept, reader: PhraseReader | None = None) -> Mentions:
    """What finds mentions of `concept`, from its names alone."""
    reader = reader or phrase_reader()
    bare = [_bare(name) for name in concept.names]
    names = reader.read(bare)
    _, vectors = reader.vocabulary
    close = (vectors @ names.T).amax(dim=1)
    close[close >= OWN] = -1.0
    nearest = close.topk(min(OTHERS, len(close))).indices
    # at the precision that an eraser's file keeps, so that a loaded one finds the same
    spellings = tuple(name.lower() for name in bare)
    return Mentions(concept.name, names.half().float(), vectors[nearest].half().float(), spellings)


def _modifiers(name: str) -> list[str]:
    """The words before a short name's head; a description's words ("a box that plays tapes") are none."""
    words = _SIMPLE_WORD.findall(name.lower())
    return words[:-1] if len(words) <= 3 and not any(word in _NOT_AT_EDGE for word in words) else []


def phrases(prompt: str) -> list[Mention]:
    """Every run of up to `MAX_WORDS` words that may name something.

    It lies within punctuation, begins where a phrase can begin (after a function word or a pause) and ends where one
    can end (before a function word, a pause or what may be a verb), so that no phrase is read in part: "brass" in
    "brass trumpet".
    """
    words = list(_WORD.finditer(prompt))
    low = [word[0].lower() for word in words]
    edge = [word in _NOT_AT_EDGE for word in low]
    pause = [not prompt[left.end() : right.start()].isspace() for left, right in pairwise(words)] + [True]
    found = []
    for first, start in enumerate(words):
        within = first and not pause[first - 1] and (not edge[first - 1] or low[first - 1] in _CLAUSE)
        if edge[first] or within:
            continue
        clause = False
        for last in range(first, min(first + MAX_WORDS, len(words))):
            clause |= low[last] in _CLAUSE
            if last > first and low[last] in _ARTICLES and not edge[last - 1] and not clause:
                break  # "presents a cart": a verb with its object, two phrases
            ends = pause[last] or edge[last + 1] or words[last + 1][0].endswith(("s", "ing", "ed"))
            if ends and not edge[last]:
                found.append(Mention(start.start(), words[last].end(), prompt[start.start() : words[last].end()], 0.0))
            if pause[last]:
                break
    return found


def reworded(prompt: str, concepts: Sequence[Mentions]) -> tuple[str, list[tuple[str, Mention]]]:
    """`prompt` with every mention exchanged for its concept's name, and the mentions (concept, where, how sure).

    All concepts read the prompt as it came; where two claim the same words, the surer one has them. Their order does
    not matter.
    """
    names = sorted({concept.name for concept in concepts})
    claims = {(concept.name, found) for concept in concepts for found in concept.find(prompt, names)}
    taken: list[tuple[str, Mention]] = []
    for name, found in sorted(claims, key=lambda claim: (-claim[1].score, claim[0], claim[1].start)):
        if not any(_overlap(found, other) for _, other in taken):
            taken.append((name, found))
    taken.sort(key=lambda claim: claim[1].start)
    for name, found in reversed(taken):
        before = _AFTER_A.sub("n " if name[0].lower() in "aeiou" else " ", prompt[: found.start])
        prompt = before + name + prompt[found.end :]
    return prompt, taken


def _one_slip(word: str, right: str) -> bool:
    """Whether one letter of `right`, which has at least four, is missing, doubled, wrong or exchanged with the next."""
    if len(right) < 4 or abs(len(word) - len(right)) > 1:
        return False
    start = _alike(word, right)
    end = min(_alike(word[::-1], right[::-1]), min(len(word), len(right)) - start)
    one, other = word[start : len(word) - end], right[start : len(right) - end]
    return max(len(one), len(other)) <= 1 or (len(one) == 2 and one == other[::-1])


def _alike(one: str, other: str) -> int:
    """How many letters two words begin with in common."""
    return next(
        (i for i, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), min(len(one), len(other))
    )


def _overlap(one: Mention, other: Mention) -> bool:
    return one.start < other.end and other.start < one.end


def _bare(name: str) -> str:
    first, _, rest = name.partition(" ")
    return rest if rest and first.lower() in _ARTICLES else name
