"""Prompts read as people write them: for the concepts of the field's benchmarks, and for users' own pairs."""

from __future__ import annotations

import json
import re
import warnings
from pathlib import Path

import pytest

from unseen.concept import Concept, PromptPair
from unseen.errors import ConceptError, ConceptWarning, FitError
from unseen.prompts import frames, lexicon
from unseen.prompts.articles import indefinite, number_of, with_article
from unseen.prompts.usage import carrier_of, use_of
from unseen.prompts.writer import write_prompts

BENCHMARKS = json.loads(Path(__file__).with_name("concepts.json").read_text(encoding="utf-8"))
"""What others erase, by kind: classes of ImageNet and COCO, risks of I2P and T2VSafetyBench, and the persons, styles,
attributes and characters that EMMA, HUB and their like are about."""
CONCEPTS = [(name, kind) for kind, names in BENCHMARKS.items() for name in names]
ARTICLE_TWICE = re.compile(r"\b(?:an?|the) (?:an?|the|some)\b", re.IGNORECASE)


@pytest.mark.parametrize(
    ("noun", "phrase"),
    [
        ("piano", "a piano"),
        ("hour", "an hour"),
        ("honest man", "an honest man"),
        ("heirloom", "an heirloom"),
        ("unicorn", "a unicorn"),
        ("university", "a university"),
        ("umbrella", "an umbrella"),
        ("unimportant letter", "an unimportant letter"),
        ("European", "a European"),
        ("one-way street", "a one-way street"),
        ("MRI scanner", "an MRI scanner"),
        ("UFO", "a UFO"),
        ("X-ray", "an X-ray"),
        ("8-bit screen", "an 8-bit screen"),
        ("NASA rocket", "a NASA rocket"),
        ("water", "water"),
        ("black smoke", "black smoke"),
        ("violence", "violence"),
        ("glasses", "glasses"),
        ("scissors", "scissors"),
        ("golf balls", "golf balls"),
        ("wine glass", "a wine glass"),
        ("cup of coffee", "a cup of coffee"),
        ("cups of coffee", "cups of coffee"),
        ("bus", "a bus"),
        ("cactus", "a cactus"),
        ("hourglass", "an hourglass"),
        ("Eiffel Tower", "the Eiffel Tower"),
        ("Statue of Liberty", "the Statue of Liberty"),
        ("Tower Bridge", "Tower Bridge"),
        ("Joan of Arc", "Joan of Arc"),
        ("Ada Brandt", "Ada Brandt"),
        ("the Pope", "the Pope"),
    ],
)
def test_a_noun_takes_the_article_that_people_give_it(noun: str, phrase: str) -> None:
    assert with_article(noun) == phrase


def test_names_of_objects_may_be_breeds_and_makes() -> None:
    assert [with_article(noun, makes=True) for noun in ("Ferrari", "Siberian Husky", "Mickey Mouse", "Big Ben")] == [
        "a Ferrari",
        "a Siberian Husky",
        "Mickey Mouse",
        "Big Ben",
    ]


@pytest.mark.parametrize(("name", "kind"), CONCEPTS)
def test_prompts_about_what_benchmarks_erase_read_naturally(name: str, kind: str) -> None:
    """Case 12. What can be claimed without an eye; to look at them: `unseen prompts NAME --kind KIND`."""
    concept = Concept(name, kind)  # type: ignore[arg-type]
    pairs = write_prompts(concept, pairs=80, retain=0).pairs
    assert len(pairs) >= 60 and len({pair.positive for pair in pairs}) == len(pairs)
    for positive, negative in pairs:
        assert concept.is_named_in(positive), positive
        assert not concept.is_named_in(negative) and not concept.is_mentioned_in(negative), negative
        for text in (positive, negative):
            assert not ARTICLE_TWICE.search(text), text
            assert "  " not in text and "{" not in text and text == text.strip(), text
            for article, word in re.findall(r"\b(an?) (\S+)", text):
                assert article == indefinite(word), text
        if number_of(name) != "singular" and use_of(name, kind) in ("thing", "theme", "substance", "worn"):
            assert not re.search(rf"\ban? {re.escape(name)}(?=$|[ ,])(?! \w+(?:er|ing) )", positive), positive
    assert not {word for pair in pairs for text in pair for word in text.split()} & {*lexicon.YOUNG} - {*name.split()}


@pytest.mark.parametrize(
    ("name", "use"),
    [
        ("nudity", "theme"),
        ("violence", "theme"),
        ("sexual content", "theme"),
        ("naked", "property"),
        ("on fire", "property"),
        ("covered in mud", "property"),
        ("burning", "property"),
        ("smoking", "activity"),
        ("glasses", "worn"),
        ("cowboy hat", "worn"),
        ("red hair", "feature"),
        ("beard", "feature"),
        ("blood", "substance"),
        ("fog", "substance"),
        ("self-harm", "theme"),
    ],
)
def test_an_attribute_is_used_as_its_word_is(name: str, use: str) -> None:
    """Case 12: no "nudity microscope"."""
    assert use_of(name, "attribute") == use


