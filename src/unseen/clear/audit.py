"""The audit log: one JSON line for every prompt that was encoded while erasers were attached."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from .eraser import ClearEraser, Delta


class AuditLog:
    """Appends to a JSON-lines file. A line holds `time` (UTC), `prompt_sha256`, `prompt` if wanted, and `fired`: for
    each eraser that acted its `concept`, `layer`, `strength`, and `tokens` with their activity (1: as on the concept
    itself). A prompt that no eraser touched has an empty `fired`."""

    def __init__(self, path: str | Path, *, with_prompts: bool = False):
        self.path = Path(path)
        self.with_prompts = with_prompts
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.open("a", encoding="utf-8").close()  # a path that cannot be written is refused before anything runs

    @contextmanager
    def token_ids(self, encoder: nn.Module) -> Iterator[list[Tensor]]:
        """Collects the token ids `[batch, tokens]` of every pass through the encoder."""
        seen: list[Tensor] = []

        def look(module: nn.Module, args: tuple, kwargs: dict) -> None:
            ids = kwargs.get("input_ids", args[0] if args else None)
            if isinstance(ids, Tensor):
                seen.append(ids.detach().cpu())

        handle = encoder.register_forward_pre_hook(look, with_kwargs=True)
        try:
            yield seen
        finally:
            handle.remove()

    def write(
        self,
        prompts: Sequence[str],
        ids: Sequence[Tensor],
        deltas: Sequence[tuple[ClearEraser, float, Delta]],
        tokenizer: Any,
    ) -> None:
        """Append a line per prompt; `ids` are those of one pass, `deltas` what each eraser did in it."""
        rows = torch.cat(list(ids)) if ids else None
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self.path.open("a", encoding="utf-8") as file:
            for row, prompt in enumerate(prompts):
                line: dict[str, Any] = {"time": now, "prompt_sha256": hashlib.sha256(prompt.encode()).hexdigest()}
                if self.with_prompts:
                    line["prompt"] = prompt
                line["fired"] = [
                    fired
                    for eraser, strength, delta in deltas
                    if (fired := _fired(eraser, strength, delta, row, rows, tokenizer)) is not None
                ]
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _fired(
    eraser: ClearEraser, strength: float, delta: Delta, row: int, ids: Tensor | None, tokenizer: Any
) -> dict[str, Any] | None:
    places = delta.touched[row].nonzero()[:, 0].tolist()
    if not places:
        return None
    activity = delta.activity[row].tolist()
    names = [str(place) for place in places] if ids is None else tokenizer.convert_ids_to_tokens(ids[row, places])
    return {
        "concept": eraser.name,
        "layer": eraser.layer,
        "strength": strength,
        "tokens": [[name, round(activity[place], 3)] for name, place in zip(names, places, strict=True)],
    }
