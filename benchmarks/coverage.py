"""How often 95 % intervals cover, counted: the library's beside a plain resampling of prompts.

    python benchmarks/coverage.py --results docs/benchmarks-coverage.md

Clips are drawn from a model in which the truth is known. A frame shows the concept if a sum of Gaussian effects, of its
prompt, its noise seed, its clip and the frame itself, is below a limit; so the expected rate is exact, and the effects'
shares of the variance say how alike clips of one prompt are. Two methods on the same prompts and seeds share a part of
these effects. "Resampled" draws prompts 2,000 times with replacement and takes quantiles of the means; it is the usual
interval, and what the library had before.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import special

from unseen.bench.views.tables import Table, on_page
from unseen.metrics.intervals import (
    Ends,
    Levels,
    difference,
    excess_ratio,
    kept_share,
    paired_p_value,
    share,
)

FRAMES = 9
RATES = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999)
PROMPTS = (5, 12, 30, 100, 300)
LOW, HIGH = 0.93, 0.97
RESAMPLINGS = 2000
CHUNK = 500


@dataclass(frozen=True)
class Design:
    """How many clips a prompt has, and where their differences come from."""

    label: str
    clips: int = 1
    """Per prompt."""
    prompt: float = 0.0
    """Share of the variance (of the Gaussian sum) that clips of one prompt have in common."""
    seed: float = 0.0
    """That clips of one seed have in common, over all prompts."""
    frame: float = 0.0
    """That each frame has to itself. Without it a clip shows the concept in all of its frames or in none."""
    seeds: int = 24

    def levels(self, prompts: int) -> Levels:
        """As evaluations give them: seeds take turns, and recur only where they are said to matter."""
        names = np.repeat(np.arange(prompts), self.clips)
        turns = np.arange(prompts * self.clips)
        return Levels.of(names, (names + 11 * turns) % self.seeds if self.seed else turns)

    def draw(self, rng: np.random.Generator, rates: Sequence[float], prompts: int, count: int, shared: float = 1.0):
        """Share of frames `[rates, count, clips]`; the `rates` are of methods that have `shared` in common."""
        names = np.repeat(np.arange(prompts), self.clips)
        number, seeds = len(names), (names + 11 * np.arange(len(names))) % self.seeds

        def effect(groups: int, which: np.ndarray) -> np.ndarray:
            common = rng.standard_normal((1, count, groups), np.float32)
            own = rng.standard_normal((len(rates), count, groups), np.float32)
            return (np.sqrt(shared) * common + np.sqrt(1 - shared) * own)[..., which]

        rest = 1 - self.prompt - self.seed - self.frame
        total = np.sqrt(rest) * effect(number, np.arange(number)) + np.sqrt(self.prompt) * effect(prompts, names)
        if self.seed:
            total = total + np.sqrt(self.seed) * effect(self.seeds, seeds)
        limits = special.ndtri(np.asarray(rates))[:, None, None]
        if not self.frame:
            return (total < limits).astype(float)
        return rng.binomial(FRAMES, special.ndtr((limits - total) / np.sqrt(self.frame))) / FRAMES


DESIGNS = (
    Design("1 clip per prompt, all frames alike"),
    Design("1 clip per prompt, shares of frames", frame=0.2),
    Design("2 clips per prompt, independent", clips=2),
    Design("2 clips per prompt, alike by half, shares of frames", clips=2, prompt=0.5, frame=0.1),
    Design("4 clips per prompt, alike by 0.3", clips=4, prompt=0.3),
    Design("4 clips per prompt, all the same", clips=4, prompt=1.0),
    Design("2 clips per prompt, alike by 0.3, 24 seeds alike by 0.1", clips=2, prompt=0.3, seed=0.1, frame=0.1),
)
PAIRED = Design("2 clips per prompt, alike by 0.3, shares of frames", clips=2, prompt=0.3, frame=0.1)
PAIRED_PROMPTS = (5, 12, 30, 150)
KEPT = ((0.95, 0.95), (0.95, 0.9), (0.9, 0.45), (0.9, 0.03), (0.5, 0.5), (0.99, 0.98), (0.3, 0.1))
"""Rates before and after."""
EXCESS = ((0.3, 0.6), (0.1, 0.4), (0.05, 0.2), (0.3, 0.3))
FLOOR = 0.002
SHARED = (0.0, 0.5, 0.95)


class Row(NamedTuple):
    """One cell of the simulation."""

    what: str
    rate: str
    prompts: int
    design: str
    resampled: float
    """Share of simulations in which the resampled interval covers."""
    covered: float
    """In which the library's does."""
    width: float
    """Mean, of the library's."""
    scale: float
    """Clopper-Pearson's on as many independent prompts (rates); the resampled interval's (pairs)."""
    shown: float
    """Prompts expected to show the concept, or expected not to, whichever are fewer."""


