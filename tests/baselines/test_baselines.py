"""Every method on both backbones in small: it acts where it should, and leaves nothing behind."""

from __future__ import annotations

import pytest
import torch
from tiny import make_cogvideox, make_text_part, make_wan

import unseen
from unseen.baselines import BASELINES, FittedBaseline, cgce, safree, t2v_unlearning, uce, video_eraser
from unseen.baselines.encoding import Reader, projector
from unseen.concept import Concept
from unseen.errors import (
    DamagedFileError,
    EraserBypassedError,
    GuidanceNeededError,
    UnsupportedPipelineError,
    WrongEncoderError,
)
from unseen.pipelines import backbone_of, denoisers

TARGET, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river"
CALL = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 2, "max_sequence_length": 24}
QUICK = {
    "concept_steerer": {"steps": 20, "pairs": 40, "retain": 40},
    "cgce": {"pairs": 12, "retain": 12, "steps": 60},
    "uce": {"pairs": 40, "retain": 40},
    "t2v_unlearning": {"iterations": 4, "rank": 4, "pairs": 10, "call": CALL, "learning_rate": 0.05},
}
ACTING = [name for name in BASELINES if name != "none"]
EMBEDDING = ["blocklist", "negative_prompt", "safree", "video_eraser", "concept_steerer", "cgce"]


def generate(pipe, prompt=TARGET, **options):
    generator = torch.Generator().manual_seed(0)
    return pipe(prompt, generator=generator, output_type="pt", **{**CALL, **options}).frames


@torch.no_grad()
def embed(pipe, prompt, **options):
    return pipe.encode_prompt(prompt, max_sequence_length=24, **options)


@pytest.fixture(params=[make_wan, make_cogvideox], ids=["wan", "cogvideox"])
def pipe(request):
    return request.param()


FITTED: dict[tuple, FittedBaseline] = {}
"""What was fitted before; pipelines of one class are the same here."""


def fitted(name, pipe, concepts="zeppelin", **settings):
    key = (name, type(pipe), str(concepts), str(settings))
    if key not in FITTED:
        FITTED[key] = fit(name, pipe, concepts, **settings)
    return FITTED[key]


def fit(name, pipe, concepts="zeppelin", **settings):
    return BASELINES[name].fit(pipe, concepts, progress=False, **{**QUICK.get(name, {}), **settings})


@pytest.mark.parametrize("name", BASELINES)
def test_it_acts_and_leaves_nothing_behind(pipe, name, tmp_path):
    weights = {
        f"{part}.{key}": value.clone()
        for part in ("text_encoder", "transformer")
        for key, value in getattr(pipe, part).state_dict().items()
    }
    before, attributes = generate(pipe), set(vars(pipe))
    artefact = fitted(name, pipe)
    with unseen.attach(pipe, artefact):
        during = generate(pipe)
    assert torch.equal(during, before) == (name == "none")
    assert torch.equal(generate(pipe), before) and set(vars(pipe)) == attributes
    for part in ("text_encoder", "transformer"):
        module = getattr(pipe, part)
        assert all(torch.equal(value, weights[f"{part}.{key}"]) for key, value in module.state_dict().items())
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())
        assert "forward" not in vars(module) and all(p.grad is None for p in module.parameters())
    artefact.save_pretrained(tmp_path)
    loaded = FittedBaseline.from_pretrained(tmp_path)
    assert loaded.key == artefact.key and loaded.concepts == artefact.concepts
    with unseen.attach(pipe, loaded):
        assert torch.equal(generate(pipe), during)
    (tmp_path / "unseen_method.json").write_text("{}")
    with pytest.raises(DamagedFileError):
        FittedBaseline.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ACTING)
def test_another_concept_gives_another_video(pipe, name):
    made = []
    for concept in ("zeppelin", "wolf", ["zeppelin", Concept("wolf")]):
        with unseen.attach(pipe, fitted(name, pipe, concept)):
            made.append(generate(pipe, "a red zeppelin and a wolf near the river"))
    assert not any(torch.equal(a, b) for a, b in ((made[0], made[1]), (made[0], made[2]), (made[1], made[2])))


