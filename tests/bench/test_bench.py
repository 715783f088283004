"""Evaluation: clips are made once, prompts keep to their split, and what is counted is what was asked."""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SMALLEST_FIT

pytest.importorskip("diffusers")

from diffusers import WanPipeline
from tiny import make_small_diorama

import unseen
from unseen.bench.clips import make as clip_making
from unseen.bench.clips.engines import Inline
from unseen.bench.clips.job import UNEDITED, Method, weights_fingerprint
from unseen.bench.clips.make import ClipStore, Runner
from unseen.bench.fits import fit_with_control
from unseen.bench.prompts.rewording import misspell, neutral, reworded
from unseen.bench.prompts.writer import PHRASINGS, Prompt, PromptWriter, carrier_of, unnamed, with_listed_synonyms
from unseen.bench.rows import Row, Rows
from unseen.bench.views.query import excess, kept, paired, rate_of
from unseen.diorama.detector.readings import Readings, what_appears
from unseen.diorama.model.pipeline import draw
from unseen.diorama.training.clips import training_clips
from unseen.diorama.world import captions, scenes
from unseen.diorama.world.concepts import absent_subjects, concept_of, near_to
from unseen.diorama.world.scenes import Scene
from unseen.metrics import pixel, rates
from unseen.metrics.intervals import Levels
from unseen.prompts.writer import write_prompts

CALL = {"num_inference_steps": 1, "height": 32, "width": 32, "num_frames": 5, "guidance_scale": 2.0,
        "max_sequence_length": 32}  # fmt: skip
SCENE = Scene(("french_horn",), "meadow", "left")


@pytest.fixture(scope="module")
def pipe() -> WanPipeline:
    return make_small_diorama()


class Counting:
    """The real generator, counting the clips it draws; raises `KeyboardInterrupt` once `limit` are drawn."""

    def __init__(self, limit: int | None = None):
        self.drawn: list[tuple[str, int]] = []
        self.limit = limit

    def __call__(self, pipe: Any, prompts: list[str], seeds: list[int], *, batch_size: int) -> np.ndarray:
        if self.limit is not None and len(self.drawn) >= self.limit:
            raise KeyboardInterrupt
        self.drawn += zip(prompts, seeds, strict=True)
        return draw(pipe, prompts, seeds, batch_size=batch_size, call=CALL)


def runner(pipe: Any, folder: Path, counting: Counting, weights: str = "p") -> Runner:
    store = ClipStore(folder, weights=weights, call=CALL)
    return Runner(pipe, store, Inline(pipe, counting), CALL, batch_size=2, progress=False)


def asked(*texts: str) -> list[Prompt]:
    return [Prompt(text, SCENE, "target", "french_horn", seed) for seed, text in enumerate(texts)]


