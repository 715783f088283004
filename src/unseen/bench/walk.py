"""Walk through a suite, concept by concept: prompts, clips, and a row for everything that is measured in them; or, to
know what that takes, a count of the clips."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from unseen.bench.attacks.known import BUDGET, ENCODER, found_words, knows_the_method
from unseen.bench.checks import CHECKS
from unseen.bench.clips.job import UNEDITED, Method
from unseen.bench.clips.make import Clips, rendered
from unseen.bench.measure import MEASURES, look
from unseen.bench.methods import Concerned, Made, Variant, Wanted, make, settings_of
from unseen.bench.prompts.recipes import RECIPES, SEARCHES, Ask
from unseen.bench.prompts.rewording import listed_names, with_words
from unseen.bench.prompts.writer import OPEN, Prompt, PromptWriter
from unseen.bench.rows import Row, Rows
from unseen.bench.study import Study
from unseen.bench.suite import Cell, MethodSpec, Suite
from unseen.bench.views.query import PRESERVING, others_kept, score
from unseen.concept import Concept
from unseen.diorama.world import captions
from unseen.diorama.world.concepts import concept_kind, concept_of, name_of
from unseen.encoder.layers import num_blocks
from unseen.errors import FitError
from unseen.pipelines import text_path

RENDERS = ("exact renders", "renders without it")
ALL = "all"
"""Stands for all concepts where one would be named."""
TIMED = (["a red thing in the snow"] * 8, range(8))
"""Texts and seeds of the batch that is timed."""
BARE = Variant(UNEDITED)


def measure_suite(study: Study, concerned: Sequence[Concerned]) -> Iterator[Row]:
    """Every row of the study's suite, concept by concept."""
    for one in concerned:
        study.say(f"{name_of(one.key)} ({one.number + 1} of {len(concerned)})")
        yield from _concept_rows(study, one, concerned)
    cells = [cell for cell in study.suite.prompts if cell.together]
    if cells:
        yield from _rows_together(study, concerned, cells)
    for name in study.suite.once:
        yield from CHECKS[name](study, concerned)


def concepts_of(study: Study) -> tuple[Concerned, ...]:
    """The suite's concepts, about which nothing is known yet."""
    suite = study.suite
    if not suite.is_diorama:
        return tuple(Concerned(name, Concept(name), number) for number, name in enumerate(suite.concepts))
    return tuple(
        Concerned(key, concept_of(key, synonyms=listed_names(key) if suite.listed else ()), number)
        for number, key in enumerate(map(captions.key_of, suite.concepts))
    )


def prompts_of(
    study: Study, one: Concerned, split: str, cells: Sequence[Cell], keys: Sequence[str], *, search: bool = True
) -> None:
    """Write the prompts of one concept and split; without a `search` those with searched words have none."""

    def words(attack: str) -> Sequence[str]:
        return found_words(study, one.key, attack).words if search else ()

    for cell in cells:
        if cell.split not in ("", split) or (cell.kinds and concept_kind(one.key) not in cell.kinds):
            continue
        count, fewer = study.suite.count(cell, split)
        ask = Ask(
            one.key, one.concept, PromptWriter(split, study.suite.seed), cell, count, fewer,
            lambda: study.fit_texts(one.concept), words, tuple(keys), one.number,
        )  # fmt: skip
        if made := RECIPES[cell.recipe](ask):
            one.prompts[split, cell.role] = made


def prompts_against(study: Study, one: Concerned, split: str, role: str, method: Method) -> list[Prompt]:
    """The prompts of a role: written once, but by an attack that knows the method."""
    attack, written = study.suite.cell(role).recipe, one.prompts[split, role]
    if not knows_the_method(attack):
        return written
    before = f", {' '.join(found_words(study, one.key, attack).words)}"
    words = found_words(study, one.key, attack, method).words
    return [replace(p, text=with_words(p.text.removesuffix(before), words)) for p in written]


