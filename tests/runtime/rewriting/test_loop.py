"""The closed loop: prompts that lead to a concept past the erasers, on tiny pipelines."""

from __future__ import annotations

import dataclasses
import logging

import pytest
import torch
from conftest import make_eraser, make_pipe, make_tokenizer
from tiny import make_cogvideox

import unseen
from unseen import diorama
from unseen.errors import EraserBypassedError, ResidualConceptError, UnseenError, UnsupportedPipelineError
from unseen.pipelines.preview import encode_texts
from unseen.runtime.rewriting import loop as closed

LENGTH = diorama.GENERATION["max_sequence_length"]
MAKERS = {"wan": make_pipe, "cogvideox": make_cogvideox}
ATTACK, FAR = "a wolf near the river, violin table", "a wolf near the table"
REST = "a wolf near the river, thing table"


def past_the_eraser(maker=make_pipe):
    """A pipeline in which "violin" shows a zeppelin, and an eraser that hardly acts and does not look for other words.

    The eraser stands for one that knows nothing of "violin"."""
    pipe = maker()
    rows, ids = pipe.text_encoder.get_input_embeddings().weight.data, make_tokenizer().convert_tokens_to_ids
    rows[ids("violin")] = rows[ids("zeppelin")]
    eraser = make_eraser(pipe.tokenizer, pipe.text_encoder)
    return pipe, dataclasses.replace(eraser, mentions=False, strength=1e-7)


@torch.no_grad()
def encoded(pipe, text):
    return pipe.encode_prompt(text, do_classifier_free_guidance=False, max_sequence_length=16)[0]


@pytest.mark.parametrize("maker", MAKERS)
def test_the_word_that_brings_the_concept_back_is_taken_away_and_all_else_stays(maker):
    pipe, eraser = past_the_eraser(MAKERS[maker])
    with unseen.attach(pipe, eraser):
        open_loop = {text: encoded(pipe, text) for text in (REST, FAR, ATTACK)}
    events = []
    with unseen.attach(pipe, eraser, on_residual="erase", audit_prompts=True, on_event=events.append) as handle:
        assert handle.status().closed_loop == "erase"
        assert torch.equal(encoded(pipe, ATTACK), open_loop[REST])
        assert torch.equal(encoded(pipe, FAR), open_loop[FAR])
    assert not torch.equal(open_loop[ATTACK], open_loop[REST])
    of_attack, of_far = (event for event in events if event["event"] == "encoded")
    assert of_attack["residual"] == {"found": ["zeppelin"], "left": [], "taken": ["violin"]}
    assert of_attack["rewritten"] == REST and "residual" not in of_far


def test_scores_say_how_much_is_left():
    pipe, eraser = past_the_eraser()
    with unseen.attach(pipe, eraser, on_residual="warn") as handle:
        of_attack, of_far = handle.residuals([ATTACK, FAR], max_sequence_length=16)["zeppelin"].tolist()
        assert of_attack >= 1 > of_far == 0
        settled, untouched = handle.settle([ATTACK, FAR], max_sequence_length=16)
        assert settled.text == REST and settled.found == ("zeppelin",) and untouched.text == FAR
    with unseen.attach(pipe, eraser) as handle:
        for asked in (handle.residuals, handle.settle):
            with pytest.raises(UnseenError, match="on_residual"):
                asked([ATTACK])


def test_the_bare_model_can_be_looked_at_but_not_drawn_with():
    pipe, eraser = past_the_eraser()
    eraser = dataclasses.replace(eraser, strength=1.0)
    bare = encoded(pipe, "a zeppelin")
    with unseen.attach(pipe, eraser) as handle:
        erased = encoded(pipe, "a zeppelin")
        with handle.unedited():
            seen = encode_texts(pipe, ["a zeppelin"], 16)[0]
        assert torch.allclose(seen, bare[0, : len(seen)], atol=1e-5) and not torch.allclose(erased, bare, atol=1e-2)
        assert torch.equal(encoded(pipe, "a zeppelin"), erased)
        with pytest.raises(EraserBypassedError):
            pipe(prompt_embeds=seen[None], num_inference_steps=1, output_type="latent")
    with pytest.raises(UnseenError, match="detached"), handle.unedited():
        pass


@pytest.mark.parametrize("on_residual", closed.ON_RESIDUAL)
def test_what_cannot_be_taken_away_is_erased_refused_or_let_through_as_was_asked(on_residual, monkeypatch, caplog):
    monkeypatch.setattr(closed, "ROUNDS", 0)
    pipe, eraser = past_the_eraser()
    with unseen.attach(pipe, eraser):
        empty, whole = encoded(pipe, ""), encoded(pipe, ATTACK)
    heard = []
    with (
        unseen.attach(pipe, eraser, on_residual=on_residual, on_event=heard.append),
        caplog.at_level(logging.WARNING, "unseen"),
    ):
        if on_residual == "refuse":
            with pytest.raises(ResidualConceptError, match=r"leads to zeppelin .* other words"):
                encoded(pipe, ATTACK)
            assert [event["event"] for event in heard] == ["attached", "refused"]
        else:
            assert torch.equal(encoded(pipe, ATTACK), empty if on_residual == "erase" else whole)
            assert heard[-1]["residual"]["left"] == ["zeppelin"]
            assert "leads to zeppelin past the erasers" in caplog.text


