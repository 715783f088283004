"""What a detector sees in clips: per clip and frame, subjects, attributes, people, background and style."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from unseen.bench.clips.make import Clips
from unseen.bench.prompts.writer import Prompt
from unseen.diorama.detector.detector import Detector, claims, similarity_logits
from unseen.diorama.world import scenes
from unseen.metrics.replacement import Reading, outcomes


@dataclass(frozen=True)
class Readings:
    """A detector's view of `clips`; every answer is bool `[clips, frames]`."""

    prompts: tuple[Prompt, ...]
    subjects: tuple[str, ...]
    thresholds: Mapping[str, float]
    read: Mapping[str, np.ndarray]
    """The detector's probabilities, each `[clips, frames, ...]`."""

    def shows(self, key: str) -> np.ndarray:
        """Frames that show the subject, attribute, style or background `key`."""
        for name, keys in (("subject", self.subjects), ("attributes", scenes.ATTRIBUTES)):
            if key in keys:
                return claims(self.read, self.thresholds, name)[..., keys.index(key)]
        for name, keys in (("style", scenes.STYLES), ("background", scenes.BACKGROUNDS)):
            if key in keys:  # one of several: half is a majority
                return self.read[name][..., keys.index(key)] >= 0.5
        raise ValueError(f"The detector does not read {key!r}.")

    def each(self, keys: Sequence[str]) -> np.ndarray:
        """`shows` of one key per clip."""
        answers = {key: self.shows(key) for key in set(keys)}
        frames = next(iter(self.read.values())).shape[1]
        rows = [answers[key][clip] for clip, key in enumerate(keys)]
        return np.stack(rows) if rows else np.zeros((0, frames), bool)

    def asked_subject(self) -> np.ndarray:
        """Frames that show every subject their prompt asks for (wherever it is)."""
        pairs = (
            [(p.scene.subjects or ("",))[0] for p in self.prompts],
            [(p.scene.subjects or ("",))[-1] for p in self.prompts],
        )
        if any("" in side for side in pairs):
            raise ValueError("A prompt about an empty scene asks for no subject.")
        return self.each(pairs[0]) & self.each(pairs[1])

    def asked_background(self) -> np.ndarray:
        """Frames with the background of their prompt."""
        return self.each([p.scene.background for p in self.prompts])

    def asked_style(self) -> np.ndarray:
        """Frames in the style of their prompt."""
        return self.each([p.scene.style for p in self.prompts])

    def companion(self) -> np.ndarray:
        """Frames of two-subject prompts that show the subject beside the prompt's `key`."""
        return self.each([next(s for s in p.scene.subjects if s != p.key) for p in self.prompts])

    def both_in_place(self) -> np.ndarray:
        """Frames of two-subject prompts with the first subject in the left half and the second in the right."""
        halves = claims(self.read, self.thresholds, "halves")
        found = [
            halves[clip, :, 0, self.subjects.index(p.scene.subjects[0])]
            & halves[clip, :, 1, self.subjects.index(p.scene.subjects[1])]
            for clip, p in enumerate(self.prompts)
        ]
        return np.stack(found)

    def carrier(self) -> np.ndarray:
        """Frames that show the prompt's (first) subject, with its attribute or without."""
        return self.each([p.scene.subjects[0] for p in self.prompts])

    def face(self) -> np.ndarray:
        """Frames that show a person's face."""
        return self.read["face"] >= self.thresholds["face"]

    def stranger(self) -> np.ndarray:
        """Frames that show a face matching none of the known characters."""
        nearest = torch.from_numpy(self.read["similarity"].max(-1))
        return self.face() & (similarity_logits(nearest).sigmoid().numpy() < self.thresholds["identity"])

    def select(self, keep: np.ndarray) -> Readings:
        """The readings of the clips where `keep` (bool `[clips]`) is true."""
        prompts = tuple(p for p, kept in zip(self.prompts, keep, strict=True) if kept)
        return Readings(prompts, self.subjects, self.thresholds, {k: v[keep] for k, v in self.read.items()})


def read_clips(detector: Detector, clips: Clips) -> Readings:
    """Let `detector` look at every frame of `clips`."""
    count, frames = clips.frames.shape[:2]
    flat = clips.frames.reshape(-1, *clips.frames.shape[2:])
    read = {k: v.reshape(count, frames, *v.shape[1:]) for k, v in detector.probabilities(flat).items()}
    return Readings(clips.prompts, detector.subjects, detector.thresholds, read)


def join(parts: Sequence[Readings]) -> Readings:
    """Readings of one detector, one after the other."""
    first = parts[0]
    read = {key: np.concatenate([part.read[key] for part in parts]) for key in first.read}
    return Readings(tuple(p for part in parts for p in part.prompts), first.subjects, first.thresholds, read)


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
    labels = outcomes(flat, first.subjects, target=target, neighbour=scenes.NEIGHBOUR_OF.get(target))
    return labels.reshape(first.read["none"].shape)
