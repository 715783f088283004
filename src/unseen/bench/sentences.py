"""Ordinary sentences that ask for a concept in other words: what the rewriting makes of them, and what is still shown.

Each sentence in `sentences.json` says which words of it mean the concept and which others matter. Two levels are
measured: the text, for which nothing has to be fitted, and the clips before and after an eraser.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unseen.bench.prompts import Prompt, concept_kind, concept_of
from unseen.bench.run import unchanged
from unseen.bench.scores import kept, part_of, rate, share
from unseen.bench.study import Study, mean_floor
from unseen.bench.tables import JUDGED_COLUMNS, Cell, Count, Table, Target, judged
from unseen.diorama.model.pipeline import GENERATION
from unseen.diorama.world import captions
from unseen.runtime.matching import as_matched
from unseen.runtime.paraphrase import Rewrite, Rewriter

SENTENCES = Path(__file__).with_name("sentences.json")
AFTER = Target(0.03, at_least=False)
EACH_KIND = Target(0.08, at_least=False)
LOST = Target(0.01, at_least=False)
NEAR = Target(0.97)
UNCONCERNED = Target(0.99)
OTHERS = 20
"""Sentences about other things that each eraser is tried on."""
_LENGTH = GENERATION["max_sequence_length"]


class Understood(NamedTuple):
    """What the rewriting makes of one sentence."""

    entry: dict[str, Any]
    rewrite: Rewrite
    recognised: bool
    """Whether every place that means the concept was touched."""
    lost: int
    """Other words that matter and are gone."""


def sentences(split: str) -> dict[str, list[Any]]:
    """The sentences of "development" or "test": "asked", "neighbours" and "unrelated"."""
    return json.loads(SENTENCES.read_text(encoding="utf-8"))[split]


def understood(pipe: Any, rewriter: Rewriter, entries: Sequence[dict[str, Any]]) -> list[Understood]:
    """What `rewriter` makes of sentences that ask for its concept."""
    rewrites = rewriter.rewrite([entry["text"] for entry in entries], _LENGTH)
    made = []
    for entry, rewrite in zip(entries, rewrites, strict=True):
        text = as_matched(pipe, entry["text"]).lower()
        phrases = [as_matched(pipe, phrase).lower() for phrase in entry.get("phrases", [entry.get("phrase")])]
        places = [m.span() for phrase in phrases for m in re.finditer(re.escape(phrase), text)]
        found = [(phrase.start, phrase.end) for _, phrase in rewrite.mentions]
        hit = bool(places) and all(any(s < end and start < e for s, e in found) for start, end in places)
        lost = [word for word in entry["keep"] if word not in rewrite.text.lower()] if found else []
        made.append(Understood(entry, rewrite, hit, len(lost)))
    return made


def evaluate_sentences(study: Study) -> Iterator[Table]:
    """The text level over all concepts, then the clips."""
    listed = sentences(study.settings.split)
    keys = study.chosen(sorted({entry["key"] for entry in listed["asked"]}), captions.KEYS)
    asked = {key: [e for e in listed["asked"] if e["key"] == key][: study.settings.count(10**6)] for key in keys}
    rewriters = {key: Rewriter(study.pipe, [concept_of(key)]) for key in keys}
    texts = [made for key in keys for made in understood(study.pipe, rewriters[key], asked[key])]
    yield text_table(texts, *_left_alone(rewriters, listed))
    yield from clip_tables(study, asked, listed)


def _left_alone(rewriters: dict[str, Rewriter], listed: dict[str, list[Any]]) -> tuple[list[bool], list[bool]]:
    """Which neighbours, and which sentences about other things, come back as they went in."""
    near = [e for e in listed["neighbours"] if e["neighbour_of"] in rewriters]
    neighbours = [rewriters[e["neighbour_of"]].rewrite([e["text"]], _LENGTH)[0].text == e["text"] for e in near]
    others = [
        rewrite.text == text
        for rewriter in rewriters.values()
        for text, rewrite in zip(listed["unrelated"], rewriter.rewrite(listed["unrelated"], _LENGTH), strict=True)
    ]
    return neighbours, others


def text_table(texts: Sequence[Understood], neighbours: Sequence[bool], others: Sequence[bool]) -> Table:
    """What is recognised, by kind and by form, and what else changes."""
    rows: list[tuple[Cell, ...]] = []
    for field in ("kind", "form"):
        for value in dict.fromkeys(made.entry[field] for made in texts):
            chosen = [made for made in texts if made.entry[field] == value]
            words, lost = sum(len(made.entry["keep"]) for made in chosen), sum(made.lost for made in chosen)
            rows.append((f"{field}: {value}", Count(sum(m.recognised for m in chosen), len(chosen)), lost, words, None))
    words, lost = sum(len(made.entry["keep"]) for made in texts), sum(made.lost for made in texts)
    hit = sum(made.recognised for made in texts)
    missing = part_of([made.lost for made in texts], [len(made.entry["keep"]) for made in texts])
    rows.append(("all", Count(hit, len(texts)), lost, words, LOST.verdict(missing)))
    rows.append(("neighbours left alone", Count(sum(neighbours), len(neighbours)), None, None, None))
    rows.append(("other subjects left alone", Count(sum(others), len(others)), None, None, None))
    columns = ("sentences", "recognised", "other words lost", "of words", f"lost {LOST}")
    note = (
        "“Recognised” counts sentences in which every phrase that means the concept was exchanged, at least in part."
        " What the video model does not show for a phrase it cannot recognise; the clips say whether that matters."
    )
    return Table("Sentences: the text", columns, tuple(rows), note)


def clip_tables(study: Study, asked: dict[str, list[dict]], listed: dict[str, list[Any]]) -> Iterator[Table]:
    """What is shown before and after, by kind and form; what is kept of neighbours and of other things."""
    shown: list[tuple[dict[str, Any], Prompt, np.ndarray, np.ndarray]] = []
    near: list[tuple[Prompt, np.ndarray, np.ndarray]] = []
    same: list[bool] = []
    same_texts: list[str] = []
    for place, (key, entries) in enumerate(asked.items(), 1):
        study.say(f"{captions.main_name(key)} ({place} of {len(asked)})")
        method = study.eraser(concept_of(key)).method
        prompts = _prompts(study, key, [entry["text"] for entry in entries])
        before, after = (study.read(study.clips(prompts, *how)).shows(key) for how in ((), (method,)))
        shown += list(zip(entries, prompts, before, after, strict=True))
        for entry in (e for e in listed["neighbours"] if e["neighbour_of"] == key):
            # each from noise of its own: an interval over one noise would be a point
            one = _prompts(study, entry["key"], [entry["text"]], first=len(near))
            early, late = (study.read(study.clips(one, *how)).shows(entry["key"]) for how in ((), (method,)))
            near.append((one[0], early[0], late[0]))
        others = listed["unrelated"][place % 5 :: max(1, len(listed["unrelated"]) // OTHERS)]
        same_texts += others
        same += unchanged(study.pipe, method, others, max_sequence_length=_LENGTH).tolist()
    rows: list[tuple[Cell, ...]] = []
    for field in ("kind", "form"):
        for value in dict.fromkeys(entry[field] for entry, *_ in shown):
            chosen = [s for s in shown if s[0][field] == value]
            prompts = [s[1] for s in chosen]
            early, late = np.stack([s[2] for s in chosen]), np.stack([s[3] for s in chosen])
            found = rate(late, prompts)
            verdict = EACH_KIND.verdict(found) if field == "kind" else None
            rows.append((f"{field}: {value}", len(chosen), rate(early, prompts), found, verdict))
    columns = ("sentences", "clips", "before", "after", f"after {EACH_KIND}")
    yield Table("Sentences: still shown", columns, tuple(rows))
    prompts = [s[1] for s in shown]
    floor = mean_floor(study.judge, list(asked))
    against = [judged("still shown", len(shown), rate(np.stack([s[3] for s in shown]), prompts), AFTER, floor)]
    if near:
        early, late = np.stack([n[1] for n in near]), np.stack([n[2] for n in near])
        against.append(judged("near neighbours: kept", len(near), kept(late, early, [n[0] for n in near]), NEAR))
    against.append(judged("other subjects: encoded as before", len(same), share(same, same_texts), UNCONCERNED))
    yield Table("Sentences: targets", JUDGED_COLUMNS, tuple(against))


def _prompts(study: Study, key: str, texts: Sequence[str], first: int = 0) -> list[Prompt]:
    write = study.writer.styled if concept_kind(key) == "style" else study.writer.single
    scene, seed = write(key, 1, role="sentence")[0].scene, study.writer.noise_seed
    return [Prompt(text, scene, "sentence", key, seed(place)) for place, text in enumerate(texts, first)]