def covers(ends: Ends, truth: float) -> np.ndarray:
    """bool, like the ends; the truth may lie on an end."""
    return (ends.low <= truth + 1e-9) & (truth - 1e-9 <= ends.high)


def resampled(values: np.ndarray, clusters: int, over: np.ndarray | None = None) -> Ends:
    """Quantiles of means, or of ratios of means, over prompts drawn with replacement; values `[count, clips]`."""
    rng = np.random.default_rng(0)
    weights = rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=RESAMPLINGS).astype(np.float32)

    def means(numbers: np.ndarray) -> np.ndarray:
        return numbers.reshape(len(numbers), clusters, -1).mean(-1).astype(np.float32) @ weights.T / clusters

    drawn = means(values)
    if over is not None:
        below = means(over)
        drawn = np.divide(drawn, below, out=np.zeros_like(drawn), where=below > 0)
    drawn.sort(axis=1)
    last = RESAMPLINGS - 1
    return Ends(values.mean(-1), drawn[:, round(0.025 * last)], drawn[:, round(0.975 * last)])


def rate_rows(
    simulations: int,
    rates: Sequence[float] = RATES,
    prompts: Sequence[int] = PROMPTS,
    designs: Sequence[Design] = DESIGNS,
    seed: int = 0,
) -> Iterator[Row]:
    """Coverage of `share` in each cell."""
    for place, design in enumerate(designs):
        for count in prompts:
            levels = design.levels(count)
            for rate in rates:
                rng = np.random.default_rng([seed, place, count, round(1e6 * rate)])
                hits: list[np.ndarray] = []
                widths: list[np.ndarray] = []
                plain: list[np.ndarray] = []
                for start in range(0, simulations, CHUNK):
                    [values] = design.draw(rng, [rate], count, min(CHUNK, simulations - start))
                    ends = share(values, levels)
                    hits.append(covers(ends, rate))
                    widths.append(ends.high - ends.low)
                    plain.append(covers(resampled(values, count), rate))
                yield Row(
                    "rate", f"{100 * rate:g} %", count, design.label, float(np.concatenate(plain).mean()),
                    float(np.concatenate(hits).mean()), float(np.concatenate(widths).mean()),
                    clopper_pearson_width(rate, count), count * min(rate, 1 - rate),
                )  # fmt: skip


def clopper_pearson_width(rate: float, count: int) -> float:
    """Expected width of Clopper and Pearson's interval of `count` independent clips."""
    hits = np.arange(count + 1.0)
    low = np.where(hits > 0, special.betaincinv(np.maximum(hits, 1e-9), count - hits + 1, 0.025), 0)
    high = np.where(hits < count, special.betaincinv(hits + 1, np.maximum(count - hits, 1e-9), 0.975), 1)
    chance = special.binom(count, hits) * rate**hits * (1 - rate) ** (count - hits)
    return float((chance * (high - low)).sum())