@contextmanager
def scaled_on_horns(factor: float, pipe: Any):
    """An edit that touches only prompts with the word "horn"."""
    horn = pipe.tokenizer.convert_tokens_to_ids("horn")
    seen: dict[str, torch.Tensor] = {}

    def look(module: Any, args: Any, kwargs: Any) -> None:
        seen["ids"] = kwargs.get("input_ids", args[0] if args else None)

    def edit(module: Any, args: Any, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        hit = (seen["ids"] == horn).any(1)[:, None, None]
        changed = torch.where(hit, hidden * factor, hidden)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handles = [
        pipe.text_encoder.register_forward_pre_hook(look, with_kwargs=True),
        pipe.text_encoder.encoder.layer[2].register_forward_hook(edit),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


halved_on_horns, quartered_on_horns = (partial(scaled_on_horns, factor) for factor in (0.5, 0.25))
HALVED = Method("halved", "halved-1", halved_on_horns)


# Clips are made once


def test_an_interrupted_run_goes_on_where_it_stopped(pipe: WanPipeline, tmp_path: Path) -> None:
    prompts = asked("a horn", "a cat", "a bus", "a radio", "a church")
    stopped = Counting(limit=4)
    with pytest.raises(KeyboardInterrupt):
        runner(pipe, tmp_path / "a", stopped).clips(prompts)
    rest = Counting()
    resumed = runner(pipe, tmp_path / "a", rest).clips(prompts)
    assert [text for text, _ in stopped.drawn] == ["a horn", "a cat", "a bus", "a radio"]
    assert rest.drawn == [("a church", 4)]
    again = Counting()
    assert np.array_equal(runner(pipe, tmp_path / "a", again).clips(prompts).frames, resumed.frames)
    assert not again.drawn


def test_a_clip_asked_for_twice_is_drawn_once(pipe: WanPipeline, tmp_path: Path) -> None:
    counting = Counting()
    twice = [*asked("a cat"), *asked("a cat")]
    frames = runner(pipe, tmp_path, counting).clips(twice).frames
    assert len(counting.drawn) == 1 and np.array_equal(frames[0], frames[1])


def test_a_batch_that_was_kept_in_part_is_drawn_whole_as_it_was_before(pipe: WanPipeline, tmp_path: Path) -> None:
    prompts = asked("a horn", "a cat", "a bus")
    run = runner(pipe, tmp_path, Counting())
    first = run.clips(prompts).frames
    [lost] = run.names(prompts[1:2])
    (path,) = tmp_path.rglob(f"{lost}.npz")
    path.unlink()
    again = Counting()
    assert np.array_equal(runner(pipe, tmp_path, again).clips(prompts).frames, first)
    assert again.drawn == [("a horn", 0), ("a cat", 1)]


def test_what_several_calls_need_is_drawn_in_one_go_and_once(pipe: WanPipeline, tmp_path: Path) -> None:
    prompts, counting = asked("a horn", "a cat", "a bus"), Counting()
    run = runner(pipe, tmp_path, counting)
    run.prepare([(prompts, UNEDITED), (prompts, HALVED), (prompts[:1], UNEDITED)])
    assert counting.drawn == [("a horn", 0), ("a cat", 1), ("a bus", 2), ("a horn", 0)]
    assert run.clips(prompts, HALVED).identical.tolist() == [False, True, True]
    assert len(counting.drawn) == 4 == run.drawn


def test_only_prompts_that_the_method_changes_are_drawn_again(pipe: WanPipeline, tmp_path: Path) -> None:
    prompts = asked("a horn", "a cat", "the horn", "a bus")
    counting = Counting()
    run = runner(pipe, tmp_path, counting)
    before = run.clips(prompts)
    assert not before.identical.any()
    after = run.clips(prompts, HALVED)
    assert after.identical.tolist() == [False, True, False, True]
    assert len(counting.drawn) == 6 == run.drawn
    same = [bool(np.array_equal(a, b)) for a, b in zip(before.frames, after.frames, strict=True)]
    assert same == [False, True, False, True]


def test_an_edit_of_the_empty_prompt_leaves_no_clip_as_it_was(pipe: WanPipeline, tmp_path: Path) -> None:
    @contextmanager
    def everything(pipe: Any):
        handle = pipe.text_encoder.embeddings.register_forward_hook(lambda m, a, out: out * 1.5)
        try:
            yield
        finally:
            handle.remove()

    run = runner(pipe, tmp_path, Counting())
    assert not run.unchanged(["a cat"], Method("all", "all", everything)).any()
    assert run.unchanged(["a cat"], UNEDITED).all()


def test_the_name_of_a_clip_changes_with_everything_that_shapes_it(
    pipe: WanPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def name(weights: str = "p", call: dict[str, Any] = CALL, given: str = "a", seed: int = 1) -> str:
        return ClipStore(tmp_path, weights=weights, call=call).name(given, seed)

    own = name()
    others = [name("q"), name(call={**CALL, "guidance_scale": 3.0}), name(given="b"), name(seed=2)]
    assert own == name() and len({own, *others}) == 5
    monkeypatch.setattr("torch.__version__", "0.0")
    assert name() != own


def test_a_clip_is_named_by_what_the_denoiser_is_given_not_by_what_a_method_calls_itself(
    pipe: WanPipeline, tmp_path: Path
) -> None:
    prompts, counting = asked("a horn", "a cat"), Counting()
    run = runner(pipe, tmp_path, counting)
    run.clips(prompts, HALVED)
    renamed = Method("other", "other-key", halved_on_horns)
    assert run.names(prompts, renamed) == run.names(prompts, HALVED)
    drawn = len(counting.drawn)
    run.clips(prompts, renamed)
    assert len(counting.drawn) == drawn
    # the code of the method changes and its key does not: a new process sees other embeddings, and so other clips
    again = runner(pipe, tmp_path, counting)
    changed = Method("halved", HALVED.key, quartered_on_horns)
    names = again.names(prompts, changed)
    assert names[0] not in run.names(prompts, HALVED) and names[1] == run.names(prompts)[1]
    again.clips(prompts, changed)
    assert len(counting.drawn) == drawn + 1


def test_what_acts_in_the_denoiser_is_named_by_its_key_and_its_code_too(
    pipe: WanPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, prompts = runner(pipe, tmp_path, Counting()), asked("a cat")
    inside = Method("uce", "key", nullcontext, text_only=False)
    base, first = run.names(prompts), run.names(prompts, inside)
    assert base != first and not run.unchanged(prompts, inside).any()
    assert run.names(prompts, Method("uce", "other", nullcontext, text_only=False)) != first
    monkeypatch.setattr(clip_making, "acting_code", lambda: "changed")
    assert run.names(prompts, inside) != first and run.names(prompts) == base


def test_the_acting_code_is_all_of_it_in_whatever_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = Path(unseen.__file__).parent
    for part in ("baselines", "runtime"):
        shutil.copytree(package / part, tmp_path / part)
    before = clip_making.acting_code.__wrapped__()
    monkeypatch.setattr(unseen, "__file__", str(tmp_path / "__init__.py"))
    assert clip_making.acting_code.__wrapped__() == before
    for path in [*tmp_path.rglob("guard.py"), *tmp_path.rglob("baselines/__init__.py")]:
        path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        assert before != (before := clip_making.acting_code.__wrapped__())
    assert len([*tmp_path.rglob("guard.py")]) == 1


def test_one_changed_bit_in_a_weight_changes_the_fingerprint(pipe: WanPipeline) -> None:
    first = weights_fingerprint(pipe)
    weight = next(pipe.transformer.parameters())
    with torch.no_grad():
        kept = weight.flatten()[0].clone()
        weight.view(-1)[0] = torch.nextafter(kept, kept + 1)
        changed = weights_fingerprint(pipe)
        weight.view(-1)[0] = kept
    assert changed != first == weights_fingerprint(pipe)


@pytest.mark.slow
def test_every_process_gives_a_pipeline_the_same_fingerprint() -> None:
    code = (
        "from types import SimpleNamespace as S\n"
        "from unseen.bench.clips.job import weights_fingerprint\n"
        "from unseen.diorama.model.networks import build_scheduler, build_vae\n"
        "import torch; torch.manual_seed(0)\n"
        "print(weights_fingerprint(S(components={'scheduler': build_scheduler('wan'), 'vae': build_vae('wan')})))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1 and len(next(iter(found)).strip()) == 64


def test_a_damaged_file_counts_as_missing_and_a_half_written_one_never_appears(tmp_path: Path) -> None:
    cache = ClipStore(tmp_path, weights="p", call={})
    clip = np.arange(5 * 4 * 4 * 3, dtype=np.uint8).reshape(5, 4, 4, 3)
    cache.save("abc", clip)
    assert np.array_equal(cache.load("abc"), clip)
    (path,) = (p for p in tmp_path.rglob("*") if p.is_file())
    path.write_bytes(path.read_bytes()[:40])
    assert cache.load("abc") is None and not path.exists()


def test_the_control_removes_as_many_features_at_the_same_block_but_not_the_concepts_own(pipe: WanPipeline) -> None:
    config = SMALLEST_FIT
    eraser, control = fit_with_control(pipe, concept_of("church"), config, progress=False)
    assert (control.layer, control.num_features, control.strength) == (
        eraser.layer,
        eraser.num_features,
        eraser.strength,
    )
    assert (control.W_dec @ eraser.W_dec.T).max() < 1 - 1e-5 and control.key != eraser.key


# Prompts


def written(split: str) -> list[Prompt]:
    writer = PromptWriter(split)
    made = [*writer.single("french_horn", 24, role="target"), *writer.pairs("church", 24), *writer.empty(8)]
    for kind in PHRASINGS:
        made += writer.single("church", 6, role=kind, kind=kind)
    return [*made, *writer.styled("inkwell", 24, role="target"), *writer.mixed(scenes.SUBJECTS, 128, role="absent")]


@pytest.mark.parametrize("split", ["development", "test"])
def test_prompts_use_no_wording_of_another_split(split: str) -> None:
    grammar = captions.grammar()
    own, foreign = set(), set()
    for table in (grammar.backgrounds, grammar.motions):
        for by_split in table.values():
            for name, phrases in by_split.items():
                words = {form for phrase in phrases for form in ((phrase,) if isinstance(phrase, str) else phrase)}
                (own if name == split else foreign).update(words)
    for phrases in grammar.names.values():
        for phrase in phrases:
            (own if phrase.split in (split, "any") else foreign).add(phrase.noun.replace("{}", "").strip())
    texts = [f" {p.text.lower()} ".replace(",", " ").replace(".", " ") for p in written(split)]
    for phrase in foreign:
        if any(phrase.lower() in mine.lower() for mine in own):
            continue  # part of something that may be said
        assert not any(f" {phrase.lower()} " in text for text in texts), phrase


@pytest.mark.parametrize("name", ["tench", "French horn", "cassette player", "Olive Quill"])
def test_misspellings_are_near_the_name_and_never_it(name: str) -> None:
    slips = [misspell(name, turn) for turn in range(12)]
    assert name not in slips and len(set(slips)) >= 6
    assert all(
        abs(len(slip) - len(name)) <= 1 and difflib.SequenceMatcher(None, slip, name).ratio() > 0.7 for slip in slips
    )


def test_reworded_prompts_change_the_name_alone_and_by_their_place() -> None:
    prompts = PromptWriter("test").single("french_horn", 24, role="target")
    for kind in ("misspelt", "compared"):
        changed = [reworded(p, "french_horn", kind, place) for place, p in enumerate(prompts)]
        for old, new in zip(prompts, changed, strict=True):
            assert new.text != old.text and (new.seed, new.scene, new.said) == (old.seed, old.scene, old.said)
            assert ("French horn" in new.text) == (kind == "compared")
            assert set(old.text.split()) - set(new.text.split()) <= {"French", "horn", "horn,", "horn.", "A", "a"}
        assert changed == [reworded(p, "french_horn", kind, place) for place, p in enumerate(prompts)]


def test_cells_are_reproducible_and_differ_between_splits_and_seeds() -> None:
    def texts(split: str, seed: int = 0) -> list[str]:
        return [p.text for p in PromptWriter(split, seed).single("tench", 12, role="target")]

    assert texts("test") == texts("test")
    assert not set(texts("test")) & set(texts("development"))
    assert texts("test") != texts("test", 1)


def test_a_prompt_shows_its_subject_by_its_main_name() -> None:
    prompts = PromptWriter("test").single("golf_ball", 20, role="target")
    assert all("golf ball" in p.text and p.scene.subjects == ("golf_ball",) for p in prompts)


def test_every_clip_of_many_small_cells_has_a_text_and_noise_of_its_own() -> None:
    def made(split: str, seed: int) -> list:
        writer = PromptWriter(split, seed)
        return [p for key in ("golf_ball", "tench", "church") for p in writer.pairs(key, 4)]

    prompts = made("test", 0)
    levels = Levels.of([p.text for p in prompts], [p.seed for p in prompts])
    assert len(levels.prompts) == len(prompts) == len({p.seed for p in prompts}) and levels.seeds is None
    assert [p.seed for p in prompts] == [p.seed for p in made("test", 0)]
    others = {p.seed for p in (*made("test", 1), *made("development", 0))}
    assert not others & {p.seed for p in prompts}


def test_what_a_prompt_leaves_open_is_not_counted_as_asked() -> None:
    prompts = written("test")
    background = [p for p in prompts if "background" in p.said]
    assert 0 < len(background) < len(prompts)
    phrases = captions.grammar().backgrounds
    for prompt in prompts:
        named = any(phrase in prompt.text for phrase in phrases[prompt.scene.background]["test"])
        assert named == ("background" in prompt.said), prompt


def test_an_attributes_carriers_take_turns_and_can_be_unnamed() -> None:
    prompts = PromptWriter("test").single("armed", 24, role="target")
    assert {p.scene.subjects for p in prompts} == {(carrier,) for carrier in scenes.CARRIERS_OF["armed"]}
    for prompt in prompts:
        carrier = captions.main_name(carrier_of(prompt))
        assert carrier in prompt.text and prompt.scene.attributes == ("armed",)
        bare = neutral(prompt).text
        assert carrier in bare and "sword" not in bare


def test_every_attribute_has_prompts_on_all_its_carriers() -> None:
    for key, carriers in scenes.CARRIERS_OF.items():
        found = {p.scene.subjects[0] for p in PromptWriter("development").single(key, 12, role="target")}
        assert found == set(carriers)


def test_an_objects_near_things_are_its_look_alike_and_its_namesake_and_never_its_companion() -> None:
    assert near_to("golf_ball") == ("tennis_ball", "golf_cart") and near_to("cat") == ()
    beside = {s for p in PromptWriter("test").pairs("golf_ball", 200) for s in p.scene.subjects}
    assert not beside & {"tennis_ball", "golf_cart"}


def test_a_training_clip_is_drawn_again_wherever_the_count_ends() -> None:
    few, more = training_clips(2, progress=False), training_clips(3, progress=False)
    assert np.array_equal(few, more[:2]) and few.shape == (2, scenes.FRAMES, scenes.SIZE, scenes.SIZE, 3)


def test_the_companion_is_named_and_may_stand_on_either_side() -> None:
    prompts = PromptWriter("test").pairs("church", 40)
    assert {p.scene.subjects.index("church") for p in prompts} == {0, 1}
    assert all(captions.main_name(subject) in p.text for p in prompts for subject in p.scene.subjects)


def test_prompts_are_not_measured_on_the_wording_of_a_fit() -> None:
    with pytest.raises(ValueError, match="development or test"):
        PromptWriter("fit")


def test_subjects_that_the_fit_read_about_are_not_called_absent() -> None:
    concept = concept_of("french_horn")
    made = write_prompts(concept, seed=0, pairs=40, retain=40)
    texts = [text for pair in made.pairs for text in pair]
    assert "french_horn" not in absent_subjects(texts)
    assert "lighthouse" in absent_subjects(texts)
    assert "lighthouse" not in absent_subjects([*texts, "two lighthouses and a Lighthouse at sea"])
    assert "church" not in absent_subjects(texts, without=("church",))


def test_listed_synonyms_take_turns_with_the_main_name_and_bring_their_article() -> None:
    concept = replace(concept_of("english_springer"), synonyms=("gun dog", "Springer"))
    prompts = [Prompt(t, SCENE, "target", "k", 0) for t in ("An English springer.", "An English springer runs.")]
    assert [p.text for p in with_listed_synonyms(prompts, concept)] == ["An English springer.", "A gun dog runs."]
    longer = replace(concept, synonyms=("English springer spaniel",))  # holds the main name itself
    assert with_listed_synonyms(prompts, longer)[1].text == "An English springer spaniel runs."


# Readings


def readings(prompts: list[Prompt], subject: np.ndarray, background: np.ndarray | None = None) -> Readings:
    """What a detector with three subjects would say; `subject` is [clips, frames, 3]."""
    n, frames = subject.shape[:2]
    empty = 1.0 - subject.max(-1)
    read = {
        "subject": subject,
        "none": empty,
        "unrecognisable": np.zeros((n, frames)),
        "background": np.tile(np.eye(5)[0], (n, frames, 1)) if background is None else background,
    }
    return Readings(tuple(p.scene for p in prompts), ("church", "lighthouse", "tench"), {"subject": 0.5}, read)


def one(index: int | None) -> list[float]:
    return [1.0 if place == index else 0.0 for place in range(3)]


def test_an_unnamed_prompt_says_something_where_its_subject_was() -> None:
    def without_name(text: str) -> str:
        return unnamed(Prompt(text, SCENE, "target", "french_horn", 1)).text

    assert without_name("a French horn drifts left over a green meadow") == "something drifts left over a green meadow"
    assert without_name("A French horn, in the snow") == "Something, in the snow"
    assert without_name("Footage: the French horn at night") == "Footage: something at night"
    assert without_name("French horn in a desert, a horn") == "Something in a desert, a horn"
    for prompt in PromptWriter("test").single("french_horn", 30, role="target"):
        asked = unnamed(prompt)
        assert "horn" not in asked.text.lower() and "something" in asked.text.lower()
        assert (asked.seed, asked.scene, asked.said) == (prompt.seed, prompt.scene, prompt.said)


def test_what_appears_needs_both_detectors() -> None:
    prompts = asked("x")
    first = readings(prompts, np.asarray([[one(0), one(1), one(2), one(None), one(2)]]))
    second = readings(prompts, np.asarray([[one(0), one(1), one(2), one(None), one(1)]]))
    assert what_appears([first, second], "church").tolist() == [
        ["target", "neighbour", "other", "none", "unrecognisable"]
    ]


def rows_of(hits: np.ndarray, prompts: list[Prompt], **said: Any) -> Rows:
    return Rows(
        Row("shown", float(hit.mean()), prompt=p.text, noise=p.seed, frames=len(hit), place=place, **said)
        for place, (hit, p) in enumerate(zip(hits, prompts, strict=True))
    )


def test_a_rate_counts_frames_and_knows_its_clips() -> None:
    hits = np.asarray([[True, True, False], [False, False, False]])
    found = rate_of(rows_of(hits, asked("a", "b")))
    assert found.value == pytest.approx(1 / 3) and found.clips == 2 and found.low <= found.value <= found.high
    assert found.frames == 6
    assert rate_of(rows_of(hits, asked("a", "b")), "videos").value == 0.5


def test_rows_say_what_the_arrays_of_hits_would() -> None:
    rng = np.random.default_rng(0)
    prompts = PromptWriter("test").single("church", 40, role="target")
    before, after = rng.random((40, 9)) < 0.9, rng.random((40, 9)) < 0.3
    texts, seeds = [p.text for p in prompts], [p.seed for p in prompts]
    rows = Rows([*rows_of(before, prompts), *rows_of(after, prompts, method="clear")])
    early, late = rows.where(method="none"), rows.where(method="clear")
    assert rate_of(late) == rates.rate(after, texts, seeds)
    assert (
        rate_of(late, "videos", mostly=True).value == rates.rate(after, texts, seeds, unit="videos", at_least=0.5).value
    )
    assert kept(late, early) == rates.ratio(after, before, texts, seeds)
    assert paired(late, early) == rates.paired(after, before, texts, seeds)
    assert excess(late, early, 0.01).value == rates.excess(after, before, texts, seeds, floor=0.01).value


def test_a_copied_clip_is_found_at_distance_zero() -> None:
    rng = np.random.default_rng(0)
    known = rng.integers(0, 256, (12, 3, 32, 32, 3), dtype=np.uint8)
    distances = pixel.nearest(np.stack([known[7], 255 - known[3]]), known)
    assert distances[0] == 0 and distances[1] > 20
