"""The evaluation commands: run them, print their tables, keep these as Markdown and CSV, and name every target
that is missed or undecided."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from unseen.bench.ablate import evaluate_ablations
from unseen.bench.compare import evaluate_methods
from unseen.bench.configurations import evaluate_configurations
from unseen.bench.depth import evaluate_depth
from unseen.bench.kinds import evaluate_kinds
from unseen.bench.objects import evaluate_objects
from unseen.bench.phrasings import evaluate_phrasings
from unseen.bench.picture import evaluate_picture
from unseen.bench.sentences import evaluate_sentences
from unseen.bench.study import Settings, Study
from unseen.bench.sweep import evaluate_sweep
from unseen.bench.tables import Table, not_met, write_tables
from unseen.bench.together import evaluate_together

EVALUATIONS: dict[str, Callable[[Study], Iterator[Table]]] = {
    "picture": evaluate_picture,
    "objects": evaluate_objects,
    "kinds": evaluate_kinds,
    "phrasings": evaluate_phrasings,
    "sentences": evaluate_sentences,
    "configurations": evaluate_configurations,
    "together": evaluate_together,
    "methods": evaluate_methods,
    "ablate": evaluate_ablations,
    "sweep": evaluate_sweep,
    "depth": evaluate_depth,
}
ALL = ("picture", "objects", "kinds", "phrasings", "together")
"""What "all" stands for; the methods, the sweep and the ablations are studies of their own."""


def run_evaluation(
    what: str, settings: Settings, *, results: Path | None = None, study: Study | None = None
) -> list[Table]:
    """Carry out the evaluation called `what`, or "all"; returns the tables, after printing and writing them.

    `results` is a Markdown file for all of them, beside those in the settings' folder.
    """
    start = time.perf_counter()
    study = Study(settings) if study is None else study
    made: list[Table] = []
    for name in ALL if what == "all" else (what,):
        tables = []
        for table in EVALUATIONS[name](study):
            tables.append(table)
            print(f"\n{table.to_text()}", flush=True)
        write_tables(tables, settings.folder, _file_name(name, settings))
        made += tables
    circumstances = json.dumps(_circumstances(study), indent=2)
    (settings.folder / f"{_file_name(what, settings)}.json").write_text(circumstances + "\n", encoding="utf-8")
    gaps = not_met(made)
    print("\ntargets missed or undecided:" if gaps else "\nevery target is met")
    for gap in gaps:
        print(f"  {gap}")
    if results is not None:
        write_results(results, what, study, made)
    minutes = (time.perf_counter() - start) / 60
    print(f"\n{study.runner.drawn} clips drawn in {minutes:.1f} min; tables in {results or settings.folder}")
    return made


def _file_name(what: str, settings: Settings) -> str:
    return (
        f"{what}-{settings.split}-{settings.config}-{settings.seed}"
        + (f"-{settings.model}" if settings.model != "wan" else "")
        + ("-listed" if settings.listed else "")
        + (f"-{Path(settings.suite).stem}" if settings.suite else "")
        + ("-quick" if settings.quick else "")
    )


def write_results(path: Path, what: str, study: Study, tables: Sequence[Table]) -> None:
    """Write all tables to one Markdown file, the targets that are missed or undecided first."""
    settings, gaps = study.settings, not_met(tables)
    command = f"unseen {what}" if what in ("sweep", "ablate") else f"unseen evaluate {what} --split {settings.split}"
    if settings.model != "wan":
        command += f" --model {settings.model}"
    if settings.suite:
        command += f" --suite {settings.suite}"
    else:
        command += _options(settings)
    lines = [
        "# Results",
        "",
        f"Written by `{command}`; not edited by hand.",
        "",
        f"Pipeline weights SHA-256 `{study.weights}`.",
        "",
        "## Targets missed or undecided",
        "",
        *([f"- {gap}" for gap in gaps] or ["None."]),
        "",
        "## Tables",
        "",
        "\n\n".join(table.to_markdown() for table in tables),
        "",
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def _options(settings: Settings) -> str:
    return "".join(
        [
            f" --config {settings.config} --seed {settings.seed}",
            " --quick" if settings.quick else "",
            f" --clips {settings.clips}" if settings.clips else "",
            " --listed" if settings.listed else "",
            f" --steps {settings.steps}" if settings.steps else "",
            " --concepts" + "".join(f' "{name}"' for name in settings.concepts) if settings.concepts else "",
        ]
    )


def _circumstances(study: Study) -> dict[str, Any]:
    """What a number depends on besides the code."""
    import diffusers
    import torch
    import transformers

    return {
        "pipeline_sha256": study.weights,
        "detectors": [{k: v for k, v in d.card.items() if k != "measured"} for d in study.detectors],
        "detector_thresholds": [dict(d.thresholds) for d in study.detectors],
        "device": str(study.pipe.device),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "transformers": transformers.__version__,
        "settings": {k: str(v) for k, v in vars(study.settings).items()},
    }
