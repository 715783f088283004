"""What a frame shows instead of an erased concept, by two detectors that have to agree."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unseen.metrics.rates import Rate, rate

OUTCOMES = ("target", "neighbour", "other", "none", "unrecognisable")
"""The concept itself; its near neighbour; another subject; an empty scene; something the detectors cannot agree on."""


@dataclass(frozen=True)
class Reading:
    """What one detector says about `n` frames."""

    subject: np.ndarray
    """Independent probabilities `[n, subjects]`."""
    none: np.ndarray
    """The probability that the scene is empty, `[n]`."""
    unrecognisable: np.ndarray
    """The probability that something is there that has no name, `[n]`."""
    threshold: float = 0.5
    """From which probability on a subject counts as shown."""


def outcomes(
    readings: Sequence[Reading],
    subjects: Sequence[str],
    *,
    target: str,
    neighbour: str | None = None,
    expected: Collection[str] = (),
) -> np.ndarray:
    """What appears in each frame, strings `[n]` out of `OUTCOMES`.

    A subject appears if every detector sees it; the target is looked for first, then its neighbour, then the others.
    `expected` lists what the prompt asks for besides the target: a companion is not a replacement, and a frame that
    shows nothing but the companion counts as "none". Without any such subject the frame is "none" if the detectors on
    average hold an empty scene to be likelier than something unrecognisable and none of them sees a subject;
    otherwise (they disagree, or both see something they cannot name) it is "unrecognisable".
    """
    for name in (target, *([neighbour] if neighbour else []), *expected):
        if name not in subjects:
            raise ValueError(f"expected keys the detectors know, but got {name!r}; they know {', '.join(subjects)}")
    seen: np.ndarray = np.stack([reading.subject >= reading.threshold for reading in readings])
    agreed, claimed = np.all(seen, axis=0), np.any(seen, axis=0)
    column = {name: i for i, name in enumerate(subjects)}
    others = [i for name, i in column.items() if name not in {target, neighbour, *expected}]
    companions = [column[name] for name in expected]
    wanted = [i for i in range(len(subjects)) if i not in companions]
    companion_alone = agreed[:, companions].any(1) & ~claimed[:, wanted].any(1)
    none = np.mean([reading.none for reading in readings], axis=0)
    unrecognisable = np.mean([reading.unrecognisable for reading in readings], axis=0)
    out = np.full(len(none), "unrecognisable", dtype="<U14")
    out[(~claimed.any(1) & (none >= unrecognisable) & (none >= 0.5)) | companion_alone] = "none"
    out[agreed[:, others].any(1)] = "other"
    if neighbour:
        out[agreed[:, column[neighbour]]] = "neighbour"
    out[agreed[:, column[target]]] = "target"
    return out


def outcome_rates(
    labels: np.ndarray, prompts: Sequence[Any] | np.ndarray, seeds: Sequence[Any] | np.ndarray
) -> dict[str, Rate]:
    """The share of each outcome with its interval; `labels` is `[clips, frames]`."""
    return {outcome: rate(labels == outcome, prompts, seeds) for outcome in OUTCOMES}
