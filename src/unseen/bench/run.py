"""Run a suite: rows first (`unseen.bench.walk`), then its tables, which are asked of the rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from unseen.bench.attacks.known import knows_the_method
from unseen.bench.checks import CHECKS
from unseen.bench.clips.job import draw
from unseen.bench.clips.store import versions
from unseen.bench.measure import MEASURES, ON_DIORAMA
from unseen.bench.methods import Concerned, known_families, name_of, settings_of
from unseen.bench.prompts.recipes import RECIPES, SEARCHES
from unseen.bench.results import SHOWN, Shown, write_results
from unseen.bench.rows import Results, Rows, Run
from unseen.bench.study import Study
from unseen.bench.suite import Suite, read_suite, refuse_unknown
from unseen.bench.views.tables import Table, not_met, verdict_of
from unseen.bench.views.view import VIEWS, failures, tables_of
from unseen.bench.walk import TIMED, cell_of, concepts_of, measure_suite, prompts_of, roles_of
from unseen.encoder.layers import num_blocks
from unseen.errors import SuiteError
from unseen.pipelines import text_path


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
    shown = [one for concerned in ran.concerned for one in _shown(study.suite, concerned)]
    written = write_results(study, ran.tables, ran.rows, ran.number, shown, page=results, command=command)
    gaps = not_met(ran.tables)
    print("\ntargets missed or undecided:" if gaps else f"\n{verdict_of(ran.tables)}")
    for gap in gaps:
        print(f"  {gap}")
    took = f"{study.runner.drawn} clips drawn in {ran.seconds / 60:.1f} min"
    print(f"\nrun {ran.number}: {len(ran.rows)} rows, {took}; {written}")
    return ran


def _shown(suite: Suite, one: Concerned) -> Iterator[Shown]:
    """The first prompts that name the concept, and those with searched words, with every method as it was measured."""
    if suite.tune == "layer":  # all layers are too many to look at
        return
    for role in ("target", "searched words"):
        prompts = one.prompts.get((suite.splits()[-1], role), [])[: 2 * SHOWN : 2]
        title = name_of(one.key) if role == "target" else f"{name_of(one.key)}, attacked with {role}"
        for name, variant in one.measured.items():
            if prompts:
                yield title, name, prompts, variant.method


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


@dataclass(frozen=True)
class Needs:
    """What a suite takes at most; prompts that a method leaves alone are not drawn again."""

    clips: int
    bytes: int
    seconds: float
    """Of drawing, at the speed of the machine that was asked; fits come on top."""

    def __str__(self) -> str:
        return (
            f"at most {self.clips} clips, {self.bytes / 1e9:.2f} GB, {self.seconds / 3600:.2f} h of drawing on this"
            " machine; fits come on top"
        )


def needs(study: Study) -> Needs:
    """What the study's suite takes at most; draws one batch to learn the speed."""
    suite, total = study.suite, 0
    concerned = concepts_of(study)
    for one in concerned:
        counts: dict[tuple[str, str], int] = {}
        for split in suite.splits():
            cells = [cell for cell in suite.prompts if not cell.together and cell.recipe not in SEARCHES]
            prompts_of(study, one, split, cells, [other.key for other in concerned])
        counts = {where: len(made) for where, made in one.prompts.items()}
        counts |= {(split, cell.role): suite.count(cell, split)[0] for cell in suite.prompts for split in suite.splits()
                   if cell.recipe in SEARCHES and cell.split in ("", split)}  # fmt: skip
        total += sum(count for (_, role), count in counts.items() if cell_of(suite, role).drawn != "none")
        for spec in suite.methods:
            grid = len(settings_of(spec, tuned=bool(suite.tune)))
            layers = 1 + num_blocks(text_path(study.pipe).encoder) if spec.fit == "layers" else 1
            for split in suite.splits():
                one.prompts = {where: [] for where in counts}
                drawn, _ = roles_of(suite, spec, one, split)
                tuned = suite.tune and split == suite.splits()[-1]
                # words found against a method are drawn without it too
                twice = [role for role in drawn if knows_the_method(cell_of(suite, role).recipe)]
                total += layers * (1 if tuned else grid) * sum(counts[split, role] for role in [*drawn, *twice])
    all_at_once = replace(concerned[0], prompts={})
    prompts_of(study, all_at_once, suite.split, [c for c in suite.prompts if c.together], [c.key for c in concerned])
    for (_, role), made in all_at_once.prompts.items():
        total += len(made) * (1 + sum(spec.name in cell_of(suite, role).methods for spec in suite.methods))
    text, count = TIMED
    started = time.perf_counter()
    frames = draw(study.pipe, [text] * count, list(range(count)), batch_size=count, call=study.call)
    each = (time.perf_counter() - started) / count
    return Needs(total, total * frames[0].nbytes, total * each)


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
