"""Erasers that are being saved, and files of erasers that were changed since."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

import unseen
from unseen.bench.faults import jobs
from unseen.bench.faults.fault import Try, kind, require
from unseen.errors import DamagedFileError

_FLIPS, _CUTS = 40, 30


def _require_one_of_both(folder: Path) -> None:
    """The folder holds one whole eraser of the two, and what is left of unfinished files does no harm."""
    key = unseen.ClearEraser.from_pretrained(folder).key
    require(key in {jobs.eraser(0).key, jobs.eraser(1).key}, "the eraser that was loaded is neither old nor new")


@kind
def killed_while_saving_an_eraser() -> Iterator[tuple[str, Try]]:
    """The folder holds the old eraser or the new one, whole, and the next save works."""

    def attempt(folder: Path, after: float) -> None:
        process = jobs.Process(jobs.save_for_ever, folder)
        jobs.pause(after)
        require(not process.ended, "it ended before it was killed")
        process.kill()
        _require_one_of_both(folder)
        jobs.eraser(0).save_pretrained(folder)
        require(unseen.ClearEraser.from_pretrained(folder).key == jobs.eraser(0).key, "the next save did not take")

    for after in jobs.moments(40, 0.2):
        yield f"after {after} s", partial(attempt, after=after)


@kind
def killed_while_fitting() -> Iterator[tuple[str, Try]]:
    """The eraser that was there is still there, or a whole new one; nothing else is left."""

    def attempt(folder: Path, after: float) -> None:
        jobs.eraser(0).save_pretrained(folder)
        before = sorted(os.listdir(folder))
        process = jobs.Process(jobs.fit, folder)
        jobs.pause(after)
        fitting = not process.ended
        process.kill()
        require(fitting or process.end() == 0, "the fit failed before it was killed")
        key = unseen.ClearEraser.from_pretrained(folder).key
        require(key == jobs.eraser(0).key or not fitting, "the old eraser is gone")
        require(not fitting or sorted(os.listdir(folder)) == before, "something was left")

    for after in jobs.moments(10, 3.0, seed=6):
        yield f"after {after} s", partial(attempt, after=after)


@kind
def disk_full_while_saving_an_eraser() -> Iterator[tuple[str, Try]]:
    """It is said, the eraser that was there stays, and nothing half-written is left."""

    def attempt(folder: Path, limit: int) -> None:
        jobs.eraser(0).save_pretrained(folder)
        before = sorted(os.listdir(folder))
        code = jobs.Process(jobs.save_with_little_room, folder, limit).end()
        require(code == 3, f"it ended with {code} and not with an error that says so")
        require(unseen.ClearEraser.from_pretrained(folder).key == jobs.eraser(0).key, "the old eraser is gone")
        require(sorted(os.listdir(folder)) == before, f"left over: {sorted(set(os.listdir(folder)) - set(before))}")

    for limit in (0, 1, 7, 8, 9, 16, 64, 100, 256, 400, 512, 640, 700, 800, 900, 1000):
        yield f"after {limit} bytes", partial(attempt, limit=limit)


@kind
def two_processes_save_into_one_folder() -> Iterator[tuple[str, Try]]:
    """The folder holds one of the two erasers, whole."""

    def attempt(folder: Path) -> None:
        both = [jobs.Process(jobs.save_once, folder, seed) for seed in (0, 1)]
        require(all(process.end() == 0 for process in both), "one of them failed")
        _require_one_of_both(folder)

    for number in range(10):
        yield f"time {number + 1}", attempt


@kind
def the_folder_vanishes_while_saving() -> Iterator[tuple[str, Try]]:
    """Saving ends with an error of the system or makes the folder anew; a later save works."""

    def attempt(folder: Path, after: float) -> None:
        process = jobs.Process(jobs.save_once, folder / "e", 0)
        jobs.pause(after)
        shutil.rmtree(folder / "e", ignore_errors=True)
        require(process.end() in (0, 3), "it ended with neither success nor an error of the system")
        jobs.eraser(1).save_pretrained(folder / "e")
        require(unseen.ClearEraser.from_pretrained(folder / "e").key == jobs.eraser(1).key, "the next save failed")

    for after in jobs.moments(10, 0.05, seed=1):
        yield f"after {after} s", partial(attempt, after=after)


def _file(folder: Path) -> Path:
    (folder / "e").write_text("a file")
    return folder / "e"


def _below_a_file(folder: Path) -> Path:
    return _file(folder) / "e"


def _link_to_itself(folder: Path) -> Path:
    (folder / "e").symlink_to(folder / "e")
    return folder / "e"


def _dangling(folder: Path) -> Path:
    (folder / "e").symlink_to(folder / "nowhere" / "at" / "all")
    return folder / "e"


def _long(folder: Path) -> Path:
    return folder / ("e" * 300)


def _of_the_system(folder: Path) -> Path:
    return Path("/proc/unseen")


@kind
def no_folder_to_save_into() -> Iterator[tuple[str, Try]]:
    """An error of the system that names the path; nothing else is touched."""

    def attempt(folder: Path, make: Callable[[Path], Path]) -> None:
        path = make(folder)
        before = sorted(os.listdir(folder))
        try:
            jobs.eraser(0).save_pretrained(path)
        except OSError as error:
            require(path.name[:20] in str(error), f"it does not name the path: {error}")
        else:
            require(unseen.ClearEraser.from_pretrained(path).key == jobs.eraser(0).key, "saved, but not there")
        require(sorted(os.listdir(folder)) == before, "something was left in the folder beside")

    for make in (_file, _below_a_file, _link_to_itself, _dangling, _long, _of_the_system):
        yield make.__name__.strip("_").replace("_", " "), partial(attempt, make=make)


def _saved(folder: Path) -> list[Path]:
    jobs.eraser(0).save_pretrained(folder)
    return sorted(path for path in folder.iterdir() if path.is_file())


def _require_refused_or_same(folder: Path) -> None:
    try:
        loaded = unseen.ClearEraser.from_pretrained(folder)
    except DamagedFileError as error:
        require(bool(str(error)), "refused without a word")
    except unseen.UnseenError as error:
        require("\n" not in str(error), f"refused in more than a sentence: {error}")
    else:
        require(loaded.key == jobs.eraser(0).key, "a changed eraser was loaded")


@kind
def a_bit_of_an_eraser_flips() -> Iterator[tuple[str, Try]]:
    """It is refused as damaged, or is the same eraser still."""

    def attempt(folder: Path, where: float, bit: int) -> None:
        files = _saved(folder)
        sizes = np.cumsum([path.stat().st_size for path in files])
        place = int(where * int(sizes[-1]))
        file = files[int(np.searchsorted(sizes, place, side="right"))]
        content = bytearray(file.read_bytes())
        content[place % len(content)] ^= 1 << bit
        file.write_bytes(content)
        _require_refused_or_same(folder)

    for number, (where, bit) in enumerate(np.random.default_rng(2).uniform(0, 1, (_FLIPS, 2))):
        yield f"bit {number + 1}", partial(attempt, where=float(where), bit=int(bit * 8))


@kind
def a_file_of_an_eraser_is_cut_off() -> Iterator[tuple[str, Try]]:
    """It is refused as damaged, unless no more than the last line end is missing."""

    def attempt(folder: Path, file: int, share: float) -> None:
        path = _saved(folder)[file]
        whole = path.read_bytes()
        part = whole[: int(share * len(whole))]
        path.write_bytes(part)
        try:
            unseen.ClearEraser.from_pretrained(folder)
        except DamagedFileError:
            return
        require(part == whole.rstrip(b"\n"), "half a file was loaded")

    shares = np.linspace(0, 0.999, _CUTS // 2)
    for share in shares:
        for file in (0, 1):
            yield f"file {file + 1} at {share:.1%}", partial(attempt, file=file, share=float(share))


@kind
def facts_of_an_eraser_are_other_json() -> Iterator[tuple[str, Try]]:
    """It is refused as damaged, in bounded time."""

    def attempt(folder: Path, text: str) -> None:
        [facts] = [path for path in _saved(folder) if path.suffix == ".json"]
        facts.write_text(text)
        try:
            unseen.ClearEraser.from_pretrained(folder)
        except unseen.UnseenError:
            return
        require(False, "other facts were loaded")

    texts = {
        "an empty file": "",
        "a list": "[]",
        "a number": "1e999",
        "not a number": "NaN",
        "brackets without end": "[" * 100_000,
        "an object without keys": "{}",
        "a key twice": '{"version": 1, "version": 1}',
        "text": "Dear reader,",
        "a nested object": json.dumps({"concept": {"name": {"name": "x"}}}),
        "half of a pair of surrogates": '{"concept": "\\ud800"}',
    }
    for name, text in texts.items():
        yield name, partial(attempt, text=text)
