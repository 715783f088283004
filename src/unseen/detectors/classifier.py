"""Any image classifier from the hub, by default the ResNet-50 that papers on object erasure count with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from unseen.detectors.base import DetectorCard, FrameDetector
from unseen.detectors.hub import from_hub, to_device, version_of
from unseen.detectors.imagenet import IMAGENETTE, check_top_k, probabilities_of
from unseen.errors import DetectorError


def classifier(
    *,
    classes: Sequence[str] = tuple(IMAGENETTE),
    model: str | Path = "microsoft/resnet-50",
    revision: str | None = None,
    top_k: int | None = None,
    threshold: float = 0.5,
    device: str = "cpu",
) -> FrameDetector:
    """The detector.

    Args:
        classes: Labels of the model, or one of the names that a label such as "church, church building" lists.
        model: A hub id or a folder.
        revision: Of the hub repository.
        top_k: Answer 1 where a class is among the `top_k` likeliest of all that the model knows and 0 elsewhere, as
            ESR-k and PSR-k count.
        threshold: From which probability a frame shows a class.
        device: Where to compute.

    Raises:
        DetectorError: no such model or class.
    """
    import torch

    network = from_hub("AutoModelForImageClassification", model, revision=revision).to(device)
    processor = from_hub("AutoImageProcessor", model, revision=revision)
    check_top_k(top_k, len(network.config.id2label))
    places = [place_of(name, network.config.id2label) for name in classes]

    def read(frames: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            logits = network(**to_device(processor(images=list(frames), return_tensors="pt"), device)).logits
        return probabilities_of(logits.float().softmax(-1).cpu().numpy(), places, top_k)

    card = DetectorCard(
        "classifier" if top_k is None else f"classifier-top{top_k}",
        version_of(model, network.config),
        tuple(classes),
        dict.fromkeys(classes, threshold),
        "see the model's page",
    )
    return FrameDetector(card, read)


def place_of(name: str, labels: Mapping[int, str]) -> int:
    """The place of the label that is `name`, or that lists it among others.

    Raises:
        DetectorError: none does, or several.
    """
    wanted = name.strip().lower()
    exact = [place for place, label in labels.items() if label.strip().lower() == wanted]
    listed = [place for place, label in labels.items() if wanted in [each.strip().lower() for each in label.split(",")]]
    found = exact or listed
    if len(found) != 1:
        near = [label for label in labels.values() if wanted in label.lower()][:5]
        raise DetectorError(
            f"expected one label of the model for {name!r}, and {len(found)} fit; "
            + (f"near ones are {'; '.join(near)}." if near else f"it has {len(labels)} labels, none of them near.")
        )
    return found[0]
