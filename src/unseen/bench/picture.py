"""How good the video model is before anything is erased: unseen captions, fresh seeds, new combinations."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np

from unseen.bench.nearest import nearest_table
from unseen.bench.prompts import PHRASINGS, Prompt
from unseen.bench.readings import Readings, join
from unseen.bench.scores import aspect_rate, rate
from unseen.bench.study import Study, floor_of, mean_floor
from unseen.bench.tables import JUDGED_COLUMNS, Cell, Table, Target, judged, percent
from unseen.diorama.model.pipeline import generate
from unseen.diorama.world import captions, scenes
from unseen.metrics import motion

CLIPS_PER_SUBJECT = 30
CLIPS_HELD_OUT = 320
CLIPS_PAIRS = 300
CLIPS_PER_PHRASING = 128

SHOWN = Target(0.95)
WORST = Target(0.90)
OBJECTS = Target(0.97)
HELD_OUT = Target(0.93)
PAIRS = Target(0.90)
ASPECT = Target(0.95)
MOTION = Target(0.90)
EIGHT_CLIPS_SECONDS = 8.0


def evaluate_picture(study: Study) -> Iterator[Table]:
    """All tables about the unedited video model."""
    count, keys = study.settings.count, study.chosen(scenes.SUBJECTS, scenes.SUBJECTS)
    yield speed_table(study, study.writer.single(keys[0], 8, role="target", salt="speed"))
    singles: dict[str, Readings] = {}
    frames: dict[str, np.ndarray] = {}
    for place, key in enumerate(keys, 1):
        study.say(f"{captions.main_name(key)} ({place} of {len(keys)})")
        clips = study.clips(study.writer.single(key, count(CLIPS_PER_SUBJECT), role="target"))
        singles[key], frames[key] = study.read(clips), clips.frames
    study.say("combinations never trained on")
    held_prompts = study.writer.mixed(keys, max(count(CLIPS_HELD_OUT), len(keys)), role="held out", held_out=True)
    held_clips = study.clips(held_prompts)
    held = study.read(held_clips)
    study.say("two subjects")
    pair_prompts: list[Prompt] = []
    for key in keys:
        pair_prompts += study.writer.pairs(key, max(2, count(CLIPS_PAIRS) // len(keys)))
    pairs = study.read(study.clips(pair_prompts))
    everything = join([*singles.values(), held])
    moved = np.concatenate([*frames.values(), held_clips.frames])
    yield headline_table(study, singles, held, pairs, everything, moved)
    yield each_table(study, singles)
    yield phrasing_table(study, keys)
    yield aspects_table(study, everything)
    yield nearest_table(study, held_clips)


def headline_table(
    study: Study,
    singles: dict[str, Readings],
    held: Readings,
    pairs: Readings,
    everything: Readings,
    frames: np.ndarray,
) -> Table:
    """The picture's targets. `frames` are the clips that `everything` reads."""
    judge = study.judge
    all_single = join(list(singles.values()))
    rows = [
        judged(
            "subject shown, over subjects",
            len(all_single.prompts),
            rate(all_single.asked_subject(), all_single.prompts),
            SHOWN,
            mean_floor(judge, list(singles)),
        ),
    ]
    each = {key: rate(r.asked_subject(), r.prompts) for key, r in singles.items()}
    worst = min(each, key=lambda key: each[key].value)
    rows.append(
        judged(
            f"lowest subject: {captions.main_name(worst)}",
            each[worst].clips,
            each[worst],
            WORST,
            floor_of(judge, worst),
        )
    )
    ten = [singles[key] for key in singles if key in scenes.OBJECTS]
    if ten:
        objects = join(ten)
        rows.append(
            judged(
                "the ten objects",
                len(objects.prompts),
                rate(objects.asked_subject(), objects.prompts),
                OBJECTS,
                mean_floor(judge, scenes.OBJECTS),
            )
        )
    rows.append(
        judged(
            "combinations never trained on",
            len(held.prompts),
            rate(held.asked_subject(), held.prompts),
            HELD_OUT,
            mean_floor(judge, list(singles)),
        )
    )
    both = rate(pairs.both_in_place(), pairs.prompts, unit="videos", at_least=0.5)
    rows.append(
        judged(
            "two subjects, both in place (clips)", len(pairs.prompts), both, PAIRS, mean_floor(judge, judge.subjects)
        )
    )
    for aspect, keys in (("background", scenes.BACKGROUNDS), ("style", scenes.STYLES)):
        found = aspect_rate(everything, aspect)
        if found is not None:
            rows.append(judged(f"{aspect} right", found.clips, found, ASPECT, mean_floor(judge, keys)))
    said = np.asarray(["motion" in p.said for p in everything.prompts])
    asked = [p for p, ok in zip(everything.prompts, said, strict=True) if ok]
    if asked:
        right = motion_hits(frames[said], asked)
        rows.append(judged("motion right (clips)", len(asked), rate(right[:, None], asked), MOTION))
    renders = study.settings.count(300)
    error, _ = motion.check(renders)
    return Table(
        "Picture: targets",
        JUDGED_COLUMNS,
        tuple(rows),
        "Unseen captions and fresh seeds; shares of frames, or of clips where it says so. Background, style and motion "
        "over the prompts that say them. Intervals: 95 %, over prompts and seeds (docs/statistics.md). "
        f"Image registration reads the motion of {percent(error)} of {renders} fresh renders wrongly.",
    )


