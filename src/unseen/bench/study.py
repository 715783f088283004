"""One evaluation's equipment: pipeline, clips kept on disk, detectors, erasers fitted once, prompts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from unseen.bench.cache import ClipCache, digest, weights_fingerprint
from unseen.bench.engines import open_engine
from unseen.bench.fits import Fitted, fit_with_control
from unseen.bench.prompts import Prompt, PromptWriter
from unseen.bench.readings import Readings, read_clips
from unseen.bench.run import UNEDITED, Clips, Method, Runner
from unseen.bench.workers import Recipe
from unseen.clear.config import ClearConfig
from unseen.clear.eraser import METADATA_FILE, ClearEraser
from unseen.clear.fit import FIT_VERSION
from unseen.concept import Concept
from unseen.diorama.detector.detector import Detector, load_detector
from unseen.diorama.model.networks import Which
from unseen.diorama.model.pipeline import GENERATION, generate, load_pipeline
from unseen.diorama.world.captions import key_of, main_name
from unseen.prompts.writer import write_prompts

QUICK_CLIPS = 4
"""Clips per cell of a quick look."""


@dataclass(frozen=True)
class Settings:
    """What is measured, and where results lie."""

    folder: Path = Path("runs/evaluate")
    """Tables and erasers; clips are kept beside it, in `clips`, and shared by all evaluations."""
    model: Which = "wan"
    """Which of Diorama's two models; a clip is kept under its model's weights, so that they never mix."""
    split: str = "test"
    """Wording of the prompts: "development" or "test"."""
    seed: int = 0
    config: str = "default"
    """Settings of the fits: "default" or "paper"."""
    concepts: tuple[str, ...] = ()
    """Names of the concepts to look at; none means the evaluation's own choice."""
    methods: tuple[str, ...] = ()
    """Names of the methods to compare; none means all."""
    suite: str | None = None
    """Name or file of the suite that the settings are from."""
    clips: int | None = None
    """Clips per cell; None means enough for 300 per headline."""
    test_clips: int | None = None
    """Clips per cell on test wording, where a comparison reports more than it tunes on; None means as many."""
    attacks: bool = False
    """Whether a comparison of methods also tries to get the concepts back."""
    quick: bool = False
    listed: bool = False
    """Whether the phrasings' fits are given the `fit` split's synonyms and descriptions beside the main name."""
    steps: int | None = None
    """Denoising steps a clip; None means those of `GENERATION`."""
    engine: str = "inline"
    """Who draws the clips, one of `unseen.bench.engines.ENGINES`; the results are the same."""
    workers: int = 2
    """Of an engine other than "inline"."""
    progress: bool = True

    def count(self, usual: int) -> int:
        """Clips in a cell that usually has `usual`."""
        return self.clips or (min(QUICK_CLIPS, usual) if self.quick else usual)

    def reported(self, usual: int) -> int:
        """The same on test wording: never fewer, so that what is reported holds what a smaller comparison reported."""
        return max(self.count(usual), self.test_clips or 0)


