"""A suite: what is measured, written down in a TOML file. One of `SUITES`, by name, or a file of one's own.

    title = "Two objects"
    concepts = ["French horn", "church"]
    methods = ["clear", "safree"]
    tune = "setting"
    clips = 12

    [prompts]
    target = {}
    others = {}

    [[tables]]
    title = "Methods: {concept}"
    each = "concept"
    by = "method"
    columns = ["clips", "rate", "floor"]

docs/measuring.md says what each key means.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import UnionType
from typing import Any, get_origin, get_type_hints

from unseen.bench.views.query import TableSpec, queries
from unseen.diorama.model.networks import WHICH
from unseen.diorama.world import captions
from unseen.errors import SuiteError
from unseen.prompts.sets import FORMATS

FOLDER = Path(__file__).parent / "suites"
SUITES = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
"""The suites that come with the library."""
QUICK_CLIPS = 4
"""Clips per cell of a quick look."""
SPLITS = ("development", "test")
TUNES = ("", "setting", "layer")
DRAWN = ("all", "base", "none")


@dataclass(frozen=True)
class Cell:
    """The prompts of one role."""

    role: str
    recipe: str = ""
    """One of `unseen.bench.prompts.recipes.RECIPES`; the role's name, unless it is said."""
    clips: int = 0
    """Prompts, where they are not as many as the suite's `clips`."""
    drawn: str = "all"
    """"all": by every method; "base": without a method alone; "none": no clip, only encoded."""
    methods: tuple[str, ...] = ()
    """The methods that draw it; none means those that do not name the roles that they draw."""
    kinds: tuple[str, ...] = ()
    """The kinds of concepts that it is for; none means all."""
    split: str = ""
    """The only split that it is measured on, where a suite has two."""
    together: bool = False
    """Whether it is for all of the suite's concepts at once."""
    file: str = ""
    """Of the recipe "file": prompts one a line, or a table with a column "prompt"."""
    format: str = ""
    """That of the file, where it is one of the field's prompt sets: one of `unseen.prompts.sets.FORMATS`."""
    only: tuple[str, ...] = ()
    """Tags that all prompts of the set must have; "{concept}" stands for the concept's name."""


@dataclass(frozen=True)
class MethodSpec:
    """One method, and the settings that it is measured at."""

    name: str
    fit: str = ""
    """How it is made: one of `unseen.bench.methods.FAMILIES`, or a baseline; the method's name, unless it is said."""
    settings: tuple[Mapping[str, Any], ...] = ()
    """What it is applied with, one after the other; none means its own, or the grid of a tuned suite."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What it is fitted with."""
    roles: tuple[str, ...] = ()
    """The roles that it draws; none means all."""


