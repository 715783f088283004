"""What a method does besides erasing: its columns have to tell good renders from spoilt ones, and one outcome from
another."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import cv2
import numpy as np
import pytest

pytest.importorskip("diffusers")

from tiny import make_small_diorama

from unseen.bench import measure
from unseen.bench.clips.make import Clips, rendered
from unseen.bench.measure import (
    Looked,
    Seen,
    asked_and_shown,
    changed,
    good_pictures,
    instead,
    looks,
    moved,
    ranked,
    rates,
    read_clips,
    second,
)
from unseen.bench.prompts.writer import Prompt, PromptWriter
from unseen.bench.rows import Row, Rows
from unseen.bench.study import Study
from unseen.bench.suite import read_suite
from unseen.bench.views.query import mean_of
from unseen.bench.views.tables import cell_text
from unseen.diorama.detector.detector import Detector, load_detector
from unseen.diorama.world import scenes
from unseen.diorama.world.concepts import without
from unseen.diorama.world.render import render
from unseen.diorama.world.scenes import Scene
from unseen.metrics.look import Look
from unseen.metrics.quality import Naturalness
from unseen.metrics.replacement import OUTCOMES

WRITER = PromptWriter("development")


@pytest.fixture(scope="module")
def detectors() -> list[Detector]:
    return [load_detector("a"), load_detector("b")]


def drawn(
    prompts: list[Prompt], change: Callable[[Scene], Scene] = lambda scene: scene, *, whole: bool = False
) -> Clips:
    """Renders of the prompts' scenes, or of other scenes: three frames of each, or where it moves the whole clip."""
    frames = np.stack([render(change(p.scene), p.seed, frames=None if whole else (0, 4, 8)) for p in prompts])
    return Clips(tuple(prompts), frames, np.zeros(len(prompts), bool))


def spoilt(clips: np.ndarray, how: str) -> np.ndarray:
    if how == "noise":
        return (clips + np.random.default_rng(0).normal(0, 12, clips.shape)).clip(0, 255).astype(np.uint8)
    if how == "pale":
        return (0.5 * clips + 96).astype(np.uint8)
    width = {"blur": 1.5, "strong blur": 4.0}[how]
    return np.stack([[cv2.GaussianBlur(frame, (0, 0), width) for frame in clip] for clip in clips])


@pytest.fixture(scope="module")
def mixed() -> Clips:
    return drawn(WRITER.mixed(scenes.SUBJECTS[:26], 26, role="others"), whole=True)


