"""What is wrong with the prompts of a fit, found before anything is trained.

A fault that leaves nothing to learn from refuses the fit; one that may be meant, or touches few prompts, warns.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..concept import Concept, PromptPair, words
from ..errors import ConceptWarning, FitError
from .pack import ConceptPack
from .writer import FitPrompts

_FUNCTION_WORDS = frozenset(
    """
    a an the of in on with by and or for to from at as is are was were be been am it its he him his she her they them
    their i me my we us our you your this that these those not no nor so if then than but do does did have has had will
    would can could may might must shall should there here what which who whom whose when where why how all any some
    each every both few more most other such only own same too very just into onto over under again
    """.split()
)
_MANY = 0.5
"""Share of prompts from which on a fault is no longer an exception."""


@dataclass(frozen=True)
class PromptFault:
    """Something that is wrong with the prompts of a fit."""

    message: str
    """A sentence: what is wrong, with an example, and what to do."""
    refuses: bool
    """Whether a fit on these prompts makes no sense; else it is a warning."""


def prompt_faults(prompts: FitPrompts, concept: Concept, tokenizer: Any = None) -> list[PromptFault]:
    """What is wrong with `prompts` for `concept`, those that refuse first; with a `tokenizer` also what it cannot
    read."""
    faults = [*_of_names(concept, tokenizer), *_of_sides(prompts, concept), *_repeated(prompts)]
    if tokenizer is not None:
        faults += _unread(prompts, tokenizer)
    return sorted(faults, key=lambda fault: not fault.refuses)


def require_sound(prompts: FitPrompts, concept: Concept, tokenizer: Any = None) -> None:
    """Warn about the faults of `prompts` with `ConceptWarning`s.

    Raises:
        FitError: A fault refuses.
    """
    for fault in prompt_faults(prompts, concept, tokenizer):
        if fault.refuses:
            raise FitError(fault.message)
        warnings.warn(fault.message, ConceptWarning, stacklevel=3)


def is_readable(text: str, tokenizer: Any) -> bool:
    """Whether any token of `text` is one that `tokenizer` knows; tokens for spaces alone do not count."""
    unknown = getattr(tokenizer, "unk_token_id", None)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    tokens = tokenizer.convert_ids_to_tokens(ids)
    return any(number != unknown and token.strip(" ▁Ġ_") for number, token in zip(ids, tokens, strict=True))


def readable_pack(pack: ConceptPack, tokenizer: Any) -> ConceptPack:
    """`pack` without the languages that `tokenizer` does not read; its concept keeps all names.

    A prompt of unknown tokens is the same with the concept and without. A language is read if most of its phrases
    differ in their tokens.

    Raises:
        FitError: No language is left.
    """
    known = []
    for phrasing in pack.phrasings:
        told = [_differ(phrase, tokenizer) for phrase in phrasing.phrases]
        if sum(told) > _MANY * len(told):
            known.append(phrasing)
    if not known:
        raise FitError(
            f"the tokenizer reads none of the languages of the pack {pack.concept.name!r}; write one that it does."
        )
    return replace(pack, phrasings=tuple(known))


def _differ(pair: PromptPair, tokenizer: Any) -> bool:
    own, other = (tokenizer(side, add_special_tokens=False)["input_ids"] for side in pair)
    return bool(own != other and is_readable(pair.positive, tokenizer))


def _of_names(concept: Concept, tokenizer: Any) -> Iterator[PromptFault]:
    for name in concept.names:
        said = words(name)
        if said and all(word in _FUNCTION_WORDS for word in said):
            yield PromptFault(
                f"the name {name!r} is a word that stands in almost every prompt, so erasing it would change them all;"
                " name what is meant, or take it out of the synonyms.",
                refuses=True,
            )
    if tokenizer is None:
        return
    unread = [name for name in concept.names if not is_readable(name, tokenizer)]
    if len(unread) == len(concept.names):
        yield PromptFault(
            f"the text encoder's tokenizer knows no part of the name {concept.name!r}; give a synonym in a language"
            " that it reads.",
            refuses=True,
        )
    elif unread:
        yield PromptFault(
            f"the text encoder's tokenizer knows no part of {_listed(unread)}: to it they are any unknown word, and"
            " prompts with them are best left out.",
            refuses=False,
        )


def _of_sides(prompts: FitPrompts, concept: Concept) -> Iterator[PromptFault]:
    """Names on the wrong side, or on none."""
    count = len(prompts.pairs)
    unnamed = [pair.positive for pair in prompts.pairs if not concept.is_named_in(pair.positive)]
    named = [pair.negative for pair in prompts.pairs if concept.is_named_in(pair.negative)]
    kept = [text for text in prompts.retain if concept.is_named_in(text)]
    if count and len(named) > _MANY * count and len(unnamed) > _MANY * count:
        yield PromptFault(
            f"the columns seem to be swapped: {len(named)} of {count} negatives name {concept.name!r}, as"
            f" {named[0]!r} does, and most positives do not; exchange positive and negative.",
            refuses=True,
        )
        return
    if unnamed:
        # Descriptions are what a user may want erased, so this is never an error.
        yield PromptFault(
            f"{len(unnamed)} of {count} positive prompts do not say {concept.name!r} or a synonym, for instance"
            f" {unnamed[0]!r}; that is right for descriptions, else add the word they use as a synonym.",
            refuses=False,
        )
    if named:
        yield PromptFault(
            f"{len(named)} of {count} negative prompts name {concept.name!r}, for instance {named[0]!r}; they must be"
            " about something else, so change them.",
            refuses=len(named) > _MANY * count,
        )
    if kept:
        yield PromptFault(
            f"{len(kept)} of {len(prompts.retain)} retain prompts name {concept.name!r}, for instance {kept[0]!r};"
            " what is erased cannot stay as it is, so take them out.",
            refuses=len(kept) > _MANY * len(prompts.retain),
        )


def _repeated(prompts: FitPrompts) -> Iterator[PromptFault]:
    positives = {pair.positive for pair in prompts.pairs}
    others = [pair.negative for pair in prompts.pairs] + [*prompts.retain, *prompts.same_word]
    both = [text for text in dict.fromkeys(others) if text in positives]
    if both:
        yield PromptFault(
            f"{_listed(both)} stands among the positive prompts and among the others as well; decide on one.",
            refuses=True,
        )
    again = [text for text, times in Counter(pair.positive for pair in prompts.pairs).items() if times > 1]
    again += [text for text, times in Counter(prompts.retain).items() if times > 1]
    if again:
        yield PromptFault(
            f"{len(again)} prompts are given more than once, for instance {again[0]!r}; they count so much more, so"
            " leave out the repetitions.",
            refuses=False,
        )


def _unread(prompts: FitPrompts, tokenizer: Any) -> Iterator[PromptFault]:
    """Pairs whose difference the tokenizer does not see."""
    if not prompts.pairs:
        return
    sides = [list(side) for side in zip(*prompts.pairs, strict=True)]
    ids = [tokenizer(side, add_special_tokens=False)["input_ids"] for side in sides]
    same = [pair.positive for pair, own, other in zip(prompts.pairs, *ids, strict=True) if own == other]
    if same:
        yield PromptFault(
            f"{len(same)} of {len(prompts.pairs)} pairs are the same tokens on both sides, for instance {same[0]!r};"
            " the text encoder cannot tell them apart, so write them in words that it reads.",
            refuses=len(same) > _MANY * len(prompts.pairs),
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:4])) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
