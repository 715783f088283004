"""Names that the fit never saw: unseen synonyms, descriptions, and other languages."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from unseen.bench.prompts import PHRASINGS, Prompt, concept_kind, concept_of
from unseen.bench.scores import kept, rate
from unseen.bench.study import Study, floor_of, mean_floor
from unseen.bench.tables import Cell, Count, Table
from unseen.diorama import captions, scenes

CLIPS_PER_CELL = 30
KINDS = ("main", *PHRASINGS)


def evaluate_phrasings(study: Study) -> Iterator[Table]:
    """Generative rates before and after, per way of saying it; nothing is barred here."""
    keys = study.chosen(scenes.OBJECTS, captions.KEYS)
    hits: dict[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray, list[Prompt]]] = {}
    for place, key in enumerate(keys, 1):
        study.say(f"{captions.main_name(key)} ({place} of {len(keys)})")
        method = study.eraser(concept_of(key, synonyms=listed(key) if study.settings.listed else ())).method
        for kind in KINDS:
            prompts = _prompts(study, key, kind)
            before, after = study.clips(prompts), study.clips(prompts, method)
            seen = study.read(before).shows(key), study.read(after).shows(key)
            hits[key, kind] = (*seen, after.identical, prompts)
    yield kinds_table(study, keys, hits)
    yield concepts_table(study, keys, hits)


def listed(key: str) -> list[str]:
    """What a user might list beside the main name: the synonyms and descriptions of the `fit` split, bare."""
    found = [name for kind in ("synonym", "periphrasis") for name in captions.names(key, kind, "fit")]
    return [re.sub(r"^(an?|the) ", "", name) for name in found]


def _prompts(study: Study, key: str, kind: str) -> list[Prompt]:
    count, role = study.settings.count(CLIPS_PER_CELL), "target" if kind == "main" else kind
    write = study.writer.styled if concept_kind(key) == "style" else study.writer.single
    return write(key, count, role=role, kind=kind)


Hits = dict[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray, list[Prompt]]]
"""By key and phrasing: frames that show it before and after, prompts encoded bit-identically, prompts."""


def kinds_table(study: Study, keys: tuple[str, ...], hits: Hits) -> Table:
    """One row per phrasing, over all concepts."""
    rows: list[tuple[Cell, ...]] = []
    floor = mean_floor(study.judge, keys)
    for kind in KINDS:
        cells = [hits[key, kind] for key in keys]
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
        "“main” are main names, for comparison; all others were unseen in the fit. "
        + ("Fitted with the listed names of the fit split." if study.settings.listed else "Fitted with the main name."),
    )


def concepts_table(study: Study, keys: tuple[str, ...], hits: Hits) -> Table:
    """One row per concept and phrasing."""
    rows: list[tuple[Cell, ...]] = []
    for key in keys:
        for kind in KINDS:
            before, after, _, prompts = hits[key, kind]
            found = rate(before, prompts), rate(after, prompts)
            rows.append((captions.main_name(key), kind, len(prompts), *found, floor_of(study.judge, key)))
    columns = ("concept", "phrasing", "clips", "before", "after", "detector floor")
    return Table("Phrasings: each concept", columns, tuple(rows))
