"""A folder of videos that is being scored."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from unittest import mock

import unseen
from unseen.bench.faults import jobs
from unseen.bench.faults.fault import Try, kind, require
from unseen.score.clips import Clip, digest_of
from unseen.score.run import STORE, TABLE, score_folder


@cache
def _undisturbed() -> tuple[Path, str]:
    """Videos, and the table that scoring them gives."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="unseen-faults-"))
    videos = jobs.clips(folder / "videos")
    score_folder(videos, metrics=("motion", "flicker"), out=folder / "out")
    return videos, (folder / "out" / TABLE).read_text()


def _finish(out: Path) -> None:
    """Scoring goes on after a fault, and ends with the table of an undisturbed run."""
    videos, table = _undisturbed()
    score_folder(videos, metrics=("motion", "flicker"), out=out)
    require((out / TABLE).read_text() == table, "the table differs from that of an undisturbed run")


@kind
def killed_while_scoring() -> Iterator[tuple[str, Try]]:
    """The same command goes on, and its table equals that of an undisturbed run."""

    def attempt(folder: Path, after: float) -> None:
        process = jobs.Process(jobs.score, _undisturbed()[0], folder / "out")
        jobs.pause(after)
        process.kill()
        _finish(folder / "out")

    for after in jobs.moments(25, 0.4, seed=3):
        yield f"after {after} s", partial(attempt, after=after)


@kind
def disk_full_while_scoring() -> Iterator[tuple[str, Try]]:
    """It is said in an error, and with room again the same command goes on to the same table."""

    def attempt(folder: Path, limit: int) -> None:
        code = jobs.Process(jobs.score, _undisturbed()[0], folder / "out", limit).end()
        require(code == 3, f"it ended with {code} and not with an error that says so")
        _finish(folder / "out")

    for limit in (0, 100, 1024, 4096, 8192, 10_000):
        yield f"after {limit} bytes", partial(attempt, limit=limit)


@kind
def two_processes_score_into_one_folder() -> Iterator[tuple[str, Try]]:
    """Each gets the table of an undisturbed run, or says that it cannot; nothing is lost."""

    def attempt(folder: Path) -> None:
        both = [jobs.Process(jobs.score, _undisturbed()[0], folder / "out") for _ in range(2)]
        codes = [process.end() for process in both]
        require(set(codes) <= {0, 3} and 0 in codes, f"they ended with {codes}")
        _finish(folder / "out")

    for number in range(6):
        yield f"time {number + 1}", attempt


@kind
def kept_scores_are_damaged() -> Iterator[tuple[str, Try]]:
    """Refused in a sentence, or scored anew; a table is never made of what is damaged."""

    def attempt(folder: Path, share: float) -> None:
        _finish(folder / "out")
        store = folder / "out" / STORE
        content = store.read_bytes()
        store.write_bytes(content[: int(share * len(content))] + b"\xff" * 100)
        try:
            _finish(folder / "out")
        except unseen.UnseenError:
            store.unlink()
            _finish(folder / "out")

    for share in (0, 0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 1.0):
        yield f"from {share:.1%} on", partial(attempt, share=share)


@kind
def videos_vanish_while_they_are_scored() -> Iterator[tuple[str, Try]]:
    """Each file is scored or reported, and none is passed over."""

    def attempt(folder: Path, gone: int) -> None:
        videos = Path(shutil.copytree(_undisturbed()[0], folder / "videos"))
        names = sorted(os.listdir(videos))

        def vanish(clip: Clip) -> str:
            for name in names[-gone:]:
                (videos / name).unlink(missing_ok=True)
            return digest_of(clip)

        with mock.patch("unseen.score.run.digest_of", vanish):
            scores = score_folder(videos, metrics=("motion",), out=folder / "out")
        require({row.file for row in scores.rows} == set(names), "a file is in no row")
        require(all(row.sentence for row in scores.rows if row.file in names[-gone:]), "no reason is given")

    for gone in (1, 2, 3, 4):
        yield f"{gone} of 4", partial(attempt, gone=gone)


@kind
def the_clock_jumps() -> Iterator[tuple[str, Try]]:
    """Scoring and saving do not depend on what time it is."""

    def attempt(folder: Path, seconds: float) -> None:
        real = time.time
        calls = iter(range(10**9))
        with mock.patch("time.time", lambda: real() + seconds * (next(calls) % 2)):
            _finish(folder / "out")
            jobs.eraser(0).save_pretrained(folder / "e")
            require(unseen.ClearEraser.from_pretrained(folder / "e").key == jobs.eraser(0).key, "not saved")

    for seconds in (-1e9, -86_400.0, -1.0, 1.0, 86_400.0, 1e9):
        yield f"by {seconds:.0f} s and back", partial(attempt, seconds=seconds)
