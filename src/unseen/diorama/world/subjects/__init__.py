"""Every subject's drawing, by its key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unseen.diorama.world.canvas import Canvas
from unseen.diorama.world.scenes import ATTRIBUTE_OF, STRANGER
from unseen.diorama.world.subjects import (
    animals,
    buildings,
    carriers,
    fish,
    household,
    more_animals,
    more_carriers,
    more_things,
    namesakes,
    namesakes_outdoors,
    people,
    things,
)
from unseen.diorama.world.subjects.calm import CalmGenerator

DRAWINGS: dict[str, Callable[..., None]] = {
    **household.DRAWINGS,
    **buildings.DRAWINGS,
    **animals.DRAWINGS,
    **fish.DRAWINGS,
    **things.DRAWINGS,
    **namesakes.DRAWINGS,
    **namesakes_outdoors.DRAWINGS,
    **more_things.DRAWINGS,
    **more_animals.DRAWINGS,
    **people.DRAWINGS,
    **carriers.DRAWINGS,
    **more_carriers.DRAWINGS,
}


def draw(subject: str, canvas: Canvas, seed: int, phase: float, attributes: tuple[str, ...] = ()) -> None:
    """Paint `subject` on `canvas`. The same seed gives the same individual; `phase` in [0, 1] only animates it."""
    rng: Any = np.random.default_rng(seed)
    if subject != STRANGER:  # who is anybody, and has to differ from clip to clip
        rng = CalmGenerator(rng)
    if subject in ATTRIBUTE_OF:
        DRAWINGS[subject](canvas, rng, phase, ATTRIBUTE_OF[subject] in attributes)
    else:
        DRAWINGS[subject](canvas, rng, phase)
