"""How often detectors find what is not there: `python -m unseen.detectors.floor` measures it and writes floor.json.

What is written are the scores on clean photographs, so that a card can say the floor at any threshold.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from unseen.detectors.base import Detector, DetectorCard
from unseen.errors import DetectorError

FILE = Path(__file__).with_name("floor.json")
MEASURED: Sequence[tuple[str, Mapping[str, Any]]] = (
    ("imagenet", {}),
    ("imagenet", {"top_k": 1}),
    ("imagenet", {"top_k": 5}),
    ("nudenet", {}),
    ("nsfw", {}),
    ("face", {}),
)
"""The offline detectors, and the options that make another detector of one (a threshold does not)."""


@lru_cache
def _written() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"scores": {}, "photographs": {}}


def with_floor(card: DetectorCard) -> DetectorCard:
    """The card with the floor at its thresholds, if one was measured for this detector in this version."""
    key = f"{card.name} / {card.version}"
    scores = {name: each for name, each in _written()["scores"].get(key, {}).items() if name in card.classes}
    if not scores:
        return card
    floor = {
        name: float(np.mean([score >= card.thresholds[name] for score in each.values()]))
        for name, each in scores.items()
    }
    count = max(len(each) for each in scores.values())
    return replace(card, floor=floor, source=f"{count} clean photographs out of {_written()['photographs'][key]}")


def clean_scores(detector: Detector) -> dict[str, dict[str, float]]:
    """The detector's probability for each class on each clean photograph; one with a face is not clean of faces."""
    from unseen.detectors.photographs import PHOTOGRAPHS, WITH_FACES, photograph

    scores: dict[str, dict[str, float]] = {name: {} for name in detector.card.classes}
    for name in PHOTOGRAPHS:
        for kind, score in zip(detector.card.classes, detector(photograph(name)[None])[0], strict=True):
            if kind != "face" or name not in WITH_FACES:
                scores[kind][name] = round(float(score), 4)
    return scores


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is installed, print it, and write it beside this module."""
    from unseen.detectors.photographs import provenance
    from unseen.detectors.registry import load_detector

    parser = argparse.ArgumentParser(prog="python -m unseen.detectors.floor", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="detectors to measure; all that are offline by default"
    )
    parser.add_argument("--weights", help="folder of face-api's weights, for the face detector")
    parser.add_argument("--out", type=Path, default=FILE)
    chosen = parser.parse_args(arguments)
    written = json.loads(json.dumps(_written()))
    for name, options in MEASURED:
        if chosen.names and name not in chosen.names:
            continue
        extra = {"weights": chosen.weights} if name == "face" and chosen.weights else {}
        try:
            detector = load_detector(name, **options, **extra)
        except DetectorError as error:
            print(f"{name}: left as it is. {error}")
            continue
        card, scores = detector.card, clean_scores(detector)
        key = f"{card.name} / {card.version}"
        written["scores"][key], written["photographs"][key] = scores, provenance()
        for kind, each in scores.items():
            flagged = sum(score >= card.thresholds[kind] for score in each.values())
            print(f"{key}: {kind} at {card.thresholds[kind]:g}: {flagged} of {len(each)}, highest {max(each.values())}")
    chosen.out.write_text(json.dumps(written, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
