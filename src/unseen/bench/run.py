"""Run a suite: rows first (`unseen.bench.walk`), then what is asked of the rows: tables as Markdown, CSV and LaTeX,
figures, a page to look at."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unseen.bench.checks import CHECKS
from unseen.bench.clips.job import versions
from unseen.bench.measure import MEASURES, ON_DIORAMA
from unseen.bench.methods import Concerned, known_families
from unseen.bench.prompts.recipes import RECIPES
from unseen.bench.rows import Results, Rows, Run
from unseen.bench.study import Study
from unseen.bench.suite import Suite, read_suite, refuse_unknown
from unseen.bench.views.figures import curves, figures_of
from unseen.bench.views.report import PairGroup, Report, ShownPair
from unseen.bench.views.tables import Table, not_met, on_page, verdict_of, write_tables
from unseen.bench.views.view import VIEWS, failures, tables_of
from unseen.bench.walk import concepts_of, measure_suite, needs
from unseen.diorama.world.concepts import name_of
from unseen.errors import SuiteError
from unseen.names import file_name

SHOWN = 2
"""Target prompts of each concept whose clips the page shows, for every method."""
_NOTES = {
    "setting": "Lines: the settings of a method on development wording; dots: the chosen one on test wording, with 95 %"
    " intervals. Best is the lower right corner: nothing of the concept, everything else kept.",
    "": "Shares of frames with 95 % intervals over prompts and seeds.",
}


def load_suite(name: str | Path) -> Suite:
    """The suite called `name`, or the one in the file `name`, everything that it names being known.

    Raises:
        SuiteError: there is no such suite, or it says something that is not understood.
    """
    return checked(read_suite(name))


def checked(suite: Suite) -> Suite:
    """The suite, everything that it names being known.

    Raises:
        SuiteError: it names something that is not.
    """
    path = suite.name
    refuse_unknown(path, "recipe", [cell.recipe for cell in suite.prompts], RECIPES)
    refuse_unknown(path, "method", [spec.fit for spec in suite.methods], known_families())
    refuse_unknown(path, "measure", (*suite.measures, *suite.reported), MEASURES)
    refuse_unknown(path, "check", suite.once, CHECKS)
    refuse_unknown(path, "view", [table.view for table in suite.tables], VIEWS)
    if suite.prompts:  # what is measured without any brings roles of its own
        refuse_unknown(
            path, "role", [role for role in _roles_asked(suite) if role], [cell.role for cell in suite.prompts]
        )
    if not suite.is_diorama:
        own = [cell.role for cell in suite.prompts if not cell.file]
        if own or set(ON_DIORAMA) & {*suite.measures, *suite.reported}:
            raise SuiteError(
                f"{path}: another model than Diorama needs prompts from a file for each role, detectors for any video,"
                f" and no measure but rates and changed."
            )
    return suite


def _roles_asked(suite: Suite) -> Iterator[str]:
    """The roles that the suite's tables name; one that no prompt has would be an empty column."""
    for table in suite.tables:
        for where in (table.where, *(query.where for query in table.columns)):
            roles = where.get("role", ())
            yield from (roles,) if isinstance(roles, str) else roles


@dataclass(frozen=True)
class Ran:
    """A suite that was measured."""

    rows: Rows
    tables: tuple[Table, ...]
    concerned: tuple[Concerned, ...]
    number: int
    """Of the run, in the folder's table of rows."""
    seconds: float


def run(study: Study) -> Ran:
    """Measure the study's suite and add its rows to the folder's table."""
    started, suite = time.perf_counter(), study.suite
    concerned = concepts_of(study)
    rows = Rows(measure_suite(study, concerned))
    made = list(tables_of(suite.tables, rows, [spec.name for spec in suite.methods], "test" if suite.tune else ""))
    if failed := failures(rows):
        made.append(failed)
    seconds = time.perf_counter() - started
    facts = _circumstances(study)
    number = Results(study.folder).add(Run(suite.name, suite.model, suite.seed, study.weights, facts, seconds), rows)
    return Ran(rows, tuple(made), concerned, number, seconds)


