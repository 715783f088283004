"""From prompts to clips: base videos shared by all methods, erased ones only where the erasure changes the encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

import unseen
from unseen.bench.cache import BASE, ClipCache, digest
from unseen.bench.engines import Engine, Job
from unseen.bench.prompts import Prompt
from unseen.clear.eraser import ClearEraser
from unseen.runtime.paraphrase import REWRITING_VERSION


@dataclass(frozen=True)
class Method:
    """One way to change what the pipeline draws: an eraser, several, a control, or a baseline."""

    name: str
    """As it is called in tables."""
    fingerprint: str
    """Changes whenever the method would draw other clips; clips are kept under it."""
    applied_to: Callable[[Any], AbstractContextManager[Any]]
    """`with method.applied_to(pipe):` the pipeline draws with the method, afterwards without it. Workers in other
    processes are sent it, so it should be one that `pickle` can send: `partial(unseen.attach, erasers=eraser)`."""
    text_only: bool = True
    """Whether it acts through the prompt encoding alone, so that an unchanged encoding means an unchanged clip."""


def erased_by(name: str, *erasers: ClearEraser) -> Method:
    """Erasers as a method called `name`. Which words of a prompt they act on is up to the rewriting, so its version
    counts too."""
    fingerprint = digest(erasers=sorted(eraser.key for eraser in erasers), rewriting=REWRITING_VERSION)
    return Method(name, fingerprint, partial(unseen.attach, erasers=erasers))


def _as_it_is(pipe: Any) -> AbstractContextManager[None]:
    return nullcontext()


UNEDITED = Method("before", BASE, _as_it_is)


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


def _batches(things: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (things[start : start + size] for start in range(0, len(things), size))


class Runner:
    """Has clips drawn, for one pipeline, and keeps them in one cache."""

    def __init__(
        self,
        pipe: Any,
        cache: ClipCache,
        engine: Engine,
        *,
        max_sequence_length: int,
        batch_size: int = 8,
        progress: bool = True,
    ):
        """`pipe` is asked for encodings; the clips are drawn by `engine`."""
        self.pipe = pipe
        self.cache = cache
        self.engine = engine
        self.max_sequence_length = max_sequence_length
        self.batch_size = batch_size
        self.progress = progress
        self.drawn = 0
        """Clips drawn by this runner so far, not counting those found in the cache or reused."""
        self._identical: dict[tuple[str, tuple[str, ...]], np.ndarray] = {}

    def clips(self, prompts: Sequence[Prompt], method: Method = UNEDITED) -> Clips:
        """Clips of `prompts` under `method`, from the cache where they lie there; every finished batch is kept at once.

        A prompt that the method encodes bit-identically is not drawn again: its base clip is used.
        """
        self.prepare([(prompts, method)])
        identical = self._unchanged(prompts, method)
        frames = []
        for prompt, same in zip(prompts, identical, strict=True):
            clip = self.cache.load(self._address(prompt, UNEDITED if same else method))
            assert clip is not None, "a clip that was just kept is gone"
            frames.append(clip)
        stacked = np.stack(frames) if frames else np.zeros((0, 0, 0, 0, 3), np.uint8)
        return Clips(tuple(prompts), stacked, identical)

    def prepare(self, asked: Iterable[tuple[Sequence[Prompt], Method]]) -> None:
        """Draw what calls of `clips` with these arguments will ask for; all in one go, so that many workers are busy.

        A call's batches are always composed in the same way, and one of which some clips are missing is drawn whole.
        So an interrupted run ends with the same frames as one that was not interrupted.
        """
        jobs: list[Job] = []
        missing: list[dict[str, int]] = []  # for each job, addresses of clips to keep, with their place in the batch
        planned: set[str] = set()
        for prompts, method in asked:
            identical = self._unchanged(prompts, method)
            for edit, members in ((UNEDITED, identical), (method, ~identical)):
                # by address, so that a prompt asked for twice is drawn once
                wanted = {self._address(prompts[i], edit): prompts[i] for i in map(int, np.flatnonzero(members))}
                for batch in _batches(list(wanted.items()), self.batch_size):
                    new = {
                        address: place
                        for place, (address, _) in enumerate(batch)
                        if address not in planned and self.cache.load(address) is None
                    }
                    if new:
                        planned |= set(new)
                        missing.append(new)
                        jobs.append(Job(edit, tuple(p.text for _, p in batch), tuple(p.seed for _, p in batch)))
        self._draw(jobs, missing)

    def _draw(self, jobs: Sequence[Job], missing: Sequence[dict[str, int]]) -> None:
        names = sorted({job.method.name for job in jobs})
        what = names[0] if len(names) == 1 else f"{len(names)} methods"
        total = sum(len(job.texts) for job in jobs)
        with (
            tqdm(total=total, desc=f"clips, {what}", unit="clip", disable=not (self.progress and jobs)) as bar,
            closing(self.engine.draw(jobs)) as drawing,
        ):
            for number, frames in drawing:
                for address, place in missing[number].items():
                    self.cache.save(address, frames[place])
                self.drawn += len(frames)
                bar.update(len(frames))

    def _address(self, prompt: Prompt, method: Method) -> str:
        return self.cache.address(prompt.text, prompt.seed, method.fingerprint)

    def _unchanged(self, prompts: Sequence[Prompt], method: Method) -> np.ndarray:
        """bool `[prompts]`; remembered, since a call of `prepare` is followed by one of `clips`."""
        if method is UNEDITED or not method.text_only or not prompts:
            return np.zeros(len(prompts), bool)
        texts = tuple(prompt.text for prompt in prompts)
        key = (method.fingerprint, texts)
        if key not in self._identical:
            self._identical[key] = unchanged(self.pipe, method, texts, max_sequence_length=self.max_sequence_length)
        return self._identical[key]
