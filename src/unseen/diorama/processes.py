"""Work for several processor cores: drawing and writing captions."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

import cv2
import torch

T = TypeVar("T")


def _one_thread() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def in_processes(function: Callable[..., T], jobs: Sequence[Sequence[Any]], workers: int) -> Iterator[T]:
    """`function(*job)` of each job, in order; by one worker in this process.

    Workers are forked from a server that has computed nothing: forked from a process in which OpenCV or torch has
    started threads, they may wait for ever for a lock that such a thread held.
    """
    if workers <= 1:
        yield from (function(*job) for job in jobs)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([function.__module__])
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        yield from pool.map(function, *zip(*jobs, strict=True))