@dataclass(frozen=True)
class Suite:
    """What is measured."""

    title: str
    concepts: tuple[str, ...]
    """Names of Diorama's concepts, or of any for another model."""
    prompts: tuple[Cell, ...]
    tables: tuple[TableSpec, ...]
    name: str = ""
    about: str = ""
    """One line for the help."""
    methods: tuple[MethodSpec, ...] = ()
    measures: tuple[str, ...] = ("rates",)
    """What is looked at in every clip, of `unseen.bench.measure.MEASURES`."""
    reported: tuple[str, ...] = ()
    """The same for what a tuned suite reports alone."""
    once: tuple[str, ...] = ()
    """What is measured once for the whole suite, of `unseen.bench.checks.CHECKS`."""
    tune: str = ""
    """"setting": settings are chosen on development wording and reported on test wording; "layer": each layer's."""
    timed: bool = False
    """Whether a clip's time with each method is measured."""
    renders: bool = False
    """Whether exact renders stand beside the methods."""
    model: str = "wan"
    """Diorama's "wan" or "cogvideox", or a hub id or folder."""
    detectors: tuple[str, ...] = ("diorama-a", "diorama-b")
    classes: Mapping[str, str] = field(default_factory=dict)
    """Which class of the detectors a concept is, where it is not the one of its name."""
    call: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the pipeline call, beside those that the model's makers recommend."""
    split: str = "test"
    seed: int = 0
    clips: int = 12
    """Prompts of a role."""
    test_clips: int = 0
    """The same on the test wording of a tuned suite; 0 means as many."""
    steps: int = 0
    """Denoising steps a clip; 0 means the model's own."""
    config: str = "default"
    """Settings of the fits: "default" or "paper"."""
    listed: bool = False
    """Whether fits are given the `fit` split's synonyms and descriptions beside the main name."""
    engine: str = "inline"
    workers: int = 2
    quick: bool = False
    counted: int = 0
    """Prompts of every role, as the command line says; 0 means what is said above."""

    def count(self, cell: Cell, split: str) -> tuple[int, int]:
        """Prompts of a cell, and how many it has on development wording, which are among them."""
        usual = cell.clips or self.clips
        fewer = self.counted or (min(QUICK_CLIPS, usual) if self.quick else usual)
        more = 0 if self.quick or self.counted else self.test_clips
        return (max(fewer, more) if self.tune and split == "test" else fewer), fewer

    def cell(self, role: str) -> Cell:
        """The prompts of a role."""
        return next(cell for cell in self.prompts if cell.role == role)

    @property
    def is_diorama(self) -> bool:
        """Whether it is about one of Diorama's models, of which everything is known."""
        return self.model in WHICH

    def splits(self) -> tuple[str, ...]:
        """The splits that are measured."""
        return SPLITS if self.tune else (self.split,)

    def with_options(self, **given: Any) -> Suite:
        """The suite with what the command line says, which wins; None stands for what is not said.

        Raises:
            SuiteError: the suite cannot be run so.
        """
        said = {name: value for name, value in given.items() if value not in (None, (), [])}
        if self.tune and "split" in said:
            raise SuiteError(
                f"{self.name} chooses settings on one split and reports on the other: --split is not for it."
            )
        if "methods" in said:
            known = {spec.name: spec for spec in self.methods}
            refuse_unknown("--methods", "method", said["methods"], known)
            said["methods"] = tuple(known[name] for name in said["methods"])
        if "clips" in said:
            said["counted"] = said.pop("clips")
        if "concepts" in said:
            said["concepts"] = tuple(said["concepts"])
        return _sensible(replace(self, **said), self.name)


def read_suite(name: str | Path) -> Suite:
    """The suite called `name`, or the one in the file `name`; `unseen.bench.run.load_suite` checks its names too.

    Raises:
        SuiteError: there is no such suite, or it says something that is not understood.
    """
    path = FOLDER / f"{name}.toml" if str(name) in SUITES else Path(name)
    data = _data(path, str(name))
    for key in ("title", "concepts", "prompts", "tables"):
        if not data.get(key) and not (key == "prompts" and data.get("once")):
            raise SuiteError(f"{path}: has no {key}; add {_EXAMPLE[key]}.")
    parts: dict[str, Any] = {
        "prompts": tuple(_cell(path, role, said) for role, said in data.pop("prompts", {}).items()),
        "methods": tuple(_method(path, said) for said in data.pop("methods", ())),
        "tables": tuple(_table(path, said) for said in data.pop("tables")),
    }
    own = str(name) if str(name) in SUITES else str(path)
    plain = _typed(path, Suite, data, "a suite", without=(*parts, "name", "quick", "counted"))
    return _sensible(Suite(**plain, **parts, name=own), str(path))


_EXAMPLE = {
    "title": 'title = "Objects"',
    "concepts": 'concepts = ["French horn", "church"]',
    "prompts": "a table [prompts], for instance with target = {}",
    "tables": 'a table [[tables]]; or say like = "methods" to have those of another suite',
}