def paired_rows(
    simulations: int,
    prompts: Sequence[int] = PAIRED_PROMPTS,
    shared: Sequence[float] = SHARED,
    seed: int = 1,
) -> Iterator[Row]:
    """Coverage of `kept_share`, `difference` and `excess_ratio`."""
    for count in prompts:
        levels = PAIRED.levels(count)
        for common in shared:
            for what, pairs in (("kept", KEPT), ("difference", KEPT), ("ratio above the floor", EXCESS)):
                for early, late in pairs:
                    rng = np.random.default_rng(
                        [seed, count, round(100 * common), round(1e4 * early), round(1e4 * late)]
                    )
                    before, after = PAIRED.draw(rng, (early, late), count, simulations, common)
                    if what == "kept":
                        ends, plain, truth = (
                            kept_share(after, before, levels), resampled(after, count, before), late / early
                        )  # fmt: skip
                        there = before.mean(-1) > 0  # elsewhere nothing can be kept
                    elif what == "difference":
                        ends, plain, truth = (
                            difference(after, before, levels), resampled(after - before, count), late - early
                        )  # fmt: skip
                        there = np.ones(simulations, bool)
                    else:
                        truth = (early - FLOOR) / (late - FLOOR)
                        ends = excess_ratio(before, after, levels, floor=FLOOR)
                        plain = resampled(np.maximum(before - FLOOR, 0), count, np.maximum(after - FLOOR, 0))
                        there = np.ones(simulations, bool)
                    width = (ends.high - ends.low)[there]
                    yield Row(
                        what, f"{100 * early:g} %, {100 * late:g} %", count, f"{common:g} of the effects shared",
                        float(covers(plain, truth)[there].mean()), float(covers(ends, truth)[there].mean()),
                        float(np.median(width)), float(np.median((plain.high - plain.low)[there])),
                        count * min(early, 1 - early, late, 1 - late),
                    )  # fmt: skip


class Falsely(NamedTuple):
    """How often the test says that equal methods differ."""

    rate: float
    prompts: int
    shared: float
    alarms: float


def test_rows(
    simulations: int,
    rates: Sequence[float] = (0.05, 0.3, 0.5, 0.95),
    prompts: Sequence[int] = PAIRED_PROMPTS,
    shared: Sequence[float] = (0.0, 0.5),
    seed: int = 2,
) -> Iterator[Falsely]:
    """Type-I error of `paired_p_value` at 5 %."""
    for count in prompts:
        levels = PAIRED.levels(count)
        for common in shared:
            for rate in rates:
                rng = np.random.default_rng([seed, count, round(100 * common), round(1e4 * rate)])
                one, other = PAIRED.draw(rng, (rate, rate), count, simulations, common)
                alarms = np.mean([paired_p_value(a, b, levels) < 0.05 for a, b in zip(one, other, strict=True)])
                yield Falsely(rate, count, common, float(alarms))


def summary(rows: Sequence[Row], simulations: int) -> list[str]:
    """What holds over all cells."""
    error = np.sqrt(0.95 * 0.05 / simulations)
    lines = [f"Monte-Carlo error of a coverage: ± {100 * 1.96 * error:.1f} points. Over all cells:", ""]
    for name, chosen in (
        ("resampled", [row.resampled for row in rows]),
        ("the library's", [row.covered for row in rows]),
    ):
        below = sum(value < LOW for value in chosen)
        within = sum(LOW <= value <= HIGH for value in chosen)
        lines.append(
            f"- {name}: lowest {100 * min(chosen):.1f} %, mean {100 * np.mean(chosen):.1f} %; below {100 * LOW:g} % in "
            f"{below} of {len(chosen)} cells, within {100 * LOW:g}–{100 * HIGH:g} % in {within}"
        )
    for least, most in ((0, 1), (1, 5), (5, 10), (10, float("inf"))):
        group = [row.covered for row in rows if least <= row.shown < most]
        if group:
            within = sum(LOW <= value <= HIGH for value in group)
            lines.append(
                f"- the library's, where {least} to {most} prompts are expected to be among the fewer: "
                f"{100 * min(group):.1f} to {100 * max(group):.1f} %, within in {within} of {len(group)}"
            )
    return lines


