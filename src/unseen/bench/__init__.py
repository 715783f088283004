"""Measuring: suites say what, rows hold what came out, tables and figures are asked of the rows.

unseen.bench.load("runs/evaluate").to_pandas()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unseen.bench.rows import load
    from unseen.bench.views import figures as plots

__all__ = ["load", "plots"]


def __getattr__(name: str) -> Any:  # so that the tests' tiny models need none of this
    if name == "load":
        from unseen.bench.rows import load

        return load
    if name == "plots":
        from unseen.bench.views import figures

        return figures
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
