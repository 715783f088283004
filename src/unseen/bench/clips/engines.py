"""Who draws the clips: this process, several local ones, or a Ray cluster. The jobs are the same, and the frames too.

A job is a batch. Its composition does not depend on the engine, because the rounding of a clip depends on its batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Protocol

from unseen.bench.clips.job import Drawing, Generate, Job
from unseen.bench.clips.workers import Recipe

ENGINES = ("inline", "processes", "ray")


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
        for _, places in groupby(range(len(jobs)), key=lambda place: jobs[place].method.key):
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
        from unseen.bench.clips.processes import Processes

        return Processes(recipe, workers)
    if name == "ray":
        from unseen.bench.clips.on_ray import OnRay

        return OnRay(recipe, workers, gpu=pipe.device.type == "cuda")
    raise ValueError(f"There is no engine {name!r}; choose among {', '.join(ENGINES)}.")
