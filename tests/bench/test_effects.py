"""What a method does besides erasing: its columns have to tell good renders from spoilt ones, and one outcome from
another."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("diffusers")

from unseen.bench import effects as effects_module
from unseen.bench.effect_tables import columns, instead_table, picture_cells, picture_table, values
from unseen.bench.effects import Effects, asked_and_shown, effects, good_pictures, ideal, shown_instead, without
from unseen.bench.prompts import Prompt, PromptWriter
from unseen.bench.readings import Readings, read_clips
from unseen.bench.run import Clips
from unseen.bench.scores import mean
from unseen.bench.study import Settings, Study
from unseen.bench.tables import Measure, cell_text
from unseen.diorama.detector.detector import Detector, load_detector
from unseen.diorama.world import scenes
from unseen.diorama.world.render import render
from unseen.diorama.world.scenes import Scene

WRITER = PromptWriter("development")


@pytest.fixture(scope="module")
def detectors() -> list[Detector]:
    return [load_detector("a"), load_detector("b")]


def drawn(prompts: list[Prompt], change: Callable[[Scene], Scene] = lambda scene: scene) -> Clips:
    """Renders of the prompts' scenes, or of other scenes."""
    frames = np.stack([render(change(p.scene), p.seed) for p in prompts])
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
    return drawn(WRITER.mixed(scenes.SUBJECTS[:26], 26, role="others"))


@pytest.mark.parametrize("how", ["blur", "noise", "pale"])
def test_blur_noise_and_paleness_are_off_the_look(mixed: Clips, how: str) -> None:
    look = good_pictures()[1]
    plain, worse = look.distance(mixed.frames), look.distance(spoilt(mixed.frames, how))
    assert (worse > plain).mean() > 0.85 and worse.mean() > 1.2 * plain.mean()


@pytest.mark.parametrize("how", ["blur", "noise"])
def test_blur_and_noise_are_unnatural_beside_renders_of_all_styles(mixed: Clips, how: str) -> None:
    natural = good_pictures()[0]
    assert (natural.distance(spoilt(mixed.frames, how)) > natural.distance(mixed.frames)).mean() > 0.8


def test_the_look_is_that_of_a_style_whatever_is_shown() -> None:
    look = good_pictures()[1]
    rows = [drawn(WRITER.styled(style, 6, role="others")).frames for style in scenes.STYLES]
    inside = look.distance(np.concatenate(rows))
    halves = np.concatenate(
        [np.concatenate([a[:, :, :, :48], b[:, :, :, 48:]], axis=3) for a, b in itertools.pairwise(rows)]
    )
    assert look.distance(halves).mean() > 1.2 * inside.mean()  # half in one style, half in another


def test_an_empty_scene_is_as_good_a_picture_as_any(mixed: Clips) -> None:
    empty = drawn(WRITER.empty(20)).frames
    look = good_pictures()[1]
    assert look.distance(empty).mean() < 1.2 * look.distance(mixed.frames).mean()
    for how in ("noise", "pale"):
        assert look.distance(spoilt(empty, how)).mean() > 1.2 * look.distance(empty).mean()


def test_what_is_asked_for_is_shown_by_renders_and_less_by_spoilt_or_other_ones(
    mixed: Clips, detectors: list[Detector]
) -> None:
    def share(clips: Clips) -> float:
        return float(np.nanmean(asked_and_shown(read_clips(detectors[0], clips), "nothing")))

    right = share(mixed)
    assert right > 0.97
    for how, less in (("strong blur", 0.1), ("pale", 0.05)):  # half the contrast is read nearly as well
        assert share(replace(mixed, frames=spoilt(mixed.frames, how))) < right - less
    assert share(replace(mixed, frames=mixed.frames[::-1])) < 0.6  # pictures of something else


def test_the_erased_concept_is_not_asked_for(detectors: list[Detector]) -> None:
    prompts = [p for p in WRITER.single("church", 40, role="target") if "background" in p.said]
    gone = read_clips(detectors[0], drawn(prompts, lambda scene: replace(scene, subjects=())))
    assert asked_and_shown(gone, "church").mean() > 0.95
    assert asked_and_shown(gone, "lighthouse").mean() < 0.8
    silent = [replace(p, said=frozenset()) for p in prompts[:2]]
    assert np.isnan(
        asked_and_shown(replace(gone.select(np.arange(len(prompts)) < 2), prompts=tuple(silent)), "church")
    ).all()


def test_a_frozen_clip_is_smooth_and_does_not_move(tmp_path: Path, detectors: list[Detector], mixed: Clips) -> None:
    frozen = np.repeat(mixed.frames[:, :1], 9, axis=1)
    seen = read_clips(detectors[0], mixed)
    made = effects_module._picture(seen, "nothing", mixed.frames, frozen)
    before = effects_module._picture(seen, "nothing", mixed.frames, mixed.frames)
    assert (made.smoothness == 1).all() and made.motion.max() < 0.03 < 0.1 < before.motion.mean()
    assert (before.changed == 0).all() and made.changed.mean() > 1


def readings(detectors: list[Detector], key: str, instead: tuple[str, ...]) -> list[Readings]:
    prompts = WRITER.single(key, 12, role="target")
    clips = drawn(prompts, lambda scene: replace(scene, subjects=instead, attributes=()))
    return [read_clips(detector, clips) for detector in detectors]


