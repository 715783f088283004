"""Fixtures: tiny real models, built in memory from configurations."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from torch import nn
from transformers import PreTrainedTokenizerFast

from unseen.bench.ways.tiny import (
    BLOCKS,
    NOUNS,
    VOCABULARY,
    WIDTH,
    WORDS,
    make_encoder,
    make_eraser,
    make_pipe,
    make_tokenizer,
)
from unseen.clear.config import ClearConfig
from unseen.clear.eraser import ClearEraser

SMALL_FIT = ClearConfig().with_options(
    {
        "prompts.pairs": 60, "prompts.held_out": 12, "prompts.retain": 60, "prompts.max_length": 32,
        "sae.num_features": 256, "sae.steps": 240, "sae.l1_coefficient": 0.03, "search.rounds": 3, "search.warm_up": 1,
    }
)  # fmt: skip
"""Settings of a fit that takes a second."""
WIDER_FIT = ClearConfig().with_options(
    {
        "prompts.pairs": 60, "prompts.held_out": 10, "prompts.retain": 100, "prompts.max_length": 32,
        "sae.num_features": 320, "sae.steps": 120, "search.rounds": 2, "search.warm_up": 1,
    }
)  # fmt: skip
SMALLEST_FIT = ClearConfig().with_options(
    {
        "prompts.pairs": 48, "prompts.held_out": 8, "prompts.retain": 48,
        "sae.num_features": 96, "sae.steps": 40, "search.rounds": 2, "search.warm_up": 1, "search.steps": 5,
    }
)  # fmt: skip
FEW_PROMPTS = SMALL_FIT.with_options({"prompts.pairs": 30, "prompts.held_out": 8, "prompts.retain": 30})
"""For encoders that read padding: every prompt is as long as the longest may be, and reading is most of the work."""

COSTLY = (
    "runtime/chokepoints/test_ways.py", "pipelines/test_generation.py", "bench/test_measure.py",
    "diorama/test_pipeline.py", "bench/test_run.py", "bench/test_faults.py", "bench/test_killed.py",
    "bench/test_attacks.py", "pipelines/test_offloaded_encoders.py", "pipelines/test_pipelines.py",
    "diorama/test_detector.py", "baselines/test_baselines.py", "runtime/rewriting/test_paraphrase.py",
    "clear/test_modes.py",
)  # fmt: skip
"""The files that take longest. `make test` hands out whole files in the order in which they are collected; were these
begun last, one worker would be busy with one of them while the other has nothing to do."""

__all__ = [
    "BLOCKS",
    "NOUNS",
    "VOCABULARY",
    "WIDTH",
    "WORDS",
    "make_encoder",
    "make_eraser",
    "make_pipe",
    "make_tokenizer",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The costly files first."""
    home = Path(__file__).parent
    places = {home / name: place for place, name in enumerate(COSTLY)}
    assert all(path.is_file() for path in places), "COSTLY names a file that is gone"
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_collection_finish() -> None:
    """What was imported stays to the end: garbage collections that look through all of it take a tenth of the time."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


@pytest.fixture
def encoder_of() -> Callable[..., nn.Module]:
    return make_encoder


@pytest.fixture
def eraser_of() -> Callable[..., ClearEraser]:
    return make_eraser


@pytest.fixture
def pipe() -> Any:
    return make_pipe()


@pytest.fixture
def pipe_of() -> Callable[..., Any]:
    return make_pipe


@pytest.fixture(scope="session")
def world() -> Any:
    """Diorama-Wan as it is committed, loaded once: what its model sees in words (runtime/rewriting/views.py) takes the
    first who asks ten seconds. Leave it as it came: detach what you attach."""
    pytest.importorskip("diffusers")
    from unseen import diorama

    return diorama.load_pipeline()


@pytest.fixture
def loaded_world(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`diorama.load_pipeline()` gives `world`: for examples that load it themselves."""
    monkeypatch.setattr("unseen.diorama.load_pipeline", lambda: world)


@pytest.fixture(scope="session")
def mixed() -> Iterator[ModuleType]:
    """`benchmarks/mixed_clips.py`."""
    pytest.importorskip("av")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
        import mixed_clips

        yield mixed_clips
        sys.modules.pop("mixed_clips", None)


@pytest.fixture(scope="session")
def mixed_folder(mixed: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 clips, the twelve odd ones among them, as the benchmark makes them. Not to be changed."""
    path = tmp_path_factory.mktemp("clips") / "mixed"
    assert len(list(mixed.write_mixed(path, 24, size=96, frames=32))) == 12
    return path


@pytest.fixture(scope="session")
def zoo() -> Iterator[ModuleType]:
    """`benchmarks/pipeline_table/zoo.py`: tiny pipelines of many kinds."""
    yield from _of_the_table("zoo")


@pytest.fixture(scope="session")
def columns(zoo: ModuleType) -> Iterator[ModuleType]:
    """`benchmarks/pipeline_table/columns.py`: what is tried on each of them."""
    yield from _of_the_table("columns")


def _of_the_table(name: str) -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "benchmarks" / "pipeline_table")
        yield import_module(name)
        sys.modules.pop(name, None)
