"""Figures of one fit, for docs/method.md: how layer preferences settle, and what each layer would cost.

    unseen fit church && python benchmarks/fit_figures.py erasers/church

All numbers are those that the fit keeps in the eraser's own report.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from unseen.bench.demo import preference_lines
from unseen.bench.views.charts import line_chart
from unseen.clear.eraser import ClearEraser
from unseen.encoder.layers import layer_name


def figures(eraser: ClearEraser) -> dict[str, str]:
    """SVG by file name.

    Raises:
        ValueError: the eraser's report has neither preferences nor costs, as that of one made without a search.
    """
    report = eraser.report
    steps, lines = preference_lines(report)
    costs = {name: report.get("costs", {}).get(name) for name in ("residual", "damage", "leak")}
    if not lines or not all(costs.values()):
        raise ValueError(
            f"The report of the eraser for {eraser.name!r} has no search; fit it with more than one layer."
        )
    chosen = layer_name(eraser.layer)
    return {
        "method-preferences.svg": line_chart(
            lines, steps, x_label="round of the fit", y_label="layer preference", bold=chosen
        ),
        "method-costs.svg": line_chart(
            costs, report["layers"], x_label=f"layer ({chosen} is chosen)", y_label="part of the cost"
        ),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Draw them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("eraser", type=Path, help="folder of an eraser")
    parser.add_argument("--out", type=Path, default=Path("docs/figures"), help="folder (default: %(default)s)")
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, drawing in figures(ClearEraser.from_pretrained(options.eraser)).items():
        (options.out / name).write_text(drawing, encoding="utf-8")
        print(options.out / name)


if __name__ == "__main__":
    main()
