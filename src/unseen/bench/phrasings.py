"""Ways to ask that the fit never saw: synonyms, descriptions, other languages, slips of the pen, comparisons, pairs.

And what an eraser that knows its concept in other words may take for it: neighbours and others in their other words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unseen.bench.prompts import (
    PHRASINGS,
    SEEDS_PER_TEXT,
    Prompt,
    PromptWriter,
    concept_kind,
    concept_name,
    concept_of,
    exchange,
)
from unseen.bench.run import Method, unchanged
from unseen.bench.scores import kept, rate, share
from unseen.bench.study import Study, floor_of, mean_floor
from unseen.bench.tables import JUDGED_COLUMNS, Cell, Count, Table, Target, judged
from unseen.diorama.model.pipeline import GENERATION
from unseen.diorama.world import captions, scenes

CLIPS_PER_CELL = 30
KINDS = ("main", *PHRASINGS, "misspelt", "compared", "pair")
"""`misspelt` and `compared` are the `main` prompts with the name changed; a `pair` has another subject too."""
BARRED = ("synonym", "periphrasis")
AFTER = Target(0.10, at_least=False)
NEAR = Target(0.97)
UNCONCERNED = Target(0.99)
CLIPS_NEIGHBOUR = 10
TEXTS_OTHER = 4
SPARED_NOTE = (
    "The first three are measured on clips, the others on prompts: their share that is encoded bit-identically. "
    "“Same word or sort” are phrases such as “a golf club” for a golf ball, or “a salmon” for a tench. The video model "
    "draws some of them as the concept itself (in most frames, before anything is erased): those are the concept to "
    "it, and the last row, which has no target, does not count them."
)
SAME_WORD = Path(__file__).with_name("same_word.json")
COMPARISONS = ("something shaped like {}", "the spitting image of {}", "what might be taken for {}")


def evaluate_phrasings(study: Study) -> Iterator[Table]:
    """Generative rates before and after, per way of saying it, and what is kept of others in their other words."""
    keys = study.chosen(scenes.OBJECTS, captions.KEYS)
    hits: dict[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray, list[Prompt]]] = {}
    spared: dict[str, Spared] = {}
    for place, key in enumerate(keys, 1):
        study.say(f"{captions.main_name(key)} ({place} of {len(keys)})")
        method = study.eraser(concept_of(key, synonyms=listed(key) if study.settings.listed else ())).method
        for kind in KINDS:
            prompts = phrased(study.writer, key, kind, study.settings.count(CLIPS_PER_CELL))
            if not prompts:
                continue
            before, after = study.clips(prompts), study.clips(prompts, method)
            seen = study.read(before).shows(key), study.read(after).shows(key)
            hits[key, kind] = (*seen, after.identical, prompts)
        if concept_kind(key) == "object":
            spared[key] = spare(study, key, method)
    yield kinds_table(study, keys, hits)
    if spared:
        yield spared_table(study, hits, spared)
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


def phrased(writer: PromptWriter, key: str, kind: str, count: int) -> list[Prompt]:
    """`count` prompts that ask for `key` in the way `kind`, one of `KINDS`; none where there is no such way."""
    style = concept_kind(key) == "style"
    write = writer.styled if style else writer.single
    if kind in ("main", "misspelt", "compared"):
        return [reworded(p, key, kind, place) for place, p in enumerate(write(key, count, role="target"))]
    if kind == "pair":
        return [] if style or key in scenes.ATTRIBUTES else writer.pairs(key, count, role=kind)
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


class Spared(NamedTuple):
    """What one eraser does to prompts about other things."""

    before: np.ndarray
    """Frames that show the neighbour, in its other words, `[clips, frames]`."""
    after: np.ndarray
    prompts: list[Prompt]
    others: np.ndarray
    """Whether prompts about other subjects, in their other words, are encoded as before."""
    same_word: np.ndarray
    """The same for phrases that share a word with the name, or are about things of its sort."""
    taken: np.ndarray
    """Which of these phrases the video model draws as the concept, before anything is erased."""


def spare(study: Study, key: str, method: Method) -> Spared:
    """Look at the near neighbour, at all other subjects, and at phrases that share a word with the name."""
    near, count = scenes.NEIGHBOUR_OF[key], study.settings.count(CLIPS_NEIGHBOUR)
    prompts = [p for kind in BARRED for p in study.writer.single(near, count, role=f"neighbour {kind}", kind=kind)]
    seen = [study.read(study.clips(prompts, *how)).shows(near) for how in ((), (method,))]
    others = [
        prompt.text
        for other in scenes.SUBJECTS
        if other not in (key, near)
        for kind in BARRED
        if captions.names(other, kind, study.settings.split)
        for prompt in study.writer.single(other, TEXTS_OTHER, role=f"other {kind}", kind=kind)
    ]
    same_word = json.loads(SAME_WORD.read_text(encoding="utf-8"))[study.settings.split][key]
    [model] = study.writer.single(key, 1, role="same word")
    asked = [replace(model, text=text, seed=study.writer.noise_seed(place)) for place, text in enumerate(same_word)]
    taken = study.read(study.clips(asked)).shows(key).mean(axis=1) > 0.5

    def spared(texts: list[str]) -> np.ndarray:
        return unchanged(study.pipe, method, texts, max_sequence_length=GENERATION["max_sequence_length"])

    return Spared(seen[0], seen[1], prompts, spared(others), spared(same_word), taken)


def spared_table(study: Study, hits: Hits, spared: dict[str, Spared]) -> Table:
    """The targets: what is left of the other wordings, and what is spared of everything else."""
    rows: list[tuple[Cell, ...]] = []
    keys = list(spared)
    for kind in BARRED:
        cells = [hits[key, kind] for key in keys if (key, kind) in hits]
        after, prompts = np.concatenate([cell[1] for cell in cells]), [p for cell in cells for p in cell[3]]
        found = rate(after, prompts)
        rows.append(judged(f"{kind}: generative rate after", len(prompts), found, AFTER, mean_floor(study.judge, keys)))
    before, after = (np.concatenate([getattr(s, side) for s in spared.values()]) for side in ("before", "after"))
    prompts = [p for s in spared.values() for p in s.prompts]
    floor = mean_floor(study.judge, sorted({p.key for p in prompts}))
    rows.append(
        judged("near neighbours, in other words: kept", len(prompts), kept(after, before, prompts), NEAR, floor)
    )
    same = np.concatenate([s.others for s in spared.values()])
    rows.append(
        judged("other subjects, in other words: prompts encoded as before", len(same), share(same), UNCONCERNED)
    )
    same, taken = (np.concatenate([getattr(s, name) for s in spared.values()]) for name in ("same_word", "taken"))
    rows.append(judged("same word or sort: prompts encoded as before", len(same), share(same), UNCONCERNED))
    if not taken.all():
        drawn_otherwise = share(same[~taken])
        rows.append(("those that are not drawn as the concept", len(same[~taken]), drawn_otherwise, None, None, None))
    return Table("Phrasings: targets", JUDGED_COLUMNS, tuple(rows), SPARED_NOTE)


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