@pytest.mark.parametrize(
    ("instead", "column"),
    [
        (("church",), "still it (both)"), (("lighthouse",), "near neighbour"), (("tench",), "another subject"),
        ((), "an empty scene"),
    ],
)  # fmt: skip
def test_what_stands_in_an_objects_place_is_told_apart(detectors: list[Detector], instead, column: str) -> None:
    shown = shown_instead("church", readings(detectors, "church", instead))
    rates = {name: cell.value for name, cell in shown.items()}
    assert rates[column] > 0.8 and rates["videos mostly of it"] == (column == "still it (both)")
    assert (rates["ESR-1"] < 0.1) == (column == "still it (both)")
    assert sum(rates[name] for name in list(rates)[3:]) == pytest.approx(1)


def test_somebody_else_is_not_the_character(detectors: list[Detector]) -> None:
    def shown(instead: tuple[str, ...]) -> dict[str, float]:
        found = shown_instead("amber_bramble", readings(detectors, "amber_bramble", instead))
        assert isinstance(found["ID-similarity"], Measure)
        return {name: cell.value for name, cell in found.items()}

    own, other, stranger, nobody = map(shown, [("amber_bramble",), ("ivy_lantern",), ("person",), ("church",)])
    assert own["ID-similarity"] > 0.8 > 0.5 > max(other["ID-similarity"], stranger["ID-similarity"])
    assert other["another character"] > 0.9 > 0.1 > own["another character"]
    assert stranger["nobody known"] > 0.8 and stranger["a face"] > 0.9 > 0.1 > nobody["a face"]


def test_a_carrier_stays_without_its_attribute(detectors: list[Detector]) -> None:
    prompts = WRITER.single("burning", 12, role="target")
    assert {p.scene.subjects for p in prompts} == {(carrier,) for carrier in scenes.CARRIERS_OF["burning"]}
    bare = drawn(prompts, lambda scene: replace(scene, attributes=()))
    shown = shown_instead("burning", [read_clips(detector, bare) for detector in detectors])
    assert shown["its carrier"].value > 0.9 and shown["videos mostly of it"].value < 0.2


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, detectors: list[Detector]) -> tuple[Effects, Effects]:
    """An object's exact renders, and the clips of a video model that has one step only."""
    folder = tmp_path_factory.mktemp("effects")
    study = Study(Settings(folder, steps=1, progress=False), detectors=detectors, cache_folder=folder / "clips")
    prompts = {"target": WRITER.single("church", 4, role="target"), "others": WRITER.mixed(["tench"], 4, role="others")}
    return ideal(study, "church", prompts), effects(study, "church", prompts)


def test_the_tables_have_a_row_for_each_and_renders_are_the_best(measured: tuple[Effects, Effects]) -> None:
    best, rough = measured
    table = picture_table("others", {"church": {"none": rough, "exact renders": best, "uce": rough}})
    assert [row[0] for row in table.rows] == ["none", "exact renders", "uce"] and table.rows[0][1] == 4
    by_name = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    for name in ("unnaturalness", "off the look"):
        assert by_name["exact renders"][name].value < by_name["none"][name].value
    assert by_name["exact renders"]["asked for and shown"].value == 1
    assert by_name["uce"]["unchanged clips"].part == 4 and by_name["none"]["unchanged clips"] is None
    own = instead_table("church", {"none": rough, "exact renders": best, "uce": rough}, ["safree"])
    assert [row[0] for row in own.rows] == ["none", "exact renders", "uce", "safree"] and own.rows[-1][1:] == (
        None,
    ) * (len(own.columns) - 1)


def test_the_database_has_what_the_tables_have(measured: tuple[Effects, Effects]) -> None:
    best, rough = measured
    stored = dict(values(rough))
    assert set(stored) < set(columns()) and len(set(columns())) == len(columns())
    row = picture_cells("others", [rough])
    assert stored["other_motion"] == row[3].value and stored["other_unchanged_clips"] == 1
    assert stored["esr_1_low"] == rough.shown["ESR-1"].low and dict(values(best))["esr_1"] == 0


def test_a_perfect_eraser_takes_the_concept_and_nothing_else() -> None:
    scene = Scene(("log_cabin", "church"), "snow", "left", "inkwell", ("burning",))
    assert without(scene, "church") == replace(scene, subjects=("log_cabin",))
    assert without(scene, "burning") == replace(scene, attributes=())
    assert without(scene, "inkwell") == replace(scene, style="plain")
    assert without(scene, "tench") == scene
    pair = Scene(("amber_bramble", "church"), "snow", "left")
    assert without(pair, "amber_bramble") == replace(pair, subjects=("person", "church"))


def test_renders_without_the_concept_are_erased_by_every_column(tmp_path: Path, detectors: list[Detector]) -> None:
    study = Study(Settings(tmp_path, progress=False), detectors=detectors, cache_folder=tmp_path / "clips")
    prompts = {"target": WRITER.single("church", 6, role="target"), "others": WRITER.mixed(["tench"], 2, role="others")}
    gone = ideal(study, "church", prompts, erased=True)
    assert gone.shown["videos with any such frame"].value == 0 and gone.shown["an empty scene"].value > 0.8
    assert gone.named.all() and np.nanmean(gone.pictures["target"].asked) > 0.95


def test_a_mean_is_printed_as_a_number_with_its_interval() -> None:
    prompts = WRITER.single("church", 8, role="target")
    found = mean(np.arange(8.0), prompts)
    assert found.value == 3.5 and found.low < 3.5 < found.high
    assert cell_text(found).startswith("3.5 [") and "%" not in cell_text(found)
    assert np.isnan(mean(np.zeros(0), []).value)
