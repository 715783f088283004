"""Command-line options made from a dataclass: every field is one, the string under it its help.

    @dataclass(frozen=True, kw_only=True)
    class Options:
        prompt: str
        \"\"\"What to generate.\"\"\"          # no default: an argument of its own
        eraser: tuple[Path, ...] = ()
        \"\"\"An eraser.\"\"\"                # --eraser, may be repeated
        compare: bool = False
        \"\"\"Write before and after.\"\"\"   # --compare

`option(...)` says what a type does not: another flag, the name of the value, its least.
"""

from __future__ import annotations

import argparse
import ast
import functools
import inspect
import itertools
import math
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from unseen.cli.commands import did_you_mean

T = TypeVar("T")
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_HOW = "how"


@dataclass(frozen=True)
class How:
    """What the type of a field does not say about its option."""

    metavar: str | None = None
    """What its value is called in the help."""
    flag: str | None = None
    """The option, where it is not the field's name."""
    positional: bool = False
    """Whether it is an argument without a flag, though it has a default."""
    together: bool = False
    """Whether several values follow one flag, instead of a flag each."""
    least: float | None = None
    """The smallest number allowed."""
    most: float | None = None
    above: float | None = None
    """A number that must be exceeded."""
    choices: Sequence[str] = ()
    """The only values allowed, where the type is no `Literal`."""


def option(default: Any = MISSING, **how: Any) -> Any:
    """A field of a dataclass of options; `how` are fields of `How`."""
    return field(default=default, metadata={_HOW: How(**how)})


def add_options(parser: argparse.ArgumentParser, holder: type) -> None:
    """An option for every documented field of the dataclass `holder`, in the order of its definition."""
    for one, said, kind in described(holder):
        how = one.metadata.get(_HOW, How())
        default = None if one.default is MISSING else one.default
        if kind is bool:
            action: Any = argparse.BooleanOptionalAction if default else "store_true"
            shown = " (default: yes)" if default else ""
            parser.add_argument(flag_of(one), dest=one.name, default=default, action=action, help=_escaped(said, shown))
            continue
        several = get_origin(kind) is tuple
        inner = get_args(kind)[0] if several else kind
        options: dict[str, Any] = value_of(inner, how)
        if one.default is MISSING or how.positional:
            if several or how.positional:
                options["nargs"] = "+" if several and one.default is MISSING else "*" if several else "?"
            parser.add_argument(one.name, default=default, help=_escaped(said, ""), **options)
            continue
        if several:
            options |= {"nargs": "+"} if how.together else {"action": "append"}
            said += "" if how.together else " May be repeated."
            default = list(default or ())  # argparse appends to it
        shown = "" if default in (None, []) or "default:" in said else f" (default: {default})"
        parser.add_argument(flag_of(one), dest=one.name, default=default, help=_escaped(said, shown), **options)


def read_options(holder: type[T], namespace: argparse.Namespace) -> T:
    """The dataclass, filled with what was typed."""
    values = {one.name: getattr(namespace, one.name) for one in fields(holder)}  # type: ignore[arg-type]
    return holder(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def changed(options: Any, *names: str) -> list[str]:
    """The options among `names` whose value is not the default, as they are typed."""
    given = {one.name: one for one in fields(options)}
    return [flag_of(given[name]) for name in names if getattr(options, name) != given[name].default]


def flag_of(one: Field[Any]) -> str:
    """`--replace-with` for the field `replace_with`."""
    return one.metadata.get(_HOW, How()).flag or f"--{one.name.replace('_', '-')}"


def value_of(kind: Any, how: How = How()) -> dict[str, Any]:
    """What argparse has to know of a value of type `kind`."""
    plain = _plain(kind)[0]
    allowed = get_args(plain) if get_origin(plain) is Literal else how.choices
    if allowed:
        shown = how.metavar or "{" + ",".join(allowed) + "}"
        return {"choices": tuple(allowed), "type": _chooser(tuple(allowed)), "metavar": shown}
    usual = {int: "N", float: "X", Path: "PATH"}.get(plain, "TEXT")
    return {"type": reader_of(kind, how), "metavar": how.metavar or usual}


def reader_of(kind: Any, how: How = How()) -> Callable[[str], Any]:
    """What turns a word into a value of type `kind`; "none" where None is allowed and a number or truth is asked for.

    What it raises says what was expected and what came.
    """
    plain, optional = _plain(kind)
    if get_origin(plain) is Literal:
        return _chooser(get_args(plain))

    def read(text: str) -> Any:
        if plain is Path:
            return Path(text)
        if optional and text.lower() == "none":
            return None
        if plain is str:
            return text
        if plain is bool:
            if text.lower() not in _TRUTH:
                raise argparse.ArgumentTypeError(f"expected yes or no, got {text!r}")
            return _TRUTH[text.lower()]
        return _number(text, plain, how)

    return read


def described(holder: type) -> Iterator[tuple[Field[Any], str, Any]]:
    """Fields of a dataclass, the string under each (inherited ones too), and its type."""
    said: dict[str, str] = {}
    for cls in reversed(holder.__mro__):
        if is_dataclass(cls):
            said |= _strings_under_fields(cls)
    hints = get_type_hints(holder)
    for one in fields(holder):
        if one.name in said:
            yield one, " ".join(said[one.name].split()), hints[one.name]


def _strings_under_fields(holder: type) -> dict[str, str]:
    body = _classes(holder.__module__)[holder.__name__].body
    return {
        ast.unparse(before.target): str(after.value.value)
        for before, after in itertools.pairwise(body)
        if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }


@functools.cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    """The classes of a module, as they are written."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _plain(kind: Any) -> tuple[Any, bool]:
    """`int | None` → (int, True)."""
    allowed = [one for one in get_args(kind) if one is not types.NoneType] if get_origin(kind) is not Literal else []
    return (allowed or [kind])[0], bool(allowed) and len(allowed) < len(get_args(kind))


def _chooser(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def choose(text: str) -> str:
        if text not in allowed:
            raise argparse.ArgumentTypeError(
                f"expected one of {', '.join(allowed)}, got {text!r}{did_you_mean(text, allowed)}"
            )
        return text

    return choose


def _number(text: str, kind: type, how: How) -> float:
    what = "a whole number" if kind is int else "a number"
    if how.above is not None:
        what += f" above {how.above:g}"
    if how.least is not None:
        what += f" of {how.least} or more" if how.most is None else f" from {how.least} to {how.most}"
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    low = (how.least is not None and value < how.least) or (how.above is not None and value <= how.above)
    if not math.isfinite(value) or low or (how.most is not None and value > how.most):
        raise argparse.ArgumentTypeError(f"expected {what}, got {text!r}")
    return value


def _escaped(said: str, shown: str) -> str:
    return f"{said}{shown}".replace("%", "%%")
