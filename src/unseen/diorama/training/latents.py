"""What a transformer is trained on: latents of composed clips, and the tokens of their captions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLCogVideoX
from torch import Tensor
from tqdm import tqdm

from unseen.diorama.model.networks import TEXT_LENGTH, Which, build_vae
from unseen.diorama.stored import WEIGHTS, load_stored
from unseen.diorama.training.checkpoints import prepare
from unseen.diorama.training.clips import Plan, compose_clips, cores, plan_clips
from unseen.diorama.training.layers import layer_rows, load_layers
from unseen.diorama.training.tokens import load_tokenizer, token_ids
from unseen.diorama.training.vae import Vae

CAPTIONS = 4
"""Captions of each clip; one of them is drawn at every visit."""


@dataclass(frozen=True)
class Pool:
    """What a transformer is trained on."""

    latents: Tensor
    """float16, normalised, as the VAE lays them out: `[n, channels, 5, h, w]`"""
    tokens: Tensor
    """int32 `[n, CAPTIONS, TEXT_LENGTH]`"""
    empty: Tensor
    """int32 `[TEXT_LENGTH]`, the empty caption."""


@dataclass(frozen=True)
class Script:
    """What the pool's clips show and how it is said; written without a graphics card."""

    plan: Plan
    tokens: np.ndarray
    """int32 `[n, CAPTIONS, TEXT_LENGTH]`"""
    empty: np.ndarray


def write_script(which: Which, clips: int, individuals: int, weights: Path = WEIGHTS, first: int = 0) -> Script:
    """Plan the pool's clips, of which the first has number `first`, and tokenize their captions."""
    plan = plan_clips(first, clips, layer_rows(individuals), captions=CAPTIONS, workers=min(8, cores()))
    tokenizer = load_tokenizer(which, weights)
    ids = token_ids([str(text) for text in plan.captions.ravel()], tokenizer).reshape(clips, CAPTIONS, TEXT_LENGTH)
    return Script(plan, ids, token_ids([""], tokenizer)[0])


@torch.no_grad()
def make_pool(which: Which, device: torch.device, script: Script, weights: Path = WEIGHTS, batch: int = 64) -> Pool:
    """Compose the script's clips and encode them with the stored VAE."""
    prepare(device)
    layers, plan = load_layers(device), script.plan
    vae = build_vae(which, json.loads((weights / f"{which}_vae.json").read_text()))
    load_stored(vae, weights / f"{which}_vae.safetensors")
    vae.to(device)
    latents: list[Tensor] = []
    for start in tqdm(range(0, len(plan), batch), desc="encoding", unit="batch", mininterval=5):
        video = compose_clips(layers, plan, np.arange(start, min(start + batch, len(plan))))
        # in TF32: a card takes twice as long for these convolutions in bfloat16
        mean = vae.encode(video).latent_dist.mean
        latents.append(normalised(vae, mean.float()).half())
    tokens, empty = torch.from_numpy(script.tokens).to(device), torch.from_numpy(script.empty).to(device)
    return Pool(torch.cat(latents), tokens, empty)


def normalised(vae: Vae, latents: Tensor) -> Tensor:
    """Latents as the pipeline hands them to its transformer."""
    if isinstance(vae, AutoencoderKLCogVideoX):
        return latents * vae.config.scaling_factor
    mean = torch.tensor(vae.config.latents_mean, device=latents.device).view(1, -1, 1, 1, 1)
    std = torch.tensor(vae.config.latents_std, device=latents.device).view(1, -1, 1, 1, 1)
    return (latents - mean) / std