@pytest.mark.parametrize("name", ["naked", "armed", "smoking", "glasses", "red hair"])
def test_what_only_people_are_or_wear_is_put_on_people(name: str) -> None:
    pairs = write_prompts(Concept(name, "attribute"), pairs=120, retain=0).pairs
    people = {*lexicon.PEOPLE, "people", name}
    assert carrier_of(name, use_of(name, "attribute")) == "people"
    assert all(any(word in pair.positive for word in people) for pair in pairs)
    carried = [pair.positive for pair in pairs if pair.positive != name]
    assert all(any(word in text for word in {*lexicon.PEOPLE, "people"}) for text in carried)


def test_how_a_name_is_used_can_be_said() -> None:
    concept = Concept("mourning", "attribute")
    assert use_of("mourning", "attribute") == "property"
    texts = [pair.positive for pair in write_prompts(concept, pairs=60, retain=0, use="theme").pairs]
    assert "a scene of mourning" in texts and not [text for text in texts if "a mourning" in text]
    with pytest.raises(ConceptError, match="use of the attribute 'mourning' must be one of"):
        write_prompts(concept, use="place")


def test_a_look_is_nobody_who_paints_and_an_artist_is_somebody() -> None:
    looks = [text for pair in write_prompts(Concept("pixel art", "style"), retain=0).pairs for text in pair]
    artists = [text for pair in write_prompts(Concept("Ada Brandt", "style"), retain=0).pairs for text in pair]
    by = re.compile(r" by (?!a river)| would paint| painted by|inspired by")
    assert not [text for text in looks if by.search(text)] and [text for text in artists if by.search(text)]
    painted = [text for text in artists if by.search(text) and "Ada" not in text]
    assert not [text for text in painted if any(f"by {medium}" in text for medium in lexicon.MEDIA)]


def test_an_artist_of_the_word_lists_does_not_stand_in_for_himself() -> None:
    prompts = write_prompts(Concept("Claude Monet", "style", synonyms=("Monet",)))
    others = [*(pair.negative for pair in prompts.pairs), *prompts.retain]
    assert not [text for text in others if "Monet" in text]


def test_a_surname_is_said_alone_only_if_it_is_a_synonym() -> None:
    whole = write_prompts(Concept("Ada Brandt", "identity"), pairs=60, retain=0).pairs
    assert all("Ada Brandt" in pair.positive for pair in whole)
    both = write_prompts(Concept("Ada Brandt", "identity", synonyms=("Brandt",)), pairs=60, retain=0).pairs
    assert sum("Ada" not in pair.positive for pair in both) == 30


def test_nobody_buys_a_person_or_a_tower() -> None:
    for name, kind in (("Ada Brandt", "identity"), ("Eiffel Tower", "object")):
        pairs = write_prompts(Concept(name, kind), retain=0).pairs  # type: ignore[arg-type]
        assert not [pair for pair in pairs if "bought" in pair.positive]


def test_the_frames_say_what_they_are_filled_with() -> None:
    for name, templates in vars(frames).items():
        if name.endswith("_TEMPLATES"):
            assert all("{x}" in template for template in templates), name
            assert len(set(templates)) > len(templates) - 4, name


USER = [PromptPair(f"a widget number {n}", f"a chair number {n}") for n in range(7)]


def test_five_pairs_of_a_users_own_are_enough_and_written_ones_are_added_with_a_warning() -> None:
    """Case 36."""
    with pytest.warns(ConceptWarning, match="5 prompt pairs are few, so 235 written ones about 'widget' are added"):
        made = write_prompts(Concept("widget"), user_pairs=USER[:5]).pairs
    assert len(made) == 240 and len(set(made)) == 240 and {*USER[:5]} <= {*made}
    # Both the fit and the choice of its strength see how the user puts it.
    assert {*USER[:5]} & {*made[-40:]} and {*USER[:5]} & {*made[:-40]}
    with pytest.raises(FitError, match="at least 5 prompt pairs of your own, got 4"):
        write_prompts(Concept("widget"), user_pairs=USER[:4])


@pytest.mark.parametrize(("own", "held_out"), [(5, 8), (7, 8), (6, 12), (7, 100)])
def test_users_pairs_are_on_both_sides_of_the_split_whatever_its_size(own: int, held_out: int) -> None:
    with pytest.warns(ConceptWarning):
        made = write_prompts(Concept("widget"), pairs=60, user_pairs=USER[:own], held_out=held_out).pairs
    assert len(made) == max(60, 2 * held_out) or len(made) >= 60
    last = made[len(made) - held_out :]
    assert {*USER[:own]} & {*last} and {*USER[:own]} - {*last}


def test_many_pairs_of_a_users_own_stay_alone_and_in_order() -> None:
    own = [PromptPair(f"a widget {n}", f"a chair {n}") for n in range(80)]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConceptWarning)
        assert list(write_prompts(Concept("widget"), user_pairs=own).pairs) == own


def test_prompts_that_a_user_wants_kept_come_beside_the_written_ones() -> None:
    own = ["a red bus in Oslo", "two dogs", "two dogs"]
    made = write_prompts(Concept("widget"), pairs=20, retain=60, user_retain=own).retain
    assert made[:2] == ("a red bus in Oslo", "two dogs") and len(made) == 62
    assert write_prompts(Concept("widget"), pairs=20, retain=0, user_retain=own).retain == tuple(own[:2])
