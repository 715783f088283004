"""The table: one row for each video, scorer and class, and one for each video that could not be read."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from unseen.files import write_whole


@dataclass(frozen=True)
class Row:
    """One row of `scores.csv`. What does not apply is None and an empty cell."""

    file: str
    """Below the folder that was scored; of a folder of frames the folder."""
    status: str
    """"scored"; "refused" by this scorer; or why the file could not be read: "damaged", "empty", "no video", ..."""
    sentence: str
    prompt: str | None = None
    seed: str | None = None
    scorer: str | None = None
    kind: str | None = None
    """"detector" or "metric"."""
    version: str | None = None
    class_name: str | None = None
    value: float | None = None
    """Of a detector the share of frames at the threshold, undefined ones left out; of a metric its number."""
    max_probability: float | None = None
    hits: int | None = None
    """Frames at the threshold."""
    undefined_frames: int | None = None
    threshold: float | None = None
    floor: float | None = None
    """Share of clean frames in which the detector finds the class all the same, by its card."""
    digest: str = ""
    """SHA-256 of the file's content, of a folder's frames with their names; empty where there is none."""
    format: str | None = None
    frames: int | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    variable_rate: bool | None = None


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows as UTF-8 CSV, whole or not at all; numbers with all their digits."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow({name: _cell(value) for name, value in asdict(row).items()})
    write_whole(path, text.getvalue().encode())


def _cell(value: object) -> object:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return int(value) if isinstance(value, bool) else value


def count_statuses(rows: Sequence[Row]) -> dict[str, int]:
    """How many files have each status; a file that one scorer refused counts as "refused"."""
    of_file: dict[str, str] = {}
    for row in rows:
        if of_file.get(row.file) != "refused":
            of_file[row.file] = row.status
    return {status: [*of_file.values()].count(status) for status in sorted({*of_file.values()})}
