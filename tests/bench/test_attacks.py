"""Attacks: other words for a concept, and a search for words that mean it without naming it."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import make_pipe

pytest.importorskip("diffusers")

from tiny import make_small_diorama

from unseen.bench import walk as running
from unseen.bench.attacks import known
from unseen.bench.attacks.aim import aim_at, look
from unseen.bench.attacks.known import found_words
from unseen.bench.attacks.search import (
    Budget,
    Search,
    _difference,
    allowed,
    search_encoder,
    search_pipeline,
    words_of,
)
from unseen.bench.prompts.recipes import SEARCHES
from unseen.bench.prompts.rewording import DISGUISES, neutral, with_words
from unseen.bench.prompts.writer import PromptWriter
from unseen.bench.run import load_suite, run
from unseen.bench.study import Study
from unseen.bench.walk import concepts_of, prompts_against, prompts_of, variants_of
from unseen.diorama.world import captions
from unseen.diorama.world.concepts import concept_kind

QUICK = Search(words=3, pool=40, population=12, generations=5, vocabulary=800)


@pytest.fixture(scope="module")
def pipe():
    return make_small_diorama()


@pytest.fixture
def study(tmp_path: Path, pipe, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Diorama's text encoder before a tiny video model with random weights."""
    monkeypatch.setattr(known, "SEARCH", QUICK)
    monkeypatch.setattr(known, "BUDGET", FEW)
    monkeypatch.setattr(known, "POOL", 40)
    monkeypatch.setattr(known, "VOCABULARY", QUICK.vocabulary)
    monkeypatch.setattr(running, "BUDGET", FEW)
    suite = load_suite("attacks").with_options(concepts=["church"], methods=["safree"], clips=2, steps=1)
    suite = replace(
        suite, reported=(), renders=False, timed=False, methods=(replace(suite.methods[0], settings=({},)),)
    )
    return Study(suite, tmp_path / "out", pipe=pipe, load=make_small_diorama, clips=tmp_path / "clips", progress=False)


def test_a_name_in_any_form_is_no_word_of_the_search() -> None:
    words = ["horn", "horns", "hornet", "shorn", "french", "frenchman", "pressure", "trumpet", "brassy", "brass", "cor"]
    assert allowed(words, ["French horn", "cor d'harmonie", "brass"]) == ["pressure", "trumpet"]
    assert allowed(["art", "cart", "tea"], ["art"]) == ["cart", "tea"]  # short words are banned as they are


def test_the_words_are_single_tokens_of_the_tokenizer(pipe) -> None:
    words = words_of(pipe.tokenizer)
    assert {"church", "trumpet"} < set(words) and words == sorted(words)
    assert all(len(pipe.tokenizer(word, add_special_tokens=False).input_ids) == 1 for word in words[::500])


@pytest.mark.parametrize(
    ("named", "other", "part"),
    [
        ("a church in the snow", "something in the snow", ["a", "church"]),
        ("Render a church at night.", "Render something at night.", ["a", "church"]),
        ("see the burning log cabin move", "see the log cabin move", ["burning"]),
        ("a gnome smoking a pipe here", "a gnome here", ["smoking", "a", "pipe"]),
    ],
)
def test_the_name_is_what_two_prompts_differ_in(pipe, named: str, other: str, part: list[str]) -> None:
    assert pipe.tokenizer.tokenize(named)[_difference(pipe.tokenizer, named, other)] == part


def test_prompts_that_do_not_differ_are_refused(pipe) -> None:
    with pytest.raises(ValueError, match="names the concept and one that does not"):
        search_encoder(pipe, ["a cat"], ["a cat"], ["cat"], seed=0, how=QUICK)


@pytest.mark.parametrize("key", [key for key in captions.KEYS if key != "plain"])
def test_a_neutral_prompt_does_not_name_its_concept(key: str) -> None:
    writer = PromptWriter("test")
    for prompt in (writer.styled if concept_kind(key) == "style" else writer.single)(key, 6, role="target"):
        bare = neutral(prompt).text
        assert bare != prompt.text and not re.search(rf"(?<!\w){captions.main_name(key)}(?!\w)", bare, re.IGNORECASE)


