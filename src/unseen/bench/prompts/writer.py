"""Evaluation prompts with their ground truth, sorted by the role they play for the concept that is erased.

Only wording of the development or the test split is used, beside main names and the synonyms that were listed when the
eraser was fitted; an eraser has therefore seen neither the templates nor the contexts it is measured on.
"""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from unseen.concept import Concept
from unseen.diorama.world import captions, scenes
from unseen.diorama.world.concepts import mentions, near_to, said_in
from unseen.diorama.world.sampling import sample_scene
from unseen.diorama.world.scenes import Scene

SPLITS = ("development", "test")
PHRASINGS = ("synonym", "periphrasis", "fr", "de", "es")
"""Ways to say a concept other than its main name; the last three are other languages."""
_TRIES = 400


@dataclass(frozen=True)
class Prompt:
    """One prompt, what it asks for, and the noise it is drawn from."""

    text: str
    scene: Scene
    """`OPEN` where the prompt is somebody else's, and nothing is known of what it asks for."""
    role: str
    """target, neighbour, namesake, absent, companion, carrier, rest, or a kind of phrasing."""
    key: str
    """The subject, style or attribute (a key of `unseen.diorama.world.scenes`) that the prompt is in the set for."""
    seed: int
    said: frozenset[str] = frozenset()
    """What the words settle: some of "background", "motion", "style". The rest is the video model's choice."""
    tags: tuple[str, ...] = ()
    """More about it, such as "form: question"."""


OPEN = Scene((), scenes.BACKGROUNDS[0], scenes.MOTIONS[0])


