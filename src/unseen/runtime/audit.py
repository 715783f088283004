"""The audit log: one JSON line for every prompt that was encoded while erasers were attached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from .phrases import Phrase

if TYPE_CHECKING:
    from ..clear.eraser import ClearEraser, Delta


class Heard(NamedTuple):
    """What happened in one text encoder while prompts were encoded."""

    tokenizer: Any
    ids: Sequence[Tensor]
    """Token ids of every pass, `[batch, tokens]`."""
    deltas: Sequence[tuple[ClearEraser, float, Delta]]
    """What each eraser did, with its strength."""


class AuditLog:
    """Appends to a JSON-lines file. A line holds `time` (UTC), `prompt_sha256`, `prompt` if wanted, and `fired`: for
    each eraser that acted its `concept`, `layer`, `strength`, and `tokens` with their activity (1: as on the concept
    itself). A prompt that no eraser touched has an empty `fired`. Where a phrase was read as a concept's name,
    `mentions` says which concept and how sure (`unseen.runtime.paraphrase`), and if prompts are wanted `read_as` the
    result."""

    def __init__(self, path: str | Path, *, with_prompts: bool = False):
        self.path = Path(path)
        self.with_prompts = with_prompts
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.open("a", encoding="utf-8").close()  # a path that cannot be written is refused before anything runs

    @contextmanager
    def token_ids(self, encoders: Sequence[nn.Module]) -> Iterator[list[list[Tensor]]]:
        """Collects, for each encoder, the token ids `[batch, tokens]` of every pass through it."""
        seen: list[list[Tensor]] = [[] for _ in encoders]

        def listener(own: list[Tensor]) -> Callable:
            def look(module: nn.Module, args: tuple, kwargs: dict) -> None:
                ids = kwargs.get("input_ids", args[0] if args else None)
                if isinstance(ids, Tensor):
                    own.append(ids.detach().cpu())

            return look

        handles = [
            encoder.register_forward_pre_hook(listener(own), with_kwargs=True)
            for encoder, own in zip(encoders, seen, strict=True)
        ]
        try:
            yield seen
        finally:
            for handle in handles:
                handle.remove()

    def write(
        self, prompts: Sequence[str], heard: Sequence[Heard], read: Sequence[tuple[str, Sequence[tuple[str, Phrase]]]]
    ) -> None:
        """Append a line per prompt from what was `heard` in each text encoder and how the prompt was `read` before
        (`unseen.runtime.paraphrase`)."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self.path.open("a", encoding="utf-8") as file:
            for row, prompt in enumerate(prompts):
                line: dict[str, Any] = {"time": now, "prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest()}
                if self.with_prompts:
                    line["prompt"] = prompt
                read_as, mentions = read[row]
                if mentions:
                    line["mentions"] = [{"concept": name, "score": round(m.score, 3)} for name, m in mentions]
                    if self.with_prompts:
                        line["read_as"] = read_as
                line["fired"] = [
                    fired
                    for part in heard
                    for eraser, strength, delta in part.deltas
                    if (fired := _fired(eraser, strength, delta, row, part.ids, part.tokenizer)) is not None
                ]
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _fired(
    eraser: ClearEraser, strength: float, delta: Delta, row: int, ids: Sequence[Tensor], tokenizer: Any
) -> dict[str, Any] | None:
    places = delta.touched[row].nonzero()[:, 0].tolist()
    if not places:
        return None
    activity = delta.activity[row].tolist()
    names = tokenizer.convert_ids_to_tokens(torch.cat(list(ids))[row, places]) if ids else [str(p) for p in places]
    return {
        "concept": eraser.name,
        "layer": eraser.layer,
        "strength": strength,
        "tokens": [[name, round(activity[place], 3)] for name, place in zip(names, places, strict=True)],
    }