@pytest.mark.parametrize("name", BASELINES)
def test_the_wrong_encoder_and_unknown_settings_are_refused(pipe, name):
    artefact = fitted(name, pipe)
    other = make_wan("bert")
    with pytest.raises(WrongEncoderError, match="Fit it on this pipeline"):
        unseen.attach(other, artefact)
    with pytest.raises(ValueError, match="has no setting 'colour'"):
        fitted(name, pipe, colour=1)
    with pytest.raises(ValueError, match="at least one concept"):
        BASELINES[name].fit(pipe, [])


@pytest.mark.parametrize("name", EMBEDDING)
def test_embeddings_that_were_not_seen_are_refused(pipe, name):
    foreign = embed(pipe, TARGET)
    with unseen.attach(pipe, fitted(name, pipe)), pytest.raises(EraserBypassedError, match="prompt_embeds"):
        generate(pipe, None, prompt_embeds=foreign[0], negative_prompt_embeds=foreign[1])


@pytest.mark.parametrize("name", ["negative_prompt", "safree", "video_eraser"])
def test_what_needs_guidance_says_so(pipe, name):
    with unseen.attach(pipe, fitted(name, pipe)), pytest.raises(GuidanceNeededError, match="guidance_scale"):
        generate(pipe, guidance_scale=1.0)


@pytest.mark.parametrize("name", ["video_eraser", "t2v_unlearning", "uce"])
def test_transformers_of_other_families_are_refused(name):
    other = make_text_part("LTXPipeline")
    with (
        pytest.raises(UnsupportedPipelineError, match="Wan and CogVideoX"),
        unseen.attach(other, fitted(name, other)),
    ):
        pass


def test_negative_prompts_are_added_to(pipe):
    with unseen.attach(pipe, fitted("negative_prompt", pipe, Concept("zeppelin", synonyms=("wolf",)))):
        made = [embed(pipe, [TARGET] * 2, negative_prompt=given) for given in (None, "apple", ["apple", ""])]
    plain = [
        embed(pipe, [TARGET] * 2, negative_prompt=text)
        for text in ("zeppelin, wolf", "apple, zeppelin, wolf", ["apple, zeppelin, wolf", "zeppelin, wolf"])
    ]
    for own, expected in zip(made, plain, strict=True):
        assert torch.equal(own[0], expected[0]) and torch.equal(own[1], expected[1])


# ---- CGCE


def test_cgce_moves_what_it_finds_until_it_does_not_find_it_and_nothing_else(pipe):
    made = fitted("cgce", pipe, "zeppelin", step=0.5, iterations=100, pairs=40, retain=40, steps=150)
    reader = Reader(pipe, 24)

    def surely(embedding, prompt):
        count = int(reader.ids(prompt)[1].sum())
        return float(cgce.logits(embedding[:, :count].float(), torch.ones(1, count, dtype=torch.bool), made.tensors))

    plain = {prompt: embed(pipe, prompt)[0] for prompt in (TARGET, UNRELATED)}
    with unseen.attach(pipe, made):
        moved = {prompt: embed(pipe, prompt)[0] for prompt in (TARGET, UNRELATED)}
    assert surely(plain[TARGET], TARGET) > 0 >= surely(moved[TARGET], TARGET)
    assert surely(plain[UNRELATED], UNRELATED) < 0 and torch.equal(moved[UNRELATED], plain[UNRELATED])


def test_cgce_takes_no_step_where_it_may_take_none(pipe):
    plain = embed(pipe, TARGET)[0]
    with unseen.attach(pipe, fitted("cgce", pipe, "zeppelin", iterations=0)):
        assert torch.equal(embed(pipe, TARGET)[0], plain)


def test_cgces_classifier_does_not_look_at_padding(pipe):
    made = fitted("cgce", pipe)
    tokens = torch.randn(2, 6, made.tensors["query"].shape[1])
    real = torch.arange(6).expand(2, 6) < 4
    before = cgce.logits(tokens, real, made.tensors)
    assert torch.equal(before, cgce.logits(torch.where(real[..., None], tokens, 7.0), real, made.tensors))
    assert not torch.equal(before, cgce.logits(torch.where(real[..., None], 7.0, tokens), real, made.tensors))


