"""Faces by face-api's networks: whether a frame shows one, and whose it is. The weights need a path: `face_reader`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from unseen.detectors.base import DetectorCard, FrameDetector
from unseen.detectors.face_reader import face_reader
from unseen.detectors.floor import with_floor
from unseen.errors import DetectorError

SAME_PERSON = 0.6
"""Distance of two embeddings below which dlib's author takes two faces for one person's."""


def face(
    *,
    weights: str | Path | None = None,
    persons: Mapping[str, np.ndarray] | None = None,
    threshold: float = 0.5,
    distance: float = SAME_PERSON,
) -> FrameDetector:
    """The detector, with the class "face" and one class for each of `persons`.

    Args:
        weights: Folder of face-api's weights, see `face_reader`.
        persons: Photographs of each person, uint8 `[n, H, W, 3]`, each with one face.
        threshold: From which probability there is a face.
        distance: Distance of two embeddings up to which two faces are one person's; in poor light people who look
            alike come nearer than dlib's 0.6.

    A person's score is `1 - d / (2 distance)`, at least 0, where d is how far the frame's surest face is from the
    person's nearest photograph, so that 0.5 stands for the limit. It is NaN where no face is found: not 0.

    Raises:
        DetectorError: no weights, or a photograph of a person in which no face is found.
    """
    reader = face_reader(weights, threshold=threshold)
    known = {name: reader.read(photographs)[1] for name, photographs in (persons or {}).items()}
    for name, embeddings in known.items():
        if not len(embeddings) or np.isnan(embeddings).any():
            faceless = np.flatnonzero(np.isnan(embeddings[:, 0])).tolist()
            raise DetectorError(
                f"expected a face on each photograph of {name!r}, and of {len(embeddings)} none is found on"
                f" {faceless or 'any'}; give other photographs."
            )

    def read(frames: np.ndarray) -> np.ndarray:
        found, embeddings = reader.read(frames)
        columns = [found]
        for references in known.values():
            away = np.linalg.norm(embeddings[:, None] - references, axis=-1).min(axis=1)
            columns.append(np.maximum(1 - away / (2 * distance), 0))
        return np.stack(columns, axis=1)

    thresholds = {"face": threshold, **dict.fromkeys(known, 0.5)}
    return FrameDetector(with_floor(DetectorCard("face", reader.version, tuple(thresholds), thresholds, "MIT")), read)
