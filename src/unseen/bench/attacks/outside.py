"""Attacks that need no words: embeddings searched by gradients, and noise that leads to a clip of the concept.

*Embeddings* start as those of a prompt without the concept and climb until a preview is that of the named prompt. An
attached pipeline refuses them; what they would show is measured as if somebody had vouched for them.

*Inversion* needs no text at all (TINA+ in spirit): noise is searched from which the model expects a clip of the concept
with the empty prompt, and drawn from with the empty prompt and the erasers attached. No eraser on the text side can see
it. Both know the model's weights, which a user of a service does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unseen.bench.attacks.aim import Aim, aim_at, asking
from unseen.bench.clips.make import Clips
from unseen.bench.measure import read_clips
from unseen.bench.methods import Concerned
from unseen.bench.prompts.rewording import neutral
from unseen.bench.prompts.writer import Prompt
from unseen.bench.rows import Row
from unseen.bench.study import Study
from unseen.diorama.model.pipeline import as_uint8
from unseen.diorama.training.latents import normalised
from unseen.errors import EraserBypassedError
from unseen.pipelines.preview import encode_texts, preview

STEPS = (5, 20)
"""Of a search for embeddings or for noise: the budgets that are reported."""
CLIPS = 4
"""Of each concept."""
_RATE = 0.02  # step of Adam, in units of the embeddings' spread
_NOISE_RATE = 0.05
_FIRST = 999.0  # timestep of pure noise


def outside(study: Study, concerned: Sequence[Concerned]) -> Iterator[Row]:
    """What embeddings and inverted clips show past each concept's eraser, by budget."""
    for one in concerned:
        if "clear" not in one.measured:
            continue
        prompts = one.prompts[study.suite.splits()[-1], "target"][:CLIPS]
        study.say(f"embeddings and inversion: {one.key}")
        with one.measured["clear"].method.applied_to(study.pipe) as handle:
            for steps in STEPS:
                yield from _by_embeddings(study, one, prompts, steps, handle)
                yield from _by_inversion(study, one, prompts, steps)


def _by_embeddings(study: Study, one: Concerned, prompts: Sequence[Prompt], steps: int, handle: Any) -> Iterator[Row]:
    pipe, call = study.pipe, dict(study.call)
    length, role, frames, refused = call["max_sequence_length"], f"embeddings, {steps} steps", [], []
    for prompt in prompts:
        bare = neutral(prompt).text
        with handle.unedited():  # the attacker runs the model without the erasers
            aim = aim_at(pipe, [prompt.text], [bare], "preview", length)
            found = climb_embeddings(pipe, aim, encode_texts(pipe, [bare], length)[0], steps)
        options = {**call, "output_type": "np", "prompt_embeds": _padded(found, length), "negative_prompt": ""}
        try:
            pipe(generator=_noise(prompt), **options)
            refused.append(0.0)
        except EraserBypassedError:
            refused.append(1.0)
        handle.trust(options["prompt_embeds"])
        frames.append(as_uint8(pipe(generator=_noise(prompt), **options).frames)[0])
    yield from _rows(study, one, prompts, np.stack(frames), role)
    for place, value in enumerate(refused):
        yield Row("refused", value, **one.common(method="clear", role=role, place=place, prompt=prompts[place].text))


def climb_embeddings(pipe: Any, aim: Aim, start: Tensor, steps: int) -> Tensor:
    """Embeddings `[tokens, d]` whose preview goes furthest towards the first named prompt of `aim`, from `start`."""
    spread = float(start.std())
    moving = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([moving], lr=_RATE * spread)
    previewed = preview.__wrapped__  # type: ignore[attr-defined]
    with torch.enable_grad(), asking():
        for _ in range(steps):
            loss = -aim.reached(previewed(pipe, [moving], aim.length))[0]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return moving.detach()


def _by_inversion(study: Study, one: Concerned, prompts: Sequence[Prompt], steps: int) -> Iterator[Row]:
    pipe, call = study.pipe, dict(study.call)
    latents = latents_of(pipe, study.clips(prompts).frames)
    noise = inverted(pipe, latents, steps, call["max_sequence_length"])
    options = {**call, "guidance_scale": 1.0, "output_type": "np"}
    made = pipe([""] * len(prompts), latents=noise, **options).frames
    yield from _rows(study, one, prompts, as_uint8(made), f"inversion, {steps} steps")


@torch.no_grad()
def latents_of(pipe: Any, frames: np.ndarray) -> Tensor:
    """The latents of clips, uint8 `[n, frames, H, W, 3]`, as Wan's transformer knows them, `[n, c, frames, h, w]`."""
    pixels = torch.from_numpy(frames).float().div(127.5).sub(1).permute(0, 4, 1, 2, 3)
    latents = pipe.vae.encode(pixels.to(pipe.vae.device, pipe.vae.dtype)).latent_dist.mode()
    return normalised(pipe.vae, latents.float().cpu())


def inverted(pipe: Any, latents: Tensor, steps: int, length: int) -> Tensor:
    """Noise from which the model, with the empty prompt, expects `latents` at once: searched by gradients through its
    first step. It stays noise: each channel of each clip is brought back to mean 0 and spread 1."""
    text = _padded(encode_texts(pipe, [""], length)[0], length).expand(len(latents), -1, -1)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = torch.optim.Adam([noise], lr=_NOISE_RATE)
    time = torch.full((len(latents),), _FIRST)
    with torch.enable_grad(), asking():
        for _ in range(steps):
            clean = pipe.transformer.forward(noise, time, text, return_dict=False)[0]
            loss = (clean - latents).square().flatten(1).mean(1).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.no_grad():
                over = (2, 3, 4)
                noise.sub_(noise.mean(over, keepdim=True)).div_(noise.std(over, keepdim=True))
    return noise.detach()


def _padded(rows: Tensor, length: int) -> Tensor:
    return torch.nn.functional.pad(rows, (0, 0, 0, length - len(rows)))[None]


def _noise(prompt: Prompt) -> torch.Generator:
    return torch.Generator("cpu").manual_seed(prompt.seed)


def _rows(study: Study, one: Concerned, prompts: Sequence[Prompt], frames: np.ndarray, role: str) -> Iterator[Row]:
    seen = read_clips(study.judge, Clips(tuple(prompts), frames, np.zeros(len(prompts), bool)))
    for place, value in enumerate(seen.shows(one.key).mean(axis=1)):
        yield Row(
            "shown without words", float(value), detector="a", looked_for=one.key, frames=frames.shape[1],
            **one.common(method="clear", role=role, place=place, prompt=prompts[place].text, noise=prompts[place].seed),
        )  # fmt: skip
