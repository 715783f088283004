"""`benchmarks/serving.py`: eight clients, two servers of their own processes, nothing unedited, nothing lost."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason='pip install "unseen[serve]"')
pytest.importorskip("prometheus_client", reason='pip install "unseen[serve]"')


@pytest.mark.slow
def test_nothing_is_unedited_or_lost_under_load(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    import serving

    facts = serving.run(60, 8)
    for name in ("unedited", "not as expected", "lost", "without an audit line", "bare: not as expected", "bare: lost"):
        assert facts[name] == 0, (name, facts["why lost"])
    assert facts["told apart"] == facts["concerned"] > 20 and facts["clips concerned"] > 0
    assert "| of these, unedited | 0 |" in serving.page(facts)
