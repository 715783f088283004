"""What erasers did to a prompt, as one JSON-able event; the audit log keeps them, one line each."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import AuditError
from .context.erasers import Acted
from .rewriting.prepare import Prepared

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Event = dict[str, Any]
"""`time` (UTC), `event` and what belongs to it.

"encoded": `prompt_sha256`, `prompt` if wanted, `request_id` if there is one, `erasers` (keys of those that were to act)
and `fired`: for each eraser that acted its `concept`, `key`, `layer`, `strength` and `tokens` with their activity (1:
as on the concept itself). Where a phrase was exchanged for a concept's name, `mentions` says which concept and how
sure, and if prompts are wanted `rewritten` the result; where the closed loop stepped in, `residual` says which concepts
it `found`, which are `left`, and if prompts are wanted which words were `taken`; `by_name_only` is true where a prompt
raised too many questions.
"refused": `reason`. "trusted", "attached", "detached": `erasers`.
"""


def event(what: str, keys: Iterable[str], request_id: str | None = None) -> Event:
    """An event with what all have in common."""
    made: Event = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": what}
    if request_id is not None:
        made["request_id"] = request_id
    return {**made, "erasers": sorted(keys)}


def encoded(
    base: Event, row: int, prompt: str, rewrite: Prepared | None, acted: Sequence[Acted], quoted: bool
) -> Event:
    """The event of the prompt in `row` of an encoding; `quoted` says whether it is in it itself."""
    made = {**base, "prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest()}
    if quoted:
        made["prompt"] = prompt
    if rewrite is not None and rewrite.mentions:
        made["mentions"] = [{"concept": name, "score": round(m.score, 3)} for name, m in rewrite.mentions]
        if quoted:
            made["rewritten"] = rewrite.text
    if rewrite is not None and rewrite.residual:
        made["residual"] = {"found": list(rewrite.residual), "left": list(rewrite.left)}
        if quoted:
            made["residual"]["taken"] = list(rewrite.taken)
            made["rewritten"] = rewrite.text
    if rewrite is not None and rewrite.by_name_only:
        made["by_name_only"] = True
    return {**made, "fired": [fired for one in acted if (fired := _fired(one, row)) is not None]}


def _fired(acted: Acted, row: int) -> Event | None:
    eraser, delta = acted.eraser, acted.delta
    places = delta.touched[row].nonzero()[:, 0].tolist() if row < len(delta.touched) else []
    if not places:
        return None
    activity = delta.activity[row].tolist()
    tokens = token_names(acted, row, places)
    return {
        "concept": eraser.name,
        "key": eraser.key,
        "layer": eraser.layer,
        "strength": acted.strength,
        "tokens": [[name, round(activity[place], 3)] for name, place in zip(tokens, places, strict=True)],
    }


def token_names(acted: Acted, row: int, places: Sequence[int]) -> list[str]:
    """The tokens at some places of a pass as the tokenizer spells them."""
    if acted.ids is None:
        return [str(place) for place in places]
    return list(acted.site.path.tokenizer.convert_ids_to_tokens(acted.ids[row, list(places)].tolist()))


_OURS = b'{"time": "'
"""What every line begins with."""
_BLOCK = 1 << 12


class AuditLog:
    """Appends events to a JSON-lines file, each line whole or not at all; safe for threads, and for processes that
    write into one file.

    Lines are written before anything is generated, so that a line which could not be written stops the generation.
    """

    def __init__(self, path: str | Path):
        """Raises `OSError` for a path that cannot be written, before anything runs."""
        self.path = Path(path)
        self._lock = threading.Lock()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.open("a", encoding="utf-8").close()

    def write(self, made: Event) -> None:
        """Append one line.

        Raises:
            AuditError: it cannot be written whole, as on a full disk; nothing of it is left in the file.
        """
        line = (json.dumps(made, ensure_ascii=False) + "\n").encode()
        try:
            with self._lock, self._opened() as (descriptor, size):
                if os.write(descriptor, line) < len(line):  # in one call, or others' lines could come between
                    os.ftruncate(descriptor, size)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise AuditError(
                f"the audit log {self.path} cannot be written ({error.strerror or error}), so nothing is generated."
                " Make room for it, or attach with another file."
            ) from error

    @contextmanager
    def _opened(self) -> Iterator[tuple[int, int]]:
        """The file to append to, locked against other processes, and its size."""
        reads = not self.path.exists() or self.path.is_file()  # a pipe or a terminal is not read
        access = (os.O_RDWR if reads else os.O_WRONLY) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(self.path, access | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                with suppress(OSError):  # some network drives cannot; appending in one call has to do
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor, _whole(descriptor)
        finally:
            os.close(descriptor)


def _whole(descriptor: int) -> int:
    """The size of a log whose last line is whole.

    Half a line is what a process left that was killed as it wrote: nothing came of it, and it is cut off.
    """
    status = os.fstat(descriptor)
    size = begin = status.st_size
    if not stat.S_ISREG(status.st_mode):
        return 0
    end = b""
    while begin and b"\n" not in end:
        begin, before = max(0, begin - _BLOCK), begin
        os.lseek(descriptor, begin, os.SEEK_SET)
        end = os.read(descriptor, before - begin) + end
    half = end.rpartition(b"\n")[2]
    if not half:
        return size
    if (half.startswith(_OURS) or _OURS.startswith(half)) and not _is_json(half):
        os.ftruncate(descriptor, size - len(half))
        return size - len(half)
    return size + os.write(descriptor, b"\n")  # somebody else's, or a line that lost its end


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
