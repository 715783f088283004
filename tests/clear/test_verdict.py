"""A fit says whether it worked."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import SMALL_FIT, SMALLEST_FIT, make_encoder, make_tokenizer

import unseen
from unseen import cli, diorama
from unseen.clear.verdict import announce, verdict
from unseen.concept import PromptPair
from unseen.errors import ConceptWarning, FitError, FitWarning

GOOD = {"residual_name": 0.1, "residual_context": -0.1, "damage": 0.5}
FIRED = {"held_out_positives": 1.0, "held_out_negatives": 0.0}


@pytest.mark.parametrize(
    ("judged", "fired", "said"),
    [
        ({}, {}, None),
        ({"residual_context": 0.98}, {}, "98% of the concept is still read"),
        ({"residual_name": -2.0}, {}, "goes 200% past"),
        ({"damage": 9.2}, {}, "9.20 times as much"),
        ({}, {"held_out_positives": 0.4}, "acts on 40% of unseen prompts about the concept"),
        ({}, {"held_out_negatives": 0.3}, "acts on 30% of unseen prompts about other things"),
        ({"damage": float("nan")}, {}, "nan times as much"),
    ],
)
def test_every_way_to_fail_has_its_reason(judged, fired, said):
    found = verdict({**GOOD, **judged}, {**FIRED, **fired})
    assert found["worked"] is (said is None)
    assert len(found["reasons"]) == (said is not None) and (said is None or said in found["reasons"][0])


def test_a_failure_is_a_warning_and_with_strict_an_error():
    found = verdict({**GOOD, "damage": 9.0}, FIRED)
    with pytest.warns(FitWarning, match="the fit of 'horse' did not work: the rest of the prompt"):
        announce("horse", found, strict=False)
    with pytest.raises(FitError, match="did not work"):
        announce("horse", found, strict=True)


def test_a_fit_that_may_not_act_says_so():
    pair = make_tokenizer(), make_encoder("umt5")
    weak = SMALLEST_FIT.with_options({"edit.strength": 0.01})
    with pytest.warns(FitWarning, match="is still read at the encoder's output"):
        eraser = unseen.fit(pair, "zeppelin", config=weak, progress=False)
    assert not eraser.report["verdict"]["worked"]
    with pytest.raises(FitError, match="did not work"):
        unseen.fit(pair, "zeppelin", config=weak, strict=True, progress=False)


def pairs_about(name: str, other: str) -> list[PromptPair]:
    places = ["near a table", "in the garden", "on the river", "under a tree", "with a dog", "at a window"]
    return [
        PromptPair(f"a {adjective} {name} {place}", f"a {adjective} {other} {place}")
        for place in places
        for adjective in ("red", "small", "old", "green", "broken")
    ]


def test_swapped_columns_are_refused_before_anything_is_trained():
    pair = make_tokenizer(), make_encoder("umt5")
    swapped = [PromptPair(*reversed(pair)) for pair in pairs_about("zeppelin", "wolf")]
    with pytest.raises(FitError, match="the columns seem to be swapped"):
        unseen.fit(pair, "zeppelin", pairs=swapped, config=SMALL_FIT, progress=False)


def test_another_concept_under_this_name_is_flagged():
    pair = make_tokenizer(), make_encoder("umt5")
    with pytest.warns(ConceptWarning, match="do not say 'zeppelin'"):
        unseen.fit(pair, "zeppelin", pairs=pairs_about("wolf", "apple"), config=SMALLEST_FIT, progress=False)


@pytest.mark.parametrize(
    ("name", "said"), [("the", "stands in almost every prompt"), ("圆号", "knows no part of the name")]
)
def test_names_that_cannot_be_learned_are_refused(name, said):
    with pytest.raises(FitError, match=said):
        unseen.fit((make_tokenizer(), make_encoder("umt5")), name, config=SMALL_FIT, progress=False)


def test_the_shell_tests_the_folder_first_and_answers_three_for_a_fit_that_failed(tmp_path: Path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert cli.main(["fit", "church", "--out", str(blocked)]) == 2
    assert "file" in capsys.readouterr().err
    few = ["--prompts.pairs", "60", "--prompts.held-out", "12", "--prompts.retain", "40", "--sae.steps", "20"]
    quick = [*few, "--sae.num-features", "96", "--search.rounds", "2", "--search.warm-up", "1"]
    assert cli.main(["fit", "church", "--out", str(tmp_path / "eraser"), *quick, "--edit.strength", "0.01"]) == 3
    told = capsys.readouterr()
    assert "the fit of 'church' did not work" in told.err and "layer" in told.out
    assert unseen.ClearEraser.from_pretrained(tmp_path / "eraser").report["verdict"]["worked"] is False


def test_several_concepts_are_fitted_by_one_command(tmp_path: Path, capsys):
    few = ["--prompts.pairs", "48", "--prompts.held-out", "8", "--prompts.retain", "40", "--sae.steps", "20"]
    quick = [*few, "--sae.num-features", "96", "--search.rounds", "2", "--search.warm-up", "1"]
    assert cli.main(["fit", "church", "golf ball", "--out", str(tmp_path), *quick]) in (0, 3)
    assert {folder.name for folder in tmp_path.iterdir()} == {"church", "golf-ball"}
    assert cli.main(["fit", "church", "golf ball", "--synonym", "x"]) == 2
    assert "--synonym is for one concept" in capsys.readouterr().err


def test_a_pack_that_the_tokenizer_cannot_read_is_refused():
    with pytest.raises(FitError, match="knows no part of the name 'nudity'"):
        unseen.fit(
            (make_tokenizer(), make_encoder("umt5")), unseen.load_pack("nudity"), config=SMALL_FIT, progress=False
        )


@pytest.mark.slow
def test_a_pack_is_fitted_and_acts_on_its_concept_alone():
    pipe = diorama.load_pipeline("wan")
    eraser = unseen.fit(pipe, unseen.load_pack("smoking", languages=("en",)), progress=False)
    assert eraser.report["verdict"]["worked"] and "fumando" in " ".join(eraser.concept.names)

    def acts(prompt: str) -> bool:
        return any(activity for _, activity in eraser.explain(pipe.tokenizer, pipe.text_encoder, prompt))

    assert acts("an old man smoking a cigarette on a bench") and not acts("a church in the snow")
