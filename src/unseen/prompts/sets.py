"""The field's prompt sets, read from files that the user has; none of them comes along.

Formats are those in which the sets are published: T2VSafetyBench (arXiv:2407.05965), SafeSora (2406.14477), Ring-A-Bell
(2310.10012), I2P (2211.05105), UnlearnDiffAtk (2310.11868), EMMA (2512.17320), HUB (2410.05664), VBench (2311.17982).
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import PromptFileError
from .files import MOST_BYTES, VideoPrompt, csv_rows, lines_of, prompt_in, text_of

ASPECTS = (
    "pornography", "borderline pornography", "violence", "gore", "disturbing content", "public figures",
    "discrimination", "political sensitivity", "copyright and trademark", "illegal activities", "misinformation",
    "sequential action risk", "dynamic variation risk", "coherent contextual risk",
)  # fmt: skip
"""Of T2VSafetyBench, by the number that is a file's name."""
_LANGUAGES = ("original", "spanish", "french", "german", "italian", "portuguese")


@dataclass(frozen=True)
class SetPrompt:
    """One prompt of a set."""

    text: str
    number: int
    """As the file counts it, else its place in the file, from 0."""
    seed: int | None = None
    """That the set draws it from; None where it says none."""
    tags: tuple[str, ...] = ()
    """What the set says about it, such as "category: violence"."""


def load_prompt_set(path: str | Path, format: str, only: Collection[str] = ()) -> list[SetPrompt]:
    """The prompts of a set in one of `FORMATS`, in the file's order; with `only`, those that have all of these tags.

    Raises:
        PromptFileError: the format is not known, the file cannot be read or lacks a column, or no prompt is left.
    """
    path = Path(path)
    if format not in FORMATS:
        raise PromptFileError(f"{path}: knows no format {format!r}; choose among {', '.join(FORMATS)}.")
    prompts = list(FORMATS[format](path))
    if not prompts:
        raise PromptFileError(f"{path}: holds no prompts.")
    chosen = [prompt for prompt in prompts if set(only) <= set(prompt.tags)]
    if not chosen:
        tags = list(dict.fromkeys(tag for prompt in prompts for tag in prompt.tags))
        there = f"the tags {_listed(tags)}" if tags else "no tags"
        raise PromptFileError(f"{path}: no prompt has {' and '.join(map(repr, only))}; this file has {there}.")
    return chosen


def prompts_of_videos(path: str | Path, format: str, videos: Iterable[str]) -> dict[str, VideoPrompt]:
    """What videos were generated from, by their names: "<prompt>-<index>.mp4", as VBench names them, or the prompt's
    number, alone or before an index ("7.mp4", "0007-2.mp4", "7_2.mp4").

    Raises:
        PromptFileError: as `load_prompt_set`.
    """
    prompts = load_prompt_set(path, format)
    by_number = {prompt.number: prompt for prompt in prompts}
    by_text = {prompt.text: prompt for prompt in prompts}
    found = {}
    for video in videos:
        stem = re.sub(r"\.\w{3,4}$", "", Path(video).name)
        number = re.fullmatch(r"(\d+)(?:[-_]\d+)?", stem)
        text = re.sub(r"-\d+$", "", stem)
        prompt = by_text.get(text) or by_text.get(stem) or (by_number.get(int(number[1])) if number else None)
        if prompt is not None:
            found[video] = VideoPrompt(prompt.text, "" if prompt.seed is None else str(prompt.seed))
    return found


def _lines(path: Path, tags: tuple[str, ...] = ()) -> Iterator[SetPrompt]:
    texts = (line.strip() for line in lines_of(text_of(path)))
    return (SetPrompt(text, number, tags=tags) for number, text in enumerate(filter(None, texts)))


def _t2vsafetybench(path: Path) -> Iterator[SetPrompt]:
    """One prompt a line; the file's number says the aspect."""
    known = path.stem.isdecimal() and 1 <= int(path.stem) <= len(ASPECTS)
    return _lines(path, (f"category: {ASPECTS[int(path.stem) - 1]}",) if known else ())


def _safesora(path: Path) -> Iterator[SetPrompt]:
    """A list of objects, also compressed by gzip."""
    for number, entry in enumerate(_entries(path)):
        labels = entry.get("prompt_labels") or {}
        tags = [f"type: {entry['prompt_type']}"] if entry.get("prompt_type") else []
        tags += [f"category: {name}" for name, holds in labels.items() if holds is True]
        yield SetPrompt(_text(path, number, entry, "prompt_text"), number, tags=tuple(tags))


def _vbench(path: Path) -> Iterator[SetPrompt]:
    """One prompt a line, or the list of all with their dimensions."""
    if path.suffix.lower() != ".json":
        yield from _lines(path)
        return
    for number, entry in enumerate(_entries(path)):
        said = entry.get("dimension", [])
        dimensions = [said] if isinstance(said, str) else said if isinstance(said, list) else []
        tags = tuple(f"dimension: {name}" for name in dimensions)
        yield SetPrompt(_text(path, number, entry, "prompt_en"), number, tags=tags)


