"""At which layer of a text encoder a concept can be told from others, by its name and in other words.

For every concept a linear probe on the mean of a prompt's tokens learns, layer by layer, from captions in fit wording
that name the concept and captions of other scenes. It is then asked about test wording: the name, a synonym, a
description, and what never says it but only what it does. A name is there from the first layer on; where the other
columns rise with depth, meaning is built over depth, and it matters where an eraser acts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from unseen.bench.methods import Concerned
from unseen.bench.rows import Row
from unseen.bench.study import Study
from unseen.diorama.world import captions, scenes
from unseen.diorama.world.sampling import sample_scene
from unseen.diorama.world.scenes import Scene
from unseen.encoder.activations import encode_by_length
from unseen.encoder.layers import num_blocks
from unseen.pipelines import text_path

KINDS = ("main", "synonym", "periphrasis", "indirect")
LEARNED, ASKED = 160, 60
"""Captions with a concept to learn from, and of each kind to be asked about; as many without it."""
RIDGE = 0.1
"""Weight of the probe's penalty, relative to the features' variance."""
SEED = 90_000_000
"""Scenes from here on are seen by no training."""


def _scene(key: str, rng: np.random.Generator, *, shown: bool) -> Scene:
    """A scene with or without the concept; without it, half of them show what is most like it."""
    carriers = scenes.CARRIERS_OF.get(key)
    while True:
        if carriers:
            subject = carriers[int(rng.integers(len(carriers)))] if shown or rng.random() < 0.5 else None
        else:
            near = scenes.NEIGHBOUR_OF.get(key)
            other = near if near and rng.random() < 0.5 else None
            subject = (key if shown else other) if key in scenes.SUBJECTS else None
        scene = sample_scene(rng, subject=subject, count=1)
        if (key in (*scene.subjects, *scene.attributes, scene.style)) == shown:
            return scene


def sample(key: str, kind: str, split: str, count: int) -> list[str]:
    """`count` captions with the concept, called as `kind` says, then as many without it."""
    rng = np.random.default_rng([SEED, captions.KEYS.index(key), len(kind), len(split)])
    texts: list[str] = []
    while len(texts) < 2 * count:
        shown = len(texts) < count
        scene = _scene(key, rng, shown=shown)
        phrases = "fit" if split == "fit" else None if kind == "main" else split
        text = captions.caption(
            scene, rng, template_split=split, phrase_split=phrases, name_kind=kind if shown else None
        )
        if not shown or key not in scenes.STYLES or _says_style(text, key, kind):
            texts.append(text)
    return texts


def _says_style(text: str, key: str, kind: str) -> bool:
    """Whether a caption mentions the style at all, as some leave it open."""
    return any(name.lower() in text.lower() for name in captions.names(key, kind))


def pooled(study: Study, texts: Sequence[str]) -> Tensor:
    """The mean of each text's tokens after each layer, `[layers, texts, d]`."""
    path = text_path(study.pipe)
    found = encode_by_length(path.tokenizer, path.encoder, texts, path.form)
    sums = torch.zeros(len(found.hidden), len(texts), found.hidden.shape[-1])
    sums.index_add_(1, found.prompt, found.hidden)
    return sums / found.prompt.bincount(minlength=len(texts)).view(1, -1, 1)


def probe(features: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, spread and weights of a ridge regression on ±1, `[n, d]` → `[d]` each."""
    mean, spread = features.mean(0), features.std(0) + 1e-6
    x, y = (features - mean) / spread, truth.float() * 2 - 1
    gram = x.T @ x + RIDGE * len(x) * torch.eye(x.shape[1])
    return mean, spread, torch.linalg.solve(gram, x.T @ y)


def area(scores: Tensor, truth: Tensor) -> float:
    """Chance that a text with the concept scores higher than one without (area under the ROC curve)."""
    with_it, without = scores[truth], scores[~truth]
    above = (with_it[:, None] > without).float() + 0.5 * (with_it[:, None] == without).float()
    return float(above.mean())


def separability(study: Study, key: str) -> np.ndarray:
    """Areas under the curve, `[layers, len(KINDS)]`."""
    learned = sample(key, "main", "fit", LEARNED)
    asked = [sample(key, kind, "test", ASKED) for kind in KINDS]
    texts = [learned, *asked]
    first, *others = pooled(study, [text for part in texts for text in part]).split([len(part) for part in texts], 1)
    areas = np.empty((len(first), len(KINDS)))
    for layer in range(len(first)):
        mean, spread, weights = probe(first[layer], torch.arange(2 * LEARNED) < LEARNED)
        for column, features in enumerate(others):
            scores = ((features[layer] - mean) / spread) @ weights
            areas[layer, column] = area(scores, torch.arange(2 * ASKED) < ASKED)
    return areas


def depth(study: Study, concerned: Sequence[Concerned]) -> Iterator[Row]:
    """How well each concept is told from others after each layer, by its name and in other words."""
    layers = range(num_blocks(text_path(study.pipe).encoder))
    for one in concerned:
        areas = separability(study, one.key)
        for layer in layers:
            for column, kind in enumerate(KINDS):
                yield Row("told apart", float(areas[layer, column]), role=kind, layer=layer,
                          prompt=one.common()["concept"], **one.common())  # fmt: skip
