"""One prompt to files: a clip, or the same clip before and after erasure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image

from unseen import attach
from unseen.bench.views.media import contact_sheet, enlarge, side_by_side, write_gif, write_mp4
from unseen.diorama.model.pipeline import GENERATION, as_uint8

_ENLARGED_SIDE = 288


def slug(text: str) -> str:
    """A file name from a prompt."""
    return re.sub(r"[^\w]+", "-", text.lower()).strip("-")[:48].rstrip("-") or "clip"


def draw_clip(pipe: Any, prompt: str, seed: int, call: Mapping[str, Any] = GENERATION) -> np.ndarray:
    """One clip, uint8 `[frames, H, W, 3]`; `call` are the arguments of the pipeline beside prompt and noise.

    A picture is a clip of one frame.
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    made = pipe(prompt, generator=generator, **{"output_type": "np", **call})
    return as_uint8(made.frames[0] if hasattr(made, "frames") else made.images[:1])


def write_clip(frames: np.ndarray, folder: Path, name: str) -> list[Path]:
    """Write `<name>.gif` and `<name>.mp4`, small clips enlarged; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    large = enlarge(frames, max(1, _ENLARGED_SIDE // frames.shape[1]))
    gif, mp4 = folder / f"{name}.gif", folder / f"{name}.mp4"
    write_gif(gif, large)
    write_mp4(mp4, large)
    return [gif, mp4]


def write_pair(before: np.ndarray, after: np.ndarray, folder: Path, name: str) -> list[Path]:
    """Write both clips side by side, before on the left."""
    return write_clip(side_by_side(before, after, gap=2), folder, name)


def draw_prompt(
    pipe: Any,
    prompt: str,
    erasers: Sequence[Any] = (),
    *,
    strength: float | None = None,
    seed: int = 0,
    compare: bool = False,
    call: Mapping[str, Any] = GENERATION,
    out: Path = Path("runs/generate"),
    audit: Path | None = None,
    on_residual: Literal["erase", "refuse", "warn"] | None = None,
) -> list[Path]:
    """Draw `prompt` with `erasers`; with `compare` also without them, side by side. Returns the files written.

    `audit` and `on_residual` are those of `unseen.attach`.
    """
    name = f"{slug(prompt)}-{seed}"
    before = draw_clip(pipe, prompt, seed, call) if compare or not erasers else None
    after = None
    if erasers:
        strengths = None if strength is None else [strength] * len(erasers)
        with attach(pipe, list(erasers), strengths=strengths, audit=audit, on_residual=on_residual):
            after = draw_clip(pipe, prompt, seed, call)
    if before is not None and after is not None:
        paths = write_clip(before, out, f"{name}-before") + write_clip(after, out, f"{name}-after")
        paths += write_pair(before, after, out, f"{name}-compare")
        sheet = contact_sheet([(prompt, before, after)])
    else:
        clip = before if after is None else after
        assert clip is not None
        paths = write_clip(clip, out, name)
        sheet = Image.fromarray(np.concatenate(list(enlarge(clip, 2)), axis=1))
    png = out / f"{name}.png"
    sheet.save(png)
    return [*paths, png]
