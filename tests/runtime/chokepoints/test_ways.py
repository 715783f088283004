"""Every known way past attached erasers ends as it should."""

from __future__ import annotations

import pytest

from unseen.bench.ways import every_way
from unseen.bench.ways.__main__ import report
from unseen.bench.ways.way import Result, attempt

WAYS = every_way()


@pytest.mark.parametrize(
    "way",
    [pytest.param(way, id=f"{way.family}: {way.name}", marks=[pytest.mark.slow] if way.slow else []) for way in WAYS],
)
def test_a_way_past_attached_erasers(way):
    result = attempt(way)
    assert result.outcome == "right", f"{way.tried}: {result.detail}"


def test_there_are_enough_of_them_and_no_two_alike():
    names = [(way.family, way.name) for way in WAYS]
    assert len(names) == len(set(names)) >= 150
    assert all(way.tried for way in WAYS)


def test_the_table_begins_with_what_went_wrong():
    results = [Result(WAYS[0], "right", "", 0.1), Result(WAYS[1], "silently unerased", "", 0.1)]
    assert report(results, 1.0).startswith("1 silently unerased, 0 wrong refusals of 2\n")
