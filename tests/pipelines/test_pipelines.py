"""Pipelines of many families: what their text encoders are given is found out, and erasers act on all of it."""

from __future__ import annotations

import diffusers
import pytest
import torch
from conftest import FEW_PROMPTS
from tiny import make_cogvideox, make_text_part, make_wan

import unseen
from unseen import EraserBypassedError, UnguardedInputError, WrongEncoderError
from unseen.encoder.activations import PromptForm
from unseen.encoder.layers import num_blocks
from unseen.errors import UnsupportedPipelineError
from unseen.pipelines import backbone_of, text_encoders, text_path, text_paths
from unseen.runtime.chokepoints.options import is_embedding

TARGET, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river"
FAMILIES = {
    "LTXPipeline": {"text_encoder": PromptForm(128, attend_pads=True)},
    "MochiPipeline": {"text_encoder": PromptForm(256)},
    "PixArtSigmaPipeline": {"text_encoder": PromptForm(300)},
    "AnimateDiffPipeline": {"text_encoder": PromptForm(32, attend_pads=True)},
    "FluxPipeline": {
        "text_encoder": PromptForm(32, attend_pads=True),
        "text_encoder_2": PromptForm(512, attend_pads=True),
    },
    "StableDiffusion3Pipeline": {
        "text_encoder": PromptForm(32, attend_pads=True),
        "text_encoder_2": PromptForm(32, attend_pads=True),
        "text_encoder_3": PromptForm(256, attend_pads=True),
    },
}
"""What each family's text encoders are given, read in diffusers' source."""


def call(pipe, prompt, **options):
    """`encode_prompt` with everything the family demands."""
    import inspect

    parameters = inspect.signature(pipe.encode_prompt).parameters
    given = {"device": "cpu", "num_images_per_prompt": 1, "prompt_2": None, "prompt_3": None}
    given = {k: v for k, v in given.items() if k in parameters and parameters[k].default is inspect.Parameter.empty}
    if "device" in parameters:
        given["device"] = "cpu"
    if "do_classifier_free_guidance" in parameters:
        given["do_classifier_free_guidance"] = True
    with torch.no_grad():
        return pipe.encode_prompt(prompt=prompt, **given, **options)


def same(left, right):
    return [a is b or torch.equal(a, b) for a, b in zip(left, right, strict=True)]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_the_text_encoders_are_given_is_found_out(family):
    pipe = make_text_part(family)
    assert {path.name: path.form._replace(blocks=None) for path in text_paths(pipe)} == FAMILIES[family]
    assert text_encoders(pipe) == tuple(FAMILIES[family])


def test_blocks_behind_what_is_handed_on_are_left_out():
    """Stable Diffusion 3 reads the last state but one of its CLIP encoders; whether an edit of the very block that made
    it is still seen depends on the transformers version, so what counts is what was observed."""
    first, second, t5 = text_paths(make_text_part("StableDiffusion3Pipeline"))
    assert first.form.blocks in (1, 2) and second.form.blocks == first.form.blocks + 1 and t5.form.blocks is None


def test_a_chat_models_instruction_and_the_blocks_it_leaves_unread_are_found_out():
    pipe = make_text_part("HunyuanVideoPipeline")
    llama, clip = text_paths(pipe)
    assert llama.form.template.startswith("<|start_header_id|>system") and "{}" in llama.form.template
    inputs = [llama.tokenizer(llama.form.template.format(text)).input_ids for text in (TARGET, UNRELATED)]
    assert 50 < llama.form.skip < len(inputs[0]) - 5
    assert inputs[0][: llama.form.skip] == inputs[1][: llama.form.skip]
    assert num_blocks(llama.encoder) - 4 < llama.form.blocks < num_blocks(llama.encoder) - 1
    assert (clip.form.template, clip.form.attend_pads, clip.form.blocks) == ("{}", True, None)


@pytest.mark.parametrize("family", ["LTXPipeline", "MochiPipeline", "PixArtSigmaPipeline", "AnimateDiffPipeline"])
def test_an_eraser_fitted_on_any_pipeline_edits_the_prompt_alone(family):
    pipe = make_text_part(family)
    eraser = unseen.fit(pipe, "zeppelin", config=FEW_PROMPTS, progress=False)
    plain = call(pipe, [TARGET, UNRELATED], negative_prompt=[TARGET, UNRELATED])
    with unseen.attach(pipe, eraser):
        during = call(pipe, [TARGET, UNRELATED], negative_prompt=[TARGET, UNRELATED])
        with pytest.raises(EraserBypassedError, match="have not seen"):
            call(pipe, None, prompt_embeds=plain[0])
    assert not torch.equal(during[0][0], plain[0][0]) and torch.equal(during[0][1], plain[0][1])
    assert all(same(during[1:], plain[1:]))  # masks and everything negative
    assert all(same(call(pipe, [TARGET, UNRELATED], negative_prompt=[TARGET, UNRELATED]), plain))