def run_suite(study: Study, *, results: Path | None = None, command: str = "") -> Ran:
    """`run`, and print the tables and write them; `results` is a page for all of them, `command` what wrote it."""
    ran = run(study)
    for table in ran.tables:
        print(f"\n{table.to_text()}", flush=True)
    written = _write(study, ran, results, command)
    gaps = not_met(ran.tables)
    print("\ntargets missed or undecided:" if gaps else f"\n{verdict_of(ran.tables)}")
    for gap in gaps:
        print(f"  {gap}")
    took = f"{study.runner.drawn} clips drawn in {ran.seconds / 60:.1f} min"
    print(f"\nrun {ran.number}: {len(ran.rows)} rows, {took}; {written}")
    return ran


def _circumstances(study: Study) -> Mapping[str, Any]:
    """What a number depends on besides the code."""
    import transformers

    said = {name: value for name, value in vars(study.suite).items() if name not in ("prompts", "tables", "methods")}
    return {
        "suite": said,
        "call": {name: str(value) for name, value in study.call.items()},
        "detectors": [_card(detector) for detector in study.detectors],
        "device": str(study.pipe.device),
        "versions": {**versions(), "transformers": transformers.__version__},
    }


def _card(detector: Any) -> Any:
    if not isinstance(detector.card, dict):
        return asdict(detector.card)
    card = {name: value for name, value in detector.card.items() if name != "measured"}
    return {**card, "thresholds": dict(detector.thresholds)}


def _write(study: Study, ran: Ran, page: Path | None, command: str) -> Path:
    """Write tables, figures and what there is to look at into the study's folder, and with `page` the tables to that
    file too; returns the page. Every file carries the number of its run, so that no run overwrites another."""
    suite, folder, rows = study.suite, study.folder, ran.rows
    stem = f"{file_name(Path(suite.name).stem)}-{ran.number}"
    write_tables(ran.tables, folder, stem)
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
        groups=[group for one in ran.concerned for group in _pairs(study, one)],
        tables=ran.tables,
        charts=charts,
        charts_note=_NOTES.get(suite.tune, ""),
        facts=[
            ("pipeline weights", study.weights),
            ("run", str(ran.number)),
            ("seed", str(suite.seed)),
            ("detectors", ", ".join(suite.detectors)),
        ],
    )
    written = report.write(folder / f"{stem}.html")
    if page is None:
        return written
    named = [(title, figure, figure.name.removeprefix(f"{stem}-")) for title, figure in figures]
    _write_page(page, study, ran.tables, named, command)
    return page


def _pairs(study: Study, one: Concerned) -> Iterator[PairGroup]:
    """The first prompts that name the concept, and those with searched words, with every method as it was measured."""
    if study.suite.tune == "layer":  # all layers are too many to look at
        return
    for role in ("target", "searched words"):
        prompts = one.prompts.get((study.suite.splits()[-1], role), [])[: 2 * SHOWN : 2]
        title = name_of(one.key) if role == "target" else f"{name_of(one.key)}, attacked with {role}"
        pairs = [
            ShownPair(name, before, after, prompt.text)
            for name, variant in one.measured.items()
            for prompt, before, after in zip(
                prompts, study.clips(prompts).frames, study.clips(prompts, variant.method).frames, strict=True
            )
        ]
        if pairs:
            yield PairGroup(title, "Left without, right with the method, from the same noise.", pairs)


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


def evaluate(
    suite: Suite,
    folder: Path,
    *,
    results: Path | None = None,
    dry_run: bool = False,
    command: str = "",
    progress: bool = True,
) -> tuple[Table, ...]:
    """What `unseen evaluate` does; the tables, none of a dry run."""
    with closing(Study(checked(suite), folder, progress=progress)) as study:
        if dry_run:
            print(needs(study))
            return ()
        return run_suite(study, results=results, command=command).tables
