"""docs/results-pipelines.md says what a run gives."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "results-pipelines.md").read_text(encoding="utf-8")
ROWS = {
    cells[0]: cells[1:]
    for line in PAGE.splitlines()
    if line.startswith("| ") and (cells := [cell.strip() for cell in line.strip("| ").split("|")])
    and cells[0] not in ("pipeline", "---")
}  # fmt: skip
# diffusers hands ErnieImage's sigmas over as a tensor, which numpy 2 complains of
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
QUICK = ("WanModularPipeline", "LTX2Pipeline", "PixArtSigmaPipeline", "ErnieImagePipeline")
OF_THE_PAGE = all(f"{package} {version(package)}" in PAGE for package in ("diffusers", "transformers"))


def require_row(columns, name: str) -> None:
    cells = columns.row(name)
    assert not [f"{column}: {cell.text}" for column, cell in cells.items() if cell.fine is False]
    if OF_THE_PAGE:  # other versions may choose other layers
        assert [cells[column].shown for column in columns.COLUMNS] == ROWS[name]


def test_the_page_has_every_pipeline_and_no_wrong_cell(zoo, columns):
    assert list(ROWS) == list(zoo.ZOO) and len(ROWS) >= 24
    assert all(len(cells) == len(columns.COLUMNS) for cells in ROWS.values())
    cells = [cell for row in ROWS.values() for cell in row]
    assert all(cell[0] in "✓–" for cell in cells) and all(len(cell) > 2 for cell in cells if cell[0] == "–")
    assert f"{len(ROWS)} pipelines" in PAGE and f"Of {len(cells)} cells" in PAGE


@pytest.mark.parametrize("name", QUICK)
def test_a_row_is_what_a_run_gives(columns, name):
    require_row(columns, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ROWS if name not in QUICK])
def test_every_other_row_is_too(columns, name):
    require_row(columns, name)
