"""The engine `ray`: workers on a Ray cluster, for many GPUs or machines. It needs the extra `ray`.

The cluster is the one that this process is connected to, or that `RAY_ADDRESS` names, or a new one on this machine.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from unseen.bench.clips.workers import Artist, Died, Order, Pool, Recipe, Worker
from unseen.errors import EngineError

PATIENCE = 20.0
"""Seconds without frames after which a line says which workers Ray has no place for."""


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise EngineError(
            "The engine ray needs Ray, which this Python does not have: pip install 'unseen[ray]'."
        ) from error
    return ray


class _Actor(Worker):
    def __init__(self, recipe: Recipe, gpus: int):
        # SPREAD: over all machines. No restarts: the pool replaces what dies.
        options = {"num_gpus": gpus, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        self.actor = _ray().remote(Artist).options(**options).remote(recipe)
        self.placed = self.actor.__ray_ready__.remote()
        self.answer: Any = None

    def send(self, order: Order) -> None:
        self.answer = self.actor.answer.remote(order)

    def receive(self) -> Any:
        ray = _ray()
        try:
            return ray.get(self.answer)
        except ray.exceptions.RayActorError as error:
            return Died(" ".join(str(error).split()))

    def stop(self) -> None:
        _ray().kill(self.actor)


class OnRay(Pool[_Actor]):
    """`workers` actors; each has a GPU of its own where the pipeline is loaded to one."""

    def __init__(self, recipe: Recipe, workers: int, *, gpu: bool = False, patience: float = PATIENCE):
        super().__init__(recipe, workers)
        self.gpus = int(gpu)
        self.patience = patience
        self._said = ""
        _ray()

    def start(self) -> _Actor:
        """See `Pool`. Raises `EngineError` where the cluster has fewer GPUs than there are to be workers."""
        ray = _ray()
        if not ray.is_initialized():
            ray.init(include_dashboard=False, log_to_driver=False)
        there = ray.cluster_resources().get("GPU", 0)
        if self.gpus and there < self.workers:
            raise EngineError(
                f"{self.workers} workers need a GPU each, but the cluster has {there:g}; use fewer workers."
            )
        return _Actor(self.recipe, self.gpus)

    def wait(self, busy: Sequence[_Actor]) -> Sequence[tuple[_Actor, Any]]:
        """See `Pool`. While Ray has no place for workers, a line on stderr says so, once as long as nothing changes."""
        ray = _ray()
        actors = {worker.answer: worker for worker in busy}
        while not (ready := ray.wait(list(actors), num_returns=1, timeout=self.patience)[0]):
            _, unplaced = ray.wait([worker.placed for worker in busy], num_returns=len(busy), timeout=0)
            if unplaced:
                self._say(waiting_for(len(unplaced), self.gpus, ray.cluster_resources(), ray.available_resources()))
        return [(actors[answer], actors[answer].receive()) for answer in ready]

    def _say(self, text: str) -> None:
        if text != self._said:
            print(text, file=sys.stderr, flush=True)
            self._said = text


def waiting_for(workers: int, gpus: int, there: Mapping[str, float], free: Mapping[str, float]) -> str:
    """What `workers` that Ray has not placed lack, by what the cluster has and what of it is free."""
    kind, name = ("GPU", "a GPU") if gpus else ("CPU", "a processor")
    has, left = there.get(kind, 0), free.get(kind, 0)
    if left >= 1:
        return f"waiting for Ray, which starts {workers} worker{'s' * (workers != 1)}"
    return (
        f"waiting for Ray: {workers} worker{'s' * (workers != 1)} need{'s' * (workers == 1)} {name}"
        f"{' each' * (workers != 1)}; the cluster has {has:g}, {left:g} of them free (`ray status` says who has them)"
    )
