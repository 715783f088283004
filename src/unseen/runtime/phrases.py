"""Phrases of a prompt that may name something. `unseen.runtime.paraphrase` finds out which of them mean a concept."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

MAX_WORDS = 10
"""Longest phrase, in words."""

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_ARTICLES = frozenset("a an the".split())
_NOT_AT_EDGE = frozenset(
    "a an the of in on with by and or for to from at as is are was were be being into onto over under across through "
    "towards toward off up down out that this these those which who whom whose its it his her their our your my he she "
    "they we you i there here while than then but so not no before after amid among between behind beside above below "
    "near against around along during within without upon amidst about like one two three four five some any every "
    "each several many".split()
)
_CLAUSE = frozenset("that which who whom whose where when".split())  # what they open describes the noun before them


class Phrase(NamedTuple):
    """A phrase of a prompt."""

    start: int
    """Where it begins in the prompt, in characters; an article before it is left out."""
    end: int
    """Where it ends."""
    text: str
    score: float = 0.0
    """How surely it means a concept; higher is surer."""


def phrases(prompt: str) -> list[Phrase]:
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
                found.append(Phrase(start.start(), words[last].end(), prompt[start.start() : words[last].end()]))
            if pause[last]:
                break
    return found


def overlap(one: Phrase, other: Phrase) -> bool:
    """Whether two phrases of a prompt share a character."""
    return one.start < other.end and other.start < one.end
