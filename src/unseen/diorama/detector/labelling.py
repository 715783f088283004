"""Checks the detectors against the eye: contact sheets of generated frames to label, and the score of the labels.

    python -m unseen.diorama.detector.labelling sheets RUN.npz OUT/
    python -m unseen.diorama.detector.labelling score RUN.npz LABELS.json

RUN.npz holds generated clips: `frames` uint8 `[clips, FRAMES, SIZE, SIZE, 3]`, `prompts` and `seeds` `[clips]`, `asked`
`[clips]`, the key of the subject that the prompt asks for, and `erased` bool `[clips]`. The sheets show frames in
random order, numbered, without prompt or detector output, half of them after erasure. The labeller fills in
labels.json: who labels ("by"), and for each number the key of the subject that is seen, a list of two keys, "none" (an
empty scene) or "unrecognisable".
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from unseen.diorama.detector.detector import Detector, load_detector
from unseen.metrics.rates import Rate, rate

ENLARGED = 4
COLUMNS, ROWS = 6, 5
NO_SUBJECT = ("none", "unrecognisable")


@dataclass(frozen=True)
class Run:
    """Generated clips, as read from RUN.npz."""

    frames: np.ndarray
    prompts: np.ndarray
    seeds: np.ndarray
    erased: np.ndarray
    asked: np.ndarray

    @property
    def fingerprint(self) -> str:
        """Ties labels to the clips that they describe."""
        return hashlib.sha256(self.frames.tobytes()).hexdigest()[:16]


def load_run(path: Path) -> Run:
    """Read RUN.npz; a clear error for a missing array or a wrong shape."""
    with np.load(path, allow_pickle=False) as file:
        missing = {"frames", "prompts", "seeds", "erased", "asked"} - set(file.files)
        if missing:
            raise ValueError(
                f"{path} lacks {', '.join(sorted(missing))}; save clips with frames, prompts, seeds, erased, asked"
            )
        run = Run(file["frames"], file["prompts"], file["seeds"], file["erased"].astype(bool), file["asked"])
    if run.frames.ndim != 5 or run.frames.dtype != np.uint8 or run.frames.shape[-1] != 3:
        raise ValueError(
            f"{path}: expected frames as uint8 [clips, frames, height, width, 3], but got {run.frames.dtype} "
            f"{list(run.frames.shape)}"
        )
    if len({len(part) for part in (run.frames, run.prompts, run.seeds, run.erased, run.asked)}) > 1:
        raise ValueError(
            f"{path}: frames, prompts, seeds, erased and asked differ in length; expected one entry per clip in each"
        )
    return run


def choose(run: Run, count: int, seed: int) -> list[tuple[int, int]]:
    """The (clip, frame) pairs that get labelled, in the order of their numbers: half before, half after erasure."""
    rng = np.random.default_rng(seed)
    chosen: list[tuple[int, int]] = []
    for erased, share in ((False, count - count // 2), (True, count // 2)):
        clips = rng.permutation(np.flatnonzero(run.erased == erased))
        if not len(clips):
            raise ValueError(f"expected clips both with and without an eraser, but none has erased={erased}")
        available = len(clips) * run.frames.shape[1]
        if share > available:
            raise ValueError(f"expected at most {available} frames with erased={erased}, but {share} are asked for")
        # every clip once before any clip comes a second time, each time with another frame
        moments = {int(c): rng.permutation(run.frames.shape[1]) for c in clips}
        chosen += [
            (int(clips[i % len(clips)]), int(moments[int(clips[i % len(clips)])][i // len(clips)]))
            for i in range(share)
        ]
    return [chosen[i] for i in rng.permutation(len(chosen))]


def write_sheets(run: Run, folder: Path, *, count: int = 240, seed: int = 0) -> list[Path]:
    """Write numbered contact sheets and an empty labels.json; returns the sheets' paths."""
    chosen = choose(run, count, seed)
    folder.mkdir(parents=True, exist_ok=True)
    per_sheet, paths = COLUMNS * ROWS, []
    side, band = run.frames.shape[2] * ENLARGED, 26
    for start in range(0, count, per_sheet):
        sheet = np.full((ROWS * (side + band), COLUMNS * (side + 8), 3), 255, np.uint8)
        for place, (clip, frame) in enumerate(chosen[start : start + per_sheet]):
            row, column = divmod(place, COLUMNS)
            top, left = row * (side + band), column * (side + 8)
            large = cv2.resize(run.frames[clip, frame], (side, side), interpolation=cv2.INTER_CUBIC)
            sheet[top + band : top + band + side, left : left + side] = large
            origin = (left + 4, top + band - 7)
            cv2.putText(sheet, str(start + place + 1), origin, cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 2, cv2.LINE_AA)
        path = folder / f"sheet_{start // per_sheet + 1:02d}.png"
        cv2.imwrite(str(path), sheet[..., ::-1])
        paths.append(path)
    template = folder / "labels.json"
    if not template.exists():  # never overwrite somebody's labels
        labels = {str(number): None for number in range(1, count + 1)}
        template.write_text(
            json.dumps({"run": run.fingerprint, "seed": seed, "count": count, "by": "", "labels": labels}, indent=0)
        )
    return paths


def read_labels(path: Path, run: Run, subjects: tuple[str, ...]) -> tuple[list[tuple[int, int]], list[frozenset[str]]]:
    """The labelled (clip, frame) pairs and what the eye saw in each: subject keys, or one of `NO_SUBJECT`."""
    data = json.loads(path.read_text())
    if data["run"] != run.fingerprint:
        raise ValueError(
            f"{path} labels run {data['run']}, but these clips are run {run.fingerprint}; use the same npz"
        )
    chosen = choose(run, data["count"], data["seed"])
    places, seen = [], []
    for number, label in data["labels"].items():
        if label is None:
            continue
        keys = frozenset([label] if isinstance(label, str) else label)
        unknown = keys - {*subjects, *NO_SUBJECT}
        if unknown:
            raise ValueError(
                f"{path}, frame {number}: {', '.join(sorted(unknown))} is no subject; use {', '.join(subjects)}"
            )
        places.append(chosen[int(number) - 1])
        seen.append(keys)
    if not places:
        raise ValueError(f"{path} has no label yet; look at the sheets and fill in the numbers")
    return places, seen


