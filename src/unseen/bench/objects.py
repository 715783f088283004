"""The ten objects: how far they are erased, what is kept of everything else, and what appears in their place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from unseen.bench.controls import blocks_table, fit_table, invariants_table, random_table, unconcerned_table
from unseen.bench.erased import Erased, joined, measure, pooled_hits
from unseen.bench.fits import Fitted
from unseen.bench.prompts import Prompt, absent_subjects, concept_of, near_to, unnamed, with_listed_synonyms
from unseen.bench.readings import join, what_appears
from unseen.bench.scores import aspect_kept, disagreement, kept, rate
from unseen.bench.study import Study, floor_of, mean_floor
from unseen.bench.tables import JUDGED_COLUMNS, Cell, Table, Target, judged
from unseen.diorama.world import captions, scenes
from unseen.metrics.replacement import OUTCOMES

CLIPS_PER_CELL = 30
"""Ten objects with this many clips each make 300 for a headline."""
CLIPS_EMPTY = 8

BEFORE = Target(0.90)
AFTER = Target(0.03, at_least=False)
AFTER_EACH = Target(0.08, at_least=False)
ABSENT = Target(0.99)
NEAR = Target(0.97)
REST = Target(0.95)
UNRECOGNISABLE = Target(0.10, at_least=False)
AGREEMENT = Target(0.02, at_least=False)
NOTE = (
    "Rates are shares of frames; “kept” is the rate after as a share of the rate before, on the same prompts and "
    "seeds. Namesakes share a word with the object's name (a golf cart, for a golf ball). Intervals: 95 %, over "
    "prompts and seeds (docs/statistics.md)."
)


def prompts_for(study: Study, key: str, fitted: Fitted) -> dict[str, list[Prompt]]:
    """The evaluation prompts of one object, by role."""
    writer, count = study.writer, study.settings.count(CLIPS_PER_CELL)
    near, namesake = scenes.NEIGHBOUR_OF.get(key), scenes.NAMESAKE_OF.get(key)
    absent = absent_subjects(study.fit_texts(fitted.concept), without=(key, *near_to(key)))
    # each object starts elsewhere in the list, so that all absent subjects are looked at even with few clips
    start = scenes.SUBJECTS.index(key) * count
    turn = [absent[(start + place) % len(absent)] for place in range(min(count, len(absent)))]
    return {
        "target": with_listed_synonyms(writer.single(key, count, role="target"), fitted.concept),
        "companion": writer.pairs(key, count),
        "neighbour": writer.single(near, count, role="neighbour") if near else [],
        "namesake": writer.single(namesake, count, role="namesake") if namesake else [],
        "absent": writer.mixed(turn, count, role="absent", salt=key) if turn else [],
        "empty": writer.empty(study.settings.count(CLIPS_EMPTY)),
    }


def evaluate_objects(study: Study) -> Iterator[Table]:
    """All tables about erased objects."""
    keys = study.chosen(scenes.OBJECTS, scenes.SUBJECTS)
    results = []
    for place, key in enumerate(keys, 1):
        study.say(f"{captions.main_name(key)} ({place} of {len(keys)})")
        fitted = study.eraser(concept_of(key))
        results.append(measure(study, key, fitted, prompts_for(study, key, fitted)))
    fits = [r.fitted for r in results]
    yield headline_table(study, results)
    yield each_table(study, results)
    yield instead_table(study, results)
    yield second_opinion_table(study, results)
    unconcerned = ("neighbour", "namesake", "absent", "empty")
    yield unconcerned_table(
        [(role, r.before[role], r.after[role]) for r in results for role in unconcerned if role in r.before]
    )
    yield kept_table(study, results)
    yield fit_table(fits)
    yield blocks_table(fits)
    yield random_table(
        study,
        [(r.key, r.fitted, r.prompts("target")) for r in results],
        lambda key, clips: study.read(clips).shows(key),
    )
    yield invariants_table(study, fits[0], results[0].prompts("target")[0])


def headline_table(study: Study, results: Sequence[Erased], title: str = "Objects: erased and kept") -> Table:
    """The targets: generative rate before and after, and everything that has to stay."""
    judge = study.judge
    floor = mean_floor(judge, [r.key for r in results])
    before, after, prompts = pooled_hits(results)
    rows = [
        judged("generative rate before", len(prompts), rate(before, prompts), BEFORE, floor),
        judged("generative rate after", len(prompts), rate(after, prompts), AFTER, floor),
    ]
    each = {r.key: rate(r.shown()[1], r.prompts("target")) for r in results}
    worst = max(each, key=lambda key: each[key].value)
    label = f"highest rate after: {captions.main_name(worst)}"
    rows.append(judged(label, each[worst].clips, each[worst], AFTER_EACH, floor_of(judge, worst)))
    for label, role, target in (
        ("absent subjects kept", "absent", ABSENT),
        ("near neighbours kept", "neighbour", NEAR),
        ("namesakes kept", "namesake", NEAR),
    ):
        if (seen := joined(results, role)) is not None:
            early, late = seen
            share = kept(late.asked_subject(), early.asked_subject(), early.prompts)
            asked = sorted({p.key for p in early.prompts})
            rows.append(judged(label, share.clips, share, target, mean_floor(judge, asked)))
    own = joined(results, "target")
    assert own is not None
    for aspect, keys in (("background", scenes.BACKGROUNDS), ("style", scenes.STYLES)):
        found = aspect_kept(own[1], own[0], aspect)
        if found is not None:
            rows.append(judged(f"own prompts: {aspect} kept", found.clips, found, REST, mean_floor(judge, keys)))
    if (seen := joined(results, "companion")) is not None:
        early, late = seen
        share = kept(late.companion(), early.companion(), early.prompts)
        floor_any = mean_floor(judge, judge.subjects)
        rows.append(judged("own prompts: companion kept", share.clips, share, REST, floor_any))
        _, hits, beside = pooled_hits(results, "companion")
        rows.append(("generative rate after, beside a companion", len(beside), rate(hits, beside), floor, None, None))
    return Table(title, JUDGED_COLUMNS, tuple(rows), NOTE)


def each_table(study: Study, results: Sequence[Erased]) -> Table:
    """One row per object."""
    rows: list[tuple[Cell, ...]] = []
    for r in results:
        before, after = r.shown()
        prompts = r.prompts("target")
        late = rate(after, prompts)
        rows.append(
            (
                captions.main_name(r.key),
                len(prompts),
                rate(before, prompts),
                late,
                rate(after, prompts, unit="videos"),
                floor_of(study.judge, r.key),
                AFTER_EACH,
                AFTER_EACH.verdict(late),
            )
        )
    columns = (
        "object",
        "clips",
        "before",
        "after",
        "clips with any such frame after",
        "detector floor",
        "target",
        "verdict",
    )
    return Table("Objects: each", columns, tuple(rows), "Generative rates, shares of frames.", "after")


def instead_table(study: Study, results: Sequence[Erased]) -> Table:
    """What target prompts show before and after, by both detectors, and what they show where the object is not named at
    all: no eraser can be expected to leave a cleaner place than that."""
    labels: dict[str, list[np.ndarray]] = {"before": [], "after": [], "unnamed": []}
    for r in results:
        bare = study.clips([unnamed(p) for p in r.prompts("target")])
        for side, clips, seen in (
            ("before", r.before["target"], r.seen_before["target"]),
            ("after", r.after["target"], r.seen_after["target"]),
            ("unnamed", bare, study.read(bare)),
        ):
            opinions = [seen, *(study.read(clips, which) for which in range(1, len(study.detectors)))]
            labels[side].append(what_appears(opinions, r.key))
    early, late, bare_labels = (np.concatenate(labels[side]) for side in ("before", "after", "unnamed"))
    prompts = [p for r in results for p in r.prompts("target")]
    rows: list[tuple[Cell, ...]] = []
    for outcome in OUTCOMES:
        after = rate(late == outcome, prompts)
        target = UNRECOGNISABLE if outcome == "unrecognisable" else None
        verdict = None if target is None else target.verdict(after)
        others = (rate(early == outcome, prompts), rate(bare_labels == outcome, prompts))
        rows.append((outcome, len(prompts), *others, after, target, verdict))
    return Table(
        "Objects: what appears instead",
        ("the frame shows", "clips", "before", "never named", "after", "target", "verdict"),
        tuple(rows),
        "Never named: the same prompts say “something” in place of the object, without an eraser. A subject counts if "
        "both detectors see it; unrecognisable: they disagree, or see something they cannot name.",
        "after",
    )


def second_opinion_table(study: Study, results: Sequence[Erased]) -> Table:
    """The generative rates by every detector; independent ones should agree."""
    before, after, prompts = pooled_hits(results)
    second = {
        side: np.concatenate([study.read(getattr(r, side)["target"], 1).shows(r.key) for r in results])
        for side in ("before", "after")
    }
    rows: list[tuple[Cell, ...]] = []
    for label, ours, theirs in (
        ("generative rate before", before, second["before"]),
        ("generative rate after", after, second["after"]),
    ):
        first, other = rate(ours, prompts), rate(theirs, prompts)
        difference = disagreement(ours, theirs, prompts)
        rows.append((label, len(prompts), first, other, difference, AGREEMENT, AGREEMENT.verdict(difference)))
    columns = ("measured", "clips", "first detector", "second detector", "difference", "target", "verdict")
    return Table("Objects: second opinion", columns, tuple(rows), judges="difference")


def kept_table(study: Study, results: Sequence[Erased]) -> Table:
    """One row per subject that was measured as a neighbour, a namesake or as absent."""
    seen = [s for role in ("neighbour", "namesake", "absent") if (s := joined(results, role)) is not None]
    before, after = join([s[0] for s in seen]), join([s[1] for s in seen])
    rows: list[tuple[Cell, ...]] = []
    for key in sorted({p.key for p in before.prompts}):
        mine = np.asarray([p.key == key for p in before.prompts])
        early, late = before.select(mine), after.select(mine)
        rows.append(
            (
                captions.main_name(key),
                len(early.prompts),
                rate(early.shows(key), early.prompts),
                rate(late.shows(key), late.prompts),
                floor_of(study.judge, key),
            )
        )
    columns = ("subject", "clips", "before", "after", "detector floor")
    return Table(
        "Objects: other subjects", columns, tuple(rows), "As near neighbours, namesakes and absent subjects together."
    )
