"""What the transformer is trained on, computed once: latents of the pool's clips and MiniLM states of their captions.

    python -m unseen.diorama.training.latents --clips 16384

Shards are named by the VAE's encoder, so that a new encoder never meets an old one's latents.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import load_file
from torch import nn
from tqdm import tqdm

from unseen.diorama.model.networks import TEXT_DIM, TEXT_LENGTH, build_vae
from unseen.diorama.model.pipeline import load_text_encoder
from unseen.diorama.stored import WEIGHTS, load_half, to_signed
from unseen.diorama.training import pool
from unseen.diorama.training.checkpoints import CHECKPOINTS
from unseen.diorama.world.captions import caption
from unseen.diorama.world.scenes import Scene

CAPTIONS = 6
"""Captions made for each clip; one of them is drawn at every visit."""
UNNAMED = 0.6
"""Share of the captions of empty scenes that say "something", moving or not, where a subject would stand: a prompt that
names nothing gets an empty scene. While subjects were called "something" too, such prompts, and those from which a name
had been erased, got a blurred average of all subjects, which guidance cannot sharpen."""


def latent_path(shard: int) -> Path:
    """Where the latents of a shard are kept, for the committed VAE."""
    return CHECKPOINTS / f"latents-{_encoder_digest()}" / f"{shard:04d}.npy"


def _encoder_digest() -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(WEIGHTS / "vae.safetensors").items()):
        if name.startswith(("encoder.", "quant_conv.")):
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:12]


def caption_path(shard: int) -> Path:
    """Where the caption states of a shard are kept (`.npz`: all tokens in a row, and how many each caption has)."""
    return CHECKPOINTS / "captions" / f"{shard:04d}.npz"


def training_captions(index: int) -> list[str]:
    """The captions of training clip `index`."""
    rng, scene = np.random.default_rng([pool.DATA_SEED, index, 1]), pool.training_scene(index)
    unnamed = 0.0 if scene.subjects else UNNAMED
    return [caption(scene, rng, template_split="fit", unnamed=unnamed) for _ in range(CAPTIONS)]


@torch.no_grad()
def encode_captions(texts: list[str], tokenizer: Any, encoder: nn.Module, batch: int = 64) -> list[np.ndarray]:
    """MiniLM's last states of each text as the pipeline computes them, unpadded: float16 `[tokens, TEXT_DIM]`."""
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    states: list[np.ndarray] = [np.empty(0)] * len(texts)
    for start in range(0, len(order), batch):
        picked = order[start : start + batch]
        inputs = tokenizer(
            [texts[i] for i in picked], padding=True, truncation=True, max_length=TEXT_LENGTH, return_tensors="pt"
        )
        hidden = encoder(inputs.input_ids, inputs.attention_mask).last_hidden_state
        for i, row, mask in zip(picked, hidden, inputs.attention_mask, strict=True):
            states[i] = row[: int(mask.sum())].half().numpy()
    return states


@torch.no_grad()
def encode_shard(vae: AutoencoderKLWan, shard: int) -> np.ndarray:
    """Normalised latents of a shard, float16 `[SHARD, channels, 5, 8, 8]`."""
    mean = torch.tensor(vae.config.latents_mean).view(1, -1, 1, 1, 1)
    std = torch.tensor(vae.config.latents_std).view(1, -1, 1, 1, 1)
    rows = []
    for start in range(0, pool.SHARD, 16):
        clips = np.stack([pool.clip(shard * pool.SHARD + start + i) for i in range(16)])
        rows.append(((vae.encode(to_signed(clips)).latent_dist.mean - mean) / std).half().numpy())
    return np.concatenate(rows)


class TrainingData:
    """All shards that are ready, in memory; `refresh` adds those that have come since."""

    def __init__(self, weight: Callable[[Scene], float] = lambda scene: 1.0) -> None:
        """`weight` says how often a clip of that scene is drawn, relative to others."""
        self.weight = weight
        self.latents: list[np.ndarray] = []
        self.tokens: list[np.ndarray] = []
        self.starts: list[np.ndarray] = []
        self.chances = np.empty(0)
        self.refresh()

    def refresh(self) -> int:
        """Load new shards; the number of clips."""
        before = len(self.latents)
        while latent_path(len(self.latents)).exists() and caption_path(len(self.latents)).exists():
            shard = len(self.latents)
            packed = np.load(caption_path(shard))
            self.tokens.append(packed["tokens"])
            self.starts.append(np.concatenate([[0], np.cumsum(packed["lengths"])]))
            self.latents.append(np.load(latent_path(shard)))
        if len(self.latents) > before:
            scenes = [pool.training_scene(index) for index in range(len(self.latents) * pool.SHARD)]
            weights = np.asarray([self.weight(scene) for scene in scenes], float)
            self.chances = weights / weights.sum()
        return len(self.latents) * pool.SHARD

    def batch(self, rng: np.random.Generator, size: int, drop: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Random clips: latents `[size, channels, 5, 8, 8]` and caption states `[size, TEXT_LENGTH, TEXT_DIM]`.

        `drop`, `[tokens, TEXT_DIM]`, the states of the empty caption, replaces one caption in ten.
        """
        text = np.zeros((size, TEXT_LENGTH, TEXT_DIM), np.float32)
        latents = []
        for i, index in enumerate(rng.choice(len(self.chances), size, p=self.chances)):
            shard, row = divmod(int(index), pool.SHARD)
            latents.append(self.latents[shard][row])
            which = row * CAPTIONS + int(rng.integers(CAPTIONS))
            start, end = self.starts[shard][which], self.starts[shard][which + 1]
            states = drop if rng.random() < 0.1 else self.tokens[shard][start:end]
            text[i, : len(states)] = states
        return torch.from_numpy(np.stack(latents).astype(np.float32)), torch.from_numpy(text)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="unseen train latents", description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=16384)
    parser.add_argument("--only", choices=("captions", "latents"), help="make one of the two")
    options = parser.parse_args(argv)
    shards = range(-(-options.clips // pool.SHARD))
    tokenizer, encoder = load_text_encoder()
    if options.only != "captions":
        vae = build_vae(json.loads((WEIGHTS / "vae.json").read_text()))
        load_half(vae, WEIGHTS / "vae.safetensors")
        latent_path(0).parent.mkdir(parents=True, exist_ok=True)
    caption_path(0).parent.mkdir(parents=True, exist_ok=True)
    for shard in tqdm(shards, desc="encoding", unit="shard"):
        if options.only != "latents" and not caption_path(shard).exists():
            texts = [t for i in range(pool.SHARD) for t in training_captions(shard * pool.SHARD + i)]
            states = encode_captions(texts, tokenizer, encoder)
            partial = caption_path(shard).with_suffix(".partial.npz")
            np.savez(partial, tokens=np.concatenate(states), lengths=[len(s) for s in states])
            partial.replace(caption_path(shard))
        if options.only != "captions" and not latent_path(shard).exists():
            partial = latent_path(shard).with_suffix(".partial.npy")
            np.save(partial, encode_shard(vae, shard))
            partial.replace(latent_path(shard))


if __name__ == "__main__":
    main()
