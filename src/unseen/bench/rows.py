"""Everything that was measured, one row for each clip (or text, or fit) and measure, in one table of one SQLite file.

A run is there as a whole or not at all, and no run overwrites another. Tables, figures and pages are queries of rows.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, get_type_hints

from unseen.errors import StoreError

ROWS_VERSION = 1
FILE = "rows.sqlite"
NAN = float("nan")


@dataclass(frozen=True)
class Row:
    """One measure of one clip, of one text, or of one fit."""

    measure: str
    """What was measured: "shown", "asked", "background", "seconds of the fit", ..."""
    value: float = NAN
    """Of a detector the share of the clip's frames; else the number itself."""
    concept: str = ""
    """What is erased, by its name."""
    kind: str = ""
    method: str = "none"
    setting: str = ""
    layer: int | None = None
    strength: float | None = None
    split: str = ""
    """Wording of the prompt: "development" or "test"."""
    role: str = ""
    """What the prompt is in the suite for; empty where the row is about a fit."""
    tags: str = ""
    """More about a prompt, such as "form: question", each between bars."""
    place: int = 0
    """Number of the prompt in its role, so that clips with and without a method can be paired."""
    about: str = ""
    """What the prompt is about."""
    prompt: str = ""
    noise: int | None = None
    clip: str = ""
    """Name of the clip: a digest of what the denoiser was given."""
    detector: str = ""
    """What looked, with its version."""
    looked_for: str = ""
    frames: int = 0
    """That `value` is a share of; 0 where it is none."""
    floor: float | None = None
    """How often the detector finds this where it is not."""
    text: str = ""
    """What cannot be a number: why a fit failed, words that a search found."""


FIELDS = tuple(field.name for field in fields(Row))
RUN_FIELDS = {"run": "INTEGER", "suite": "TEXT", "model": "TEXT", "seed": "INTEGER"}
_SQL = {str: "TEXT NOT NULL", float: "REAL", int: "INTEGER NOT NULL", int | None: "INTEGER", float | None: "REAL"}


class Rows(Sequence[Row]):
    """Rows to be asked; none of it is changed."""

    def __init__(self, rows: Iterable[Row]):
        self._rows = tuple(rows)
        self._by: dict[str, list[Row]] | None = None

    def __getitem__(self, place: Any) -> Any:
        return self._rows[place]

    def __len__(self) -> int:
        return len(self._rows)

    def where(self, **asked: Any) -> Rows:
        """Rows whose fields have these values, or one of these; `tags` asks for one tag among a row's."""
        rows: Sequence[Row] = self._rows
        if isinstance(measure := asked.get("measure"), str):  # the one field that is always asked for
            if self._by is None:
                self._by = defaultdict(list)
                for row in self._rows:
                    self._by[row.measure].append(row)
            rows = self._by.get(measure, [])
            asked = {name: value for name, value in asked.items() if name != "measure"}
        tag = asked.pop("tags", None)
        tests = [
            (name, frozenset([value] if isinstance(value, str) or not isinstance(value, Collection) else value))
            for name, value in asked.items()
        ]
        return Rows(
            row
            for row in rows
            if all(getattr(row, name) in values for name, values in tests) and (tag is None or f"|{tag}|" in row.tags)
        )

    def distinct(self, name: str) -> list[Any]:
        """Values of a field, in the order in which they come; of tags "form" those that follow "form: "."""
        if not name.startswith("tags:"):
            return list(dict.fromkeys(getattr(row, name) for row in self._rows))
        label = f"{name.removeprefix('tags:')}: "
        tags = (tag for row in self._rows for tag in row.tags.split("|"))
        return list(dict.fromkeys(tag for tag in tags if tag.startswith(label)))

    def floor(self) -> float | None:
        """The detectors' floors, averaged over what was looked for; None where none is known."""
        known = {row.looked_for: row.floor for row in self._rows if row.floor is not None}
        return sum(known.values()) / len(known) if known else None


@dataclass(frozen=True)
class Run:
    """What a run's numbers depend on besides the rows themselves."""

    suite: str
    model: str
    seed: int
    weights: str
    facts: Mapping[str, Any]
    """Settings, versions, detectors."""
    seconds: float


