"""Many erasers from one bank: each as good as its own fit, and all at once."""

from __future__ import annotations

import pytest
import torch
from conftest import SMALL_FIT, SMALLEST_FIT

import unseen
from unseen.clear.data import source_of
from unseen.clear.edit import combined_edit
from unseen.clear.many import read_together
from unseen.encoder.activations import encode_blocks, encode_by_length
from unseen.encoder.layers import EMBEDDING
from unseen.errors import FitError
from unseen.pipelines import text_path


def test_fit_many_makes_one_eraser_a_concept_that_acts_on_it_alone(encoder_of, tokenizer):
    encoder = encoder_of("bert")
    names = ["zeppelin", "violin"]
    made = unseen.fit_many((tokenizer, encoder), names, config=SMALL_FIT, progress=False)
    assert [eraser.name for eraser in made] == names
    for eraser, other in zip(made, reversed(names), strict=True):
        edits = {eraser.layer: combined_edit([eraser], [eraser.strength])}
        prompts = [f"a {eraser.name} in the garden", f"a {other} in the garden"]
        before, after = (encode_blocks(tokenizer, encoder, prompts, edits=e).output for e in (None, edits))
        own = encode_blocks(tokenizer, encoder, prompts).prompt == 0
        assert (after[own] - before[own]).abs().max() > 1e-3
        assert eraser.report["fired_on"]["held_out_positives"] >= 0.9
        assert eraser.report["fired_on"]["held_out_negatives"] <= 0.1


def test_concepts_fitted_together_read_each_prompt_once_and_no_ordinary_one_mentions_them(encoder_of, tokenizer):
    encoder, rows = encoder_of("bert"), []
    counted = encoder.register_forward_hook(lambda module, args, out: rows.append(len(out[0])))
    source = source_of(text_path((tokenizer, encoder), max_length=32), SMALL_FIT)
    concepts = [unseen.Concept(name) for name in ("zeppelin", "window")]
    first, second = read_together(source, concepts, SMALL_FIT, seed=0)
    counted.remove()
    assert second.prompts.retain == first.prompts.retain and len(first.prompts.retain) == 60
    both = {*first.prompts.retain, *(pair.negative for pair in first.prompts.pairs)}
    assert both == {*second.prompts.retain, *(pair.negative for pair in second.prompts.pairs)}
    assert not any(concept.is_mentioned_in(prompt) for concept in concepts for prompt in both)
    assert all(second.concept.is_mentioned_in(pair.positive) for pair in second.prompts.pairs)
    assert sum(rows) == len({*first.prompts.texts, *second.prompts.texts})
    again = encode_by_length(tokenizer, encoder, second.prompts.texts, source.path.form, layers=second.layers)
    tokens = torch.arange(len(second.prompt))
    assert torch.equal(again.prompt, second.prompt)
    assert torch.equal(again.token_id, second.at(tokens).token_id)
    assert (again.hidden - second.hidden(tokens)).abs().max() < 1e-4


def test_fit_many_is_reproducible_and_refuses_a_concept_named_twice(encoder_of, tokenizer):
    keys = [
        [
            e.key
            for e in unseen.fit_many((tokenizer, encoder_of("bert")), ["zeppelin"], config=SMALLEST_FIT, progress=False)
        ]
        for _ in range(2)
    ]
    assert keys[0] == keys[1]
    with pytest.raises(ValueError, match="each named once"):
        unseen.fit_many((tokenizer, encoder_of("bert")), ["zeppelin", "zeppelin"], progress=False)


def test_an_eraser_of_the_embedding_output_is_fitted_attached_and_detached(pipe):
    config = SMALL_FIT.with_options({"search.layer": EMBEDDING})
    eraser = unseen.fit(pipe, "zeppelin", config=config, progress=False)
    assert eraser.layer == EMBEDDING and len(eraser.report["fvu"]) == len(eraser.report["layers"])
    before = pipe.encode_prompt("a zeppelin", do_classifier_free_guidance=False)[0]
    with unseen.attach(pipe, eraser):
        during = pipe.encode_prompt("a zeppelin", do_classifier_free_guidance=False)[0]
    after = pipe.encode_prompt("a zeppelin", do_classifier_free_guidance=False)[0]
    assert (during - before).abs().max() > 1e-3 and (after == before).all()


@pytest.mark.parametrize("criterion", ["output", "l_con", "leakage", "residual", "damage", "probe", "reconstruction"])
def test_every_criterion_gives_each_candidate_a_finite_cost(encoder_of, tokenizer, criterion):
    config = SMALL_FIT.with_options({"search.criterion": criterion, "search.embedding": True, "sae.steps": 60})
    report = unseen.fit((tokenizer, encoder_of("bert")), "zeppelin", config=config, progress=False).report
    total = report["costs"]["total"]
    assert report["layers"] == [EMBEDDING, 0, 1, 2] and len(total) == 4
    assert all(-1 < cost < float("inf") for cost in total) and len(set(total)) > 1
    best = report["preferences"][-1]
    assert report["layer"] == report["layers"][best.index(max(best))]


def test_a_block_that_the_encoder_lacks_is_refused(encoder_of, tokenizer):
    with pytest.raises(FitError, match="expected a layer from 0 to 2"):
        unseen.fit((tokenizer, encoder_of("bert")), "zeppelin", config=SMALL_FIT.with_options({"search.layer": 7}))
