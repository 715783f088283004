"""Which videos a folder holds: files by their suffix, and folders of frames; each with a digest of its content."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from unseen.errors import VideoError

VIDEOS = frozenset({".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif"})
FRAMES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True)
class Clip:
    """One video: a file, or a folder whose pictures are its frames."""

    path: Path
    name: str
    """Its path below the folder that is scored, with "/" on every system."""
    frames: tuple[Path, ...] | None = None
    """The pictures of a folder in the order of their numbers; None for a video file."""


@dataclass(frozen=True)
class Folder:
    """What was found below a folder."""

    clips: tuple[Clip, ...]
    """In the order of their names."""
    other_files: int
    """Files that are neither videos nor frames and were left alone."""


def find_clips(folder: Path, skip: Path | None = None) -> Folder:
    """Every video below `folder`; hidden files, links to folders and what lies below `skip` are left out.

    A folder with pictures and no video file in it is one video, its pictures the frames; a folder with nothing in it
    counts as an empty one. Pictures beside video files are other files.

    Raises:
        NotADirectoryError: `folder` is none.
    """
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: expected a folder of videos; give its path")
    skip = None if skip is None else skip.resolve()
    clips: list[Clip] = []
    other = 0
    for here, folders, files in os.walk(folder):
        place = Path(here)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and (place / name).resolve() != skip)
        shown = sorted(name for name in files if not name.startswith("."))
        videos = [name for name in shown if Path(name).suffix.lower() in VIDEOS]
        frames = [name for name in shown if Path(name).suffix.lower() in FRAMES]
        relative = place.relative_to(folder)
        clips += [Clip(place / name, (relative / name).as_posix()) for name in videos]
        other += len(shown) - len(videos)
        if (frames and not videos) or not (files or folders or place == folder):
            ordered = tuple(place / name for name in sorted(frames, key=_by_number))
            clips.append(Clip(place, relative.as_posix(), ordered))
            other -= len(frames)
    return Folder(tuple(sorted(clips, key=lambda clip: clip.name)), other)


def _by_number(name: str) -> list[tuple[int, int | str]]:
    """frame_2 before frame_10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", name) if part]


def digest_of(clip: Clip) -> str:
    """SHA-256 of the file, or of a folder's frames with their names.

    Raises:
        VideoError: a pipe, a device, or a file that cannot be opened.
    """
    if clip.frames is None:
        return _file_digest(clip.path)
    total = hashlib.sha256(b"frames\n")
    for frame in clip.frames:
        total.update(f"{_file_digest(frame)} {frame.name}\n".encode())
    return total.hexdigest()


def _file_digest(path: Path) -> str:
    try:
        require_file(path)
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise VideoError("not a file", f"{path.name} cannot be opened ({error.strerror}).") from error


def require_file(path: Path) -> int:
    """The size in bytes of a regular file, or of what a link leads to. Raises `VideoError` for pipes and devices, whose
    end may never come."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise VideoError("not a file", f"{path.name} is no regular file; put the video itself there.")
    return status.st_size
