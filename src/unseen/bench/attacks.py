"""Ways to get an erased concept back: other words for it, and words that a search found.

Every method is attacked at the setting that was chosen for plain names; who attacks does not see the eraser. An attack
is worth what it draws without any eraser, so that is measured too: one that does not work there shows nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.bench.adversary import Found, Search, search, with_words
from unseen.bench.cache import digest
from unseen.bench.phrasings import KINDS, phrased
from unseen.bench.prompts import Prompt, PromptWriter, carrier_of, concept_kind, unnamed
from unseen.bench.run import UNEDITED
from unseen.bench.scores import rate
from unseen.bench.study import Study, floor_of, mean_floor
from unseen.bench.sweep import CLIPS_PER_CELL
from unseen.bench.tables import Cell, Table
from unseen.diorama.world import captions
from unseen.files import write_whole

if TYPE_CHECKING:
    from unseen.bench.compare import Compared

SEARCHED = "searched words"
_LABELS = {
    "main": "plain name", "synonym": "synonym", "periphrasis": "description", "fr": "French", "de": "German",
    "es": "Spanish", "misspelt": "misspelt", "compared": "compared", "pair": "beside another",
}  # fmt: skip
SEARCH = Search()
_SHOWN_TO_THE_SEARCH = 2
COLUMNS = (
    "concept", "kind", "method", "attack", "clips", "floor", "before", "before_low", "before_high", "after",
    "after_low", "after_high",
)  # fmt: skip
"""Of the table `attacks` in the comparison's database."""


@dataclass(frozen=True)
class Attacked:
    """One attack on one concept."""

    key: str
    attack: str
    prompts: tuple[Prompt, ...]
    before: np.ndarray
    """Frames that show the concept without any method, bool `[clips, frames]`."""
    after: Mapping[str, np.ndarray]
    """The same by method."""
    words: Found | None = None
    """What was put behind the prompts, if it was searched for."""


def neutral(prompt: Prompt) -> Prompt:
    """The prompt without its concept: "something" in its place, for a person "a person", for an attribute its bare
    carrier."""
    kind, word = concept_kind(prompt.key), "something"
    if kind == "identity":
        word = "a person"
    if kind == "attribute":
        name = captions.main_name(carrier_of(prompt))
        word = f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
    return unnamed(prompt, word)


def searched(study: Study, key: str) -> Found:
    """Words that mean `key` to the pipeline's text encoder, searched on development wording; kept, as fits are."""
    named = _plain(PromptWriter("development", study.settings.seed), key, 2 * _SHOWN_TO_THE_SEARCH)[::2]
    code = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("adversary.py", "attacks.py")]
    address = digest(key=key, search=asdict(SEARCH), seed=study.settings.seed, pipe=study.weights, code=code)
    path = study.settings.folder / "searched" / f"{key.replace('_', '-')}-{address[:12]}.json"
    if not path.exists():
        study.say(f"searching for words that mean {captions.main_name(key)}")
        texts = [p.text for p in named], [neutral(p).text for p in named]
        found = search(study.pipe, *texts, captions.names(key), seed=study.settings.seed, how=SEARCH)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(asdict(found)).encode())
    facts = json.loads(path.read_text(encoding="utf-8"))
    return Found(tuple(facts["words"]), facts["cosine"])


def _plain(writer: PromptWriter, key: str, count: int) -> list[Prompt]:
    return phrased(writer, key, "main", count)


def attack_clips(study: Study, key: str) -> int:
    """Clips that attacks on `key` take without a method, and again with each.

    Those of plain names are there anyway, and searched words are one more.
    """
    kinds = len(KINDS) - (concept_kind(key) in ("style", "attribute"))  # which stand beside nothing
    return kinds * study.settings.reported(CLIPS_PER_CELL)


def attack(study: Study, key: str, done: Sequence[Compared]) -> list[Attacked]:
    """Every attack on `key`, on test wording, against the methods of `done` as they were measured."""
    writer, count = PromptWriter("test", study.settings.seed), study.settings.reported(CLIPS_PER_CELL)
    asked = {_LABELS[kind]: phrased(writer, key, kind, count) for kind in KINDS}
    words = searched(study, key)
    bare = [neutral(p) for p in _plain(writer, key, count)]
    asked[SEARCHED] = [replace(p, text=with_words(p.text, words.words), said=frozenset()) for p in bare]
    methods = {found.method: found.best for found in done if found.best is not None}
    study.prepare((prompts, method) for method in (UNEDITED, *methods.values()) for prompts in asked.values())
    return [
        Attacked(
            key,
            name,
            tuple(prompts),
            study.read(study.clips(prompts)).shows(key),
            {method: study.read(study.clips(prompts, how)).shows(key) for method, how in methods.items()},
            words if name == SEARCHED else None,
        )
        for name, prompts in asked.items()
        if prompts
    ]


def attack_table(study: Study, results: Sequence[Attacked]) -> Table:
    """A row per attack, a column per method; over all concepts in `results`."""
    keys = list(dict.fromkeys(r.key for r in results))
    methods = [m for m in dict.fromkeys(m for r in results for m in r.after) if all(m in r.after for r in results)]
    rows: list[tuple[Cell, ...]] = []
    for name in dict.fromkeys(r.attack for r in results):
        mine = [r for r in results if r.attack == name]
        prompts = [p for r in mine for p in r.prompts]
        after = (rate(np.concatenate([r.after[method] for r in mine]), prompts) for method in methods)
        before = rate(np.concatenate([r.before for r in mine]), prompts)
        rows.append((name, len(prompts), mean_floor(study.judge, [r.key for r in mine]), before, *after))
    found = "; ".join(
        f"{captions.main_name(r.key)}: “{' '.join(r.words.words)}” (cosine {r.words.cosine:.2f})"
        for r in results
        if r.words is not None
    )
    what = captions.main_name(keys[0]) if len(keys) == 1 else f"{len(keys)} concepts"
    return Table(
        f"Methods: attacks on {what}",
        ("attack", "clips", "detector floor", "before", *methods),
        tuple(rows),
        "Generative rate on test wording before and with each method, at the setting chosen for plain names. An attack "
        "shows nothing where it draws little before. Searched words mean the concept to the text encoder without "
        f"naming it, and stand behind prompts that do not name it: {found}.",
    )


def rows(study: Study, results: Sequence[Attacked]) -> Iterator[dict[str, Any]]:
    """A row of `COLUMNS` for each attack and method."""
    for r in results:
        before = rate(r.before, r.prompts)
        for method, hits in r.after.items():
            after = rate(hits, r.prompts)
            yield {
                "concept": captions.main_name(r.key),
                "kind": concept_kind(r.key),
                "method": method,
                "attack": r.attack,
                "clips": len(r.prompts),
                "floor": floor_of(study.judge, r.key),
                "before": before.value,
                "before_low": before.low,
                "before_high": before.high,
                "after": after.value,
                "after_low": after.low,
                "after_high": after.high,
            }
