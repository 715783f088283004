"""Erasers and reports as files that come to the page and leave it."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from unseen.clear.eraser import METADATA_FILE, WEIGHTS_FILE, ClearEraser
from unseen.errors import AppError
from unseen.names import file_name

_MOST_BYTES = (1 << 28) + (16 << 20)  # what an eraser's two files may have
_MOST_REPORT = 64 << 20
_MOST_LISTED = 200


def packed(eraser: ClearEraser, folder: Path) -> Path:
    """Write an eraser's two files as one zip file into `folder`; returns its path."""
    target = folder / f"{file_name(eraser.name)}.zip"
    with tempfile.TemporaryDirectory() as made:
        eraser.save_pretrained(made)
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in (METADATA_FILE, WEIGHTS_FILE):
                archive.write(Path(made) / name, name)
    return target


def uploaded(paths: Sequence[str | Path] | None) -> ClearEraser:
    """The eraser in files that were uploaded: one zip file, or the two files of a folder.

    Raises:
        AppError: they are not these files.
        DamagedFileError: they hold no eraser that works.
    """
    given = [Path(path) for path in paths or ()]
    expected = f"Upload the .zip that this page makes, or both {METADATA_FILE} and {WEIGHTS_FILE}"
    with tempfile.TemporaryDirectory() as made:
        if len(given) == 1 and given[0].suffix.lower() == ".zip":
            _unpack(given[0], Path(made), expected)
        elif sorted(path.name for path in given) == sorted((METADATA_FILE, WEIGHTS_FILE)):
            for path in given:
                if path.stat().st_size > _MOST_BYTES:
                    raise AppError(f"{path.name} is larger than any eraser. {expected}.")
                (Path(made) / path.name).write_bytes(path.read_bytes())
        else:
            came = ", ".join(path.name for path in given[:4]) or "nothing"
            raise AppError(f"{expected}; there came {came}.")
        return ClearEraser.from_pretrained(made)


def _unpack(path: Path, folder: Path, expected: str) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            by_name = {Path(info.filename).name: info for info in archive.infolist() if not info.is_dir()}
            for name in (METADATA_FILE, WEIGHTS_FILE):
                if name not in by_name:
                    raise AppError(f"{path.name} holds no {name}. {expected}.")
                with archive.open(by_name[name]) as file:  # by what comes out, not by what the header promises
                    content = file.read(_MOST_BYTES + 1)
                if len(content) > _MOST_BYTES:
                    raise AppError(f"{name} in {path.name} is larger than any eraser. {expected}.")
                (folder / name).write_bytes(content)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise AppError(f"{path.name} is no zip file that can be read. {expected}.") from error


def saved_erasers(folder: Path | None) -> dict[str, Path]:
    """Folders of erasers in `folder`, by their names below it."""
    if folder is None or not folder.is_dir():
        return {}
    found = sorted(path.parent for path in folder.glob(f"**/{METADATA_FILE}"))[:_MOST_LISTED]
    return {path.relative_to(folder).as_posix(): path for path in found}


def saved_eraser(folder: Path | None, name: str | None) -> ClearEraser:
    """The eraser of that name in `folder`.

    Raises:
        AppError: it is none of `saved_erasers`.
        DamagedFileError: its files hold no eraser that works.
    """
    known = saved_erasers(folder)
    if name not in known:
        raise AppError(f"Choose one of the erasers in {folder}; {name or 'nothing'} is none of them.")
    return ClearEraser.from_pretrained(known[name])


def reports(folder: Path) -> dict[str, Path]:
    """Reports that the demo and the benchmarks wrote into `folder`, by their paths below it, the newest first."""
    found = [path for pattern in ("*.html", "*/*.html", "*/*/*.html") for path in folder.glob(pattern)]
    found.sort(key=lambda path: -path.stat().st_mtime)
    return {path.relative_to(folder).as_posix(): path for path in found[:_MOST_LISTED]}


def report_text(folder: Path, name: str | None) -> str:
    """A report's page. Raises `AppError` for one that is not among `reports`, or is too large to be shown here."""
    known = reports(folder)
    if name not in known:
        raise AppError(f"Choose one of the reports in {folder}; {name or 'nothing'} is none of them.")
    if known[name].stat().st_size > _MOST_REPORT:
        raise AppError(f"{known[name]} is too large to be shown here; open it in a tab of its own.")
    return known[name].read_text(encoding="utf-8", errors="replace")
