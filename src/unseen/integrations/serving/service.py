"""A pipeline that several requests share: a bounded queue, a few threads, and each request's own erasers.

It knows nothing of HTTP. A request that finds the queue full is sent away at once; one that waited too long is not
begun. Each runs in `handle.using(its erasers, request_id=...)`, so what one asks for concerns no other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch

from ...errors import ServeError
from ...runtime.attach import attach
from ...runtime.audit import Event
from ...runtime.context.proofs import Proof
from ...runtime.embeddings import Embeddings
from ...runtime.handle import Handle
from .policy import Choice

T = TypeVar("T")
log = logging.getLogger("unseen")


@dataclass(frozen=True)
class Limits:
    """What a request may cost."""

    workers: int = 1
    """Requests that run at once; one pipeline draws one clip at a time anyway."""
    queue: int = 16
    """Requests that may wait."""
    patience: float = 60.0
    """Seconds that a request waits at most before it is begun."""
    prompts: int = 16
    """Prompts of one request for embeddings."""
    characters: int = 4000
    """Of a prompt."""
    steps: int = 100
    frames: int = 161
    pixels: int = 1280 * 768
    """Of a frame."""
    body: int = 1 << 20
    """Bytes of a request; `prompts` of `characters` each, all of them escaped, have less."""


@dataclass
class Done:
    """What a request came to."""

    value: Any
    erasers: list[str] = field(default_factory=list)
    """Keys of the erasers that were to act."""
    fired: list[str] = field(default_factory=list)
    """Concepts that were found and erased."""


class Service:
    """Runs requests on a pipeline; close it to detach the erasers."""

    def __init__(
        self,
        pipe: Any,
        erasers: Sequence[Any],
        *,
        call: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        **options: Any,
    ) -> None:
        """`call` are arguments of the pipeline's call, `options` those of `unseen.attach`, such as `audit`; `tell` is
        called with every event of the erasers.

        Without erasers the pipeline is bare. Raises what `unseen.attach` raises.
        """
        self.pipe, self.limits, self.call = pipe, limits or Limits(), dict(call or {})
        self.tell: Callable[[Event], None] = lambda event: None
        self._running: dict[str, list[Event]] = {}
        self._lock = threading.Lock()
        self.handle: Handle | None = attach(pipe, erasers, on_event=self._heard, **options) if erasers else None
        self._pool = ThreadPoolExecutor(self.limits.workers, thread_name_prefix="unseen-serve")
        self._admitted = 0
        self._closed = False

    @property
    def own_strengths(self) -> dict[str, float]:
        """Strength by concept, as attached."""
        if self.handle is None:
            return {}
        return {e.name: s for e, s in zip(self.handle.erasers, self.handle.strengths, strict=True)}

    @property
    def healthy(self) -> bool:
        """Whether requests are served, with all erasers in place."""
        return not self._closed and (self.handle is None or self.handle.attached)

    @property
    def admitted(self) -> int:
        """Requests that run or wait."""
        return self._admitted

    def close(self) -> None:
        """Finish what runs, send away what waits, detach."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self.handle is not None:
            self.handle.detach()

    def encode(self, prompts: Sequence[str], choice: Choice, request_id: str, **options: Any) -> Future[Done]:
        """Embeddings of prompts, with their proof. Raises `ServeError` (503) where the queue is full."""

        def work() -> Embeddings:
            if self.handle is not None:
                return self.handle.encode(list(prompts), **options)
            with torch.no_grad():
                options.setdefault("do_classifier_free_guidance", options.get("negative_prompt") is not None)
                positive, negative = self.pipe.encode_prompt(list(prompts), **options)
            made = {"prompt_embeds": positive, "negative_prompt_embeds": negative}
            return Embeddings({n: t for n, t in made.items() if t is not None}, Proof(frozenset(), False))

        return self._submit(work, choice, request_id)

    def generate(self, prompt: str, seed: int, choice: Choice, request_id: str, **options: Any) -> Future[Done]:
        """A clip, uint8 `[frames, H, W, 3]`. Raises `ServeError` (503) where the queue is full."""

        def work() -> np.ndarray:
            generator = torch.Generator("cpu").manual_seed(seed)
            asked = {**self.call, **options, "output_type": "np"}
            frames = np.asarray(self.pipe(prompt, generator=generator, **asked).frames[0])
            return (frames * 255).round().clip(0, 255).astype(np.uint8)

        return self._submit(work, choice, request_id)

    def _submit(self, work: Callable[[], Any], choice: Choice, request_id: str) -> Future[Done]:
        with self._lock:
            if self._closed:
                raise ServeError(503, "this server is closing.")
            if self._admitted >= self.limits.workers + self.limits.queue:
                raise ServeError(503, f"{self._admitted} requests run or wait, which is the most; try again later.")
            self._admitted += 1
        came = time.monotonic()

        def run() -> Done:
            if time.monotonic() - came > self.limits.patience:
                raise ServeError(503, f"this request waited for more than {self.limits.patience:g} s; try again later.")
            with self._lock:
                self._running[request_id] = []
            try:
                with self._chosen(choice, request_id):
                    value = work()
            finally:
                with self._lock:
                    events = self._running.pop(request_id)
            if self.handle is not None and not any(event["event"] == "encoded" for event in events):
                raise ServeError(500, "the erasers did not see this request's prompt, so nothing is given out.")
            erasers = sorted({key for event in events for key in event["erasers"]})
            fired = sorted({one["concept"] for event in events for one in event.get("fired", ())})
            return Done(value, erasers, fired)

        try:
            future = self._pool.submit(run)
        except RuntimeError as error:  # closed meanwhile
            self._left()
            raise ServeError(503, "this server is closing.") from error
        future.add_done_callback(lambda _: self._left())
        return future

    def _chosen(self, choice: Choice, request_id: str) -> AbstractContextManager[Any]:
        return nullcontext() if self.handle is None else self.handle.using(choice, request_id=request_id)

    def _left(self) -> None:
        with self._lock:
            self._admitted -= 1

    def _heard(self, event: Event) -> None:
        with self._lock:
            own = self._running.get(event.get("request_id", ""))
            if own is not None:
                own.append(event)
        self.tell(event)
