"""The frozen eraser: what it leaves alone, what it removes, and its files."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from conftest import SMALL_FIT, SMALLEST_FIT

import unseen
from unseen import ClearConfig, ClearEraser, Concept, DamagedFileError, EraserError, FitError, NonFiniteError
from unseen.clear.config import EditConfig
from unseen.clear.edit import LayerEdit, combined_edit
from unseen.clear.eraser import METADATA_FILE, WEIGHTS_FILE
from unseen.clear.select import in_its_place
from unseen.encoder.activations import encode_blocks

FAMILIES = ("bert", "t5", "umt5", "clip")
TARGET, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river"


def encode(tokenizer, encoder, prompts, *erasers):
    edits = {eraser.layer: combined_edit([eraser], [eraser.strength]) for eraser in erasers}
    return encode_blocks(tokenizer, encoder, prompts, edits=edits)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_only_prompts_with_the_concept_change(tokenizer, encoder_of, eraser_of, family, layer, dtype):
    encoder = encoder_of(family)
    eraser = eraser_of(tokenizer, encoder, layer=layer)
    encoder = encoder.to(dtype)
    prompts = [TARGET, UNRELATED, "apple"]
    before, after = encode(tokenizer, encoder, prompts), encode(tokenizer, encoder, prompts, eraser)
    untouched = before.prompt > 0
    assert torch.equal(after.output[untouched], before.output[untouched])
    assert not torch.equal(after.output[~untouched], before.output[~untouched])


def test_the_feature_is_gone_after_the_edit(tokenizer, encoder_of, eraser_of):
    encoder = encoder_of("bert")
    eraser = eraser_of(tokenizer, encoder)
    edit = combined_edit([eraser], [1.0])
    hidden = encode_blocks(tokenizer, encoder, [TARGET], layers=[1]).hidden
    once = edit(hidden, None)
    assert eraser.features(hidden).max() > 0
    assert eraser.features(once).max() < 1e-5


def test_strength_scales_the_change_and_zero_is_the_identity(tokenizer, encoder_of, eraser_of):
    encoder = encoder_of("umt5")
    eraser = eraser_of(tokenizer, encoder)
    hidden = encode_blocks(tokenizer, encoder, [TARGET], layers=[1]).hidden
    one, three = (eraser.with_strength(s).delta(hidden).change for s in (1.0, 3.0))
    assert torch.allclose(3 * one, three)
    before = encode(tokenizer, encoder, [TARGET])
    assert torch.equal(encode(tokenizer, encoder, [TARGET], eraser.with_strength(0)).output, before.output)
    for bad in (-1.0, float("nan"), float("inf"), True, "1"):
        with pytest.raises(EraserError, match="strength"):
            eraser.with_strength(bad)
        with pytest.raises(EraserError, match="strength"):
            eraser.delta(hidden, strength=bad)


def test_a_shut_gate_leaves_the_whole_prompt_alone(tokenizer, encoder_of, eraser_of):
    encoder = encoder_of("bert")
    shut = eraser_of(tokenizer, encoder, gate=torch.tensor([1.0, 1e6]))
    assert torch.equal(encode(tokenizer, encoder, [TARGET], shut).output, encode(tokenizer, encoder, [TARGET]).output)


def test_a_prompt_that_says_the_name_opens_a_shut_gate_and_no_other_does(pipe_of, eraser_of):
    pipe = pipe_of()
    shut = eraser_of(pipe.tokenizer, pipe.text_encoder, gate=torch.tensor([1.0, 1e6]))
    said, unsaid = "a ZEPPELIN, near the river", "zeppelins near the river"
    options = {"do_classifier_free_guidance": False}
    before = [pipe.encode_prompt(prompt, **options)[0] for prompt in (said, unsaid, UNRELATED)]
    with unseen.attach(pipe, shut):
        after = [pipe.encode_prompt(prompt, **options)[0] for prompt in (said, unsaid, UNRELATED)]
        together = pipe.encode_prompt([UNRELATED, said], **options)[0]
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [False, True, True]
    assert (together[1] - after[0][0]).abs().max() < 1e-5 and (together[0] - before[2][0]).abs().max() < 1e-5


def test_masked_padding_neither_fires_nor_opens_the_gate(tokenizer, encoder_of, eraser_of):
    encoder = encoder_of("bert")
    eraser = eraser_of(tokenizer, encoder)
    hidden = encode_blocks(tokenizer, encoder, [TARGET], layers=[1]).hidden
    assert not eraser.delta(hidden, torch.zeros(hidden.shape[:2], dtype=torch.bool)).touched.any()


@pytest.fixture
def replacing(tokenizer, encoder_of, eraser_of):
    """An eraser that puts something in the concept's place, the same one without, and hidden states of a prompt."""
    encoder = encoder_of("bert")
    plain = eraser_of(
        tokenizer, encoder, unit_firing=1e-3
    )  # so small that the activity is far above 1, and counts as 1
    generator = torch.Generator().manual_seed(0)
    target, mean_edit = (torch.randn(32, generator=generator) for _ in range(2))
    concept = Concept("zeppelin", replace_with="wolf")
    hidden = encode_blocks(tokenizer, encoder, [TARGET], layers=[1]).hidden
    return dataclasses.replace(plain, concept=concept, target=target, mean_edit=mean_edit), plain, hidden


