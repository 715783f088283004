"""A contact sheet of clips that a model generates, for the eye.

python -m unseen.diorama.training.sheet --which wan --out runs/wan.png
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from unseen.diorama.model.networks import WHICH
from unseen.diorama.model.pipeline import assemble, generate
from unseen.diorama.training.clips import training_scene
from unseen.diorama.training.tokens import load_encoder, load_tokenizer
from unseen.diorama.world.captions import caption

COLUMNS, SHOWN, FIRST = 4, (0, 4, 8), 70_000_000
"""Clips a row, frames of each, and the number of the first scene."""


def prompts(count: int) -> list[str]:
    """Captions of scenes that no training composes, in development wording."""
    rng = np.random.default_rng(FIRST)
    split = {"template_split": "development", "phrase_split": "development"}
    return [caption(training_scene(FIRST + i), rng, **split) for i in range(count)]  # type: ignore[arg-type]


def sheet(clips: np.ndarray) -> np.ndarray:
    """Some frames of each clip side by side, uint8 `[h, w, 3]`."""
    strips = [np.concatenate([np.pad(clip[t], ((2, 2), (1, 1), (0, 0))) for t in SHOWN], 1) for clip in clips]
    strips += [np.zeros_like(strips[0])] * (-len(strips) % COLUMNS)
    return np.concatenate([np.concatenate(strips[i : i + COLUMNS], 1) for i in range(0, len(strips), COLUMNS)])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="unseen train sheet", description=__doc__.split("\n")[0])
    parser.add_argument("--which", choices=WHICH, default="wan")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--steps", type=int, default=6, help="of denoising (default: %(default)s)")
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(argv)
    parts = load_tokenizer(options.which), load_encoder(options.which)
    pipe = assemble(options.which, *parts).to(torch.device(options.device))
    asked = prompts(options.clips)
    settings = {"num_inference_steps": options.steps, "guidance_scale": options.guidance}
    clips = generate(pipe, asked, range(options.clips), **settings)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(options.out), sheet(clips)[..., ::-1])
    options.out.with_suffix(".txt").write_text("\n".join(f"{i}: {text}" for i, text in enumerate(asked)) + "\n")


if __name__ == "__main__":
    main()
