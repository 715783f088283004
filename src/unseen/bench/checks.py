"""What is measured once for a whole suite, beside its clips: claims that must hold exactly, speed, memory, text."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

import unseen
from unseen.bench.attacks.outside import outside
from unseen.bench.clips.job import weights_fingerprint
from unseen.bench.clips.make import embeddings
from unseen.bench.depth import depth
from unseen.bench.methods import Concerned
from unseen.bench.prompts.recipes import sentences
from unseen.bench.rows import Row
from unseen.bench.study import Study
from unseen.diorama.stored import to_uint8
from unseen.diorama.training.clips import Plan, compose_clips, plan_clips
from unseen.diorama.training.layers import LAYER_SEED, LayerRows, Layers, layer_rows
from unseen.diorama.world.render import PHASES, draw_sprite, draw_stage, render
from unseen.diorama.world.scenes import ATTRIBUTE_OF
from unseen.metrics import motion
from unseen.runtime.rewriting.matching import as_matched
from unseen.runtime.rewriting.paraphrase import Rewrite, Rewriter

_RENDER_SEED = 77_000_000
POOL_CLIPS = 2048
QUICK_POOL = 64
_GRID = 16
"""Candidates are looked up on frames averaged to 16 × 16 pixels; the distance itself is taken at full size."""
_CANDIDATES = 8
INDIVIDUALS = 96
"""Of each subject in the layers that the committed weights were trained on (`unseen train layers --individuals`)."""
_BATCH = 64


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
        for place, distance in enumerate(nearest_distances(frames, references)):
            yield Row("distance to the nearest training clip", float(distance), role=role, tags=f"|of: {label}|",
                      place=place, prompt=prompts[place].text, noise=prompts[place].seed)  # fmt: skip


def _small(clips: np.ndarray) -> np.ndarray:
    """Averaged frames as one vector per clip, float32 `[clips, features]`."""
    n, f, h, w, c = clips.shape
    cells = clips.reshape(n, f, _GRID, h // _GRID, _GRID, w // _GRID, c).mean((3, 5), dtype=np.float32)
    return cells.reshape(n, -1)


def _drawn_for(plan: Plan, rows: LayerRows) -> tuple[Layers, Plan]:
    """The layers that clips need, and these clips as a plan that names them by their place among these layers."""
    sprites, sprite_of = np.unique(plan.sprites, return_inverse=True)
    stages, stage_of = np.unique(plan.stages, return_inverse=True)
    individuals = {first + i: (v, i) for v, (first, many) in rows.sprites.items() for i in range(many)}
    views = {first + i: (place, i) for place, (first, many) in rows.stages.items() for i in range(many)}
    drawn = [
        [draw_sprite(subject, LAYER_SEED + i, phase, (ATTRIBUTE_OF[subject],) if shown else ()) for phase in PHASES]
        for (subject, shown), i in map(individuals.__getitem__, sprites.tolist())
    ]
    places = [draw_stage(place, LAYER_SEED + i) for place, i in map(views.__getitem__, stages.tolist())]
    layers = Layers(torch.from_numpy(np.asarray(drawn)), torch.from_numpy(np.asarray(places)), rows)
    return layers, replace(plan, sprites=sprite_of.reshape(plan.sprites.shape), stages=stage_of.reshape(-1))


def training_clips(count: int, *, progress: bool = True) -> np.ndarray:
    """The first `count` training clips, drawn again."""
    rows, found = layer_rows(INDIVIDUALS), []
    for start in tqdm(range(0, count, _BATCH), "training clips", disable=not progress):
        size = min(_BATCH, count - start)
        layers, plan = _drawn_for(plan_clips(start, size, rows), rows)
        found.append(to_uint8(compose_clips(layers, plan, np.arange(size))))
    return np.concatenate(found)


def nearest_distances(clips: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Root mean square difference, in levels of 255, of each clip to its nearest reference, `[clips]`."""
    small, known = _small(clips), _small(references)
    squares = (small**2).sum(1)[:, None] - 2 * small @ known.T + (known**2).sum(1)[None]
    near = np.argsort(squares, axis=1)[:, :_CANDIDATES]
    return np.asarray(
        [
            min(float(np.sqrt(((clip.astype(np.float32) - references[k]) ** 2).mean())) for k in row)
            for clip, row in zip(clips, near, strict=True)
        ]
    )


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
