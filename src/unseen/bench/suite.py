"""A comparison written down in a file: which methods, on which concepts, with how many clips.

    title = "Objects"
    concepts = ["French horn", "church"]
    methods = ["clear", "safree"]
    clips = 12

A suite is one of `SUITES`, by name, or a TOML file of one's own. `test_clips`, `seed`, `steps` and
`attacks` may be given too.
"""

from __future__ import annotations

import time
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from unseen.bench.attacks import attack_clips
from unseen.bench.compare import CONCEPTS, GRID
from unseen.bench.study import Settings, Study
from unseen.bench.sweep import prompts_for
from unseen.diorama.model.pipeline import generate
from unseen.diorama.world import captions
from unseen.diorama.world.scenes import FRAMES, SIZE
from unseen.errors import SuiteError

FOLDER = Path(__file__).parent / "suites"
SUITES = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
"""The suites that come with the library."""
_TIMED = 8


@dataclass(frozen=True)
class Suite:
    """What is compared."""

    title: str
    concepts: tuple[str, ...]
    """Names of Diorama's concepts."""
    methods: tuple[str, ...] = tuple(GRID)
    clips: int = 12
    """Target prompts of each concept and wording; as many others are drawn beside them."""
    test_clips: int | None = None
    """Target prompts on test wording, where more are reported than are tuned on; None means `clips`."""
    seed: int = 0
    steps: int | None = None
    """Denoising steps a clip; None means the model's own."""
    attacks: bool = False
    """Whether the methods are attacked as well (`unseen.bench.attacks`)."""

    def settings(self, settings: Settings, name: str) -> Settings:
        """`settings` with what the suite, called `name`, says put in."""
        return replace(
            settings,
            suite=name,
            concepts=self.concepts,
            methods=self.methods,
            clips=self.clips,
            test_clips=self.test_clips,
            seed=self.seed,
            steps=self.steps,
            attacks=self.attacks,
        )


@dataclass(frozen=True)
class Needs:
    """What a comparison takes at most; prompts that a method leaves alone are not drawn again."""

    clips: int
    bytes: int
    seconds: float
    """Of drawing, at the speed of the machine that was asked; fits come on top."""

    def __str__(self) -> str:
        return (
            f"at most {self.clips} clips, {self.bytes / 1e9:.2f} GB, {self.seconds / 3600:.2f} h of drawing on this"
            " machine; fits come on top"
        )


def load_suite(name: str | Path) -> Suite:
    """The suite called `name`, or the one in the file `name`.

    Raises:
        SuiteError: there is no such suite, or it says something that is not understood.
    """
    path = FOLDER / f"{name}.toml" if str(name) in SUITES else Path(name)
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SuiteError(
            f"expected the name of a suite ({', '.join(SUITES)}) or a TOML file, got {str(name)!r}, which is neither."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: is not a TOML file ({error}).") from error
    return _checked(path, data)


def _checked(path: Path, data: Mapping[str, Any]) -> Suite:
    kinds: dict[str, Any] = {
        "title": str, "concepts": list, "methods": list, "clips": int, "test_clips": int, "seed": int, "steps": int,
        "attacks": bool,
    }  # fmt: skip
    assert set(kinds) == {field.name for field in fields(Suite)}
    for key, value in data.items():
        if key not in kinds:
            raise SuiteError(f"{path}: does not understand {key!r}; a suite has {', '.join(kinds)}.")
        if type(value) is not kinds[key]:  # True would do for a number
            raise SuiteError(f"{path}: {key} has to be of type {kinds[key].__name__}, got {value!r}.")
    for key in ("title", "concepts"):
        if not data.get(key):
            raise SuiteError(f"{path}: has no {key}; add one, for instance {_EXAMPLE[key]}.")
    for key, least in (("clips", 1), ("steps", 1), ("test_clips", data.get("clips", Suite.clips))):
        if key in data and data[key] < least:
            raise SuiteError(f"{path}: {key} has to be {least} or more, got {data[key]}.")
    _refuse_unknown(path, "method", data.get("methods", ()), GRID)
    for name in data["concepts"]:
        try:
            captions.key_of(str(name))
        except ValueError as error:
            raise SuiteError(f"{path}: {error}") from error
    given: dict[str, Any] = {k: tuple(map(str, v)) if isinstance(v, list) else v for k, v in data.items()}
    return Suite(**given)


_EXAMPLE = {"title": 'title = "Objects"', "concepts": 'concepts = ["French horn", "church"]'}


def _refuse_unknown(path: Path, what: str, given: Collection[str], known: Collection[str]) -> None:
    for name in given:
        if name not in known:
            raise SuiteError(f"{path}: knows no {what} {name!r}; choose among {', '.join(known)}.")


def needs(study: Study) -> Needs:
    """What `evaluate_methods` with the study's settings takes at most; draws one batch to learn the speed."""
    total = 0
    for key in study.chosen(CONCEPTS, captions.KEYS):
        development, test = (
            sum(len(prompts) for prompts in prompts_for(study, key, split).values())
            for split in ("development", "test")
        )
        total += development + test
        methods = study.settings.methods or tuple(GRID)
        total += sum(len(GRID[name]) * development + test for name in methods)
        if study.settings.attacks:
            total += (1 + len(methods)) * attack_clips(study, key)
    started = time.perf_counter()
    generate(study.pipe, ["a red thing in the snow"] * _TIMED, list(range(_TIMED)), **study.faster)
    each = (time.perf_counter() - started) / _TIMED
    return Needs(total, total * FRAMES * SIZE * SIZE * 3, total * each)