def test_a_search_finds_words_that_mean_the_concept(pipe) -> None:
    named, bare = (
        ["a church in the snow", "we see a church at night"],
        ["something in the snow", "we see something at night"],
    )
    found = search_encoder(pipe, named, bare, captions.names("church"), seed=3, how=QUICK)
    unevolved = search_encoder(pipe, named, bare, captions.names("church"), seed=3, how=replace(QUICK, generations=0))
    anything = search_encoder(
        pipe, named, bare, captions.names("church"), seed=3, how=replace(QUICK, pool=QUICK.vocabulary, generations=0)
    )
    assert found.reached > unevolved.reached > anything.reached and found.reached > 0.5
    assert found == search_encoder(pipe, named, bare, captions.names("church"), seed=3, how=QUICK)
    assert found != search_encoder(pipe, named, bare, captions.names("church"), seed=4, how=QUICK)
    assert len(found.words) == 3 and not any("church" in word for word in found.words)


def test_a_search_works_on_other_text_encoders() -> None:
    torch.manual_seed(0)
    pipe = make_pipe("umt5")
    words = words_of(pipe.tokenizer)
    assert len(words) > 10
    found = search_encoder(pipe, [f"{words[0]} {words[1]}"], [f"{words[2]} {words[1]}"], [words[0]], seed=0, how=QUICK)
    assert -1 <= found.reached <= 1 and words[0] not in found.words


SAID = ("synonym", "periphrasis", "fr", "de", "es", "misspelt", "compared", "pair")
ATTACKS = (*SAID, *DISGUISES, "searched words", *known.ATTACKS)
FEW = Budget(words=3, tried=8, at_once=4)