def score(run: Run, labels: Path, detector: Detector) -> dict[str, Any]:
    """How a detector compares with the eye, as rates with intervals over all frames, before and after erasure.

    `agreement`: exactly the same subjects; `over_claim`: some subject that the eye does not see; `miss`: of the frames
    in which the eye sees a subject, those in which the detector lacks one of them; `smear_over_claim`: of the frames
    that the eye cannot name, those in which the detector claims a subject; `eye_empty` and `eye_vague`: frames that the
    eye calls empty or unrecognisable; `eye_as_asked`: those in which it names the subject that the prompt asks for;
    `empty_taken_for_vague`: of the empty ones, those in which the detector holds something unrecognisable to be
    likelier than an empty scene; `vague_taken_for_empty`: of the unrecognisable ones, those in which it does not, and
    claims no subject.
    """
    places, seen = read_labels(labels, run, detector.subjects)
    clips, moments = np.asarray(places).T
    flagged = detector.shown(run.frames[clips, moments])
    eye = np.asarray([[key in keys for key in detector.subjects] for keys in seen])
    vague, empty = (np.asarray([word in keys for keys in seen]) for word in ("unrecognisable", "none"))
    read = detector.probabilities(run.frames[clips, moments])
    likelier_vague, everywhere = read["unrecognisable"] > read["none"], np.ones(len(eye), bool)
    measures = {
        "eye_empty": (empty, everywhere),
        "eye_vague": (vague, everywhere),
        "eye_as_asked": (np.asarray([k == {a} for k, a in zip(seen, run.asked[clips], strict=True)]), everywhere),
        "empty_taken_for_vague": (likelier_vague, empty),
        "vague_taken_for_empty": (~likelier_vague & ~flagged.any(1), vague),
        "agreement": ((flagged == eye).all(1), everywhere),
        "over_claim": ((flagged & ~eye).any(1), everywhere),
        "miss": ((eye & ~flagged).any(1), eye.any(1)),
        "smear_over_claim": (flagged.any(1), vague),
    }
    groups = {"all": everywhere, "before": ~run.erased[clips], "after": run.erased[clips]}
    report: dict[str, Any] = {"detector": detector.card["name"], "frames": len(eye)}
    for group, inside in groups.items():
        report[group] = {}
        for name, (hit, counts) in measures.items():
            use = inside & counts
            report[group][name] = _rate(hit[use], run.prompts[clips[use]], run.seeds[clips[use]]) if use.any() else None
    return report


def _rate(hits: np.ndarray, prompts: np.ndarray, seeds: np.ndarray) -> Rate:
    return rate(hits[:, None], prompts, seeds)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m unseen.diorama.detector.labelling", description=__doc__.split("\n")[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    sheets = commands.add_parser("sheets", help="write contact sheets to label")
    sheets.add_argument("run", type=Path)
    sheets.add_argument("out", type=Path)
    sheets.add_argument("--count", type=int, default=240, help="frames, half of them after erasure")
    sheets.add_argument("--seed", type=int, default=0)
    scoring = commands.add_parser("score", help="compare the detectors with the labels")
    scoring.add_argument("run", type=Path)
    scoring.add_argument("labels", type=Path, nargs="+", help="one file of labels, or several people's")
    scoring.add_argument("--results", type=Path, metavar="FILE", help="also write the scores to this Markdown file")
    options = parser.parse_args(argv)
    run = load_run(options.run)
    if options.command == "sheets":
        for path in write_sheets(run, options.out, count=options.count, seed=options.seed):
            print(path)
        return
    text = scores(run, options.labels)
    print(text)
    if options.results is not None:
        command = (
            f"python -m unseen.diorama.detector.labelling score {options.run} {' '.join(map(str, options.labels))}"
        )
        meaning = " ".join((score.__doc__ or "").split())
        options.results.write_text(
            "# The detectors against the eye\n\n"
            f"Written by `{command}`; not edited by hand. The clips (run `{run.fingerprint}`) are drawn again by "
            f"`python -m unseen.bench.eye {options.run}`; the sheets show "
            f"neither prompts nor what a detector says.\n\n{meaning}\n\n{text}\n",
            encoding="utf-8",
        )


def scores(run: Run, labels: Sequence[Path]) -> str:
    """Both detectors against every file of labels, and how far the people agree, as Markdown."""
    parts = []
    for path in labels:
        parts += [f"## {path.name}", f"Labelled by {json.loads(path.read_text())['by']}."]
        for which in ("a", "b"):
            report = score(run, path, load_detector(which))
            lines = [f"{report['detector']}, {report['frames']} frames labelled by eye"]
            lines += [
                f"  {group:>6}  {name:<21} {value if value is not None else 'no such frame'}"
                for group in ("all", "before", "after")
                for name, value in report[group].items()
            ]
            parts.append("\n".join(["```text", *lines, "```"]))
    read = [dict(zip(*read_labels(path, run, load_detector().subjects), strict=True)) for path in labels]
    for (one, first), (other, second) in itertools.combinations(zip(labels, read, strict=True), 2):
        same = [first[place] == second[place] for place in first.keys() & second.keys()]
        parts.append(f"{one.name} and {other.name} say the same of {np.mean(same):.1%} of {len(same)} frames.")
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
