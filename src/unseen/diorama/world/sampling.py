"""Which scenes the video model is trained on, and which combinations it never sees."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np

from unseen.diorama.world.scenes import (
    ATTRIBUTE_OF,
    BACKGROUNDS,
    CHARACTERS,
    MOTIONS,
    STRANGER,
    STYLES,
    SUBJECTS,
    Scene,
)

HELD_OUT_SHARE = 0.22
"""Share of subject × background × motion × style combinations kept out of every training clip."""
COUNTABLE = tuple(s for s in SUBJECTS if s not in (*CHARACTERS, STRANGER))
"""What may occur twice or three times in a scene: nobody has a double."""

_SHARES = (
    (0.09, (0, False, 1)),
    (0.49, (1, False, 1)),
    (0.82, (2, False, 1)),
    (0.87, (2, True, 1)),
    (0.93, (3, False, 1)),
    (0.965, (1, False, 2)),
    (1.0, (1, False, 3)),
)
"""Cumulative shares of (different subjects, stacked?, how often each) in training."""


@cache
def is_held_out(subject: str, background: str, motion: str, style: str) -> bool:
    """Whether this combination is never trained on (decided by a hash, so that no list has to be kept)."""
    digest = hashlib.sha256(f"{subject}|{background}|{motion}|{style}".encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


def _pick(options: tuple[str, ...], draw: float) -> str:
    return options[int(draw * len(options))]


def _subjects(first: str | None, count: int, draws: list[float], options: tuple[str, ...]) -> list[str]:
    """`count` different subjects, with `first` among them at a random place."""
    chosen = [first] if first else []
    left = [option for option in options if option != first] if first else list(options)
    for draw in draws[: count - len(chosen)]:
        place = int(draw * len(left))
        chosen.append(left[place])
        left[place] = left[-1]
        left.pop()
    if first and count > 1:
        place = int(draws[count - 1] * count)
        chosen[0], chosen[place] = chosen[place], chosen[0]
    return chosen


def sample_scene(
    rng: np.random.Generator,
    *,
    subject: str | None = None,
    held_out: bool = False,
    count: int | None = None,
    stacked: bool = False,
    repeat: int = 1,
    plain_share: float = 0.4,
) -> Scene:
    """Draw a training scene, or with `held_out` one whose combination never occurs in training.

    `count` fixes the number of different subjects in the row, or in the stack if `stacked`; `repeat` 2 or 3 has one
    subject that often. Without any of them 9 % show none, 40 % one, 33 % two in a row, 5 % a stack, 6 % three and 7 %
    one thing two or three times. `subject` is among those shown, alone if nothing else is said.
    """
    if count is None:
        count = 2 if stacked else 1
        if subject is None and not stacked and repeat == 1:
            draw = rng.random()
            count, stacked, repeat = next(shown for share, shown in _SHARES if draw < share)
    if not 0 <= count <= 3 or (subject and not count) or (stacked and count != 2):
        raise ValueError(f"A scene shows up to three subjects, a stack two; not {count}.")
    if repeat != 1 and (repeat not in (2, 3) or count != 1 or (subject and subject not in COUNTABLE)):
        raise ValueError("Only one subject, and only a thing, can be shown two or three times.")
    options = SUBJECTS if repeat == 1 else COUNTABLE
    while True:
        draws = rng.random(10).tolist()  # one call: many small ones would take most of the time
        background, motion = _pick(BACKGROUNDS, draws[0]), _pick(MOTIONS, draws[1])
        style = "plain" if draws[2] < plain_share else _pick(STYLES[1:], draws[3])
        subjects = _subjects(subject, count, draws[4:7], options)
        kept_out = any(is_held_out(s, background, motion, style) for s in subjects)
        if kept_out == held_out or not subjects:
            break
    if repeat > 1:
        return Scene((subjects[0],) * repeat, background, motion, style)
    carried = dict.fromkeys(ATTRIBUTE_OF[s] for s in subjects if s in ATTRIBUTE_OF)
    attributes = tuple(a for a, draw in zip(carried, draws[7:], strict=False) if draw < 0.5)
    return Scene(tuple(subjects), background, motion, style, attributes, stacked)
