"""How a fit grows is measured in rounds, and a run that was ended goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CONCEPTS = ["--quick", "--axes", "concepts"]


@pytest.fixture
def growth(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import growth

    yield growth
    for name in ("growth", "measuring"):
        sys.modules.pop(name, None)


def written(growth, path: Path, **facts) -> None:
    """A file of two rounds: ten concepts take twice, a hundred eleven and then thirteen times the time of one."""
    rows = {}
    for number, times in ((1, (1, 2)), (10, (2, 4)), (100, (11, 26))):
        parts = dict.fromkeys((*growth.PARTS, "finish"), 0.5) if number > 1 else {}
        fit = growth.fits_of("concepts", True)[number]
        rows[fit.key] = [{"seconds": t, "clock": 2 * t, "peak_gb": 0.25, "parts": parts} for t in times]
    own = {"width": 128, "quick": True, "threads": growth.torch.get_num_threads()}
    path.write_text(json.dumps({"facts": {**own, "torch": growth.torch.__version__, **facts}, "rows": rows}))


def test_what_was_measured_is_not_measured_again_and_the_page_has_medians_of_ratios(growth, tmp_path, capsys):
    out, results = tmp_path / "growth.json", tmp_path / "growth.md"
    written(growth, out)
    growth.main([*CONCEPTS, "--repeats", "2", "--out", str(out), "--results", str(results)])
    assert "[" not in capsys.readouterr().out.split("\n")[0]  # no fit was made
    page = results.read_text()
    assert "| concepts | 10 | 3.0 s | 6.0 s | 2.00 | ≤ 2.5: met | 0.25 GB | 1.00 |" in page
    assert "| concepts | 100 | 18.5 s | 37.0 s | 12.00 | ≤ 10: not met | 0.25 GB | 1.00 |" in page
    assert "`python benchmarks/growth.py --quick --axes concepts --repeats 2`" in page and "| layers |" not in page


def test_a_file_of_another_run_is_left_alone(growth, tmp_path):
    out = tmp_path / "growth.json"
    written(growth, out, width=64)
    before = out.read_text()
    with pytest.raises(SystemExit, match=r"expected a run with .*128.* got one with .*64"):
        growth.main([*CONCEPTS, "--out", str(out)])
    assert out.read_text() == before
