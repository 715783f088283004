"""Which phrases of a prompt mean a concept, by what the video model would draw; on tiny pipelines and on Diorama."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from conftest import make_pipe, make_tokenizer
from tiny import make_cogvideox, make_text_part

import unseen
from unseen import diorama
from unseen.bench.phrasings import SAME_WORD
from unseen.clear.gate import open_gate
from unseen.concept import Concept
from unseen.diorama.world import captions, scenes
from unseen.pipelines import first_sight, has_first_sight
from unseen.runtime.paraphrase import Reader, Views
from unseen.runtime.phrases import MAX_WORDS, phrases

VIOLIN = "a violin near the river"
LENGTH = diorama.GENERATION["max_sequence_length"]


def with_synonym(pipe):
    """The pipeline, in whose text encoder "violin" is the same as "zeppelin"."""
    rows, ids = pipe.text_encoder.get_input_embeddings().weight.data, make_tokenizer().convert_tokens_to_ids
    rows[ids("violin")] = rows[ids("zeppelin")]
    return pipe


MAKERS = {"wan": make_pipe, "cogvideox": make_cogvideox}


@pytest.fixture(params=MAKERS)
def knowing(request, eraser_of):
    """A pipeline that draws the same for "violin" and "zeppelin", and an eraser of the zeppelin that reads prompts.

    Its gate opens for the name alone: to the features, too, the two words are the same.
    """
    pipe = with_synonym(MAKERS[request.param]())
    shut = torch.tensor([0.0, 1.0])
    return pipe, eraser_of(pipe.tokenizer, pipe.text_encoder, mentions=True, gate=shut)


@torch.no_grad()
def embed(pipe, prompt, **options):
    return pipe.encode_prompt(prompt, max_sequence_length=16, **options)


def draw(pipe, prompt):
    size = {"height": 32, "width": 32, "num_frames": 1, "num_inference_steps": 2, "max_sequence_length": 16}
    return pipe(prompt, generator=torch.Generator().manual_seed(0), output_type="latent", **size).frames


def test_what_means_the_concept_is_erased_as_the_name_is_and_all_else_stays(knowing):
    pipe, eraser = knowing
    other = "a wolf near the table"
    plain = embed(pipe, [VIOLIN, other], negative_prompt=[VIOLIN, ""])
    with unseen.attach(pipe, eraser) as handle:
        assert handle.knows_other_words
        named = embed(pipe, "a zeppelin near the river")[0]
        reads = embed(pipe, [VIOLIN, other], negative_prompt=[VIOLIN, ""])
        assert handle.read_as(VIOLIN) == "a zeppelin near the river"
        assert handle.read_as(other) == other
        assert {firing.token for firing in handle.explain(VIOLIN)} == {"zeppelin"}
    assert torch.equal(reads[0][:1], named) and torch.equal(reads[0][1:], plain[0][1:])
    assert torch.equal(reads[1], plain[1])
    with unseen.attach(pipe, dataclasses.replace(eraser, gate=open_gate(1)), on_negative=True):
        assert not torch.equal(embed(pipe, "", negative_prompt=VIOLIN)[1], plain[1][:1])
    assert torch.equal(embed(pipe, [VIOLIN])[0], plain[0][:1])


def test_looking_changes_nothing_of_the_pipeline_nor_of_what_it_draws_next(knowing):
    pipe, eraser = knowing
    plain = draw(pipe, "a wolf near the table")
    kept = dict(vars(pipe))
    named = draw(pipe, "a zeppelin near the river")
    torch.manual_seed(3)
    state = torch.get_rng_state()
    with unseen.attach(pipe, eraser):
        assert torch.equal(draw(pipe, "a wolf near the table"), plain)
        erased = draw(pipe, "a zeppelin near the river")
        assert torch.equal(draw(pipe, VIOLIN), erased) and not torch.equal(erased, named)
    assert torch.equal(torch.get_rng_state(), state)
    assert vars(pipe).keys() == kept.keys() and pipe.scheduler is kept["scheduler"]
    assert pipe._guidance_scale == kept["_guidance_scale"] and pipe._num_timesteps == kept["_num_timesteps"]
    assert torch.equal(draw(pipe, "a zeppelin near the river"), named)


def test_without_it_other_words_pass(knowing):
    pipe, eraser = knowing
    plain = embed(pipe, VIOLIN)[0]
    with unseen.attach(pipe, dataclasses.replace(eraser, mentions=False)) as handle:
        assert not handle.knows_other_words
        assert torch.equal(embed(pipe, VIOLIN)[0], plain)


def test_a_pipeline_that_cannot_be_asked_is_guarded_by_names_alone(eraser_of):
    pipe = make_text_part("LTXPipeline")
    assert not has_first_sight(pipe) and has_first_sight(make_pipe())
    blind = make_pipe()
    blind.transformer = None  # as where only what a fit needs was loaded
    assert not has_first_sight(blind)
    with unseen.attach(pipe, eraser_of(pipe.tokenizer, pipe.text_encoder, mentions=True)) as handle:
        assert not handle.knows_other_words and handle.read_as(VIOLIN) == VIOLIN


def test_the_audit_says_what_was_read_and_the_words_only_if_asked(knowing, tmp_path):
    pipe, eraser = knowing
    for with_prompts in (False, True):
        with unseen.attach(pipe, eraser, audit=tmp_path / "log.jsonl", audit_prompts=with_prompts):
            embed(pipe, VIOLIN)
    silent, open_ = (json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines())
    assert silent["mentions"][0]["concept"] == "zeppelin" and silent["fired"]
    assert "violin" not in json.dumps(silent)
    assert open_["prompt"] == VIOLIN and open_["read_as"] == "a zeppelin near the river"
    assert silent["prompt_sha256"] == open_["prompt_sha256"]


def test_a_loaded_eraser_still_reads(pipe, eraser_of, tmp_path):
    eraser = eraser_of(pipe.tokenizer, pipe.text_encoder, mentions=True)
    eraser.save_pretrained(tmp_path)
    loaded = unseen.ClearEraser.from_pretrained(tmp_path)
    assert loaded.mentions and loaded.key == eraser.key != dataclasses.replace(eraser, mentions=False).key


def test_several_concepts_read_the_prompt_as_it_came_whatever_their_order():
    pipe = with_synonym(make_pipe())
    pair = [Concept("zeppelin"), Concept("lemon")]
    prompt = "a violin beside an apple, a lemon in the garden"
    found = [Reader(pipe, some).read(prompt, 16) for some in (pair, pair[::-1])]
    assert found[0] == found[1]
    assert found[0].text == "a zeppelin beside an apple, a lemon in the garden"
    # what another attached concept is called is never taken for this one
    pair = [Concept("zeppelin"), Concept("violin")]
    assert Reader(pipe, pair).read(VIOLIN, 16) == (VIOLIN, ())
    assert Reader(pipe, pair[:1]).read("", 16) == ("", ()) and Reader(pipe, pair).read("of the", 16) == ("of the", ())


def test_the_article_follows_the_word_it_stands_before():
    pipe = with_synonym(make_pipe())
    assert Reader(pipe, [Concept("zeppelin")]).read("A violin, an apple", 16).text == "A zeppelin, an apple"
    pipe = make_pipe()
    rows, ids = pipe.text_encoder.get_input_embeddings().weight.data, make_tokenizer().convert_tokens_to_ids
    rows[ids("violin")] = rows[ids("apple")]
    assert Reader(pipe, [Concept("apple")]).read("A violin, a wolf", 16).text == "An apple, a wolf"


def test_phrases_lie_within_punctuation_and_are_not_read_in_part():
    texts = {span.text for span in phrases("the film presents a brass trumpet, drifting left in a field")}
    assert "brass trumpet" in texts and "drifting left in a field" in texts
    assert not any("presents a" in text or text == "brass" or "trumpet, drifting" in text for text in texts)
    prompt = "a machine that cuts a tree in a long, long sentence " * 3
    for span in phrases(prompt):
        assert prompt[span.start : span.end] == span.text
        assert 1 <= len(span.text.split()) <= MAX_WORDS


@pytest.fixture(scope="module")
def world():
    return diorama.load_pipeline()


def test_first_sight_is_the_models_own_prediction_from_noise_and_does_not_depend_on_the_batch(world):
    texts = ["a French horn", "a church in the snow"]
    together = first_sight(world, texts, max_sequence_length=LENGTH)
    alone = first_sight(world, texts[1:], max_sequence_length=LENGTH)
    assert torch.allclose(together[1:], alone, atol=1e-4)
    noises = [torch.randn(1, 48, 1, 8, 8, generator=torch.Generator().manual_seed(7_400_000 + k)) for k in range(4)]
    with torch.no_grad():
        embeds = world.encode_prompt(texts[1:], do_classifier_free_guidance=False, max_sequence_length=LENGTH)[0]
        parts = [
            world.transformer(noise, torch.full((1, 16), 999.0), embeds, return_dict=False)[0].flatten(1)
            for noise in noises
        ]
    assert torch.allclose(alone, torch.stack(parts).mean(dim=0), atol=1e-3)
    assert (together[0] - together[1]).abs().max() > 0.1


@pytest.mark.parametrize(
    ("name", "prompt", "meant"),
    [
        ("French horn", "footage of a valve horn in a busy town, sailing right", "valve horn"),
        ("French horn", "footage of a trumpet in a busy town, sailing right", None),
        ("French horn", "the film presents a church, going upward", None),
        ("church", "a minster among the dunes", "minster"),
        ("golf ball", "the felt ball goes upward across hot sand", None),
        ("golf ball", "a dimpled ball under a starry sky", "dimpled ball"),
    ],
)
def test_diorama_knows_what_is_meant(world, name, prompt, meant):
    """On development wording, like the bounds; `unseen evaluate phrasings` measures on test wording."""
    found = Reader(world, [Concept(name)]).read(prompt, LENGTH)
    assert [phrase.text for _, phrase in found.mentions] == ([] if meant is None else [meant])
    if meant:
        assert found.text == prompt.replace(meant, name)


def test_views_are_kept_by_pipeline_and_prompts_read_once(world, monkeypatch):
    asked = []
    real = Views.of
    monkeypatch.setattr(Views, "of", lambda self, pipe, texts: asked.append(texts) or real(self, pipe, texts))
    reader = Reader(world, [Concept("church")])
    first = reader.read("a valve horn by the sea", LENGTH)
    count = len(asked)
    assert count and reader.read("a valve horn by the sea", LENGTH) is first and len(asked) == count


def test_same_word_phrases_name_no_subject_and_no_split_shares_one():
    listed = json.loads(SAME_WORD.read_text(encoding="utf-8"))
    names = {phrase.lower() for key in captions.KEYS for phrase in captions.names(key)}
    seen: dict[str, set[str]] = {}
    for split in ("development", "test"):
        assert set(listed[split]) == set(scenes.OBJECTS)
        seen[split] = {phrase.lower() for some in listed[split].values() for phrase in some}
        assert not seen[split] & names
    assert not seen["development"] & seen["test"]
