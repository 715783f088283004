"""Put the targets that the picture was held against beside the weights, as part of their model card.

    unseen evaluate picture
    python -m unseen.bench.card

The card is a copy of what `unseen evaluate picture` measured; nothing is typed.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

from unseen.diorama.stored import WEIGHTS, write_card

CARD = {"wan": "picture.json", "cogvideox": "picture_cogvideox.json"}
"""By model."""


def measured_targets(folder: Path, name: str) -> dict[str, Any]:
    """The targets of the evaluation called `name` in `folder`, and the pipeline that they are about.

    Raises:
        FileNotFoundError: that evaluation has not been run, or not to its end.
    """
    facts, table = folder / f"{name}.json", folder / f"{name}-picture-targets.csv"
    for path in (facts, table):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; run `unseen evaluate picture --out {folder}` first.")
    measured = json.loads(facts.read_text(encoding="utf-8"))
    with table.open(encoding="utf-8", newline="") as lines:
        rows = [{key: value for key, value in row.items() if value not in ("", "–")} for row in csv.DictReader(lines)]
    return {"pipeline_sha256": measured["pipeline_sha256"], "settings": measured["settings"], "targets": rows}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m unseen.bench.card", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--from", dest="folder", type=Path, default=Path("runs/evaluate"), help="the evaluation's --out"
    )
    parser.add_argument("--name", default="picture-test-default-0", help="which evaluation (default: %(default)s)")
    options = parser.parse_args(argv)
    card = measured_targets(options.folder, options.name)
    path = WEIGHTS / CARD[card["settings"]["model"]]
    write_card(path, card)
    print(f"targets of {options.name} in {path}")


if __name__ == "__main__":
    main()
