"""The folder of mixed clips that the benchmark makes, smaller."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("av")

HERE = Path(__file__).parent
BENCHMARKS = HERE.parents[1] / "benchmarks"


@pytest.fixture(scope="session")
def mixed() -> Iterator[ModuleType]:
    """`benchmarks/mixed_clips.py`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        import mixed_clips

        yield mixed_clips
        sys.modules.pop("mixed_clips", None)


@pytest.fixture(scope="session")
def folder(mixed: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 clips, the twelve odd ones among them. Not to be changed."""
    path = tmp_path_factory.mktemp("clips") / "mixed"
    assert len(list(mixed.write_mixed(path, 24, size=96, frames=32))) == 12
    return path
