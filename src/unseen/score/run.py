"""Score a folder of videos, whoever made them: decode each once, ask every scorer, keep answers, write the table."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from unseen.detectors.base import Detector
from unseen.errors import DetectorError, PromptFileError, VideoError
from unseen.files import require_writable, write_whole
from unseen.metrics.streaming import VideoMetric
from unseen.prompts.files import VideoPrompt, load_video_prompts
from unseen.prompts.sets import prompts_of_videos
from unseen.score.clips import Clip, Folder, digest_of, find_clips
from unseen.score.decode import CHUNK, DECODE_VERSION, Decoding
from unseen.score.rows import Row, count_statuses, write_csv
from unseen.score.scorers import Asking, Scorer, scorer_of
from unseen.score.store import Answer, Store, Video
from unseen.score.summary import summary_of

STORE, TABLE, SUMMARY = "scores.sqlite", "scores.csv", "summary.md"
_FEW = 5


@dataclass(frozen=True)
class Scores:
    """What came of scoring a folder."""

    rows: tuple[Row, ...]
    """As in `scores.csv`, in the order of files, scorers and classes."""
    statuses: Mapping[str, int]
    """How many files are "scored", "damaged", "empty", ..."""
    scored_now: int
    """Files decoded in this run; the others were kept from earlier ones."""
    notes: tuple[str, ...]
    """What else a reader should know, a sentence each."""
    summary: str
    """Markdown: rates and means with their intervals, and every file that could not be scored."""


def score_folder(
    folder: str | Path,
    *,
    detectors: Sequence[Detector] = (),
    metrics: Sequence[str | VideoMetric] = (),
    prompts: str | Path | Mapping[str, str] | None = None,
    format: str = "",
    out: str | Path | None = None,
    chunk: int = CHUNK,
    progress: bool = False,
    on_file: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score every MP4, WebM, GIF (MOV, MKV, AVI) and folder of frames below `folder`.

    Args:
        folder: where the videos are.
        detectors: what is called with the frames, uint8 `[T, H, W, 3]`, in chunks whose answers are joined.
        metrics: "flicker", "smoothness", "motion", or measures of one's own.
        prompts: a CSV or JSONL table with `file` (or `video`), `prompt` and perhaps `seed`, or prompts by file.
        format: of the file with prompts, where it is one of the field's prompt sets (`unseen.prompts.sets.FORMATS`);
            the videos' names say which prompts they are from (`unseen.prompts.sets.prompts_of_videos`).
        out: folder for `scores.sqlite`, `scores.csv` and `summary.md`. What the first holds is not scored again:
            content and scorers count, not names or dates. None writes nothing.
        chunk: most frames that a detector gets at a time, and that are held in memory.
        progress: show a bar with the time left.
        on_file: called before each file with how many are done, and how many there are.

    A file that cannot be read to its end is reported in a row of its own, and the others go on.

    Raises:
        NotADirectoryError: `folder` is none.
        DetectorError: nothing to score with, an unknown metric, or a detector that does not keep to its protocol.
        PromptFileError: a table of prompts that cannot be read, or names none of the videos.
        StoreError: `scores.sqlite` is not what this wrote.
    """
    folder = Path(folder)
    scorers = [scorer_of(source) for source in (*detectors, *metrics)]
    if not scorers:
        raise DetectorError("expected at least one detector or metric, got none; name what to score with")
    if len({(scorer.name, scorer.key) for scorer in scorers}) != len(scorers):
        raise DetectorError("expected every detector and metric once, got one twice; leave it out")
    out = None if out is None else Path(out)
    found = find_clips(folder, skip=out)
    asked, notes = _prompts_of(prompts, format, found, folder)
    if out is not None:
        require_writable(out)
    with closing(Store(":memory:" if out is None else out / STORE)) as store:
        digests, scored_now = _score(found.clips, scorers, store, chunk, progress, on_file)
        rows = tuple(_rows(found.clips, scorers, store, digests, asked))
    notes += _more_notes(found, digests)
    statuses = count_statuses(rows)
    summary = summary_of(folder.name or str(folder), rows, scorers, statuses, notes)
    if out is not None:
        write_csv(out / TABLE, rows)
        write_whole(out / SUMMARY, summary.encode())
    return Scores(rows, statuses, scored_now, tuple(notes), summary)


def _score(
    clips: Sequence[Clip],
    scorers: Sequence[Scorer],
    store: Store,
    chunk: int,
    progress: bool,
    on_file: Callable[[int, int], None] | None,
) -> tuple[dict[str, str | VideoError], int]:
    """The digest of each clip by its name, or why there is none; and how many were decoded now."""
    from tqdm import tqdm

    digests: dict[str, str | VideoError] = {}
    done = decoded = 0
    try:
        for clip in tqdm(clips, desc="scoring", unit="file", disable=not progress):
            if on_file is not None:
                on_file(done, len(clips))
            try:
                digests[clip.name] = digest = digest_of(clip)
            except VideoError as error:
                digests[clip.name] = error
                done += 1
                continue
            content = _content(digest)
            known = store.video(content)
            missing = [scorer for scorer in scorers if not store.answers(content, scorer.key)]
            if known is None or (known.facts is not None and missing):
                _score_one(clip, content, missing, store, chunk)
                decoded += 1
            done += 1
    except KeyboardInterrupt:
        kept = f"{done} of {len(clips)} files are kept in {store.path}; the same command goes on there"
        raise KeyboardInterrupt(kept) from None
    return digests, decoded


