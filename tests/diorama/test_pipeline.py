"""Diorama's two models as pipelines: a genuine WanPipeline and CogVideoXPipeline, exported and loaded alone."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import SMALLEST_FIT, WIDER_FIT
from diffusers import CogVideoXPipeline, DiffusionPipeline, WanPipeline
from torch import nn

import unseen
from unseen import diorama
from unseen.diorama.detector.detector import load_detector
from unseen.diorama.model.networks import TEXT_LENGTH, WHICH, Which, build_scheduler
from unseen.diorama.stored import WEIGHTS, load_stored, save_bytes, save_half, to_signed
from unseen.diorama.training import tokens
from unseen.diorama.training.latents import normalised
from unseen.diorama.training.tokens import load_encoder, load_tokenizer, token_ids
from unseen.diorama.training.transformer import CogVideoXLoss, noise_levels, text_states, wan_loss
from unseen.diorama.world.render import render
from unseen.diorama.world.scenes import Scene

QUICK = {"num_inference_steps": 1}
CLASSES = {"wan": WanPipeline, "cogvideox": CogVideoXPipeline}


@pytest.fixture(scope="module", params=WHICH)
def which(request: pytest.FixtureRequest) -> Which:
    return request.param


costly_on_cogvideox = pytest.mark.parametrize(
    "which", ["wan", pytest.param("cogvideox", marks=pytest.mark.slow)], indirect=True, scope="module"
)
"""Its decoder takes most of the time. tests/pipelines/test_generation.py shows the same on a smaller CogVideoX."""


@pytest.fixture(scope="module")
def diorama_pipe(which: Which) -> Any:
    return diorama.load_pipeline(which)


def test_they_are_the_pipelines_of_the_papers_models(which, diorama_pipe):
    assert type(diorama_pipe) is CLASSES[which]
    if which == "wan":
        assert diorama_pipe.config.expand_timesteps
        assert diorama_pipe.vae.config.is_residual and diorama_pipe.vae.config.patch_size > 1
    else:
        assert diorama_pipe.scheduler.config.rescale_betas_zero_snr
    assert diorama.GENERATION["guidance_scale"] > 1


def test_an_unknown_model_is_refused():
    with pytest.raises(ValueError, match="wan, cogvideox"):
        diorama.load_pipeline("sora")


def test_the_committed_weights_are_small():
    files = list(WEIGHTS.rglob("*"))
    assert {f"{which}_{part}.safetensors" for which in WHICH for part in ("vae", "transformer")} <= {
        file.name for file in files
    }
    assert max(file.stat().st_size for file in files) < 15_000_000


@costly_on_cogvideox
def test_a_clip_depends_on_its_own_prompt_and_seed_alone(diorama_pipe):
    prompts = ["a church in the snow", "a cat", "a French horn drifts left"]
    together = diorama.generate(diorama_pipe, prompts, [1, 2, 3], **QUICK)
    assert together.shape == (3, 9, 96, 96, 3) and together.dtype == np.uint8
    alone = diorama.generate(diorama_pipe, prompts[2:], [3], **QUICK)
    assert np.abs(alone[0].astype(int) - together[2].astype(int)).max() <= 2  # batches round differently
    other = diorama.generate(diorama_pipe, prompts[2:], [4], **QUICK)
    assert np.abs(other.astype(int) - alone.astype(int)).mean() > 5


def test_wans_scheduler_takes_predicted_latents_for_latents():
    scheduler, truth = build_scheduler("wan"), torch.full((1, 4, 2, 2), 0.7)
    scheduler.set_timesteps(diorama.GENERATION["num_inference_steps"])
    sample = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    for step in scheduler.timesteps:
        sample = scheduler.step(truth, step, sample).prev_sample
    assert torch.allclose(sample, truth, atol=1e-4)


class Oracle(nn.Module):
    """Predicts `latents`, or with a schedule the v that leads to them, from whatever it is given."""

    def __init__(self, latents: torch.Tensor, signal: torch.Tensor | None = None) -> None:
        super().__init__()
        self.latents, self.signal = latents, signal

    def forward(self, noisy: torch.Tensor, *rest: torch.Tensor, return_dict: bool) -> tuple[torch.Tensor]:
        if self.signal is None:
            return (self.latents,)
        signal = self.signal[rest[1]].view(-1, 1, 1, 1, 1)
        latents = self.latents.transpose(1, 2)
        noise = (noisy - signal.sqrt() * latents) / (1 - signal).sqrt()
        return (signal.sqrt() * noise - (1 - signal).sqrt() * latents,)


def test_both_losses_vanish_for_a_model_that_knows_the_clip():
    torch.manual_seed(0)
    latents, text = torch.randn(8, 8, 5, 4, 4), torch.zeros(8, TEXT_LENGTH, 4)
    assert wan_loss(Oracle(latents), latents, text) == 0 < wan_loss(Oracle(latents + 1), latents, text)
    loss = CogVideoXLoss(torch.device("cpu"))
    assert (
        loss(Oracle(latents, loss.signal), latents, text) < 1e-6 < loss(Oracle(latents + 1, loss.signal), latents, text)
    )


def test_half_the_noise_levels_are_high():
    levels = noise_levels(1000, torch.device("cpu"))
    assert levels.min() > 0 and levels.max() < 1 and (levels > 5 / 6).float().mean() == pytest.approx(0.5, abs=0.01)


def test_the_transformer_takes_noise_off_real_latents(which, diorama_pipe):
    clip = render(Scene(("church",), "meadow", "left"), 70_000_001)[None]
    loss = wan_loss if which == "wan" else CogVideoXLoss(torch.device("cpu"))
    with torch.no_grad():
        latents = normalised(diorama_pipe.vae, diorama_pipe.vae.encode(to_signed(clip)).latent_dist.mean)
        latents = latents.repeat(8, 1, 1, 1, 1)
        text, _ = diorama_pipe.encode_prompt(
            ["a church moves left over a green meadow"] * 8,
            do_classifier_free_guidance=False,
            max_sequence_length=TEXT_LENGTH,
        )
        torch.manual_seed(0)
        learnt = loss(diorama_pipe.transformer, latents, text)
        torch.manual_seed(0)
        blank = loss(lambda x, *_, **__: (torch.zeros_like(x),), latents, text)
    assert learnt < 0.5 * blank


def test_prompts_and_seeds_have_to_be_equally_many(diorama_pipe):
    with pytest.raises(ValueError, match="one seed per prompt"):
        diorama.generate(diorama_pipe, ["a cat"], [1, 2])


def test_an_export_loads_alone_and_draws_the_same(which, diorama_pipe, tmp_path):
    loaded = DiffusionPipeline.from_pretrained(diorama.export(tmp_path / "diorama", which))
    assert type(loaded) is CLASSES[which]
    call = {**diorama.GENERATION, **QUICK}
    frames = [
        p("a gas pump", generator=torch.Generator().manual_seed(0), **call).frames for p in (diorama_pipe, loaded)
    ]
    assert np.array_equal(*frames)


@pytest.fixture(scope="module")
def no_church(which: Which, diorama_pipe: Any) -> Any:
    """An eraser that knows the church by its name alone; to look at what prompts mean takes minutes on CogVideoX."""
    few = SMALLEST_FIT.with_options({"prompts.pairs": 20, "prompts.retain": 20})  # CogVideoX reads all padding
    config = WIDER_FIT if which == "wan" else few
    return dataclasses.replace(unseen.fit(diorama_pipe, "church", config=config, progress=False), mentions=False)


CHURCHES = ["a church in the snow", "a church drifts left over a green meadow"]


@costly_on_cogvideox
def test_an_eraser_changes_clips_of_its_concept_alone_and_comes_off_again(diorama_pipe, no_church):
    prompts, seeds = [CHURCHES[0], "a bus in the snow"], [0, 1]
    before = diorama.generate(diorama_pipe, prompts, seeds, **QUICK)
    with unseen.attach(diorama_pipe, no_church):
        during = diorama.generate(diorama_pipe, prompts, seeds, **QUICK)
    assert np.abs(during[0].astype(int) - before[0]).mean() > 2 and np.array_equal(during[1], before[1])
    assert np.array_equal(diorama.generate(diorama_pipe, prompts, seeds, **QUICK), before)


@costly_on_cogvideox
def test_wan_shows_what_is_asked_for_until_it_is_erased(which, diorama_pipe, no_church):
    if which != "wan":
        pytest.skip("this model has not been trained for long enough to be recognised")
    detector = load_detector("a")
    before = diorama.generate(diorama_pipe, CHURCHES, [0, 1])
    with unseen.attach(diorama_pipe, no_church):
        after = diorama.generate(diorama_pipe, CHURCHES, [0, 1])
    shown = [np.mean([detector.shows(clip, "church") for clip in clips]) for clips in (before, after)]
    assert shown[0] > 0.7 and shown[1] < 0.1


def test_captions_for_training_are_encoded_as_the_pipeline_encodes_them(which, diorama_pipe, tmp_path, monkeypatch):
    monkeypatch.setattr(tokens, "CARRIED", tmp_path / "none")  # a copy in half precision, where one was made
    texts = ["a golf ball at night, while the camera pans sideways", "", "Ivy Lantern"]
    wanted = diorama_pipe.encode_prompt(texts, do_classifier_free_guidance=False, max_sequence_length=TEXT_LENGTH)[0]
    ids = torch.from_numpy(token_ids(texts, load_tokenizer(which))).long()
    with torch.no_grad():
        assert torch.allclose(text_states(which, load_encoder(which), ids), wanted, atol=1e-4)


def test_weights_in_bytes_lose_half_a_step_of_their_row_and_no_more(tmp_path):
    torch.manual_seed(0)
    model, again = (nn.Sequential(nn.Linear(80, 96), nn.Conv2d(3, 4, 3), nn.Linear(8, 8)) for _ in range(2))
    with torch.no_grad():
        model[0].weight[3] *= 100
        model[0].weight[4] = 0
    save_bytes(model, tmp_path / "bytes.safetensors")
    load_stored(again, tmp_path / "bytes.safetensors")
    steps = model[0].weight.abs().amax(1, keepdim=True) / 127
    assert ((again[0].weight - model[0].weight).abs() <= steps * 0.5001).all()
    for name, weight in model.state_dict().items():
        if name != "0.weight":  # too small to be worth it: half precision
            assert torch.equal(again.state_dict()[name], weight.half().float())
    save_half(model, tmp_path / "half.safetensors")
    assert (tmp_path / "bytes.safetensors").stat().st_size < 0.7 * (tmp_path / "half.safetensors").stat().st_size
    load_stored(again, tmp_path / "half.safetensors")
    assert all(torch.equal(again.state_dict()[n], w.half().float()) for n, w in model.state_dict().items())


TRAINING = """
import sys
from functools import partial
from pathlib import Path
from unseen.diorama.training import layers, text, transformer, vae

