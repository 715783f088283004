"""The drawn layers that training clips are composed of: every subject in many individuals, every place in many views.

    python -m unseen.diorama.training.layers --individuals 96 --workers 16

Drawing runs on the processor's cores; what it makes fits on a graphics card, where `clips.py` composes clips from it
thousands of times faster than they could be drawn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from unseen.diorama.processes import in_processes
from unseen.diorama.training.checkpoints import CHECKPOINTS
from unseen.diorama.world.render import PHASES, SPRITE, STAGE, draw_sprite, draw_stage
from unseen.diorama.world.scenes import ATTRIBUTE_OF, BACKGROUNDS, STRANGER, SUBJECTS

LAYER_SEED = 2_000_000_000
INDIVIDUALS = 96
"""Of each subject, unless told otherwise."""
STRANGERS = 4
"""Times as many strangers as individuals of anything else: nobody of them may become known."""
FOLDER = CHECKPOINTS / "layers"

Variant = tuple[str, bool]
"""A subject, and whether it shows its attribute."""
VARIANTS: tuple[Variant, ...] = (*((s, False) for s in SUBJECTS), *((s, True) for s in ATTRIBUTE_OF))


@dataclass(frozen=True)
class Layers:
    """All drawn layers on one device."""

    sprites: Tensor
    """uint8 `[individuals, len(PHASES), 4, SPRITE, SPRITE]`"""
    stages: Tensor
    """uint8 `[views, 3, STAGE, STAGE]`"""
    rows: LayerRows


@dataclass(frozen=True)
class LayerRows:
    """Where the individuals of a variant and the views of a place lie among all layers: first row and how many."""

    sprites: Mapping[Variant, tuple[int, int]]
    stages: Mapping[str, tuple[int, int]]


def layer_rows(individuals: int) -> LayerRows:
    """How the layers are laid out; depends on the number of individuals alone."""
    counts = [individuals * (STRANGERS if subject == STRANGER else 1) for subject, _ in VARIANTS]
    firsts = np.concatenate([[0], np.cumsum(counts)])
    sprites = {v: (int(first), count) for v, first, count in zip(VARIANTS, firsts[:-1], counts, strict=True)}
    return LayerRows(sprites, {place: (i * individuals, individuals) for i, place in enumerate(BACKGROUNDS)})


def _draw_variant(variant: Variant, count: int) -> np.ndarray:
    subject, shown = variant
    attributes = (ATTRIBUTE_OF[subject],) if shown else ()
    rows = [[draw_sprite(subject, LAYER_SEED + i, phase, attributes) for phase in PHASES] for i in range(count)]
    return np.asarray(rows, np.uint8)


def _draw_place(place: str, count: int) -> np.ndarray:
    return np.stack([draw_stage(place, LAYER_SEED + i) for i in range(count)])


def draw_layers(individuals: int, workers: int, folder: Path = FOLDER) -> None:
    """Draw all layers into `folder`, unless they are there."""
    done = folder / "layers.json"
    if done.exists() and json.loads(done.read_text())["individuals"] == individuals:
        return
    folder.mkdir(parents=True, exist_ok=True)
    done.unlink(missing_ok=True)
    rows = layer_rows(individuals)
    total = sum(count for _, count in rows.sprites.values())
    shape = (total, len(PHASES), 4, SPRITE, SPRITE)
    sprites = np.lib.format.open_memmap(folder / "sprites.npy", "w+", np.uint8, shape)
    stages = np.lib.format.open_memmap(
        folder / "stages.npy", "w+", np.uint8, (len(BACKGROUNDS) * individuals, 3, STAGE, STAGE)
    )
    drawn = in_processes(_draw_variant, [(variant, count) for variant, (_, count) in rows.sprites.items()], workers)
    for (first, count), layers in zip(rows.sprites.values(), tqdm(drawn, "drawing", len(VARIANTS)), strict=True):
        sprites[first : first + count] = layers
    seen = in_processes(_draw_place, [(place, count) for place, (_, count) in rows.stages.items()], workers)
    for (first, count), views in zip(rows.stages.values(), seen, strict=True):
        stages[first : first + count] = views
    sprites.flush()
    stages.flush()
    done.write_text(json.dumps({"individuals": individuals}))


def drawn_individuals(folder: Path = FOLDER) -> int:
    """Of how many individuals of each subject the drawn layers are."""
    count: int = json.loads((folder / "layers.json").read_text())["individuals"]
    return count


def load_layers(device: torch.device, folder: Path = FOLDER) -> Layers:
    """Read the drawn layers to a device.

    Raises:
        FileNotFoundError: they have not been drawn.
    """
    if not (folder / "layers.json").exists():
        raise FileNotFoundError(
            f"expected drawn layers in {folder}, but there are none; run: python -m unseen.diorama.training.layers"
        )
    rows = layer_rows(drawn_individuals(folder))
    sprites, stages = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("sprites", "stages"))
    return Layers(_to(device, sprites), _to(device, stages), rows)


def _to(device: torch.device, array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(array)).to(device)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="unseen train layers", description=__doc__.split("\n")[0])
    parser.add_argument("--individuals", type=int, default=INDIVIDUALS, help="of each subject (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw (default: %(default)s)")
    options = parser.parse_args(argv)
    draw_layers(options.individuals, options.workers)


if __name__ == "__main__":
    main()
