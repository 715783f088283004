"""Workers that draw batches elsewhere: what each of them is given, and what happens when one dies.

A worker loads the pipeline itself and is sent a method when it is to draw with another one than before. So a method has
to be one that `pickle` can send: erasers and artefacts are, functions written inside a function are not.
"""

from __future__ import annotations

import pickle
import traceback
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from unseen.bench.clips.job import Drawing, Generate, Job, Method, weights_fingerprint
from unseen.errors import EngineError, UnseenError

DEATHS = 3
"""So often a batch may take its worker with it before the run is given up."""


@dataclass(frozen=True)
class Recipe:
    """How a worker gets what this process has. It is sent to workers, which import the functions by their names."""

    load: Callable[[], Any]
    """Gives the pipeline."""
    generate: Generate
    """Draws a batch."""
    weights: str
    """`weights_fingerprint` of the pipeline; a worker that loaded another one refuses to draw."""
    threads: int = field(default_factory=torch.get_num_threads)
    """Of torch in every worker. As many as here: other numbers of threads round otherwise."""


@dataclass(frozen=True)
class Order:
    """What a worker is sent."""

    applied_to: bytes | None
    """Pickle of `Method.applied_to`; None where the worker has drawn with this method last."""
    texts: tuple[str, ...]
    seeds: tuple[int, ...]


class Artist:
    """The worker's side: a pipeline, with the last method left on it until another one comes."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        self.pipe: Any = None
        self.applied = ExitStack()

    def answer(self, order: Order) -> np.ndarray | Exception:
        """Frames, uint8 `[n, frames, H, W, 3]`, or what went wrong."""
        try:
            return self._draw(order)
        except UnseenError as error:
            return error
        except Exception:  # not every error survives being sent, but its text does
            return RuntimeError(f"A worker failed:\n{traceback.format_exc()}")

    def _draw(self, order: Order) -> np.ndarray:
        if self.pipe is None:
            torch.set_num_threads(self.recipe.threads)
            self.pipe = self.recipe.load()
            if weights_fingerprint(self.pipe) != self.recipe.weights:
                raise EngineError("A worker loaded a pipeline with other weights than this process has.")
        if order.applied_to is not None:
            self.applied.close()
            self.applied.enter_context(pickle.loads(order.applied_to)(self.pipe))
        return self.recipe.generate(self.pipe, list(order.texts), list(order.seeds), batch_size=len(order.texts))


@dataclass(frozen=True)
class Died:
    """In place of an answer: the worker is gone."""

    reason: str


class Worker(ABC):
    """This process's side of one worker."""

    key = ""
    """Of the method that it was sent last."""

    @abstractmethod
    def send(self, order: Order) -> None:
        """Let it draw. Does not wait for the frames, and does not fail where the worker has died."""

    @abstractmethod
    def stop(self) -> None:
        """End it, whatever it is doing."""


W = TypeVar("W", bound=Worker)


class Pool(ABC, Generic[W]):
    """An engine with workers. A worker that dies is replaced, and its batch goes back into the queue."""

    def __init__(self, recipe: Recipe, workers: int):
        self.recipe = recipe
        self.workers = workers
        self.idle: list[W] = []

    @abstractmethod
    def start(self) -> W:
        """A new worker."""

    @abstractmethod
    def wait(self, busy: Sequence[W]) -> Sequence[tuple[W, Any]]:
        """Wait until a worker has answered or died; its answer (see `Artist.answer`) or `Died`."""

    def draw(self, jobs: Sequence[Job]) -> Drawing:
        """See `Engine`.

        Raises:
            EngineError: a method cannot be sent, or `DEATHS` workers died on one batch.
            Exception: what drawing a batch raised.
        """
        methods = {job.method.key: job.method for job in jobs}
        sendable = {key: _pickled(method) for key, method in methods.items()}
        while len(self.idle) < min(self.workers, len(jobs)):
            self.idle.append(self.start())  # all before the first is sent anything, so that they load side by side
        waiting, deaths = deque(range(len(jobs))), Counter[int]()
        busy: dict[W, int] = {}
        try:
            while waiting or busy:
                while waiting and len(busy) < self.workers:
                    worker = self.idle.pop() if self.idle else self.start()
                    busy[worker] = waiting.popleft()
                    _order(worker, jobs[busy[worker]], sendable)
                for worker, answer in self.wait(list(busy)):
                    place = busy.pop(worker)
                    if isinstance(answer, Died):
                        worker.stop()
                        deaths[place] += 1
                        if deaths[place] == DEATHS:
                            raise EngineError(
                                f"{DEATHS} workers died on the same batch (the last: {answer.reason}); often the memory"
                                " is too small for so many workers. Finished batches are kept; start again with fewer."
                            )
                        waiting.appendleft(place)
                    elif isinstance(answer, Exception):
                        worker.stop()  # its pipeline may be in any state
                        raise answer
                    else:
                        self.idle.append(worker)
                        yield place, answer
        finally:
            for worker in busy:  # only after an error or an interruption
                worker.stop()

    def close(self) -> None:
        """End all workers."""
        while self.idle:
            self.idle.pop().stop()


def _order(worker: Worker, job: Job, sendable: dict[str, bytes]) -> None:
    key = job.method.key
    new = worker.key != key
    worker.key = key
    worker.send(Order(sendable[key] if new else None, job.texts, job.seeds))


def _pickled(method: Method) -> bytes:
    try:
        return pickle.dumps(method.applied_to)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise EngineError(
            f"The method {method.name!r} cannot be sent to other processes ({error}); draw it with the engine inline."
        ) from error
