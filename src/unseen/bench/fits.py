"""What is fitted for a suite, once, and kept: erasers with their control, one at every layer, many from one bank."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import unseen
from unseen.baselines import BASELINES, BASELINES_VERSION, FittedBaseline
from unseen.bench.clips.job import digest
from unseen.clear.config import ClearConfig
from unseen.clear.costs import search_view
from unseen.clear.criteria import CRITERIA
from unseen.clear.data import FitData
from unseen.clear.eraser import METADATA_FILE, ClearEraser
from unseen.clear.fit import FIT_VERSION, finish, fitting, learn
from unseen.clear.origin import origin
from unseen.clear.search import Found
from unseen.clear.select import replace_concept, select
from unseen.concept import Concept
from unseen.errors import FitError
from unseen.files import write_whole
from unseen.names import file_name


class Fitted(NamedTuple):
    """An eraser as a suite uses it."""

    concept: Concept
    eraser: ClearEraser
    control: ClearEraser
    """Random active features in place of the concept's own, as many, at the same layer and strength, always on."""
    folder: Path
    """Where the eraser lies."""

    @property
    def seconds(self) -> float:
        """How long the fit took."""
        return float(self.eraser.report["seconds"])

    @property
    def kilobytes(self) -> float:
        """Size of the eraser's files, in thousands of bytes."""
        return sum(file.stat().st_size for file in self.folder.iterdir()) / 1000


class Candidates(NamedTuple):
    """Erasers of one concept, one per candidate layer (γ = 1), from one bank trained evenly on all layers."""

    erasers: dict[int, ClearEraser]
    costs: dict[str, dict[int, float]]
    """Of every layer, by criterion."""
    learned: int
    """What the default search preferred."""


class Many(NamedTuple):
    """Erasers from one bank, in the order of the concepts, and what they cost."""

    erasers: tuple[ClearEraser, ...]
    seconds: float
    """Of the processor on a CPU, else by the clock on the wall."""
    seconds_of_one: float
    """What the fit of the first concept alone took, just before."""


