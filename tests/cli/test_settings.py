"""Every setting of a fit can be typed, and only what was typed changes the preset."""

from __future__ import annotations

import argparse
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from unseen.clear.config import ClearConfig
from unseen.cli.settings import add_settings, chosen_settings


def chosen(*argv: str) -> ClearConfig:
    parser = argparse.ArgumentParser()
    add_settings(parser)
    return chosen_settings(parser.parse_args(argv))


def settings_of(config: ClearConfig) -> dict[str, Any]:
    """Every setting by its path."""
    found: dict[str, Any] = {}
    for field in fields(config):
        value = getattr(config, field.name)
        inner = {f"{field.name}.{f.name}": getattr(value, f.name) for f in fields(value)} if is_dataclass(value) else {}
        found |= inner or {field.name: value}
    return found


def test_every_field_is_an_option_with_its_docstring_as_help() -> None:
    parser = argparse.ArgumentParser()
    add_settings(parser)
    options = {action.dest.removeprefix("setting:"): action for action in parser._actions}
    for name in settings_of(ClearConfig()):
        assert len((options[name].help or "").split()) > 4, f"{name} is not documented"


@pytest.mark.parametrize("preset", ["default", "paper", "paper_table10"])
def test_nothing_typed_is_the_preset(preset: str) -> None:
    expected = ClearConfig() if preset == "default" else getattr(ClearConfig, preset)()
    assert chosen("--config", preset) == expected


def test_a_typed_value_goes_on_top_of_the_preset_even_where_it_is_the_default() -> None:
    config = chosen("--config", "paper", "--sae.steps", "60", "--edit.gate", "true", "--edit.strengths", "1", "2.5")
    expected = {"sae.steps": 60, "edit.gate": True, "edit.strengths": (1.0, 2.5)}
    assert config == ClearConfig.paper().with_options(expected)
    assert chosen("--edit.max-features", "none", "--memory-budget", "3.5") == ClearConfig().with_options(
        {"edit.max_features": None, "memory_budget": 3.5}
    )


@pytest.mark.parametrize(
    "argv", [("--edit.gate", "maybe"), ("--sae.steps", "many"), ("--edit.mask", "none"), ("--sae.shared", "true")]
)
def test_what_is_no_value_or_no_setting_is_refused(argv: tuple[str, str]) -> None:
    with pytest.raises(SystemExit):
        chosen(*argv)


@pytest.mark.parametrize("name", ["steps", "sae.step", "edit", "sae.steps.more", "memory"])
def test_an_unknown_path_is_one_clear_error(name: str) -> None:
    with pytest.raises(ValueError, match="expected the path of a setting"):
        ClearConfig().with_options({name: 1})
