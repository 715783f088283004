"""What has been scored, in one SQLite file: by content and by what scored it, so that nothing is done twice.

A video is one transaction. Whatever ends the process, a video is there with all its numbers or not at all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

from unseen.errors import StoreError
from unseen.score.decode import Facts

STORE_VERSION = 1
_TABLES = """
CREATE TABLE IF NOT EXISTS videos (
    content TEXT PRIMARY KEY, status TEXT NOT NULL, sentence TEXT NOT NULL,
    format TEXT, frames INTEGER, width INTEGER, height INTEGER, fps REAL, variable_rate INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
    content TEXT NOT NULL, scorer TEXT NOT NULL, class TEXT NOT NULL,
    status TEXT NOT NULL, sentence TEXT NOT NULL,
    value REAL, highest REAL, hits INTEGER, frames INTEGER, undefined INTEGER,
    PRIMARY KEY (content, scorer, class)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Video:
    """Whether a content could be read, and what decoding it has shown."""

    status: str
    """"scored", or the status of a `VideoError`."""
    sentence: str = ""
    facts: Facts | None = None


@dataclass(frozen=True)
class Answer:
    """What one scorer says of one class (of a metric: "") in one video."""

    class_name: str
    status: str = "scored"
    """"scored", or "refused" where the scorer does not take such frames."""
    sentence: str = ""
    value: float = float("nan")
    """Share of frames of a detector's class, or the metric; NaN where undefined."""
    highest: float = float("nan")
    hits: int = 0
    frames: int = 0
    undefined: int = 0


class Store:
    """The file `scores.sqlite`. `content` is a digest with the version of decoding, `scorer` one of its settings."""

    def __init__(self, path: Path | str):
        self.path = path
        with self._said():
            self._connection = sqlite3.connect(path, timeout=60)
            # With a write-ahead log a video costs no wait for the disk. A killed process loses nothing, a power cut at
            # most the last videos.
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, STORE_VERSION):
                raise StoreError(f"{path}: has version {version}, expected {STORE_VERSION}; give another --out folder.")
            with self._connection:
                self._connection.executescript(_TABLES)
                self._connection.execute(f"PRAGMA user_version = {STORE_VERSION}")

    @contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"{self.path}: cannot be used ({error}). Move it away to score everything again, or give another"
                " --out folder."
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def video(self, content: str) -> Video | None:
        """What is known of a content, or None."""
        with self._said():
            row = self._connection.execute(
                "SELECT status, sentence, format, frames, width, height, fps, variable_rate FROM videos"
                " WHERE content = ?",
                (content,),
            ).fetchone()
        if row is None:
            return None
        status, sentence, form, frames, width, height, fps, uneven = row
        return Video(status, sentence, None if form is None else Facts(form, frames, width, height, fps, bool(uneven)))

    def answers(self, content: str, scorer: str) -> list[Answer]:
        """What a scorer has said of a content, in the order in which it said it is not kept; empty for nothing."""
        with self._said():
            rows = self._connection.execute(
                "SELECT class, status, sentence, value, highest, hits, frames, undefined FROM answers"
                " WHERE content = ? AND scorer = ?",
                (content, scorer),
            ).fetchall()
        return [
            Answer(name, status, sentence, _number(value), _number(highest), *counts)
            for name, status, sentence, value, highest, *counts in rows
        ]

    def keep(self, content: str, video: Video, answers: Sequence[tuple[str, Answer]]) -> None:
        """Write a video and the answers to it, by scorer, as a whole."""
        facts = (None,) * 6 if video.facts is None else astuple(video.facts)
        with self._said(), self._connection:
            self._connection.execute(
                "INSERT OR REPLACE INTO videos VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (content, video.status, video.sentence, *facts),
            )
            self._connection.executemany(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(content, scorer, *astuple(answer)) for scorer, answer in answers],
            )


def _number(value: float | None) -> float:
    """SQLite keeps NaN as NULL."""
    return float("nan") if value is None else value
