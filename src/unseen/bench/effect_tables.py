"""What `unseen.bench.effects` measured, as tables and as columns of the comparison's database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from unseen.bench.effects import SHOWN, Effects, Picture
from unseen.bench.prompts import Prompt, concept_kind
from unseen.bench.scores import mean, rate
from unseen.bench.tables import Cell, Count, Estimate, Table
from unseen.diorama.world import captions
from unseen.metrics.rates import Rate

NONE, IDEAL, GONE = "none", "exact renders", "renders without it"
"""Rows beside the methods: the unedited model; in place of any model's clips renders of the prompts' scenes, and such
renders without the concept."""

_SHOWN_NOTE = {
    "object": "What appears instead: a subject counts if both detectors see it; unrecognisable: they disagree, or see "
    "something they cannot name.",
    "identity": "ID-similarity: mean cosine with the character's face over the frames that show a face; it says little "
    "where there are few. Nobody known: a face that matches no character.",
    "attribute": "Its carrier is what has the attribute, and should stay.",
    "style": "The subject is what the prompt is about, and should stay.",
}
_PICTURE_COLUMNS = (
    "method", "clips", "PSR-1", "asked for and shown", "motion, pixels", "smoothness", "unnaturalness", "off the look",
    "changed, of 255", "unchanged clips",
)  # fmt: skip
_PICTURE_NOTE = (
    "Asked for and shown: what the prompt says besides the concept, share seen by the detector (stands in for overall "
    "consistency). Unnaturalness: NIQE's distance from renders (for imaging quality). Off the look: distance of "
    "colours and lines from renders of the nearest style (for aesthetic quality). For both less is better; hold it "
    "against the rows of renders, since an empty scene is quiet and less natural by itself. Smoothness: 1 − the error "
    "of frames predicted from their neighbours; a clip that stands still is smooth, so read it beside motion. Changed: "
    "mean difference from the unedited clip."
)


def instead_table(key: str, found: Mapping[str, Effects], failed: Sequence[str]) -> Table:
    """What the concept's own prompts show, a row per method; `found` is by method, with `NONE`."""
    columns = [column for column in SHOWN if column in found[NONE].shown]
    rows: list[tuple[Cell, ...]] = [
        (name, len(effects.pictures["target"].prompts), *(effects.shown[column] for column in columns))
        for name, effects in found.items()
    ]
    rows += [(name, *[None] * (1 + len(columns))) for name in failed]
    note = (
        "Test wording. The video counts take any frame, or half of all. The rows of renders say what the detectors make"
        " of perfect pictures. "
        + ("ESR-1: the concept is not what the detector holds for likeliest. " if "ESR-1" in columns else "")
        + _SHOWN_NOTE[concept_kind(key)]
    )
    return Table(f"Methods: {captions.main_name(key)}, what is shown", ("method", "clips", *columns), tuple(rows), note)


def picture_table(role: str, results: Mapping[str, Mapping[str, Effects]]) -> Table:
    """How one role's clips look over all concepts, a row per method; `results` is by concept, then by method."""
    names = list(dict.fromkeys(name for found in results.values() for name in found))
    rows = []
    for name in names:
        if role == "others" and name == GONE:  # the same renders as before
            continue
        having = [found[name] for found in results.values() if name in found]
        rows.append((name, *picture_cells(role, having, plain=name in (NONE, IDEAL, GONE))))
    what = {"target": "the concept's own prompts", "others": "prompts without the concept"}[role]
    few = "" if role == "target" else " PSR-1: the asked subject is what the detector holds for likeliest."
    columns, kept = _PICTURE_COLUMNS, [i for i, c in enumerate(_PICTURE_COLUMNS) if role == "others" or c != "PSR-1"]
    return Table(
        f"Methods: the picture, {what}",
        tuple(columns[i] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in rows),
        f"All concepts, test wording.{few} {_PICTURE_NOTE}",
    )


def picture_cells(role: str, having: Sequence[Effects], *, plain: bool = False) -> tuple[Cell, ...]:
    """A row of the picture's table without the method's name; `plain` rows have nothing that could have changed."""
    pictures = [effects.pictures[role] for effects in having]
    prompts = [p for picture in pictures for p in picture.prompts]

    def all_of(field: str) -> np.ndarray:
        return np.concatenate([getattr(picture, field) for picture in pictures])

    changed = all_of("changed")
    measured = (mean(all_of(field), prompts) for field in ("motion", "smoothness", "unnatural", "look"))
    return (
        len(prompts),
        _named(having) if role == "others" else None,
        _asked(pictures),
        *measured,
        None if plain else mean(changed, prompts),
        None if plain else Count(int((changed == 0).sum()), len(changed)),
    )


def _named(having: Sequence[Effects]) -> Rate | None:
    prompts = [p for effects in having for p in effects.named_prompts]
    return rate(np.concatenate([effects.named for effects in having]), prompts) if prompts else None


def _asked(pictures: Sequence[Picture]) -> Rate | None:
    values = np.concatenate([picture.asked for picture in pictures])
    prompts: list[Prompt] = [p for picture in pictures for p in picture.prompts]
    says = ~np.isnan(values)
    if not says.any():
        return None
    return rate(values[says][:, None], [p for p, kept in zip(prompts, says, strict=True) if kept])


def columns() -> tuple[str, ...]:
    """Names of everything that `values` can give, for a database."""
    shown = [_column(name) for name in SHOWN]
    pictures = [
        _column(f"{role} {name}")
        for role in ("own", "other")
        for name in _PICTURE_COLUMNS[2:]
        if role == "other" or name != "PSR-1"
    ]
    return tuple(name + end for name in (*shown, *pictures) for end in ("", "_low", "_high"))


def values(effects: Effects) -> Iterator[tuple[str, Any]]:
    """What one method did to one concept, as pairs of a column and a number."""
    cells = {_column(name): cell for name, cell in effects.shown.items()}
    for role, label in (("target", "own"), ("others", "other")):
        row = picture_cells(role, [effects])
        cells |= {_column(f"{label} {n}"): c for n, c in zip(_PICTURE_COLUMNS[2:], row[1:], strict=True)}
    for name, cell in cells.items():
        if isinstance(cell, Estimate):
            yield from ((name, cell.value), (f"{name}_low", cell.low), (f"{name}_high", cell.high))
        elif isinstance(cell, Count):
            yield name, cell.part / cell.whole


def _column(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name.lower().replace(", of 255", "").replace(", pixels", ""))
