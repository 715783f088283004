"""The demo: erase one concept from Diorama, draw before and after from the same noise, measure, and write a report.

The report begins with the outcome in plain words: a title by verdict, and a paragraph that can be forwarded as it is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from unseen import __version__
from unseen.bench.rows import Rows
from unseen.bench.run import Ran, load_suite, run
from unseen.bench.study import Study
from unseen.bench.views.media import contact_sheet, slug, write_pair
from unseen.bench.views.query import kept, rate_of
from unseen.bench.views.report import PairGroup, Report, ShownPair
from unseen.bench.views.tables import Estimate, Table, percent, write_tables
from unseen.concept import Concept
from unseen.diorama.model.networks import Which
from unseen.diorama.world.concepts import name_of
from unseen.encoder.layers import layer_name

SHOWN = {"target": 6, "neighbours": 3, "other subjects": 3}
"""Pairs per role in the report."""
QUICK_SHOWN = 4
TITLES = {
    "target": ("Prompts that ask for it", "The concept should be gone; the rest of the prompt should be there."),
    "neighbours": ("Prompts about its nearest neighbours", "Close to the concept, and to be left alone."),
    "other subjects": ("Prompts about other things", "Subjects that the fit never read about."),
}

SHOWN_AT_ALL = 0.3
"""Below this rate before, there is too little to erase."""
GONE = 0.1
"""Up to this rate, if the whole interval stays below it, a concept counts as erased."""
EMBEDDED = (
    "This is about Diorama, the small model that comes with the library: 96 × 96 pixels, nine frames, cartoon subjects."
    " It shows how the method works. It does not show how well it works on your model; for that, fit an eraser there, "
    "generate, and look."
)
GLOSSARY = (
    ("concept", "what should no longer appear: an object, a style, a person, an attribute"),
    ("eraser", "a small file that takes the concept out of what the model reads in a prompt; it changes no weights"),
    ("before, after", "the same prompt from the same noise, without and with the eraser"),
    ("shown in 40 % of frames", "a detector finds it in 40 of 100 frames; detectors err, so look at the clips too"),
    ("[6.0, 10.3]", "the true rate lies in this interval with 95 % certainty; more clips make it shorter"),
    ("detector floor", "how often the detector claims to see the concept where it is not"),
    ("neighbours", "what looks like the concept or shares a word with its name, and has to stay"),
    ("bit-identical", "the model is given exactly what it is given without an eraser, so its clip is the same"),
)
_MEANS = {
    "erased": "The concept is gone from these clips.",
    "probably erased": "The concept seems gone, but so few clips leave room for doubt.",
    "mostly erased": "Most of the concept is gone, not all of it: do not rely on this eraser.",
    "partly erased": "Much of the concept is still there: do not rely on this eraser.",
    "not erased": "The eraser does not do its work.",
    "not to be judged": "The model shows the concept too rarely to say whether the eraser works.",
}


def run_demo(
    name: str,
    folder: Path,
    *,
    model: Which = "wan",
    seed: int = 0,
    quick: bool = False,
    study: Study | None = None,
    progress: bool = True,
) -> Path:
    """Run the demo for the Diorama concept called `name`; returns the report's path.

    Raises `SuiteError` with near matches for a name Diorama does not draw.
    """
    start = time.perf_counter()
    suite = load_suite("demo").with_options(concepts=(name,), model=model, seed=seed, quick=quick)
    with closing(study or Study(suite, folder, progress=progress)) as study:
        ran = run(study)
        report = demo_report(study, ran, time.perf_counter() - start)
    path = report.write(folder / "report.html")
    write_tables(ran.tables, folder, "tables")
    sheet_rows = []
    for (role, _), group in zip(TITLES.items(), report.groups, strict=True):
        for place, pair in enumerate(group.pairs, 1):
            write_pair(pair.before, pair.after, folder / "clips", f"{slug(role)}-{place}-{slug(pair.caption)}")
            sheet_rows.append((pair.caption, pair.before, pair.after))
    contact_sheet(sheet_rows).save(folder / "contact.png")
    for table in ran.tables:
        print(f"\n{table.to_text()}")
    print(f"\n{report.lead}")
    print(f"report: {path}   (clips in {folder / 'clips'}, contact sheet {folder / 'contact.png'})")
    [one] = ran.concerned
    fit = one.made["clear"].facts["seconds of the fit"]
    print(f"{time.perf_counter() - start:.0f} s in all, {fit:.0f} s of it the fit")
    return path


def demo_report(study: Study, ran: Ran, seconds: float) -> Report:
    """Lay out everything the demo made."""
    [one] = ran.concerned
    fitted = study.fits.eraser(one.concept)
    name, report, layer = name_of(one.key), fitted.eraser.report, layer_name(fitted.eraser.layer)
    asked = ran.rows.where(measure="asked")
    shown = {role: tuple(asked.where(role=role, method=method) for method in ("none", "clear")) for role in TITLES}
    rates = [(role, rate_of(early), rate_of(late)) for role, (early, late) in shown.items()]
    _, before, after = rates[0]
    stays = {role: kept(shown[role][1], shown[role][0]) for role in list(TITLES)[1:]}
    steps, lines = preference_lines(report)
    return Report(
        title=title(name, before, after),
        lead=paragraph(name, before.clips, before, after, stays),
        model=EMBEDDED,
        glossary=GLOSSARY,
        groups=[_group(study, ran, role) for role in TITLES],
        tables=ran.tables,
        rates=rates,
        rates_note=ran.tables[0].note,
        preference_steps=steps,
        preferences=lines,
        chosen=layer,
        preferences_note=f"How the fit came to prefer {layer} among {len(lines)} candidates.",
        features=features_table(report),
        features_note="Sparse features that only this concept uses, and the tokens on which each fires most strongly.",
        facts=[
            ("command", _command(study, name)),
            ("version", f"unseen {__version__}, {time.strftime('%Y-%m-%d')}"),
            ("concept", concept_words(fitted.concept)),
            ("pipeline", f"{type(study.pipe).__name__}, SHA-256 of its weights {study.weights[:16]}…"),
            ("prompts", f"{study.suite.split} wording, seed {study.suite.seed}"),
            ("detector thresholds", ", ".join(f"{k} {v:.2f}" for k, v in study.judge.thresholds.items())),
            ("eraser", f"{fitted.kilobytes:.0f} kB, fitted in {fitted.seconds:.0f} s"),
            ("measured in", f"{seconds:.0f} s"),
        ],
    )


def concept_words(concept: Concept) -> str:
    """What a concept is, for a reader."""
    parts = [f"{concept.name} ({concept.kind})"]
    parts += [f"also called {', '.join(concept.synonyms)}"] if concept.synonyms else []
    parts += [f"replaced by {concept.replace_with}"] if concept.replace_with else []
    return "; ".join(parts)


def _command(study: Study, name: str) -> str:
    """What makes this report again."""
    suite = study.suite
    options = [f"--seed {suite.seed}"] if suite.seed else []
    options += [f"--model {suite.model}"] if suite.model != "wan" else []
    options += ["--quick"] if suite.quick else []
    return " ".join([f'unseen demo "{name}"', *options])


def _group(study: Study, ran: Ran, role: str) -> PairGroup:
    [one] = ran.concerned
    prompts = one.prompts[study.suite.split, role]
    before, after = study.clips(prompts), study.clips(prompts, one.measured["clear"].method)
    texts = list({prompt.text: place for place, prompt in reversed(list(enumerate(prompts)))}.values())[::-1]
    count = min(SHOWN[role] if not study.suite.quick else QUICK_SHOWN, SHOWN[role], len(texts))
    pairs = []
    for turn in np.linspace(0, len(texts) - 1, count).round().astype(int):  # spread, not picked by result
        place = texts[turn]
        reading = _reading(ran.rows.where(measure="asked", role=role, place=place))
        if after.identical[place]:
            reading += "; encoded bit-identically"
        pairs.append(ShownPair(prompts[place].text, before.frames[place], after.frames[place], reading))
    return PairGroup(*TITLES[role], pairs)


def _reading(rows: Rows) -> str:
    early, late = (rows.where(method=method)[0] for method in ("none", "clear"))
    shown = [round(row.value * row.frames) for row in (early, late)]
    return f"{early.looked_for} in {shown[0]} of {early.frames} frames before, {shown[1]} after"


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


def outcome(before: Estimate, after: Estimate) -> str:
    """One of "erased", "probably erased", "mostly erased", "partly erased", "not erased" and "not to be judged"."""
    if before.value < SHOWN_AT_ALL or before.value != before.value or after.value != after.value:
        return "not to be judged"
    if after.value <= GONE:
        return "erased" if after.high <= GONE else "probably erased"
    left = after.value / before.value
    return "mostly erased" if left <= 0.25 else "partly erased" if left <= 0.75 else "not erased"


def title(name: str, before: Estimate, after: Estimate) -> str:
    """ "French horn: erased (99.1 → 0 % of frames)"."""
    start = percent(before.value).removesuffix(" %")
    return f"{name}: {outcome(before, after)} ({start} → {percent(after.value)} of frames)"


def paragraph(name: str, clips: int, before: Estimate, after: Estimate, kept: Mapping[str, Estimate | None]) -> str:
    """What came out: how often the concept is shown, what that means, and how much of other things is kept.

    `kept` has, by what is to stay ("neighbours"), its rate after as a share of that before.
    """
    sentences = [
        f"Without the eraser the model shows “{name}” in {percent(before.value)} of frames, with it in"
        f" {percent(after.value)} ({clips} clips each, same prompts, same noise).",
        _MEANS[outcome(before, after)],
    ]
    stays = [f"{what} keep {percent(share.value)} of what they showed" for what, share in kept.items() if share]
    if stays:
        text = ", and ".join(stays)
        sentences.append(f"{text[0].upper()}{text[1:]}.")
    return " ".join(sentences)
