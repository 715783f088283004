"""Where is erasing best? Every candidate block at every strength, measured on video, against what the search chose.

A block's strength is chosen on development wording and its score is reported on test wording. Cells share their base
clips, and prompts that are encoded bit-identically are not drawn again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from unseen.bench.cache import digest
from unseen.bench.criteria import Choice, criteria_table, per_concept_table
from unseen.bench.curves import draw_curves
from unseen.bench.prompts import Prompt, PromptWriter, concept_kind, concept_of
from unseen.bench.readings import Readings
from unseen.bench.run import Method, erased_by
from unseen.bench.scores import aspect_kept, kept, rate
from unseen.bench.study import Study
from unseen.bench.tables import Cell, Table
from unseen.clear.costs import CRITERIA, search_view
from unseen.clear.eraser import METADATA_FILE, ClearEraser
from unseen.clear.fit import FIT_VERSION, fitting, learn
from unseen.clear.select import replace_concept, select
from unseen.concept import Concept
from unseen.diorama.world import captions, scenes
from unseen.encoder.layers import layer_name
from unseen.errors import FitError
from unseen.files import write_whole
from unseen.metrics.rates import Rate

STRENGTHS = (0.5, 1.0, 1.5, 2.0, 3.0)
CLIPS_PER_CELL = 12
DEVELOPMENT = ("cassette_player", "church", "cedar_flint", "lantern", "smoking", "bus")
"""Concepts on which a criterion and its constants may be chosen."""
HELD_OUT = tuple(
    key
    for key in (*scenes.OBJECTS, "phone_booth", *scenes.CHARACTERS[:3], *scenes.STYLES[1:], *scenes.ATTRIBUTES)
    if key not in DEVELOPMENT
)
"""Concepts that no sweep may be chosen on: objects, characters, styles and attributes. Some of the objects were looked
at when constants such as `search.depth_weight` were set by hand, before there was a sweep, and the objects,
Amber Bramble and Ivy Lantern, on development wording, when `edit.replace_with` was chosen."""


@dataclass(frozen=True)
class SweepCell:
    """One block at one strength, on one split's prompts."""

    layer: int
    strength: float
    generative: Rate
    """Share of frames that still show the concept."""
    others: Rate
    """What is kept of other subjects, styles or attributes."""
    rest: float
    """What is kept of the target prompts' remaining attributes, mean over those that can be measured."""

    @property
    def score(self) -> float:
        """Harmonic mean of 1 − generative rate, others kept and rest kept, each cut to [0, 1]."""
        parts = [min(1.0, max(0.0, x)) for x in (1 - self.generative.value, self.others.value, self.rest)]
        return 0.0 if min(parts) <= 0 else 3 / sum(1 / part for part in parts)


@dataclass(frozen=True)
class Swept:
    """A concept's sweep."""

    key: str
    before: dict[str, Rate]
    """Generative rate of the unedited model, by split."""
    cells: dict[str, list[SweepCell]]
    """All cells on development wording, and one per block, at its best strength, on test wording."""
    costs: dict[str, dict[int, float]]
    """Cost of every block, by criterion."""
    learned: int
    """What the default search preferred."""

    def best(self, split: str) -> dict[int, SweepCell]:
        """Each block's cell at its best strength (the lowest of equally good ones)."""
        found: dict[int, SweepCell] = {}
        for cell in sorted(self.cells[split], key=lambda c: (c.layer, c.strength)):
            if cell.layer not in found or cell.score > found[cell.layer].score:
                found[cell.layer] = cell
        return found

    def choice(self, criterion: str) -> Choice:
        """How the block with the lowest cost fares, on test wording."""
        scores = {layer: cell.score for layer, cell in self.best("test").items()}
        costs = {layer: self.costs[criterion][layer] for layer in scores}
        return Choice.of(min(costs, key=lambda layer: costs[layer]), scores, costs)


@dataclass(frozen=True)
class Candidates:
    """Erasers of one concept, one per candidate block (γ = 1), from one bank trained evenly on all blocks."""

    concept: Concept
    erasers: dict[int, ClearEraser]
    costs: dict[str, dict[int, float]]
    learned: int


