"""Any concept in words, by CLIP (Radford et al. 2021) or SigLIP (Zhai et al. 2023) from the hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unseen.detectors.base import DetectorCard, FrameDetector
from unseen.detectors.hub import from_hub, to_device, version_of
from unseen.errors import DetectorError

_SOFTMAX, _SIGMOID = ("clip",), ("siglip", "siglip2")
_SIGLIP_TOKENS = 64


def zero_shot(
    *,
    concept: str | Sequence[str],
    model: str | Path = "openai/clip-vit-base-patch32",
    revision: str | None = None,
    template: str = "a photo of {}",
    against: Sequence[str] = (),
    threshold: float = 0.5,
    device: str = "cpu",
) -> FrameDetector:
    """The detector, with a class for each concept.

    Args:
        concept: In words with an article, such as "a church"; one or several.
        model: A hub id or a folder.
        revision: Of the hub repository.
        template: The sentence that a concept is put into.
        against: Whole sentences that each concept competes with, for CLIP only; "a photo of something else" unless
            given. The answers hang on them: name what the clips show instead, such as "a photo of a barn".
        threshold: From which probability a frame shows a concept.
        device: Where to compute.

    CLIP only compares: its probability is a softmax over the concept and `against`. SigLIP judges each sentence by
    itself. Neither is calibrated. Measure the floor on clips of yours without the concept.

    Raises:
        DetectorError: no such model, or one of another kind.
    """
    import torch

    concepts = (concept,) if isinstance(concept, str) else tuple(concept)
    if not concepts or "{}" not in template:
        raise DetectorError(f"expected at least one concept and a template with {{}} in it, got {template!r}.")
    network = from_hub("AutoModel", model, revision=revision).to(device)
    kind = network.config.model_type
    if kind not in (*_SOFTMAX, *_SIGMOID):
        raise DetectorError(f"expected a CLIP or SigLIP model, and {model} is of the kind {kind!r}; give another.")
    if against and kind in _SIGMOID:
        raise DetectorError(f"{model} judges each sentence by itself: leave `against` out, or use a CLIP model.")
    rivals = tuple(against) or ("a photo of something else",)
    sentences = [template.format(each) for each in concepts] + (list(rivals) if kind in _SOFTMAX else [])
    tokenizer = from_hub("AutoTokenizer", model, revision=revision)
    padding = {"padding": True} if kind in _SOFTMAX else {"padding": "max_length", "max_length": _SIGLIP_TOKENS}
    text = to_device(tokenizer(sentences, truncation=True, return_tensors="pt", **padding), device)
    if kind in _SIGMOID:
        text = {"input_ids": text["input_ids"]}  # SigLIP was trained without a mask
    processor = from_hub("AutoImageProcessor", model, revision=revision)

    def read(frames: np.ndarray) -> np.ndarray:
        pixels = to_device(processor(images=list(frames), return_tensors="pt"), device)
        with torch.inference_mode():
            logits = network(**text, **pixels).logits_per_image.float()
        if kind in _SIGMOID:
            return logits.sigmoid().cpu().numpy()
        rest = logits[:, len(concepts) :].logsumexp(-1, keepdim=True)
        return (logits[:, : len(concepts)] - rest).sigmoid().cpu().numpy()

    card = DetectorCard(
        "zero-shot",
        version_of(model, network.config),
        concepts,
        dict.fromkeys(concepts, threshold),
        "see the model's page",
    )
    return FrameDetector(card, read)