class PromptWriter:
    """Draws evaluation prompts of one split; the same split and seed give the same prompts."""

    def __init__(self, split: str, seed: int = 0):
        if split not in SPLITS:
            raise ValueError(f"Prompts are measured on the split {' or '.join(SPLITS)}, not {split!r}.")
        self.split = split
        self.seed = seed

    def _rng(self, *cell: str) -> np.random.Generator:
        # one stream per cell: a cell's prompts stay the same whatever other cells are asked for
        return np.random.default_rng([self.seed, SPLITS.index(self.split), *"/".join(cell).encode()])

    def noise_seed(self, text: str, place: int) -> int:
        """The noise seed of `text` as clip number `place` of its cell, shared with no other text.

        Were seeds numbered in each cell, a rate over many cells of two clips would tell of two noises.
        """
        return SPLITS.index(self.split) << 32 | zlib.crc32(f"{self.seed}/{place}/{text}".encode())

    def _write(
        self, scene: Scene, rng: np.random.Generator, *, kind: str | None = "main", containing: Iterable[str] = ()
    ) -> str:
        wanted = list(containing)
        for _ in range(_TRIES):
            text = captions.caption(scene, rng, template_split=self.split, phrase_split=self.split, name_kind=kind)
            if all(mentions(text, word) for word in wanted):
                return text
        raise ValueError(f"No caption of the {self.split} split says {wanted} about {scene}.")

    def _collect(self, stream: Iterator[tuple[Scene, str]], count: int, role: str, key: str) -> list[Prompt]:
        """`count` prompts from the first different texts of a stream, each with its ground truth and noise seed. A text
        comes again only where the stream has no more: clips of one text tell less than as many texts do."""
        texts: dict[str, Scene] = {}
        for _, (scene, text) in zip(range(_TRIES * count), stream, strict=False):
            texts.setdefault(text, scene)
            if len(texts) >= count:
                break
        found = list(texts.items())
        return [
            Prompt(text, scene, role, key, self.noise_seed(text, place), said_in(text, scene, self.split))
            for place in range(count)
            for text, scene in [found[place % len(found)]]
        ]

    def single(
        self, key: str, count: int, *, role: str, kind: str = "main", held_out: bool = False, salt: str = ""
    ) -> list[Prompt]:
        """`count` prompts with one subject; `key` is the subject, or an attribute shown on its carriers.

        An attribute's carriers take turns. `kind` says how it is named (`captions.KINDS`); `held_out` asks for
        combinations the video model never saw; another `salt` gives other prompts.
        """
        rng = self._rng(role, key, kind, str(held_out), salt)
        shown = (key,) if key in scenes.ATTRIBUTES else ()

        def stream() -> Iterator[tuple[Scene, str]]:
            for carrier in itertools.cycle(scenes.CARRIERS_OF.get(key, (key,))):
                scene = replace(sample_scene(rng, subject=carrier, count=1, held_out=held_out), attributes=shown)
                yield scene, self._write(scene, rng, kind=kind)

        return self._collect(stream(), count, role, key)

    def styled(self, style: str, count: int, *, role: str, kind: str = "main") -> list[Prompt]:
        """`count` prompts about various subjects that name `style`; "plain" may go unsaid."""
        rng = self._rng(role, style, kind, "styled")

        def stream() -> Iterator[tuple[Scene, str]]:
            while True:
                scene = sample_scene(rng, count=1, plain_share=1.0)
                if scene.subjects[0] == scenes.STRANGER:
                    continue
                scene = replace(scene, style=style, attributes=())
                text = self._write(scene, rng, kind="main" if kind == "main" else None)
                names = captions.names(style, kind, self.split)
                subject_plain = mentions(text, captions.main_name(scene.subjects[0]))
                if style == "plain" or (subject_plain and any(mentions(text, name) for name in names)):
                    yield scene, text

        return self._collect(stream(), count, role, style)

    def naming(self, key: str, count: int, *, role: str, kind: str = "main") -> list[Prompt]:
        """`count` prompts that name any concept: `styled` for a style, else `single`."""
        write = self.styled if key in scenes.STYLES else self.single
        return write(key, count, role=role, kind=kind)

    def pairs(self, key: str, count: int, *, role: str = "companion") -> list[Prompt]:
        """`count` prompts with `key` and another subject, either one on the left; both carry their main names."""
        rng = self._rng(role, key, "pair")
        unlike = {subject for subject in scenes.SUBJECTS if subject not in (key, *near_to(key))}

        def stream() -> Iterator[tuple[Scene, str]]:
            while True:
                scene = sample_scene(rng, subject=key, count=2)
                if not set(scene.subjects) - {key} <= unlike:
                    continue
                scene = replace(scene, attributes=())
                names = [captions.main_name(subject) for subject in scene.subjects]
                yield scene, self._write(scene, rng, containing=names)

        return self._collect(stream(), count, role, key)

    def empty(self, count: int) -> list[Prompt]:
        """`count` prompts about a background alone."""
        rng = self._rng("rest", "empty")

        def stream() -> Iterator[tuple[Scene, str]]:
            while True:
                scene = sample_scene(rng, count=0)
                yield scene, self._write(scene, rng)

        return self._collect(stream(), count, "rest", "nothing")

    def mixed(self, keys: Sequence[str], count: int, *, role: str, salt: str = "") -> list[Prompt]:
        """`count` single-subject prompts, spread evenly over `keys`."""
        shares = [count // len(keys) + (place < count % len(keys)) for place in range(len(keys))]
        return [
            prompt
            for key, share in zip(keys, shares, strict=True)
            for prompt in self.single(key, share, role=role, salt=salt)
        ]


def with_listed_synonyms(prompts: Sequence[Prompt], concept: Concept) -> list[Prompt]:
    """The prompts with every second main name exchanged for one of the synonyms listed in `concept`, in turn."""
    changed = list(prompts)
    for turn, place in enumerate(range(1, len(changed), 2) if concept.synonyms else ()):
        other = concept.synonyms[turn % len(concept.synonyms)]
        changed[place] = replace(changed[place], text=exchange(changed[place].text, concept.name, other))
    return changed


def exchange(text: str, name: str, other: str) -> str:
    """`text` with `name` exchanged for `other`, an indefinite article in front of it adapted."""
    fitting = "an" if other[0].lower() in "aeiou" else "a"

    def put(match: re.Match[str]) -> str:
        article = match[1]
        return other if article is None else f"{fitting.capitalize() if article[0] == 'A' else fitting} {other}"

    return re.sub(rf"\b(?:([Aa]n?) )?{re.escape(name)}\b", put, text)


def carrier_of(prompt: Prompt) -> str:
    """What shows the attribute that a prompt is about."""
    return next(subject for subject in prompt.scene.subjects if scenes.ATTRIBUTE_OF.get(subject) == prompt.key)


def _called(prompt: Prompt) -> str:
    """The main name of what a prompt is about; an attribute's with the carrier that shows it."""
    if prompt.key not in scenes.ATTRIBUTES:
        return captions.main_name(prompt.key)
    return captions.names(prompt.key, "main")[scenes.CARRIERS_OF[prompt.key].index(carrier_of(prompt))]


def unnamed(prompt: Prompt, word: str = "something") -> Prompt:
    """The prompt with its subject's main name, and the article before it, exchanged for "something" or another word."""
    name = re.escape(_called(prompt))
    text = re.sub(rf"(?:\b(?:an?|the) )?(?<!\w){name}(?!\w)", word, prompt.text, flags=re.IGNORECASE)
    return replace(prompt, text=text[0].upper() + text[1:] if prompt.text[0].isupper() else text)
