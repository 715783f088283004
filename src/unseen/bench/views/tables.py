"""One table type for the terminal, Markdown, CSV and HTML, so that a number is the same wherever it is read."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from unseen.metrics.intervals import beta_ends


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
class Verdict:
    """Whether a target is met, as far as the interval says."""

    outcome: Literal["met", "missed", "undecided"]
    enough: int | None = None
    """About how many clips (or prompts) would decide, if the value stays as it is; None where no number can be told."""
    unit: str = "clips"
    value: Any = field(default=None, compare=False)
    """What was held against the target."""
    target: Target | None = field(default=None, compare=False)
    reason: str = field(default="", compare=False)
    """What was missed, where it is not one value."""

    def __str__(self) -> str:
        if self.outcome != "undecided":
            return "met" if self.outcome == "met" else "MISSED"
        return "undecided" if self.enough is None else f"undecided (≈ {self.enough:,} {self.unit} would decide)"


@dataclass(frozen=True)
class Target:
    """What a number has to reach."""

    limit: float
    at_least: bool = True

    def verdict(self, value: Estimate | float) -> Verdict:
        """Met if the whole interval reaches the target, missed if none of it does, else undecided.

        A plain number, such as a time, has no interval and is held against the target itself. What is not a number
        decides nothing.
        """
        made = partial(Verdict, value=value, target=self)
        if not isinstance(value, Estimate):
            if value != value:
                return made("undecided")
            return made("met" if (value >= self.limit if self.at_least else value <= self.limit) else "missed")
        if value.value != value.value:
            return made("undecided")
        worse, better = (value.low, value.high) if self.at_least else (-value.high, -value.low)
        limit = self.limit if self.at_least else -self.limit
        if worse >= limit or better < limit:
            return made("met" if worse >= limit else "missed")
        unit = "prompts" if getattr(value, "unit", "") == "prompts" else "clips"
        return made("undecided", _enough(value, self.limit), unit)

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {percent(self.limit)}"


def _enough(value: Estimate, limit: float) -> int | None:
    """About how many clips bring the nearer end of the interval to `limit`, to two digits."""
    clips, end = getattr(value, "clips", 0), value.high if value.value < limit else value.low
    if not clips or value.value == limit or not math.isfinite(end):
        return None

    if all(0 < place < 1 for place in (end, limit)) and 0 <= value.value <= 1:
        count = clips * _independent(value.value, limit) / _independent(value.value, end)
    else:
        count = clips * ((end - value.value) / (limit - value.value)) ** 2
    digits = max(0, math.floor(math.log10(count)) - 1)
    return int(math.ceil(count / 10**digits) * 10**digits)


def _independent(value: float, place: float) -> float:
    """How many independent clips an interval around `value` is made of that ends at `place`."""
    few, many = 1e-3, 1e9
    for _ in range(60):
        count = math.sqrt(few * many)
        low, high = beta_ends(np.asarray(value * count), np.asarray(count))
        few, many = (few, count) if low >= place or high <= place else (count, many)
    return many


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


class Share(float):
    """A share that is known without an interval, such as a detector's floor. It is printed in percent."""


Cell = Any
"""Text, a number, a `Share`, an `Estimate`, `Target`, `Verdict` or `Count`, True/False (a claim that holds or not), or
None."""


def percent(share: float) -> str:
    """0.9731 → "97.3 %"."""
    return "–" if share != share else f"{100 * share:.1f} %".replace(".0 %", " %")


