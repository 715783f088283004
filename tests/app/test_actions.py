"""What the page does, without the page: on tiny real pipelines and erasers."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import SMALL_FIT, make_eraser, make_pipe
from moving import write_clip

from unseen.app import actions, files, picture, videos
from unseen.app.models import Model, Models, Settings, model_name
from unseen.app.session import MOST_ERASERS, Session, concept_from, prompt_from, seed_from
from unseen.clear.eraser import METADATA_FILE, WEIGHTS_FILE, ClearEraser
from unseen.clear.search import Progress
from unseen.concept import Concept
from unseen.errors import AppError, UnseenError, WrongEncoderError

CALL = {"height": 16, "width": 16, "num_frames": 5, "num_inference_steps": 2, "guidance_scale": 3.0,
        "max_sequence_length": 32, "output_type": "np"}  # fmt: skip
PROMPT = "a zeppelin near the river"


@pytest.fixture(scope="module")
def pipe() -> Any:
    return make_pipe()


@pytest.fixture(scope="module")
def eraser(pipe: Any) -> ClearEraser:
    return make_eraser(pipe.tokenizer, pipe.text_encoder)


@pytest.fixture
def model(pipe: Any) -> Model:
    return Model("tiny", lambda: pipe, CALL)


def _zip(tmp_path: Path, name: str, content: bytes = b"{}") -> Path:
    path = tmp_path / "eraser.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    return path


BAD: dict[str, Callable[[Path, ClearEraser], object]] = {
    "no name": lambda folder, eraser: concept_from("", "object"),
    "blank name": lambda folder, eraser: concept_from("   ", "object"),
    "name without letters": lambda folder, eraser: concept_from("!?", "object"),
    "name with an article": lambda folder, eraser: concept_from("a church", "object"),
    "long name": lambda folder, eraser: concept_from("x" * 81, "object"),
    "unreadable name": lambda folder, eraser: concept_from("chu\x00rch", "object"),
    "name that is no text": lambda folder, eraser: concept_from(7, "object"),
    "unknown kind": lambda folder, eraser: concept_from("church", "building"),
    "no kind": lambda folder, eraser: concept_from("church", None),
    "name among its synonyms": lambda folder, eraser: concept_from("church", "object", "chapel, Church"),
    "too many synonyms": lambda folder, eraser: concept_from("church", "object", ",".join(map(str, range(21)))),
    "replaced by itself": lambda folder, eraser: concept_from("church", "object", "", "church"),
    "no prompt": lambda folder, eraser: prompt_from(" \n "),
    "long prompt": lambda folder, eraser: prompt_from("word " * 300),
    "no seed": lambda folder, eraser: seed_from(None),
    "half a seed": lambda folder, eraser: seed_from(0.5),
    "negative seed": lambda folder, eraser: seed_from(-1),
    "seed that is no number": lambda folder, eraser: seed_from(float("nan")),
    "no model": lambda folder, eraser: model_name("  "),
    "strength too large": lambda folder, eraser: Session().add(eraser).turn(0, 99),
    "no strength": lambda folder, eraser: Session().add(eraser).turn(0, None),
    "eraser that was removed": lambda folder, eraser: Session().add(eraser).remove(0).switch(0, True),
    "nothing uploaded": lambda folder, eraser: files.uploaded(None),
    "another zip": lambda folder, eraser: files.uploaded([_zip(folder, "photo.txt")]),
    "zip that holds no eraser": lambda folder, eraser: files.uploaded([_no_zip(folder)]),
    "no videos": lambda folder, eraser: videos.gathered(None, folder),
    "no video among them": lambda folder, eraser: videos.gathered([_no_zip(folder)], folder),
    "pictures": lambda folder, eraser: videos.gathered(["1.png", "2.png"], folder),
    "too many videos": lambda folder, eraser: videos.gathered([f"{n}.mp4" for n in range(201)], folder),
    "videos that are too large": lambda folder, eraser: videos.gathered([_large(folder)], folder),
    "nothing to look for": lambda folder, eraser: list(videos.score_steps(folder, [], folder)),
    "unknown detector": lambda folder, eraser: list(videos.score_steps(folder, ["ghosts"], folder)),
    "saved eraser outside the folder": lambda folder, eraser: files.saved_eraser(folder, "../secret"),
    "report outside the folder": lambda folder, eraser: files.report_text(folder, "../../etc/passwd"),
}


def _no_zip(folder: Path) -> Path:
    path = folder / "eraser.zip"
    path.write_bytes(b"not a zip")
    return path


def _large(folder: Path) -> Path:
    path = folder / "large.mp4"
    with path.open("wb") as file:
        file.truncate(videos.MOST_BYTES + 1)  # without taking the space
    return path


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_answered_with_one_sentence_that_says_what_to_do(
    what: str, tmp_path: Path, eraser: ClearEraser
) -> None:
    with pytest.raises((UnseenError, ValueError)) as raised:
        BAD[what](tmp_path, eraser)
    said = picture.sentence(str(raised.value))
    assert "\n" not in said and 20 < len(said) < 400 and said[0].isupper() and said.endswith(".")


def test_what_is_typed_cannot_become_part_of_the_page() -> None:
    assert "<script>" not in picture.message("<script>alert(1)</script>", problem=True)
    assert '" onload' not in picture.framed('<p title="x" onload="y">', 'a" onload="z')


def test_before_is_the_bare_pipeline_bit_for_bit_and_so_is_after_at_strength_zero(
    pipe: Any, model: Model, eraser: ClearEraser
) -> None:
    import torch

    bare = pipe(PROMPT, generator=torch.Generator("cpu").manual_seed(3), **CALL).frames[0]
    found = actions.compared(model, Session().add(eraser).turn(0, 0.0), PROMPT, 3)
    assert np.array_equal(found.before, (bare * 255).round().astype(np.uint8))
    assert found.identical and not any(token.fired for token in found.tokens)


def test_the_strength_is_a_dial(model: Model, eraser: ClearEraser) -> None:
    session = Session().add(eraser)
    effect = [actions.compared(model, session.turn(0, s), PROMPT, 3).difference for s in (0.0, 0.25, 0.5, 1.0, 2.0)]
    assert effect[0] == 0 and effect == sorted(effect) and effect[-1] > effect[1] > 0


def test_tokens_carry_the_activity_of_the_eraser_and_other_prompts_are_left_alone(
    model: Model, eraser: ClearEraser
) -> None:
    found = actions.compared(model, Session().add(eraser), PROMPT, 0)
    assert [t.text for t in found.tokens if t.fired] == ["zeppelin"] and not found.silent
    assert "zeppelin" in picture.prompt_words(found) and not found.identical
    other = actions.compared(model, Session().add(eraser), "a wolf near the river", 0)
    assert other.identical and not any(token.fired for token in other.tokens)
    assert "bit for bit" in picture.pair(other)


def test_an_eraser_that_cannot_act_here_raises_and_nothing_is_left_behind(pipe: Any, model: Model) -> None:
    foreign = make_pipe("umt5", seed=5)
    wrong = make_eraser(foreign.tokenizer, foreign.text_encoder)
    with pytest.raises(WrongEncoderError):
        actions.compared(model, Session().add(wrong), PROMPT, 0)
    right = make_eraser(pipe.tokenizer, pipe.text_encoder)
    assert not actions.compared(model, Session().add(right), PROMPT, 0).identical


def test_without_an_eraser_that_is_on_there_is_nothing_to_compare(model: Model, eraser: ClearEraser) -> None:
    with pytest.raises(AppError, match="Switch an eraser on"):
        actions.compared(model, Session().add(eraser).switch(0, False), PROMPT, 0)


def test_an_eraser_that_stays_silent_although_its_name_is_said_is_told(pipe: Any, model: Model) -> None:
    import torch

    shy = make_eraser(pipe.tokenizer, pipe.text_encoder, b_enc=torch.tensor([-1e6]), witness=None)
    found = actions.compared(model, Session().add(shy), PROMPT, 0)
    assert found.silent == ("zeppelin",) and "Do not trust this picture" in picture.prompt_words(found)


def test_two_tabs_at_once_never_get_each_others_erasers(pipe: Any, model: Model) -> None:
    tabs = {word: Session().add(make_eraser(pipe.tokenizer, pipe.text_encoder, word)) for word in ("zeppelin", "wolf")}
    prompt = "a zeppelin and a wolf in the garden"
    alone = {word: actions.compared(model, session, prompt, 1).after for word, session in tabs.items()}
    assert not np.array_equal(alone["zeppelin"], alone["wolf"])
    met: list[tuple[str, bool, set[str]]] = []

    def work(word: str) -> None:
        for _ in range(4):
            found = actions.compared(model, tabs[word], prompt, 1)
            met.append((word, np.array_equal(found.after, alone[word]), {n for t in found.tokens for n, _ in t.fired}))

    threads = [threading.Thread(target=work, args=(word,)) for word in tabs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(met) == 8 and all(same and fired == {word} for word, same, fired in met)


def test_a_session_changes_only_by_giving_another(eraser: ClearEraser) -> None:
    one = Session().add(eraser)
    other = one.turn(0, 0.5).switch(0, False)
    assert one.acting and one.held[0].strength == eraser.strength and not other.acting
    assert len(one.add(eraser).held) == 1  # the same concept takes the place of the old one
    assert other.remove(0) == Session()


def test_a_page_holds_so_many_erasers_and_no_more(pipe: Any) -> None:
    session = Session()
    eraser = make_eraser(pipe.tokenizer, pipe.text_encoder)
    from dataclasses import replace

    for number in range(MOST_ERASERS):
        session = session.add(replace(eraser, concept=Concept(f"thing {number}")))
    with pytest.raises(AppError, match="remove one first"):
        session.add(eraser)


def test_a_fit_tells_how_far_it_is_and_ends_in_a_verdict(pipe: Any) -> None:
    model = Model("tiny", lambda: pipe, CALL)
    *told, eraser = actions.fit_steps(model, Concept("zeppelin"), SMALL_FIT)
    steps = [t for t in told if isinstance(t, Progress)]
    assert [s.step for s in steps] == sorted(s.step for s in steps) and steps[-1].step == steps[-1].steps
    assert all(abs(sum(s.preferences) - 1) < 1e-5 for s in steps)
    assert steps[0].preferences != steps[-1].preferences, "the preferences never moved"
    assert isinstance(eraser, ClearEraser)
    worked, words = actions.verdict_words(eraser)
    assert worked is eraser.report["verdict"]["worked"] and words
    assert picture.fitting(steps[-1]).count('scope="row"') == len(steps[-1].layers)


def test_a_fit_that_nobody_waits_for_ends_and_frees_the_model(pipe: Any) -> None:
    model = Model("tiny", lambda: pipe, CALL)
    slow = SMALL_FIT.with_options({"sae.steps": 20_000})
    steps = actions.fit_steps(model, Concept("zeppelin"), slow)
    assert any(isinstance(step, Progress) for step in steps)  # stops at the first
    assert model.busy
    steps.close()  # type: ignore[attr-defined]
    with model.held():  # comes only when the fit has let go, long before its steps are done
        assert not model.busy


def test_an_eraser_comes_back_from_its_zip_and_from_its_two_files(tmp_path: Path, eraser: ClearEraser) -> None:
    assert files.uploaded([files.packed(eraser, tmp_path)]).key == eraser.key
    eraser.save_pretrained(tmp_path / "one")
    both = [tmp_path / "one" / name for name in (METADATA_FILE, WEIGHTS_FILE)]
    assert files.uploaded(both).key == eraser.key
    assert list(files.saved_erasers(tmp_path)) == ["one"]
    assert files.saved_eraser(tmp_path, "one").key == eraser.key


def test_a_changed_eraser_is_refused(tmp_path: Path, eraser: ClearEraser) -> None:
    eraser.save_pretrained(tmp_path)
    weights = tmp_path / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(UnseenError, match="checksum"):
        files.uploaded([tmp_path / METADATA_FILE, weights])


def test_neighbours_and_synonyms_of_what_diorama_knows() -> None:
    diorama = Models(Settings()).get("wan")
    assert actions.neighbour_prompts(diorama, Concept("French horn")) == [
        "a trumpet on a green meadow",
        "a carton of French fries on a green meadow",
    ]
    other = actions.neighbour_prompts(diorama, Concept("saxophone"))
    assert other and not any(Concept("saxophone").is_named_in(prompt) for prompt in other)
    assert "hunting horn" in actions.suggest_synonyms("French horn", "object")
    assert "Inkwell" in actions.suggest_synonyms("Tobias Inkwell", "style")


def test_reports_are_found_and_cannot_run_scripts(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "report.html").write_text("<h1>French horn, erased</h1>", encoding="utf-8")
    assert list(files.reports(tmp_path)) == ["demo/report.html"]
    page = picture.framed(files.report_text(tmp_path, "demo/report.html"), "Report")
    assert "<iframe" in page and " sandbox " in page and "allow-scripts" not in page


def test_videos_of_one_name_are_scored_apart_and_numbers_come_with_their_intervals(tmp_path: Path) -> None:
    pytest.importorskip("av")
    given = [tmp_path / place / "clip.mp4" for place in ("a", "b")]
    for path, speed in zip(given, (0, 4), strict=True):
        path.parent.mkdir()
        write_clip(path, speed=speed)
    (tmp_path / "c.txt").write_text("text", encoding="utf-8")
    (tmp_path / "in").mkdir()
    assert videos.gathered([*given, given[0], tmp_path / "c.txt"], tmp_path / "in") == ["c.txt"]
    *told, scores = videos.score_steps(tmp_path / "in", ["flicker"], tmp_path / "out")
    assert "Scoring video 2 of 2." in told
    values = {row.file: row.value for row in scores.rows}
    assert values["clip.mp4"] < values["clip (2).mp4"]
    assert "[" in videos.summary(scores) and "clip (2).mp4" in videos.table(scores)
    assert (tmp_path / "out" / "scores.csv").is_file()


def test_a_videos_name_cannot_become_part_of_the_page(tmp_path: Path) -> None:
    pytest.importorskip("av")
    (tmp_path / "<script>.mp4").write_bytes(b"no video")
    *_, scores = videos.score_steps(tmp_path, ["flicker"], tmp_path / "out")
    assert "<script>" not in videos.table(scores) and "damaged" in videos.table(scores)
