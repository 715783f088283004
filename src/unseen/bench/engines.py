"""Who draws the clips: this process, several local ones, or a Ray cluster. The jobs are the same, and the frames too.

A job is a batch. Its composition does not depend on the engine, because the rounding of a clip depends on its batch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from unseen.bench.workers import Recipe

if TYPE_CHECKING:
    from unseen.bench.run import Method

ENGINES = ("inline", "processes", "ray")
Generate = Callable[..., np.ndarray]
"""`(pipe, prompts, seeds, *, batch_size) -> uint8 [n, frames, H, W, 3]`, as `unseen.diorama.generate`."""
Drawing = Generator[tuple[int, np.ndarray], None, None]
"""Number of a job and its frames, uint8 `[n, frames, H, W, 3]`, as soon as they are there, in any order."""


@dataclass(frozen=True)
class Job:
    """A batch of clips to be drawn together by one method."""

    method: Method
    texts: tuple[str, ...]
    seeds: tuple[int, ...]
    """One a text."""


class Engine(Protocol):
    """What draws jobs."""

    def draw(self, jobs: Sequence[Job]) -> Drawing:
        """Draw them; nothing goes on after the generator is closed."""

    def close(self) -> None:
        """End all workers."""


class Inline:
    """Draws in this process, one job after the other."""

    def __init__(self, pipe: Any, generate: Generate):
        self.pipe = pipe
        self.generate = generate

    def draw(self, jobs: Sequence[Job]) -> Drawing:
        """See `Engine`."""
        for _, places in groupby(range(len(jobs)), key=lambda place: jobs[place].method.fingerprint):
            own = list(places)
            with jobs[own[0]].method.applied_to(self.pipe):
                for place in own:
                    texts, seeds = list(jobs[place].texts), list(jobs[place].seeds)
                    yield place, self.generate(self.pipe, texts, seeds, batch_size=len(texts))

    def close(self) -> None:
        """Nothing to end."""


def open_engine(name: str, pipe: Any, recipe: Recipe, workers: int) -> Engine:
    """The engine called `name`; its workers are started when there is something to draw.

    Raises:
        EngineError: what the engine needs is not installed.
        ValueError: there is no such engine.
    """
    if name == "inline":
        return Inline(pipe, recipe.generate)
    if name == "processes":
        from unseen.bench.processes import Processes

        return Processes(recipe, workers)
    if name == "ray":
        from unseen.bench.on_ray import OnRay

        return OnRay(recipe, workers, gpu=pipe.device.type == "cuda")
    raise ValueError(f"There is no engine {name!r}; choose among {', '.join(ENGINES)}.")