def evaluate_sweep(study: Study) -> Iterator[Table]:
    """The sweep of every concept asked for, with a figure each, and the table of criteria."""
    keys = study.chosen((*DEVELOPMENT, *HELD_OUT), captions.KEYS)
    results = []
    for place, key in enumerate(keys, 1):
        study.say(f"{captions.main_name(key)} ({place} of {len(keys)})")
        swept = sweep(study, key)
        results.append(swept)
        figure = draw_curves(swept, study.settings.folder / f"sweep-{key.replace('_', '-')}.png")
        study.say(f"figure in {figure}")
        yield cells_table(swept)
    write_cells(results, study.settings.folder / "sweep-cells.csv")
    for name, group in (("development", DEVELOPMENT), ("held out", HELD_OUT)):
        chosen = [r for r in results if r.key in group]
        if chosen:
            yield criteria_table(name, chosen, tuple(CRITERIA), study.config.search.criterion)
            yield per_concept_table(name, chosen)


def sweep(study: Study, key: str) -> Swept:
    """Measure one concept: all cells on development wording, then each block's best strength on test wording."""
    made = candidates(study, concept_of(key))
    before: dict[str, Rate] = {}
    cells: dict[str, list[SweepCell]] = {}
    for split in ("development", "test"):
        prompts = prompts_for(study, key, split)
        base = {role: study.read(study.clips(asked)) for role, asked in prompts.items()}
        before[split] = rate(base["target"].shows(key), prompts["target"])
        if split == "development":
            wanted = [(layer, strength) for layer in made.erasers for strength in STRENGTHS]
        else:
            chosen = Swept(key, before, cells, made.costs, made.learned).best("development")
            wanted = [(layer, cell.strength) for layer, cell in chosen.items()]
        erasers = [made.erasers[layer].with_strength(strength) for layer, strength in wanted]
        study.prepare((asked, _method(eraser)) for eraser in erasers for asked in prompts.values())
        cells[split] = [
            measure_method(study, key, base, _method(eraser), eraser.layer, eraser.strength) for eraser in erasers
        ]
    return Swept(key, before, cells, made.costs, made.learned)


def _method(eraser: ClearEraser) -> Method:
    return erased_by(f"{layer_name(eraser.layer)}, γ = {eraser.strength:g}", eraser)


def measure_method(
    study: Study, key: str, base: dict[str, Readings], method: Method, layer: int, strength: float
) -> SweepCell:
    """A cell for any method, from readings by role (target, others) of the unedited clips."""
    after = {role: study.read(study.clips(readings.prompts, method)) for role, readings in base.items()}
    target, early = after["target"], base["target"]
    others = kept(asked(after["others"]), asked(base["others"]), base["others"].prompts)
    shares = [found.value for aspect in ("background", "style") if aspect != concept_kind(key)
              for found in [aspect_kept(target, early, aspect)] if found is not None]  # fmt: skip
    if concept_kind(key) == "style":
        shares.append(kept(target.asked_subject(), early.asked_subject(), early.prompts).value)
    if concept_kind(key) == "attribute":
        shares.append(kept(target.carrier(), early.carrier(), early.prompts).value)
    usable = [share for share in shares if share == share]
    rest = float(np.mean([min(1.0, share) for share in usable])) if usable else float("nan")
    return SweepCell(layer, strength, rate(target.shows(key), target.prompts), others, rest)


def asked(readings: Readings) -> np.ndarray:
    """Frames that show what their prompt is in the set for, bool `[clips, frames]`."""
    return np.stack([readings.shows(p.key)[i] for i, p in enumerate(readings.prompts)])


