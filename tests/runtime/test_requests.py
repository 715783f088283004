"""What one caller asks of attached erasers concerns that caller alone; what cannot change cannot be set."""

from __future__ import annotations

import dataclasses
import json
import threading

import pytest
import torch

import unseen
from unseen import Concept, EraserBypassedError, UnguardedInputError, WrongEncoderError

TARGET, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river"
SMALL = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 2, "max_sequence_length": 16}


@torch.no_grad()
def embed(pipe, prompt, **options):
    return pipe.encode_prompt(prompt, max_sequence_length=16, do_classifier_free_guidance=False, **options)[0]


@pytest.fixture
def eraser(pipe, eraser_of):
    return eraser_of(pipe.tokenizer, pipe.text_encoder)


@pytest.fixture
def wolf(pipe, eraser_of):
    return eraser_of(pipe.tokenizer, pipe.text_encoder, word="wolf")


def test_a_choice_holds_in_its_block_and_its_thread_alone(pipe, eraser, wolf):
    plain = [embed(pipe, prompt) for prompt in (TARGET, UNRELATED)]
    with unseen.attach(pipe, [eraser, wolf]) as handle:
        all_on = [embed(pipe, prompt) for prompt in (TARGET, UNRELATED)]
        elsewhere = []
        with handle.using({"zeppelin": 1.0}):
            assert torch.equal(embed(pipe, TARGET), all_on[0]) and torch.equal(embed(pipe, UNRELATED), plain[1])
            other = threading.Thread(target=lambda: elsewhere.append(embed(pipe, UNRELATED)))
            other.start()
            other.join()
            with handle.using({"wolf": 1.0}):
                assert torch.equal(embed(pipe, TARGET), plain[0]) and torch.equal(embed(pipe, UNRELATED), all_on[1])
            assert torch.equal(embed(pipe, TARGET), all_on[0])
        assert torch.equal(elsewhere[0], all_on[1])
        assert torch.equal(embed(pipe, UNRELATED), all_on[1])


def test_embeddings_of_a_weaker_choice_are_refused_outside_it(pipe, eraser):
    with unseen.attach(pipe, eraser) as handle:
        with handle.using({}):
            unedited = embed(pipe, TARGET)
            pipe(prompt_embeds=unedited, output_type="latent", **SMALL)
        with pytest.raises(EraserBypassedError, match="have not seen"):
            pipe(prompt_embeds=unedited, output_type="latent", **SMALL)


@pytest.mark.parametrize(
    "chosen", [{"zepelin": 1.0}, {"zeppelin": -1.0}, {"zeppelin": float("nan")}, {"zeppelin": True}]
)
def test_a_choice_that_means_nothing_is_refused(pipe, eraser, chosen):
    with unseen.attach(pipe, eraser) as handle, pytest.raises(ValueError, match="expected"), handle.using(chosen):
        pass


def test_strength_is_a_dial_for_one_call(pipe, eraser):
    plain = embed(pipe, TARGET)
    with unseen.attach(pipe, eraser) as handle:
        full = embed(pipe, TARGET)
        with handle.using({"zeppelin": 0.5}):
            half = embed(pipe, TARGET)
    assert (half - plain).norm() < (full - plain).norm() and not torch.equal(half, plain)


@pytest.mark.parametrize("name", ["strengths", "erasers", "attached", "pipes"])
def test_what_cannot_change_cannot_be_set(pipe, eraser, name):
    with unseen.attach(pipe, eraser) as handle, pytest.raises(AttributeError):
        setattr(handle, name, ())


def test_the_same_concept_twice_is_refused(pipe, eraser):
    with pytest.raises(ValueError, match="one eraser per concept"):
        unseen.attach(pipe, [eraser, eraser.with_strength(2.0)])
    unseen.attach(pipe, eraser).detach()


def test_several_pipelines_share_a_handle_and_need_the_same_encoder(pipe, pipe_of, eraser):
    other = type(pipe)(**pipe.components, expand_timesteps=True)
    plain = embed(pipe, TARGET)
    with unseen.attach([pipe, other], eraser) as handle:
        assert handle.pipes == (pipe, other)
        erased = [embed(one, TARGET) for one in (pipe, other)]
        assert torch.equal(*erased) and not torch.equal(erased[0], plain)
    assert torch.equal(embed(other, TARGET), plain)
    with pytest.raises(WrongEncoderError, match="another object"):
        unseen.attach([pipe, pipe_of(seed=0)], eraser)


def test_embeddings_carry_their_proof_into_another_process(pipe, eraser, tmp_path):
    from unseen.runtime.context import proofs

    with unseen.attach(pipe, eraser) as handle:
        made = handle.encode([TARGET, UNRELATED], negative_prompt=["", ""], max_sequence_length=16)
        expected = pipe(**made, output_type="latent", **SMALL, generator=torch.Generator().manual_seed(0)).frames
        made.save(tmp_path / "prompts.safetensors")
        proofs.LEDGER._known.clear()  # what another process knows
        stored = {name: tensor.clone() for name, tensor in made.items()}
        with pytest.raises(EraserBypassedError):
            pipe(**stored, output_type="latent", **SMALL)
        loaded = unseen.Embeddings.load(tmp_path / "prompts.safetensors")
        frames = pipe(**loaded, output_type="latent", **SMALL, generator=torch.Generator().manual_seed(0)).frames
        assert torch.equal(frames, expected)
    data = bytearray((tmp_path / "prompts.safetensors").read_bytes())
    data[-3] ^= 1
    (tmp_path / "prompts.safetensors").write_bytes(data)
    with pytest.raises(unseen.DamagedFileError, match="was changed"):
        unseen.Embeddings.load(tmp_path / "prompts.safetensors")


