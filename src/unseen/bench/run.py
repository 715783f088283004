"""From prompts to clips: base videos shared by all methods, erased ones only where the erasure changes the encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from unseen.bench.cache import BASE, ClipCache
from unseen.bench.prompts import Prompt

Generate = Callable[..., np.ndarray]
"""`(pipe, prompts, seeds, *, batch_size) -> uint8 [n, frames, H, W, 3]`, as `unseen.diorama.generate`."""


@dataclass(frozen=True)
class Method:
    """One way to change what the pipeline draws: an eraser, several, a control, or a baseline."""

    name: str
    """As it is called in tables."""
    fingerprint: str
    """Changes whenever the method would draw other clips; clips are kept under it."""
    applied_to: Callable[[Any], AbstractContextManager[Any]]
    """`with method.applied_to(pipe):` the pipeline draws with the method, afterwards without it."""
    text_only: bool = True
    """Whether it acts through the prompt encoding alone, so that an unchanged encoding means an unchanged clip."""


UNEDITED = Method("before", BASE, lambda pipe: nullcontext())


@dataclass(frozen=True)
class Clips:
    """What was drawn for some prompts by one method."""

    prompts: tuple[Prompt, ...]
    frames: np.ndarray
    """uint8 `[prompts, frames, H, W, 3]`"""
    identical: np.ndarray
    """bool `[prompts]`: the method left the prompt's encoding bit-identical, so the clip is the base clip itself."""

    def select(self, keep: np.ndarray) -> Clips:
        """The clips where `keep` (bool `[prompts]`) is true."""
        prompts = tuple(prompt for prompt, kept in zip(self.prompts, keep, strict=True) if kept)
        return Clips(prompts, self.frames[keep], self.identical[keep])


def encode(pipe: Any, texts: Sequence[str], *, max_sequence_length: int, batch_size: int = 64) -> torch.Tensor:
    """What the video model is given for `texts`, `[prompts, positions, d]`; the pipeline's own encoding."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(texts), batch_size):
            embeds, _ = pipe.encode_prompt(
                list(texts[start : start + batch_size]),
                do_classifier_free_guidance=False,
                max_sequence_length=max_sequence_length,
            )
            parts.append(embeds)
    return torch.cat(parts)


def unchanged(pipe: Any, method: Method, texts: Sequence[str], *, max_sequence_length: int) -> np.ndarray:
    """bool `[prompts]`: whether `method` leaves a prompt's encoding, and the empty prompt's, bit-identical."""
    asked = [*texts, ""]
    before = encode(pipe, asked, max_sequence_length=max_sequence_length)
    with method.applied_to(pipe):
        after = encode(pipe, asked, max_sequence_length=max_sequence_length)
    same = (before == after).flatten(1).all(1).cpu().numpy()
    return same[:-1] & same[-1]


def _batches(indices: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    return (indices[start : start + size] for start in range(0, len(indices), size))


class Runner:
    """Draws clips with one pipeline and keeps them in one cache."""

    def __init__(
        self,
        pipe: Any,
        cache: ClipCache,
        generate: Generate,
        *,
        max_sequence_length: int,
        batch_size: int = 8,
        progress: bool = True,
    ):
        self.pipe = pipe
        self.cache = cache
        self.generate = generate
        self.max_sequence_length = max_sequence_length
        self.batch_size = batch_size
        self.progress = progress
        self.drawn = 0
        """Clips drawn by this runner so far, not counting those found in the cache or reused."""

    def clips(self, prompts: Sequence[Prompt], method: Method = UNEDITED) -> Clips:
        """Clips of `prompts` under `method`, from the cache where they lie there; every finished batch is kept at once.

        A prompt that the method encodes bit-identically is not drawn again: its base clip is used.
        """
        identical = np.zeros(len(prompts), bool)
        if method is not UNEDITED and method.text_only and prompts:
            identical = unchanged(
                self.pipe, method, [p.text for p in prompts], max_sequence_length=self.max_sequence_length
            )
        frames: dict[int, np.ndarray] = {}
        for edit, members in ((UNEDITED, identical), (method, ~identical)):
            wanted = [int(i) for i in np.flatnonzero(members)]
            frames |= self._draw(prompts, wanted, edit)
        stacked = np.stack([frames[i] for i in range(len(prompts))]) if prompts else np.zeros((0, 0, 0, 0, 3), np.uint8)
        return Clips(tuple(prompts), stacked, identical)

    def _draw(self, prompts: Sequence[Prompt], wanted: Sequence[int], method: Method) -> dict[int, np.ndarray]:
        addresses = {i: self.cache.address(prompts[i].text, prompts[i].seed, method.fingerprint) for i in wanted}
        found: dict[str, np.ndarray] = {}
        missing: dict[str, int] = {}  # by address, so that a prompt asked for twice is drawn once
        for i, address in addresses.items():
            if address not in found and address not in missing:
                clip = self.cache.load(address)
                if clip is None:
                    missing[address] = i
                else:
                    found[address] = clip
        todo = list(missing.values())
        with (
            tqdm(
                total=len(todo), desc=f"clips, {method.name}", unit="clip", disable=not (self.progress and todo)
            ) as bar,
            method.applied_to(self.pipe) if todo else nullcontext(),
        ):
            for batch in _batches(todo, self.batch_size):
                drawn = self.generate(
                    self.pipe,
                    [prompts[i].text for i in batch],
                    [prompts[i].seed for i in batch],
                    batch_size=self.batch_size,
                )
                for i, clip in zip(batch, drawn, strict=True):
                    self.cache.save(addresses[i], clip)
                    found[addresses[i]] = clip
                self.drawn += len(batch)
                bar.update(len(batch))
        return {i: found[address] for i, address in addresses.items()}
