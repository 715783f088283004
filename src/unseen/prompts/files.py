"""Prompt files: pairs of prompts, or prompts that are to stay as they are, as CSV, JSON lines or plain text."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..concept import PromptPair
from ..errors import PromptFileError

PAIR_HEADERS = (
    ("positive", "negative"),
    ("prompt", "normal prompt"),  # T2VUnlearning
    ("prompt", "normal_prompt"),
    ("unsafe", "safe"),
    ("unsafe_prompt", "safe_prompt"),
    ("target", "anchor"),  # methods that map a target concept to an anchor
    ("prompt", "prompt1"),  # what Ring-A-Bell makes its concept vectors of
)
"""Column names that pairs are known by: the prompt with the concept, and the one without."""
PROMPT_HEADERS = ("prompt", "text", "caption")
"""Column names that single prompts are known by."""
VIDEO_HEADERS = (("file", "prompt", "seed"), ("video", "prompt", "seed"), ("file", "prompt"), ("video", "prompt"))
"""Column names by which videos' prompts are known; the seed may be left out."""
MOST_BYTES = 256 << 20
"""Of a file of prompts."""


def load_pairs(path: str | Path) -> list[PromptPair]:
    """Read prompt pairs from a `.csv` or `.jsonl` file, UTF-8, whose columns are named as in one of `PAIR_HEADERS`.

    Raises `PromptFileError` naming the file, the line and what is wrong with it.
    """
    path = Path(path)
    pairs = []
    for line, row in _rows(path, (".csv", ".jsonl"), PAIR_HEADERS):
        pair = PromptPair(*(_prompt(path, line, column, value) for column, value in row.items()))
        if pair.positive == pair.negative:
            raise PromptFileError(f"{path}, line {line}: positive and negative are the same prompt, {pair.positive!r}.")
        pairs.append(pair)
    if not pairs:
        raise PromptFileError(f"{path}: holds no prompt pairs. Each line needs a positive and a negative prompt.")
    return pairs


def load_prompts(path: str | Path) -> list[str]:
    """Read prompts from a `.txt` file, one a line, or a `.csv` or `.jsonl` file with a column `prompt`, UTF-8.

    Raises `PromptFileError` naming the file, the line and what is wrong with it.
    """
    path = Path(path)
    headers = tuple((name,) for name in PROMPT_HEADERS)
    if path.suffix.lower() == ".txt":
        prompts = [text.strip() for text in lines_of(text_of(path)) if text.strip()]
    else:
        rows = _rows(path, (".txt", ".csv", ".jsonl"), headers)
        prompts = [_prompt(path, line, column, value) for line, row in rows for column, value in row.items()]
    if not prompts:
        raise PromptFileError(f"{path}: holds no prompts. Write one a line.")
    return prompts


@dataclass(frozen=True)
class VideoPrompt:
    """What a video was generated from."""

    prompt: str
    seed: str = ""
    """As the table gives it; empty where it has no column for seeds, or nothing in it."""


def load_video_prompts(path: str | Path) -> dict[str, VideoPrompt]:
    """Read a `.csv` or `.jsonl` table of videos with their prompts, UTF-8, whose columns are named as in
    `VIDEO_HEADERS`; by file, as the table names it.

    Raises `PromptFileError` naming the file, the line and what is wrong with it.
    """
    path = Path(path)
    prompts: dict[str, VideoPrompt] = {}
    for line, row in _rows(path, (".csv", ".jsonl"), VIDEO_HEADERS):
        file = row.get("file", row.get("video"))
        if not isinstance(file, str) or not file.strip():
            raise PromptFileError(f"{path}, line {line}: expected the name of a video, got {file!r}.")
        if file.strip() in prompts:
            raise PromptFileError(f"{path}, line {line}: {file.strip()!r} has a prompt already; keep one line for it.")
        seed = row.get("seed")
        prompt = _prompt(path, line, "prompt", row["prompt"])
        prompts[file.strip()] = VideoPrompt(prompt, "" if seed is None else str(seed).strip())
    if not prompts:
        raise PromptFileError(f"{path}: holds no prompts. Each line needs a video and its prompt.")
    return prompts


def _rows(path: Path, suffixes: tuple[str, ...], headers: tuple[tuple[str, ...], ...]) -> Iterator[tuple[int, dict]]:
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        wanted = f"{', '.join(suffixes[:-1])} or {suffixes[-1]}"
        raise PromptFileError(f"{path}: expected a {wanted} file, got {path.suffix or 'no extension'}.")
    text = text_of(path)
    return _read_csv(path, text, headers) if suffix == ".csv" else _read_jsonl(path, text, headers)


