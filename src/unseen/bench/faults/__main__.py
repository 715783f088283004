"""`python -m unseen.bench.faults`: faults brought about, and how many were survived, as a table."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from unseen.bench.faults import every_fault
from unseen.bench.faults.fault import SURVIVED, Result, registered, try_fault


def main(argv: Sequence[str] | None = None) -> int:
    """Try them all; 1 if any was not survived."""
    parser = argparse.ArgumentParser(prog="python -m unseen.bench.faults", description=__doc__)
    parser.add_argument("--results", type=Path, help="write the table to this file")
    parser.add_argument("--only", default="", help="part of a kind's or fault's name")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    begin = time.perf_counter()
    chosen = [fault for fault in every_fault() if options.only in f"{fault.kind}: {fault.name}"]
    results = []
    for fault in tqdm(chosen, desc="faults", unit="fault", disable=not sys.stderr.isatty()):
        results.append(try_fault(fault))
        if results[-1].outcome != SURVIVED:
            said = f"{fault.kind}: {fault.name}: {results[-1].outcome}: {results[-1].detail[:300]}"
            print(said.replace("\n", " "), file=sys.stderr)
    text = report(results, time.perf_counter() - begin)
    if options.results is not None:
        options.results.write_text(text, encoding="utf-8")
    print(text.split("\n", 1)[0])
    return int(any(result.outcome != SURVIVED for result in results))


def report(results: Sequence[Result], seconds: float) -> str:
    """The table, totals first."""
    kinds = list(dict.fromkeys(result.fault.kind for result in results))
    promises = {kind.name: kind.promise for kind in registered()}
    survived = sum(result.outcome == SURVIVED for result in results)
    lines = [
        f"{survived} of {len(results)} faults of {len(kinds)} kinds survived",
        "",
        "# Faults",
        "",
        f"Made by `make faults` in {seconds:.0f} s. A fault is survived if what is promised for its kind holds"
        " afterwards. Processes are really killed, disks are full by a limit that the system keeps, and the pipelines"
        " are small ones of real classes.",
        "",
        "| what goes wrong | what is promised | tried | survived |",
        "| --- | --- | --- | --- |",
    ]
    for kind in kinds:
        own = Counter(result.outcome for result in results if result.fault.kind == kind)
        lines.append(f"| {kind} | {promises[kind]} | {sum(own.values())} | {own[SURVIVED]} |")
    lost = [result for result in results if result.outcome != SURVIVED]
    if lost:
        lines += ["", "## Not survived", ""]
        lines += [f"- {r.fault.kind}, {r.fault.name}: {r.outcome}: {r.detail[:200]}".replace("\n", " ") for r in lost]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