def _found_rows(study: Study, one: Concerned, attack: str, spec: MethodSpec | None = None) -> Iterator[Row]:
    """What a search found, and how far it came as its budget was used up."""
    method = UNEDITED if spec is None else one.measured[spec.name].method
    found, name = found_words(study, one.key, attack, method), "none" if spec is None else spec.name
    called = "text encoder, bare" if attack == ENCODER else attack
    said = f"{called}: “{' '.join(found.words)}”"
    yield Row("searched words", found.reached, **one.common(method=name, text=said))
    for place, reached in enumerate(found.trend):
        tried = f"{attack}, {(place + 1) * BUDGET.at_once} tried"
        yield Row("reached", reached, **one.common(method=name, place=place, text=tried))


def _concept_rows(study: Study, one: Concerned, everyone: Sequence[Concerned]) -> Iterator[Row]:
    suite, keys = study.suite, [other.key for other in everyone]
    cells = [cell for cell in suite.prompts if not cell.together]
    for split in suite.splits():
        prompts_of(study, one, split, cells, keys)
    study.prepare((prompts, UNEDITED) for (_, role), prompts in one.prompts.items() if suite.cell(role).drawn != "none")
    done: list[Row] = []
    for split in suite.splits():
        done += _base_rows(study, one, split)
    yield from done
    for attack in [cell.recipe for cell in suite.prompts if cell.recipe in SEARCHES]:
        yield from _found_rows(study, one, attack)
    for spec in suite.methods:
        try:
            made = variants_of(study, one, spec, everyone)
        except FitError as error:
            yield Row("failed", method=spec.name, text=str(error).split(".")[0], **one.common())
            continue
        one.made[spec.name] = made
        yield from _fact_rows(one, spec, made)
        yield from method_rows(study, one, spec, made, Rows(done))
        for attack in [cell.recipe for cell in cells if knows_the_method(cell.recipe)]:
            yield from _found_rows(study, one, attack, spec)


def variants_of(study: Study, one: Concerned, spec: MethodSpec, everyone: Sequence[Concerned]) -> Made:
    """A method for one concept, at all its settings; fitted now, or found where it was fitted before."""
    grid = settings_of(spec, tuned=bool(study.suite.tune))
    concepts = tuple(other.concept for other in everyone)
    return make(Wanted(study.fits, one.concept, spec, grid, concepts, study.suite.is_diorama))


def _base_rows(study: Study, one: Concerned, split: str) -> Iterator[Row]:
    """What the unedited model shows, and where a suite wants them exact renders of the same scenes."""
    for (of, role), prompts in list(one.prompts.items()):
        if of != split or study.suite.cell(role).drawn == "none":
            continue
        clips = study.clips(prompts)
        rows = list(_rows(study, one, split, role, clips, clips))
        yield from rows
        # what is drawn as the concept anyway is the concept to the model
        if study.suite.cell(role).drawn == "base":
            taken = {row.place: row.value > 0.5 for row in rows if row.measure == "shown"}
            tag = {True: ("drawn as the concept",), False: ("drawn otherwise",)}
            one.prompts[split, role] = [replace(p, tags=p.tags + tag[taken[i]]) for i, p in enumerate(prompts)]
        known = all(prompt.scene is not OPEN for prompt in prompts)
        if study.suite.renders and known and split == study.suite.splits()[-1] and role in ("target", "others"):
            for name in RENDERS if role == "target" else RENDERS[:1]:
                shown = rendered(one.key, prompts, erased=name == RENDERS[1])
                yield from _rows(study, one, split, role, shown, shown, method=name)


