"""The demo: erase one concept from Diorama, draw before and after from the same noise, measure, and write a report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unseen import __version__
from unseen.bench import plain_words
from unseen.bench.controls import fit_table, invariants_table, unconcerned_table
from unseen.bench.draw import slug, write_pair
from unseen.bench.erased import Erased, measure
from unseen.bench.fits import Fitted
from unseen.bench.media import contact_sheet
from unseen.bench.prompts import Prompt, absent_subjects, concept_kind, concept_name, concept_of, near_to
from unseen.bench.report import PairGroup, Report, ShownPair
from unseen.bench.scores import aspect_kept, kept, rate
from unseen.bench.study import Settings, Study, floor_of, mean_floor
from unseen.bench.tables import Cell, Table, write_tables
from unseen.diorama.model.networks import Which
from unseen.diorama.world import captions, scenes
from unseen.encoder.layers import layer_name

CLIPS = {"target": 48, "neighbour": 24, "unrelated": 24}
"""Clips per role, drawn without and with the eraser."""
SHOWN = {"target": 6, "neighbour": 3, "unrelated": 3}
"""Pairs per role in the report."""
TITLES = {
    "target": ("Prompts that ask for it", "The concept should be gone; the rest of the prompt should be there."),
    "neighbour": ("Prompts about its nearest neighbours", "Close to the concept, and to be left alone."),
    "unrelated": ("Prompts about other things", "Subjects that the fit never read about."),
}


def neighbours_of(key: str) -> tuple[str, ...]:
    """What is easily confused with `key`: an object's near neighbour and namesake (or for these the object), others of
    its kind, or an attribute's carriers."""
    if key in scenes.OBJECTS:
        return near_to(key)
    for near in (scenes.NEIGHBOUR_OF, scenes.NAMESAKE_OF):
        if key in near.values():
            return (next(k for k, v in near.items() if v == key),)
    if key in scenes.ATTRIBUTES:
        return scenes.CARRIERS_OF[key]
    families = (scenes.STYLES, scenes.CHARACTERS, scenes.OTHERS)
    family = next((family for family in families if key in family), scenes.CARRIERS)
    return tuple(other for other in family if other not in (key, "plain"))


