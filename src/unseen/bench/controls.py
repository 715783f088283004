"""Tables that keep an evaluation honest: unconcerned prompts, autoencoder quality, random features, weights, timing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from unseen.bench.fits import Fitted
from unseen.bench.prompts import Prompt
from unseen.bench.run import Clips
from unseen.bench.scores import kept, rate
from unseen.bench.study import Study, mean_floor
from unseen.bench.tables import Cell, Count, Table, Target
from unseen.metrics.pixel import pixel_difference

FVU = 0.2
"""Fraction of variance unexplained that the chosen block's autoencoder may have."""
SECONDS = 60.0
KILOBYTES = 200.0
RANDOM = 0.9
"""Share of the generative rate that has to stay where random features are removed."""


def unconcerned_table(cells: Sequence[tuple[str, Clips, Clips]]) -> Table:
    """Prompts without the concept, per role: how many are encoded bit-identically, and how much the clips differ.

    `cells` holds role, clips before and clips after; cells of one role are put together.
    """
    rows: list[tuple[Cell, ...]] = []
    groups = [(role, [cell for cell in cells if cell[0] == role]) for role in dict.fromkeys(cell[0] for cell in cells)]
    for role, members in [*groups, ("all", list(cells))]:
        before = np.concatenate([cell[1].frames for cell in members])
        after = np.concatenate([cell[2].frames for cell in members])
        identical = np.concatenate([cell[2].identical for cell in members])
        difference = pixel_difference(after, before)
        rows.append(
            (
                role,
                len(before),
                Count(int(identical.sum()), len(identical)),
                float(identical.mean()),
                difference.mean,
                difference.worst_clip,
            )
        )
    return Table(
        "Prompts without the concept",
        ("role", "clips", "encoded bit-identically", "share", "mean pixel difference", "worst clip"),
        tuple(rows),
        "Pixel differences in levels of 255. A prompt that is encoded bit-identically gives the very same clip.",
    )


def fit_table(fits: Sequence[Fitted]) -> Table:
    """What each fit chose and cost, and the quality of the autoencoder at its block on held-out prompts."""
    rows: list[tuple[Cell, ...]] = []
    for fitted in fits:
        report, layer = fitted.eraser.report, fitted.eraser.layer
        fvu, l0, dead = (_at(report, name, layer) for name in ("fvu", "l0", "dead"))
        rows.append(
            (
                fitted.concept.name,
                layer,
                fitted.eraser.num_features,
                float(fitted.eraser.strength),
                fvu,
                l0,
                dead,
                round(fitted.seconds, 1),
                round(fitted.kilobytes, 1),
                (fvu is None or fvu <= FVU) and fitted.seconds <= SECONDS and fitted.kilobytes <= KILOBYTES,
            )
        )
    return Table(
        "Fits",
        ("concept", "block", "features", "strength", "FVU", "L0", "dead", "fit, s", "eraser, kB", "verdict"),
        tuple(rows),
        f"Targets: FVU ≤ {FVU:g}, fit ≤ {SECONDS:g} s, eraser ≤ {KILOBYTES:g} kB. "
        "FVU and L0 on held-out prompts; dead: share of features that never fire.",
    )


def _at(report: dict, name: str, layer: int) -> float | None:
    values = report.get(name)
    value = None if values is None else values[report["layers"].index(layer)]
    return None if value is None else float(value)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def blocks_table(fits: Sequence[Fitted]) -> Table:
    """Held-out quality of every block's autoencoder, averaged over the fits, and how often each block was chosen."""
    reports = [fitted.eraser.report for fitted in fits]
    rows: list[tuple[Cell, ...]] = []
    for place, block in enumerate(reports[0]["layers"]):
        mean = [_mean([report[name][place] for report in reports]) for name in ("fvu", "l0", "dead")]
        chosen = sum(fitted.eraser.layer == block for fitted in fits)
        rows.append((block, *mean, Count(chosen, len(fits))))
    return Table(
        "Autoencoders per block",
        ("block", "FVU", "L0", "dead", "chosen by"),
        tuple(rows),
        "Means on held-out prompts, over the fits that trained the block to the end.",
    )


def random_table(
    study: Study, cells: Sequence[tuple[str, Fitted, Sequence[Prompt]]], shown: Callable[[str, Clips], np.ndarray]
) -> Table:
    """The control: as many random active features removed in place of the concept's own must not erase it.

    `cells` holds key, fit and target prompts; `shown(key, clips)` says which frames show the concept.
    """
    hits: dict[str, list[np.ndarray]] = {"before": [], "own": [], "random": []}
    for key, fitted, prompts in cells:
        base = study.clips(prompts)
        hits["before"].append(shown(key, base))
        hits["own"].append(shown(key, study.clips(prompts, fitted.method)))
        hits["random"].append(shown(key, study.clips(prompts, fitted.random_method)))
    prompts = [p for _, _, cell in cells for p in cell]
    floor = mean_floor(study.judge, [key for key, _, _ in cells])
    labels = {
        "before": "nothing removed",
        "own": "the concept's features removed",
        "random": "as many random active features removed",
    }
    rows: list[tuple[Cell, ...]] = []
    before = rate(np.concatenate(hits["before"]), prompts)
    for name, label in labels.items():
        target = Target(round(RANDOM * before.value, 4)) if name == "random" else None
        left = kept(np.concatenate(hits[name]), np.concatenate(hits["before"]), prompts)  # pairs tell more than rates
        measured = rate(np.concatenate(hits[name]), prompts)
        rows.append(
            (label, len(prompts), measured, floor, target, None if target is None else Target(RANDOM).verdict(left))
        )
    return Table(
        "Control: random features",
        ("generative rate with", "clips", "value", "detector floor", "target", "verdict"),
        tuple(rows),
    )


def invariants_table(study: Study, fitted: Fitted, prompt: Prompt) -> Table:
    """What must hold exactly: detaching restores every bit, and the weights never change."""
    identical = study.detached_is_identical(prompt, fitted.method)
    with fitted.method.applied_to(study.pipe):
        during = study.weights_unchanged()
    rows = (
        ("the pipeline's weights are bit-identical while the eraser is attached", during),
        ("a clip drawn after detaching is bit-identical", identical),
        ("the pipeline's weights are bit-identical after everything above", study.weights_unchanged()),
    )
    return Table("Exactly as before", ("claim", "verdict"), rows)