@pytest.mark.parametrize("gamma", [1.0, 1.5, 2.0])
def test_a_replacement_leads_from_what_erasing_leaves_to_the_other_state(replacing, gamma):
    eraser, plain, hidden = replacing
    added = eraser.delta(hidden, strength=gamma).change - plain.delta(hidden, strength=gamma).change
    touched = plain.delta(hidden).touched
    own_mean = torch.randn(32)
    other_mean = own_mean + eraser.target
    expected = other_mean - (own_mean - gamma * eraser.mean_edit)
    assert torch.allclose(added[touched], expected.expand_as(added[touched]), atol=1e-5)
    assert not added[~touched].any()


def test_strength_is_a_dial_where_something_takes_the_place(replacing):
    eraser, _, hidden = replacing
    changes = {gamma: eraser.delta(hidden, strength=gamma).change for gamma in (1.0, 0.5, 0.25, 1e-9, 0.0)}
    assert torch.allclose(changes[0.5], changes[1.0] / 2, atol=1e-6)
    assert torch.allclose(changes[0.25], changes[1.0] / 4, atol=1e-6)
    assert 0 < changes[1e-9].abs().max() < 1e-7
    assert not changes[0.0].any() and not eraser.delta(hidden, strength=0.0).touched.any()


def test_the_names_belong_to_the_key(replacing):
    eraser, plain, _ = replacing
    others = [
        Concept("zeppelin", synonyms=("airship",)), Concept("airship"), Concept("zeppelin", "style"), eraser.concept
    ]  # fmt: skip
    keys = {dataclasses.replace(plain, concept=concept).key for concept in others} | {plain.key}
    assert len(keys) == 5
    assert dataclasses.replace(plain, report={"seconds": 1}, witness=None).key == plain.key


FLAWS = {
    "W_enc": [lambda t: t.T, lambda t: t[:-1], lambda t: t * torch.nan, lambda t: t.long(), lambda t: None],
    "b_enc": [lambda t: t[:0], lambda t: t + torch.inf, lambda t: t[None]],
    "W_dec": [lambda t: t[:0], lambda t: t[:, :0], lambda t: t[:, :-1], lambda t: t[0], lambda t: t.to("meta")],
    "mask": [lambda t: t * 0, lambda t: -t, lambda t: t * 1.5, lambda t: t * torch.nan],
    "b_dec": [lambda t: t[:1], lambda t: t / 0],
    "scale": [lambda t: t * 0, lambda t: -t, lambda t: t[None], lambda t: t.double() * 1e300],
    "gate": [lambda t: t[:-1], lambda t: t - 1, lambda t: t * torch.nan],
    "target": [lambda t: t[:-1], lambda t: t + torch.nan],
    "mean_edit": [lambda t: t.bool(), lambda t: t - torch.inf],
    "witness": [lambda t: t[:-1], lambda t: t * torch.nan],
    "layer": [-2, 10**9, True, 1.0, "1", None],
    "strength": [-1, float("nan"), float("inf"), True, "1", None, 10**400],
    "unit_firing": [0, -1.0, float("nan"), float("inf"), True, "1"],
    "max_length": [0, -64, 64.0, True, 10**12],
    "encoder_fingerprint": ["", "abc", "G" * 64, None, 7],
    "encoder_architecture": ["abc", None, 0, [], "G" * 64],
    "mentions": [1, 0, "yes", None],
    "report": [[], None, {"a": float("nan")}, {"a": {1, 2}}, {"a": "\ud800"}],
    "concept": ["zeppelin", None, Concept("\ud800")],
}


