"""Other pipelines on the same components, made before or after the erasers came."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import diffusers
import torch

import unseen
from unseen.bench.ways.families import make_wan
from unseen.bench.ways.scene import NEGATIVE, TARGET, UNRELATED, Scene, planted, wan
from unseen.bench.ways.tiny import make_encoder
from unseen.bench.ways.way import way


def _twin(s: Scene, **changes: Any) -> Any:
    pipe = diffusers.WanPipeline(**{**s.pipe.components, **changes}, expand_timesteps=True)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _video_to_video(s: Scene) -> Any:
    kept = ("tokenizer", "text_encoder", "transformer", "vae", "scheduler")
    return diffusers.WanVideoToVideoPipeline(**{name: s.pipe.components[name] for name in kept})


@way("refused")
def second_pipeline_made_before(s: Scene) -> None:
    """WanPipeline(**pipe.components), made before attach and used as if it were free."""
    other = _twin(s)
    with s.attach():
        s.generate(TARGET, pipe=other)


@way("refused")
def second_pipeline_made_after(s: Scene) -> None:
    """WanPipeline(**pipe.components), made while attached."""
    with s.attach():
        s.generate(TARGET, pipe=_twin(s))


@way("refused")
def from_pipe(s: Scene) -> None:
    """WanPipeline.from_pipe(pipe) while attached, with a negative prompt that names the concept."""
    with s.attach():
        other = diffusers.WanPipeline.from_pipe(s.pipe)
        s.guide(UNRELATED, pipe=other, negative_prompt=NEGATIVE)


@way("refused")
def own_embeddings_in_a_second_pipeline(s: Scene) -> None:
    """Foreign embeddings through the second pipeline."""
    with s.attach():
        s.generate(prompt_embeds=s.plain(), pipe=_twin(s))


@way("erased")
def erased_embeddings_in_a_second_pipeline(s: Scene) -> None:
    """Erased embeddings may be used in a pipeline that shares the denoiser."""
    with s.attach():
        s.generate(prompt_embeds=s.embed(TARGET)[0], pipe=_twin(s))


@way("refused")
def video_to_video_on_the_same_parts(s: Scene) -> None:
    """Video-to-video made from the components, which takes a picture that nobody guards."""
    with s.attach():
        s.attach(_video_to_video(s))


@way("erased")
def both_attached(s: Scene) -> None:
    """unseen.attach([pipe, other], eraser): both are guarded in full."""
    other = _twin(s)
    with s.attach([s.pipe, other]):
        s.guide(TARGET, negative_prompt=NEGATIVE)
        s.guide(TARGET, negative_prompt=NEGATIVE, pipe=other)


@way("erased")
def negative_prompts_of_both_are_spared(s: Scene) -> None:
    """The negative prompt stays as it is on the second pipeline of a list too."""
    other = _twin(s)
    with s.attach([s.pipe, other]):
        for pipe in (s.pipe, other):
            made = s.embed(UNRELATED, negative_prompt=TARGET, pipe=pipe)
            s.same(made[0], s.erased(UNRELATED))
            s.findings.append(s.findings[-1]._replace(fine=torch.equal(made[1], s.plain())))


@way("refused")
def a_list_with_a_stranger(s: Scene) -> None:
    """A pipeline with another text encoder in the list."""
    with s.attach([s.pipe, _twin(s, text_encoder=make_encoder("umt5", seed=4))]):
        s.generate(TARGET)


@way("refused")
def attached_twice(s: Scene) -> None:
    """A second attach on the same pipeline."""
    with s.attach(), s.attach():
        pass


@way("refused")
def attached_to_a_twin_twice(s: Scene) -> None:
    """A second attach through another pipeline on the same encoder."""
    other = _twin(s)
    with s.attach(), s.attach(other):
        pass


@way("refused")
def the_same_concept_twice(s: Scene) -> None:
    """The same concept twice in one attach."""
    try:
        unseen.attach(s.pipe, [s.eraser, s.eraser.with_strength(2.0)])
    except ValueError as error:
        raise unseen.UnseenError(str(error)) from error


@way("refused")
def the_same_pipelines_encoder_is_another(s: Scene) -> None:
    """A second pipeline has an encoder of its own, unedited, and the attached denoiser."""
    other = _twin(s, text_encoder=make_encoder("umt5"))
    with s.attach():
        s.generate(TARGET, pipe=other)


@way("erased")
def twin_encoders_with_an_eraser_each(s: Scene) -> None:
    """Two pipelines with encoders of their own share one denoiser; both are attached."""
    other = _twin(s, text_encoder=make_encoder("umt5"))
    with s.attach(), s.attach(other):
        s.generate(TARGET)
        s.generate(TARGET, pipe=other)


@way("unchanged")
def detached_pipelines_are_free(s: Scene) -> None:
    """After detach both pipelines draw the concept again."""
    other = _twin(s)
    s.attach([s.pipe, other]).detach()
    s.expected = [s.plain()]
    s.generate(TARGET)
    s.generate(TARGET, pipe=other)


@way("erased", scene=lambda: _two_transformers())
def both_denoisers_of_a14b(s: Scene) -> None:
    """Wan2.2-A14B: the second transformer as well."""
    with s.attach():
        s.guide(TARGET, negative_prompt=NEGATIVE, steps=4)


@way("refused", scene=lambda: _two_transformers())
def second_denoiser_of_a14b_alone(s: Scene) -> None:
    """Wan2.2-A14B: the transformer for low noise is called with foreign text."""
    with s.attach():
        s.denoise(s.plain(), module=s.pipe.transformer_2)


@way("refused", scene=lambda: _two_transformers())
def scale_of_the_second_denoiser(s: Scene) -> None:
    """Wan2.2-A14B: guidance_scale_2 = 0 lets the negative prompt alone be drawn at low noise."""
    s.expected = [s.erased(UNRELATED)]
    with s.attach():
        s.guide(UNRELATED, negative_prompt=NEGATIVE, steps=4, guidance_scale_2=0.0)


def _two_transformers() -> Scene:
    pipe = make_wan(two_transformers=True)
    scene = Scene(pipe, planted(pipe, "umt5"))
    scene.spy(pipe.transformer_2)
    return scene


@way("unchanged")
def a_dropped_pipeline_frees_its_encoder(s: Scene) -> None:
    """Attached, used, detached and dropped: nothing holds the encoder."""
    s.expected = [s.erased()]
    with s.attach():
        s.guide(TARGET)
    s.look_through_the_log()
    encoder = weakref.ref(s.pipe.text_encoder)
    s.pipe = None
    gc.collect()
    s.check(encoder() is None, "the encoder is freed")


@way("unchanged")
def a_dropped_attached_pipeline_frees_its_encoder(s: Scene) -> None:
    """Dropped with its handle, without detaching."""
    handle = s.attach()
    s.guide(TARGET)
    s.look_through_the_log()
    encoder = weakref.ref(s.pipe.text_encoder)
    s.pipe = None
    del handle
    gc.collect()
    s.check(encoder() is None, "the encoder is freed")


@way("erased")
def a_copy_for_each_request(s: Scene) -> None:
    """copy.copy(pipe) while attached is guarded like the pipeline."""
    with s.attach():
        mine = copy.copy(s.pipe)
        mine.scheduler = copy.deepcopy(s.pipe.scheduler)
        s.guide(TARGET, pipe=mine, negative_prompt=NEGATIVE)


@way("refused")
def a_copy_after_detaching(s: Scene) -> None:
    """A copy made while attached says that it is stale."""
    with s.attach():
        mine = copy.copy(s.pipe)
    s.generate(TARGET, pipe=mine)


@way("refused")
def a_copy_after_attaching_again(s: Scene) -> None:
    """The same after another attach on the original."""
    with s.attach():
        mine = copy.copy(s.pipe)
    with s.attach():
        s.generate(TARGET, pipe=mine)


@way("refused")
def a_copy_made_before(s: Scene) -> None:
    """A copy made before attach shares the hooked components."""
    mine = copy.copy(s.pipe)
    with s.attach():
        s.generate(TARGET, pipe=mine)


@way("refused")
def a_deep_copy(s: Scene) -> None:
    """copy.deepcopy(pipe) while attached."""
    with s.attach():
        s.generate(TARGET, pipe=copy.deepcopy(s.pipe))


@way("refused")
def a_pickled_pipeline(s: Scene) -> None:
    """pickle.dumps(pipe) while attached, as Ray and multiprocessing do."""
    import pickle

    with s.attach():
        s.generate(TARGET, pipe=pickle.loads(pickle.dumps(s.pipe)))


@way("unchanged")
def a_deep_copy_made_before(s: Scene) -> None:
    """A deep copy made before attach is a pipeline of its own."""
    mine = copy.deepcopy(s.pipe)
    s.log.clear()
    s.expected = [s.plain()]
    with s.attach():
        s.generate(TARGET, pipe=mine)
    s.check(torch.equal(s.embed(TARGET, pipe=mine)[0], s.plain()), "free")


@way("refused")
def a_deep_copy_of_the_denoiser(s: Scene) -> None:
    """An EMA copy of the transformer, made while attached, refuses as well."""
    with s.attach():
        twin = copy.deepcopy(s.pipe.transformer)
        s.denoise(s.plain(), module=twin)


@way("unchanged")
def a_deep_copy_of_the_encoder(s: Scene) -> None:
    """copy.deepcopy(pipe.text_encoder) while attached: an encoder of its own, free of everything."""
    with s.attach():
        twin = copy.deepcopy(s.pipe.text_encoder)
    ids = s.pipe.tokenizer(TARGET, return_tensors="pt").input_ids
    with torch.no_grad():
        s.check(torch.equal(twin(ids)[0], s.pipe.text_encoder(ids)[0]), "the copy is free after detach")


@way("unchanged")
def saving_while_attached(s: Scene) -> None:
    """save_pretrained while attached writes an ordinary pipeline under its ordinary name."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        with s.attach():
            s.pipe.save_pretrained(folder)
        again = diffusers.WanPipeline.from_pretrained(folder)
    s.check(type(again) is diffusers.WanPipeline, "its class")
    s.check(torch.equal(s.embed(TARGET, pipe=again)[0], s.plain()), "its embeddings")


@way("unchanged", scene=lambda: wan("t5"))
def save_after_detaching(s: Scene) -> None:
    """The class, the attributes and the hooks are as they were."""
    before = set(vars(s.pipe))
    s.attach().detach()
    s.check(type(s.pipe) is diffusers.WanPipeline and set(vars(s.pipe)) == before, "as before")
    modules = [*s.pipe.text_encoder.modules(), s.pipe.transformer]
    s.check(not any(m._forward_hooks or m._forward_pre_hooks for m in modules), "no hooks")
