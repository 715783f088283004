"""One table type for the terminal, Markdown, CSV and HTML, so that a number is the same wherever it is read."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Estimate(Protocol):
    """A share or ratio with its interval, as `unseen.metrics.rates` makes them."""

    @property
    def value(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


@dataclass(frozen=True)
class Bar:
    """What a number has to reach."""

    limit: float
    at_least: bool = True

    def met_by(self, value: float) -> bool:
        """Whether `value` reaches the bar (never, if it is not a number)."""
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {percent(self.limit)}"


@dataclass(frozen=True)
class Count:
    """A whole number out of a whole number, such as prompts of one kind among all."""

    part: int
    whole: int


@dataclass(frozen=True)
class Measure:
    """An `Estimate` that is no share: a distance, a speed, a cosine. It is printed as a number, not in percent."""

    value: float
    low: float
    high: float


Cell = Any
"""Text, a number, an `Estimate`, a `Bar`, a `Count`, True/False (bar met or missed), or None for nothing."""


def percent(share: float) -> str:
    """0.9731 → "97.3 %"."""
    return "–" if share != share else f"{100 * share:.1f} %".replace(".0 %", " %")


def cell_text(cell: Cell) -> str:
    """A cell as it is read in the terminal, in Markdown and in HTML."""
    if cell is None:
        return "–"
    if isinstance(cell, bool):
        return "met" if cell else "MISSED"
    if isinstance(cell, Count):
        return f"{cell.part} of {cell.whole}"
    if isinstance(cell, Estimate):
        if cell.value != cell.value:
            return "–"
        if isinstance(cell, Measure):
            return f"{cell.value:.3g} [{cell.low:.3g}, {cell.high:.3g}]"
        return f"{percent(cell.value)} [{100 * cell.low:.1f}, {100 * cell.high:.1f}]"
    if isinstance(cell, float):
        return "–" if cell != cell else f"{cell:.4g}"
    return str(cell)


@dataclass(frozen=True)
class Table:
    """A titled table. `note` says what its numbers are, for a reader who has only the table."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    judges: str = "value"
    """The column that the bars are about; where there is no such column a verdict is about the row as a whole."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"Table {self.title!r}: a row of {len(row)} cells for {len(self.columns)} columns.")

    @property
    def name(self) -> str:
        """The title as part of a file name."""
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")

    def texts(self) -> list[list[str]]:
        """All cells as text, row by row."""
        return [[cell_text(cell) for cell in row] for row in self.rows]

    def to_text(self) -> str:
        """For a terminal: columns aligned."""
        rows = [list(self.columns), *self.texts()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.columns))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        rule = "  ".join("─" * width for width in widths)
        return "\n".join([self.title, *([self.note] if self.note else []), lines[0], rule, *lines[1:]])

    def to_markdown(self) -> str:
        """A GitHub table under a heading."""

        def line(cells: Sequence[str]) -> str:
            return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

        head = [f"### {self.title}", *(["", self.note] if self.note else []), ""]
        return "\n".join([*head, line(self.columns), line(["---"] * len(self.columns)), *map(line, self.texts())])

    def to_html(self) -> str:
        """A `<table>` with a caption and, below it, the note."""
        head = "".join(f"<th>{escape(column)}</th>" for column in self.columns)
        body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in self.texts())
        note = f"<p class='note'>{escape(self.note)}</p>" if self.note else ""
        return f"<h3>{escape(self.title)}</h3>{note}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

    def to_csv(self) -> str:
        """Unrounded numbers; an estimate takes three columns, its value and both ends of its interval."""
        wide = [any(isinstance(row[i], Estimate) for row in self.rows) for i in range(len(self.columns))]
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        header: list[str] = []
        for column, is_wide in zip(self.columns, wide, strict=True):
            header += [column, f"{column} low", f"{column} high"] if is_wide else [column]
        writer.writerow(header)
        for row in self.rows:
            values: list[Any] = []
            for cell, is_wide in zip(row, wide, strict=True):
                if is_wide:
                    values += (
                        [cell.value, cell.low, cell.high] if isinstance(cell, Estimate) else [cell_text(cell), "", ""]
                    )
                else:
                    values.append(
                        cell if isinstance(cell, (int, float)) and not isinstance(cell, bool) else cell_text(cell)
                    )
            writer.writerow(values)
        return buffer.getvalue()


def judged(label: str, n: int, value: Any, bar: Bar, floor: Any = None) -> tuple[Cell, ...]:
    """A row for `JUDGED_COLUMNS`: what was measured, on how many clips, and whether it reaches its bar."""
    number = value.value if isinstance(value, Estimate) else float(value)
    return (label, n, value, floor, bar, bar.met_by(number))


JUDGED_COLUMNS = ("measured", "clips", "value", "detector floor", "bar", "verdict")
"""Columns of a table of bars; build its rows with `judged`."""


def missed(tables: Iterable[Table]) -> list[str]:
    """One sentence for each bar that is missed, with its number."""
    found = []
    for table in tables:
        for row in table.rows:
            if not any(cell is False for cell in row):
                continue
            cells = dict(zip(table.columns, row, strict=True))
            if table.judges in cells:
                value, bar = cells[table.judges], next((cell for cell in row if isinstance(cell, Bar)), None)
                text = percent(value) if isinstance(value, float) and bar is not None else cell_text(value)
                found.append(f"{table.title}, {row[0]}: {text}" + ("" if bar is None else f", bar {bar}"))
            else:
                rest = [f"{name} {cell_text(cell)}" for name, cell in list(cells.items())[1:] if cell is not False]
                found.append(f"{table.title}, {row[0]}" + (f": {', '.join(rest)}" if rest else ""))
    return found


def write_tables(tables: Sequence[Table], folder: Path, name: str) -> list[Path]:
    """Write `<name>.md` with all tables and one CSV per table; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    markdown = folder / f"{name}.md"
    markdown.write_text("\n\n".join(table.to_markdown() for table in tables) + "\n", encoding="utf-8")
    paths = [markdown]
    for table in tables:
        paths.append(folder / f"{name}-{table.name}.csv")
        paths[-1].write_text(table.to_csv(), encoding="utf-8")
    return paths
