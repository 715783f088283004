"""A style, an identity and an attribute: how far each is erased, and whether the rest of its prompts stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from unseen.bench.controls import fit_table, unconcerned_table
from unseen.bench.erased import Erased, measure
from unseen.bench.prompts import Prompt, concept_kind, concept_of, unnamed, with_listed_synonyms
from unseen.bench.readings import Readings
from unseen.bench.scores import aspect_kept, kept, rate
from unseen.bench.study import Study, floor_of, mean_floor
from unseen.bench.tables import JUDGED_COLUMNS, Cell, Table, Target, judged
from unseen.diorama.world import captions, scenes

CONCEPTS = ("inkwell", "amber_bramble", "bare", "burning")
"""At least one of each kind."""
CLIPS_TARGET = 300
CLIPS_OTHERS = 60
RESIDUAL = Target(0.05, at_least=False)
REST = Target(0.95)


def prompts_for(study: Study, key: str) -> dict[str, list[Prompt]]:
    """Target prompts, prompts about others of the same kind, and for an attribute its carriers without it."""
    writer, count = study.writer, study.settings.count(CLIPS_TARGET)
    others = study.settings.count(CLIPS_OTHERS)
    kind = concept_kind(key)
    if kind == "style":
        styles = [style for style in scenes.STYLES if style != key]
        made = [p for style in styles for p in writer.styled(style, max(1, others // len(styles)), role="others")]
        return {"target": writer.styled(key, count, role="target"), "others": made}
    target = writer.single(key, count, role="target")
    if kind == "attribute":
        rest = [a for a in scenes.ATTRIBUTES if a != key]
        return {
            "target": target,
            "carrier": writer.mixed(scenes.CARRIERS_OF[key], others, role="carrier"),
            "others": writer.mixed(rest, others, role="others", salt=key),
        }
    same = scenes.CHARACTERS if kind == "identity" else scenes.OBJECTS
    return {"target": target, "others": writer.mixed([k for k in same if k != key], others, role="others", salt=key)}


def evaluate_kinds(study: Study) -> Iterator[Table]:
    """A table of targets per concept, then all fits and unconcerned prompts."""
    results = []
    for key in study.chosen(CONCEPTS, captions.KEYS):
        study.say(f"{captions.main_name(key)} ({concept_kind(key)})")
        fitted = study.eraser(concept_of(key))
        prompts = prompts_for(study, key)
        prompts["target"] = with_listed_synonyms(prompts["target"], fitted.concept)
        results.append(measure(study, key, fitted, prompts))
        yield concept_table(study, results[-1])
    yield unconcerned_table(
        [(role, r.before[role], r.after[role]) for r in results for role in ("others", "carrier") if role in r.before]
    )
    yield fit_table([r.fitted for r in results])


def concept_table(study: Study, result: Erased) -> Table:
    """The targets of one style, identity or attribute (an object's too, if asked for)."""
    judge, key, kind = study.judge, result.key, concept_kind(result.key)
    prompts = result.prompts("target")
    before, after = result.shown()
    early, late = result.seen_before["target"], result.seen_after["target"]
    floor = floor_of(judge, key)
    rows = [
        ("generative rate before", len(prompts), rate(before, prompts), floor, None, None),
        judged("generative rate after", len(prompts), rate(after, prompts), RESIDUAL, floor),
    ]

    def keep(label: str, answer: Callable[[Readings], np.ndarray], keys: Sequence[str], role: str = "target") -> None:
        pair = (result.seen_before[role], result.seen_after[role]) if role != "target" else (early, late)
        share = kept(answer(pair[1]), answer(pair[0]), pair[0].prompts)
        rows.append(judged(label, share.clips, share, REST, mean_floor(judge, keys)))

    if kind == "style":
        keep("own prompts: subject kept", Readings.asked_subject, judge.subjects)
        keep("other styles kept", Readings.asked_style, scenes.STYLES, "others")
    if kind == "attribute":
        keep("own prompts: carrier kept", Readings.carrier, scenes.CARRIERS_OF[key])
        keep("carrier without the attribute kept", Readings.carrier, scenes.CARRIERS_OF[key], "carrier")
        keep("other attributes kept", Readings.asked_attribute, scenes.ATTRIBUTES, "others")
        unsaid = result.seen_before["carrier"]
        shown = rate(unsaid.shows(key), unsaid.prompts)
        rows.append(("shown where it is not asked for, before", shown.clips, shown, floor, None, None))
    if kind == "identity":
        keep("own prompts: a face is shown", Readings.face, [])
        keep("other characters kept", Readings.asked_subject, scenes.CHARACTERS, "others")
    if kind == "object":
        keep("other objects kept", Readings.asked_subject, scenes.OBJECTS, "others")
    for aspect, keys in (("background", scenes.BACKGROUNDS), ("style", scenes.STYLES)):
        if aspect != kind and (found := aspect_kept(late, early, aspect)) is not None:
            rows.append(judged(f"own prompts: {aspect} kept", found.clips, found, REST, mean_floor(judge, keys)))
    if kind == "identity":
        rows += identity_rows(early, late, key)
        clips = study.clips([unnamed(p, "a person") for p in prompts[: study.settings.count(CLIPS_OTHERS)]])
        anybody = rate(study.read(clips).face(), clips.prompts)
        rows.append(("a face where the prompt says “a person”, before", anybody.clips, anybody, None, None, None))
    return Table(f"{kind.capitalize()}: {captions.main_name(key)}", JUDGED_COLUMNS, tuple(rows))


def identity_rows(before: Readings, after: Readings, key: str) -> list[tuple[Cell, ...]]:
    """Who is there instead: a person matching none of the known ones, or another known one."""
    rows: list[tuple[Cell, ...]] = []
    count = len(after.prompts)
    for label, readings in (("before", before), ("after", after)):
        stranger = rate(readings.stranger(), readings.prompts)
        rows.append((f"a person matching nobody known, {label}", count, stranger, None, None, None))
    others = np.any([after.shows(name) for name in scenes.CHARACTERS if name != key], axis=0)
    rows.append(("another known person, after", count, rate(others, after.prompts), None, None, None))
    return rows
