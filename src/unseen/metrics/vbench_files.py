"""To VBench and back, through files: its pins (numpy below 2, an old transformers) need an environment of their own.

    write_folder(Path("for-vbench"), {Path("clips/a.mp4"): "a French horn in the snow"})
    # there: vbench evaluate --mode=custom_input --videos_path for-vbench/videos --prompt_file for-vbench/prompts.json \
    #            --dimension imaging_quality aesthetic_quality motion_smoothness overall_consistency
    results = read_results(Path("evaluation_results/results_..._eval_results.json"))
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unseen.errors import DamagedFileError, FramesError

READS = (".mp4", ".gif")
"""The videos that VBench opens. Its motion smoothness opens .mp4 only."""
_PERCENT = frozenset({"imaging_quality"})
_MOST_BYTES = 64 << 20


@dataclass(frozen=True)
class VBenchResult:
    """What VBench says of one dimension."""

    dimension: str
    score: float
    """The mean over its videos, 0 to 1 (imaging quality is divided by 100 where VBench left it undivided)."""
    videos: Mapping[str, float]
    """By path as VBench names it, on the scale of `score`."""


def write_folder(folder: Path, prompts: Mapping[Path, str]) -> dict[str, Path]:
    """Copy videos into `folder`/videos and write `folder`/prompts.json, which gives VBench each one's prompt.

    Files get numbers for names, since VBench cuts prompts out of file names. Returns the original behind each copy's
    absolute path, the key in VBench's results.

    Raises:
        FramesError: a file that VBench cannot open, or none at all.
        FileExistsError: `folder`/videos holds something already.
    """
    if not prompts:
        raise FramesError("expected at least one video for VBench, got none")
    for video in prompts:
        if video.suffix.lower() not in READS or not video.is_file():
            raise FramesError(f"{video}: expected a file that VBench opens ({', '.join(READS)}); convert it first")
    videos = folder / "videos"
    if videos.exists() and any(videos.iterdir()):
        raise FileExistsError(f"{videos}: holds files already; give an empty folder, since VBench reads all it finds")
    videos.mkdir(parents=True, exist_ok=True)
    originals = {}
    for number, video in enumerate(prompts):
        copy = videos / f"{number:06d}{video.suffix.lower()}"
        shutil.copyfile(video, copy)
        originals[str(copy.resolve())] = video
    asked = dict(zip(originals, prompts.values(), strict=True))
    (folder / "prompts.json").write_text(json.dumps(asked, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return originals


def read_results(path: Path) -> dict[str, VBenchResult]:
    """Read VBench's `*_eval_results.json`: by dimension its score and that of every video.

    Raises:
        DamagedFileError: a file that is not one of VBench's results, with what is wrong in it.
    """
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            raise DamagedFileError(f"{path}: expected VBench's *_eval_results.json, got no file of its kind")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path}: is not JSON ({error}); give VBench's *_eval_results.json") from error
    if not isinstance(content, dict) or not content:
        raise DamagedFileError(f"{path}: expected an object with dimensions, got {type(content).__name__}")
    return {dimension: _result(path, dimension, value) for dimension, value in content.items()}


def _result(path: Path, dimension: str, value: Any) -> VBenchResult:
    try:
        total, rows = value
        videos = {str(row["video_path"]): float(row["video_results"]) for row in rows}
        score = float(total)
    except (TypeError, ValueError, KeyError) as error:
        raise DamagedFileError(
            f"{path}: expected [score, [{{video_path, video_results}}, ...]] for {dimension!r}, got {str(value)[:80]}"
        ) from error
    if not math.isfinite(score) or not videos:
        raise DamagedFileError(f"{path}: {dimension!r} has no videos or a score of {score}; run VBench again")
    if dimension in _PERCENT:
        videos = {video: each / 100 for video, each in videos.items()}
        # VBench divides the total in its newer versions; which one it was shows in the videos.
        score = score / 100 if score > 1 else score
    return VBenchResult(dimension, score, videos)