def table(title: str, rows: Sequence[Row], note: str = "") -> Table:
    """One row for each cell."""
    last = "Clopper-Pearson on prompts" if rows[0].what == "rate" else "width, resampled"
    columns = ("what", "rate", "prompts", "design", "resampled", "library", "width", last)
    cells = ((r.what, r.rate, r.prompts, r.design, r.resampled, r.covered, r.width, r.scale) for r in rows)
    return Table(title, columns, tuple(cells), note)


def figure(rows: Sequence[Row], path: Path) -> None:
    """Coverage over how many prompts are expected to be among the fewer: the library's above the usual one's."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(6.4, 3.4), layout="constrained")
    axis = drawn.subplots()
    axis.axhspan(100 * LOW, 100 * HIGH, color="#e5e7eb", label="target")
    shown = [max(row.shown, 0.01) for row in rows]
    for name, color, values in (
        ("resampled", "#d1495b", [row.resampled for row in rows]),
        ("the library's", "#1b6ca8", [row.covered for row in rows]),
    ):
        axis.scatter(shown, [100 * value for value in values], s=9, color=color, alpha=0.6, label=name, linewidths=0)
    axis.set(xscale="log", xlabel="prompts expected to show the concept, or not to, whichever are fewer",
             ylabel="intervals that cover, %")  # fmt: skip
    axis.legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, dpi=130)


def page(simulations: int, where: Path) -> list[str]:
    """All of it as Markdown for the page at `where`, with its figure and its tables beside it."""
    rates = list(rate_rows(simulations))
    pairs = list(paired_rows(simulations))
    alarms = list(test_rows(simulations))
    drawn = where.parent / "figures" / f"{where.stem}.png"
    figure([*rates, *pairs], drawn)
    return [
        "# How often the intervals cover",
        "",
        f"Written by `python benchmarks/coverage.py --simulations {simulations}`; not edited by hand. Its docstring "
        "says how the clips are drawn, [statistics.md](statistics.md) how the intervals are built.",
        "",
        f"Target: {100 * LOW:g} to {100 * HIGH:g} %. Where few prompts are expected to show the concept (or few not "
        "to), only a few outcomes are possible, and an interval that covers at least 93 % at every rate covers nearly "
        "100 % at most of them; a share of 0.1 % of five prompts is 0 of 5 nearly always, and any interval that starts "
        f"at 0 covers it. There the target is at least {100 * LOW:g} %.",
        "",
        f"![Coverage over the number of prompts that decide](figures/{drawn.name})",
        "",
        "## Rates",
        "",
        *summary(rates, simulations),
        "",
        on_page(table("Each cell of the rates", rates), where),
        "",
        "## Kept shares, paired differences, ratios above a floor",
        "",
        *summary(pairs, simulations),
        "",
        on_page(
            table(
                "Each cell of the pairs",
                pairs,
                "Widths are medians: where the rate below may be at the floor, the upper end is infinite.",
            ),
            where,
        ),
        "",
        "## The test: alarms at 5 % between equal methods",
        "",
        f"Lowest {100 * min(r.alarms for r in alarms):.1f} %, highest {100 * max(r.alarms for r in alarms):.1f} %.",
        "",
        on_page(Table("Alarms", ("rate", "prompts", "shared", "alarms"), tuple(tuple(r) for r in alarms)), where),
    ]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--simulations", type=int, default=2000, help="per cell (default: %(default)s)")
    parser.add_argument(
        "--results", type=Path, help="also write the page to this Markdown file, its figure and tables beside"
    )
    options = parser.parse_args(argv)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as unasked:
        where = options.results or Path(unasked) / "coverage.md"
        text = "\n".join(page(options.simulations, where)) + "\n"
        where.write_text(text, encoding="utf-8")
    print(text)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
