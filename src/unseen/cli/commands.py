"""What the commands share: how they refuse, what they need installed, what they say on a terminal and in a pipe."""

from __future__ import annotations

import difflib
import importlib.util
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TextIO

EXTRA = "diorama"
EXTRA_MODULES = ("cv2", "diffusers", "imageio_ffmpeg", "jinja2", "matplotlib", "numpy", "PIL", "tqdm")
_COLORS = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}


class UsageError(Exception):
    """Something in the command has to be changed; the message says what."""


def require_extra(modules: Sequence[str] = EXTRA_MODULES, extra: str = EXTRA) -> None:
    """Raise `UsageError` where an extra's packages are missing; quiet the loading of models otherwise."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"This command needs {', '.join(missing)}, which this Python does not have: pip install 'unseen[{extra}]'."
        )
    from transformers.utils import logging

    logging.set_verbosity_error()  # what it reports on loading concerns the makers of the model
    logging.disable_progress_bar()
    if "diffusers" in modules and not on_terminal():
        from diffusers.utils import logging as of_diffusers

        of_diffusers.disable_progress_bar()


def require_folder(path: Path, option: str) -> None:
    """Refuse a file, or a path through a file, where a folder is to be written."""
    for place in (path, *path.parents):
        if os.path.lexists(place):  # a link that leads nowhere is there too
            if not place.is_dir():
                raise UsageError(f"{option}: expected a folder to write to, but {place} is no folder. Choose another.")
            return


def require_file(path: Path, option: str) -> None:
    """Refuse a folder, or a path through a file, where a file is to be written."""
    if path.is_dir():
        raise UsageError(f"{option}: expected a file to write to, got the folder {path}.")
    require_folder(path.parent, option)


def refuse_idle(given: Iterable[str], needs: str) -> None:
    """Refuse options that would do nothing here, and say what they belong to."""
    named = list(given)
    if named:
        them = "it" if len(named) == 1 else "them"
        raise UsageError(
            f"{' and '.join(named)} would do nothing here; options like this belong to: {needs}."
            f" Leave {them} out, or add that."
        )


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """A hint at the nearest of `known`, or nothing: "; did you mean fit?"."""
    named = {one.lstrip("-").lower(): one for one in known}  # the dashes of options would make all of them alike
    near = difflib.get_close_matches(text.lstrip("-").lower(), named, n=1, cutoff=0.6)
    return f"; did you mean {named[near[0]]}?" if near else ""


# What is said


def on_terminal(stream: TextIO | None = None) -> bool:
    """Whether a person looks on: bars and colors are for them, a pipe gets plain lines."""
    stream = sys.stderr if stream is None else stream
    return stream.isatty()


def painted(text: str, color: str, stream: TextIO | None = None) -> str:
    """`text` in a color on a terminal, unless `NO_COLOR` is set (https://no-color.org)."""
    stream = sys.stdout if stream is None else stream
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLORS[color]}m{text}\x1b[0m"


def say(text: str) -> None:
    """One line to the person at the terminal, on standard error, so that what is piped on stays clean."""
    print(f"{painted('unseen:', 'bold', sys.stderr)} {' '.join(text.split())}", file=sys.stderr)


def complain(text: str) -> None:
    """One line about what went wrong."""
    print(f"{painted('unseen:', 'red', sys.stderr)} {' '.join(text.split())}", file=sys.stderr)


def hinted(text: str, hint: str) -> str:
    """A sentence and what to do, with one stop between them."""
    return f"{text}{'' if text[-1] in '.?!' else '.'} {hint}"


def print_json(value: Any) -> None:
    """`value` as JSON on standard output, for machines."""
    print(json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False, default=str))
