"""Put the targets that the picture was held against beside the weights, as part of their model card.

    unseen evaluate picture
    python -m unseen.bench.card

The card is a copy of what `unseen evaluate picture` measured; nothing is typed.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from unseen.bench.rows import load
from unseen.bench.suite import read_suite
from unseen.bench.views.tables import Estimate, cell_text
from unseen.bench.views.view import tables_of
from unseen.diorama.stored import WEIGHTS, write_card

CARD = {"wan": "picture.json", "cogvideox": "picture_cogvideox.json"}
"""By model."""
SUITE = "picture"


def measured_targets(folder: Path) -> dict[str, Any]:
    """The targets of the last run of the suite "picture" in `folder`, and the pipeline that they are about.

    Raises:
        StoreError: that suite has not been run, or not to its end.
    """
    results = load(folder)
    rows = results.rows(suite=SUITE)
    run = [run for run in results.runs().values() if run.suite == SUITE][-1]
    table = next(tables_of(read_suite(SUITE).tables, rows, ()))
    kept = []
    for row in table.rows:
        cells = dict(zip(table.columns, row, strict=True))
        value = cells["value"]
        ends = {"value": value.value, "value low": value.low, "value high": value.high}
        said = {name: cell_text(cells[name]) for name in ("measured", "clips", "target", "verdict")}
        floor = {} if cells["detector floor"] is None else {"detector floor": str(cells["detector floor"])}
        numbers = {name: str(end) for name, end in ends.items()} if isinstance(value, Estimate) else {}
        kept.append({**said, **numbers, **floor})
    return {"pipeline_sha256": run.weights, "settings": {"model": run.model, **run.facts["suite"]}, "targets": kept}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m unseen.bench.card", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--from", dest="folder", type=Path, default=Path("runs/evaluate"), help="the evaluation's --out"
    )
    options = parser.parse_args(argv)
    card = measured_targets(options.folder)
    path = WEIGHTS / CARD[card["settings"]["model"]]
    write_card(path, card)
    print(f"targets of the picture in {path}")


if __name__ == "__main__":
    main()