def _emma(path: Path) -> Iterator[SetPrompt]:
    """A list of objects from a concept to its prompts; the file's name says their kind ("4_short")."""
    kind = re.fullmatch(r"\d+_(\w+)", path.stem)
    number = 0
    for place, entry in enumerate(_entries(path)):
        for concept, texts in entry.items():
            if not isinstance(texts, list):
                raise PromptFileError(f"{path}, entry {place}: expected a list of prompts for {concept!r}.")
            for text in texts:
                tags = (f"concept: {concept}", *([f"kind: {kind[1]}"] if kind else []))
                yield SetPrompt(prompt_in(f"{path}, entry {place}", concept, text), number, tags=tags)
                number += 1


def _i2p(path: Path) -> Iterator[SetPrompt]:
    for number, (line, row) in enumerate(csv_rows(path, (("prompt", "categories", "sd_seed"),))):
        tags = tuple(f"category: {name.strip()}" for name in (row["categories"] or "").split(",") if name.strip())
        seed = _integer(path, line, "sd_seed", row["sd_seed"])
        yield SetPrompt(prompt_in(f"{path}, line {line}", "prompt", row["prompt"]), number, seed, tags)


def _cases(path: Path) -> Iterator[SetPrompt]:
    """The columns that Ring-A-Bell's and UnlearnDiffAtk's files share."""
    for line, row in csv_rows(path, (("prompt", "case_number", "evaluation_seed"),)):
        number, seed = (_integer(path, line, name, row[name]) for name in ("case_number", "evaluation_seed"))
        yield SetPrompt(prompt_in(f"{path}, line {line}", "prompt", row["prompt"]), number, seed)


def _hub(path: Path) -> Iterator[SetPrompt]:
    """One prompt a line in a file called .csv; or nouns with their similarity; or translations side by side."""
    first = next((line for line in lines_of(text_of(path)) if line.strip()), "").lower()
    columns = {name.strip() for name in first.split(",")}
    if "noun" in columns:
        for number, (line, row) in enumerate(csv_rows(path, (("noun",),))):
            noun = prompt_in(f"{path}, line {line}", "noun", row["noun"])
            yield SetPrompt(f"a photo of {noun}", number)  # as its authors ask for them
    elif "original" in columns:
        number = 0
        for line, row in csv_rows(path, (_LANGUAGES,)):
            for language in _LANGUAGES:
                text = prompt_in(f"{path}, line {line}", language, row[language])
                yield SetPrompt(text, number, tags=(f"language: {language}",))
                number += 1
    elif first.strip() == "prompt":
        rows = csv_rows(path, (("prompt",),))
        yield from (
            SetPrompt(prompt_in(f"{path}, line {line}", "prompt", row["prompt"]), number)
            for number, (line, row) in enumerate(rows)
        )
    else:
        yield from _lines(path)


def _entries(path: Path) -> list[dict[str, Any]]:
    """A JSON file's list of objects."""
    packed = path.suffix.lower() == ".gz"
    try:
        entries = json.loads(_unpacked(path) if packed else text_of(path))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PromptFileError(f"{path}: is not JSON that can be read ({error}).") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise PromptFileError(f"{path}: expected a list of objects, [{{...}}, ...].")
    return entries


def _unpacked(path: Path) -> str:
    if path.exists() and not path.is_file():
        raise PromptFileError(f"{path}: is no file. Give the path of a file with prompts.")
    try:
        with gzip.open(path) as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise PromptFileError(f"{path}: cannot be unpacked ({error}).") from error
    if len(data) > MOST_BYTES:
        raise PromptFileError(f"{path}: has more than {MOST_BYTES >> 20} MB, too much for a file of prompts.")
    return data.decode("utf-8")


def _text(path: Path, number: int, entry: Mapping[str, Any], key: str) -> str:
    if key not in entry:
        raise PromptFileError(f"{path}, entry {number}: expected the key {key!r}, got {sorted(entry)}.")
    return prompt_in(f"{path}, entry {number}", key, entry[key])


def _integer(path: Path, line: int, column: str, value: str | None) -> int:
    try:
        return int(value or "")
    except ValueError as error:
        raise PromptFileError(f"{path}, line {line}: {column!r} must be a whole number, got {value!r}.") from error


def _listed(tags: list[str], few: int = 8) -> str:
    return ", ".join(map(repr, tags[:few])) + (f" and {len(tags) - few} more" if len(tags) > few else "")


FORMATS: Mapping[str, Callable[[Path], Iterator[SetPrompt]]] = {
    "t2vsafetybench": _t2vsafetybench,
    "safesora": _safesora,
    "ring-a-bell": _cases,
    "i2p": _i2p,
    "unlearndiffatk": _cases,
    "emma": _emma,
    "hub": _hub,
    "vbench": _vbench,
}
"""By the name that a suite or `unseen score --format` gives them."""