# ---- SAFREE


def test_projectors_are_symmetric_and_idempotent():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(4, 16, generator=generator)
    vectors = torch.cat([vectors, vectors[:1] * 2, vectors[1:2] + 1e-7])  # rank 4 in six rows
    found = projector(vectors)
    assert torch.allclose(found, found.T, atol=1e-6) and torch.allclose(found @ found, found, atol=1e-5)
    assert torch.allclose(vectors @ found, vectors, atol=1e-4) and abs(float(found.trace()) - 4) < 1e-4


def test_safree_changes_trigger_tokens_alone(pipe):
    artefact, reader = fitted("safree", pipe, as_negative=False), Reader(pipe, 24)
    places, own = safree.triggers(reader, TARGET, artefact.tensors["concept"], 0.01)
    plain = embed(pipe, TARGET)
    with unseen.attach(pipe, artefact):
        changed = embed(pipe, TARGET)
    differs = (changed[0][0] != plain[0][0]).any(dim=-1)
    assert differs.nonzero()[:, 0].tolist() == places.tolist() and len(places)
    assert torch.equal(changed[1], plain[1])
    concept = artefact.tensors["concept"]
    inside = plain[0][0][places].float() @ own
    assert torch.allclose(changed[0][0][places].float(), inside - inside @ concept, atol=1e-5)


def test_safree_tests_the_first_token_too(pipe):
    artefact, reader = fitted("safree", pipe), Reader(pipe, 24)
    mask = reader.ids("zeppelin wolf")[1]
    assert int(mask.sum()) == 4
    places, _ = safree.triggers(reader, "zeppelin wolf", artefact.tensors["concept"], -10.0)
    assert places.tolist() == [1, 2]  # with so low a bar every word is a trigger; <s> and </s> are not words


def test_safree_without_a_trigger_is_the_identity(pipe):
    artefact = fitted("safree", pipe, as_negative=False, alpha=1e6)
    plain = embed(pipe, [TARGET, UNRELATED])
    with unseen.attach(pipe, artefact):
        assert torch.equal(embed(pipe, [TARGET, UNRELATED])[0], plain[0])


def test_safree_edits_every_copy_of_its_own_prompt(pipe):
    artefact = fitted("safree", pipe, as_negative=False)
    with unseen.attach(pipe, artefact):
        alone = [embed(pipe, text)[0] for text in (TARGET, UNRELATED)]
        together = embed(pipe, [TARGET, UNRELATED], num_videos_per_prompt=2)[0]
    assert torch.allclose(together, torch.cat([alone[0]] * 2 + [alone[1]] * 2), atol=1e-6)


# ---- VideoEraser


def test_the_guidance_is_the_papers():
    settings = {"scale": 2.0, "threshold": 0.5, "momentum_scale": 0.5, "momentum_decay": 0.7}
    p, c, u = (torch.tensor(values) for values in ([0.1, 1.0, 0.3], [0.3, 0.2, -0.9], [0.0, 0.0, 0.0]))
    g, m = video_eraser.guidance(p, c, u, None, settings)
    assert torch.allclose(g, torch.tensor([0.4 * 0.3, 0.0, 0.0]))  # |p − c| S = 0.4; the other two lie above τ
    assert torch.allclose(m, 0.3 * g)
    later, _ = video_eraser.guidance(p, c, u, m, settings)
    assert torch.allclose(later, g + 0.5 * m)


@pytest.mark.parametrize("prompts", [TARGET, [TARGET, UNRELATED]])
def test_video_eraser_with_nothing_to_guide_is_safrees_projection(pipe, prompts):
    quiet = fitted("video_eraser", pipe, scale=0.0, momentum_scale=0.0)
    with unseen.attach(pipe, quiet):
        found = generate(pipe, prompts)
    with unseen.attach(pipe, fitted("safree", pipe, as_negative=False)):
        assert torch.allclose(found, generate(pipe, prompts), atol=1e-5)


