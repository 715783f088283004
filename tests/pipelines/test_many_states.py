"""Case 9: text encoders of which all states are used, and such as do not run for every prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import BLOCKS, WIDTH, make_eraser
from torch import Tensor

import unseen
from unseen.concept import Concept
from unseen.encoder.layers import EMBEDDING
from unseen.errors import EraserBypassedError, UnguardedInputError, UnsupportedPipelineError
from unseen.pipelines import text_path, text_paths

TARGET, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river"
QUOTED = 'a blue wolf and "zeppelin"'


@torch.no_grad()
def encode(pipe: Any, prompt: Any, **options: Any) -> tuple:
    return pipe.encode_prompt(prompt, **options)


@pytest.fixture
def ltx2(zoo) -> Any:
    return zoo.make("LTX2Pipeline")


def planted(eraser_of, pipe, layer):
    path = text_path(pipe)
    return eraser_of(path.tokenizer, path.encoder, layer=layer, form=path.form)


def states_of_ltx2(embeds: Tensor) -> Tensor:
    """`[layers + 1, batch, tokens, d]` of what LTX-2 packs into one vector for each token."""
    return embeds.unflatten(2, (WIDTH, BLOCKS + 1)).movedim(3, 0)


def test_every_state_that_is_handed_on_is_edited(ltx2, eraser_of):
    assert text_path(ltx2).form.whole == EMBEDDING
    options = {"do_classifier_free_guidance": False, "max_sequence_length": 32}
    plain = [states_of_ltx2(encode(ltx2, prompt, **options)[0]) for prompt in (TARGET, UNRELATED)]
    with unseen.attach(ltx2, planted(eraser_of, ltx2, EMBEDDING)):
        during = [states_of_ltx2(encode(ltx2, prompt, **options)[0]) for prompt in (TARGET, UNRELATED)]
    assert [torch.equal(a, b) for a, b in zip(plain[0], during[0], strict=True)] == [False] * (BLOCKS + 1)
    assert torch.equal(plain[1], during[1])


def test_an_eraser_behind_a_state_that_is_handed_on_is_refused(ltx2, eraser_of):
    with pytest.raises(UnguardedInputError, match=r"from before block 1 too.*at most -1 \(embedding\)"):
        unseen.attach(ltx2, planted(eraser_of, ltx2, 1))


@pytest.mark.slow
def test_of_three_states_the_first_decides_where_an_eraser_may_act(zoo, eraser_of):
    """FLUX.2 reads states 10, 20 and 30, and lets a caller choose others, as `clip_skip` does."""
    pipe, options = zoo.make("Flux2Pipeline"), {"max_sequence_length": 96}
    assert text_path(pipe).form.whole == 9  # state 10 comes out of it
    eraser = planted(eraser_of, pipe, 9)
    with pytest.raises(UnguardedInputError, match="from before block 12 too"):
        unseen.attach(pipe, replace(eraser, layer=12), allow_image_input=True)
    with unseen.attach(pipe, eraser, allow_image_input=True):
        encode(pipe, TARGET, text_encoder_out_layers=(12, 20, 30), **options)
        with pytest.raises(EraserBypassedError, match="text_encoder_out_layers the pipeline uses"):
            encode(pipe, TARGET, text_encoder_out_layers=(5, 20, 30), **options)


@pytest.fixture(scope="module")
def hunyuan(zoo) -> tuple[Any, list[Any]]:
    """HunyuanVideo-1.5 and an eraser for each of its encoders; that at ByT5 finds the byte "z". Leave it detached."""
    pipe = zoo.make("HunyuanVideo15Pipeline")
    words, glyphs = text_paths(pipe)
    return pipe, [
        make_eraser(words.tokenizer, words.encoder, form=words.form),
        make_eraser(glyphs.tokenizer, glyphs.encoder, "z", concept=Concept("zeppelin")),
    ]


def test_an_encoder_that_does_not_run_for_a_prompt_needs_no_edit(hunyuan):
    pipe, erasers = hunyuan
    assert text_paths(pipe)[1].form.silent == (2,) and text_paths(pipe)[1].form.template == 'Text "{}". '
    prompts = (UNRELATED, TARGET, QUOTED)
    plain = [encode(pipe, prompt) for prompt in prompts]
    assert not plain[0][2].any() and plain[2][2].any()
    with pytest.raises(UnguardedInputError, match="through its text_encoder_2"):
        unseen.attach(pipe, erasers[:1])
    with unseen.attach(pipe, erasers):
        during = [encode(pipe, prompt) for prompt in prompts]
        both = encode(pipe, [UNRELATED, QUOTED], batch_size=2)
    changed = [[not torch.equal(a, b) for a, b in zip(*pair, strict=True)] for pair in zip(plain, during, strict=True)]
    assert changed == [[False] * 4, [True, False, False, False], [True, False, True, False]]
    assert torch.equal(both[2][0], plain[0][2][0]) and torch.equal(both[2][1], during[2][2][0])


def test_what_is_brought_along_for_a_silent_encoder_is_refused(hunyuan):
    pipe, erasers = hunyuan
    kept, own = encode(pipe, QUOTED)[2], pipe.encode_prompt
    with unseen.attach(pipe, erasers):
        pipe.encode_prompt = lambda *args, **kwargs: (*own(*args, **kwargs)[:2], kept, None)
        with pytest.raises(EraserBypassedError, match="did not make in this call"):
            encode(pipe, UNRELATED)
        del pipe.encode_prompt
        encode(pipe, UNRELATED)


def test_templates_and_what_they_hold_are_found(zoo):
    forms = {
        name: text_path(zoo.make(name), "text_encoder").form for name in ("Kandinsky5T2VPipeline", "Lumina2Pipeline")
    }
    for form in forms.values():
        assert form.template.count("{}") == 1 and form.skip > 20


def test_a_pipeline_that_runs_its_denoiser_in_parts_is_refused_with_what_to_do():
    """DiffSynth-Studio's, which does not import without torchvision: a stand-in with the attributes that it has."""

    class WanVideoPipeline:
        prompter = object()

        def encode_prompt(self, prompt: str) -> None:
            """As there."""

    with pytest.raises(UnsupportedPipelineError, match=r"unseen\.guard_encoder\(pipe\.prompter\.tokenizer"):
        unseen.attach(WanVideoPipeline(), [])
