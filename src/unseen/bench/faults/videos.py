"""Videos that are damaged, or were made to harm."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np

from unseen.bench.faults import jobs
from unseen.bench.faults.fault import Try, kind, require
from unseen.score.run import score_folder

_CUTS, _CHANGES = 30, 40


@cache
def _video() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return (jobs.clips(Path(folder), count=1) / "0.mp4").read_bytes()


def _require_reported(folder: Path, content: bytes, name: str = "bad.mp4") -> None:
    """Beside an honest video, a bad one is scored or reported in a sentence, and the honest one is scored."""
    (folder / "good.mp4").write_bytes(_video())
    (folder / name).write_bytes(content)
    rows = score_folder(folder, metrics=("motion",)).rows
    by_file = {row.file: row for row in rows}
    require(set(by_file) == {"good.mp4", name}, f"rows are of {sorted(by_file)}")
    require(by_file["good.mp4"].status == "scored", "the honest video was not scored")
    bad = by_file[name]
    value = bad.value
    require(bool(bad.sentence) or (bad.status == "scored" and value is not None), "neither scored nor reported")
    require(value is None or bool(np.isfinite(value)), f"the score is {value}")


@kind
def a_video_is_cut_off() -> Iterator[tuple[str, Try]]:
    """It is scored or reported in a sentence, and the others go on."""

    def attempt(folder: Path, share: float) -> None:
        _require_reported(folder, _video()[: int(share * len(_video()))])

    for share in np.linspace(0, 0.999, _CUTS):
        yield f"at {share:.1%}", partial(attempt, share=float(share))


@kind
def bytes_of_a_video_change() -> Iterator[tuple[str, Try]]:
    """It is scored or reported in a sentence, and the others go on."""

    def attempt(folder: Path, seed: int) -> None:
        content = np.frombuffer(_video(), np.uint8).copy()
        draw = np.random.default_rng(seed)
        content[draw.integers(0, len(content), 1 << (seed % 8))] = draw.integers(0, 256)
        _require_reported(folder, content.tobytes())

    for seed in range(_CHANGES):
        yield f"seed {seed}", partial(attempt, seed=seed)


@kind
def something_else_is_called_a_video() -> Iterator[tuple[str, Try]]:
    """It is reported in a sentence, and the others go on; a playlist does not make it open other files."""

    def attempt(folder: Path, content: bytes, name: str) -> None:
        _require_reported(folder, content, name)

    contents = {
        "nothing": b"",
        "text": b"Dear reader,",
        "a zip": b"PK\x03\x04" + b"\0" * 100,
        "a playlist": b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n",
        "a list of files": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        "noughts": b"\0" * 10_000,
        "a box larger than the file": b"\x7f\xff\xff\xffftypisom" + b"\0" * 100,
        "a box of no size": b"\0\0\0\0ftypisom" * 50,
        "a JPEG": b"\xff\xd8\xff\xe0" + b"\0" * 200,
        "a header of a GIF": b"GIF89a\xff\xff\xff\xff\xf7\0\0",
    }
    for said, content in contents.items():
        for suffix in ("mp4", "webm", "gif"):
            yield f"{said} as {suffix}", partial(attempt, content=content, name=f"bad.{suffix}")
