"""At which noise level is a clip's subject decided? Renders are noised, denoised again, and read by a detector.

    python -m unseen.diorama.training.noise_check

Where the rate falls, the transformer has to invent what the caption says instead of finding it in its input; that is
where training has to look.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
import torch
from diffusers import WanPipeline
from torch import Tensor

from unseen.diorama.detector.detector import Detector, load_detector
from unseen.diorama.model.networks import SHIFT
from unseen.diorama.model.pipeline import GENERATION, load_pipeline
from unseen.diorama.stored import to_signed, to_uint8
from unseen.diorama.world.captions import caption
from unseen.diorama.world.render import render
from unseen.diorama.world.sampling import sample_scene
from unseen.diorama.world.scenes import SUBJECTS, Scene

SEED = 7_000_000
"""Renders of this check; training and evaluation use other ranges."""
LEVELS = (0.0, 0.4, 0.6, 0.8, 0.9, 1.0)
BATCH = 16


def draw(each: int) -> tuple[list[Scene], list[str], np.ndarray]:
    """`each` single-subject scenes of every subject, a caption in development wording for each, and their renders."""
    scenes, texts, clips = [], [], []
    for place in range(each * len(SUBJECTS)):
        rng = np.random.default_rng(SEED + place)
        scene = sample_scene(rng, subject=SUBJECTS[place % len(SUBJECTS)], count=1)
        scenes.append(scene)
        texts.append(caption(scene, rng, template_split="development", phrase_split="development"))
        clips.append(render(scene, SEED + place))
    return scenes, texts, np.stack(clips)


@torch.no_grad()
def denoised(pipe: WanPipeline, clips: np.ndarray, texts: list[str], level: float, *, steps: int = 12) -> np.ndarray:
    """`clips` (uint8) noised to `level` (σ, 0 to 1) and denoised with guidance by Euler steps, uint8 again."""
    config = pipe.vae.config
    mean, std = (torch.tensor(v).view(1, -1, 1, 1, 1) for v in (config.latents_mean, config.latents_std))
    start = level / (SHIFT - (SHIFT - 1) * level)
    u = np.linspace(start, 0, max(2, round(steps * level)) + 1)
    sigmas = SHIFT * u / (1 + (SHIFT - 1) * u)
    generator = torch.Generator().manual_seed(SEED)
    frames = []
    for first in range(0, len(clips), BATCH):
        latents = (pipe.vae.encode(to_signed(clips[first : first + BATCH])).latent_dist.mean - mean) / std
        prompt = texts[first : first + BATCH]
        embeds, negative = pipe.encode_prompt(prompt, max_sequence_length=GENERATION["max_sequence_length"])
        x = (1 - level) * latents + level * torch.randn(latents.shape, generator=generator)
        for now, then in itertools.pairwise(sigmas) if level else ():
            clean = _predict(pipe, x, float(now), embeds)
            empty = _predict(pipe, x, float(now), negative)
            clean = empty + GENERATION["guidance_scale"] * (clean - empty)
            x = clean + (x - clean) * float(then / now)
        frames.append(to_uint8(pipe.vae.decode(x * std + mean).sample))
    return np.concatenate(frames)


def _predict(pipe: WanPipeline, x: Tensor, level: float, embeds: Tensor) -> Tensor:
    return pipe.transformer(x, torch.full((len(x),), level * 1000), embeds, return_dict=False)[0]


def shown(detector: Detector, scenes: list[Scene], clips: np.ndarray) -> tuple[float, float]:
    """Shares of frames that show their subject, and that show anything recognisable."""
    asked = [detector.shows(clip, scene.subjects[0]).mean() for scene, clip in zip(scenes, clips, strict=True)]
    return float(np.mean(asked)), float(detector.recognisable(clips.reshape(-1, *clips.shape[2:])).mean())


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m unseen.diorama.training.noise_check", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--each", type=int, default=2, help="clips a subject (default: %(default)s)")
    options = parser.parse_args(argv)
    pipe, detector = load_pipeline(), load_detector()
    scenes, texts, clips = draw(options.each)
    print(f"{len(clips)} clips; noise level, frames that show the subject, frames that show anything recognisable")
    print("render  {:6.1%}  {:6.1%}".format(*shown(detector, scenes, clips)))
    for level in LEVELS:
        found = shown(detector, scenes, denoised(pipe, clips, texts, level))
        print(f"{level:<6}  {found[0]:6.1%}  {found[1]:6.1%}", flush=True)


if __name__ == "__main__":
    main()
