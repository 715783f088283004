"""What a run leaves beside its rows: tables as Markdown, CSV and LaTeX, figures, a page to look at.

Every file carries the number of its run, so that a second run never overwrites the first.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from unseen.bench.clips.job import UNEDITED, Method
from unseen.bench.prompts.writer import Prompt
from unseen.bench.rows import Rows
from unseen.bench.study import Study
from unseen.bench.views.figures import curves, figures_of
from unseen.bench.views.report import PairGroup, Report, ShownPair
from unseen.bench.views.tables import Table, not_met, on_page, verdict_of, write_tables
from unseen.names import file_name

SHOWN = 2
"""Target prompts of each concept whose clips the page shows, for every method."""
Shown = tuple[str, str, Sequence[Prompt], Method]
"""A concept, a method, prompts, and what they are drawn with."""


def write_results(
    study: Study, tables: Sequence[Table], rows: Rows, run: int, shown: Sequence[Shown] = (), *,
    page: Path | None = None, command: str = "",
) -> Path:  # fmt: skip
    """Write everything into the study's folder, and with `page` the tables to that file too; returns the page."""
    suite, folder = study.suite, study.folder
    stem = f"{file_name(Path(suite.name).stem)}-{run}"
    write_tables(tables, folder, stem)
    figures: list[tuple[str, Path]] = []
    charts = list(figures_of(rows, suite.tune))
    for title, chart in charts:
        figures.append((title, folder / f"{stem}-{file_name(title)}.svg"))
        figures[-1][1].write_text(chart, encoding="utf-8")
    if suite.tune == "layer":
        for concept in rows.where(measure="layer", method="layers").distinct("concept"):
            path = folder / f"{stem}-{file_name(concept)}.png"
            figures.append((f"Layers and strengths: {concept}", curves(rows, concept, path)))
    report = Report(
        title=suite.title,
        lead=suite.about or "Every method on the same prompts and the same noise.",
        groups=_pairs(study, shown),
        tables=tables,
        charts=charts,
        charts_note=_NOTES.get(suite.tune, ""),
        facts=[
            ("pipeline weights", study.weights),
            ("run", str(run)),
            ("seed", str(suite.seed)),
            ("detectors", ", ".join(suite.detectors)),
        ],
    )
    written = report.write(folder / f"{stem}.html")
    if page is not None:
        _write_page(page, study, tables, [(title, figure, figure.name.removeprefix(f"{stem}-"))
                                          for title, figure in figures], command)  # fmt: skip
    return page or written


_NOTES = {
    "setting": "Lines: the settings of a method on development wording; dots: the chosen one on test wording, with 95 %"
    " intervals. Best is the lower right corner: nothing of the concept, everything else kept.",
    "": "Shares of frames with 95 % intervals over prompts and seeds.",
}


def _pairs(study: Study, shown: Sequence[Shown]) -> list[PairGroup]:
    groups = []
    for concept in dict.fromkeys(one[0] for one in shown):
        pairs = [
            ShownPair(method, early, late, prompt.text)
            for of, method, prompts, how in shown
            if of == concept
            for prompt, early, late in zip(
                prompts, study.clips(prompts, UNEDITED).frames, study.clips(prompts, how).frames, strict=True
            )
        ]
        groups.append(PairGroup(concept, "Left without, right with the method, from the same noise.", pairs))
    return groups


def _write_page(
    path: Path, study: Study, tables: Sequence[Table], figures: Sequence[tuple[str, Path, str]], command: str
) -> None:
    """One Markdown page: what is missed or undecided, then figures (title, file, name), then the tables behind them.

    The page's own copies of figures carry no number of a run: the page made anew replaces them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = []
    for title, figure, name in figures:
        beside = path.parent / "figures" / f"{path.stem}-{name}"
        beside.parent.mkdir(exist_ok=True)
        shutil.copyfile(figure, beside)
        drawn.append(f"![{title}](figures/{beside.name})")
    gaps = not_met(tables)
    lines = [
        f"# Results: {study.suite.title}",
        "",
        f"Written by `{command or f'unseen evaluate {study.suite.name}'}`; not edited by hand. Pipeline weights SHA-256"
        f" `{study.weights}`, seed {study.suite.seed}.",
        "",
        "## Targets missed or undecided",
        "",
        *([f"- {gap}" for gap in gaps] or [f"None: {verdict_of(tables)}."]),
        *(["", "## Figures", "", "\n\n".join(drawn)] if drawn else []),
        "",
        "## Tables",
        "",
        "\n\n".join(on_page(table, path) for table in tables),
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
