"""Work in processes of its own, to be killed or starved there."""

from __future__ import annotations

import multiprocessing
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

import unseen
from unseen.bench.ways.tiny import make_encoder, make_eraser, make_pipe, make_tokenizer
from unseen.score.run import score_folder

PRELOADED = ["unseen.bench.faults.jobs"]
"""Modules that a job finds imported."""
WAIT = 60.0
"""Seconds after which a process that should have begun or ended counts as stuck."""


@cache
def eraser(seed: int = 0) -> unseen.ClearEraser:
    """A small eraser of a small encoder; another one for another seed."""
    torch.set_num_threads(1)
    return make_eraser(make_tokenizer(), make_encoder("umt5", seed))


def save_for_ever(ready: Any, folder: Path) -> None:
    """Save two erasers in turn, over each other."""
    both = [eraser(0), eraser(1)]
    both[0].save_pretrained(folder)
    ready.send(True)
    while True:
        for one in both[::-1]:
            one.save_pretrained(folder)


def save_once(ready: Any, folder: Path, seed: int) -> None:
    """Save one eraser some times; exit with 3 where the folder is gone and that is said."""
    one = eraser(seed)
    ready.send(True)
    try:
        for _ in range(5):
            one.save_pretrained(folder)
    except OSError as error:
        sys.exit(3 if str(error) else 4)


def save_with_little_room(ready: Any, folder: Path, limit: int) -> None:
    """Save an eraser where no file may grow beyond `limit` bytes, as on a disk that is full; exit with 3 if told."""
    one = eraser(1)
    starve(limit)
    ready.send(True)
    try:
        one.save_pretrained(folder)
    except OSError as error:
        sys.exit(3 if str(error) else 4)


_FIT = {
    "prompts.pairs": 60,
    "prompts.held_out": 12,
    "prompts.retain": 60,
    "prompts.max_length": 32,
    "sae.num_features": 256,
    "sae.steps": 240,
    "sae.l1_coefficient": 0.03,
    "search.rounds": 3,
    "search.warm_up": 1,
}


def fit(ready: Any, folder: Path) -> None:
    """Fit an eraser on a small encoder, and save it."""
    torch.set_num_threads(1)
    pipe, config = make_pipe(), unseen.ClearConfig().with_options(_FIT)
    ready.send(True)
    unseen.fit(pipe, unseen.Concept("zeppelin"), config=config, progress=False).save_pretrained(folder)


def score(ready: Any, folder: Path, out: Path, limit: int | None = None) -> None:
    """Score a folder of videos; exit with 3 where a file cannot grow and that is said."""
    if limit is not None:
        starve(limit)
    ready.send(True)
    try:
        score_folder(folder, metrics=("motion", "flicker"), out=out)
    except (OSError, unseen.UnseenError) as error:
        sys.exit(3 if str(error) else 4)


def starve(limit: int) -> None:
    """Let no file of this process grow beyond `limit` bytes from now on."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that writing fails as on a full disk, with an error
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def clips(folder: Path, count: int = 4, frames: int = 6) -> Path:
    """A folder of small MP4 files of moving noise, the same each time."""
    import av

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        start = np.random.default_rng(number).integers(0, 255, (48, 48, 3), np.uint8)
        with av.open(str(folder / f"{number}.mp4"), "w") as container:
            stream: Any = container.add_stream("mpeg4", rate=8)
            stream.width = stream.height = 48
            for shift in range(frames):
                frame = av.VideoFrame.from_ndarray(np.roll(start, shift, axis=1), "rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
    return folder


class Process:
    """A job in a process of its own, that has begun; left, it is killed if it still runs."""

    def __init__(self, job: Callable, *args: Any, has_children: bool = False, wait: float = WAIT):
        context = _context()
        waiting, ready = context.Pipe(duplex=False)
        self._wait = wait
        self._process = context.Process(target=job, args=(ready, *args), daemon=not has_children)
        self._process.start()
        ready.close()  # so that the end of a process which says nothing is noticed
        if not waiting.poll(wait):
            self.kill()
            raise TimeoutError(f"{job.__name__} did not begin within {wait:.0f} s")
        try:
            self.told = waiting.recv()
            """What the job said as it began; None if it ended before."""
        except EOFError:
            self.told = None

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid is not None
        return self._process.pid

    def kill(self) -> None:
        """End it at once, as the system does where memory is short."""
        self._process.kill()
        self._process.join()

    def end(self) -> int:
        """Wait for its end; its exit code."""
        self._process.join(self._wait)
        if self._process.exitcode is None:
            self.kill()
            raise TimeoutError(f"the process did not end within {self._wait:.0f} s")
        return self._process.exitcode

    def tell_to_end(self) -> None:
        """Ask it to end, as whoever stops a service does."""
        self._process.terminate()

    def give_room(self) -> None:
        """Take away what `starve` put on it."""
        resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.exitcode is not None


@cache
def _context() -> Any:
    """Processes that start in a moment: forked from one that has imported everything and run nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def moments(count: int, longest: float, seed: int = 0) -> Sequence[float]:
    """Seconds to wait before something is done to a process, spread over `longest`."""
    return np.random.default_rng(seed).uniform(0, longest, count).round(4).tolist()


def pause(seconds: float) -> None:
    """Wait."""
    time.sleep(seconds)