def csv_rows(path: Path, headers: tuple[tuple[str, ...], ...]) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Line number and cells of each row of a CSV file that has the columns of one of `headers`, by these names.

    Raises:
        PromptFileError: as `load_pairs`.
    """
    return _read_csv(path, text_of(path), headers)


def text_of(path: Path) -> str:
    """What a UTF-8 file says; `PromptFileError` if it is none, or larger than `MOST_BYTES`."""
    try:
        # Opening a pipe or a device would wait or never end.
        if path.exists() and not path.is_file():
            raise PromptFileError(f"{path}: is no file. Give the path of a file with prompts.")
        if path.stat().st_size > MOST_BYTES:
            raise PromptFileError(f"{path}: has more than {MOST_BYTES >> 20} MB, too much for a file of prompts.")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise PromptFileError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise PromptFileError(f"{path}: is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error


def lines_of(text: str) -> list[str]:
    """`text` at \\n, \\r\\n and \\r: other separators, such as U+2028, may be part of a prompt."""
    return re.split(r"\r\n|\r|\n", text)


def prompt_in(place: str, column: str, value: object) -> str:
    """A prompt without the blanks around it; `PromptFileError` about `place` if it is empty or no text."""
    if not isinstance(value, str) or not value.strip():
        raise PromptFileError(f"{place}: {column!r} must be a non-empty prompt, got {value!r}.")
    return value.strip()


def _prompt(path: Path, line: int, column: str, value: object) -> str:
    return prompt_in(f"{path}, line {line}", column, value)


def _choose(headers: tuple[tuple[str, ...], ...], columns: list[str]) -> dict[str, str] | None:
    """Of the first known header, each name beside the column of that name, whatever its case; None for none."""
    by_name = {column.strip().lower(): column for column in reversed(columns)}
    for header in headers:
        if all(name in by_name for name in header):
            return {name: by_name[name] for name in header}
    return None


def _named(headers: tuple[tuple[str, ...], ...]) -> str:
    others = f" (or {'; '.join(', '.join(header) for header in headers[1:])})" if headers[1:] else ""
    return " and ".join(headers[0]) + others


def _read_csv(path: Path, text: str, headers: tuple[tuple[str, ...], ...]) -> Iterator[tuple[int, dict]]:
    # `newline=""` leaves the ends of rows to csv, which knows \n, \r\n and \r only.
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] = []
    chosen: dict[str, str] | None = None
    last = 0
    try:
        for row in reader:
            line, last = last + 1, reader.line_num
            if not any(cell.strip() for cell in row):
                continue
            if chosen is None:
                columns, chosen = row, _choose(headers, row)
                if chosen is None:
                    raise _bad_header(path, line, row, headers)
                places = {name: columns.index(column) for name, column in chosen.items()}
                continue
            if len(row) > len(columns):
                raise PromptFileError(
                    f"{path}, line {line}: expected {len(columns)} columns, got {len(row)}. Put prompts that hold a"
                    ' comma in double quotes: "a horn, in snow".'
                )
            yield line, {name: row[place] if place < len(row) else None for name, place in places.items()}
    except csv.Error as error:
        raise PromptFileError(f"{path}, line {last + 1}: is not CSV ({error}). Close every double quote.") from error


def _bad_header(path: Path, line: int, row: list[str], headers: tuple[tuple[str, ...], ...]) -> PromptFileError:
    for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
        if len(row) == 1 and _choose(headers, row[0].split(separator)):
            return PromptFileError(
                f"{path}, line {line}: the columns seem to be separated by {name}; save the file with commas between"
                " columns and prompts in double quotes."
            )
    known = [name.strip().lower() for name in row]
    missing = [name for name in headers[0] if name not in known] if len(headers) == 1 else []
    return PromptFileError(
        f"{path}, line {line}: the header must name the column{'s' * (len(headers[0]) > 1)} {_named(headers)},"
        f" got {row}{f', without {missing[0]}' if missing else ''}."
    )


def _read_jsonl(path: Path, text: str, headers: tuple[tuple[str, ...], ...]) -> Iterator[tuple[int, dict]]:
    for line, content in enumerate(lines_of(text), start=1):
        if not content.strip():
            continue
        try:
            row = json.loads(content)
        except json.JSONDecodeError as error:
            raise PromptFileError(f"{path}, line {line}: is not JSON ({error.msg} at column {error.colno}).") from error
        except RecursionError as error:
            raise PromptFileError(f"{path}, line {line}: its brackets are nested too deep for a prompt.") from error
        if not isinstance(row, dict):
            raise PromptFileError(f"{path}, line {line}: expected an object, got {type(row).__name__}.")
        chosen = _choose(headers, list(row))
        if chosen is None:
            raise PromptFileError(f"{path}, line {line}: expected the keys {_named(headers)}, got {sorted(row)}.")
        yield line, {name: row[column] for name, column in chosen.items()}
