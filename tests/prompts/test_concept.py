"""Concepts, and prompts made from them."""

from __future__ import annotations

import re
import warnings

import pytest

from unseen.concept import Concept
from unseen.errors import ConceptError, ConceptWarning, FitError, UnseenError
from unseen.prompts import lexicon as lexicon
from unseen.prompts.writer import write_prompts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "non-empty"),
        ({"name": " church"}, "surrounding spaces"),
        ({"name": "church", "kind": "building"}, "kind must be one of"),
        ({"name": "church", "synonyms": "chapel"}, r"write \('chapel',\)"),
        ({"name": "church", "synonyms": ("Church",)}, "must all differ"),
        ({"name": "church", "replace_with": "church"}, "must all differ"),
    ],
)
def test_a_concept_that_cannot_be_fitted_is_refused(arguments, message):
    with pytest.raises(ConceptError, match=message) as caught:
        Concept(**arguments)
    assert isinstance(caught.value, UnseenError) and isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("name", "surname"),
    [("Ada Brandnew", "Brandnew"), ("Jan van Brandnew", "van Brandnew"), ("Ben Brandnew Jr.", "Brandnew")],
)
def test_a_surname_that_stays_untouched_is_said_once_with_the_synonym_to_add(name, surname):
    with pytest.warns(ConceptWarning, match=re.escape(f"synonyms=({surname!r},)")) as told:
        Concept(name, "style")
    assert len(told) == 1 and told[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConceptWarning)
        Concept(name, "style")  # said already
        Concept(name, "identity", synonyms=(surname,))
        Concept("Ada Brandnewer", "object")
        Concept("oil painting", "style")
        Concept("Brandnewer", "style")


def test_no_prompt_uses_a_surname_otherwise_that_is_a_synonym():
    prompts = write_prompts(Concept("Tobias Inkwell", "style", synonyms=("Inkwell",)), pairs=120, retain=60)
    assert prompts.same_word and not [prompt for prompt in prompts.same_word if "inkwell" in prompt.lower()]
    alone = [pair.positive for pair in prompts.pairs if "Inkwell" in pair.positive and "Tobias" not in pair.positive]
    assert len(alone) == 60


CONCEPTS = [
    Concept("French horn"),
    Concept("church", synonyms=("chapel",)),
    Concept("Tobias Inkwell", "style"),
    Concept("Amber Bramble", "identity"),
    Concept("burning", "attribute", synonyms=("on fire",)),
]


@pytest.mark.parametrize("concept", CONCEPTS, ids=lambda concept: concept.name)
def test_pairs_name_the_concept_on_one_side_only(concept):
    prompts = write_prompts(concept, pairs=120, retain=60)
    assert len(prompts.pairs) == 120 and len({pair.positive for pair in prompts.pairs}) == 120
    for positive, negative in prompts.pairs:
        assert any(name in positive for name in concept.names), positive
        assert not concept.is_mentioned_in(negative), negative
    for name in concept.names:
        assert sum(name in pair.positive for pair in prompts.pairs) >= 30, name


@pytest.mark.parametrize("concept", CONCEPTS, ids=lambda concept: concept.name)
def test_retain_prompts_hold_no_word_of_the_concept(concept):
    retain = write_prompts(concept, pairs=20, retain=300).retain
    assert len(set(retain)) == 300
    own = {word for name in concept.names for word in name.lower().split()} - {"on"}
    assert not [prompt for prompt in retain for word in own if re.search(rf"\b{word}\b", prompt.lower())]


def test_words_of_a_name_are_also_used_otherwise_but_never_as_the_name():
    prompts = write_prompts(Concept("French horn"), pairs=20, retain=20).same_word
    assert any("French" in prompt for prompt in prompts) and any("horn" in prompt for prompt in prompts)
    assert not any("French horn" in prompt for prompt in prompts)
    assert not write_prompts(Concept("church"), pairs=20, retain=20).same_word
    # A word that is itself a synonym is the concept, and nothing to be spared.
    spared = write_prompts(Concept("French horn", synonyms=("horn",)), pairs=20, retain=20).same_word
    assert spared and not any("horn" in prompt for prompt in spared)


def test_the_same_seed_writes_the_same_prompts():
    first, again, other = (write_prompts(CONCEPTS[0], seed=seed, pairs=30, retain=30) for seed in (0, 0, 1))
    assert first == again != other


def test_articles_fit_their_nouns():
    prompts = write_prompts(Concept("English springer"), pairs=120, retain=200)
    texts = [text for pair in prompts.pairs for text in pair] + list(prompts.retain)
    assert not [text for text in texts if re.search(r"\ba [aeio]", text)]


def test_the_retain_words_are_many_and_leave_out_what_is_measured_as_absent():
    assert len(set(lexicon.THINGS)) >= 250
    lists = (lexicon.THINGS, lexicon.PEOPLE, lexicon.MEDIA, lexicon.FIRST_NAMES, lexicon.LAST_NAMES)
    bank = " ; ".join(word for words in lists for word in words).lower()
    absent = "radio, hedge trimmer, bus, phone booth, tennis ball, hot-air balloon, lighthouse, goldfish, cat, trumpet"
    absent += ", golf ball, tench, church, amber, bramble, cedar, flint, ivy, jasper, maple, olive, quill, lantern"
    for word in absent.split(", "):
        assert not re.search(rf"\b{word}\b", bank), word


def test_words_that_are_everywhere_cannot_be_filtered_out():
    common = Concept("thing", synonyms=tuple(lexicon.THINGS))
    with pytest.raises(FitError, match="very common words"):
        write_prompts(common, pairs=10, retain=400)