@pytest.mark.parametrize(("name", "place"), [(name, i) for name in FLAWS for i in range(len(FLAWS[name]))])
def test_what_cannot_work_is_refused_when_an_eraser_is_made(tokenizer, encoder_of, eraser_of, name, place):
    eraser = eraser_of(tokenizer, encoder_of("bert"))
    flaw = FLAWS[name][place]
    value = flaw(getattr(eraser, name)) if callable(flaw) else flaw
    if name == "witness" and value is None:
        return
    with pytest.raises(EraserError, match=" must "):
        dataclasses.replace(eraser, **{name: value})


def test_tensors_are_kept_apart_from_those_given(tokenizer, encoder_of, eraser_of):
    given = torch.ones(1, dtype=torch.float64, requires_grad=True)
    with torch.inference_mode():
        eraser = eraser_of(tokenizer, encoder_of("bert"), mask=given)
        eraser = eraser.with_strength(2.0)
    for name in ("W_enc", "mask", "target", "witness"):
        kept = getattr(eraser, name)
        assert kept.dtype == torch.float32 and not kept.requires_grad and not kept.is_inference()
    with torch.no_grad():
        given.zero_()
    assert eraser.mask == 1


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_states_that_are_not_finite_are_refused_and_masked_padding_does_not_matter(
    tokenizer, encoder_of, eraser_of, bad
):
    encoder = encoder_of("bert")
    eraser = eraser_of(tokenizer, encoder)
    hidden = encode_blocks(tokenizer, encoder, [UNRELATED], layers=[1]).hidden
    for coordinate in range(0, 32, 5):
        broken = hidden.clone()
        broken[0, 2, coordinate] = bad
        with pytest.raises(NonFiniteError, match=r"block 1 .*'zeppelin'.*bfloat16 or float32"):
            combined_edit([eraser], [1.0])(broken, None)
        valid = torch.ones(hidden.shape[:2], dtype=torch.bool)
        valid[0, 2] = False
        assert combined_edit([eraser], [1.0])(broken, valid) is None
    hidden = encode_blocks(tokenizer, encoder, [TARGET], layers=[1]).hidden
    with pytest.raises(NonFiniteError, match="float16"):
        LayerEdit([eraser]).act(hidden.half(), None, [1e6], [torch.ones(1, dtype=torch.bool)])
    with pytest.raises(NonFiniteError, match="strength 1e\\+38"):
        combined_edit([eraser], [1e38])(1e3 * hidden, None)


def test_the_order_of_erasers_does_not_matter_and_each_acts_on_what_came(tokenizer, encoder_of, eraser_of):
    encoder = encoder_of("bert")
    generator = torch.Generator().manual_seed(1)
    base = eraser_of(tokenizer, encoder)
    erasers = [
        dataclasses.replace(base, W_dec=base.W_dec + torch.randn(1, 32, generator=generator), target=torch.randn(32))
        for _ in range(5)
    ] + [eraser_of(tokenizer, encoder, word="wolf")]
    strengths = [1.0, 1.5, 0.3, 2.0, 1.0, 1.0]
    hidden = encode_blocks(tokenizer, encoder, [TARGET, UNRELATED], layers=[1]).hidden
    hidden = hidden.reshape(2, -1, 32)
    first = combined_edit(erasers, strengths)(hidden, None)
    expected = hidden + sum(e.delta(hidden, None, s).change for e, s in zip(erasers, strengths, strict=True))
    assert torch.allclose(first, expected, atol=1e-4)
    for seed in range(5):
        order = torch.randperm(6, generator=torch.Generator().manual_seed(seed)).tolist()
        again = combined_edit([erasers[i] for i in order], [strengths[i] for i in order])(hidden, None)
        assert torch.equal(again, first)


