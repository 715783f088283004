"""Clips for the eye: what the suite "objects" drew, before and after, in the file that the labelling reads.

    python -m unseen.bench.eye runs/eye.npz --clips 12
    python -m unseen.diorama.detector.labelling sheets runs/eye.npz runs/eye

Half the frames on the sheets show target prompts drawn without an eraser, half with one; the other subjects' clips are
there so that the labeller cannot guess what to expect.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from unseen.bench.run import load_suite
from unseen.bench.study import Study
from unseen.bench.walk import concepts_of, prompts_of, variants_of

ROLES = ("target", "neighbour", "namesake", "absent")


def collect(study: Study, count: int) -> dict[str, np.ndarray]:
    """The arrays of a labelling run: `count` clips a role of every concept, without and with its eraser."""
    found: dict[str, list[Any]] = {name: [] for name in ("frames", "prompts", "seeds", "erased", "asked")}
    everyone = concepts_of(study)
    cells = [cell for cell in study.suite.prompts if cell.role in ROLES]
    for one in everyone:
        prompts_of(study, one, study.suite.split, cells, [other.key for other in everyone])
        method = variants_of(study, one, study.suite.methods[0], everyone).variants[0].method
        for (_, role), prompts in one.prompts.items():
            some = prompts[: count if role == "target" else max(1, count // 4)]
            for after, clips in ((False, study.clips(some)), (True, study.clips(some, method))):
                use = np.ones(len(some), bool) if role == "target" or not after else ~clips.identical
                found["frames"] += list(clips.frames[use])
                for p in (p for p, used in zip(some, use, strict=True) if used):
                    for name, value in (("prompts", p.text), ("seeds", p.seed), ("erased", after)):
                        found[name].append(value)
                    found["asked"].append(p.scene.subjects[0])
    return {name: np.asarray(values) for name, values in found.items()}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m unseen.bench.eye", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="the .npz to write")
    parser.add_argument("--clips", type=int, default=12, help="target clips a concept (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/evaluate"), help="folder of the evaluation to reuse")
    options = parser.parse_args(argv)
    study = Study(load_suite("objects").with_options(clips=options.clips), options.out)
    arrays = collect(study, options.clips)
    options.run.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.run, **arrays)  # type: ignore[arg-type]
    print(f"{len(arrays['frames'])} clips in {options.run}")


if __name__ == "__main__":
    main()
