"""The engine `processes`: workers on this machine, each a Python process of its own with its own pipeline."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from multiprocessing import get_all_start_methods, get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from unseen.bench.clips.workers import Artist, Died, Order, Pool, Recipe, Worker


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
