"""What a detector says of frames, and what of it counts as shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from unseen.diorama.world.scenes import ATTRIBUTES, BACKGROUNDS, NEIGHBOUR_OF, STYLES, Scene
from unseen.metrics.replacement import Reading, outcomes

_EVEN = 0.5  # of what is one of several: a majority
_SHARPNESS = 12.0  # turns a cosine into a log-odds; a cosine of 0.5 is undecided


def similarity_logits(similarity: Tensor) -> Tensor:
    """The log-odds that a face is each of the characters, from its cosines."""
    return _SHARPNESS * (similarity - 0.5)


def nameable(read: Mapping[str, np.ndarray]) -> np.ndarray:
    """Frames that the content head does not hold for unrecognisable: of a smear nothing is claimed."""
    return read["unrecognisable"] < 0.5


def claims(read: Mapping[str, np.ndarray], thresholds: Mapping[str, float], head: str = "subject") -> np.ndarray:
    """What counts as shown, bool in the shape of `read[head]`: "subject", "halves", "tiers" or "attributes".

    `read` is what `Detector.probabilities` says, with any dimensions in front.
    """
    threshold = thresholds["attributes" if head == "attributes" else "subject"]
    named = nameable(read)
    return (read[head] >= threshold) & named.reshape(*named.shape, *[1] * (read[head].ndim - named.ndim))


@dataclass(frozen=True)
class Readings:
    """What a detector says; every answer is bool in the shape of what was read, `[frames]` or `[clips, frames]`."""

    scenes: tuple[Scene, ...]
    """What each clip should show."""
    subjects: tuple[str, ...]
    thresholds: Mapping[str, float]
    read: Mapping[str, np.ndarray]
    """The answer of `Detector.probabilities`, each `[..., frames, ...]`."""

    def shows(self, key: str) -> np.ndarray:
        """Frames that show the subject, attribute, style or background `key`, a "face", or "none" of all that."""
        for name, keys in (("subject", self.subjects), ("attributes", ATTRIBUTES)):
            if key in keys:
                return claims(self.read, self.thresholds, name)[..., keys.index(key)]
        for name, keys in (("style", STYLES), ("background", BACKGROUNDS)):
            if key in keys:
                return self.read[name][..., keys.index(key)] >= _EVEN
        if key == "face":
            return self.read["face"] >= self.thresholds["face"]
        if key == "none":
            return self.read["none"] >= _EVEN
        raise ValueError(f"The detector does not read {key!r}.")

    def stranger(self) -> np.ndarray:
        """Frames that show a face matching none of the known characters."""
        nearest = torch.from_numpy(self.read["similarity"].max(-1))
        return self.shows("face") & (similarity_logits(nearest).sigmoid().numpy() < self.thresholds["identity"])

    def each(self, keys: Sequence[str]) -> np.ndarray:
        """`shows` of one key per clip."""
        answers = {key: self.shows(key) for key in set(keys)}
        frames = next(iter(self.read.values())).shape[1]
        rows = [answers[key][clip] for clip, key in enumerate(keys)]
        return np.stack(rows) if rows else np.zeros((0, frames), bool)

    def asked_subject(self) -> np.ndarray:
        """Frames that show every subject their scene asks for (wherever it is)."""
        if not all(scene.subjects for scene in self.scenes):
            raise ValueError("A prompt about an empty scene asks for no subject.")
        first, last = ([scene.subjects[end] for scene in self.scenes] for end in (0, -1))
        return self.each(first) & self.each(last)

    def both_in_place(self) -> np.ndarray:
        """Frames of two-subject scenes with the first subject in the left half and the second in the right."""
        halves = claims(self.read, self.thresholds, "halves")
        found = [
            halves[clip, :, 0, self.subjects.index(scene.subjects[0])]
            & halves[clip, :, 1, self.subjects.index(scene.subjects[1])]
            for clip, scene in enumerate(self.scenes)
        ]
        return np.stack(found)


def what_appears(opinions: Sequence[Readings], target: str) -> np.ndarray:
    """What each frame shows in place of `target`, str `[clips, frames]` out of `OUTCOMES`; opinions must agree."""
    first = opinions[0]
    flat = [
        Reading(
            np.where(claims(opinion.read, opinion.thresholds), opinion.read["subject"], 0.0).reshape(
                -1, len(opinion.subjects)
            ),
            opinion.read["none"].reshape(-1),
            opinion.read["unrecognisable"].reshape(-1),
            opinion.thresholds["subject"],
        )
        for opinion in opinions
    ]
    labels = outcomes(flat, first.subjects, target=target, neighbour=NEIGHBOUR_OF.get(target))
    return labels.reshape(first.read["none"].shape)
