"""Files of prompts that somebody else wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import unseen
from unseen.bench.faults.fault import Try, kind, require
from unseen.prompts.files import load_pairs, load_prompts, load_video_prompts

_READERS: tuple[Callable[[Path], object], ...] = (load_pairs, load_prompts, load_video_prompts)
CONTENTS = {
    "nothing": b"",
    "a byte order mark alone": b"\xef\xbb\xbf",
    "UTF-16": "prompt\na church\n".encode("utf-16"),
    "Latin-1": "prompt\nune église\n".encode("latin-1"),
    "noughts": b"\0" * 1000,
    "a nought within": b"prompt\na chu\0rch\n",
    "a header alone": b"prompt\n",
    "other columns": b"a,b,c\n1,2,3\n",
    "too many cells": b"prompt,seed\na church,1,2,3,4\n",
    "a quote that never ends": b'prompt\n"a church\n' + b"a dog\n" * 100,
    "one line of a million characters": b"prompt\n" + b"x" * 1_000_000 + b"\n",
    "old line ends": b"prompt\ra church\r",
    "JSON that is a list": b'["a church"]\n',
    "JSON that is cut off": b'{"prompt": "a chu',
    "brackets without end": b"[" * 50_000,
    "numbers for prompts": b'{"prompt": 7, "file": 3}\n',
    "nulls for prompts": b'{"prompt": null}\n',
    "a surrogate alone": b'{"prompt": "\\ud800"}\n',
    "a program": b"\x7fELF" + bytes(range(256)) * 4,
}
"""What such a file may hold."""


@kind
def a_hostile_file_of_prompts() -> Iterator[tuple[str, Try]]:
    """It is read, or refused in one sentence that names the file."""

    def attempt(folder: Path, content: bytes, suffix: str, read: Callable[[Path], object]) -> None:
        path = folder / f"prompts.{suffix}"
        path.write_bytes(content)
        try:
            read(path)
        except unseen.UnseenError as error:
            require(path.name in str(error), f"it does not name the file: {error}")
            require("\n" not in str(error).strip(), f"more than a sentence: {str(error)[:200]}")

    for said, content in CONTENTS.items():
        for suffix in ("csv", "jsonl", "txt"):
            for read in _READERS:
                yield f"{said}, {suffix}, {read.__name__}", partial(attempt, content=content, suffix=suffix, read=read)
