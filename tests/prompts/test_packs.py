"""Concept packs: ready ones for what safety teams erase, and files of users' own."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

import unseen
from unseen.concept import words
from unseen.diorama.model.text import load_t5_tokenizer
from unseen.errors import ConceptWarning, FitError, PromptFileError
from unseen.prompts.check import is_readable, prompt_faults, readable_pack
from unseen.prompts.pack import _MINORS, ConceptPack, load_pack, pack_names
from unseen.prompts.writer import write_prompts

TEMPLATES = {"artist": "Claude Monet", "celebrity": "Ada Brandt"}
READY = "drugs gore nudity self-harm sexual-content smoking violence weapons".split()


def ready(name: str) -> ConceptPack:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConceptWarning)
        return load_pack(name, name=TEMPLATES.get(name))


def test_what_safety_teams_erase_is_ready() -> None:
    assert pack_names() == sorted([*READY, *TEMPLATES])
    assert unseen.load_pack("Sexual Content").concept.name == "sexual content"


@pytest.mark.parametrize("name", [*READY, *TEMPLATES])
def test_every_pack_says_its_concept_in_six_languages_and_on_one_side_only(name: str) -> None:
    pack = ready(name)
    assert [phrasing.language for phrasing in pack.phrasings] == ["en", "es", "fr", "de", "zh", "ja"]
    prompts = write_prompts(pack, pairs=240, retain=100)
    assert len(prompts.pairs) == 240 and len({pair.positive for pair in prompts.pairs}) == 240
    assert not prompt_faults(prompts, pack.concept)
    for positive, negative in prompts.pairs:
        assert pack.concept.is_named_in(positive), positive
        assert not pack.concept.is_named_in(negative), negative
        assert not re.search(r"[{}]|  ", positive + negative), (positive, negative)
        assert not {*words(positive), *words(negative)} & _MINORS, positive
    for other in pack.concept.names if name in READY else ():
        said = [pair.positive for pair in prompts.pairs if other.lower() in pair.positive.lower()]
        assert said, f"no prompt of {name} says {other}"


@pytest.mark.parametrize("name", READY)
def test_no_word_of_a_pack_is_an_ordinary_word_of_another_language(name: str) -> None:
    """A French "sang" would open the gate for "a choir sang"."""
    ordinary = "the choir sang and then we made a gift of red pages, main street, chat, pain, coin, bald, art, rock"
    assert not ready(name).concept.is_named_in(ordinary)


def test_a_pack_gives_the_same_prompts_for_the_same_seed() -> None:
    first, again, other = (write_prompts(ready("nudity"), seed=seed, pairs=60, retain=20) for seed in (0, 0, 1))
    assert first == again != other


def test_a_template_is_about_whom_it_is_told() -> None:
    pack = load_pack("artist", name="Claude Monet", synonyms=("Monet", "莫奈"))
    assert pack.concept == unseen.Concept("Claude Monet", "style", synonyms=("Monet", "莫奈"))
    pairs = write_prompts(pack, retain=0).pairs
    english = [pair.positive for pair in pairs if "style of" in pair.positive]
    assert english and not any("莫奈" in text for text in english)
    assert any(pair.positive.startswith("莫奈") for pair in pairs)
    with pytest.raises(PromptFileError, match="is a template; say whom it is about"):
        load_pack("artist")
    with pytest.raises(PromptFileError, match="no template; leave out name='Claude Monet'"):
        load_pack("nudity", name="Claude Monet")


OWN: dict[str, Any] = {
    "name": "fishing",
    "kind": "attribute",
    "about": "People who fish.",
    "languages": {
        "en": {
            "names": ["angling"],
            "carriers": ["woman", "old man"],
            "phrases": [{"positive": "a {carrier} fishing", "negative": "a {carrier} reading"},
                        {"positive": "a {carrier} angling", "negative": "a {carrier} painting"}],
        }
    },
}  # fmt: skip


def changed(**english: Any) -> dict[str, Any]:
    return {**OWN, "languages": {"en": {**OWN["languages"]["en"], **english}}}


def test_a_pack_of_ones_own_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "fishing.json"
    path.write_text(json.dumps(OWN), encoding="utf-8")
    for given in (path, str(path)):
        pack = load_pack(given, synonyms=("fly-fishing",))
        assert pack.concept.names == ("fishing", "fly-fishing", "angling")
    positives = [pair.positive for pair in write_prompts(pack, pairs=40, retain=0).pairs]
    assert len(positives) == 40 and any("an old man" in text or "a woman fishing" in text for text in positives)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "expected an object, got list"),
        ({**OWN, "colour": 1}, "unknown 'colour'; expected the keys name, kind, about, languages"),
        ({key: OWN[key] for key in ("name", "kind", "about")}, "missing 'languages'"),
        ({**OWN, "name": 3}, "'name' must be non-empty text, got 3"),
        ({**OWN, "languages": {}}, "languages must hold at least one"),
        ({**OWN, "languages": {"en": []}}, "languages.en: expected an object, got list"),
        (changed(names="angling"), "languages.en: 'names' must be a list, got 'angling'"),
        (changed(names=[""]), "languages.en.names: every entry must be non-empty text, got ''"),
        (changed(phrases=[]), "languages.en.phrases: must hold at least one pair"),
        (changed(phrases=[{"positive": "a"}]), "languages.en.phrases[0]: missing 'negative'"),
        (changed(phrases=[{"positive": "a {man} fishing", "negative": "b"}]), "may have the slots {carrier}, {name}"),
        (changed(phrases=[{"positive": "a {0!r} fishing", "negative": "b"}]), "may have the slots"),
        (changed(carriers=[]), "has the slot {carrier}, but there are no carriers"),
        (changed(carriers=["girl"]), "carriers must be adults, got girl"),
        (changed(frames=["a photo"]), "the frame 'a photo' must have the slot {x}"),
        (changed(phrases=[{"positive": "fishing", "negative": "fly fishing"}]), "names the concept"),
        ({**OWN, "languages": {"de": {"names": [], "phrases": [{"positive": "a", "negative": "b"}]}}},
         "frames are missing"),
    ],
)  # fmt: skip
def test_a_pack_that_is_not_as_it_should_be_is_named_with_place_and_reason(
    tmp_path: Path, given: Any, message: str
) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps(given), encoding="utf-8")
    with pytest.raises(PromptFileError, match=re.escape(message)) as caught:
        load_pack(path)
    assert str(path) in str(caught.value)


def test_a_pack_that_is_not_there_or_no_json_is_reported(tmp_path: Path) -> None:
    with pytest.raises(PromptFileError, match="there is no pack 'nudism': take one of artist, celebrity"):
        load_pack("nudism")
    with pytest.raises(PromptFileError, match="cannot be read"):
        load_pack(tmp_path / "none.json")
    (tmp_path / "a.json").write_text('{\n"name": }')
    with pytest.raises(PromptFileError, match="line 2: is not JSON"):
        load_pack(tmp_path / "a.json")


def test_languages_that_a_tokenizer_does_not_read_are_left_out() -> None:
    """An unknown token is the same with the concept and without it."""
    tokenizer = load_t5_tokenizer()  # made for English: Latin letters are pieces of words, others are unknown
    assert is_readable("femme", tokenizer) and not is_readable("裸体", tokenizer)
    pack = load_pack("smoking")
    known = readable_pack(pack, tokenizer)
    assert known.concept == pack.concept
    assert [phrasing.language for phrasing in known.phrasings] == ["en", "es", "fr", "de"]
    foreign = ConceptPack(pack.concept, pack.about, pack.phrasings[4:])
    with pytest.raises(FitError, match="reads none of the languages"):
        readable_pack(foreign, tokenizer)


def test_a_pack_is_written_in_the_languages_that_were_asked_for() -> None:
    english = load_pack("smoking", languages=("en",))
    assert [phrasing.language for phrasing in english.phrasings] == ["en"]
    assert english.concept == load_pack("smoking").concept
    with pytest.raises(PromptFileError, match="expected languages among en, es"):
        load_pack("smoking", languages=("xx",))
