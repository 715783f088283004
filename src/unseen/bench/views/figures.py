"""Figures of a run, made of its rows: SVG of rates with intervals and of trade-offs, PNG of layers and strengths.

rows = unseen.bench.load("runs/evaluate").rows(suite="paper")
Path("church.svg").write_text(plots.tradeoff(rows, "church"))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from unseen.bench.rows import Rows
from unseen.bench.views.charts import MOST, Ends, ends_of, interval_chart, line_chart, tradeoff_chart
from unseen.bench.views.query import mean_of, others_kept, rate_of, rest_kept, score
from unseen.encoder.layers import layer_name


def forest(rows: Rows, method: str | Sequence[str] = "clear", by: str = "concept") -> str:
    """SVG: how often each concept is shown before and with a method, or several, with 95 % intervals; or with `by`
    "role", how often any of them is, for each kind of prompt that asks for it."""
    methods = [method] if isinstance(method, str) else list(method)
    shown = rows.where(measure="shown", role="target") if by == "concept" else asked_for(rows)
    splits = [split for split in shown.distinct("split") if split != "development"] or ["development"]
    shown = shown.where(split=splits)
    lines: list[tuple[str, *tuple[Ends | None, ...]]] = []
    for value in shown.distinct(by):
        before, *after = (shown.where(**{by: value}, method=name) for name in ("none", *methods))
        if len(before):
            lines.append((value, *(ends_of(rate_of(each)) if len(each) else None for each in (before, *after))))
    words = methods if len(shown.distinct("method")) > 2 else ["after"] * len(methods)
    return interval_chart(lines, words=("before", *words))


def asked_for(rows: Rows) -> Rows:
    """Whether the concept is shown, of prompts that are about it."""
    return Rows(row for row in rows.where(measure="shown") if row.about == row.concept)


def tradeoff(rows: Rows, concept: str) -> str:
    """SVG: generative rate over what is kept of others; lines are a method's settings on development wording, dots the
    chosen one on test wording, with both intervals."""
    curves: dict[str, list[tuple[float, float, str]]] = {}
    chosen: dict[str, tuple[Ends, Ends]] = {}
    mine = rows.where(concept=concept)
    shown = mine.where(measure="shown", role="target")
    for method in shown.distinct("method"):
        for split in ("development", "test"):
            cells = shown.where(method=method, split=split)
            for setting in cells.distinct("setting"):
                group = {"concept": concept, "method": method, "split": split, "setting": setting}
                kept = others_kept(mine, group)
                if kept is None or method == "none":
                    continue
                rate = rate_of(cells.where(setting=setting))
                if split == "test":
                    chosen[method] = (ends_of(kept), ends_of(rate))
                else:
                    curves.setdefault(method, []).append((kept.value, rate.value, setting))
    return tradeoff_chart({name: curves.get(name, []) for name in {**curves, **chosen}}, chosen)


def apart(rows: Rows) -> str:
    """SVG: after which layer concepts can be told from others, mean over concepts, a line for each way to say them."""
    told = rows.where(measure="told apart")
    layers = sorted(told.distinct("layer"))
    lines = {role: [mean_of(told.where(role=role, layer=layer)).value for layer in layers]
             for role in told.distinct("role")}  # fmt: skip
    return line_chart(lines, layers, x_label="layer", y_label="area under the ROC curve")


def figures_of(rows: Rows, tune: str) -> Iterator[tuple[str, str]]:
    """Title and SVG of every figure that a suite of this kind has."""
    shown = rows.where(measure="shown", role="target")
    concepts = shown.distinct("concept")
    if tune == "setting":
        for concept in concepts:
            yield f"Trade-off: {concept}", tradeoff(rows, concept)
    elif not tune and concepts:
        yield "How often it is shown", forest(rows, _drawn_methods(shown))
    if len(rows.where(measure="told apart").distinct("layer")) > 1:
        yield "Where concepts can be told apart", apart(rows)
    asked = asked_for(rows)
    if tune != "layer" and len(asked.distinct("role")) > 1 and (methods := _drawn_methods(asked)):
        said = f", {methods[0]}" if len(methods) == 1 else ""
        yield f"How often it is shown, by prompt{said}", forest(rows, methods, by="role")


def _drawn_methods(shown: Rows) -> list[str]:
    """All that a drawing has room for, or the first where they are too many."""
    methods = [name for name in shown.distinct("method") if name != "none"]
    return methods if len(methods) <= MOST else methods[:1]


def curves(rows: Rows, concept: str, path: Path) -> Path:
    """PNG of a sweep: generative rate, what is kept and the score over the layers, one line per strength; the learned
    layer is a dashed line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    mine = rows.where(concept=concept, split=("development", ""))
    shown = mine.where(measure="shown", role="target")
    cells = shown.where(method="layers")
    layers, strengths = sorted(cells.distinct("layer")), sorted(cells.distinct("strength"))
    learned = int(mine.where(measure="layer", method="layers")[0].value)
    figure = Figure(figsize=(12, 3.4), layout="constrained")
    axes = figure.subplots(1, 4, sharex=True)
    steps = max(1, len(strengths) - 1)
    for place, strength in enumerate(strengths):
        color = (0.15 + 0.7 * place / steps, 0.25, 0.75 - 0.6 * place / steps)
        groups: list[dict[str, Any]] = [
            {"method": "layers", "layer": layer, "strength": strength, "split": "development"} for layer in layers
        ]
        rates = [rate_of(cells.where(layer=layer, strength=strength)) for layer in layers]
        kept = [others_kept(mine, group) for group in groups]
        panels: tuple[tuple[str, Sequence[float | None]], ...] = (
            ("generative rate", [rate.value for rate in rates]),
            ("others kept", [None if rate is None else rate.value for rate in kept]),
            ("rest kept", [rest_kept(mine, group) for group in groups]),
            ("score", [score(mine, group) for group in groups]),
        )
        for axis, (title, values) in zip(axes, panels, strict=True):
            line = [float("nan") if value is None else 100 * value for value in values]
            axis.plot(layers, line, marker="o", markersize=3, color=color, label=f"γ = {strength:g}")
            axis.set_title(f"{title}, %", fontsize=10)
        low, high = [100 * rate.low for rate in rates], [100 * rate.high for rate in rates]
        axes[0].fill_between(layers, low, high, color=color, alpha=0.08, linewidth=0)
    for axis in axes:
        axis.axvline(learned, color="black", linestyle="--", linewidth=1)
        axis.set_ylim(-3, 103)
        axis.set_xticks(layers, [layer_name(layer).replace("block ", "") for layer in layers], fontsize=8)
        axis.set_xlabel("layer", fontsize=8)
    axes[0].axhline(100 * rate_of(shown.where(method="none")).value, color="grey", linestyle=":", linewidth=1)
    axes[0].legend(fontsize=7, frameon=False)
    clips = len(cells.where(layer=layers[0], strength=strengths[0]))
    figure.suptitle(
        f"{concept}: edited layer; dashed: learned, dotted: before; {clips} clips a cell, development wording",
        fontsize=10,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(str(path))
    return path