class Results:
    """The runs in one folder."""

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / FILE if Path(folder).suffix != ".sqlite" else Path(folder)

    def add(self, run: Run, rows: Iterable[Row]) -> int:
        """Add a run with all its rows, or nothing at all; returns its number.

        Raises:
            StoreError: the file is of another version, or cannot be written.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as connection, connection:
            connection.execute("BEGIN IMMEDIATE")
            number = connection.execute(
                "INSERT INTO runs (suite, model, seed, weights, facts, seconds) VALUES (?, ?, ?, ?, ?, ?)",
                (run.suite, run.model, run.seed, run.weights, json.dumps(dict(run.facts), default=str), run.seconds),
            ).lastrowid
            assert number is not None
            marks = ", ".join("?" * (len(RUN_FIELDS) + len(FIELDS)))
            named = (number, run.suite, run.model, run.seed)
            connection.executemany(f"INSERT INTO rows VALUES ({marks})", (named + astuple(row) for row in rows))
        return number

    def runs(self) -> dict[int, Run]:
        """All runs by number, oldest first."""
        with self._open() as connection:
            found = connection.execute("SELECT run, suite, model, seed, weights, facts, seconds FROM runs ORDER BY run")
            return {n: Run(suite, model, seed, weights, json.loads(facts), seconds)
                    for n, suite, model, seed, weights, facts, seconds in found}  # fmt: skip

    def rows(self, run: int | None = None, *, suite: str | None = None) -> Rows:
        """The rows of one run: the one of that number, else the last one, of `suite` if that is given.

        Raises:
            StoreError: there is no such run.
        """
        known = [number for number, one in self.runs().items() if suite in (None, one.suite)]
        chosen = known[-1:] if run is None else [number for number in known if number == run]
        if not chosen:
            raise StoreError(f"{self.path}: expected a run{f' of {suite}' if suite else ''}, got none; run one first.")
        with self._open() as connection:
            found = connection.execute(f"SELECT {', '.join(FIELDS)} FROM rows WHERE run = ? ORDER BY rowid", chosen)
            return Rows(Row(**{name: value for name, value in zip(FIELDS, row, strict=True) if value is not None})
                        for row in found)  # fmt: skip

    def to_pandas(self) -> Any:
        """All rows of all runs, as a pandas data frame; `run`, `suite`, `model` and `seed` are columns.

        Raises:
            StoreError: pandas is not installed, or there is no run yet.
        """
        try:
            import pandas
        except ImportError as error:
            raise StoreError("Data frames need pandas: pip install 'unseen[notebook]'.") from error
        with self._open() as connection:
            return pandas.read_sql_query("SELECT * FROM rows ORDER BY run, rowid", connection)

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, ROWS_VERSION):
                raise StoreError(f"{self.path}: has version {version}, expected {ROWS_VERSION}; give another folder.")
            if version == 0:
                for statement in _tables():
                    connection.execute(statement)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: is not a table of rows that can be read and written ({error}).") from error
        with closing(connection):
            yield connection


def _tables() -> Iterator[str]:
    hints = get_type_hints(Row)
    columns = [f"{name} {kind} NOT NULL" for name, kind in RUN_FIELDS.items()]
    columns += [f"{name} {_SQL[hints[name]]}" for name in FIELDS]
    yield (
        "CREATE TABLE IF NOT EXISTS runs (run INTEGER PRIMARY KEY, suite TEXT NOT NULL, model TEXT NOT NULL,"
        " seed INTEGER NOT NULL, weights TEXT NOT NULL, facts TEXT NOT NULL, seconds REAL NOT NULL) STRICT"
    )
    yield f"CREATE TABLE IF NOT EXISTS rows ({', '.join(columns)}) STRICT"
    yield "CREATE INDEX IF NOT EXISTS of_run ON rows (run)"
    yield f"PRAGMA user_version = {ROWS_VERSION}"


def load(folder: str | Path) -> Results:
    """The runs that a folder holds: `unseen.bench.load("runs/evaluate").to_pandas()`.

    Raises:
        StoreError: there is none.
    """
    found = Results(folder)
    if not found.path.is_file():
        raise StoreError(f"{found.path}: does not exist; `unseen evaluate NAME --out {folder}` writes it.")
    return found
