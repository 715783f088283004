"""ID-similarity: how much the faces in clips look like a person, where there are faces at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from unseen.metrics import intervals
from unseen.metrics.intervals import Levels
from unseen.metrics.rates import Rate, rate


@dataclass(frozen=True)
class IdSimilarity:
    """Mean cosine similarity over the frames that show a face."""

    value: float
    """NaN where no frame does: the similarity of a missing face is undefined, not zero."""
    low: float
    high: float
    face_present: Rate
    """Share of frames with a face. A low similarity says little where this is low too."""


def similarity(embeddings: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Highest cosine similarity to any of a person's `references` `[n, d]`, `[clips, frames]`."""
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=-1, keepdims=True), 1e-12)
    known = references / np.maximum(np.linalg.norm(references, axis=-1, keepdims=True), 1e-12)
    return (unit @ known.T).max(axis=-1)


def id_similarity(
    similarities: np.ndarray, faces: np.ndarray, prompts: Sequence[Any], seeds: Sequence[Any]
) -> IdSimilarity:
    """From `similarities` and `faces` (is there one?), both `[clips, frames]`.

    The interval is Student's t over prompts (`unseen.metrics.intervals.mean`).

    Raises:
        ValueError: shapes that differ.
    """
    if similarities.shape != faces.shape:
        raise ValueError(f"expected as many similarities as frames, got {similarities.shape} and {faces.shape}")
    present = rate(faces, prompts, seeds)
    sums, counts = np.where(faces, similarities, 0.0).sum(axis=1), faces.sum(axis=1).astype(float)
    if not counts.sum():
        return IdSimilarity(float("nan"), float("nan"), float("nan"), present)
    each = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
    value, low, high = (float(end) for end in intervals.mean(each, Levels.of(prompts, seeds), counts))
    return IdSimilarity(value, low, high, present)
