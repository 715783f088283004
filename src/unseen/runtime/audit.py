"""What erasers did to a prompt, as one JSON-able event; the audit log keeps them, one line each."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .erasers import Acted
from .rewriting import Prepared

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


class AuditLog:
    """Appends events to a JSON-lines file; safe for threads."""

    def __init__(self, path: str | Path):
        """Raises `OSError` for a path that cannot be written, before anything runs."""
        self.path = Path(path)
        self._lock = threading.Lock()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.open("a", encoding="utf-8").close()

    def write(self, made: Event) -> None:
        """Append one line."""
        line = json.dumps(made, ensure_ascii=False) + "\n"
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(line)