def method_rows(study: Study, one: Concerned, spec: MethodSpec, made: Made, base: Rows) -> Iterator[Row]:
    suite = study.suite
    variants: Sequence[Variant] = made.variants
    for split in suite.splits():
        last = split == suite.splits()[-1]
        drawn, encoded = roles_of(suite, spec, one, split)
        study.prepare(
            (prompts_against(study, one, split, role, v.method), v.method) for v in variants for role in drawn
        )
        rows = [
            row
            for variant in variants
            for role in drawn
            for prompts in [prompts_against(study, one, split, role, variant.method)]
            for clips in [study.clips(prompts, variant.method)]
            for row in _rows(study, one, split, role, clips, study.clips(prompts), variant, spec.name)
        ]
        yield from rows
        for variant in variants:
            for role in encoded:
                yield from _encoded_rows(study, one, split, role, variant, spec.name)
        if suite.tune and not last:
            variants = chosen(Rows([*base, *rows]), made.variants, spec.name, one, suite.tune)
            continue
        one.measured[spec.name] = variants[0]
        if suite.timed:
            times = seconds(study, variants[0].method) / seconds(study, UNEDITED)
            yield Row("clip's time, × none", times, method=spec.name, **one.common())


def roles_of(suite: Suite, spec: MethodSpec, one: Concerned, split: str) -> tuple[list[str], list[str]]:
    """The roles that a method draws, and those that it only encodes."""
    cells = [suite.cell(role) for of, role in one.prompts if of == split]
    mine = [
        cell
        for cell in cells
        if (not cell.methods or spec.name in cell.methods) and (not spec.roles or cell.role in spec.roles)
    ]
    return [c.role for c in mine if c.drawn == "all"], [c.role for c in mine if c.drawn != "all"]


def chosen(rows: Rows, variants: Sequence[Variant], method: str, one: Concerned, tune: str) -> list[Variant]:
    """The best setting on development wording, or the best of each layer (the first of equally good ones)."""
    groups: dict[int | None, list[Variant]] = {}
    for variant in variants:
        groups.setdefault(variant.layer if tune == "layer" else None, []).append(variant)
    found = []
    for members in groups.values():
        same = {"concept": name_of(one.key), "method": method, "split": "development"}
        asked = [{**same, "setting": variant.setting} for variant in members]
        scores = [score(rows, group) or 0.0 for group in asked]
        enough = [i for i, group in enumerate(asked)
                  if (kept := others_kept(rows, group)) is not None and kept.value >= PRESERVING]  # fmt: skip
        usable = (enough if tune == "setting" else []) or range(len(members))
        found.append(members[max(usable, key=lambda place: scores[place])])
    return found


def _rows(
    study: Study, one: Concerned, split: str, role: str, clips: Clips, base: Clips, variant: Variant = BARE,
    method: str = "none",
) -> Iterator[Row]:  # fmt: skip
    """The rows of some clips of one role, drawn by one method's `variant`."""
    suite = study.suite
    looked = look(study, one.key, role, clips, base)
    common = [
        one.of_prompt(
            prompt, place, method=method, setting=variant.setting, layer=variant.layer, strength=variant.strength,
            split=split, role=role, noise=prompt.seed, clip=clips.names[place] if clips.names else "",
        )
        for place, prompt in enumerate(clips.prompts)
    ]  # fmt: skip
    for group in suite.measures + (suite.reported if split == suite.splits()[-1] else ()):
        if group == "changed" and clips is base:
            continue
        for seen in MEASURES[group](looked):
            for place, value in enumerate(seen.values):
                if value != value:
                    continue
                key = seen.looked_for if isinstance(seen.looked_for, str) else seen.looked_for[place]
                frames = seen.frames if isinstance(seen.frames, int) else int(seen.frames[place])
                yield Row(
                    seen.measure, float(value), detector=seen.detector, looked_for=name_of(key), frames=frames,
                    floor=seen.floors.get(key), **common[place],
                )  # fmt: skip