weights = Path(sys.argv[1])
few = lambda make, first, count, *rest, **options: make(first, min(count, 4), *rest, **options)
vae.plan_clips = partial(few, vae.plan_clips)  # the held-out clips are many
text.ORDINARY = 20
layers.main(["--individuals", "1", "--workers", "1"])
common = ["--weights", str(weights), "--seconds", "0.01"]
text.main([*common, "--batch", "2", "--scenes", "8"])
for which in ("wan", "cogvideox"):
    vae.main([*common, "--which", which, "--batch", "1", "--clips", "4"])
    transformer.main([*common, "--which", which, "--batch", "2", "--clips", "4", "--individuals", "1"])
"""


@pytest.mark.slow
def test_every_stage_of_the_training_runs_and_leaves_a_pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIORAMA_CHECKPOINTS", str(tmp_path / "checkpoints"))
    weights = tmp_path / "weights"
    shutil.copytree(WEIGHTS / "t5_tokenizer", weights / "t5_tokenizer")
    done = subprocess.run([sys.executable, "-c", TRAINING, str(weights)], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    for which in WHICH:
        pipe = diorama.load_pipeline(which, weights)
        clips = diorama.generate(pipe, ["a cat"], [0], num_inference_steps=1)
        assert clips.shape == (1, 9, 96, 96, 3) and clips.std() > 0
