"""Which phrases of a prompt mean a concept, and what erasers do with them on a real (tiny) pipeline."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

import unseen
from unseen import mentions, minilm
from unseen.bench.phrasings import SAME_WORD
from unseen.concept import Concept
from unseen.diorama import captions, scenes
from unseen.errors import MissingReaderError
from unseen.mentions import learn_mentions, phrase_reader, phrases, reworded

AIRSHIP = "a large rigid airship near the river"
ZEPPELIN = Concept("zeppelin", synonyms=("rigid airship",))


@pytest.fixture(scope="module")
def umbrella():
    return learn_mentions(Concept("umbrella"))


@pytest.fixture(scope="module")
def raincoat():
    return learn_mentions(Concept("raincoat"))


def said(known, prompt):
    return [found.text for found in known.find(prompt)]


@pytest.mark.parametrize(
    ("prompt", "meant"),
    [
        ("a waterproof coat on a wooden table", ["waterproof coat"]),
        ("two Raincoats in a garden, seen from above", ["Raincoats"]),
        ("a rain jacket, in a park", ["rain jacket"]),
        ("a raincoat in a garden", []),
        ("an umbrella in a garden", []),
        ("a violin on a wooden table, in slow motion", []),
        ("heavy rain in a park", []),
        ("", []),
        ("of the", []),
    ],
)
def test_other_words_for_the_concept_are_found_and_nothing_else(raincoat, prompt, meant):
    assert said(raincoat, prompt) == meant


def test_a_mention_is_exchanged_for_the_name_and_the_rest_stays(raincoat):
    prompt = "A photo of a waterproof coat, filmed by night: a fox beside it"
    assert reworded(prompt, [raincoat])[0] == "A photo of a raincoat, filmed by night: a fox beside it"
    vowel = dataclasses.replace(raincoat, name="umbrella")
    assert reworded("A waterproof coat, a fox", [vowel])[0] == "An umbrella, a fox"
    assert reworded("a fox by night", [raincoat]) == ("a fox by night", [])


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("golf ball", "a golf course by the sea"),
        ("golf ball", "a ball in a garden"),
        ("Christmas tree", "a Christmas dinner on a table"),
        ("fire engine", "a camp fire in a forest"),
    ],
)
def test_a_word_of_the_name_alone_is_not_the_concept(name, prompt):
    assert said(learn_mentions(Concept(name)), prompt) == []


def test_two_concepts_read_the_prompt_as_it_came_whatever_their_order():
    pair = [learn_mentions(Concept(name)) for name in ("teapot", "raincoat")]
    prompt = "a pot for tea beside a waterproof coat"
    text, found = reworded(prompt, pair)
    assert reworded(prompt, pair[::-1]) == (text, found)
    assert text == "a teapot beside a raincoat"
    assert [name for name, _ in found] == ["teapot", "raincoat"]
    # what another attached concept is called is never taken for this one
    pair = [learn_mentions(Concept(name)) for name in ("rain jacket", "raincoat")]
    assert reworded("a rain jacket", pair) == ("a rain jacket", [])


def test_phrases_lie_within_punctuation_and_are_not_read_in_part():
    texts = {span.text for span in phrases("the film presents a brass trumpet, drifting left in a field")}
    assert "brass trumpet" in texts and "drifting left in a field" in texts
    assert not any("presents a" in text or text == "brass" or "trumpet, drifting" in text for text in texts)
    prompt = "a machine that cuts a tree in a long, long sentence " * 3
    for span in phrases(prompt):
        assert prompt[span.start : span.end] == span.text
        assert 1 <= len(span.text.split()) <= mentions.MAX_WORDS


def test_embeddings_do_not_depend_on_the_batch():
    reader = mentions.PhraseReader(*minilm.load_minilm())
    texts = ["an umbrella", "a place where people wait for a train that is late", "Umbrella"]
    together, alone = reader.embed(texts), torch.cat([phrase_reader().embed([text]) for text in texts])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together.norm(dim=1), torch.ones(3), atol=1e-5)


def test_what_is_learned_does_not_depend_on_what_was_read_before(umbrella):
    reader = mentions.PhraseReader(*minilm.load_minilm())
    reader.embed(["umbrella", "table", "river", "a place where people wait for a train that is late"])
    again = learn_mentions(Concept("umbrella"), reader)
    assert torch.equal(again.names, umbrella.names) and torch.equal(again.others, umbrella.others)


@pytest.fixture
def knowing(pipe, eraser_of):
    """An eraser of the zeppelin that knows airships."""
    return eraser_of(pipe.tokenizer, pipe.text_encoder, concept=ZEPPELIN, mentions=learn_mentions(ZEPPELIN))


@torch.no_grad()
def embed(pipe, prompt, **options):
    return pipe.encode_prompt(prompt, max_sequence_length=16, **options)


def test_a_mention_is_erased_as_the_name_is_and_all_else_stays(pipe, knowing):
    plain = embed(pipe, [AIRSHIP, "a wolf near the river"], negative_prompt=[AIRSHIP, ""])
    with knowing.applied_to(pipe) as handle:
        named = embed(pipe, "a zeppelin near the river")[0]
        reads = embed(pipe, [AIRSHIP, "a wolf near the river"], negative_prompt=[AIRSHIP, ""])
        assert handle.read_as(AIRSHIP) == "a zeppelin near the river"
        assert {firing.token for firing in handle.explain(AIRSHIP)} == {"zeppelin"}
    assert torch.equal(reads[0][:1], named) and torch.equal(reads[0][1:], plain[0][1:])
    assert torch.equal(reads[1], plain[1])
    with knowing.applied_to(pipe, on_negative=True):
        assert not torch.equal(embed(pipe, "", negative_prompt=AIRSHIP)[1], plain[1][:1])
    assert torch.equal(embed(pipe, [AIRSHIP])[0], plain[0][:1])


def test_without_them_other_words_pass(pipe, knowing):
    plain = embed(pipe, AIRSHIP)[0]
    with dataclasses.replace(knowing, mentions=None).applied_to(pipe):
        assert torch.equal(embed(pipe, AIRSHIP)[0], plain)


def test_the_audit_says_what_was_read_and_the_words_only_if_asked(pipe, knowing, tmp_path):
    for with_prompts in (False, True):
        with unseen.attach(pipe, knowing, audit=tmp_path / "log.jsonl", audit_prompts=with_prompts):
            embed(pipe, AIRSHIP)
    silent, open_ = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert silent["mentions"][0]["concept"] == "zeppelin" and silent["fired"]
    assert "airship" not in json.dumps(silent)
    assert open_["prompt"] == AIRSHIP and open_["read_as"] == "a zeppelin near the river"
    assert silent["prompt_sha256"] == open_["prompt_sha256"]


def test_a_loaded_eraser_finds_the_same(knowing, tmp_path):
    knowing.save_pretrained(tmp_path)
    loaded = unseen.ClearEraser.from_pretrained(tmp_path)
    assert loaded.key == knowing.key != dataclasses.replace(knowing, mentions=None).key
    assert loaded.mentions.find(AIRSHIP) == knowing.mentions.find(AIRSHIP) != []


def test_where_the_reader_is_missing_it_is_said_before_anything_runs(pipe, knowing, monkeypatch):
    def nowhere():
        raise FileNotFoundError("prompts are read with MiniLM, which is not installed")

    monkeypatch.setattr(minilm, "encoder_folder", nowhere)
    phrase_reader.cache_clear()
    try:
        with pytest.raises(MissingReaderError, match=r"not installed, or fit with ClearConfig\(mentions=False\)"):
            unseen.attach(pipe, knowing)
        with pytest.raises(MissingReaderError):
            unseen.fit(pipe, "zeppelin", progress=False)
        with pytest.raises(unseen.FitError):  # it went on without, and the random encoder knows no zeppelin
            unseen.fit(pipe, "zeppelin", config=unseen.ClearConfig(mentions=False, max_ratio=0.0), progress=False)
    finally:
        monkeypatch.undo()
        phrase_reader.cache_clear()
    assert not pipe.text_encoder._forward_hooks


def test_same_word_phrases_name_no_subject_and_no_split_shares_one():
    listed = json.loads(SAME_WORD.read_text(encoding="utf-8"))
    names = {phrase.lower() for key in captions.KEYS for phrase in captions.names(key)}
    seen: dict[str, set[str]] = {}
    for split in ("development", "test"):
        assert set(listed[split]) == set(scenes.OBJECTS)
        seen[split] = {phrase.lower() for some in listed[split].values() for phrase in some}
        assert not seen[split] & names
    assert not seen["development"] & seen["test"]


@pytest.mark.parametrize(
    ("prompt", "meant"),
    [
        ("an umbrela in a garden", ["umbrela"]),
        ("an umbrelal in a garden", ["umbrelal"]),
        ("an umbrrella in a garden", ["umbrrella"]),
        ("an umber wall", []),
    ],
)
def test_a_slip_of_the_pen_is_found(umbrella, prompt, meant):
    assert said(umbrella, prompt) == meant


def test_a_word_that_exists_is_no_slip():
    tench = learn_mentions(Concept("tench"))
    assert [said(tench, f"a {word} by the sea") for word in ("bench", "trench", "tnech")] == [[], [], ["tnech"]]
