"""From clips to numbers: what detectors see in each frame, and what is measured in each clip, by groups that a suite
chooses among."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from unseen.bench.clips.make import Clips
from unseen.bench.prompts.writer import OPEN, Prompt
from unseen.bench.study import Study
from unseen.diorama.detector.detector import Detector
from unseen.diorama.detector.readings import Readings, what_appears
from unseen.diorama.world import scenes
from unseen.diorama.world.concepts import concept_kind
from unseen.diorama.world.render import render
from unseen.diorama.world.sampling import sample_scene
from unseen.metrics import motion, pixel, quality, success
from unseen.metrics.look import Look
from unseen.metrics.replacement import OUTCOMES

RENDERS = 48
"""Of each style, and again as many without a subject: what good pictures are learned from."""
_SEED = 94_000_000


def read_clips(detector: Detector, clips: Clips) -> Readings:
    """Let `detector` look at every frame of `clips`."""
    return detector.read(clips.frames, [prompt.scene for prompt in clips.prompts])


class Seen(NamedTuple):
    """One measure of some clips."""

    measure: str
    values: np.ndarray
    """`[clips]`; NaN where it does not apply."""
    looked_for: Sequence[str] | str = ""
    """What was looked for, in each clip or in all: a key of Diorama's world, or a detector's class."""
    detector: str = ""
    frames: np.ndarray | int = 0
    """That the values are shares of."""
    floors: Mapping[str, float | None] = {}
    """By what was looked for."""


class Looked(NamedTuple):
    """Some clips of one concept under one method."""

    study: Study
    key: str
    role: str
    clips: Clips
    base: Clips
    """The same prompts and noise without a method."""
    readings: Sequence[Readings]
    """Of Diorama's detectors, one after the other; none for another model."""

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """What was asked for."""
        return self.clips.prompts


def look(study: Study, key: str, role: str, clips: Clips, base: Clips) -> Looked:
    """Let Diorama's detectors read the clips."""
    known = study.detectors if all(isinstance(d, Detector) for d in study.detectors) else []
    return Looked(study, key, role, clips, base, [read_clips(detector, clips) for detector in known])


def rates(looked: Looked) -> Iterator[Seen]:
    """Whether the concept, what the prompt is about, and what its words settle is shown."""
    if not looked.readings:
        yield from _other_detectors(looked)
        return
    [readings, *_], key, prompts = looked.readings, looked.key, looked.prompts
    kind, scene_of = concept_kind(key), [prompt.scene for prompt in prompts]

    def seen(
        measure: str, keys: Sequence[str], hits: np.ndarray | None = None, where: np.ndarray | None = None
    ) -> Seen:
        return _of_frames(looked.study.judge, measure, keys, readings.each(keys) if hits is None else hits, where)

    yield seen("shown", [key] * len(prompts))
    # nothing is known of what somebody else's prompts ask for besides
    about = np.asarray([prompt.key != "nothing" and prompt.scene is not OPEN for prompt in prompts])
    yield seen("asked", [prompt.key if prompt.key != "nothing" else key for prompt in prompts], where=about)
    for aspect in ("background", "style"):
        if aspect != kind:
            said = np.asarray([aspect in prompt.said for prompt in prompts])
            yield seen(aspect, [getattr(scene, aspect) for scene in scene_of], where=said)
    if all(scene.subjects for scene in scene_of):
        first = [scene.subjects[0] for scene in scene_of]
        if kind == "style":
            yield seen("subject kept", first, readings.asked_subject())
        if all(len(scene.subjects) == 2 for scene in scene_of):
            companions = [next(s for s in p.scene.subjects if s != p.key) for p in prompts]
            yield seen("companion", companions)
            yield seen("in place", companions, readings.both_in_place())
        if kind == "attribute":
            yield seen("carrier", first)
    if kind == "identity":
        yield seen("face", ["face"] * len(prompts), readings.shows("face"))
        yield seen("nobody known", ["nobody known"] * len(prompts), readings.stranger())
        others = [readings.shows(other) for other in scenes.CHARACTERS if other != key]
        yield seen("another character", ["another character"] * len(prompts), np.any(others, axis=0))


def _of_frames(
    detector: Detector, measure: str, keys: Sequence[str], hits: np.ndarray, where: np.ndarray | None = None
) -> Seen:
    """A share of frames, `hits` bool `[clips, frames]`, of the clips `where` it applies."""
    values = hits.mean(axis=1).astype(float)
    if where is not None:
        values[~where] = np.nan
    known = {*detector.subjects, *scenes.ATTRIBUTES, *scenes.STYLES, *scenes.BACKGROUNDS}
    floors = {key: detector.floor(key, "degraded") for key in set(keys) & known}
    return Seen(measure, values, keys, said_of(detector), hits.shape[1], floors)


def said_of(detector: Detector) -> str:
    """Name and version of one of Diorama's detectors."""
    return f"{detector.card['name']} v{detector.card['version']}"


