"""A blocklist takes every name out of a prompt and touches nothing else."""

from __future__ import annotations

import pytest

from unseen.baselines.blocklist import without_names
from unseen.concept import Concept

HORN = Concept("French horn", synonyms=("horn",))


@pytest.mark.parametrize(
    ("concept", "prompt", "expected"),
    [
        (HORN, "a French horn in the snow", "a thing in the snow"),
        (HORN, "Two FRENCH HORNS and a cat", "Two things and a cat"),
        (HORN, "a horn, French fries", "a thing, French fries"),
        (HORN, "an owl with hornets", "an owl with hornets"),
        (Concept("owl"), "An owl on an oak", "A thing on an oak"),
        (Concept("church"), "churches at night", "things at night"),
        (Concept("Amber Bramble", kind="identity"), "Amber Bramble on a street", "a person on a street"),
        (Concept("Tobias Inkwell", kind="style"), "a cat by Tobias Inkwell", "a cat by an artist"),
        (Concept("burning", kind="attribute"), "a burning log cabin", "a log cabin"),
        (Concept("burning", kind="attribute"), "an old burning oak", "an old oak"),
    ],
)
def test_names_give_way_and_the_rest_stays(concept, prompt, expected):
    assert without_names(prompt, [concept]) == expected


def test_other_words_for_it_are_past_it():
    assert without_names("a coiled brass instrument", [HORN]) == "a coiled brass instrument"
