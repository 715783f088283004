"""A page of Markdown on a folder's scores: rates and means with their intervals, and the files that have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unseen.metrics.generative import FrameCount, generative_rate, mean_of
from unseen.metrics.rates import Rate
from unseen.metrics.streaming import VideoMetric
from unseen.score.rows import Row
from unseen.score.scorers import Scorer

_LISTED = 100


def summary_of(
    title: str, rows: Sequence[Row], scorers: Sequence[Scorer], statuses: Mapping[str, int], notes: Sequence[str]
) -> str:
    """The page."""
    files = sum(statuses.values())
    counted = ", ".join(f"{number} {status}" for status, number in statuses.items())
    lines = [f"# Scores of {title}", "", f"{files} files: {counted or 'none'}.", *(f"\n{note}" for note in notes), ""]
    detectors = [scorer for scorer in scorers if not isinstance(scorer.source, VideoMetric)]
    metrics = [scorer for scorer in scorers if isinstance(scorer.source, VideoMetric)]
    if detectors:
        lines += [
            "| detector | class | threshold | share of frames | share of videos | videos | frames | undefined frames |"
            " detector's floor |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            *(_detector_line(scorer, name, _of(rows, scorer, name)) for scorer in detectors for name in scorer.classes),
            "",
            "Shares with 95 % intervals. Every video counts the same, however long; a video shows a class if one of its"
            " frames does. The floor is the share of clean frames in which the detector finds the class all"
            " the same, as its card gives it.",
            "",
        ]
    if metrics:
        lines += [
            "| metric | mean | videos | undefined | what it is |",
            "| --- | --- | --- | --- | --- |",
            *(_metric_line(scorer, _of(rows, scorer, None)) for scorer in metrics),
            "",
        ]
    prompted = any(row.prompt is not None for row in rows)
    what = "prompts, and seeds where the table gives them" if prompted else "videos, each taken for independent"
    lines += [f"Intervals come from a bootstrap over {what}.", ""]
    if trouble := [row for row in rows if row.status != "scored"]:
        lines += ["| not scored | status | why |", "| --- | --- | --- |"]
        for row in trouble[:_LISTED]:
            by = f"{row.scorer}: " if row.scorer else ""
            lines.append(f"| {_cell(row.file)} | {row.status} | {_cell(by + row.sentence)} |")
        if len(trouble) > _LISTED:
            lines.append(f"| {len(trouble) - _LISTED} more | | see scores.csv |")
        lines.append("")
    return "\n".join(lines)


def _of(rows: Sequence[Row], scorer: Scorer, name: str | None) -> list[Row]:
    kind = "metric" if isinstance(scorer.source, VideoMetric) else "detector"
    wanted = (scorer.name, scorer.version, kind, name, "scored")
    return [row for row in rows if (row.scorer, row.version, row.kind, row.class_name, row.status) == wanted]


def _clusters(rows: Sequence[Row]) -> tuple[list[str], list[str]]:
    """A prompt and a seed for each video: those of the table, and a label of its own where it has none."""
    prompts = [f"alone {row.file}" if row.prompt is None else f"prompt {row.prompt}" for row in rows]
    return prompts, [f"alone {row.file}" if row.seed is None else f"seed {row.seed}" for row in rows]


def _detector_line(scorer: Scorer, name: str, rows: Sequence[Row]) -> str:
    floor = scorer.floors.get(name)
    counts = [
        FrameCount(row.hits or 0, row.frames or 0, row.undefined_frames or 0, row.max_probability or 0.0)
        for row in rows
    ]
    found = generative_rate(counts, *_clusters(rows), floor=floor)
    undefined = sum(count.undefined for count in counts)
    shares = ("–", "–", "0", "0") if found is None else (
        _share(found.frames), _share(found.videos), str(found.frames.clips), f"{found.frames.frames:,}"
    )  # fmt: skip
    known = "not measured" if floor is None else f"{100 * floor:.2f} %"
    cells = [f"{scorer.name} {scorer.version}", name, f"{scorer.thresholds[name]:g}", *shares, f"{undefined:,}", known]
    return f"| {' | '.join(map(_cell, cells))} |"


def _metric_line(scorer: Scorer, rows: Sequence[Row]) -> str:
    values = [float("nan") if row.value is None else row.value for row in rows]
    found = mean_of(values, *_clusters(rows))
    shown = "–" if found is None else f"{found.value:.4g} [{found.low:.4g}, {found.high:.4g}]"
    clips = 0 if found is None else found.clips
    assert isinstance(scorer.source, VideoMetric)
    cells = [scorer.name, shown, str(clips), str(len(values) - clips), scorer.source.meaning]
    return f"| {' | '.join(map(_cell, cells))} |"


def _share(rate: Rate) -> str:
    return f"{100 * rate.value:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
