"""Erasers on a real (tiny) Wan pipeline: they act, they refuse to be bypassed, and they leave nothing behind."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest
import torch

import unseen
from unseen import AlreadyAttachedError, EraserBypassedError, UnguardedInputError, WrongEncoderError

TARGET, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river"


def generate(pipe, prompt=None, **options):
    generator = torch.Generator().manual_seed(0)
    defaults = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 2, "max_sequence_length": 16}
    return pipe(prompt, generator=generator, output_type="pt", **{**defaults, **options}).frames


@torch.no_grad()
def embed(pipe, prompt, **options):
    return pipe.encode_prompt(prompt, max_sequence_length=16, **options)


def erased(pipe, eraser):
    """The target's embeddings, made while the eraser is attached."""
    with unseen.attach(pipe, eraser) as handle:
        return handle.encode(TARGET, max_sequence_length=16)["prompt_embeds"]


def encodings(path):
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["event"] == "encoded"]


@pytest.fixture
def eraser(pipe, eraser_of):
    return eraser_of(pipe.tokenizer, pipe.text_encoder)


def test_video_changes_for_the_concept_only_and_detaching_restores_it_bit_for_bit(pipe, eraser):
    weights = {name: value.clone() for name, value in pipe.text_encoder.state_dict().items()}
    before = [generate(pipe, prompt) for prompt in (TARGET, UNRELATED)]
    attributes = set(vars(pipe))
    with unseen.attach(pipe, eraser):
        during = [generate(pipe, prompt) for prompt in (TARGET, UNRELATED)]
        assert all(torch.equal(value, weights[name]) for name, value in pipe.text_encoder.state_dict().items())
    assert not torch.equal(during[0], before[0])
    assert torch.equal(during[1], before[1])
    assert torch.equal(generate(pipe, TARGET), before[0])
    assert set(vars(pipe)) == attributes
    modules = list(pipe.text_encoder.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)
    assert all(torch.equal(value, weights[name]) for name, value in pipe.text_encoder.state_dict().items())


@pytest.mark.parametrize("family", ["bert", "t5", "umt5"])
def test_a_batch_of_prompts_changes_in_the_concepts_rows(pipe_of, eraser_of, family):
    pipe = pipe_of(family)
    eraser = eraser_of(pipe.tokenizer, pipe.text_encoder)
    prompts = [UNRELATED, TARGET, "lemon"]
    before = embed(pipe, prompts)[0]
    with unseen.attach(pipe, eraser):
        after = embed(pipe, prompts)[0]
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, False, True]


def test_the_negative_prompt_stays_unless_asked(pipe, eraser):
    plain = embed(pipe, UNRELATED, negative_prompt=TARGET)
    with unseen.attach(pipe, eraser):
        spared = embed(pipe, UNRELATED, negative_prompt=TARGET)
    with unseen.attach(pipe, eraser, on_negative=True):
        edited = embed(pipe, UNRELATED, negative_prompt=TARGET)
    assert torch.equal(spared[1], plain[1])
    assert not torch.equal(edited[1], plain[1])
    assert torch.equal(edited[0], plain[0])


def test_the_guard_changes_nothing_about_the_call(pipe, eraser):
    plain = embed(pipe, [UNRELATED] * 2, num_videos_per_prompt=2, negative_prompt=["apple", "chair"])
    with unseen.attach(pipe, eraser):
        guarded = embed(pipe, [UNRELATED] * 2, num_videos_per_prompt=2, negative_prompt=["apple", "chair"])
        assert embed(pipe, UNRELATED, do_classifier_free_guidance=False)[1] is None
    assert all(torch.equal(a, b) for a, b in zip(plain, guarded, strict=True))


def test_foreign_embeddings_are_refused(pipe, eraser):
    foreign = embed(pipe, TARGET)[0]
    with unseen.attach(pipe, eraser), pytest.raises(EraserBypassedError, match="have not seen"):
        generate(pipe, prompt_embeds=foreign)
    generate(pipe, prompt_embeds=foreign)  # allowed again once detached


