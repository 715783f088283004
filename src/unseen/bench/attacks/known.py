"""The attacks that search, by the name that a suite gives them, and what they find, which is kept as fits are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from unseen.bench.attacks.aim import See, aim_at
from unseen.bench.attacks.search import (
    Budget,
    How,
    Search,
    Words,
    search_encoder,
    search_pipeline,
    states_of,
    states_of_words,
    words_like,
)
from unseen.bench.clips.job import UNEDITED, Method
from unseen.bench.prompts.recipes import searched_on
from unseen.bench.study import Study
from unseen.diorama.world import captions
from unseen.diorama.world.concepts import concept_name
from unseen.pipelines import text_path
from unseen.runtime.rewriting.loop import LOOP_VERSION
from unseen.runtime.rewriting.paraphrase import REWRITING_VERSION

POOL = 400
"""Words that a search may choose among: those most like the concept's name to the text encoder."""
VOCABULARY: int | None = None
"""Words of the tokenizer that these are chosen from, spread evenly; None means all."""
BUDGET = Budget()
SEARCH = Search()
ENCODER = "searched words"
"""The attack that asks the bare text encoder alone."""


class Attack(NamedTuple):
    """A search on the pipeline for words that stand behind prompts without the concept."""

    see: See
    how: How
    knows: bool
    """Whether it sees the pipeline with the method attached; else the bare model."""


ATTACKS: Mapping[str, Attack] = {
    "preview, bare": Attack("preview", "genetic", False),
    "tokens, white box": Attack("states", "gradient", True),
    "preview, white box": Attack("preview", "gradient", True),
}


def knows_the_method(recipe: str) -> bool:
    """Whether prompts of this recipe are an attack on the method that draws them."""
    return recipe in ATTACKS and ATTACKS[recipe].knows


def found_words(study: Study, key: str, name: str, method: Method = UNEDITED) -> Words:
    """What the attack `name` finds against a method, on development wording; words are searched once."""
    return _found_in_encoder(study, key) if name == ENCODER else _found_in_pipeline(study, key, name, method)


def _found_in_encoder(study: Study, key: str) -> Words:
    def make() -> dict[str, Any]:
        study.say(f"searching for words that mean {concept_name(key)}")
        named, bare = searched_on(key, study.suite.seed)
        found = search_encoder(study.pipe, named, bare, captions.names(key), seed=study.suite.seed, how=SEARCH)
        return {"words": found.words, "cosine": found.reached}

    facts = study.fits.kept("searched", key, make, key=key, search=asdict(SEARCH))
    return Words(tuple(facts["words"]), facts["cosine"])


def _found_in_pipeline(study: Study, key: str, name: str, method: Method) -> Words:
    attack = ATTACKS[name]
    against = method if attack.knows else UNEDITED

    def make() -> dict[str, Any]:
        study.say(f"{name}: searching for {key} against {against.name}")
        named, bare = (texts[:1] for texts in searched_on(key, study.suite.seed))
        aim = aim_at(study.pipe, named, bare, attack.see, study.call.get("max_sequence_length"))
        pool, seed = pool_of(study.pipe, key), study.suite.seed
        with against.applied_to(study.pipe):
            return asdict(search_pipeline(study.pipe, aim, pool, attack.how, seed=seed, budget=BUDGET))

    versions = (REWRITING_VERSION, LOOP_VERSION)
    facts = study.fits.kept(
        "searched", f"{key} {name}", make, key=key, attack=attack, budget=asdict(BUDGET), of=against.key,
        versions=versions,
    )  # fmt: skip
    return Words(tuple(facts["words"]), facts["reached"], tuple(facts["trend"]))


def pool_of(pipe: Any, key: str) -> list[str]:
    """Words that the text encoder holds for most like the concept, without forms of its names."""
    path = text_path(pipe)
    _, states = states_of_words(path, VOCABULARY)
    direction = states_of(path, [concept_name(key)])[0] - states.mean(0)
    return words_like(path, direction, captions.names(key), VOCABULARY)[:POOL]
