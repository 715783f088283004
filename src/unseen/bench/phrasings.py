"""Ways to ask that the fit never saw: synonyms, descriptions, other languages, slips of the pen, comparisons, pairs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from unseen.bench.prompts import PHRASINGS, SEEDS_PER_TEXT, Prompt, concept_kind, concept_name, concept_of, exchange
from unseen.bench.scores import kept, rate
from unseen.bench.study import Study, floor_of, mean_floor
from unseen.bench.tables import Cell, Count, Table
from unseen.diorama import captions, scenes

CLIPS_PER_CELL = 30
KINDS = ("main", *PHRASINGS, "misspelt", "compared", "pair")
"""`misspelt` and `compared` are the `main` prompts with the name changed; a `pair` has another subject too."""
COMPARISONS = ("something shaped like {}", "the spitting image of {}", "what might be taken for {}")


def evaluate_phrasings(study: Study) -> Iterator[Table]:
    """Generative rates before and after, per way of saying it; nothing is barred here."""
    keys = study.chosen(scenes.OBJECTS, captions.KEYS)
    hits: dict[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray, list[Prompt]]] = {}
    for place, key in enumerate(keys, 1):
        study.say(f"{captions.main_name(key)} ({place} of {len(keys)})")
        method = study.eraser(concept_of(key, synonyms=listed(key) if study.settings.listed else ())).method
        for kind in KINDS:
            prompts = _prompts(study, key, kind)
            if not prompts:
                continue
            before, after = study.clips(prompts), study.clips(prompts, method)
            seen = study.read(before).shows(key), study.read(after).shows(key)
            hits[key, kind] = (*seen, after.identical, prompts)
    yield kinds_table(study, keys, hits)
    yield concepts_table(study, keys, hits)


def listed(key: str) -> list[str]:
    """What a user might list beside the main name: the synonyms and descriptions of the `fit` split, bare."""
    found = [name for kind in ("synonym", "periphrasis") for name in captions.names(key, kind, "fit")]
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


def _prompts(study: Study, key: str, kind: str) -> list[Prompt]:
    count = study.settings.count(CLIPS_PER_CELL)
    style = concept_kind(key) == "style"
    if kind in ("main", "misspelt", "compared"):
        write = study.writer.styled if style else study.writer.single
        return [reworded(p, key, kind, place) for place, p in enumerate(write(key, count, role="target"))]
    if kind == "pair":
        return [] if style or key in scenes.ATTRIBUTES else study.writer.pairs(key, count, role=kind)
    write = study.writer.styled if style else study.writer.single
    return write(key, count, role=kind, kind=kind)


def reworded(prompt: Prompt, key: str, kind: str, place: int) -> Prompt:
    """The prompt with its name misspelt or put into a comparison; both clips of a text get the same wording."""
    name, turn = concept_name(key), place // SEEDS_PER_TEXT
    if kind == "misspelt":
        return replace(prompt, text=exchange(prompt.text, name, misspell(name, turn)))
    if kind == "compared":
        named = re.search(rf"(?:\b([Aa]n?) )?(?<!\w){re.escape(name)}(?!\w)", prompt.text)
        if named:
            put = COMPARISONS[turn % len(COMPARISONS)].format(f"{named[1].lower()} {name}" if named[1] else name)
            return replace(prompt, text=prompt.text[: named.start()] + put + prompt.text[named.end() :])
    return prompt


Hits = dict[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray, list[Prompt]]]
"""By key and phrasing: frames that show it before and after, prompts encoded bit-identically, prompts."""


def kinds_table(study: Study, keys: tuple[str, ...], hits: Hits) -> Table:
    """One row per phrasing, over all concepts."""
    rows: list[tuple[Cell, ...]] = []
    floor = mean_floor(study.judge, keys)
    for kind in KINDS:
        cells = [hits[key, kind] for key in keys if (key, kind) in hits]
        if not cells:
            continue
        before, after, identical = (np.concatenate([cell[i] for cell in cells]) for i in range(3))
        prompts = [p for cell in cells for p in cell[3]]
        rows.append(
            (
                kind,
                len(prompts),
                rate(before, prompts),
                rate(after, prompts),
                kept(after, before, prompts),
                Count(int(identical.sum()), len(identical)),
                floor,
            )
        )
    columns = ("phrasing", "clips", "before", "after", "left of before", "encoded as before", "detector floor")
    return Table(
        "Phrasings",
        columns,
        tuple(rows),
        "“main” are main names, for comparison; the synonyms, descriptions and names in other languages were unseen "
        "in the fit. “misspelt” and “compared” are the “main” prompts with a slip in the name, or with “something "
        "shaped like …” before it; in a “pair” another subject stands beside the target. "
        + ("Fitted with the listed names of the fit split." if study.settings.listed else "Fitted with the main name."),
    )


def concepts_table(study: Study, keys: tuple[str, ...], hits: Hits) -> Table:
    """One row per concept and phrasing."""
    rows: list[tuple[Cell, ...]] = []
    for key in keys:
        for kind in (k for k in KINDS if (key, k) in hits):
            before, after, _, prompts = hits[key, kind]
            found = rate(before, prompts), rate(after, prompts)
            rows.append((captions.main_name(key), kind, len(prompts), *found, floor_of(study.judge, key)))
    columns = ("concept", "phrasing", "clips", "before", "after", "detector floor")
    return Table("Phrasings: each concept", columns, tuple(rows))