def test_video_eraser_takes_three_passes_a_step_and_starts_after_the_warm_up(pipe):
    passes = []
    hook = pipe.transformer.patch_embed if backbone_of(pipe).joint else pipe.transformer.patch_embedding
    handle = hook.register_forward_hook(lambda module, args, output: passes.append(len(output)))
    with unseen.attach(pipe, fitted("video_eraser", pipe, warm_up=2)):
        late = generate(pipe)
    handle.remove()
    assert sum(passes) == 3 * CALL["num_inference_steps"]
    with unseen.attach(pipe, fitted("video_eraser", pipe, scale=0.0, momentum_scale=0.0)):
        assert torch.allclose(late, generate(pipe), atol=1e-5)


# ---- T2VUnlearning


def test_fresh_adapters_are_the_identity(pipe):
    backbone = backbone_of(pipe)
    fresh = t2v_unlearning.start(pipe, backbone, 4, torch.Generator().manual_seed(0))
    before = generate(pipe)
    with t2v_unlearning.adapted(pipe, backbone, fresh):
        assert torch.equal(generate(pipe), before)


def test_training_adapters_moves_all_of_them(pipe):
    artefact = fitted("t2v_unlearning", pipe, iterations=3)
    ups = {name: tensor for name, tensor in artefact.tensors.items() if name.endswith("up")}
    assert len(ups) == len(pipe.transformer.get_submodule(backbone_of(pipe).blocks))
    assert all(tensor.abs().max() > 0 for tensor in ups.values())
    assert fit("t2v_unlearning", pipe, iterations=3).key == artefact.key


def test_all_tokens_of_a_name_are_found(pipe):
    reader = Reader(pipe, 24)
    concept = Concept("red zeppelin", synonyms=("wolf",))
    assert t2v_unlearning._positions(reader, "a red zeppelin and a wolf", concept) == [2, 3, 6]
    assert t2v_unlearning._positions(reader, "red zeppelin", concept) == [1, 2]


# ---- UCE and Concept Steerers


def test_uce_maps_the_concept_to_its_target_with_the_bias_right():
    generator = torch.Generator().manual_seed(0)
    layer = torch.nn.Linear(8, 6)
    c, instead = (torch.randn(1, 8, generator=generator).expand(5, 8) for _ in range(2))
    kept = torch.randn(40, 8, generator=generator)
    kept = kept - (kept @ c[0])[:, None] * c[0] / c[0].square().sum()  # at right angles, both can be had
    new = uce.edited_weight(layer, c, instead, kept, {"keep": 1.0, "ridge": 1e-9})
    assert torch.allclose(c @ new.T + layer.bias, layer(instead), atol=1e-3)
    assert torch.allclose(kept @ new.T + layer.bias, layer(kept), atol=1e-3)


def test_uce_edits_every_layer_that_first_reads_text(pipe):
    backbone = backbone_of(pipe)
    artefact = fitted("uce", pipe)
    layers = uce.text_linears(pipe.transformer, backbone)
    before = {name: layer.weight.data.clone() for name, layer in layers.items()}
    assert len(denoisers(pipe, backbone)) == 1
    with unseen.attach(pipe, artefact):
        assert not any(torch.equal(layer.weight.data, before[name]) for name, layer in layers.items())
    assert all(torch.equal(layer.weight.data, before[name]) for name, layer in layers.items())


def test_concept_steerers_touch_every_prompt_and_not_the_negative_one(pipe):
    plain = embed(pipe, [TARGET, UNRELATED], negative_prompt=["apple", "apple"])
    with unseen.attach(pipe, fitted("concept_steerer", pipe)):
        changed = embed(pipe, [TARGET, UNRELATED], negative_prompt=["apple", "apple"])
    assert not any(torch.equal(a, b) for a, b in zip(plain[0], changed[0], strict=True))
    assert torch.equal(plain[1], changed[1])
    with unseen.attach(pipe, fitted("concept_steerer", pipe, strength=0.0)):
        assert torch.equal(embed(pipe, [TARGET, UNRELATED])[0], plain[0])
