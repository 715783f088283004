"""What is measured once for a whole suite, beside its clips: claims that must hold exactly, speed, memory, text."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

import unseen
from unseen.bench.attacks.outside import outside
from unseen.bench.clips.job import weights_fingerprint
from unseen.bench.clips.make import embeddings
from unseen.bench.depth import depth
from unseen.bench.methods import Concerned
from unseen.bench.prompts.recipes import sentences
from unseen.bench.rows import Row
from unseen.bench.study import Study
from unseen.diorama.training.clips import training_clips
from unseen.diorama.world.render import render
from unseen.metrics import motion, pixel
from unseen.runtime.rewriting.matching import as_matched
from unseen.runtime.rewriting.paraphrase import Rewrite, Rewriter

_RENDER_SEED = 77_000_000
POOL_CLIPS = 2048
QUICK_POOL = 64


def invariants(study: Study, concerned: Sequence[Concerned]) -> Iterator[Row]:
    """What must hold exactly: detaching restores every bit, and the weights never change."""
    one = next((one for one in concerned if one.made), None)
    if one is None:
        return
    method = next(iter(one.made.values())).variants[0].method
    prompt = next(iter(one.prompts.values()))[0]
    before = study.draw([prompt.text], [prompt.seed])
    with method.applied_to(study.pipe):
        study.draw([prompt.text], [prompt.seed])
        during = weights_fingerprint(study.pipe)
    identical = np.array_equal(before, study.draw([prompt.text], [prompt.seed]))
    for claim, holds in (
        ("the pipeline's weights are bit-identical while the eraser is attached", during == study.weights),
        ("a clip drawn after detaching is bit-identical", identical),
        ("the pipeline's weights are bit-identical after everything above",
         weights_fingerprint(study.pipe) == study.weights),
    ):  # fmt: skip
        yield Row("claim", float(holds), tags="|exactly as before|", text=claim, prompt=claim)


def together(study: Study, concerned: Sequence[Concerned]) -> Iterator[Row]:
    """What fits from one bank cost, and whether the order in which erasers are attached changes any bit."""
    many = study.fits.together([one.concept for one in concerned])
    ratio = many.seconds / many.seconds_of_one
    yield Row("time of all fits over that of one", ratio, method="all at once")
    texts = [next(iter(one.prompts.values()))[0].text for one in concerned]
    encoded = []
    for erasers in (list(many.erasers), list(reversed(many.erasers))):
        with unseen.attach(study.pipe, erasers):
            encoded.append([e.cpu().numpy() for text in texts for e in embeddings(study.pipe, text, study.call)])
    same = all(np.array_equal(a, b) for a, b in zip(*encoded, strict=True))
    layers = len({eraser.layer for eraser in many.erasers})
    claim = f"{len(texts)} erasers at {layers} layers, attached in either order, encode the same bits"
    yield Row("claim", float(same), tags="|order|", text=claim, prompt=claim)


def speed(study: Study, concerned: Sequence[Concerned]) -> Iterator[Row]:
    """How long eight clips take, drawn in one batch."""
    prompts = next(iter(concerned[0].prompts.values()))
    chosen = [prompts[place % len(prompts)] for place in range(8)]
    texts, seeds = [p.text for p in chosen], [p.seed for p in chosen]
    times = []
    for _ in range(1 if study.suite.quick else 3):
        start = time.perf_counter()
        study.draw(texts, seeds)
        times.append(time.perf_counter() - start)
    yield Row("seconds of eight clips", float(np.median(times)))


def registration(study: Study, concerned: Sequence[Concerned]) -> Iterator[Row]:
    """How often image registration reads the motion of fresh renders wrongly."""
    error, _ = motion.check(4 if study.suite.quick else 300)
    yield Row("motion of renders misread", error)


def nearest(study: Study, concerned: Sequence[Concerned]) -> Iterator[Row]:
    """How far clips, and fresh renders of the same scenes, are from the nearest of some training clips, so that memory
    is not taken for skill."""
    role = "held out"
    prompts = [p for one in concerned for (_, of), made in one.prompts.items() if of == role for p in made]
    if not prompts:  # no attribute has any
        return
    references = training_clips(QUICK_POOL if study.suite.quick else POOL_CLIPS, progress=study.progress)
    fresh = np.stack([render(p.scene, _RENDER_SEED + place) for place, p in enumerate(prompts)])
    generated, renders = "generated, never trained on", "fresh renders of the same scenes"
    for label, frames in ((generated, study.clips(prompts).frames), (renders, fresh)):
        for place, distance in enumerate(pixel.nearest(frames, references)):
            yield Row("distance to the nearest training clip", float(distance), role=role, tags=f"|of: {label}|",
                      place=place, prompt=prompts[place].text, noise=prompts[place].seed)  # fmt: skip


def _understood(pipe: Any, entry: Mapping[str, Any], rewrite: Rewrite) -> tuple[bool, int]:
    """Whether a rewrite touches every place of its sentence that means the concept, and how many of the other words
    that matter are gone."""
    text = as_matched(pipe, entry["text"]).lower()
    phrases = [as_matched(pipe, phrase).lower() for phrase in entry.get("phrases", [entry.get("phrase")])]
    places = [m.span() for phrase in phrases for m in re.finditer(re.escape(phrase), text)]
    found = [(phrase.start, phrase.end) for _, phrase in rewrite.mentions]
    hit = bool(places) and all(any(s < end and start < e for s, e in found) for start, end in places)
    lost = [word for word in entry["keep"] if word not in rewrite.text.lower()] if found else []
    return hit, len(lost)


def rewriting(study: Study, concerned: Sequence[Concerned]) -> Iterator[Row]:
    """The text level of ordinary sentences: what the rewriting recognises, and what else it changes."""
    split, length = study.suite.split, study.call["max_sequence_length"]
    listed = sentences(split)
    by_text = {entry["text"]: entry for entry in listed["asked"]}
    for one in concerned:
        rewriter = Rewriter(study.pipe, [one.concept])
        prompts = one.prompts.get((split, "sentence"), [])
        entries = [by_text[prompt.text] for prompt in prompts]
        rewrites = rewriter.rewrite([entry["text"] for entry in entries], length)
        for place, (prompt, entry, rewrite) in enumerate(zip(prompts, entries, rewrites, strict=True)):
            hit, lost = _understood(study.pipe, entry, rewrite)
            said = one.of_prompt(prompt, place, role="sentence", split=split)
            yield Row("recognised", float(hit), **said)
            yield Row("words lost", float(lost), **said)
            yield Row("words", float(len(entry["keep"])), **said)
        near = [entry["text"] for entry in listed["neighbours"] if entry["neighbour_of"] == one.key]
        for role, texts in (("near sentence", near), ("other sentence", listed["unrelated"])):
            for place, (text, rewrite) in enumerate(zip(texts, rewriter.rewrite(texts, length), strict=True)):
                said = one.common(role=role, place=place, prompt=text, split=split)
                yield Row("left alone", float(rewrite.text == text), **said)


CHECKS: Mapping[str, Callable[[Study, Sequence[Concerned]], Iterator[Row]]] = {
    "invariants": invariants,
    "together": together,
    "speed": speed,
    "registration": registration,
    "nearest": nearest,
    "rewriting": rewriting,
    "depth": depth,
    "outside": outside,
}
"""By the name that a suite gives them."""