def prompts_for(study: Study, key: str, split: str) -> dict[str, list[Prompt]]:
    """Target prompts, and prompts about others: the near neighbour or others of the kind, and any other subjects.

    On test wording there may be more (`Settings.test_clips`); what fewer would have been is among them.
    """
    writer, fewer = PromptWriter(split, study.settings.seed), study.settings.count(CLIPS_PER_CELL)
    count = study.settings.reported(CLIPS_PER_CELL) if split == "test" else fewer
    kind = concept_kind(key)
    half = max(1, count // 2)
    subjects = [k for k in scenes.SUBJECTS if k not in (key, scenes.STRANGER)]
    start = (scenes.SUBJECTS + scenes.STYLES + scenes.ATTRIBUTES).index(key)
    turn = [subjects[(start + 7 * place) % len(subjects)] for place in range(half)]
    first = max(1, fewer // 2)

    def spread(keys: Sequence[str], later: Sequence[str], salt: str) -> list[Prompt]:
        made = writer.mixed(list(dict.fromkeys(keys)), first, role="others", salt=salt)
        if half > first:  # drawn apart, or a larger share for each key would give all others different seeds
            more = writer.mixed(list(dict.fromkeys(later)), half - first, role="others", salt=f"{salt}, more")
            made += [replace(prompt, seed=writer.noise_seed(first + place)) for place, prompt in enumerate(more)]
        return made

    far = spread(turn[:first], turn[first:], f"far {key}")
    if kind == "style":
        styles = [style for style in scenes.STYLES if style != key]
        near = [p for s in styles for p in writer.styled(s, max(1, half // len(styles)), role="others")]
        return {"target": writer.styled(key, count, role="target"), "others": near + far}
    if kind == "attribute":
        same = [a for a in scenes.ATTRIBUTES if a != key]
    elif kind == "identity":
        same = [c for c in scenes.CHARACTERS if c != key]
    else:
        pairs = {**scenes.NEIGHBOUR_OF, **{near: o for o, near in scenes.NEIGHBOUR_OF.items()}}
        same = [pairs[key]] if key in pairs else [o for o in scenes.OBJECTS if o != key]
    near = spread(same, same, f"near {key}")
    return {"target": writer.single(key, count, role="target"), "others": near + far}


def candidates(study: Study, concept: Concept) -> Candidates:
    """An eraser per block, and every criterion's costs; found from an earlier run with the same settings and code."""
    config = study.config.with_options(
        {"search.phase_a_weight": 0.0, "search.embedding": True, "search.layer": None, "edit.strength": 1.0}
    )
    settings = study.settings
    address = digest(
        concept=repr(concept), config=repr(config), seed=settings.seed, pipe=study.weights, code=FIT_VERSION
    )
    folder = settings.folder / "candidates" / f"{concept.name.lower().replace(' ', '-')}-{address[:12]}"
    facts = folder / "costs.json"
    if not facts.exists():
        study.say(f"fitting {concept.name} at every block")
        with fitting(study.pipe, None, config) as path:
            data, found = learn(path, concept, config, seed=settings.seed, progress=settings.progress)
            for place, layer in enumerate(data.layers):
                try:
                    eraser = select(data, found.bank.of_layer(place), layer, config)
                except FitError:
                    study.say(f"no feature at {layer_name(layer)} is specific to {concept.name}; it is left out")
                    continue
                replace_concept(data, eraser, config.edit).save_pretrained(folder / str(layer))
            view = search_view(data, found.bank, config, torch.Generator().manual_seed(settings.seed))
            costs = {
                name: dict(zip(map(str, data.layers), criterion(view).total.tolist(), strict=True))
                for name, criterion in CRITERIA.items()
            }
        learned = found.layer
        write_whole(facts, json.dumps({"costs": costs, "learned": learned}, indent=1).encode())
    found = json.loads(facts.read_text(encoding="utf-8"))
    erasers = {
        int(path.parent.name): ClearEraser.from_pretrained(path.parent)
        for path in sorted(folder.glob(f"*/{METADATA_FILE}"), key=lambda path: int(path.parent.name))
    }
    by_layer = {name: {int(layer): cost for layer, cost in row.items()} for name, row in found["costs"].items()}
    return Candidates(concept, erasers, by_layer, found["learned"])


def cells_table(swept: Swept) -> Table:
    """Every cell of one concept."""
    rows: list[tuple[Cell, ...]] = []
    for split in ("development", "test"):
        for cell in swept.cells[split]:
            mark = "learned" if cell.layer == swept.learned else ""
            rows.append(
                (split, layer_name(cell.layer), float(cell.strength), cell.generative.clips, cell.generative,
                 cell.others, cell.rest, cell.score, mark)
            )  # fmt: skip
    before = ", ".join(f"{split} {swept.before[split]}" for split in swept.before)
    return Table(
        f"Sweep: {captions.main_name(swept.key)}",
        ("wording", "edited", "strength", "clips", "generative rate", "others kept", "rest kept", "score", "choice"),
        tuple(rows),
        f"Generative rate before: {before}. Score: harmonic mean of 1 − generative rate, others kept and rest kept. On "
        "test wording each block has the strength that was best on development wording.",
    )


def write_cells(results: Sequence[Swept], path: Path) -> Path:
    """All cells of all concepts in one CSV."""
    rows = tuple(
        (r.key, split, c.layer, c.strength, r.before[split].value, c.generative, c.others, c.rest, c.score,
         "yes" if c.layer == r.learned else "no", c.generative.clips)
        for r in results for split in r.cells for c in r.cells[split]
    )  # fmt: skip
    columns = ("concept", "split", "layer", "strength", "before", "generative_rate", "others_kept", "rest_kept",
               "score", "learned", "clips")  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(Table("Sweep cells", columns, rows).to_csv(), encoding="utf-8")
    return path
