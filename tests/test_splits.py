"""An eraser's own fit shares no wording with what it is measured on, beyond the names it is given."""

from __future__ import annotations

import re

import pytest

from unseen import words
from unseen.diorama.world import captions, scenes

SPLITS = ("development", "test")


def bare(text: str) -> str:
    """`text` without slots, articles and capitals."""
    return re.sub(r"\s+", " ", re.sub(r"{\w*}|\b(an?|the)\b", " ", text.lower())).strip(" ,.:")


@pytest.mark.parametrize("split", SPLITS)
def test_the_fit_uses_no_context_phrase_of_an_evaluation_split(split):
    grammar = captions.grammar()
    measured = {bare(text) for place in grammar.backgrounds.values() for text in place[split]}
    measured |= {bare(form) for motion in grammar.motions.values() for forms in motion[split] for form in forms}
    assert not measured & {bare(text) for text in (*words.PLACES, *words.ACTIONS)}


@pytest.mark.parametrize("split", SPLITS)
def test_the_fit_uses_no_template_of_an_evaluation_split(split):
    by_split = captions.grammar().templates
    measured = {bare(t) for (s, _, _), found in by_split.items() if s == split for ts in found.values() for t in ts}
    fitted = (*words.OBJECT_TEMPLATES, *words.STYLE_TEMPLATES, *words.ATTRIBUTE_TEMPLATES, *words.NEUTRAL_TEMPLATES)
    # nothing is left of a template that is only slots, and nothing can be shared by it
    assert not (measured & {bare(text) for text in fitted}) - {""}


@pytest.mark.parametrize("split", SPLITS)
def test_no_other_name_of_an_evaluation_split_is_in_the_neutral_bank(split):
    held_back = {bare(name) for key in captions.KEYS for kind in captions.KINDS[1:]
                 for name in captions.names(key, kind, split)}  # fmt: skip
    bank = (*words.THINGS, *words.PEOPLE, *words.MEDIA, *words.ATTRIBUTES, *words.ARTISTS)
    assert not held_back & {bare(word) for word in bank}


def test_names_listed_for_a_fit_are_none_that_are_measured() -> None:
    from unseen.bench.phrasings import listed

    for key in (*scenes.OBJECTS, *scenes.NEIGHBOURS):
        measured = {
            name.lower() for split in ("development", "test") for kind in captions.KINDS
            if kind != "main" for name in captions.names(key, kind, split)
        }  # fmt: skip
        for name in listed(key):
            assert not any(re.search(rf"\b{re.escape(name.lower())}\b", other) for other in measured), name
