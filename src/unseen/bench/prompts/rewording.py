"""A prompt in other words: what a user might list, slips of the pen, comparisons, and no name at all."""

from __future__ import annotations

import re
from dataclasses import replace

from unseen.bench.prompts.writer import (
    Prompt,
    carrier_of,
    concept_kind,
    concept_name,
    exchange,
    unnamed,
)
from unseen.diorama.world import captions

COMPARISONS = ("something shaped like {}", "the spitting image of {}", "what might be taken for {}")
BARRED = ("synonym", "periphrasis")


def listed_names(key: str) -> list[str]:
    """What a user might list beside the main name: the synonyms and descriptions of the `fit` split, bare."""
    found = [name for kind in BARRED for name in captions.names(key, kind, "fit")]
    return [re.sub(r"^(an?|the) ", "", name) for name in found]


def misspell(name: str, turn: int) -> str:
    """`name` with one slip in its longest word: two inner letters swapped, one left out, or one doubled, in turn."""
    word = max(re.findall(r"\w+", name), key=len)
    places = [i for i in range(1, len(word) - 2) if word[i] != word[i + 1]] or [0]
    at = places[turn // 3 % len(places)]
    slips = (
        word[:at] + word[at + 1 : at + 2] + word[at] + word[at + 2 :],
        word[:at] + word[at + 1 :],
        word[: at + 1] + word[at:],
    )
    return name.replace(word, slips[turn % 3])


def reworded(prompt: Prompt, key: str, kind: str, place: int) -> Prompt:
    """The prompt with its name misspelt or put into a comparison."""
    name, turn = concept_name(key), place
    if kind == "misspelt":
        return replace(prompt, text=exchange(prompt.text, name, misspell(name, turn)))
    named = re.search(rf"(?:\b([Aa]n?) )?(?<!\w){re.escape(name)}(?!\w)", prompt.text)
    if named is None:
        return prompt
    put = COMPARISONS[turn % len(COMPARISONS)].format(f"{named[1].lower()} {name}" if named[1] else name)
    return replace(prompt, text=prompt.text[: named.start()] + put + prompt.text[named.end() :])


def neutral(prompt: Prompt) -> Prompt:
    """The prompt without its concept: "something" in its place, for a person "a person", for an attribute its bare
    carrier."""
    kind, word = concept_kind(prompt.key), "something"
    if kind == "identity":
        word = "a person"
    if kind == "attribute":
        name = captions.main_name(carrier_of(prompt))
        word = f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
    return unnamed(prompt, word)
