"""Many concepts erased at once: each as well as alone, everything else kept, and the fits cheaper than one by one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import unseen
from unseen.bench.cache import digest
from unseen.bench.prompts import Prompt, concept_of
from unseen.bench.run import Method, encode, erased_by
from unseen.bench.scores import kept, rate, share
from unseen.bench.study import Study, floor_of, mean_floor
from unseen.bench.tables import JUDGED_COLUMNS, Cell, Table, Target, judged
from unseen.clear.eraser import ClearEraser
from unseen.clear.fit import FIT_VERSION
from unseen.diorama.world import captions, scenes
from unseen.files import write_whole

CLIPS_TARGET = 30
CLIPS_OTHERS = 300
RESIDUAL = Target(0.05, at_least=False)
UNTOUCHED = Target(0.98)
COST = Target(3.0, at_least=False)


@dataclass(frozen=True)
class Many:
    """Erasers from one bank, in the order of the concepts, and what they cost."""

    erasers: tuple[ClearEraser, ...]
    seconds: float
    seconds_of_one: float
    """What the fit of the first concept alone took, just before."""

    def method(self, name: str = "all at once") -> Method:
        """All of them attached."""
        return erased_by(name, *self.erasers)


def fit_together(study: Study, keys: Sequence[str]) -> Many:
    """`unseen.fit_many` for `keys`, or what an earlier run with the same settings and code made."""
    concepts = [concept_of(key) for key in keys]
    address = digest(
        concepts=repr(concepts),
        config=repr(study.config),
        seed=study.settings.seed,
        pipe=study.weights,
        code=FIT_VERSION,
    )
    folder = study.settings.folder / "together" / address[:12]
    facts = folder / "facts.json"
    if not facts.exists():
        study.say(f"fitting {len(keys)} erasers from one bank")
        how: dict[str, Any] = {
            "config": study.config,
            "seed": study.settings.seed,
            "progress": study.settings.progress,
        }
        times = [time.perf_counter()]
        unseen.fit(study.pipe, concepts[0], **how)
        times.append(time.perf_counter())
        made = unseen.fit_many(study.pipe, concepts, **how)
        times.append(time.perf_counter())
        for place, eraser in enumerate(made):
            eraser.save_pretrained(folder / str(place))
        write_whole(facts, json.dumps({"one": times[1] - times[0], "many": times[2] - times[1]}).encode())
    erasers = tuple(ClearEraser.from_pretrained(folder / str(place)) for place in range(len(keys)))
    seconds = json.loads(facts.read_text(encoding="utf-8"))
    return Many(erasers, seconds["many"], seconds["one"])


def evaluate_together(study: Study) -> Iterator[Table]:
    """All tables about many erasers at once."""
    keys = study.chosen(scenes.OBJECTS, scenes.SUBJECTS)
    many = fit_together(study, keys)
    yield each_table(study, keys, many)
    yield headline_table(study, keys, many)
    yield order_table(study, keys, many)


def each_table(study: Study, keys: Sequence[str], many: Many) -> Table:
    """One row per concept: before, its own fit alone, its eraser from the shared bank alone, and all at once."""
    rows: list[tuple[Cell, ...]] = []
    for place, key in enumerate(keys):
        study.say(f"{captions.main_name(key)} ({place + 1} of {len(keys)})")
        prompts = study.writer.single(key, study.settings.count(CLIPS_TARGET), role="target")
        mine = many.erasers[place]
        methods = (
            study.eraser(concept_of(key)).method,
            erased_by("from the shared bank", mine),
            many.method(),
        )
        hits = [study.read(study.clips(prompts)).shows(key)]
        hits += [study.read(study.clips(prompts, method)).shows(key) for method in methods]
        found = [rate(hit, prompts) for hit in hits]
        verdict = RESIDUAL.verdict(found[-1])
        rows.append(
            (captions.main_name(key), len(prompts), *found, floor_of(study.judge, key), RESIDUAL, verdict)
        )  # fmt: skip
    return Table(
        "Together: each",
        ("concept", "clips", "before", "own fit, alone", "shared bank, alone", "all at once", "detector floor",
         "target", "verdict"),
        tuple(rows),
        "Generative rates, shares of frames.",
        "all at once",
    )  # fmt: skip


def others(study: Study, keys: Sequence[str]) -> list[Prompt]:
    """Prompts about subjects that are not erased."""
    rest = [key for key in scenes.SUBJECTS if key not in keys and key != scenes.STRANGER]
    return study.writer.mixed(rest, max(study.settings.count(CLIPS_OTHERS), len(rest)), role="absent", salt="together")


def headline_table(study: Study, keys: Sequence[str], many: Many) -> Table:
    """The targets: what is kept of everything else, and the cost of all fits against that of one."""
    prompts = others(study, keys)
    before, clips = study.read(study.clips(prompts)), study.clips(prompts, many.method())
    untouched = kept(study.read(clips).asked_subject(), before.asked_subject(), prompts)
    floor = mean_floor(study.judge, sorted({p.key for p in prompts}))
    rows = (
        judged("untouched subjects kept", len(prompts), untouched, UNTOUCHED, floor),
        ("of these prompts encoded bit-identically", len(prompts), share(clips.identical), None, None, None),
        judged(f"time of {len(keys)} fits over that of one", len(keys), many.seconds / many.seconds_of_one, COST),
    )
    return Table("Together: everything else", JUDGED_COLUMNS, rows, "Subjects that none of the erasers is for.")


def order_table(study: Study, keys: Sequence[str], many: Many) -> Table:
    """Whether the order in which erasers are attached changes any bit of the encoding."""
    texts = [study.writer.single(key, 2, role="target")[0].text for key in keys]
    encoded = []
    for erasers in (list(many.erasers), list(reversed(many.erasers))):
        with unseen.attach(study.pipe, erasers):
            encoded.append(encode(study.pipe, texts, max_sequence_length=study.runner.max_sequence_length))
    same = bool(np.array_equal(encoded[0].cpu().numpy(), encoded[1].cpu().numpy()))
    layers = len({eraser.layer for eraser in many.erasers})
    claim = f"{len(keys)} erasers at {layers} blocks, attached in either order, encode the same bits"
    return Table("Together: order", ("claim", "verdict"), ((claim, same),))
