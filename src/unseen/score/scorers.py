"""Detectors and metrics as one kind of thing: it takes a video's frames chunk by chunk and gives answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unseen.detectors.base import Detector
from unseen.errors import DetectorError, FramesError
from unseen.metrics.generative import count_frames
from unseen.metrics.streaming import VIDEO_METRICS, VideoMetric
from unseen.score.store import Answer


@dataclass(frozen=True)
class Scorer:
    """A detector or a metric, and the key under which its answers are kept."""

    source: Detector | VideoMetric
    key: str

    @property
    def name(self) -> str:
        """As it stands in tables."""
        return self.source.name if isinstance(self.source, VideoMetric) else self.source.card.name

    @property
    def version(self) -> str:
        """Of the metric's definition, or of the detector's weights."""
        return self.source.version if isinstance(self.source, VideoMetric) else self.source.card.version

    @property
    def classes(self) -> tuple[str, ...]:
        """Of a detector; of a metric one without a name."""
        return ("",) if isinstance(self.source, VideoMetric) else self.source.card.classes

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Of a detector's classes; a metric has none."""
        return {} if isinstance(self.source, VideoMetric) else self.source.card.thresholds

    @property
    def floors(self) -> Mapping[str, float]:
        """Of a detector's classes, where somebody has measured them."""
        return {} if isinstance(self.source, VideoMetric) else self.source.card.floor


def scorer_of(source: Detector | VideoMetric | str) -> Scorer:
    """A detector, a metric, or the name of a metric, ready to be asked.

    Raises:
        DetectorError: no detector and no metric, or a detector whose card lacks thresholds.
    """
    if isinstance(source, str):
        if source not in VIDEO_METRICS:
            raise DetectorError(f"expected a metric among {', '.join(VIDEO_METRICS)}, got {source!r}")
        source = VIDEO_METRICS[source]
    if isinstance(source, VideoMetric):
        return Scorer(source, _key("metric", source.name, source.version))
    if not isinstance(source, Detector) or not callable(source):
        raise DetectorError(f"expected a detector: a callable with a `card`, got {type(source).__name__}")
    card = source.card
    if missing := [name for name in card.classes if name not in card.thresholds]:
        raise DetectorError(f"{card.name}: its card gives no threshold for {', '.join(missing)}; add them")
    if not card.classes or len({*card.classes}) != len(card.classes):
        raise DetectorError(f"{card.name}: expected different classes on its card, got {list(card.classes)}")
    thresholds = {name: float(card.thresholds[name]) for name in card.classes}
    return Scorer(source, _key("detector", card.name, card.version, list(card.classes), thresholds))


def _key(*facts: object) -> str:
    """All that the answers hang on. The floor is not among it: it says how to read a rate, not what is counted."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class Asking:
    """One scorer over one video."""

    def __init__(self, scorer: Scorer):
        self.scorer = scorer
        self._metric = scorer.source.start() if isinstance(scorer.source, VideoMetric) else None
        self._found: list[np.ndarray] = []
        self._frames = 0
        self._refusal = ""

    def add(self, frames: np.ndarray) -> None:
        """Take the next frames. A scorer that refuses them is not asked again about this video."""
        if self._refusal:
            return
        self._frames += len(frames)
        try:
            if self._metric is not None:
                self._metric.add(frames)
            else:
                self._found.append(_checked(self.scorer, self.scorer.source(frames), frames))  # type: ignore[operator]
        except FramesError as error:
            self._refusal = " ".join(str(error).split())

    def answers(self) -> Sequence[Answer]:
        """One for each class, once all frames were taken."""
        if self._refusal:
            return [Answer(name, "refused", self._refusal) for name in self.scorer.classes]
        source = self.scorer.source
        if self._metric is not None:
            return [Answer("", value=float(self._metric.value()), frames=self._frames)]
        assert not isinstance(source, VideoMetric)
        found = np.concatenate(self._found)
        answers = []
        for column, name in enumerate(self.scorer.classes):
            count = count_frames(found[:, column], source.card.thresholds[name])
            answers.append(
                Answer(name, "scored", "", count.share, count.highest, count.hits, count.frames, count.undefined)
            )
        return answers


def _checked(scorer: Scorer, found: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """A detector's answer, if it is what the protocol promises; a wrong one is a mistake in the detector."""
    answer = np.asarray(found, np.float32)
    expected = (len(frames), len(scorer.classes))
    if answer.shape != expected:
        raise DetectorError(f"{scorer.name}: expected probabilities {list(expected)}, got {list(answer.shape)}")
    if (answer < 0).any() or (answer > 1).any():
        raise DetectorError(f"{scorer.name}: expected probabilities between 0 and 1, got {np.nanmin(answer):g} to"
                            f" {np.nanmax(answer):g}")  # fmt: skip
    return answer
