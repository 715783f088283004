"""Erasers on disk that somebody crafted or that were damaged: none may crash the loader or erase nothing in silence.

`python -m unseen.bench.ways.crafted --count 2000 --mutated 20000 --seed 0` writes them one by one, loads each, and
tries on hidden states with a planted concept whether what was loaded still removes it. No model is needed.
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from unseen.bench.ways.crafted.flaws import FLAWS
from unseen.bench.ways.crafted.planted import Parts, sound_parts
from unseen.clear.edit import combined_edit
from unseen.clear.eraser import ClearEraser
from unseen.errors import UnseenError

OUTCOMES = ("refused", "equal", "warned", "wrongly refused", "crash", "silent")
"""`refused`: an `UnseenError`, at load or at use. `equal`: it loads and removes the planted concept as it says.
`warned`: it loads and says that it cannot be tried. `wrongly refused`: a sound one was. `crash`: any other exception.
`silent`: it loads, and the concept stays, or the edit is another."""
_GOOD = ("refused", "equal", "warned")
_SHARE_SOUND = 0.1


class Case(NamedTuple):
    """An eraser on disk, before it is there."""

    description: str
    parts: Parts
    """What it was made from; `rows` are the planted directions."""
    write: Callable[[Path], None]
    """Writes it into an empty folder."""
    sound: bool
    """Whether it has to load."""
    key: str | None = None
    """The only key that it may load with, if any may."""


class Outcome(NamedTuple):
    """What became of one case."""

    description: str
    outcome: str
    seconds: float
    message: str


def crafted_erasers(count: int, seed: int) -> Iterator[Case]:
    """Erasers whose checksums are right and whose contents are wrong; one in ten is sound."""
    rng = random.Random(seed)
    for place in range(count):
        parts = sound_parts(rng)
        if rng.random() < _SHARE_SOUND:
            yield Case("sound", parts, parts.write, sound=True)
        else:
            kind = sorted(FLAWS)[place % len(FLAWS)]
            description = FLAWS[kind](parts, rng)
            yield Case(f"{kind}: {description}", parts, parts.write, sound=False)


def mutated_files(count: int, seed: int) -> Iterator[Case]:
    """A sound eraser's two files with bytes changed, lost, moved, doubled or exchanged."""
    rng = random.Random(seed)
    parts = sound_parts(rng)
    sound = parts.files()
    with tempfile.TemporaryDirectory() as folder:
        parts.write(Path(folder))
        key = ClearEraser.from_pretrained(folder).key
    for _ in range(count):
        files, done = dict(sound), []
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            name, kind = rng.choice(sorted(files)), rng.choice(sorted(_MUTATIONS))
            files[name] = _MUTATIONS[kind](files[name], rng)
            done.append(f"{kind} in {name}")
        if rng.random() < 0.01:
            files = dict(zip(files, reversed(files.values()), strict=True))
            done.append("files exchanged")
        yield Case(", ".join(done), parts, partial(write_files, files=files), sound=files == sound, key=key)


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write files by name."""
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 4, 64))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _spans(data: bytes, rng: random.Random) -> tuple[int, int]:
    first = rng.randrange(len(data) + 1)
    return first, min(len(data), first + rng.choice((1, 4, 64, 1024)))


def _insert(data: bytes, rng: random.Random) -> bytes:
    place, _ = _spans(data, rng)
    return data[:place] + rng.randbytes(rng.choice((1, 8, 512))) + data[place:]


def _remove(data: bytes, rng: random.Random) -> bytes:
    first, last = _spans(data, rng)
    return data[:first] + data[last:]


def _double(data: bytes, rng: random.Random) -> bytes:
    first, last = _spans(data, rng)
    return data[:last] + data[first:]


def _swap(data: bytes, rng: random.Random) -> bytes:
    a, b, c = sorted(rng.randrange(len(data) + 1) for _ in range(3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


def _zero(data: bytes, rng: random.Random) -> bytes:
    first, last = _spans(data, rng)
    return data[:first] + bytes(last - first) + data[last:]


_MUTATIONS = {
    "bits flipped": _flip,
    "bytes inserted": _insert,
    "bytes removed": _remove,
    "bytes doubled": _double,
    "parts swapped": _swap,
    "bytes zeroed": _zero,
    "cut short": lambda data, rng: data[: rng.randrange(len(data) + 1)],
    "bytes appended": lambda data, rng: data + rng.randbytes(rng.choice((1, 16, 4096))),
}


def erases(eraser: ClearEraser, parts: Parts) -> bool:
    """Whether the edit takes the planted concept away, to the share that strength and mask declare, and leaves a prompt
    without it alone, bit for bit."""
    rows, bias, mean, scale = parts.rows, -0.2, parts.planted["b_dec"], parts.planted["scale"]
    noise = torch.randn(2, 5, rows.shape[1], generator=torch.Generator().manual_seed(0))
    hidden = mean + scale * (noise - noise @ rows.T @ rows)
    hidden[0, 2] += scale * torch.tensor([3.0, 4.0, 5.0]) @ rows
    edited = combined_edit([eraser], [eraser.strength])(hidden, None)
    if edited is None:
        return eraser.strength == 0
    before, after = (((h[0, 2] - mean) / scale @ rows.T + bias).clamp_min(0).norm() for h in (hidden, edited))
    kept = 1 - min(eraser.strength, 1.0) * float(eraser.mask.min())
    return bool(after <= (kept + 0.01) * before) and torch.equal(edited[1], hidden[1])


def outcome_of(case: Case, folder: Path) -> Outcome:
    """Write a case into an empty folder, load it and use it."""
    case.write(folder)
    start, message = time.perf_counter(), ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            eraser = ClearEraser.from_pretrained(folder)
        right = erases(eraser, case.parts) and case.key in (None, eraser.key)
        outcome = "equal" if right else "silent"
    except UserWarning as error:
        outcome, message = "warned", str(error)
    except UnseenError as error:
        outcome, message = "wrongly refused" if case.sound else "refused", str(error)
    except Exception as error:  # which is what is looked for here
        outcome, message = "crash", f"{type(error).__name__}: {error}"
    return Outcome(case.description, outcome, time.perf_counter() - start, message)


def outcomes(cases: Iterable[Case]) -> Iterator[Outcome]:
    """The outcome of each case, in a folder of its own that is removed afterwards."""
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            yield outcome_of(case, Path(folder))


def table(found: dict[str, list[Outcome]], megabytes: float) -> str:
    """Numbers by outcome, the slowest case, and memory, in Markdown; below it every crash and silent case."""
    lines = [f"| | cases | {' | '.join(OUTCOMES)} | slowest, ms |", "| --- |" + " ---: |" * (len(OUTCOMES) + 2)]
    bad = []
    for name, results in found.items():
        numbers, slowest = Counter(result.outcome for result in results), max(results, key=lambda r: r.seconds)
        cells = " | ".join(str(numbers[outcome]) for outcome in OUTCOMES)
        lines.append(
            f"| {name} | {len(results)} | {cells} | {1000 * slowest.seconds:.0f} ({slowest.description:.60}) |"
        )
        bad += [result for result in results if result.outcome not in _GOOD]
    lines.append(f"\nMemory beyond that at the start: {megabytes:.0f} MB at most.")
    return "\n".join([*lines, *(f"- {b.outcome}: {b.description} {b.message}"[:300] for b in bad[:50])])


def main() -> int:
    """Run from the command line; 1 if a case crashed, was silent, or a sound one was refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="crafted erasers")
    parser.add_argument("--mutated", type=int, default=20000, help="mutated pairs of files")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {
        "crafted, right checksums": list(outcomes(crafted_erasers(options.count, options.seed))),
        "mutated files": list(outcomes(mutated_files(options.mutated, options.seed))),
    }
    found = {name: results for name, results in found.items() if results}
    print(table(found, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start) / 1024))
    return int(any(r.outcome not in _GOOD for results in found.values() for r in results))


if __name__ == "__main__":
    raise SystemExit(main())