def test_embeddings_made_by_the_same_eraser_are_accepted(pipe, eraser):
    made = erased(pipe, eraser)
    with unseen.attach(pipe, eraser):
        expected = generate(pipe, TARGET)
        assert torch.equal(generate(pipe, prompt_embeds=made), expected)
        assert torch.equal(generate(pipe, prompt_embeds=embed(pipe, TARGET)[0].clone()), expected)


def test_embeddings_made_by_another_eraser_are_refused(pipe, eraser, eraser_of):
    other = eraser_of(pipe.tokenizer, pipe.text_encoder, word="wolf")
    made = erased(pipe, other)
    weaker = erased(pipe, eraser.with_strength(0.5))
    with unseen.attach(pipe, eraser):
        for embeddings in (made, weaker, torch.cat([made, eraser_free(made)])):
            with pytest.raises(EraserBypassedError):
                generate(pipe, prompt_embeds=embeddings)


def eraser_free(embeddings):
    return torch.zeros_like(embeddings)


def test_a_text_encoder_that_was_swapped_is_noticed(pipe, eraser, encoder_of):
    with unseen.attach(pipe, eraser):
        original, pipe.text_encoder = pipe.text_encoder, encoder_of("umt5")
        with pytest.raises(EraserBypassedError, match="without passing through block 1"):
            generate(pipe, TARGET)
        pipe.text_encoder = original
        generate(pipe, TARGET)


def test_attaching_twice_is_refused_and_leaves_the_first_in_place(pipe, eraser):
    with unseen.attach(pipe, eraser) as handle:
        during = embed(pipe, TARGET)[0]
        with pytest.raises(AlreadyAttachedError, match="zeppelin"):
            unseen.attach(pipe, [eraser])
        assert handle.attached and torch.equal(embed(pipe, TARGET)[0], during)
    handle.detach()
    unseen.attach(pipe, [eraser]).detach()


def test_the_wrong_encoder_is_refused_before_anything_changes(pipe, eraser_of, encoder_of):
    stranger = eraser_of(pipe.tokenizer, encoder_of("umt5", seed=5))
    fitting = eraser_of(pipe.tokenizer, pipe.text_encoder)
    before = set(vars(pipe))
    with pytest.raises(WrongEncoderError, match="Fit the concept on this pipeline"):
        unseen.attach(pipe, [fitting, stranger])
    assert set(vars(pipe)) == before
    assert not any(module._forward_hooks for module in pipe.text_encoder.modules())
    unseen.attach(pipe, [fitting]).detach()


@pytest.mark.parametrize("layers", [(1, 1, 1), (0, 1, 2)])
def test_several_erasers_do_not_depend_on_their_order(pipe, eraser_of, layers):
    words = ("zeppelin", "red", "river")
    erasers = [
        eraser_of(pipe.tokenizer, pipe.text_encoder, word=word, layer=layer)
        for word, layer in zip(words, layers, strict=True)
    ]
    results = []
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        with unseen.attach(pipe, [erasers[i] for i in order], strengths=[1.0 + i for i in order]):
            results.append(embed(pipe, TARGET)[0])
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])
    with unseen.attach(pipe, erasers[:1]):
        assert not torch.equal(embed(pipe, TARGET)[0], results[0])


def test_strengths_override_the_erasers_own(pipe, eraser):
    plain = embed(pipe, TARGET)[0]
    with unseen.attach(pipe, [eraser], strengths=[0.0]):
        assert torch.equal(embed(pipe, TARGET)[0], plain)
    with unseen.attach(pipe, [eraser], strengths=[2.0]):
        strong = embed(pipe, TARGET)[0]
    with unseen.attach(pipe, eraser.with_strength(2.0)):
        assert torch.equal(embed(pipe, TARGET)[0], strong)
    for bad in ([1.0, 1.0], [-1.0]):
        with pytest.raises(ValueError, match="strengths"):
            unseen.attach(pipe, [eraser], strengths=bad)