def test_explain_points_at_the_concepts_token(tokenizer, encoder_of, eraser_of):
    encoder = encoder_of("clip")
    rows = eraser_of(tokenizer, encoder).explain(tokenizer, encoder, TARGET)
    assert [token for token, activity in rows if activity > 0] == ["zeppelin"]


def test_a_pinned_eraser_is_loaded_and_no_other_in_its_place(tokenizer, encoder_of, eraser_of, tmp_path):
    encoder = encoder_of("bert")
    eraser = eraser_of(tokenizer, encoder)
    eraser.save_pretrained(tmp_path)
    assert ClearEraser.from_pretrained(tmp_path, sha256=eraser.sha256.upper()).key == eraser.key == eraser.sha256[:16]
    eraser_of(tokenizer, encoder, word="wolf").save_pretrained(tmp_path)  # whole and valid, and another one
    with pytest.raises(DamagedFileError, match=f"expected the eraser with the SHA-256 {eraser.sha256}, got"):
        ClearEraser.from_pretrained(tmp_path, sha256=eraser.sha256)


def test_saving_and_loading_gives_the_same_eraser(tokenizer, encoder_of, eraser_of, tmp_path):
    encoder = encoder_of("bert")
    concept = Concept("zeppelin", synonyms=("Luftschiff", "飛行船"))
    eraser = dataclasses.replace(eraser_of(tokenizer, encoder, concept=concept), report={"seconds": 1.5})
    eraser.save_pretrained(tmp_path / "deep" / "folder")
    loaded = ClearEraser.from_pretrained(tmp_path / "deep" / "folder")
    assert loaded.concept == concept and loaded.report == {"seconds": 1.5}
    assert (loaded.key, loaded.layer, loaded.strength) == (eraser.key, eraser.layer, eraser.strength)
    assert torch.equal(
        encode(tokenizer, encoder, [TARGET], loaded).output, encode(tokenizer, encoder, [TARGET], eraser).output
    )


def damage_weights(folder):
    data = bytearray((folder / WEIGHTS_FILE).read_bytes())
    data[-1] ^= 1
    (folder / WEIGHTS_FILE).write_bytes(bytes(data))


def edit_metadata(folder, **changes):
    metadata = json.loads((folder / METADATA_FILE).read_text())
    (folder / METADATA_FILE).write_text(json.dumps({**metadata, **changes}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_weights, "does not match its checksum"),
        (lambda folder: (folder / WEIGHTS_FILE).unlink(), "cannot read"),
        (lambda folder: (folder / METADATA_FILE).write_text("{"), "is not valid JSON"),
        (lambda folder: edit_metadata(folder, layer=0), "was changed after it was written"),
        (lambda folder: edit_metadata(folder, format_version=99), "expected format version 4, got 99"),
    ],
)
def test_a_damaged_file_is_one_clear_error(tokenizer, encoder_of, eraser_of, tmp_path, damage, message):
    eraser_of(tokenizer, encoder_of("bert")).save_pretrained(tmp_path)
    damage(tmp_path)
    with pytest.raises(DamagedFileError, match=message):
        ClearEraser.from_pretrained(tmp_path)


PAPER = ClearConfig.paper().with_options(
    {
        "prompts.pairs": 60, "prompts.held_out": 12, "prompts.max_length": 32,
        "sae.num_features": 256, "sae.steps": 120, "search.rounds": 3,
    }
)  # fmt: skip


TABLE10 = ClearConfig.paper_table10().with_options(
    {
        "prompts.pairs": 60, "prompts.held_out": 12, "prompts.max_length": 32,
        "sae.expansion": 4, "sae.steps": 60, "search.rounds": 3, "search.steps": 20,
    }
)  # fmt: skip


