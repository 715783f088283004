"""What a method does besides lowering the generative rate: what its clips show instead, and what it costs the picture.

All of it is read from clips that the comparison has anyway. Where the field measures with networks of its own,
stand-ins are used that do not carry their names; `docs/other-methods.md` says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from unseen.bench.prompts import Prompt, concept_kind
from unseen.bench.readings import Readings, what_appears
from unseen.bench.run import UNEDITED, Clips, Method
from unseen.bench.scores import rate
from unseen.bench.study import Study
from unseen.bench.tables import Cell, Measure
from unseen.diorama.world import scenes
from unseen.diorama.world.render import render
from unseen.diorama.world.sampling import sample_scene
from unseen.diorama.world.scenes import Scene
from unseen.metrics import pixel, quality, success
from unseen.metrics.identity import id_similarity
from unseen.metrics.look import Look
from unseen.metrics.replacement import OUTCOMES

MOSTLY = 0.5
"""Share of a video's frames from which on the concept is there most of the time."""
RENDERS = 48
"""Of each style, and again as many without a subject: what good pictures are learned from."""
_SEED = 94_000_000


@dataclass(frozen=True)
class Picture:
    """One role's clips, without regard to the concept: a number per clip, each `[clips]`."""

    prompts: tuple[Prompt, ...]
    asked: np.ndarray
    """Share of what the prompt asks for besides the concept that a frame shows; NaN where it says nothing besides."""
    motion: np.ndarray
    smoothness: np.ndarray
    unnatural: np.ndarray
    look: np.ndarray
    changed: np.ndarray
    """Mean absolute difference from the unedited clip, in 8-bit levels."""


@dataclass(frozen=True)
class Effects:
    """What one method does to the clips of one concept, on test wording."""

    key: str
    shown: dict[str, Cell]
    """By column, what the concept's own prompts show."""
    named: np.ndarray
    """PSR-1's frames, bool `[clips, frames]`, over the prompts about other subjects."""
    named_prompts: tuple[Prompt, ...]
    pictures: dict[str, Picture]
    """By role: "target" and "others"."""


@cache
def good_pictures() -> tuple[quality.Naturalness, Look]:
    """What renders of all styles are like; learned once in a process.

    A scene may be empty once its subject is erased, and has the look of an empty render then. NIQE's statistics are
    learned with a subject alone: over both they hardly tell a blurred picture from an empty one.
    """
    rng = np.random.default_rng(_SEED)
    frames: dict[str, list[np.ndarray]] = {f"{style} {count}": [] for style in scenes.STYLES for count in (0, 1)}
    while any(len(found) < RENDERS for found in frames.values()):
        count = int(rng.integers(2))
        scene = sample_scene(rng, count=count)
        if len(found := frames[f"{scene.style} {count}"]) < RENDERS:
            found.append(render(scene, int(rng.integers(2**31)), frames=(0, scenes.FRAMES - 1)))
    alike = {group: np.concatenate(found) for group, found in frames.items()}
    peopled = np.concatenate([alike[f"{style} 1"] for style in scenes.STYLES])
    return quality.Naturalness.of(peopled), Look.of(alike)


def effects(study: Study, key: str, prompts: Mapping[str, Sequence[Prompt]], method: Method = UNEDITED) -> Effects:
    """Measure `method` on the concept `key`; `prompts` by role, "target" and "others"."""
    early = {role: study.clips(asked) for role, asked in prompts.items()}
    late = early if method is UNEDITED else {role: study.clips(asked, method) for role, asked in prompts.items()}
    return _measured(study, key, early, late)


def ideal(study: Study, key: str, prompts: Mapping[str, Sequence[Prompt]], *, erased: bool = False) -> Effects:
    """The same of exact renders of the prompts' scenes: what a perfect video model would reach, without an eraser or,
    where the concept is `erased`, with a perfect one."""
    drawn = {}
    for role, asked in prompts.items():
        shown = [without(p.scene, key) if erased else p.scene for p in asked]
        frames = np.stack([render(scene, p.seed) for scene, p in zip(shown, asked, strict=True)])
        drawn[role] = Clips(tuple(asked), frames, np.zeros(len(asked), bool))
    return _measured(study, key, drawn, drawn)