@pytest.mark.parametrize(
    "family",
    [  # FLUX's two are among the three of Stable Diffusion 3, and its page is tried with both
        pytest.param("FluxPipeline", marks=pytest.mark.slow), "StableDiffusion3Pipeline", "HunyuanVideoPipeline",
    ],
)  # fmt: skip
def test_each_of_several_text_encoders_needs_an_eraser(family):
    pipe = make_text_part(family)
    names = text_encoders(pipe)
    with pytest.raises(UnsupportedPipelineError, match=f"has {len(names)} text encoders"):
        unseen.fit(pipe, "zeppelin", config=FEW_PROMPTS, progress=False)
    erasers = [
        unseen.fit(
            pipe, "zeppelin", config=FEW_PROMPTS.with_options({"edit.max_ratio": 0.5}), encoder=name, progress=False
        )
        for name in names
    ]
    assert len({eraser.encoder_fingerprint for eraser in erasers}) == len(names)
    with pytest.raises(UnguardedInputError, match=f"through its {names[0]}"):
        unseen.attach(pipe, erasers[1:])
    plain = call(pipe, TARGET), call(pipe, UNRELATED)
    changed = []
    for eraser in erasers:
        with unseen.attach(pipe, eraser, allow_unguarded_encoders=True):
            changed.append(call(pipe, TARGET))
        assert not all(same(changed[-1], plain[0]))
    with unseen.attach(pipe, erasers) as handle:
        during = call(pipe, TARGET), call(pipe, UNRELATED)
        fired = handle.explain(TARGET)
        foreign = torch.full_like(during[0][0], 0.5)
        for given in ({"prompt_embeds": foreign}, {"prompt_embeds": during[0][0], "pooled_prompt_embeds": foreign}):
            with pytest.raises(EraserBypassedError, match="have not seen"):
                call(pipe, None, **given)
    assert {firing.encoder for firing in fired} == set(names)
    assert not any(all(same(during[0], alone)) for alone in changed)
    assert all(same(during[1], plain[1]))
    assert all(same(call(pipe, TARGET), plain[0]))


@pytest.mark.parametrize("in_place", [False, True])
def test_a_compiled_text_encoder_is_watched_as_written_and_stays_compiled(in_place):
    pipe = make_text_part("LTXPipeline")
    form = text_path(pipe).form
    if in_place:
        pipe.text_encoder.compile(backend="eager")
    else:
        pipe.text_encoder = torch.compile(pipe.text_encoder, backend="eager")
    compiled = pipe.text_encoder
    call(pipe, TARGET)  # compiled before anything is hooked in
    assert text_path(pipe).form == form
    assert pipe.text_encoder is compiled and (not in_place or compiled._compiled_call_impl is not None)


def test_a_pair_of_tokenizer_and_encoder_is_a_path_of_its_own(tokenizer, encoder_of):
    path = text_path((tokenizer, encoder_of("bert")), max_length=20)
    assert path.form == PromptForm(20)


def test_missing_and_unknown_encoders_are_refused():
    pipe = make_text_part("LTXPipeline")
    with pytest.raises(UnsupportedPipelineError, match="but no 'text_encoder_2'"):
        text_path(pipe, "text_encoder_2")
    pipe.text_encoder = None
    with pytest.raises(UnsupportedPipelineError, match="no text encoder loaded"):
        unseen.fit(pipe, "zeppelin")


def test_an_eraser_for_another_pipelines_encoder_is_refused(eraser_of, tokenizer, encoder_of):
    stranger = eraser_of(tokenizer, encoder_of("umt5", seed=9))
    with pytest.raises(WrongEncoderError, match="Fit the concept on this pipeline"):
        unseen.attach(make_text_part("FluxPipeline"), stranger)


@pytest.mark.parametrize(
    ("pipeline", "taken"),
    [
        ("CogVideoXImageToVideoPipeline", "image"),
        ("CogVideoXVideoToVideoPipeline", "video"),
        ("CogVideoXFunControlPipeline", "control_video"),
    ],
)
def test_every_pipeline_that_takes_pictures_is_refused(pipeline, taken, eraser_of):
    pipe = make_cogvideox()
    eraser = eraser_of(pipe.tokenizer, pipe.text_encoder)
    with pytest.raises(UnguardedInputError, match=f"takes {taken}, which"):
        unseen.attach(getattr(diffusers, pipeline)(**pipe.components), eraser)


def test_embeddings_of_one_encoder_among_several_are_looked_at_too():
    """HunyuanImage and HunyuanVideo-1.5 take `prompt_embeds_2`, Kandinsky 5 `prompt_embeds_qwen`."""
    taken = ("prompt_embeds", "pooled_prompt_embeds", "prompt_embeds_2", "prompt_embeds_qwen", "prompt_embeds_pooled")
    assert all(is_embedding(name) for name in taken)
    assert not any(is_embedding(name) for name in ("negative_prompt_embeds_2", "prompt_embeds_mask", "prompt_2"))


def test_the_papers_backbones_are_known_by_name():
    assert backbone_of(make_wan()).name == "Wan" and backbone_of(make_cogvideox()).name == "CogVideoX"
    assert backbone_of("CogVideoXPipeline").attends_pads and not backbone_of("WanPipeline").attends_pads
    assert backbone_of(make_text_part("LTXPipeline")) is None


@pytest.mark.parametrize("make", [make_wan, make_cogvideox])
def test_what_is_written_down_is_what_would_be_observed(make):
    from unseen.pipelines.watching import watched

    pipe = make()
    written, seen = text_path(pipe).form, watched(pipe, "text_encoder", pipe.tokenizer)
    assert (written.attend_pads, written.template, written.blocks) == (seen.attend_pads, seen.template, seen.blocks)
    assert written.length == backbone_of(pipe).prompt_length