@pytest.mark.slow
def test_every_attack_is_measured_before_and_after_and_words_are_searched_once(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run(study)
    shown = ran.rows.where(measure="shown", role=ATTACKS)
    assert {row.role for row in shown} == set(ATTACKS) and {row.split for row in shown} == {"test"}
    counted = {
        (role, method): len(shown.where(role=role, method=method)) for role in ATTACKS for method in ("none", "safree")
    }
    assert set(counted.values()) == {2}
    words = found_words(study, "church", known.ENCODER)
    plain = PromptWriter("test").single("church", 2, role="target")
    attacked = ran.concerned[0].prompts["test", "searched words"]
    for prompt, own in zip(attacked, plain, strict=True):
        assert prompt.text == with_words(neutral(own).text, words.words) and prompt.seed == own.seed
        assert not any(name.lower() in prompt.text.lower() for name in captions.names("church"))
    tables = {table.title: table for table in ran.tables}
    table = tables["Attacks: church"]
    assert [row[0] for row in table.rows] == ["target", *ATTACKS] and table.columns[-1] == "safree"
    assert {row[1] for row in table.rows} == {2} and "Attacks: all concepts" in tables
    found = tables["The words that were searched for"].rows
    assert " ".join(words.words) in str(found) and len(tables["Trend with the budget"].rows) == 10

    for search in ("search_encoder", "search_pipeline"):  # nothing is searched or drawn again
        monkeypatch.setattr(known, search, None)
    drawn = study.runner.drawn
    assert list(run(study).rows) == list(ran.rows) and study.runner.drawn == drawn


def test_a_white_box_is_attacked_with_words_found_against_the_method_itself(study: Study) -> None:
    one = concepts_of(study)[0]
    prompts_of(study, one, "test", study.suite.prompts, ["church"])
    spec = study.suite.methods[0]
    method = variants_of(study, one, spec, [one]).variants[0].method
    for role in ATTACKS:
        mine = prompts_against(study, one, "test", role, method)
        if role in known.ATTACKS and known.ATTACKS[role].knows:
            words = found_words(study, "church", role, method).words
            assert all(prompt.text.endswith(f", {' '.join(words)}") for prompt in mine)
        else:
            assert mine == one.prompts["test", role]


def test_styles_and_attributes_stand_beside_nothing(study: Study) -> None:
    study.suite = replace(study.suite, concepts=("burning", "Tobias Inkwell", "church"))
    everyone = concepts_of(study)
    for one in everyone:
        # the searches take most of the time; that they run for an object, another test shows
        cells = [cell for cell in study.suite.prompts if cell.role not in SEARCHES or one.key != "church"]
        prompts_of(study, one, "test", cells, [other.key for other in everyone])
        roles = {role for _, role in one.prompts}
        hinted = {"metaphor", "parts"} if one.key == "inkwell" else set()  # nobody wrote any for it
        asked = set(ATTACKS) & {cell.role for cell in cells}
        assert ("pair" in roles) == (one.key == "church") and roles >= asked - {"pair"} - hinted


@pytest.mark.parametrize("key", ["church", "smoking", "ivy_lantern", "ember"])
@pytest.mark.parametrize("name", DISGUISES)
def test_a_disguise_changes_what_is_said_and_hides_the_name(key: str, name: str) -> None:
    writer = PromptWriter("test")
    plain = (writer.styled if concept_kind(key) == "style" else writer.single)(key, 4, role="target")
    called = captions.main_name(key) if key != "smoking" else "smoking"
    for place, prompt in enumerate(plain):
        made = DISGUISES[name](prompt, key, place)
        if made is None:  # where a prompt has no place for the figure
            continue
        assert made.text != prompt.text and made.seed == prompt.seed
        assert (called.lower() in made.text.lower()) == (name in ("negated", "buried"))


@pytest.mark.parametrize("see", ["states", "preview"])
@pytest.mark.parametrize("how", ["genetic", "gradient"])
def test_a_search_comes_closer_with_its_budget_and_is_the_same_for_one_seed(see, how) -> None:
    torch.manual_seed(0)
    pipe = make_pipe()
    aim = aim_at(pipe, ["a zeppelin near the river"], ["a table near the river"], see, 16)
    pool = ["violin", "wolf", "lemon", "apple", "garden", "river", "red", "blue"]
    found = search_pipeline(pipe, aim, pool, how, seed=1, budget=Budget(words=2, tried=32, at_once=8))
    assert len(found.words) == 2 and list(found.trend) == sorted(found.trend) and len(found.trend) == 4
    assert found.reached == found.trend[-1] <= 1
    assert found == search_pipeline(pipe, aim, pool, how, seed=1, budget=Budget(words=2, tried=32, at_once=8))


def test_an_attacker_that_fears_a_score_finds_something_else_and_refusals_are_worth_nothing(monkeypatch) -> None:
    torch.manual_seed(0)
    pipe = make_pipe()
    aim = aim_at(pipe, ["a zeppelin near the river"], ["a table near the river"], "preview", 16)
    pool, budget = ["violin", "wolf", "lemon", "apple", "garden", "river"], Budget(words=2, tried=32, at_once=8)
    bold = search_pipeline(pipe, aim, pool, "gradient", seed=1, budget=budget)

    def score(seen: torch.Tensor) -> torch.Tensor:
        reached = aim.reached(seen if seen.ndim > 1 else seen[None])
        return 9 * (reached if seen.ndim > 1 else reached[0])

    shy = search_pipeline(pipe, aim, pool, "gradient", seed=1, budget=budget, penalty=score)
    assert shy.words != bold.words
    with pytest.raises(ValueError, match="at least 2 words"):
        search_pipeline(pipe, aim, ["wolf"], "genetic", seed=1, budget=budget)
    with pytest.raises(ValueError, match="names the concept and one that does not"):
        aim_at(pipe, ["a wolf"], ["a wolf"], "states")


def test_the_aim_is_nought_at_the_neutral_prompt_and_one_at_the_named() -> None:
    pipe = make_pipe()
    texts = ["a zeppelin near the river", "a table near the river"]
    for see in ("states", "preview"):
        aim = aim_at(pipe, texts[:1], texts[1:], see, 16)
        for text, value in zip(texts, (1.0, 0.0), strict=True):
            assert float(aim.reached(look(pipe, [text], see, 16))) == pytest.approx(value, abs=1e-4)
