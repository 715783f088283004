"""The settings of a fit as options: `--config PRESET`, and `--GROUP.SETTING VALUE` for every field of `ClearConfig`.

Only options that are typed count, so that they go on top of whichever preset is chosen.
"""

from __future__ import annotations

import argparse
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin

from unseen.clear.config import ClearConfig
from unseen.cli.options import How, described, value_of

PRESETS = ("default", "paper", "paper_table10")
_PREFIX = "setting:"


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Add `--config` and an option for each setting."""
    presets = value_of(str, How(choices=PRESETS))
    parser.add_argument(
        "--config", default="default", help="Settings of the fit to start from (default: default).", **presets
    )
    whole = ClearConfig()
    for part in fields(whole):
        group = getattr(whole, part.name)
        if is_dataclass(group):
            section = parser.add_argument_group(f"settings: {part.name}", type(group).__doc__)
            for field, help_text, kind in described(type(group)):
                _add(section, f"{part.name}.{field.name}", getattr(group, field.name), help_text, kind)
    section = parser.add_argument_group("settings: where")
    for field, help_text, kind in described(ClearConfig):
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
    options = value_of(get_args(kind)[0] if several else kind)
    if several:
        options |= {"nargs": "+", "action": _AsTuple}
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
