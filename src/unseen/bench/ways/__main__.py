"""`python -m unseen.bench.ways`: every known way past attached erasers, tried, as a table."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from unseen.bench.views.tables import Table, on_page
from unseen.bench.ways import every_way
from unseen.bench.ways.way import UNERASED, WRONG_REFUSAL, Result, attempt


def main(argv: Sequence[str] | None = None) -> int:
    """Try them all; 1 if any did not end as it should."""
    parser = argparse.ArgumentParser(prog="python -m unseen.bench.ways", description=__doc__)
    parser.add_argument("--results", type=Path, help="write the table to this file")
    parser.add_argument("--only", default="", help="part of a family's or way's name")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    begin = time.perf_counter()
    results = []
    for way in every_way():
        if options.only in f"{way.family}: {way.name}":
            results.append(attempt(way))
            if results[-1].outcome != "right":
                print(
                    f"{way.family}: {way.name}: {results[-1].outcome}: {results[-1].detail[:400].splitlines()[:1]}",
                    file=sys.stderr,
                )
    text = report(results, time.perf_counter() - begin)
    if options.results is not None:
        every = on_page(every_result(results), options.results)
        options.results.write_text(f"{text}\n{every}\n", encoding="utf-8")
    print(text.split("\n", 1)[0])
    return int(any(result.outcome != "right" for result in results))


def report(results: Sequence[Result], seconds: float) -> str:
    """The table, totals first."""
    outcomes = Counter(result.outcome for result in results)
    others = ", ".join(f"{n} {name}" for name, n in outcomes.items() if name not in ("right", UNERASED, WRONG_REFUSAL))
    families = list(dict.fromkeys(result.way.family for result in results))
    lines = [
        f"{outcomes[UNERASED]} silently unerased, {outcomes[WRONG_REFUSAL]} wrong refusals of {len(results)}"
        + (f" ({others})" if others else ""),
        "",
        "# Ways past attached erasers",
        "",
        f"Made by `make guard` in {seconds:.0f} s. Each way is tried on a small pipeline of real classes with random"
        " weights. What its denoiser is given is read inside the denoiser and compared, bit for bit, with the prompt's"
        " embedding as it is without the eraser and as the eraser's formula makes it.",
        "",
    ]
    rows = []
    for family in families:
        own = Counter(result.outcome for result in results if result.way.family == family)
        rest = sum(own.values()) - own["right"] - own[UNERASED] - own[WRONG_REFUSAL]
        rows.append((family, sum(own.values()), own["right"], own[UNERASED], own[WRONG_REFUSAL], rest))
    columns = ("family", "ways", "right", "silently unerased", "wrong refusals", "crashes and others")
    wrong = [
        f"- {result.way.family}, {result.way.name}: **{result.outcome}**" for result in results
        if result.outcome != "right"
    ]  # fmt: skip
    return "\n".join(
        [*lines, Table("By family", columns, tuple(rows)).to_markdown(), *(["", *wrong] if wrong else []), ""]
    )


def every_result(results: Sequence[Result]) -> Table:
    """What each way tries, how it ought to end and how it ended."""
    columns = ("family", "way", "what is tried", "right outcome", "outcome")
    rows = tuple((one.way.family, one.way.name, one.way.tried, one.way.right, one.outcome) for one in results)
    return Table("Every way", columns, rows)


if __name__ == "__main__":
    sys.exit(main())