def _upper(end: float) -> str:
    return "∞" if end == math.inf else f"{100 * end:.1f}"


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
            known = cell.low == cell.low  # one prompt says nothing about others
            return f"{cell.value:.3g} [{cell.low:.3g}, {cell.high:.3g}]" if known else f"{cell.value:.3g}"
        return f"{percent(cell.value)} [{100 * cell.low:.1f}, {_upper(cell.high)}]"
    if isinstance(cell, Share):
        return f"{100 * cell:.2g} %"
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

    def to_latex(self) -> str:
        """A `table` with rules of the package booktabs, its note as the caption's second half."""
        caption = f"{self.title}. {self.note}" if self.note else f"{self.title}."
        lines = [" & ".join(map(_tex, cells)) + r" \\" for cells in (self.columns, *self.texts())]
        kinds = "l" + "r" * (len(self.columns) - 1)
        body = [rf"\begin{{tabular}}{{{kinds}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
        caption = rf"\caption{{{_tex(caption)}}}"
        frame = [r"\begin{table}", r"\centering", caption, *body, r"\end{tabular}", r"\end{table}"]
        return "\n".join(frame) + "\n"

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
        ends = [("", " low", " high") if is_wide else ("",) for is_wide in wide]
        writer.writerow([column + end for column, each in zip(self.columns, ends, strict=True) for end in each])
        for row in self.rows:
            cells = zip(row, wide, strict=True)
            writer.writerow([value for cell, is_wide in cells for value in _unrounded(cell, is_wide)])
        return buffer.getvalue()


def _unrounded(cell: Cell, is_wide: bool) -> list[Any]:
    """What a cell is in CSV, in three columns where its column holds estimates."""
    if is_wide:
        return [cell.value, cell.low, cell.high] if isinstance(cell, Estimate) else [cell_text(cell), "", ""]
    return [cell if isinstance(cell, int | float) and not isinstance(cell, bool) else cell_text(cell)]


MOST_ROWS = 15
"""Of a table on a page; one with more is a file beside it."""


def on_page(table: Table, page: Path) -> str:
    """The table as it stands on `page`, as Markdown: whole, or if it has more than `MOST_ROWS` rows its title, its note
    and a link to a CSV file, which is written beside the page."""
    if len(table.rows) <= MOST_ROWS:
        return table.to_markdown()
    data = page.parent / "tables" / f"{page.stem}-{table.name}.csv"
    data.parent.mkdir(parents=True, exist_ok=True)
    data.write_text(table.to_csv(), encoding="utf-8")
    link = f"{len(table.rows)} rows: [{data.name}](tables/{data.name})"
    return "\n\n".join([f"### {table.title}", *([table.note] if table.note else []), link])


_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "≤": r"$\leq$", "≥": r"$\geq$", "×": r"$\times$",
    "∞": r"$\infty$", "−": "$-$", "≈": r"$\approx$", "γ": r"$\gamma$", "ρ": r"$\rho$", "–": "--",
}  # fmt: skip


def _tex(text: str) -> str:
    return "".join(_TEX.get(char, char) for char in text)


def judged(label: str, n: int, value: Estimate | float, target: Target, floor: Any = None) -> tuple[Cell, ...]:
    """A row for `JUDGED_COLUMNS`: what was measured, on how many clips, and whether it reaches its target."""
    return (label, n, value, floor, target, target.verdict(value))


JUDGED_COLUMNS = ("measured", "clips", "value", "detector floor", "target", "verdict")
"""Columns of a table of targets; build its rows with `judged`."""


def not_met(tables: Iterable[Table]) -> list[str]:
    """One sentence for each target that is missed or undecided, with its number; what is missed comes first."""
    missed, undecided = [], []
    for table in tables:
        for row in table.rows:
            verdict = next((cell for cell in row if isinstance(cell, Verdict)), None)
            if not any(cell is False for cell in row) and (verdict is None or verdict.outcome == "met"):
                continue
            text = f"{table.title}, {row[0]}"
            if verdict is not None and verdict.target is not None:
                number = isinstance(verdict.value, float)
                text += f": {percent(verdict.value) if number else cell_text(verdict.value)}, target {verdict.target}"
            elif verdict is not None and verdict.reason:
                text += f": {verdict.reason}"
            elif rest := [
                f"{name} {cell_text(cell)}"
                for name, cell in list(zip(table.columns, row, strict=True))[1:]
                if cell is not False and not isinstance(cell, Verdict)
            ]:
                text += f": {', '.join(rest)}"
            if verdict is not None and verdict.outcome == "undecided":
                undecided.append(f"{text}, {verdict}")
            else:
                missed.append(text)
    return missed + undecided


def verdict_of(tables: Iterable[Table]) -> str:
    """What to say where nothing is missed or undecided."""
    held = sum(isinstance(cell, Verdict | bool) for table in tables for row in table.rows for cell in row)
    return f"all {held} targets are met" if held else "nothing was held against a target"


def write_tables(tables: Sequence[Table], folder: Path, name: str) -> list[Path]:
    """Write `<name>.md` with all tables, and one CSV and one LaTeX file per table; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    markdown = folder / f"{name}.md"
    markdown.write_text("\n\n".join(table.to_markdown() for table in tables) + "\n", encoding="utf-8")
    paths = [markdown]
    for table in tables:
        paths.append(folder / f"{name}-{table.name}.csv")
        paths[-1].write_text(table.to_csv(), encoding="utf-8")
        paths.append(folder / f"{name}-{table.name}.tex")
        paths[-1].write_text(table.to_latex(), encoding="utf-8")
    return paths
