"""A suite's equipment: pipeline, clips kept on disk, detectors, fits made once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np

from unseen.bench.clips.engines import open_engine
from unseen.bench.clips.job import UNEDITED, Method, weights_fingerprint
from unseen.bench.clips.make import Clips, ClipStore, Runner
from unseen.bench.clips.workers import Recipe
from unseen.bench.fits import Fits
from unseen.bench.prompts.writer import Prompt
from unseen.bench.suite import Suite
from unseen.clear.config import ClearConfig
from unseen.concept import Concept
from unseen.diorama.detector.detector import load_detector
from unseen.diorama.model.networks import Which
from unseen.diorama.model.pipeline import draw, load_pipeline, recommended
from unseen.pipelines import load
from unseen.prompts.writer import write_prompts

DIORAMAS = {"diorama-a": "a", "diorama-b": "b"}
"""Diorama's detectors, which are asked for more than a class for each frame."""


class Study:
    """Draws, reads and fits for a suite, and keeps what it made."""

    def __init__(
        self,
        suite: Suite,
        folder: Path = Path("runs/evaluate"),
        *,
        pipe: Any = None,
        load: Callable[[], Any] | None = None,
        detectors: Sequence[Any] | None = None,
        clips: Path | None = None,
        config: ClearConfig | None = None,
        progress: bool = True,
    ):
        """Everything lies in `folder`, clips in `clips` beside it, where all suites share them.

        `load` gives the pipeline, here and in every worker (which imports the function by its name); `pipe` is what it
        gives, where that is at hand. They, the `detectors` (the judge, then second opinions) and the fits' `config`
        default to what the suite says.

        Raises:
            EngineError: what the suite's engine needs is not installed.
            DetectorError: there is no such detector, or something that it needs is missing.
        """
        self.suite = suite
        self.folder = folder
        self.progress = progress
        load = load or _loading(suite)
        self.pipe = load() if pipe is None else pipe
        self.detectors = [_detector(name) for name in suite.detectors] if detectors is None else list(detectors)
        self.weights = weights_fingerprint(self.pipe)
        steps = {"num_inference_steps": suite.steps} if suite.steps else {}
        self.call = {**recommended(self.pipe, is_diorama=suite.is_diorama), **suite.call, **steps}
        self.config = config or (ClearConfig.paper() if suite.config == "paper" else ClearConfig())
        self.fits = Fits(self.pipe, self.weights, folder, suite.seed, self.config, progress)
        store = ClipStore(folder.parent / "clips" if clips is None else clips, weights=self.weights, call=self.call)
        recipe = Recipe(load, partial(draw, call=self.call), self.weights)
        self.engine = open_engine(suite.engine, self.pipe, recipe, suite.workers)
        self.runner = Runner(self.pipe, store, self.engine, self.call, progress=progress)

    @property
    def judge(self) -> Any:
        """The detector whose readings the tables show."""
        return self.detectors[0]

    def clips(self, prompts: Sequence[Prompt], method: Method = UNEDITED) -> Clips:
        """Clips of `prompts` under `method`."""
        return self.runner.clips(prompts, method)

    def draw(self, texts: Sequence[str], seeds: Sequence[int]) -> np.ndarray:
        """Frames of one batch, drawn here and now by whatever is on the pipeline; nothing is kept."""
        return draw(self.pipe, texts, seeds, batch_size=len(texts), call=self.call)

    def prepare(self, asked: Iterable[tuple[Sequence[Prompt], Method]]) -> None:
        """Have everything drawn that calls of `clips` with these arguments will ask for."""
        self.runner.prepare(asked)

    def close(self) -> None:
        """End the engine's workers."""
        self.engine.close()

    def say(self, text: str) -> None:
        """Tell the user how far it is."""
        if self.progress:
            print(text, flush=True)

    def fit_texts(self, concept: Concept) -> list[str]:
        """Every prompt that a fit of `concept` reads."""
        config = self.config.prompts
        prompts = write_prompts(concept, seed=self.suite.seed, pairs=config.pairs, retain=config.retain)
        return [text for pair in prompts.pairs for text in pair] + [*prompts.retain, *prompts.same_word]


def _loading(suite: Suite) -> Callable[[], Any]:
    return partial(load_pipeline, cast(Which, suite.model)) if suite.is_diorama else partial(load, suite.model)


def _detector(name: str) -> Any:
    if name in DIORAMAS:
        return load_detector(DIORAMAS[name])
    from unseen.detectors import load_detector as by_name

    return by_name(name)
