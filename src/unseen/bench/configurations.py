"""The default settings beside two readings of the paper: layer, strength and what is left, on video.

unseen evaluate configurations --concepts church
"""

from __future__ import annotations

from collections.abc import Iterator

from unseen.bench.prompts import concept_of
from unseen.bench.run import erased_by
from unseen.bench.study import Study
from unseen.bench.sweep import measure_method, prompts_for
from unseen.bench.tables import Cell, Table
from unseen.clear.config import ClearConfig
from unseen.diorama.world import captions
from unseen.encoder.layers import layer_name
from unseen.errors import FitError

CONFIGURATIONS = {"default": ClearConfig(), "paper": ClearConfig.paper(), "paper_table10": ClearConfig.paper_table10()}
CONCEPTS = ("church", "cedar_flint", "smoking")
STRENGTHS = (0.5, 1.0, 2.0, 3.0, 10.0)
CLIPS = 12


def evaluate_configurations(study: Study) -> Iterator[Table]:
    """One table per concept: every configuration's eraser at its own strength and along γ."""
    for key in study.chosen(CONCEPTS, captions.KEYS):
        yield configurations_table(study, key)


def configurations_table(study: Study, key: str) -> Table:
    """A row for each configuration and strength; the first row of each is the strength that its fit chose."""
    settings = study.settings
    count = settings.count(CLIPS)
    prompts = {role: asked[:count] for role, asked in prompts_for(study, key, settings.split).items()}
    base = {role: study.read(study.clips(asked)) for role, asked in prompts.items()}
    rows: list[tuple[Cell, ...]] = []
    for name, config in CONFIGURATIONS.items():
        study.say(f"{captions.main_name(key)}: {name}")
        try:
            fitted = study.eraser(concept_of(key), config=config)
        except FitError as error:
            rows.append((name, None, None, None, None, None, None, None, str(error).split(".")[0]))
            continue
        own = fitted.eraser
        for strength in (own.strength, *(gamma for gamma in STRENGTHS if gamma != own.strength)):
            eraser = own.with_strength(strength)
            method = erased_by(f"{name}, {strength:g}", eraser)
            cell = measure_method(study, key, base, method, own.layer, strength)
            first = strength == own.strength
            rows.append(
                (
                    name if first else "",
                    layer_name(cell.layer) if first else "",
                    float(strength),
                    own.num_features if first else None,
                    cell.generative,
                    cell.others,
                    cell.rest,
                    fitted.seconds if first else None,
                    "; ".join(own.report["verdict"]["reasons"]) if first else "",
                )
            )
    columns = (
        "configuration", "layer", "γ", "features", "generative rate", "others kept", "rest kept", "fit, s", "note",
    )  # fmt: skip
    about, others = (len(prompts[role]) for role in ("target", "others"))
    note = f"{about} clips about the concept, {others} about others, {settings.split} wording."
    return Table(f"Configurations: {captions.main_name(key)}", columns, tuple(rows), note)
