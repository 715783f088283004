"""Previews: what the transformer itself predicts from noise, without a trace on the pipeline."""

from __future__ import annotations

import copy

import diffusers
import pytest
import torch
from conftest import make_pipe
from diffusers import FirstBlockCacheConfig, FlowMatchEulerDiscreteScheduler, PyramidAttentionBroadcastConfig
from tiny import make_cogvideox, make_wan
from torch import nn

from unseen.pipelines import can_preview, cannot_preview, encode_texts, preview, weights_state
from unseen.pipelines.preview import _asking

MAKERS = {"wan": make_pipe, "cogvideox": make_cogvideox}
LENGTH = 16
TEXTS = ["a wolf near the table", "a zeppelin"]


@pytest.fixture(params=MAKERS)
def pipe(request):
    return MAKERS[request.param]()


def views(pipe, texts=TEXTS):
    return preview(pipe, encode_texts(pipe, texts, LENGTH), LENGTH)


def test_a_preview_is_the_transformers_prediction_and_does_not_depend_on_the_batch(pipe):
    together = views(pipe)
    assert torch.allclose(together[1:], views(pipe, TEXTS[1:]), atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 0


def test_diorama_predicts_from_its_own_frame(world):
    [row] = encode_texts(world, ["a church in the snow"], 80)
    noise = torch.randn(1, 48, 1, 12, 12, generator=torch.Generator().manual_seed(7_400_000))
    with torch.no_grad():
        embeds = world.encode_prompt(
            ["a church in the snow"], do_classifier_free_guidance=False, max_sequence_length=80
        )[0]
        wanted = world.transformer(noise, torch.full((1, 36), 999.0), embeds, return_dict=False)[0].flatten(1)
    assert torch.allclose(preview(world, [row], 80), wanted, atol=1e-4)


def test_neither_scheduler_nor_random_state_nor_pipeline_change_it_or_are_changed(pipe):
    plain, kept = views(pipe), dict(vars(pipe))
    pipe.scheduler = FlowMatchEulerDiscreteScheduler(shift=8, shift_terminal=0.1)
    scheduler = copy.deepcopy(vars(pipe.scheduler))
    state = torch.get_rng_state()
    assert torch.equal(views(pipe), plain)
    assert torch.equal(torch.get_rng_state(), state) and vars(pipe).keys() == kept.keys()
    assert str(vars(pipe.scheduler)) == str(scheduler)


def test_a_wrapper_on_the_instance_and_a_hook_on_the_transformer_are_not_asked(pipe):
    plain = views(pipe)
    pipe.encode_prompt = None
    pipe.transformer.register_forward_pre_hook(lambda *_: pytest.fail("the guard was asked"))
    assert torch.equal(views(pipe), plain)


@pytest.mark.parametrize("cache", ["first block", "pyramid"])
def test_step_caches_neither_see_a_preview_nor_change_it(cache):
    pipe = make_pipe()
    torch.manual_seed(0)
    pipe.transformer = diffusers.WanTransformer3DModel.from_config({**pipe.transformer.config, "num_layers": 3}).eval()
    plain = views(pipe)
    config = FirstBlockCacheConfig(threshold=0.1)
    if cache == "pyramid":
        config = PyramidAttentionBroadcastConfig(
            spatial_attention_block_skip_range=2,
            cross_attention_block_skip_range=2,
            spatial_attention_timestep_skip_range=(0, 1000),
            cross_attention_timestep_skip_range=(0, 1000),
            current_timestep_callback=lambda: 500,
        )

    def draw():
        generator = torch.Generator().manual_seed(0)
        size = {"height": 32, "width": 32, "num_frames": 1, "num_inference_steps": 3, "max_sequence_length": LENGTH}
        return pipe(TEXTS[0], generator=generator, output_type="latent", **size).frames

    pipe.transformer.enable_cache(config)
    drawn = draw()

    def between(pipe, step, timestep, kwargs):
        assert torch.equal(views(pipe), plain)  # in the middle of a clip
        return kwargs

    assert torch.equal(views(pipe), plain) and torch.equal(draw(), drawn)
    hooks = [list(m._diffusers_hook.hooks) for m in pipe.transformer.modules() if hasattr(m, "_diffusers_hook")]
    generator = torch.Generator().manual_seed(0)
    size = {"height": 32, "width": 32, "num_frames": 1, "num_inference_steps": 3, "max_sequence_length": LENGTH}
    looked = pipe(TEXTS[0], generator=generator, output_type="latent", callback_on_step_end=between, **size).frames
    assert torch.equal(looked, drawn)
    assert hooks == [list(m._diffusers_hook.hooks) for m in pipe.transformer.modules() if hasattr(m, "_diffusers_hook")]


def test_compiled_blocks_run_as_written_and_stay_compiled(monkeypatch):
    pipe = make_pipe()
    plain = views(pipe)
    called = []

    def compiled(module):
        def call(*args, **kwargs):
            called.append(module)
            return module._call_impl(*args, **kwargs)

        return call

    for block in pipe.transformer.blocks:
        block._compiled_call_impl = compiled(block)
    before = [block._compiled_call_impl for block in pipe.transformer.blocks]
    assert torch.equal(views(pipe), plain) and not called
    assert before == [block._compiled_call_impl for block in pipe.transformer.blocks] and not _asking.get()


def test_two_transformers_and_a_timestep_per_clip_are_asked_through_the_one_for_high_noise():
    pipe = make_wan(two_transformers=True)
    plain = views(pipe)
    with torch.no_grad():
        pipe.transformer_2.proj_out.weight.zero_()
    assert torch.equal(views(pipe), plain)


def test_model_offload_leaves_the_transformer_where_it_was():
    accelerate = pytest.importorskip("accelerate")
    pipe = make_pipe()
    plain, moved = views(pipe), []
    hook = accelerate.hooks.CpuOffload(execution_device="cpu")
    accelerate.hooks.add_hook_to_module(pipe.transformer, hook, append=True)
    real = hook.init_hook
    hook.init_hook = lambda module: moved.append(module) or real(module)
    assert torch.equal(views(pipe), plain) and moved == [pipe.transformer]


def test_it_says_why_it_cannot_ask():
    assert can_preview(make_pipe()) and cannot_preview(make_pipe()) is None
    blind = make_pipe()
    blind.transformer = None
    assert not can_preview(blind) and "without its transformer" in cannot_preview(blind)
    other = diffusers.DDPMPipeline(nn.Identity(), diffusers.DDPMScheduler())
    assert "DDPMPipeline is none of the classes" in cannot_preview(other)


def test_the_state_of_weights_differs_once_they_change(pipe):
    transformer = pipe.transformer
    first = weights_state(transformer)
    assert weights_state(transformer) == first
    weights = [weight for weight in transformer.parameters() if weight.ndim > 1]
    with torch.no_grad():
        weights[1].add_(0.1)
    second = weights_state(transformer)
    for weight in weights:
        weight.data.mul_(1.5)  # as fusing an adapter does: no version tells
    assert len({first, second, weights_state(transformer)}) == 3
