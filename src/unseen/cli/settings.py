"""Command-line options made from a configuration: every field is one, its docstring the help.

Only options that are typed count, so that they go on top of whichever preset is chosen.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import itertools
import textwrap
import types
from collections.abc import Callable, Iterator
from dataclasses import Field, fields, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ..clear.config import ClearConfig

PRESETS = ("default", "paper", "paper_table10")
_PREFIX = "setting:"
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Options `--config PRESET`, and `--GROUP.SETTING VALUE` for every field of `ClearConfig`."""
    parser.add_argument("--config", choices=PRESETS, default="default", help="settings of the fit to start from")
    whole = ClearConfig()
    for part in fields(whole):
        group = getattr(whole, part.name)
        if is_dataclass(group):
            section = parser.add_argument_group(f"settings: {part.name}", type(group).__doc__)
            for field, help_text, kind in _described(type(group)):
                _add(section, f"{part.name}.{field.name}", getattr(group, field.name), help_text, kind)
    section = parser.add_argument_group("settings: where")
    for field, help_text, kind in _described(ClearConfig):
        _add(section, field.name, getattr(whole, field.name), help_text, kind)


def chosen_settings(options: argparse.Namespace) -> ClearConfig:
    """The chosen preset with the settings that were typed. Raises `ValueError` for one that is out of range."""
    preset = ClearConfig() if options.config == "default" else getattr(ClearConfig, options.config)()
    return preset.with_options(
        {name.removeprefix(_PREFIX): value for name, value in vars(options).items() if name.startswith(_PREFIX)}
    )


def _add(group: Any, name: str, default: Any, help_text: str, kind: Any) -> None:
    several = get_origin(kind) is tuple
    shown = " ".join(map(str, default)) if several else "none" if default is None else default
    options: dict[str, Any] = {"nargs": "+", "action": _AsTuple} if several else {}
    if get_origin(kind) is Literal:
        options["choices"] = get_args(kind)
    else:
        options |= {"type": _reader(get_args(kind)[0] if several else kind), "metavar": "X"}
    group.add_argument(
        f"--{name.replace('_', '-')}",
        dest=f"{_PREFIX}{name}",
        default=argparse.SUPPRESS,
        help=f"{help_text} (default: {shown})".replace("%", "%%"),
        **options,
    )


class _AsTuple(argparse.Action):
    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        setattr(namespace, self.dest, tuple(values))


def _reader(kind: Any) -> Callable[[str], Any]:
    """What turns a word into a value of type `kind`; "none" where None is allowed."""
    allowed = [one for one in get_args(kind) if one is not types.NoneType] or [kind]
    optional = len(allowed) < len(get_args(kind))

    def read(text: str) -> Any:
        if optional and text.lower() == "none":
            return None
        if allowed[0] is not bool:
            return allowed[0](text)
        if text.lower() not in _TRUTH:
            raise ValueError(text)
        return _TRUTH[text.lower()]

    read.__name__ = getattr(allowed[0], "__name__", str(allowed[0]))  # argparse: "invalid float value"
    return read


def _described(holder: type) -> Iterator[tuple[Field[Any], str, Any]]:
    """Fields of a dataclass, the string under each, and its type."""
    body = ast.parse(textwrap.dedent(inspect.getsource(holder))).body[0].body  # type: ignore[attr-defined]
    said = {
        ast.unparse(before.target): str(after.value.value)
        for before, after in itertools.pairwise(body)
        if isinstance(before, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
    }
    hints = get_type_hints(holder)
    for field in fields(holder):
        if field.name in said:
            yield field, " ".join(said[field.name].split()), hints[field.name]
