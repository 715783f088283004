"""Put Diorama's parts together to genuine `diffusers` pipelines: `WanPipeline` and `CogVideoXPipeline`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from diffusers import CogVideoXPipeline, WanPipeline
from torch import nn
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from unseen.diorama.model.networks import TEXT_LENGTH, WHICH, Which, build_scheduler, build_transformer, build_vae
from unseen.diorama.model.text import load_text_encoder
from unseen.diorama.stored import WEIGHTS, load_stored
from unseen.diorama.world.scenes import FRAMES, SIZE
from unseen.pipelines import backbone_of

Pipeline: TypeAlias = WanPipeline | CogVideoXPipeline

GENERATION: dict[str, Any] = {
    "height": SIZE,
    "width": SIZE,
    "num_frames": FRAMES,
    "num_inference_steps": 6,
    "guidance_scale": 4.0,
    "max_sequence_length": TEXT_LENGTH,
    "output_type": "np",
}
"""The default call: `pipe(prompt, **GENERATION)`."""


def load_pipeline(which: Which = "wan", weights: Path = WEIGHTS) -> Any:
    """Diorama, ready to generate: `pipe(prompt, **GENERATION).frames[0]` is float `[9, 96, 96, 3]` in [0, 1].

    Args:
        which: "wan", a `WanPipeline` that reads prompts with MiniLM, or "cogvideox", a `CogVideoXPipeline` with a T5.
        weights: the folder that holds the trained weights.

    Raises:
        ValueError: there is no such model.
    """
    if which not in WHICH:
        raise ValueError(f"expected one of {', '.join(WHICH)}, but got {which!r}")
    return assemble(which, *load_text_encoder(which, weights), weights)


def assemble(which: Which, tokenizer: PreTrainedTokenizerBase, encoder: nn.Module, weights: Path = WEIGHTS) -> Any:
    """A pipeline of this text encoder and the stored VAE and transformer."""
    vae = build_vae(which, json.loads((weights / f"{which}_vae.json").read_text()))
    load_stored(vae, weights / f"{which}_vae.safetensors")
    transformer = build_transformer(which)
    load_stored(transformer, weights / f"{which}_transformer.safetensors")
    parts: dict[str, Any] = {
        "tokenizer": tokenizer,
        "text_encoder": encoder,
        "transformer": transformer.requires_grad_(False),
        "vae": vae.requires_grad_(False),
        "scheduler": build_scheduler(which),
    }
    pipe: Pipeline = WanPipeline(**parts, expand_timesteps=True) if which == "wan" else CogVideoXPipeline(**parts)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def export(folder: str | Path, which: Which = "wan") -> Path:
    """Write a complete model folder, which `diffusers.DiffusionPipeline.from_pretrained` loads without this package."""
    load_pipeline(which).save_pretrained(folder)
    return Path(folder)


def as_uint8(frames: np.ndarray | torch.Tensor) -> np.ndarray:
    """What the pipeline returns, values in [0, 1], as uint8."""
    return (np.asarray(frames) * 255).round().clip(0, 255).astype(np.uint8)


def generate(
    pipe: Pipeline,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    batch_size: int = 8,
    progress: bool = False,
    **overrides: Any,
) -> np.ndarray:
    """Clips for prompts, uint8 `[n, FRAMES, SIZE, SIZE, 3]`; clip i depends on prompt i and seed i alone.

    Raises:
        ValueError: `prompts` and `seeds` differ in number.
    """
    clips = draw(pipe, prompts, seeds, batch_size=batch_size, call={**GENERATION, **overrides}, progress=progress)
    return clips if len(clips) else np.empty((0, FRAMES, SIZE, SIZE, 3), np.uint8)


def draw(
    pipe: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    batch_size: int,
    call: Mapping[str, Any],
    progress: bool = False,
) -> np.ndarray:
    """Clips of any text-to-video pipeline, called with `call`, each from noise of its own; see `generate`."""
    if len(prompts) != len(seeds):
        raise ValueError(f"expected one seed per prompt, but got {len(prompts)} prompts and {len(seeds)} seeds")
    clips = []
    for start in tqdm(range(0, len(prompts), batch_size), desc="clips", disable=not progress):
        generators = [torch.Generator("cpu").manual_seed(int(seed)) for seed in seeds[start : start + batch_size]]
        batch = list(prompts[start : start + batch_size])
        clips.append(as_uint8(pipe(batch, generator=generators, **{**call, "output_type": "np"}).frames))
    return np.concatenate(clips) if clips else np.empty(0, np.uint8)


def draw_clip(pipe: Any, prompt: str, seed: int, call: Mapping[str, Any]) -> np.ndarray:
    """One clip of any pipeline, uint8 `[frames, H, W, 3]`; a picture is a clip of one frame."""
    generator = torch.Generator("cpu").manual_seed(seed)
    made = pipe(prompt, generator=generator, **{"output_type": "np", **call})
    return as_uint8(made.frames[0] if hasattr(made, "frames") else made.images[:1])


def recommended(pipe: Any, *, is_diorama: bool) -> dict[str, Any]:
    """Arguments of the pipeline call that the model's makers recommend."""
    if is_diorama:
        return dict(GENERATION)
    known = backbone_of(pipe)
    return dict(known.generation) if known else {}
