"""Attacks: other words for a concept, and a search for words that mean it without naming it."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_pipe

pytest.importorskip("diffusers")

from tiny import make_small_diorama

from unseen.bench import attacks, compare
from unseen.bench.adversary import Search, _difference, allowed, search, with_words, words_of
from unseen.bench.attacks import SEARCHED, attack, attack_clips, attack_table, neutral, searched
from unseen.bench.comparison import write_cells
from unseen.bench.phrasings import phrased
from unseen.bench.prompts import PromptWriter
from unseen.bench.run import Method
from unseen.bench.study import Settings, Study
from unseen.bench.suite import needs
from unseen.bench.sweep import SweepCell
from unseen.diorama.world import captions
from unseen.metrics.rates import Rate

QUICK = Search(words=3, pool=40, population=12, generations=5, vocabulary=1500)


@pytest.fixture(scope="module")
def pipe():
    return make_small_diorama()


@pytest.fixture
def study(tmp_path: Path, pipe, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Diorama's text encoder before a tiny video model with random weights."""
    monkeypatch.setattr(attacks, "SEARCH", QUICK)
    settings = Settings(
        tmp_path / "out", concepts=("church",), methods=("safree",), clips=2, steps=1, attacks=True, progress=False
    )
    return Study(settings, pipe=pipe, load=make_small_diorama, cache_folder=tmp_path / "clips")


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
        search(pipe, ["a cat"], ["a cat"], ["cat"], seed=0, how=QUICK)


@pytest.mark.parametrize("key", [key for key in captions.KEYS if key != "plain"])
def test_a_neutral_prompt_does_not_name_its_concept(key: str) -> None:
    for prompt in phrased(PromptWriter("test"), key, "main", 6):
        bare = neutral(prompt).text
        assert bare != prompt.text and not re.search(rf"(?<!\w){captions.main_name(key)}(?!\w)", bare, re.IGNORECASE)


def test_a_search_finds_words_that_mean_the_concept(pipe) -> None:
    named, bare = (
        ["a church in the snow", "we see a church at night"],
        ["something in the snow", "we see something at night"],
    )
    found = search(pipe, named, bare, captions.names("church"), seed=3, how=QUICK)
    unevolved = search(pipe, named, bare, captions.names("church"), seed=3, how=replace(QUICK, generations=0))
    anything = search(pipe, named, bare, captions.names("church"), seed=3, how=replace(QUICK, pool=1500, generations=0))
    assert found.cosine > unevolved.cosine > anything.cosine and found.cosine > 0.5
    assert found == search(pipe, named, bare, captions.names("church"), seed=3, how=QUICK)
    assert found != search(pipe, named, bare, captions.names("church"), seed=4, how=QUICK)
    assert len(found.words) == 3 and not any("church" in word for word in found.words)


def test_a_search_works_on_other_text_encoders() -> None:
    torch.manual_seed(0)
    pipe = make_pipe("umt5")
    words = words_of(pipe.tokenizer)
    assert len(words) > 10
    found = search(pipe, [f"{words[0]} {words[1]}"], [f"{words[2]} {words[1]}"], [words[0]], seed=0, how=QUICK)
    assert -1 <= found.cosine <= 1 and words[0] not in found.words


def method(study: Study, name: str) -> compare.Compared:
    one = Rate(1.0, 1.0, 1.0, 2, 1, 18)
    best = Method(name, name, nullcontext, text_only=False)
    return compare.Compared(name, "–", 1.0, SweepCell(0, 1.0, one, one, 1.0), np.ones((2, 9), bool), 1.0, best=best)


def test_every_attack_is_measured_before_and_after_and_words_are_searched_once(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = attack(study, "church", [method(study, "safree")])
    assert [r.attack for r in found] == [*attacks._LABELS.values(), SEARCHED]
    by_name = {r.attack: r for r in found}
    assert all(len(r.prompts) == 2 and set(r.after) == {"safree"} for r in found)
    assert all((r.after["safree"] == r.before).all() for r in found)  # this method changes nothing
    main = phrased(PromptWriter("test"), "church", "main", 2)
    assert [p.text for p in by_name["plain name"].prompts] == [p.text for p in main]
    words = searched(study, "church")
    for prompt, plain in zip(by_name[SEARCHED].prompts, main, strict=True):
        assert prompt.text == with_words(neutral(plain).text, words.words) and prompt.seed == plain.seed
        assert not any(name.lower() in prompt.text.lower() for name in captions.names("church"))
    texts = {p.text for r in found for p in r.prompts}
    table = attack_table(study, found)
    assert [row[0] for row in table.rows] == list(by_name) and table.columns[-1] == "safree"
    assert " ".join(words.words) in table.note and f"{words.cosine:.2f}" in table.note

    path = write_cells(study, {}, attacked=found)
    with closing(sqlite3.connect(path)) as stored:
        rows = stored.execute("SELECT attack, method, clips, before, after_high FROM attacks").fetchall()
    assert [row[:3] for row in rows] == [(name, "safree", 2) for name in by_name]
    assert [row[3] for row in rows] == [row[3].value for row in table.rows]
    write_cells(study, {})
    with closing(sqlite3.connect(path)) as stored:  # a comparison without attacks leaves none of an earlier one
        assert stored.execute("SELECT count(*) FROM attacks").fetchone() == (0,)

    monkeypatch.setattr(attacks, "search", None)  # nothing is searched or drawn again
    drawn = study.runner.drawn
    assert {p.text for r in attack(study, "church", [method(study, "safree")]) for p in r.prompts} == texts
    assert study.runner.drawn == drawn


def test_styles_and_attributes_stand_beside_nothing(study: Study) -> None:
    for key in ("burning", "inkwell"):
        found = attack(study, key, [])
        assert "beside another" not in {r.attack for r in found} and len(found) == len(attacks._LABELS)
        assert sum(len(r.prompts) for r in found[1:]) == attack_clips(study, key)
    assert attack_clips(study, "church") == attack_clips(study, "burning") + 2


def test_attacks_are_counted_before_they_are_begun(study: Study) -> None:
    without = Study(
        replace(study.settings, attacks=False), pipe=study.pipe, load=make_small_diorama, detectors=study.detectors
    )
    assert needs(study).clips - needs(without).clips == 2 * attack_clips(study, "church")


@pytest.mark.slow
def test_a_comparison_can_end_with_attacks(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "GRID", {"safree": compare.GRID["safree"][:1]})
    titles = [table.title for table in compare.evaluate_methods(study)]
    assert titles.count("Methods: attacks on church") == 1 and titles[-1] == "Methods: CLEAR against the best other"
    page = (study.settings.folder / "methods.html").read_text()
    assert "attacks on church" in page and "church, attacked with searched words" in page