def _content(digest: str) -> str:
    return f"{digest}:{DECODE_VERSION}"


def _score_one(clip: Clip, content: str, scorers: Sequence[Scorer], store: Store, chunk: int) -> None:
    """Decode one clip, ask the scorers, keep what they say."""
    decoding = Decoding(clip, chunk)
    asking = [Asking(scorer) for scorer in scorers]
    try:
        for frames in decoding.chunks():
            frames.flags.writeable = False  # a detector that draws on them would spoil them for the next one
            for one in asking:
                one.add(frames)
    except VideoError as error:
        store.keep(content, Video(error.status, str(error)), ())
        return
    answers = [(one.scorer.key, answer) for one in asking for answer in one.answers()]
    store.keep(content, Video("scored", facts=decoding.facts), answers)


def _rows(
    clips: Sequence[Clip],
    scorers: Sequence[Scorer],
    store: Store,
    digests: Mapping[str, str | VideoError],
    asked: Mapping[str, VideoPrompt],
) -> Iterator[Row]:
    for clip in clips:
        prompt = asked.get(clip.name)
        digest = digests[clip.name]
        start = Row(clip.name, "scored", "", *(() if prompt is None else (prompt.prompt, prompt.seed or None)))
        if isinstance(digest, VideoError):
            yield replace(start, status=digest.status, sentence=str(digest))
            continue
        video = store.video(_content(digest))
        assert video is not None
        if video.facts is None:
            yield replace(start, status=video.status, sentence=video.sentence, digest=digest)
            continue
        start = replace(start, digest=digest, **asdict(video.facts))
        for scorer in scorers:
            answers = {answer.class_name: answer for answer in store.answers(_content(digest), scorer.key)}
            for name in scorer.classes:
                yield _row(start, scorer, answers[name])


def _row(start: Row, scorer: Scorer, answer: Answer) -> Row:
    """What a scorer says of one class, after what is known of the video."""
    name = answer.class_name
    row = replace(
        start,
        status=answer.status,
        sentence=answer.sentence,
        scorer=scorer.name,
        kind="metric" if isinstance(scorer.source, VideoMetric) else "detector",
        version=scorer.version,
    )
    if row.kind == "detector":
        threshold = float(scorer.thresholds[name])
        row = replace(row, class_name=name, threshold=threshold, floor=scorer.floors.get(name))
    if answer.status != "scored":
        return row
    if row.kind == "metric":
        return replace(row, value=answer.value)
    return replace(
        row,
        value=answer.value,
        max_probability=answer.highest,
        hits=answer.hits,
        undefined_frames=answer.undefined,
    )


def _prompts_of(
    prompts: str | Path | Mapping[str, str] | None, format: str, found: Folder, folder: Path
) -> tuple[dict[str, VideoPrompt], list[str]]:
    """By the names of the clips, and what does not fit together."""
    if prompts is None:
        return {}, []
    if isinstance(prompts, Mapping):
        source, table = "prompts", {name: VideoPrompt(prompt) for name, prompt in prompts.items()}
    elif format:
        source, table = str(prompts), prompts_of_videos(prompts, format, [clip.name for clip in found.clips])
        if found.clips and not table:
            raise PromptFileError(
                f"{source}: none of the {len(found.clips)} videos in {folder} is named after one of its prompts; call"
                ' them "<prompt>-<index>.mp4" or by the prompt\'s number, such as 7.mp4 or 7-0.mp4.'
            )
    else:
        source, table = str(prompts), load_video_prompts(prompts)
    named = {_relative(name, folder): prompt for name, prompt in table.items()}
    clips = [clip.name for clip in found.clips]
    unknown, without = sorted({*named} - {*clips}), sorted({*clips} - {*named})
    if named and len(unknown) == len(named):
        raise PromptFileError(
            f"{source}: names none of the {len(clips)} videos in {folder}, but {_listed(unknown)}; write paths as they"
            " are below that folder."
        )
    notes = []
    if unknown:
        notes.append(f"{source} names {len(unknown)} that are not in the folder: {_listed(unknown)}.")
    if without:
        notes.append(f"{source} has no prompt for {len(without)}: {_listed(without)}.")
    return named, notes


def _relative(name: str, folder: Path) -> str:
    path = Path(name)
    if path.is_absolute() and path.is_relative_to(folder.resolve()):
        return path.relative_to(folder.resolve()).as_posix()
    return posixpath.normpath(name.replace("\\", "/"))


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more


def _more_notes(found: Folder, digests: Mapping[str, str | VideoError]) -> list[str]:
    notes = []
    if not found.clips:
        notes.append("The folder holds no video and no folder of frames.")
    contents = [digest for digest in digests.values() if isinstance(digest, str)]
    if twins := len(contents) - len({*contents}):
        notes.append(f"{twins} files have the same content as another one; each counts.")
    if found.other_files:
        notes.append(f"{found.other_files} other files were left alone.")
    return notes
