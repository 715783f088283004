"""Clips for the eye: what an evaluation of objects drew, before and after, in the file that the labelling reads.

    python -m unseen.bench.eye runs/eye.npz --clips 12
    python -m unseen.diorama.detector.labelling sheets runs/eye.npz runs/eye

Half the frames on the sheets show target prompts drawn without an eraser, half with one; the other subjects' clips are
there so that the labeller cannot guess what to expect.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unseen.bench.objects import prompts_for
from unseen.bench.prompts import concept_of
from unseen.bench.study import Settings, Study
from unseen.diorama.world import scenes

ROLES = ("target", "neighbour", "namesake", "absent")


def collect(study: Study, keys: Sequence[str], count: int) -> dict[str, np.ndarray]:
    """The arrays of a labelling run: `count` clips a role of every concept, without and with its eraser."""
    frames, prompts, seeds, erased, subjects = [], [], [], [], []
    for key in keys:
        fitted = study.eraser(concept_of(key))
        asked = prompts_for(study, key, fitted)
        for role in ROLES:
            some = asked[role][:count] if role == "target" else asked[role][: max(1, count // 4)]
            for after, clips in ((False, study.clips(some)), (True, study.clips(some, fitted.method))):
                use = np.ones(len(some), bool) if role == "target" or not after else ~clips.identical
                frames += [clips.frames[use]]
                prompts += [p.text for p, used in zip(some, use, strict=True) if used]
                seeds += [p.seed for p, used in zip(some, use, strict=True) if used]
                erased += [after] * int(use.sum())
                subjects += [p.scene.subjects[0] for p, used in zip(some, use, strict=True) if used]
    return {
        "frames": np.concatenate(frames),
        "prompts": np.asarray(prompts),
        "seeds": np.asarray(seeds),
        "erased": np.asarray(erased),
        "asked": np.asarray(subjects),
    }


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m unseen.bench.eye", description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="the .npz to write")
    parser.add_argument("--clips", type=int, default=12, help="target clips a concept (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("runs/evaluate"), help="folder of the evaluation to reuse")
    options = parser.parse_args(argv)
    study = Study(Settings(options.out, clips=options.clips))
    arrays = collect(study, scenes.OBJECTS, options.clips)
    options.run.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(options.run, **arrays)  # type: ignore[arg-type]
    print(f"{len(arrays['frames'])} clips in {options.run}")


if __name__ == "__main__":
    main()
