"""Case 17: diffusers' modular pipelines are guarded like others, by way of the block that encodes prompts."""

from __future__ import annotations

import copy
from typing import Any

import diffusers
import pytest
import torch
from conftest import SMALL_FIT, make_pipe
from diffusers import FluxModularPipeline, WanModularPipeline
from diffusers.guiders import ClassifierFreeGuidance
from diffusers.modular_pipelines import SequentialPipelineBlocks
from tiny import make_text_part

import unseen
from unseen.errors import AlreadyAttachedError, EraserBypassedError, UnguardedInputError, UnsupportedPipelineError
from unseen.pipelines import text_path, text_paths

TARGET, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river"
CALL = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 2, "max_sequence_length": 16}


def with_components(pipe: Any, source: Any) -> Any:
    """A modular pipeline with the components of an ordinary one."""
    wanted = {n: part for n, part in source.components.items() if n in pipe._component_specs and part is not None}
    pipe.update_components(**wanted)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def wan() -> Any:
    return with_components(WanModularPipeline(), make_pipe())


@pytest.fixture
def eraser(wan, eraser_of):
    return eraser_of(wan.tokenizer, wan.text_encoder)


def draw(pipe: Any, prompt: Any, output: Any = "latents", **options: Any) -> Any:
    return pipe(prompt=prompt, output=output, generator=torch.Generator().manual_seed(0), **{**CALL, **options})


def test_fit_attach_generate_detach(wan):
    classes = type(wan), [type(block) for block in wan._blocks.sub_blocks.values()]
    plain = [draw(wan, prompt) for prompt in (TARGET, UNRELATED)]
    eraser = unseen.fit(wan, "zeppelin", config=SMALL_FIT, progress=False)
    with unseen.attach(wan, eraser) as handle:
        during = [draw(wan, prompt) for prompt in (TARGET, UNRELATED)]
        assert handle.pipes == (wan,) and handle.status().pipelines == ("WanModularPipeline",)
        assert "zeppelin" in {firing.token for firing in handle.explain(TARGET)}
    assert not torch.equal(during[0], plain[0]) and torch.equal(during[1], plain[1])
    assert torch.equal(draw(wan, TARGET), plain[0])
    assert classes == (type(wan), [type(block) for block in wan._blocks.sub_blocks.values()])


def test_it_encodes_what_the_ordinary_pipeline_encodes(eraser, wan):
    ordinary = make_pipe()
    with torch.no_grad(), unseen.attach(wan, eraser), unseen.attach(ordinary, eraser):
        made = wan(prompt=TARGET, output=["prompt_embeds", "negative_prompt_embeds"], **CALL)
        wanted = ordinary.encode_prompt(TARGET, max_sequence_length=16)
    assert torch.equal(made["prompt_embeds"], wanted[0]) and torch.equal(made["negative_prompt_embeds"], wanted[1])


def test_the_negative_prompt_may_name_the_concept(wan, eraser):
    names = ["prompt_embeds", "negative_prompt_embeds"]
    plain = draw(wan, TARGET, names, negative_prompt=TARGET)
    with unseen.attach(wan, eraser):
        during = draw(wan, TARGET, names, negative_prompt=TARGET)
        other = draw(wan, UNRELATED, names, negative_prompt=TARGET)
    assert not torch.equal(during["prompt_embeds"], plain["prompt_embeds"])
    assert torch.equal(during["negative_prompt_embeds"], plain["negative_prompt_embeds"])
    assert torch.equal(other["negative_prompt_embeds"], plain["negative_prompt_embeds"])


def test_a_batch_of_prompts(wan, eraser):
    plain = draw(wan, [TARGET, UNRELATED], "prompt_embeds")
    with unseen.attach(wan, eraser):
        during = draw(wan, [TARGET, UNRELATED], "prompt_embeds")
    assert not torch.equal(during[0], plain[0]) and torch.equal(during[1], plain[1])


def test_model_offload_by_the_hooks_of_a_components_manager(wan, eraser, columns):
    plain = draw(wan, TARGET)
    with unseen.attach(wan, eraser):
        expected = draw(wan, TARGET)
    assert columns._start_offload(wan) == "by a ComponentsManager's hooks"
    assert all(hasattr(wan.components[name], "_hf_hook") for name in ("text_encoder", "transformer"))
    with unseen.attach(wan, eraser) as handle:
        assert torch.equal(draw(wan, TARGET), expected) and not torch.equal(expected, plain)
        assert {firing.token for firing in handle.explain(TARGET)} == {"zeppelin"}
    assert torch.equal(draw(wan, TARGET), plain)