class Study:
    """Draws, reads and fits for an evaluation, and keeps what it made."""

    def __init__(
        self,
        settings: Settings,
        *,
        pipe: Any = None,
        load: Callable[[], Any] | None = None,
        detectors: Sequence[Detector] | None = None,
        cache_folder: Path | None = None,
    ):
        """`load` gives the pipeline, here and in every worker (which imports the function by its name).

        It and the `detectors` (the judge, then the second opinion) default to Diorama's own. `pipe` is what `load`
        gives, where that is at hand.

        Raises:
            EngineError: what the settings' engine needs is not installed.
        """
        self.settings = settings
        load = load or partial(load_pipeline, settings.model)
        self.pipe = load() if pipe is None else pipe
        self.detectors = [load_detector("a"), load_detector("b")] if detectors is None else list(detectors)
        self.weights = weights_fingerprint(self.pipe)
        self.writer = PromptWriter(settings.split, settings.seed)
        folder = settings.folder.parent / "clips" if cache_folder is None else cache_folder
        self.faster: dict[str, Any] = {} if settings.steps is None else {"num_inference_steps": settings.steps}
        """What the pipeline is called with besides `GENERATION`."""
        self.cache = ClipCache(folder, pipe_fingerprint=self.weights, call={**GENERATION, **self.faster})
        recipe = Recipe(load, partial(generate, **self.faster), self.weights)
        self.engine = open_engine(settings.engine, self.pipe, recipe, settings.workers)
        self.runner = Runner(
            self.pipe,
            self.cache,
            self.engine,
            max_sequence_length=GENERATION["max_sequence_length"],
            progress=settings.progress,
        )

    @property
    def judge(self) -> Detector:
        """The detector whose readings the tables show."""
        return self.detectors[0]

    def chosen(self, usual: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
        """Keys of the concepts that were asked for, else `usual`; raises `ValueError` for one not in `known`."""
        keys = tuple(key_of(name) for name in self.settings.concepts) or tuple(usual)
        for key in keys:
            if key not in known:
                raise ValueError(f"{main_name(key)!r} is not measured here; choose among {', '.join(known)}.")
        return keys

    def clips(self, prompts: Sequence[Prompt], method: Method = UNEDITED) -> Clips:
        """Clips of `prompts` under `method`."""
        return self.runner.clips(prompts, method)

    def prepare(self, asked: Iterable[tuple[Sequence[Prompt], Method]]) -> None:
        """Have everything drawn that calls of `clips` with these arguments will ask for."""
        self.runner.prepare(asked)

    def close(self) -> None:
        """End the engine's workers."""
        self.engine.close()

    def read(self, clips: Clips, which: int = 0) -> Readings:
        """What detector number `which` sees in `clips`."""
        return read_clips(self.detectors[which], clips)

    def say(self, text: str) -> None:
        """Tell the user how far the evaluation is."""
        if self.settings.progress:
            print(text, flush=True)

    @property
    def config(self) -> ClearConfig:
        """The settings of the fits."""
        return ClearConfig.paper() if self.settings.config == "paper" else ClearConfig()

    def eraser(self, concept: Concept, *, config: ClearConfig | None = None) -> Fitted:
        """An eraser for `concept`, fitted now or found from an earlier run with the same settings and code."""
        settings, config = self.settings, config or self.config
        address = digest(
            concept=repr(concept), config=repr(config), seed=settings.seed, pipe=self.weights, code=FIT_VERSION
        )
        folder = settings.folder / "erasers" / f"{concept.name.lower().replace(' ', '-')}-{address[:12]}"
        if not (folder / "control" / METADATA_FILE).exists():
            self.say(f"fitting an eraser for {concept.name}")
            made, control = fit_with_control(self.pipe, concept, config, seed=settings.seed, progress=settings.progress)
            made.save_pretrained(folder / "eraser")
            control.save_pretrained(folder / "control")
        eraser, control = (ClearEraser.from_pretrained(folder / name) for name in ("eraser", "control"))
        return Fitted(concept, eraser, control, folder / "eraser")

    def fit_texts(self, concept: Concept) -> list[str]:
        """Every prompt that a fit of `concept` under these settings reads."""
        config = self.config
        prompts = write_prompts(
            concept, seed=self.settings.seed, pairs=config.prompts.pairs, retain=config.prompts.retain
        )
        return [text for pair in prompts.pairs for text in pair] + [*prompts.retain, *prompts.same_word]

    def weights_unchanged(self) -> bool:
        """Whether the pipeline holds the weights it was loaded with, bit for bit."""
        return weights_fingerprint(self.pipe) == self.weights

    def detached_is_identical(self, prompt: Prompt, method: Method) -> bool:
        """Whether a clip drawn after the method was put on and taken off again is bit-identical to one from before."""

        def draw() -> np.ndarray:
            return generate(self.pipe, [prompt.text], [prompt.seed])

        before = draw()
        with method.applied_to(self.pipe):
            draw()
        return np.array_equal(before, draw())


def floor_of(detector: Detector, key: str) -> float | None:
    """How often the detector claims `key` on degraded renders that do not show it, as its card says."""
    measured = detector.card.get("measured", {}).get("degraded", {})
    for group in (
        measured.get("subjects", {}),
        measured.get("attributes", {}),
        measured.get("style", {}).get("classes", {}),
        measured.get("background", {}).get("classes", {}),
    ):
        if key in group:
            return group[key]["floor"]
    return None


def mean_floor(detector: Detector, keys: Sequence[str]) -> float | None:
    """`floor_of`, averaged over `keys`."""
    floors = [floor for key in keys if (floor := floor_of(detector, key)) is not None]
    return float(np.mean(floors)) if floors else None