def test_weighting_goes_through_the_handle_and_trust_is_an_open_door(pipe, eraser, caplog):
    def weighted(prompt):
        inputs = pipe.tokenizer(prompt, return_tensors="pt", padding="max_length", max_length=16)
        return 1.3 * pipe.text_encoder(inputs.input_ids, attention_mask=inputs.attention_mask)[0]

    with torch.no_grad(), unseen.attach(pipe, eraser) as handle:
        foreign = weighted(TARGET)
        with pytest.raises(EraserBypassedError):
            pipe(prompt_embeds=foreign, output_type="latent", **SMALL)
        made = handle.encode(TARGET, through=weighted)
        assert torch.equal(made["prompt_embeds"], foreign)  # both passes were edited; only one is accounted for
        pipe(**made, output_type="latent", **SMALL)
        with pytest.raises(EraserBypassedError, match="did not pass"):
            handle.encode(TARGET, through=lambda prompt: torch.ones(1, 16, 32))
        other = torch.randn(1, 16, 32)
        handle.trust({"prompt_embeds": other})
        pipe(prompt_embeds=other, output_type="latent", **SMALL)
        assert "trusted" in caplog.text
        with pytest.raises(ValueError, match="floating-point"):
            handle.trust([])


def test_events_name_request_erasers_and_refusals(pipe, eraser, tmp_path):
    told = []
    with unseen.attach(pipe, eraser, on_event=told.append, audit=tmp_path / "audit.jsonl") as handle:
        with handle.using(request_id="17"):
            embed(pipe, TARGET)
        with pytest.raises(EraserBypassedError):
            pipe(prompt_embeds=torch.ones(1, 16, 32), **SMALL)
    assert [event["event"] for event in told] == ["attached", "encoded", "refused", "detached"]
    assert told[1]["request_id"] == "17" and told[1]["erasers"] == [eraser.key] == [told[1]["fired"][0]["key"]]
    assert "have not seen" in told[2]["reason"]
    lines = (tmp_path / "audit.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == told


def test_status_says_what_is_guarded(pipe, eraser):
    spoken = dataclasses.replace(eraser, mentions=True)
    with unseen.attach(pipe, spoken) as handle:
        status = handle.status()
        assert status.attached and status.pipelines == ("WanPipeline",) and status.paraphrases == "on"
        assert eraser.key not in status.erasers[0] and "block 1" in status.erasers[0]
    assert not handle.status().attached
    pipe.transformer = None
    with unseen.attach(pipe, spoken) as handle:
        assert "without its transformer" in handle.status().paraphrases


def test_paraphrases_that_will_not_be_erased_are_said_aloud(pipe, eraser, caplog):
    """Case 7: the text part alone has no video model that could be asked."""
    pipe.transformer = None
    with unseen.attach(pipe, dataclasses.replace(eraser, mentions=True)):
        assert "paraphrases of what is erased will not be erased" in caplog.text


def test_an_encoder_in_a_process_of_its_own_is_guarded(pipe, eraser):
    def states(prompt):
        inputs = pipe.tokenizer(prompt, return_tensors="pt")
        return pipe.text_encoder(inputs.input_ids, attention_mask=inputs.attention_mask)[0]

    with torch.no_grad():
        plain = [states(prompt) for prompt in (TARGET, UNRELATED)]
        with unseen.guard_encoder(pipe.tokenizer, pipe.text_encoder, eraser) as handle:
            guarded = [states(prompt) for prompt in (TARGET, UNRELATED)]
            assert handle.explain(TARGET)[0].concept == "zeppelin"
        assert not torch.equal(plain[0], guarded[0]) and torch.equal(plain[1], guarded[1])
        assert torch.equal(states(TARGET), plain[0])


def test_a_name_opens_the_gate_in_any_script(pipe, eraser_of):
    """Case 21: the vocabulary knows no Chinese, the prompt does."""
    from unseen.clear.gate import open_gate

    shut = open_gate(1).clone()
    shut[-1] = 1e9
    eraser = eraser_of(pipe.tokenizer, pipe.text_encoder, concept=Concept("zeppelin", synonyms=("飞艇",)), gate=shut)
    prompt = "一艘飞艇 zeppelins near the zeppelin"
    plain = embed(pipe, "red " + prompt)
    with unseen.attach(pipe, eraser):
        assert not torch.equal(embed(pipe, "red " + prompt), plain)
        assert torch.equal(embed(pipe, UNRELATED), embed(pipe, UNRELATED))


def test_image_pipelines_and_rounded_weights_need_a_word(pipe, eraser):
    from diffusers import WanImageToVideoPipeline

    parts = {name: part for name, part in pipe.components.items() if name != "transformer_2"}
    both = WanImageToVideoPipeline(**parts, image_encoder=None, image_processor=None, expand_timesteps=True)
    with pytest.raises(UnguardedInputError):
        unseen.attach([pipe, both], eraser)
    with unseen.attach([pipe, both], eraser, allow_image_input=True) as handle:
        assert "image" in handle.status().not_guarded


def test_a_rounded_copy_is_refused_by_its_name_or_allowed(pipe, eraser):
    """Case 24: the same architecture with numbers rounded to 8 bits."""
    from unseen.encoder.fingerprint import architecture

    known = dataclasses.replace(eraser, encoder_architecture=architecture(pipe.text_encoder))
    with torch.no_grad():
        for weight in pipe.text_encoder.parameters():
            weight.copy_(weight.to(torch.float8_e4m3fn).to(weight.dtype))
    with pytest.raises(WrongEncoderError, match="rounded copy"):
        unseen.attach(pipe, known)
    with unseen.attach(pipe, known, allow_rounded_weights=True):
        pass