def _data(path: Path, name: str) -> dict[str, Any]:
    """What a file says, on top of what the suite says that it is `like`."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError) as error:
        raise SuiteError(
            f"expected the name of a suite ({', '.join(SUITES)}) or a TOML file, got {name!r}, which is neither."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: is not a TOML file ({error}).") from error
    if (other := data.pop("like", None)) is None:
        return data
    if other not in SUITES:
        raise SuiteError(f"{path}: like has to be the name of a suite ({', '.join(SUITES)}), got {other!r}.")
    base = _data(FOLDER / f"{other}.toml", other)
    more = {"tables": base.get("tables", []) + data.pop("more_tables", [])} if "more_tables" in data else {}
    return {**base, **more, **data, "prompts": {**base.get("prompts", {}), **data.get("prompts", {})}}


def _typed(path: Path, kind: type, said: Any, what: str, *, without: Collection[str] = ()) -> dict[str, Any]:
    """The values of a dataclass, each of the type of its field, lists as tuples."""
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name not in without}
    if not isinstance(said, Mapping):
        raise SuiteError(f"{path}: {what} has to be a table with keys such as {next(iter(hints))}, got {said!r}.")
    made: dict[str, Any] = {}
    for key, value in said.items():
        if key not in hints:
            raise SuiteError(f"{path}: does not understand {key!r}; {what} has {', '.join(hints)}.")
        hint, origin = hints[key], get_origin(hints[key])
        if origin is tuple and isinstance(value, str):
            value = [value]
        fits = list if origin is tuple else dict if origin is not None and origin is not UnionType else hint
        if isinstance(fits, UnionType):
            fits = float
        if not (type(value) is fits or (fits is float and type(value) is int)):  # True would do for a number
            raise SuiteError(f"{path}: {key} has to be of type {fits.__name__}, got {value!r}.")
        made[key] = tuple(value) if isinstance(value, list) else value
    return made


def _cell(path: Path, role: str, said: Any) -> Cell:
    cell = Cell(role, **_typed(path, Cell, said, f"prompts.{role}", without=("role",)))
    refuse_unknown(path, "way to draw", [cell.drawn], DRAWN)
    refuse_unknown(path, "format", [cell.format] if cell.format else [], FORMATS)
    if (cell.format and not cell.file) or (cell.only and not cell.format):
        lacks = "file" if cell.format and not cell.file else "format"
        raise SuiteError(f"{path}: prompts.{role} needs a {lacks}: the path of a prompt set's file, and its format.")
    return replace(cell, recipe=cell.recipe or ("file" if cell.file else role))


def _method(path: Path, said: Any) -> MethodSpec:
    spec = MethodSpec(**_typed(path, MethodSpec, {"name": said} if isinstance(said, str) else said, "a method"))
    return replace(spec, fit=spec.fit or spec.name)


def _table(path: Path, said: Any) -> TableSpec:
    given = dict(said)
    lines = [*given.pop("columns", []), *given.pop("rows", [])]
    spec = TableSpec(**_typed(path, TableSpec, given, "a table", without=("columns",)))
    asked = queries(lines, spec.where, f"{path}, {spec.title!r}")
    return replace(spec, view=spec.view or ("groups" if spec.by else "targets"), columns=asked)


def _sensible(suite: Suite, path: str) -> Suite:
    for key, least in (("clips", 1), ("workers", 1), ("steps", 0), ("test_clips", 0), ("counted", 0)):
        if getattr(suite, key) < least:
            raise SuiteError(f"{path}: {key} has to be {least} or more, got {getattr(suite, key)}.")
    if suite.test_clips and suite.test_clips < suite.clips:
        raise SuiteError(f"{path}: test_clips has to be {suite.clips} or more, got {suite.test_clips}.")
    if len({spec.name for spec in suite.methods}) < len(suite.methods):
        raise SuiteError(f"{path}: has two methods of one name; give each its own.")
    for key, known in (("split", SPLITS), ("tune", TUNES), ("config", ("default", "paper"))):
        refuse_unknown(path, key, [getattr(suite, key)], known)
    for name in suite.concepts if suite.is_diorama else ():
        try:
            captions.key_of(str(name))
        except ValueError as error:
            raise SuiteError(f"{path}: {error}") from error
    return suite


def refuse_unknown(path: Path | str, what: str, given: Collection[str], known: Collection[str]) -> None:
    """Raise `SuiteError` for the first of `given` that is not known."""
    for name in given:
        if name not in known:
            raise SuiteError(f"{path}: knows no {what} {name!r}; choose among {', '.join(filter(None, known))}.")