@dataclass
class Fits:
    """Fits for one pipeline, kept in one folder; whatever was fitted with the same settings and code is found again."""

    pipe: Any
    weights: str
    folder: Path
    seed: int
    config: ClearConfig
    progress: bool = True

    def _folder(self, kind: str, name: str, **facts: Any) -> Path:
        address = digest(**facts, seed=self.seed, pipe=self.weights, code=(FIT_VERSION, BASELINES_VERSION))
        return self.folder / kind / f"{file_name(name)}-{address[:12]}"

    def eraser(self, concept: Concept, config: ClearConfig | None = None) -> Fitted:
        """An eraser for `concept`, and its control."""
        config = config or self.config
        folder = self._folder("erasers", concept.name, concept=repr(concept), config=repr(config))
        if not (folder / "control" / METADATA_FILE).exists():
            self._say(f"fitting an eraser for {concept.name}")
            made, control = fit_with_control(self.pipe, concept, config, seed=self.seed, progress=self.progress)
            made.save_pretrained(folder / "eraser")
            control.save_pretrained(folder / "control")
        eraser, control = (ClearEraser.from_pretrained(folder / name) for name in ("eraser", "control"))
        return Fitted(concept, eraser, control, folder / "eraser")

    def baseline(self, name: str, concept: Concept, options: Mapping[str, Any]) -> tuple[FittedBaseline, float]:
        """What a baseline learned about a concept and how long that took."""
        folder = self._folder("artefacts", name, method=name, concept=repr(concept), options=repr(dict(options)))

        def fit() -> dict[str, Any]:
            started = time.perf_counter()
            made = BASELINES[name].fit(self.pipe, concept, seed=self.seed, progress=self.progress, **options)
            seconds = time.perf_counter() - started
            made.save_pretrained(folder)
            return {"seconds": round(seconds, 2)}

        facts = _once(folder / "facts.json", fit)
        return FittedBaseline.from_pretrained(folder), facts["seconds"]

    def candidates(self, concept: Concept) -> Candidates:
        """An eraser per layer, and every criterion's costs."""
        config = self.config.with_options(
            {"search.phase_a_weight": 0.0, "search.embedding": True, "search.layer": None, "edit.strength": 1.0}
        )
        folder = self._folder("candidates", concept.name, concept=repr(concept), config=repr(config))
        found = _once(folder / "costs.json", lambda: self._fit_everywhere(concept, config, folder))
        erasers = {
            int(path.parent.name): ClearEraser.from_pretrained(path.parent)
            for path in sorted(folder.glob(f"*/{METADATA_FILE}"), key=lambda path: int(path.parent.name))
        }
        costs = {name: {int(layer): cost for layer, cost in row.items()} for name, row in found["costs"].items()}
        return Candidates(erasers, costs, found["learned"])

    def _fit_everywhere(self, concept: Concept, config: ClearConfig, folder: Path) -> dict[str, Any]:
        self._say(f"fitting {concept.name} at every layer")
        with fitting(self.pipe, None, config) as path:
            data, found = learn(path, concept, config, seed=self.seed, progress=self.progress)
            for place, layer in enumerate(data.layers):
                try:
                    eraser = select(data, found.bank.layers[place], layer, config)
                except FitError:
                    self._say(f"no feature at layer {layer} is specific to {concept.name}; it is left out")
                    continue
                replace_concept(data, eraser, config.edit).save_pretrained(folder / str(layer))
            view = search_view(data, found.bank, config, torch.Generator().manual_seed(self.seed))
            costs = {
                name: dict(zip(map(str, data.layers), criterion(view).total.tolist(), strict=True))
                for name, criterion in CRITERIA.items()
            }
        return {"costs": costs, "learned": found.layer}

    def together(self, concepts: Sequence[Concept]) -> Many:
        """`unseen.fit_many` for all of them, timed beside a single fit."""
        name = f"{len(concepts)} concepts"
        # on a CPU other programs would count in what a clock on the wall says
        clock = time.process_time if self.pipe.device.type == "cpu" else time.perf_counter
        folder = self._folder(
            "together", name, concepts=repr(list(concepts)), config=repr(self.config), clock=clock.__name__
        )

        def fit() -> dict[str, Any]:
            self._say(f"fitting {len(concepts)} erasers from one bank")
            how: dict[str, Any] = {"config": self.config, "seed": self.seed, "progress": self.progress}
            times = [clock()]
            unseen.fit(self.pipe, concepts[0], **how)
            times.append(clock())
            made = unseen.fit_many(self.pipe, concepts, **how)
            times.append(clock())
            for place, eraser in enumerate(made):
                eraser.save_pretrained(folder / str(place))
            return {"one": times[1] - times[0], "many": times[2] - times[1]}

        seconds = _once(folder / "facts.json", fit)
        erasers = tuple(ClearEraser.from_pretrained(folder / str(place)) for place in range(len(concepts)))
        return Many(erasers, seconds["many"], seconds["one"])

    def kept(self, kind: str, name: str, make: Callable[[], dict[str, Any]], **facts: Any) -> dict[str, Any]:
        """What `make` gives, JSON-able, made once for the same facts."""
        return _once(self._folder(kind, name, **facts).with_suffix(".json"), make)

    def _say(self, text: str) -> None:
        if self.progress:
            print(text, flush=True)


def _once(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `make` gives, from the file that says so where it is there."""
    if not path.exists():
        made = make()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(made).encode())
    return json.loads(path.read_text(encoding="utf-8"))


def fit_with_control(
    pipe: Any, concept: Concept, config: ClearConfig, *, seed: int = 0, progress: bool = True
) -> tuple[ClearEraser, ClearEraser]:
    """`unseen.fit`, and the control of random features: active on the concept's prompts, and not the eraser's own."""
    started = time.perf_counter()
    with fitting(pipe, None, config) as path:
        data, found = learn(path, concept, config, seed=seed, progress=progress)
        eraser = finish(data, found, config, started=started, origin=origin(pipe, path.encoder, config))
        mask = _random_mask(data, found, eraser, config, torch.Generator().manual_seed(seed))
        bank = found.bank.layers[data.place_of(eraser.layer)]
        control = select(data, bank, eraser.layer, config.with_options({"edit.gate": False}), mask=mask)
    return eraser, control.with_strength(eraser.strength)


def _random_mask(
    data: FitData, found: Found, eraser: ClearEraser, config: ClearConfig, generator: torch.Generator
) -> Tensor:
    """As many random features `[m]` as the eraser has, that are active on positives and are not its own."""
    bank = found.bank.layers[data.place_of(eraser.layer)]
    tokens = data.tokens_of(data.positive & ~data.held_out)
    active = (bank.encode(data.hidden_at(eraser.layer, tokens)[None])[0] > 0).float()
    own = (bank.W_dec[0] @ eraser.W_dec.T.to(bank.W_dec.device) > 1 - 1e-5).any(dim=1)  # decoder rows have unit norm
    candidates = ((active.mean(dim=0) > config.edit.min_rate) & ~own).nonzero()[:, 0].cpu()
    chosen = candidates[torch.randperm(len(candidates), generator=generator)[: eraser.num_features]]
    return torch.zeros(bank.num_features).index_fill(0, chosen, 1.0)