@pytest.mark.parametrize("config", [SMALL_FIT, PAPER, TABLE10], ids=["default", "paper", "paper_table10"])
def test_a_whole_fit_runs_and_reports(tokenizer, encoder_of, tmp_path, config):
    encoder = encoder_of("bert")
    weights = {name: parameter.clone() for name, parameter in encoder.named_parameters()}
    eraser = unseen.fit((tokenizer, encoder), Concept("zeppelin"), config=config, progress=False)
    assert 0 <= eraser.layer < 3 and eraser.num_features >= 1 and eraser.strength > 0
    report = eraser.report
    assert len(report["fvu"]) == len(report["l0"]) == len(report["dead"]) == 3
    assert report["preferences"][-1][eraser.layer] == max(report["preferences"][-1])
    assert report["seconds"] > 0 and report["features"] == eraser.num_features == len(report["top_tokens"])
    assert (
        "zeppelin" in {token for tokens in report["top_tokens"] for token in tokens} or config.edit.mask != "contrast"
    )
    assert all(torch.equal(parameter, weights[name]) for name, parameter in encoder.named_parameters())
    eraser.save_pretrained(tmp_path)
    assert ClearEraser.from_pretrained(tmp_path).report == report
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 200_000


def test_the_place_of_an_object_is_given_the_state_of_a_thing(tokenizer, encoder_of):
    encoder = encoder_of("bert")
    made = {
        words: unseen.fit(
            (tokenizer, encoder),
            "zeppelin",
            config=SMALL_FIT.with_options({"edit.replace_with": words}),
            progress=False,
        )
        for words in ("nothing", "neutral")
    }
    plain, filled = made["nothing"], made["neutral"]
    assert (plain.layer, plain.strength, plain.num_features) == (filled.layer, filled.strength, filled.num_features)
    assert not plain.target.any() and filled.target.any() and filled.mean_edit.any()

    def at_name(prompt: str, eraser: ClearEraser | None) -> torch.Tensor:
        edits = {plain.layer: combined_edit([eraser], [eraser.strength])} if eraser else None
        part = encode_blocks(tokenizer, encoder, [prompt], layers=[plain.layer], edits=edits)
        return part.hidden[0, part.token_id == tokenizer.convert_tokens_to_ids(prompt.split()[1])][0]

    thing = at_name("a thing over a meadow", None)
    left = {words: float((at_name("a zeppelin over a meadow", made[words]) - thing).norm()) for words in made}
    assert left["neutral"] < 0.8 * left["nothing"]


@pytest.mark.parametrize(
    ("concept", "words"),
    [
        (Concept("zeppelin"), "thing"),
        (Concept("Ada Quill", "identity"), "a person"),
        (Concept("Ada Quill", "style"), None),
        (Concept("smoking", "attribute"), None),
        (Concept("swamp thing"), None),
        (Concept("zeppelin", replace_with="wolf"), "wolf"),
    ],
)
def test_what_stands_in_for_a_concept_depends_on_its_kind(concept, words):
    assert in_its_place(concept, EditConfig()) == words
    assert in_its_place(concept, EditConfig(replace_with="nothing")) == concept.replace_with


def test_the_same_seed_gives_the_same_eraser(tokenizer, encoder_of):
    erasers = [
        unseen.fit((tokenizer, encoder_of("bert")), "zeppelin", config=SMALLEST_FIT, seed=seed, progress=False)
        for seed in (0, 0, 1)
    ]
    assert erasers[0].key == erasers[1].key != erasers[2].key


def test_a_layer_can_be_fixed_and_too_few_pairs_are_refused(tokenizer, encoder_of):
    encoder = encoder_of("bert")
    fixed = unseen.fit(
        (tokenizer, encoder), "zeppelin", config=SMALLEST_FIT.with_options({"search.layer": 2}), progress=False
    )
    assert fixed.layer == 2
    with pytest.raises(FitError, match="at least 5 prompt pairs"):
        unseen.fit((tokenizer, encoder), "zeppelin", config=SMALL_FIT, pairs=[("a zeppelin", "a wolf")], progress=False)