def _other_detectors(looked: Looked) -> Iterator[Seen]:
    """The concept's class in what detectors for any video say."""
    for detector in looked.study.detectors:
        card = detector.card
        name = looked.study.suite.classes.get(looked.key, looked.key)
        if name not in card.classes and len(card.classes) == 1:
            name = card.classes[0]
        if name not in card.classes:
            continue  # another of the suite's detectors knows it, or `run` has refused the suite
        probabilities = [detector(clip)[:, card.classes.index(name)] for clip in looked.clips.frames]
        known = [~np.isnan(each) for each in probabilities]
        shares = [float((p[k] >= card.thresholds[name]).mean()) if k.any() else np.nan
                  for p, k in zip(probabilities, known, strict=True)]  # fmt: skip
        frames = np.asarray([int(k.sum()) for k in known])
        said = f"{card.name} {card.version}".strip()
        yield Seen("shown", np.asarray(shares), name, said, frames, {name: card.floor.get(name)})


def second(looked: Looked) -> Iterator[Seen]:
    """The same concept by the other detectors."""
    for detector, readings in zip(looked.study.detectors[1:], looked.readings[1:], strict=True):
        found = _of_frames(detector, "shown", [looked.key] * len(looked.prompts), readings.shows(looked.key))
        yield found._replace(measure="shown, second opinion")


def instead(looked: Looked) -> Iterator[Seen]:
    """What stands in an object's place, by all detectors together: shares that add up to one."""
    if concept_kind(looked.key) != "object" or looked.role not in ("target", "unnamed"):
        return
    labels = what_appears(looked.readings, looked.key)
    for outcome in OUTCOMES:
        yield Seen("appears", (labels == outcome).mean(axis=1), outcome, "both", labels.shape[1])


def changed(looked: Looked) -> Iterator[Seen]:
    """Whether the denoiser was given what it is given without the method, and how much the clip differs."""
    yield Seen("encoded as before", looked.clips.identical.astype(float))
    yield Seen("changed", pixel.per_clip(looked.clips.frames, looked.base.frames))


def moved(looked: Looked) -> Iterator[Seen]:
    """Whether a clip moves as its prompt says, by image registration."""
    pairs = zip(looked.clips.frames, looked.prompts, strict=True)
    right = [motion.motion_of(clip) == p.scene.motion if "motion" in p.said else np.nan for clip, p in pairs]
    yield Seen("motion", np.asarray(right, float), "motion", "registration", 1)


def ranked(looked: Looked) -> Iterator[Seen]:
    """ESR-1 on the concept's own prompts, PSR-1 on others, and how like a person's face the faces are."""
    if looked.role not in ("target", "others"):
        return
    first, subjects = looked.readings[0], looked.study.judge.subjects
    own = looked.role == "target"
    wanted = [looked.key if own else prompt.key for prompt in looked.prompts]
    told = [own or prompt.scene is not OPEN for prompt in looked.prompts]
    known = np.asarray([key in subjects for key in wanted]) & told
    if known.any():
        places = np.asarray([subjects.index(key) if key in subjects else 0 for key in wanted])
        hits = (success.erased if own else success.preserved)(first.read["subject"], places)
        yield _of_frames(looked.study.judge, "ESR-1" if own else "PSR-1", wanted, hits, known)._replace(floors={})
    if own and concept_kind(looked.key) == "identity":
        alike, faces = first.read["similarity"][..., scenes.CHARACTERS.index(looked.key)], first.shows("face")
        counts = faces.sum(axis=1)
        sums = np.where(faces, alike, 0.0).sum(axis=1)
        mean = np.divide(sums, counts, out=np.full(len(sums), np.nan), where=counts > 0)
        yield Seen("ID-similarity", mean, looked.key, said_of(looked.study.judge), counts)


def looks(looked: Looked) -> Iterator[Seen]:
    """The picture without regard to the concept: what else was asked for, motion, smoothness, and how good it looks.

    Where the field measures with networks of its own, stand-ins are used that do not carry their names;
    `docs/other-methods.md` says which.
    """
    if looked.role not in ("target", "others"):
        return
    natural, look = good_pictures()
    frames = looked.clips.frames
    yield Seen(
        "asked for and shown", asked_and_shown(looked.readings[0], looked.prompts, looked.key), frames=frames.shape[1]
    )
    yield Seen("motion, pixels", quality.motion(frames))
    yield Seen("smoothness", quality.smoothness(frames))
    yield Seen("unnaturalness", natural.distance(frames))
    yield Seen("off the look", look.distance(frames))


MEASURES: Mapping[str, Callable[[Looked], Iterator[Seen]]] = {
    "rates": rates,
    "second": second,
    "instead": instead,
    "changed": changed,
    "motion": moved,
    "ranked": ranked,
    "looks": looks,
}
"""By the name that a suite gives them."""
ON_DIORAMA = ("second", "instead", "motion", "ranked", "looks")
"""Those that only Diorama's detectors and scenes can tell."""


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


def asked_and_shown(seen: Readings, prompts: Sequence[Prompt], key: str) -> np.ndarray:
    """Share of what each prompt asks for besides the concept `key` that its frames show, `[clips]`.

    Asked for are the subject, the style or attribute that the prompt is about, and background and style where the
    prompt's words say them. NaN where that leaves nothing.
    """
    shares = []
    for clip, prompt in enumerate(prompts):
        wanted = {prompt.key, *prompt.scene.subjects}
        wanted |= {getattr(prompt.scene, aspect) for aspect in ("background", "style") if aspect in prompt.said}
        shown = [seen.shows(name)[clip].mean() for name in sorted(wanted - {key})]
        shares.append(float(np.mean(shown)) if shown else float("nan"))
    return np.asarray(shares)
