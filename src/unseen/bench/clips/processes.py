"""The engine `processes`: workers on this machine, each a Python process of its own with its own pipeline."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from unseen.bench.clips.workers import Artist, Died, Order, Pool, Recipe, Worker


class _Process(Worker):
    def __init__(self, recipe: Recipe):
        context = get_context("spawn")  # a forked child would share torch's threads in a broken state
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


def _work(connection: Connection, recipe: Recipe) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    artist = Artist(recipe)
    while True:
        try:
            order = connection.recv()
        except EOFError:
            return  # the parent is gone
        connection.send(artist.answer(order))
