"""Who draws the clips: this process, several local ones, or a Ray cluster. The jobs are the same, and the frames too.

A job is a batch. Its composition does not depend on the engine, because the rounding of a clip depends on its batch.
Ray needs the extra `ray`; its cluster is the one that this process is connected to, or that `RAY_ADDRESS` names, or a
new one on this machine.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from unseen.bench.clips.job import Drawing, Generate, Job
from unseen.bench.clips.workers import Artist, Died, Order, Pool, Recipe, Worker
from unseen.errors import EngineError

ENGINES = ("inline", "processes", "ray")
PATIENCE = 20.0
"""Seconds without frames after which a line says which workers Ray has no place for."""


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
        return Processes(recipe, workers)
    if name == "ray":
        return OnRay(recipe, workers, gpu=pipe.device.type == "cuda")
    raise ValueError(f"There is no engine {name!r}; choose among {', '.join(ENGINES)}.")


class _Process(Worker):
    def __init__(self, recipe: Recipe):
        context = _context(recipe)
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, recipe), daemon=True)
        self.process.start()
        theirs.close()  # so that the connection ends when the worker does

    def send(self, order: Order) -> None:
        try:
            self.connection.send(order)
        except OSError:
            return  # it has died, and `receive` will say so

    def receive(self) -> Any:
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            return Died(f"exit code {self.process.exitcode}")

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()


class Processes(Pool[_Process]):
    """`workers` local processes."""

    def start(self) -> _Process:
        """See `Pool`."""
        return _Process(self.recipe)

    def wait(self, busy: Sequence[_Process]) -> Sequence[tuple[_Process, Any]]:
        """See `Pool`."""
        ready = wait([worker.connection for worker in busy])
        return [(worker, worker.receive()) for worker in busy if worker.connection in ready]


def _context(recipe: Recipe) -> Any:
    """Where the system can, workers are forked from a server that has imported what they need and run nothing: one that
    replaces another starts in a moment. Forked from this process, they would share torch's threads in a broken state.
    """
    if "forkserver" not in get_all_start_methods():
        return get_context("spawn")
    context = get_context("forkserver")
    functions = [getattr(function, "func", function) for function in (recipe.load, recipe.generate)]
    context.set_forkserver_preload([__name__, "diffusers", *(function.__module__ for function in functions)])
    return context


def _work(connection: Connection, recipe: Recipe) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    artist = Artist(recipe)
    while True:
        try:
            order = connection.recv()
        except EOFError:
            return  # the parent is gone
        connection.send(artist.answer(order))


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
