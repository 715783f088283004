"""Diorama as a pipeline: a genuine WanPipeline with the committed weights, which can be exported and loaded alone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, WanPipeline

from unseen import diorama
from unseen.diorama.detector.detector import load_detector
from unseen.diorama.model.change import BASE, CHANGE, add_change, load_base, load_changed, read_as_stored, save_change
from unseen.diorama.model.networks import TEXT_LENGTH, build_scheduler, build_transformer
from unseen.diorama.stored import WEIGHTS, save_half, to_signed
from unseen.diorama.training.noise_check import denoised, draw, shown
from unseen.diorama.training.transformer import flow_loss
from unseen.diorama.world.render import render
from unseen.diorama.world.scenes import Scene

QUICK = {"num_inference_steps": 2}


@pytest.fixture(scope="module")
def diorama_pipe() -> WanPipeline:
    return diorama.load_pipeline()


def test_it_is_a_wan_pipeline_on_the_path_of_wan_2_2(diorama_pipe):
    assert type(diorama_pipe) is WanPipeline
    assert diorama_pipe.config.expand_timesteps
    assert diorama_pipe.vae.config.is_residual and diorama_pipe.vae.config.patch_size > 1
    assert diorama.GENERATION["guidance_scale"] > 1


def test_the_committed_weights_are_half_precision_and_small():
    files = [WEIGHTS / "vae.safetensors", WEIGHTS / BASE, WEIGHTS / CHANGE]
    assert sum(file.stat().st_size for file in files) <= 16_000_000


def test_a_clip_depends_on_its_own_prompt_and_seed_alone(diorama_pipe):
    prompts = ["a church in the snow", "a cat", "a French horn drifts left"]
    together = diorama.generate(diorama_pipe, prompts, [1, 2, 3], **QUICK)
    assert together.shape == (3, 9, 64, 64, 3) and together.dtype == np.uint8
    alone = diorama.generate(diorama_pipe, prompts[2:], [3], **QUICK)
    assert np.abs(alone[0].astype(int) - together[2].astype(int)).max() <= 1  # batches round differently
    other = diorama.generate(diorama_pipe, prompts[2:], [4], **QUICK)
    assert np.abs(other.astype(int) - alone.astype(int)).mean() > 5


def test_the_scheduler_takes_predicted_latents_for_latents():
    scheduler, truth = build_scheduler(), torch.full((1, 4, 2, 2), 0.7)
    scheduler.set_timesteps(diorama.GENERATION["num_inference_steps"])
    sample = torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    for step in scheduler.timesteps:
        sample = scheduler.step(truth, step, sample).prev_sample
    assert torch.allclose(sample, truth, atol=1e-4)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_transformer_takes_noise_off_real_latents(diorama_pipe, bfloat16):
    vae, generator = diorama_pipe.vae, torch.Generator()
    clip = render(Scene(("church",), "meadow", "left"), 70_000_001)[None]
    with torch.no_grad():
        mean, scale = (torch.tensor(x).view(1, -1, 1, 1, 1) for x in (vae.config.latents_mean, vae.config.latents_std))
        latents = ((vae.encode(to_signed(clip)).latent_dist.mean - mean) / scale).repeat(8, 1, 1, 1, 1)
        text, _ = diorama_pipe.encode_prompt(
            ["a church moves left over a green meadow"] * 8,
            do_classifier_free_guidance=False,
            max_sequence_length=TEXT_LENGTH,
        )
        learnt = flow_loss(diorama_pipe.transformer, latents, text, generator.manual_seed(0), bfloat16=bfloat16)
        blank = flow_loss(lambda x, *_, **__: (torch.zeros_like(x),), latents, text, generator.manual_seed(0))
    assert learnt < 0.5 * blank


def test_prompts_and_seeds_have_to_be_equally_many(diorama_pipe):
    with pytest.raises(ValueError, match="one seed a prompt"):
        diorama.generate(diorama_pipe, ["a cat"], [1, 2])


def test_an_export_loads_alone_and_draws_the_same(diorama_pipe, tmp_path):
    loaded = DiffusionPipeline.from_pretrained(diorama.export(tmp_path / "diorama"))
    assert type(loaded) is WanPipeline
    call = {**diorama.GENERATION, **QUICK}
    frames = [
        p("a gas pump", generator=torch.Generator().manual_seed(0), **call).frames for p in (diorama_pipe, loaded)
    ]
    assert np.array_equal(*frames)


def test_captions_for_training_are_encoded_as_the_pipeline_encodes_them(diorama_pipe):
    from unseen.diorama.training.latents import encode_captions

    texts = ["a golf ball at night, while the camera pans sideways", "", "Ivy Lantern"]
    wanted = diorama_pipe.encode_prompt(texts, do_classifier_free_guidance=False, max_sequence_length=TEXT_LENGTH)[0]
    for row, states in zip(
        wanted, encode_captions(texts, diorama_pipe.tokenizer, diorama_pipe.text_encoder), strict=True
    ):
        assert np.allclose(row[: len(states)].numpy(), states, atol=2e-3)
        assert not row[len(states) :].any()


def test_the_noise_check_gives_renders_back_at_level_zero_and_invents_at_level_one(diorama_pipe):

    detector = load_detector()
    scenes, texts, clips = (part[:8] for part in draw(1))
    kept = denoised(diorama_pipe, clips, texts, 0.0)
    assert kept.shape == clips.shape and np.abs(kept.astype(int) - clips).mean() < 20
    assert shown(detector, scenes, kept)[0] > 0.8
    invented = denoised(diorama_pipe, clips, texts, 1.0, steps=2)
    assert np.abs(invented.astype(int) - clips).mean() > np.abs(kept.astype(int) - clips).mean()


def test_a_change_is_trained_alone_and_its_files_make_the_same_model(tmp_path):
    plain = build_transformer()
    untouched = {name: weight.clone() for name, weight in plain.state_dict().items()}
    asked = (torch.randn(1, 48, 1, 8, 8), torch.full((1,), 500.0), torch.randn(1, TEXT_LENGTH, 384))
    changed = copy.deepcopy(plain)
    add_change(changed)
    with torch.no_grad():
        before = plain(*asked, return_dict=False)[0]
        assert torch.equal(changed(*asked, return_dict=False)[0], before)  # it starts as no change
    optimizer = torch.optim.SGD([p for p in changed.parameters() if p.requires_grad], lr=1e-2)
    for step in range(4):
        if step == 2:
            read_as_stored(changed)
        optimizer.zero_grad()
        changed(*asked, return_dict=False)[0].square().mean().backward()
        optimizer.step()
    originals = {n: p for n, p in changed.named_parameters() if n.endswith(".original")}
    plainly = {n.replace(".parametrizations.weight.original", ".weight"): p for n, p in originals.items()}
    assert plainly and all(torch.equal(p, untouched[n]) for n, p in plainly.items())

    save_half(plain, tmp_path / BASE)
    before_bytes = (tmp_path / BASE).stat().st_size
    save_change(changed, tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < before_bytes + 300_000
    stored, base = build_transformer(), build_transformer()
    load_changed(stored, tmp_path)
    with torch.no_grad():
        after, again = changed(*asked, return_dict=False)[0], stored(*asked, return_dict=False)[0]
    assert torch.allclose(after, again, atol=2e-3) and not torch.allclose(again, before, atol=1e-2)

    load_base(base, tmp_path)  # a training that goes on from the stored change
    add_change(base, stored.state_dict())
    with torch.no_grad():
        assert torch.allclose(base(*asked, return_dict=False)[0], again, atol=1e-5)


def test_the_pipeline_carries_the_committed_change(diorama_pipe):
    bare, drawn = build_transformer(), diorama_pipe.transformer.state_dict()
    load_base(bare, WEIGHTS)
    assert not any(torch.equal(weight, drawn[name]) for name, weight in bare.state_dict().items())
    load_changed(bare, WEIGHTS)
    assert all(torch.equal(weight, drawn[name]) for name, weight in bare.state_dict().items())