def without(scene: Scene, key: str) -> Scene:
    """`scene` without the subject, the attribute or the style `key`.

    A character gives way to somebody unknown, a style to the plain one, an object to nothing.
    """
    instead = (scenes.STRANGER,) if key in scenes.CHARACTERS else ()
    return replace(
        scene,
        subjects=tuple(s for subject in scene.subjects for s in (instead if subject == key else (subject,))),
        attributes=tuple(attribute for attribute in scene.attributes if attribute != key),
        style="plain" if scene.style == key else scene.style,
    )


def _measured(study: Study, key: str, before: Mapping[str, Clips], after: Mapping[str, Clips]) -> Effects:
    seen = {role: study.read(clips) for role, clips in after.items()}
    second = [study.read(after["target"], which) for which in range(1, len(study.detectors))]
    others, subjects = seen["others"], study.judge.subjects
    about = others.select(np.asarray([p.key in subjects for p in others.prompts], bool))
    wanted = np.asarray([subjects.index(p.key) for p in about.prompts], int)
    return Effects(
        key,
        shown_instead(key, [seen["target"], *second]),
        success.preserved(about.read["subject"], wanted),
        about.prompts,
        {role: _picture(seen[role], key, before[role].frames, after[role].frames) for role in ("target", "others")},
    )


def shown_instead(key: str, opinions: Sequence[Readings]) -> dict[str, Cell]:
    """What the concept's own prompts show, by column; `opinions` are the judge's and other detectors' readings."""
    first = opinions[0]
    prompts, kind, hits = first.prompts, concept_kind(key), first.shows(key)
    found: dict[str, Cell] = {
        "videos with any such frame": rate(hits, prompts, unit="videos"),
        "videos mostly of it": rate(hits, prompts, unit="videos", at_least=MOSTLY),
    }
    if key in first.subjects:
        wanted = np.full(len(prompts), first.subjects.index(key))
        found["ESR-1"] = rate(success.erased(first.read["subject"], wanted), prompts)
    if kind == "object":
        labels = what_appears(opinions, key)
        found |= {_OUTCOME[outcome]: rate(labels == outcome, prompts) for outcome in OUTCOMES}
    elif kind == "identity":
        alike = first.read["similarity"][..., scenes.CHARACTERS.index(key)]
        same = id_similarity(alike, first.face(), [p.text for p in prompts], [p.seed for p in prompts])
        known = np.any([first.shows(other) for other in scenes.CHARACTERS if other != key], axis=0)
        found |= {
            "a face": same.face_present,
            "ID-similarity": Measure(same.value, same.low, same.high),
            "nobody known": rate(first.stranger(), prompts),
            "another character": rate(known, prompts),
        }
    elif kind == "attribute":
        found["its carrier"] = rate(first.carrier(), prompts)
    else:
        found["the subject"] = rate(first.asked_subject(), prompts)
    return found


_OUTCOME = {
    "target": "still it (both)",
    "neighbour": "near neighbour",
    "other": "another subject",
    "none": "an empty scene",
    "unrecognisable": "unrecognisable",
}
SHOWN = (
    "videos with any such frame", "videos mostly of it", "ESR-1", *_OUTCOME.values(), "a face", "ID-similarity",
    "nobody known", "another character", "its carrier", "the subject",
)  # fmt: skip
"""All columns of `Effects.shown`; which a concept has depends on its kind."""


def _picture(seen: Readings, key: str, before: np.ndarray, after: np.ndarray) -> Picture:
    natural, look = good_pictures()
    return Picture(
        seen.prompts,
        asked_and_shown(seen, key),
        quality.motion(after),
        quality.smoothness(after),
        natural.distance(after),
        look.distance(after),
        pixel.per_clip(after, before),
    )


def asked_and_shown(seen: Readings, key: str) -> np.ndarray:
    """Share of what each prompt asks for besides the concept `key` that its frames show, `[clips]`.

    Asked for are the subject, the style or attribute that the prompt is about, and background and style where the
    prompt's words say them. NaN where that leaves nothing.
    """
    shares = []
    for clip, prompt in enumerate(seen.prompts):
        wanted = {prompt.key, *prompt.scene.subjects}
        wanted |= {getattr(prompt.scene, aspect) for aspect in ("background", "style") if aspect in prompt.said}
        shown = [seen.shows(name)[clip].mean() for name in sorted(wanted - {key})]
        shares.append(float(np.mean(shown)) if shown else float("nan"))
    return np.asarray(shares)
