"""What is wrong with the prompts of a fit is said before anything is trained."""

from __future__ import annotations

import re
import warnings

import pytest

from unseen.bench.ways.tiny import make_tokenizer
from unseen.concept import Concept, PromptPair
from unseen.errors import ConceptWarning, FitError
from unseen.prompts.check import PromptFault, prompt_faults, require_sound
from unseen.prompts.writer import FitPrompts, write_prompts

HORN = Concept("zeppelin", synonyms=("airship",))
SOUND = [PromptPair(f"a zeppelin beside {n} trees", f"a table beside {n} trees") for n in range(10)]


def faults(pairs: list[PromptPair], retain: tuple[str, ...] = (), concept: Concept = HORN) -> list[PromptFault]:
    return prompt_faults(FitPrompts(tuple(pairs), retain), concept)


def only(found: list[PromptFault], message: str, *, refuses: bool) -> None:
    assert len(found) == 1 and found[0].refuses is refuses, found
    assert re.search(message, found[0].message), found[0].message


def test_written_prompts_have_no_fault() -> None:
    concept = Concept("zeppelin")
    assert not prompt_faults(write_prompts(concept, pairs=60, retain=60), concept, make_tokenizer())
    assert not faults(SOUND)


@pytest.mark.parametrize("name", ["the", "and", "With", "of the"])
def test_a_function_word_is_refused_as_a_name(name: str) -> None:
    only(faults([], concept=Concept(name)), f"the name '{name}' is a word that stands in almost every", refuses=True)
    only(faults([], concept=Concept("zeppelin", synonyms=(name,))), f"the name '{name}'", refuses=True)
    assert not faults([], concept=Concept("The Who is here, a band"))


def test_a_name_of_unknown_tokens_is_refused_and_a_synonym_of_them_warned_about() -> None:
    nothing = FitPrompts((), ())
    only(
        prompt_faults(nothing, Concept("齐柏林"), make_tokenizer()), "knows no part of the name '齐柏林'", refuses=True
    )
    half = Concept("zeppelin", synonyms=("齐柏林",))
    only(prompt_faults(nothing, half, make_tokenizer()), "knows no part of '齐柏林'", refuses=False)


def test_descriptions_are_warned_about_but_allowed() -> None:
    described = [PromptPair(f"a giant of the air over {n} hills", f"a cow on {n} hills") for n in range(10)]
    only(faults(described), "10 of 10 positive prompts do not say 'zeppelin'", refuses=False)
    only(faults([*SOUND, described[0]]), "1 of 11 positive prompts", refuses=False)


def test_negatives_that_name_the_concept_are_warned_about_and_refused_if_most_do() -> None:
    wrong = [PromptPair(pair.positive, f"an airship beside {n} lakes") for n, pair in enumerate(SOUND)]
    only(
        faults([*SOUND[1:], wrong[0]]),
        "1 of 10 negative prompts name 'zeppelin', for instance 'an airship",
        refuses=False,
    )
    only(faults(wrong), "10 of 10 negative prompts", refuses=True)


def test_swapped_columns_are_guessed() -> None:
    only(faults([PromptPair(*reversed(pair)) for pair in SOUND]), "columns seem to be swapped", refuses=True)


def test_repeated_prompts_are_warned_about_and_those_on_both_sides_refused() -> None:
    only(faults([*SOUND, SOUND[0]]), "1 prompts are given more than once", refuses=False)
    only(faults(SOUND, ("a dog", "a dog")), "given more than once, for instance 'a dog'", refuses=False)
    both = faults(SOUND, (SOUND[0].positive, "a dog", "a cat"))
    assert [fault.refuses for fault in both] == [True, False] and "among the positive prompts" in both[0].message


def test_retain_prompts_that_name_the_concept_are_warned_about_and_refused_if_most_do() -> None:
    only(faults(SOUND, ("a zeppelin at sea", "a dog", "a cat")), "1 of 3 retain prompts name", refuses=False)
    only(faults(SOUND, ("a zeppelin at sea",)), "1 of 1 retain prompts name", refuses=True)


def test_pairs_that_are_the_same_tokens_are_found() -> None:
    pairs = [PromptPair(f"zeppelin {a}", f"zeppelin {b}") for a, b in (("圆", "号"), ("角", "笛"))]
    found = prompt_faults(FitPrompts(tuple(pairs), ()), Concept("zeppelin"), make_tokenizer())
    assert any(fault.refuses and "the same tokens on both sides" in fault.message for fault in found)


def test_what_refuses_is_raised_and_the_rest_is_warned_about() -> None:
    with pytest.warns(ConceptWarning, match="given more than once"):
        require_sound(FitPrompts((*SOUND, SOUND[0]), ()), HORN)
    with pytest.raises(FitError, match="swapped"):
        require_sound(FitPrompts(tuple(PromptPair(*reversed(pair)) for pair in SOUND), ()), HORN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        require_sound(FitPrompts(tuple(SOUND), ()), HORN)
