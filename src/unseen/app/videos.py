"""Videos that were uploaded to the page, and what metrics and detectors say of them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from unseen.app.actions import steps_of
from unseen.errors import AppError
from unseen.score import Scores, score_folder
from unseen.score.clips import FRAMES, VIDEOS
from unseen.score.rows import Row

MOST_FILES = 200
MOST_BYTES = 2 << 30
_LISTED = 200
_METRICS: Mapping[str, str] = {
    "flicker": "how much neighbouring frames differ; motion adds to it",
    "smoothness": "how well each frame lies between its neighbours",
    "motion": "how far things move from frame to frame",
}
_DETECTORS: Mapping[str, str] = {
    "nsfw": "pornographic content",
    "nudenet": "exposed skin, eight kinds",
    "imagenet": "ten everyday objects, a church and a French horn among them",
    "diorama-a": "what Diorama shows; for its own clips alone",
    "diorama-b": "the same, trained apart",
}
"""Those that need no options; the others want pictures, a concept or a model of one's own."""
_ASK = "Choose or drop a folder of videos, or single ones"


def choices() -> dict[str, str]:
    """What videos can be scored with, by name, and what each finds; detectors of other packages too."""
    from unseen.detectors.registry import BUILT_IN, available_detectors

    known = available_detectors()
    ours = {name: about for name, about in _DETECTORS.items() if name in known}
    others = {name: "from another package" for name in known if name not in {*BUILT_IN, *ours}}
    return {**_METRICS, **ours, **others}


def gathered(paths: Sequence[str | Path] | None, folder: Path) -> list[str]:
    """Put uploaded videos into `folder` under their own names; returns the names of the files that are none.

    A browser hands over files without the folders they lay in. Two of one name get a number.

    Raises:
        AppError: there is no video among them, or they are too many or too large together.
    """
    given = [Path(path) for path in dict.fromkeys(map(str, paths or ()))]
    if not given:
        raise AppError(f"{_ASK}; nothing has come yet.")
    videos = [path for path in given if path.suffix.lower() in VIDEOS]
    others = [path for path in given if path.suffix.lower() not in VIDEOS]
    if not videos and any(path.suffix.lower() in FRAMES for path in others):
        raise AppError(
            f"These {len(given)} files are pictures. A browser does not say which of them make one video: run"
            " `unseen score FOLDER`, or upload MP4, WebM or GIF."
        )
    if not videos:
        raise AppError(f"{_ASK}: MP4, WebM, GIF, MOV, MKV or AVI; there came {_some(others)}.")
    if len(videos) > MOST_FILES:
        raise AppError(
            f"The page scores {MOST_FILES} videos at a time, and {len(videos)} came; run `unseen score FOLDER`."
        )
    size = sum(path.stat().st_size for path in videos)
    if size > MOST_BYTES:
        raise AppError(
            f"The videos have {size / 1e9:.1f} GB together, and {MOST_BYTES / 1e9:.1f} GB is the most here; run"
            " `unseen score FOLDER`."
        )
    for path in videos:
        _place(path, folder)
    return [path.name for path in others]


def _place(path: Path, folder: Path) -> None:
    target, number = folder / path.name.lstrip("."), 2  # hidden files are not scored
    while target.exists():
        target, number = folder / f"{path.stem} ({number}){path.suffix}", number + 1
    try:
        os.link(path, target)
    except OSError:  # another file system
        shutil.copyfile(path, target)


def score_steps(folder: Path, names: Sequence[str] | None, out: Path) -> Iterator[str | Scores]:
    """Score the videos in `folder` with the chosen metrics and detectors; yields how far it has come, and last the
    scores. The table and the summary go to `out`.

    Raises:
        AppError: nothing was chosen.
        DetectorError: something that a detector needs is missing.
    """
    from unseen.detectors import load_detector

    wanted = list(names or ())
    if not wanted:
        raise AppError("Choose what to look for: at least one of the boxes below the files.")
    if unknown := [name for name in wanted if name not in choices()]:
        raise AppError(f"Choose among {', '.join(choices())}; {_some(unknown)} is none of them.")
    yield "Loading what is to look at them."
    detectors = [load_detector(name) for name in wanted if name not in _METRICS]
    metrics = [name for name in wanted if name in _METRICS]

    def work(tell: Callable[[Any], None]) -> Scores:
        def on_file(done: int, of: int) -> None:
            tell(f"Scoring video {done + 1} of {of}.")

        return score_folder(folder, detectors=detectors, metrics=metrics, out=out, on_file=on_file)

    yield from steps_of(work)


def summary(scores: Scores) -> str:
    """The summary without its title, Markdown."""
    return scores.summary.partition("\n")[2].lstrip()


def table(scores: Scores) -> str:
    """One row for each video, as HTML: its size, its numbers, or why it has none."""
    asked = list(dict.fromkeys((row.scorer, row.class_name) for row in scores.rows if row.scorer))
    by_file: dict[str, list[Row]] = {}
    for row in scores.rows:
        by_file.setdefault(row.file, []).append(row)
    heads = ["video", "frames", *(f"{scorer}: {name}" if name else f"{scorer}" for scorer, name in asked)]
    lines = "".join(_line(rows, asked) for rows in list(by_file.values())[:_LISTED])
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    return (
        '<div class="unseen-wide" role="region" tabindex="0" aria-label="Each video"><table class="unseen-videos">'
        f"<caption>Each video; of detectors the share of frames</caption><tr>{head}</tr>{lines}</table>"
        "</div>"
    )


def _line(rows: Sequence[Row], asked: Sequence[tuple[str | None, str | None]]) -> str:
    first = rows[0]
    name = f'<th scope="row">{escape(first.file)}</th>'
    if first.scorer is None:
        return f'<tr>{name}<td colspan="{1 + len(asked)}">{escape(first.status)}</td></tr>'
    answers = {(row.scorer, row.class_name): row for row in rows}
    cells = "".join(f"<td>{escape(_cell(answers.get(key)))}</td>" for key in asked)
    return f"<tr>{name}<td>{first.frames}</td>{cells}</tr>"


def _cell(row: Row | None) -> str:
    if row is None:
        return "–"
    if row.status != "scored":
        return row.status
    if row.value is None or row.value != row.value:
        return "undefined"
    return f"{100 * row.value:.0f} %" if row.kind == "detector" else f"{row.value:.3g}"


def _some(names: Sequence[object]) -> str:
    shown = [name.name if isinstance(name, Path) else str(name) for name in names[:4]]
    return ", ".join(shown) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
