"""The V-curve of one concept: generative rate, what is kept, and the score over the blocks, one line per strength."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from unseen.diorama.world.captions import main_name
from unseen.encoder.layers import layer_name

if TYPE_CHECKING:
    from unseen.bench.sweep import SweepCell, Swept


def draw_curves(swept: Swept, path: Path) -> Path:
    """Write the figure as PNG; strength is colour, the learned block a dashed line."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.4), layout="constrained")
    axes = figure.subplots(1, 4, sharex=True)
    cells = swept.cells["development"]
    strengths = sorted({cell.strength for cell in cells})
    layers = sorted({cell.layer for cell in cells})
    colours = [(0.15 + 0.7 * i / max(1, len(strengths) - 1), 0.25, 0.75 - 0.6 * i / max(1, len(strengths) - 1))
               for i in range(len(strengths))]  # fmt: skip
    panels = (
        ("generative rate", lambda cell: cell.generative.value),
        ("others kept", lambda cell: cell.others.value),
        ("rest kept", lambda cell: cell.rest),
        ("score", lambda cell: cell.score),
    )
    for axis, (title, value) in zip(axes, panels, strict=True):
        for strength, colour in zip(strengths, colours, strict=True):
            line: list[SweepCell] = sorted((c for c in cells if c.strength == strength), key=lambda c: c.layer)
            xs, ys = [c.layer for c in line], [100 * value(c) for c in line]
            axis.plot(xs, ys, marker="o", markersize=3, color=colour, label=f"γ = {strength:g}")
            if title == "generative rate":
                low, high = (
                    [100 * end(c) for c in line] for end in (lambda c: c.generative.low, lambda c: c.generative.high)
                )
                axis.fill_between(xs, low, high, color=colour, alpha=0.08, linewidth=0)
        axis.axvline(swept.learned, color="black", linestyle="--", linewidth=1)
        axis.set_title(f"{title}, %", fontsize=10)
        axis.set_ylim(-3, 103)
        axis.set_xticks(layers, [layer_name(layer).replace("block ", "") for layer in layers], fontsize=8)
    before = 100 * swept.before["development"].value
    axes[0].axhline(before, color="grey", linestyle=":", linewidth=1)
    axes[0].legend(fontsize=7, frameon=False)
    clips = cells[0].generative.clips if cells else 0
    figure.suptitle(
        f"{main_name(swept.key)}: edited block; dashed: learned, dotted: before; {clips} clips a cell, development "
        "wording",
        fontsize=10,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(str(path))
    return path