def test_explain_names_the_eraser_the_token_and_the_activity(pipe, eraser_of):
    erasers = [eraser_of(pipe.tokenizer, pipe.text_encoder, word=word) for word in ("zeppelin", "wolf")]
    with unseen.attach(pipe, erasers) as handle:
        firings = handle.explain(TARGET)
        assert [(f.concept, f.token, f.layer) for f in firings] == [("zeppelin", "zeppelin", 1)]
        assert firings[0].activity > 0 and firings[0].position == TARGET.split().index("zeppelin") + 1
        assert handle.explain("an apple on the table") == []
    with pytest.raises(unseen.UnseenError, match="detached"):
        handle.explain(TARGET)


def test_an_error_inside_the_context_still_detaches(pipe, eraser):
    plain = embed(pipe, TARGET)[0]
    with pytest.raises(ZeroDivisionError), unseen.attach(pipe, eraser):
        raise ZeroDivisionError
    assert torch.equal(embed(pipe, TARGET)[0], plain)


def test_an_eraser_is_frozen(eraser):
    with pytest.raises(dataclasses.FrozenInstanceError):
        eraser.layer = 0


def test_the_audit_log_says_which_eraser_fired_on_which_tokens(pipe, eraser, tmp_path):
    path = tmp_path / "logs" / "audit.jsonl"
    with unseen.attach(pipe, eraser, audit=path):
        plain = embed(pipe, [TARGET, UNRELATED])[0]
        generate(pipe, UNRELATED)
    lines = encodings(path)
    assert [len(line["fired"]) for line in lines] == [1, 0, 0]
    fired = lines[0]["fired"][0]
    assert (fired["concept"], fired["layer"], fired["strength"]) == (eraser.name, eraser.layer, eraser.strength)
    assert [token for token, activity in fired["tokens"] if activity > 0.5] == ["zeppelin"]
    assert TARGET not in path.read_text(encoding="utf-8")
    assert lines[0]["prompt_sha256"] == hashlib.sha256(TARGET.encode()).hexdigest()
    with unseen.attach(pipe, eraser, audit=path, audit_prompts=True):
        audited = embed(pipe, [TARGET, UNRELATED])[0]
    assert torch.equal(audited, plain)  # watching changes nothing
    later = encodings(path)[3:]
    assert [line["prompt"] for line in later] == [TARGET, UNRELATED]
    modules = list(pipe.text_encoder.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


def test_an_audit_file_that_cannot_be_written_is_refused_before_anything_is_attached(pipe, eraser, tmp_path):
    with pytest.raises(OSError):
        unseen.attach(pipe, eraser, audit=tmp_path)
    embed(pipe, TARGET)
    unseen.attach(pipe, eraser).detach()  # nothing was left attached


def test_a_pipeline_that_takes_images_is_refused_unless_allowed(pipe, eraser):
    from diffusers import WanImageToVideoPipeline

    parts = {name: part for name, part in pipe.components.items() if name not in ("transformer_2",)}
    both = WanImageToVideoPipeline(**parts, image_encoder=None, image_processor=None, expand_timesteps=True)
    with pytest.raises(UnguardedInputError, match="takes image"):
        unseen.attach(both, eraser)
    before = embed(pipe, TARGET)[0]
    with unseen.attach(both, eraser, allow_image_input=True):
        assert not torch.equal(both.encode_prompt(TARGET, max_sequence_length=16)[0], before)


def test_where_the_audit_log_is_full_nothing_is_encoded_and_erasers_come_off_all_the_same(pipe, eraser, tmp_path):
    path = tmp_path / "audit.jsonl"
    plain = embed(pipe, TARGET)[0]
    handle = unseen.attach(pipe, eraser, audit=path)
    path.rename(tmp_path / "before.jsonl")
    path.symlink_to("/dev/full")
    with pytest.raises(unseen.AuditError, match=r"audit\.jsonl cannot be written \(No space left on device\)"):
        embed(pipe, TARGET)
    handle.detach()
    assert not handle.attached and torch.equal(embed(pipe, TARGET)[0], plain)
