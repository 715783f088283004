"""Which scenes the video model is trained on, and which combinations it never sees."""

from __future__ import annotations

import hashlib

import numpy as np

from unseen.diorama.world.scenes import ATTRIBUTE_OF, BACKGROUNDS, MOTIONS, STYLES, SUBJECTS, Scene

HELD_OUT_SHARE = 0.22
"""Share of subject × background × motion × style combinations kept out of every training clip."""


def is_held_out(subject: str, background: str, motion: str, style: str) -> bool:
    """Whether this combination is never trained on (decided by a hash, so that no list has to be kept)."""
    digest = hashlib.sha256(f"{subject}|{background}|{motion}|{style}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


def _pick(rng: np.random.Generator, options: tuple[str, ...]) -> str:
    return options[int(rng.integers(len(options)))]


def sample_scene(
    rng: np.random.Generator,
    *,
    subject: str | None = None,
    held_out: bool = False,
    count: int | None = None,
    plain_share: float = 0.4,
) -> Scene:
    """Draw a training scene, or with `held_out` one whose combination never occurs in training.

    `count` fixes the number of subjects (else 10 % none, 45 % one, 45 % two); `subject` fixes the first of them.
    """
    if count is None:
        count = 1 if subject else int(rng.choice([0, 1, 2], p=[0.1, 0.45, 0.45]))
    while True:
        subjects = [subject] if subject else []
        while len(subjects) < count:
            other = _pick(rng, SUBJECTS)
            if other not in subjects:
                subjects.append(other)
        if rng.random() < 0.5:
            subjects.reverse()
        background, motion = _pick(rng, BACKGROUNDS), _pick(rng, MOTIONS)
        style = "plain" if rng.random() < plain_share else _pick(rng, STYLES[1:])
        kept_out = [is_held_out(s, background, motion, style) for s in subjects]
        if any(kept_out) == held_out or not subjects:
            break
    attributes = tuple(ATTRIBUTE_OF[s] for s in subjects if s in ATTRIBUTE_OF and rng.random() < 0.6)
    return Scene(tuple(subjects), background, motion, style, attributes)