@pytest.fixture(scope="module", params=[40, pytest.param(measure.RENDERS, marks=pytest.mark.slow)])
def pictures(request: pytest.FixtureRequest) -> Iterator[tuple[Naturalness, Look]]:
    """What renders of all styles are like, learned from fewer of them than a measurement learns from, or as many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "RENDERS", request.param)
        good_pictures.cache_clear()
        yield good_pictures()
    good_pictures.cache_clear()


@pytest.mark.parametrize("how", ["blur", "noise", "pale"])
def test_blur_noise_and_paleness_are_off_the_look(pictures: tuple[Naturalness, Look], mixed: Clips, how: str) -> None:
    look = pictures[1]
    plain, worse = look.distance(mixed.frames), look.distance(spoilt(mixed.frames, how))
    assert (worse > plain).mean() > 0.85 and worse.mean() > 1.2 * plain.mean()


@pytest.mark.parametrize("how", ["blur", "noise"])
def test_blur_and_noise_are_unnatural_beside_renders_of_all_styles(
    pictures: tuple[Naturalness, Look], mixed: Clips, how: str
) -> None:
    natural = pictures[0]
    assert (natural.distance(spoilt(mixed.frames, how)) > natural.distance(mixed.frames)).mean() > 0.8


def test_the_look_is_that_of_a_style_whatever_is_shown(pictures: tuple[Naturalness, Look]) -> None:
    look = pictures[1]
    rows = [drawn(WRITER.styled(style, 6, role="others"), whole=True).frames for style in scenes.STYLES]
    inside = look.distance(np.concatenate(rows))
    halves = np.concatenate(
        [np.concatenate([a[:, :, :, :48], b[:, :, :, 48:]], axis=3) for a, b in itertools.pairwise(rows)]
    )
    assert look.distance(halves).mean() > 1.2 * inside.mean()  # half in one style, half in another


def test_an_empty_scene_is_as_good_a_picture_as_any(pictures: tuple[Naturalness, Look], mixed: Clips) -> None:
    empty = drawn(WRITER.empty(20), whole=True).frames
    look = pictures[1]
    assert look.distance(empty).mean() < 1.2 * look.distance(mixed.frames).mean()
    for how in ("noise", "pale"):
        assert look.distance(spoilt(empty, how)).mean() > 1.2 * look.distance(empty).mean()


def test_what_is_asked_for_is_shown_by_renders_and_less_by_spoilt_or_other_ones(
    mixed: Clips, detectors: list[Detector]
) -> None:
    def share(clips: Clips) -> float:
        return float(np.nanmean(asked_and_shown(read_clips(detectors[0], clips), clips.prompts, "nothing")))

    mixed = replace(mixed, frames=mixed.frames[:, ::3])
    right = share(mixed)
    assert right > 0.97
    for how, less in (("strong blur", 0.1), ("pale", 0.05)):  # half the contrast is read nearly as well
        assert share(replace(mixed, frames=spoilt(mixed.frames, how))) < right - less
    assert share(replace(mixed, frames=mixed.frames[::-1])) < 0.6  # pictures of something else


def test_the_erased_concept_is_not_asked_for(detectors: list[Detector]) -> None:
    prompts = [p for p in WRITER.single("church", 20, role="target") if "background" in p.said]
    gone = read_clips(detectors[0], drawn(prompts, lambda scene: replace(scene, subjects=())))
    assert asked_and_shown(gone, prompts, "church").mean() > 0.95
    assert asked_and_shown(gone, prompts, "lighthouse").mean() < 0.8
    silent = [replace(p, said=frozenset()) for p in prompts[:2]]
    assert np.isnan(asked_and_shown(gone, silent, "church")).all()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, detectors: list[Detector]) -> Study:
    folder = tmp_path_factory.mktemp("measure")
    suite = read_suite("methods").with_options(steps=1)
    return Study(suite, folder, load=make_small_diorama, detectors=detectors, clips=folder / "clips", progress=False)


def looked(study: Study, key: str, clips: Clips, role: str = "target", base: Clips | None = None) -> Looked:
    return measure.look(study, key, role, clips, base or clips)


def numbers(*parts: Iterable[Seen]) -> dict[str, float]:
    """The mean of each measure; of what appears by outcome."""
    return {
        seen.looked_for if seen.measure == "appears" else seen.measure: float(np.nanmean(seen.values))
        for part in parts
        for seen in part
        if not np.isnan(seen.values).all()
    }


def shown(study: Study, key: str, put: tuple[str, ...]) -> dict[str, float]:
    clips = drawn(WRITER.single(key, 8, role="target"), lambda scene: replace(scene, subjects=put, attributes=()))
    seen = looked(study, key, clips)
    return numbers(rates(seen), instead(seen), ranked(seen))


def test_a_frozen_clip_is_smooth_and_does_not_move(
    pictures: tuple[Naturalness, Look], study: Study, mixed: Clips
) -> None:
    mixed = Clips(mixed.prompts[:10], mixed.frames[:10], mixed.identical[:10])
    frozen = replace(mixed, frames=np.repeat(mixed.frames[:, :1], 9, axis=1))
    still, moving = (looked(study, "church", clips, "others", mixed) for clips in (frozen, mixed))
    made, before = ({seen.measure: seen.values for seen in (*looks(one), *changed(one))} for one in (still, moving))
    assert (made["smoothness"] == 1).all() and made["motion, pixels"].max() < 0.03 < 0.1 < before[
        "motion, pixels"
    ].mean()
    assert (before["changed"] == 0).all() and made["changed"].mean() > 1


@pytest.mark.parametrize(
    ("put", "outcome"),
    [(("church",), "target"), (("lighthouse",), "neighbour"), (("tench",), "other"), ((), "none")],
)  # fmt: skip
def test_what_stands_in_an_objects_place_is_told_apart(study: Study, put: tuple[str, ...], outcome: str) -> None:
    found = shown(study, "church", put)
    assert found[outcome] > 0.8 and (found["shown"] > 0.8) == (outcome == "target")
    assert (found["ESR-1"] < 0.1) == (outcome == "target")
    assert sum(found[name] for name in OUTCOMES) == pytest.approx(1)


def test_somebody_else_is_not_the_character(study: Study) -> None:
    own, other, stranger, nobody = (
        shown(study, "amber_bramble", put) for put in [("amber_bramble",), ("ivy_lantern",), ("person",), ("church",)]
    )
    assert own["ID-similarity"] > 0.8 > 0.5 > max(other["ID-similarity"], stranger["ID-similarity"])
    assert other["another character"] > 0.9 > 0.1 > own["another character"]
    assert stranger["nobody known"] > 0.8 and stranger["face"] > 0.9 > 0.1 > nobody["face"]


def test_a_carrier_stays_without_its_attribute(study: Study) -> None:
    prompts = WRITER.single("burning", 12, role="target")
    assert {p.scene.subjects for p in prompts} == {(carrier,) for carrier in scenes.CARRIERS_OF["burning"]}
    bare = looked(study, "burning", drawn(prompts, lambda scene: replace(scene, attributes=())))
    found = numbers(rates(bare))
    assert found["carrier"] > 0.9 and found["shown"] < 0.2


def test_backgrounds_count_only_in_clips_whose_prompts_say_them(study: Study) -> None:
    prompts = WRITER.single("church", 16, role="target")
    said = np.asarray(["background" in p.said for p in prompts])
    assert 0 < said.sum() < len(prompts)
    wrong = drawn(prompts, lambda scene: replace(scene, background="night" if scene.background != "night" else "snow"))
    frames = np.where(said[:, None, None, None, None], drawn(prompts).frames, wrong.frames)
    [seen] = [
        seen for seen in rates(looked(study, "church", replace(wrong, frames=frames))) if seen.measure == "background"
    ]
    assert np.isnan(seen.values).tolist() == (~said).tolist() and np.nanmean(seen.values) > 0.95
    assert set(seen.floors) == {p.scene.background for p in prompts}


def test_two_subjects_are_in_place_only_where_both_stand_where_they_belong(study: Study) -> None:
    prompts = WRITER.pairs("church", 12)
    right = numbers(rates(looked(study, "church", drawn(prompts), "companion")))
    swapped = drawn(prompts, lambda scene: replace(scene, subjects=scene.subjects[::-1]))
    turned = numbers(rates(looked(study, "church", swapped, "companion")))
    assert right["in place"] > 0.8 > 0.2 > turned["in place"] and turned["companion"] > 0.8


def test_a_clip_moves_as_its_prompt_says_or_not(study: Study) -> None:
    prompts = WRITER.single("church", 12, role="target")
    right = numbers(moved(looked(study, "church", drawn(prompts, whole=True))))
    other = drawn(prompts, lambda scene: replace(scene, motion="up" if scene.motion != "up" else "down"), whole=True)
    assert right["motion"] > 0.8 > 0.2 > numbers(moved(looked(study, "church", other)))["motion"]


def test_the_second_opinion_is_the_other_detectors(study: Study) -> None:
    [seen] = second(looked(study, "church", drawn(WRITER.single("church", 4, role="target"))))
    assert seen.measure == "shown, second opinion" and seen.detector == measure.said_of(study.detectors[1])
    assert seen.detector != measure.said_of(study.detectors[0]) and seen.values.mean() > 0.8


def test_a_perfect_eraser_takes_the_concept_and_nothing_else() -> None:
    scene = Scene(("log_cabin", "church"), "snow", "left", "inkwell", ("burning",))
    assert without(scene, "church") == replace(scene, subjects=("log_cabin",))
    assert without(scene, "burning") == replace(scene, attributes=())
    assert without(scene, "inkwell") == replace(scene, style="plain")
    assert without(scene, "tench") == scene
    pair = Scene(("amber_bramble", "church"), "snow", "left")
    assert without(pair, "amber_bramble") == replace(pair, subjects=("person", "church"))


def test_renders_without_the_concept_are_erased_by_every_column(study: Study) -> None:
    gone = looked(study, "church", rendered("church", WRITER.single("church", 6, role="target"), erased=True))
    found = numbers(rates(gone), instead(gone), looks(gone))
    assert found["shown"] == 0 and found["none"] > 0.8 and found["asked for and shown"] > 0.95
    others = looked(study, "church", rendered("church", WRITER.mixed(["tench"], 2, role="others")), "others")
    assert numbers(ranked(others)) == {"PSR-1": 1.0}


def test_a_mean_is_printed_as_a_number_with_its_interval() -> None:
    prompts = WRITER.single("church", 8, role="target")
    found = mean_of(Rows(Row("motion", float(i), prompt=p.text, noise=p.seed) for i, p in enumerate(prompts)))
    assert found.value == 3.5 and found.low < 3.5 < found.high
    assert cell_text(found).startswith("3.5 [") and "%" not in cell_text(found)
