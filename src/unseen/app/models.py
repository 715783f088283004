"""Loaded pipelines: the only thing that tabs share, one tab at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from unseen.clear.config import ClearConfig
from unseen.errors import AppError

DIORAMA = {"Diorama-Wan": "wan", "Diorama-CogVideoX": "cogvideox"}
"""What the two embedded models are called on the page."""
_WORDS = {"wan": "Diorama-Wan", "diorama-wan": "Diorama-Wan"} | {
    name: "Diorama-CogVideoX" for name in ("cogvideox", "diorama-cogvideox")
}
_KEPT = 64  # clips without erasers, drawn once for all strengths


@dataclass(frozen=True)
class Settings:
    """What the page was started with."""

    model: str = "Diorama-Wan"
    """One of `DIORAMA`, a hub id or a folder."""
    config: ClearConfig | None = None
    """Settings of fits; None = the defaults."""
    call: Mapping[str, Any] | None = None
    """Arguments of the pipeline's call; None = those its makers recommend."""


class Model:
    """A pipeline behind a lock. Everything that runs it holds the lock, so no tab meets another's erasers."""

    def __init__(self, name: str, load: Callable[[], Any], call: Mapping[str, Any] | None = None):
        """`load` is called when the pipeline is first used."""
        self.name = name
        self._load, self._given, self._lock = load, call, threading.RLock()
        self._pipe: Any = None
        self._bare: OrderedDict[tuple[str, int], np.ndarray] = OrderedDict()

    @property
    def busy(self) -> bool:
        """Whether another thread is using the pipeline now."""
        if not self._lock.acquire(blocking=False):
            return True
        self._lock.release()
        return False

    @property
    def is_diorama(self) -> bool:
        """Whether it is one of the embedded models, whose world is known."""
        return self.name in DIORAMA

    @contextmanager
    def held(self) -> Iterator[Any]:
        """The pipeline, for as long as the block takes this thread's alone; it is loaded if need be.

        Raises:
            LoadError: there is no such pipeline.
        """
        with self._lock:
            if self._pipe is None:
                self._pipe = self._load()
            yield self._pipe

    def call(self, pipe: Any) -> dict[str, Any]:
        """Arguments of the pipeline's call beside the prompt and the noise."""
        if self._given is not None:
            return dict(self._given)
        from unseen.diorama.model.pipeline import recommended

        return recommended(pipe, is_diorama=self.is_diorama)

    def bare(self, prompt: str, seed: int) -> np.ndarray:
        """The clip without erasers, uint8 `[frames, H, W, 3]`, not to be written to; drawn once for each noise."""
        from unseen.diorama.model.pipeline import draw_clip

        with self.held() as pipe:
            if (prompt, seed) not in self._bare:
                clip = draw_clip(pipe, prompt, seed, self.call(pipe))
                clip.setflags(write=False)
                self._bare[prompt, seed] = clip
            self._bare.move_to_end((prompt, seed))
            while len(self._bare) > _KEPT:
                self._bare.popitem(last=False)
            return self._bare[prompt, seed]

    def has_bare(self, prompt: str, seed: int) -> bool:
        """Whether the clip without erasers is drawn already."""
        return (prompt, seed) in self._bare


class Models:
    """The models of one page, by name."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self._known: dict[str, Model] = {}
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """What the page offers: the model it was started with, then the embedded ones."""
        return list(dict.fromkeys([model_name(self.settings.model), *DIORAMA]))

    def get(self, name: str | None) -> Model:
        """The model of that name, not loaded yet perhaps.

        Raises:
            AppError: no name was given.
        """
        name = model_name(name)
        with self._lock:
            if name not in self._known:
                self._known[name] = Model(name, lambda: _load(name), self.settings.call)
            return self._known[name]


def model_name(name: str | None) -> str:
    """The name a model goes by on the page. Raises `AppError` for no name."""
    name = (name or "").strip()
    if not name:
        raise AppError("Choose a model: Diorama-Wan, or the hub id or folder of a diffusers pipeline.")
    return _WORDS.get(name.lower(), name)


def _load(name: str) -> Any:
    if name in DIORAMA:
        from unseen.diorama.model.pipeline import load_pipeline

        return load_pipeline(DIORAMA[name])  # type: ignore[arg-type]
    from unseen.pipelines import load

    return load(name)