def test_what_shares_its_parts_and_was_not_attached_is_refused(wan, eraser):
    other = with_components(WanModularPipeline(), wan)
    parts = wan.blocks  # a copy of the blocks, from before
    new = "a zeppelin and a lemon"  # erased embeddings of other prompts are known from other tests
    with unseen.attach(wan, eraser):
        for pipe in (other, copy.copy(wan), with_components(parts.init_pipeline(), wan)):
            with pytest.raises(EraserBypassedError):
                draw(pipe, new)
        draw(wan, new)
    draw(other, new)


def test_embeddings_of_somebody_elses_making_are_refused(wan, eraser):
    made = draw(wan, TARGET, ["prompt_embeds", "negative_prompt_embeds"])
    blocks = {name: block for name, block in wan.blocks.sub_blocks.items() if name != "text_encoder"}
    rest = with_components(SequentialPipelineBlocks.from_blocks_dict(blocks).init_pipeline(), wan)
    given = {**CALL, **made, "generator": torch.Generator().manual_seed(0)}
    plain = rest(output="latents", **given)
    with unseen.attach(wan, eraser):
        with pytest.raises(EraserBypassedError):
            rest(output="latents", **given)
        kept = draw(wan, TARGET, ["prompt_embeds", "negative_prompt_embeds"])
    assert plain.isfinite().all() and not torch.equal(kept["prompt_embeds"], made["prompt_embeds"])


def test_a_replaced_text_encoder_is_refused_and_a_second_attach_too(wan, eraser, encoder_of):
    with unseen.attach(wan, eraser) as handle:
        with pytest.raises(AlreadyAttachedError):
            unseen.attach(wan, eraser)
        wan.update_components(text_encoder=encoder_of("umt5", seed=3))
        with pytest.raises(EraserBypassedError, match=r"pipe\.text_encoder was replaced"):
            draw(wan, TARGET)
        assert handle.attached


def test_a_compiled_text_encoder(wan, eraser):
    with unseen.attach(wan, eraser):
        expected = draw(wan, TARGET, "prompt_embeds")
    compiled = torch.compile(wan.text_encoder, backend="eager")
    wan.update_components(text_encoder=compiled)
    with unseen.attach(wan, eraser):
        assert torch.equal(draw(wan, TARGET, "prompt_embeds"), expected)
    assert wan.text_encoder is compiled


def test_guidance_towards_the_negative_prompt_is_refused(wan, eraser):
    wan.update_components(guider=ClassifierFreeGuidance(guidance_scale=0.5))
    draw(wan, UNRELATED, negative_prompt=TARGET)
    with unseen.attach(wan, eraser), pytest.raises(EraserBypassedError, match=r"guidance_scale is 0\.5"):
        draw(wan, UNRELATED, negative_prompt=TARGET)


def test_each_text_encoder_of_a_modular_pipeline_needs_an_eraser(eraser_of):
    pipe = with_components(FluxModularPipeline(), make_text_part("FluxPipeline"))
    names = ("text_encoder", "text_encoder_2")
    forms = {path.name: path.form for path in text_paths(pipe)}
    assert forms == {path.name: path.form for path in text_paths(make_text_part("FluxPipeline"))}
    erasers = [eraser_of(pipe.tokenizer, getattr(pipe, n), form=forms[n]) for n in names]
    with pytest.raises(UnguardedInputError, match="takes image"):
        unseen.attach(pipe, erasers)
    with pytest.raises(UnguardedInputError, match="through its text_encoder,"):
        unseen.attach(pipe, erasers[1:], allow_image_input=True)
    with unseen.attach(pipe, erasers, allow_image_input=True) as handle:
        assert {firing.encoder for firing in handle.explain(TARGET)} == set(names)


@pytest.mark.skipif(not hasattr(diffusers, "Wan22Image2VideoModularPipeline"), reason="this diffusers has none")
def test_pictures_are_refused(wan, eraser):
    pipe = with_components(diffusers.Wan22Image2VideoModularPipeline(), wan)
    with pytest.raises(UnguardedInputError, match=r"Wan22Image2VideoModularPipeline also takes .*image"):
        unseen.attach(pipe, eraser)
    assert type(pipe) is diffusers.Wan22Image2VideoModularPipeline  # nothing was changed


def test_what_cannot_be_guarded_is_refused_with_a_sentence(wan, eraser):
    with pytest.raises(UnsupportedPipelineError, match="the class WanModularPipeline: build or load one"):
        unseen.attach(WanModularPipeline, [eraser])
    blocks = {name: block for name, block in wan.blocks.sub_blocks.items() if name != "text_encoder"}
    rest = SequentialPipelineBlocks.from_blocks_dict(blocks).init_pipeline()
    with pytest.raises(UnsupportedPipelineError, match="found none"):
        unseen.attach(rest, eraser)
    with pytest.raises(UnsupportedPipelineError, match="no text encoder loaded"):
        text_path(WanModularPipeline())