def _encoded_rows(study: Study, one: Concerned, split: str, role: str, variant: Variant, method: str) -> Iterator[Row]:
    """Which prompts the denoiser is given as without the method."""
    prompts = one.prompts[split, role]
    for place, (prompt, same) in enumerate(zip(prompts, study.runner.unchanged(prompts, variant.method), strict=True)):
        said = one.of_prompt(prompt, place, method=method, setting=variant.setting, split=split, role=role)
        yield Row("encoded as before", float(same), **said)


def _fact_rows(one: Concerned, spec: MethodSpec, made: Made) -> Iterator[Row]:
    for name, value in made.facts.items():
        yield Row(name, float(value), method=spec.name, **one.common())
    for name, by_layer in made.by_layer.items():
        for layer, value in by_layer.items():
            yield Row(name, float(value), method=spec.name, layer=layer, **one.common())
    if made.text:
        yield Row("note", method=spec.name, text=made.text, **one.common())


def _rows_together(study: Study, concerned: Sequence[Concerned], cells: Sequence[Cell]) -> Iterator[Row]:
    """What is about all concepts at once, by the methods that the cells name."""
    suite, first = study.suite, concerned[0]
    one = Concerned(first.key, first.concept, 0)
    prompts_of(study, one, suite.split, cells, [other.key for other in concerned])
    for row in _base_rows(study, one, suite.split):
        yield replace(row, concept=ALL, kind="")
    for spec in suite.methods:
        if any(spec.name in cell.methods for cell in cells) and spec.name in first.made:
            for row in method_rows(study, one, spec, first.made[spec.name], Rows(())):
                yield replace(row, concept=ALL, kind="")


def seconds(study: Study, method: Method) -> float:
    """Time of one batch of clips; the faster of two."""
    times = []
    with method.applied_to(study.pipe):
        for _ in range(2):
            started = time.perf_counter()
            study.draw(*TIMED)
            times.append(time.perf_counter() - started)
    return min(times)


@dataclass(frozen=True)
class Needs:
    """What a suite takes at most; prompts that a method leaves alone are not drawn again."""

    clips: int
    bytes: int
    seconds: float
    """Of drawing, at the speed of the machine that was asked; fits come on top."""

    def __str__(self) -> str:
        return (
            f"at most {self.clips} clips, {self.bytes / 1e9:.2f} GB, {self.seconds / 3600:.2f} h of drawing on this"
            " machine; fits come on top"
        )


def needs(study: Study) -> Needs:
    """What the study's suite takes at most; draws one batch to learn the speed."""
    suite, concerned, total = study.suite, concepts_of(study), 0
    keys, apart = [one.key for one in concerned], [cell for cell in suite.prompts if not cell.together]
    for one in concerned:
        for split in suite.splits():
            prompts_of(study, one, split, apart, keys, search=False)
        total += sum(len(made) for (_, role), made in one.prompts.items() if suite.cell(role).drawn != "none")
        for spec in suite.methods:
            grid = len(settings_of(spec, tuned=bool(suite.tune)))
            layers = 1 + num_blocks(text_path(study.pipe).encoder) if spec.fit == "layers" else 1
            for split in suite.splits():
                drawn, _ = roles_of(suite, spec, one, split)
                tuned = suite.tune and split == suite.splits()[-1]
                # words found against a method are drawn without it too
                twice = [role for role in drawn if knows_the_method(suite.cell(role).recipe)]
                drawn_with_it = sum(len(one.prompts[split, role]) for role in [*drawn, *twice])
                total += layers * (1 if tuned else grid) * drawn_with_it
    all_at_once = replace(concerned[0], prompts={})
    prompts_of(study, all_at_once, suite.split, [cell for cell in suite.prompts if cell.together], keys)
    for (_, role), made in all_at_once.prompts.items():
        total += len(made) * (1 + sum(spec.name in suite.cell(role).methods for spec in suite.methods))
    started = time.perf_counter()
    frames = study.draw(*TIMED)
    each = (time.perf_counter() - started) / len(frames)
    return Needs(total, total * frames[0].nbytes, total * each)
