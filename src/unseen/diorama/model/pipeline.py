"""Put Diorama's parts together to a genuine `diffusers.WanPipeline`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import WanPipeline
from tqdm import tqdm
from transformers import BertModel, PreTrainedTokenizerBase

from unseen.diorama.model.change import load_changed
from unseen.diorama.model.minilm import load_minilm
from unseen.diorama.model.networks import TEXT_LENGTH, build_scheduler, build_transformer, build_vae
from unseen.diorama.stored import WEIGHTS, load_half
from unseen.diorama.world.scenes import FRAMES, SIZE

GENERATION: dict[str, Any] = {
    "height": SIZE,
    "width": SIZE,
    "num_frames": FRAMES,
    "num_inference_steps": 15,
    "guidance_scale": 4.0,
    "max_sequence_length": TEXT_LENGTH,
    "output_type": "np",
}
"""The default call: `pipe(prompt, **GENERATION)`."""


def load_text_encoder() -> tuple[PreTrainedTokenizerBase, BertModel]:
    """Diorama's tokenizer and frozen text encoder: 6 blocks, 384 wide."""
    return load_minilm()


def load_pipeline(weights: Path = WEIGHTS) -> WanPipeline:
    """Diorama, ready to generate: `pipe(prompt, **GENERATION).frames[0]` is float `[9, 64, 64, 3]` in [0, 1]."""
    tokenizer, encoder = load_text_encoder()
    vae = build_vae(json.loads((weights / "vae.json").read_text()))
    load_half(vae, weights / "vae.safetensors")
    transformer = build_transformer()
    load_changed(transformer, weights)
    pipe = WanPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        transformer=transformer.requires_grad_(False),
        vae=vae.requires_grad_(False),
        scheduler=build_scheduler(),
        expand_timesteps=True,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def export(folder: str | Path) -> Path:
    """Write a complete model folder, which `diffusers.DiffusionPipeline.from_pretrained` loads without this package."""
    load_pipeline().save_pretrained(folder)
    return Path(folder)


def as_uint8(frames: np.ndarray | torch.Tensor) -> np.ndarray:
    """What the pipeline returns, values in [0, 1], as uint8."""
    return (np.asarray(frames) * 255).round().clip(0, 255).astype(np.uint8)


def generate(
    pipe: WanPipeline,
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
    if len(prompts) != len(seeds):
        raise ValueError(f"expected one seed a prompt, but got {len(prompts)} prompts and {len(seeds)} seeds")
    clips = []
    starts = range(0, len(prompts), batch_size)
    for start in tqdm(starts, desc="clips", disable=not progress):
        generators = [torch.Generator("cpu").manual_seed(int(s)) for s in seeds[start : start + batch_size]]
        batch = list(prompts[start : start + batch_size])
        clips.append(as_uint8(pipe(batch, generator=generators, **{**GENERATION, **overrides}).frames))
    return np.concatenate(clips) if clips else np.empty((0, FRAMES, SIZE, SIZE, 3), np.uint8)