def test_a_prompt_that_is_far_or_known_costs_no_preview(monkeypatch):
    pipe, eraser = past_the_eraser()
    with unseen.attach(pipe, eraser, on_residual="erase"):
        first = encoded(pipe, ATTACK)
        encoded(pipe, FAR)

        def fail(*args):
            raise AssertionError("the video model was asked")

        monkeypatch.setattr(closed, "preview", fail)
        monkeypatch.setattr("unseen.runtime.rewriting.views.preview", fail)
        assert torch.equal(encoded(pipe, ATTACK), first)
        encoded(pipe, "a table near the wolf")  # a new prompt of known words


def test_embeddings_that_were_made_with_an_open_loop_are_refused_by_a_closed_one():
    pipe, eraser = past_the_eraser()
    attack = "a lemon near the river, violin table"  # that no other test lets pass
    with unseen.attach(pipe, eraser) as handle:
        given = handle.encode(attack, max_sequence_length=16)
    call = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 1, "output_type": "latent"}
    with unseen.attach(pipe, eraser, on_residual="erase") as handle:
        with pytest.raises(EraserBypassedError):
            pipe(**given, guidance_scale=1.0, **call)
        settled = handle.encode(attack, max_sequence_length=16)
        pipe(**settled, guidance_scale=1.0, **call)
    assert settled.proof.settled and not given.proof.settled


def test_a_pass_from_nowhere_that_leads_to_the_concept_is_refused():
    pipe, eraser = past_the_eraser()
    ids = pipe.tokenizer([ATTACK], return_tensors="pt").input_ids
    with unseen.attach(pipe, eraser, on_residual="warn"), pytest.raises(EraserBypassedError, match="zeppelin"):
        pipe.text_encoder(ids)


def test_styles_are_left_out():
    pipe, eraser = past_the_eraser()
    style = dataclasses.replace(eraser, concept=unseen.Concept("zeppelin", kind="style"))
    with unseen.attach(pipe, style, on_residual="erase") as handle:
        assert handle.rewrite(ATTACK) == ATTACK


def test_weights_that_change_are_asked_anew():
    pipe, eraser = past_the_eraser()
    with unseen.attach(pipe, eraser, on_residual="erase") as handle:
        assert handle.rewrite(ATTACK) != ATTACK
        with torch.no_grad():
            for weight in pipe.transformer.parameters():
                weight.zero_()
        assert handle.rewrite(ATTACK) == ATTACK


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [({"on_residual": "stop"}, ValueError, '"erase", "refuse", "warn"'), ({"on_residual": True}, ValueError, "True")],
)
def test_an_unknown_answer_is_refused(options, error, words):
    pipe, eraser = past_the_eraser()
    with pytest.raises(error, match=words):
        unseen.attach(pipe, eraser, **options)
    assert not hasattr(pipe, "_unseen")


def test_a_video_model_that_cannot_be_asked_is_refused_rather_than_left_open():
    pipe, eraser = past_the_eraser()
    pipe.transformer = None
    with pytest.raises(UnsupportedPipelineError, match="loaded without its transformer"):
        unseen.attach(pipe, eraser, on_residual="refuse")


def test_words_that_show_a_style_together_are_told_from_another_style(world):
    """The words were found against an eraser for this style, on development wording; none resembles it by itself."""
    eraser = make_eraser(world.tokenizer, world.text_encoder)
    concept = unseen.Concept("Tobias Inkwell", "style", synonyms=("Inkwell",))
    eraser = dataclasses.replace(eraser, concept=concept, mentions=False, strength=1e-7)
    searched = "a cat by the sea, trey ink lewis reeves eastwood"
    prompts = [searched, f"Inkwell, {searched}", "a cat by the sea, in the style of Rosa Thicket", "an owl, hot sand"]
    with unseen.attach(world, eraser, on_residual="erase") as handle:
        left = handle.residuals(prompts, max_sequence_length=LENGTH)["Tobias Inkwell"].tolist()
        assert min(left[:2]) >= 1 > max(left[2:])


def test_what_is_near_to_an_object_in_other_words_keeps_them(world):
    """Of the development sentences: a tennis ball is "a felt ball", and "ball" alone is drawn as a golf ball."""
    eraser = make_eraser(world.tokenizer, world.text_encoder)
    eraser = dataclasses.replace(eraser, concept=unseen.Concept("golf ball"), mentions=False, strength=1e-7)
    near = ["four fluffy new felt balls on a snowy field", "a felt ball next to a teapot under a starry sky"]
    with unseen.attach(world, eraser, on_residual="erase") as handle:
        left = handle.residuals([*near, "a ball on a snowy field"], max_sequence_length=LENGTH)["golf ball"].tolist()
        assert max(left[:2]) < 1 <= left[2]


def test_a_word_that_means_an_object_by_itself_goes_alone(world):
    eraser = make_eraser(world.tokenizer, world.text_encoder)
    eraser = dataclasses.replace(eraser, concept=unseen.Concept("church"), mentions=False, strength=1e-7)
    with unseen.attach(world, eraser, on_residual="erase") as handle:
        settled = handle.settle(["an old minster behind a red bicycle in the snow"], max_sequence_length=LENGTH)[0]
    assert settled.found == ("church",) and settled.text.endswith("behind a red bicycle in the snow")
    assert "minster" not in settled.text


@pytest.mark.parametrize("before", ["", "lemon ", "wolf "])
def test_a_word_put_before_it_hides_nothing(before):
    pipe, eraser = past_the_eraser()
    with unseen.attach(pipe, eraser, on_residual="warn") as handle:
        left = handle.residuals([f"a wolf near the {before}violin"], max_sequence_length=16)
        assert float(left["zeppelin"]) >= 1