def demo_prompts(study: Study, key: str, fitted: Fitted) -> dict[str, list[Prompt]]:
    """The demo's prompts by role."""
    writer, near = study.writer, neighbours_of(key)
    count = {role: study.settings.count(usual) for role, usual in CLIPS.items()}
    style = concept_kind(key) == "style"
    absent = absent_subjects(study.fit_texts(fitted.concept), without=(key, *near))
    if style:
        others = [p for k in near for p in writer.styled(k, max(1, count["neighbour"] // len(near)), role="neighbour")]
    else:
        others = writer.mixed(near, count["neighbour"], role="neighbour")
    return {
        "target": (writer.styled if style else writer.single)(key, count["target"], role="target"),
        "neighbour": others,
        "unrelated": writer.mixed(absent[: count["unrelated"]], count["unrelated"], role="unrelated", salt=key),
    }


def run_demo(
    name: str,
    folder: Path,
    *,
    model: Which = "wan",
    seed: int = 0,
    quick: bool = False,
    progress: bool = True,
    study: Study | None = None,
) -> Path:
    """Run the demo for the Diorama concept called `name`; returns the report's path.

    Raises `ValueError` with near matches for a name Diorama does not draw.
    """
    start = time.perf_counter()
    key = captions.key_of(name)
    if study is None:
        study = Study(Settings(folder=folder, model=model, seed=seed, quick=quick, progress=progress))
    fitted = study.eraser(concept_of(key))
    result = measure(study, key, fitted, demo_prompts(study, key, fitted))
    tables = demo_tables(study, result)
    report = demo_report(study, result, tables, time.perf_counter() - start)
    path = report.write(folder / "report.html")
    write_tables(tables, folder, "tables")
    sheet_rows = []
    for role, group in zip((r for r in TITLES if r in result.before), report.groups, strict=True):
        for place, pair in enumerate(group.pairs, 1):
            write_pair(pair.before, pair.after, folder / "clips", f"{role}-{place}-{slug(pair.caption)}")
            sheet_rows.append((pair.caption, pair.before, pair.after))
    contact_sheet(sheet_rows).save(folder / "contact.png")
    for table in tables:
        print(f"\n{table.to_text()}")
    print(f"\n{report.lead}")
    print(f"report: {path}   (clips in {folder / 'clips'}, contact sheet {folder / 'contact.png'})")
    print(f"{time.perf_counter() - start:.0f} s in all, {fitted.seconds:.0f} s of it the fit")
    return path


def demo_tables(study: Study, result: Erased) -> list[Table]:
    """What the demo measured."""
    unconcerned = [(r, result.before[r], result.after[r]) for r in ("neighbour", "unrelated") if r in result.before]
    first = result.prompts("target")[0]
    return [
        rates_table(study, result),
        unconcerned_table(unconcerned),
        fit_table([result.fitted]),
        invariants_table(study, result.fitted, first),
    ]


def rates_table(study: Study, result: Erased) -> Table:
    """Before and after for the concept and for what has to stay."""
    judge, key = study.judge, result.key
    rows: list[tuple[Cell, ...]] = []
    before, after = result.shown()
    prompts = result.prompts("target")
    shown = rate(before, prompts), rate(after, prompts), kept(after, before, prompts)
    rows.append((f"{concept_name(key)} shown", len(prompts), *shown, floor_of(judge, key)))
    early, late = result.seen_before["target"], result.seen_after["target"]
    for aspect, keys in (("background", scenes.BACKGROUNDS), ("style", scenes.STYLES)):
        found = None if key in keys else aspect_kept(late, early, aspect)
        if found is not None:
            row = f"its prompts: {aspect}", found.clips, None, None, found, mean_floor(judge, keys)
            rows.append(row)
    for role, label in (("neighbour", "neighbours shown"), ("unrelated", "other subjects shown")):
        if role in result.before:
            ours, theirs = result.seen_before[role], result.seen_after[role]
            styled = role == "neighbour" and concept_kind(key) == "style"
            hits = [r.asked_style() if styled else r.asked_subject() for r in (ours, theirs)]
            values = rate(hits[0], ours.prompts), rate(hits[1], ours.prompts), kept(hits[1], hits[0], ours.prompts)
            rows.append((label, len(ours.prompts), *values, mean_floor(judge, sorted({p.key for p in ours.prompts}))))
    return Table(
        "Rates",
        ("measured", "clips", "before", "after", "after as a share of before", "detector floor"),
        tuple(rows),
        "Shares of frames, with 95 % intervals over prompts. Floor: how often the detector claims it "
        "on rendered frames that do not show it.",
    )


def demo_report(study: Study, result: Erased, tables: Sequence[Table], seconds: float) -> Report:
    """Lay out everything the demo made."""
    fitted, rates = result.fitted, tables[0]
    name = concept_name(result.key)
    _, clips, before, after, *_ = rates.rows[0]
    stays = {row[0].removesuffix(" shown"): row[4] for row in rates.rows[1:] if row[0].endswith(" shown")}
    report = fitted.eraser.report
    steps, lines = preference_lines(report)
    return Report(
        title=plain_words.title(name, before, after),
        lead=plain_words.paragraph(name, clips, before, after, stays),
        model=plain_words.EMBEDDED,
        glossary=plain_words.GLOSSARY,
        groups=[_group(study, result, role) for role in TITLES if role in result.before],
        tables=tables,
        rates=[(row[0], row[2], row[3]) for row in rates.rows if row[2] is not None],
        rates_note=rates.note,
        preference_steps=steps,
        preferences=lines,
        chosen=layer_name(fitted.eraser.layer),
        preferences_note=f"How the fit came to prefer {layer_name(fitted.eraser.layer)} among {len(lines)} candidates.",
        features=features_table(report),
        features_note="Sparse features that only this concept uses, and the tokens on which each fires most strongly.",
        facts=[
            ("command", _command(study, name)),
            ("version", f"unseen {__version__}, {time.strftime('%Y-%m-%d')}"),
            ("concept", repr(fitted.concept)),
            ("pipeline", f"{type(study.pipe).__name__}, SHA-256 of its weights {study.weights[:16]}…"),
            ("prompts", f"{study.settings.split} wording, seed {study.settings.seed}"),
            ("detector thresholds", ", ".join(f"{k} {v:.2f}" for k, v in study.judge.thresholds.items())),
            ("eraser", f"{fitted.kilobytes:.0f} kB, fitted in {fitted.seconds:.0f} s"),
            ("measured in", f"{seconds:.0f} s"),
        ],
    )


def _command(study: Study, name: str) -> str:
    """What makes this report again."""
    settings = study.settings
    options = [f"--seed {settings.seed}"] if settings.seed else []
    options += [f"--model {settings.model}"] if settings.model != "wan" else []
    options += ["--quick"] if settings.quick else []
    return " ".join([f'unseen demo "{name}"', *options])


def _group(study: Study, result: Erased, role: str) -> PairGroup:
    before, after = result.before[role], result.after[role]
    ours, theirs = result.seen_before[role], result.seen_after[role]
    key = result.key
    texts = [place for place, p in enumerate(before.prompts) if p.text not in {q.text for q in before.prompts[:place]}]
    count = min(study.settings.count(SHOWN[role]), len(texts))
    pairs = []
    for turn in np.linspace(0, len(texts) - 1, count).round().astype(int):  # spread, not picked by result
        place = texts[turn]
        prompt = before.prompts[place]
        shown = key if role == "target" else prompt.key
        counts = [int(r.shows(shown)[place].sum()) for r in (ours, theirs)]
        reading = f"{concept_name(shown)} in {counts[0]} of {before.frames.shape[1]} frames before, {counts[1]} after"
        if after.identical[place]:
            reading += "; encoded bit-identically"
        pairs.append(ShownPair(prompt.text, before.frames[place], after.frames[place], reading))
    return PairGroup(*TITLES[role], pairs)


def preference_lines(report: dict[str, Any]) -> tuple[list[float], dict[str, list[float]]]:
    """Steps, and the preference of each block at them, from an eraser's report."""
    history = report.get("preferences") or []
    if not history:
        return [], {}
    layers = report.get("layers", range(len(history[0])))
    return [float(step) for step in range(len(history))], {
        layer_name(layer): [float(row[place]) for row in history] for place, layer in enumerate(layers)
    }


def features_table(report: dict[str, Any]) -> Table | None:
    """Features kept, strongest first, and the tokens they fire on, from an eraser's report."""
    rows = tuple((place, " ".join(tokens) or "–") for place, tokens in enumerate(report.get("top_tokens", ()), 1))
    return Table("Features", ("feature", "tokens"), rows) if rows else None