def motion_hits(frames: np.ndarray, prompts: Sequence[Prompt]) -> np.ndarray:
    """bool `[clips]`: whether a clip moves as its prompt says, by image registration."""
    return np.asarray([motion.motion_of(clip) == p.scene.motion for clip, p in zip(frames, prompts, strict=True)])


def each_table(study: Study, singles: dict[str, Readings]) -> Table:
    """One row per subject."""
    rows = tuple(
        (captions.main_name(key), len(r.prompts), rate(r.asked_subject(), r.prompts), floor_of(study.judge, key))
        for key, r in singles.items()
    )
    return Table("Picture: subjects", ("subject", "clips", "shown", "detector floor"), rows, "Main names.")


def phrasing_table(study: Study, keys: Sequence[str]) -> Table:
    """Whether the video model understands the other names that an eraser will be tested on."""
    rows: list[tuple[Cell, ...]] = []
    for kind in PHRASINGS:
        per_key = max(1, study.settings.count(CLIPS_PER_PHRASING) // len(keys))
        prompts = [p for key in keys for p in study.writer.single(key, per_key, role=kind, kind=kind)]
        readings = study.read(study.clips(prompts))
        rows.append((kind, len(prompts), rate(readings.asked_subject(), prompts), mean_floor(study.judge, keys)))
    return Table("Picture: other names", ("phrasing", "clips", "subject shown", "detector floor"), tuple(rows))


def aspects_table(study: Study, readings: Readings) -> Table:
    """One row per background, style and attribute."""
    rows: list[tuple[Cell, ...]] = []
    for aspect, keys in (("background", scenes.BACKGROUNDS), ("style", scenes.STYLES)):
        for key in keys:
            keep = np.asarray([aspect in p.said and getattr(p.scene, aspect) == key for p in readings.prompts])
            if keep.any():
                mine = readings.select(keep)
                rows.append(
                    (aspect, key, len(mine.prompts), rate(mine.shows(key), mine.prompts), floor_of(study.judge, key))
                )
    for key in scenes.ATTRIBUTES:
        prompts = study.writer.single(key, study.settings.count(CLIPS_PER_SUBJECT), role="target")
        mine = study.read(study.clips(prompts))
        rows.append(
            (
                "attribute",
                captions.main_name(key),
                len(prompts),
                rate(mine.shows(key), prompts),
                floor_of(study.judge, key),
            )
        )
    return Table(
        "Picture: backgrounds, styles, attributes", ("aspect", "value", "clips", "right", "detector floor"), tuple(rows)
    )


def speed_table(study: Study, prompts: Sequence[Prompt]) -> Table:
    """How long eight clips take, drawn in one batch."""
    times = []
    for _ in range(1 if study.settings.quick else 3):
        start = time.perf_counter()
        generate(study.pipe, [p.text for p in prompts], [p.seed for p in prompts])
        times.append(time.perf_counter() - start)
    median = float(np.median(times))
    row = ("eight clips, one batch", len(times), median, f"≤ {EIGHT_CLIPS_SECONDS:g}", median <= EIGHT_CLIPS_SECONDS)
    return Table(
        "Picture: speed",
        ("measured", "times", "seconds (median)", "target", "verdict"),
        (row,),
        judges="seconds (median)",
    )
