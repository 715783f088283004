"""The paper's two backbones in small: fit, attach, generate and detach, in every way that people run them."""

from __future__ import annotations

import huggingface_hub.constants
import pytest
import torch
from conftest import FEW_PROMPTS, SMALL_FIT, SMALLEST_FIT, make_pipe
from diffusers.hooks import apply_group_offloading
from tiny import make_cogvideox, make_wan
from torch import nn
from transformers import T5EncoderModel

import unseen
from unseen.clear.memory import fit_memory, shape_of
from unseen.encoder.activations import PromptForm
from unseen.encoder.fingerprint import fingerprint
from unseen.errors import FitError, LoadError
from unseen.pipelines import backbone_of, text_path
from unseen.pipelines.loading import load, start_offload

TARGET, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river"
CALL = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 2, "output_type": "pt"}
MODELS = [
    (make_wan, "umt5"),
    (make_cogvideox, "t5"),
    # as nobody trained them; every encoder by itself is tried in tests/encoder
    pytest.param((make_wan, "t5"), marks=pytest.mark.slow),
    pytest.param((make_cogvideox, "umt5"), marks=pytest.mark.slow),
]


def generate(pipe, prompt, **options):
    return pipe(prompt, generator=torch.Generator().manual_seed(0), **{**CALL, **options}).frames


@torch.no_grad()
def embed(pipe, prompt, **options):
    return pipe.encode_prompt(prompt, **options)


@pytest.fixture(params=MODELS, ids=lambda m: f"{m[0].__name__[5:]}-{m[1]}")
def pipe(request):
    make, family = request.param
    return make(family)


ERASERS: dict[tuple, unseen.ClearEraser] = {}


def fitted(pipe, dtype="float32"):
    """An eraser for zeppelins, fitted once for each kind of pipeline and precision: their weights are the same."""
    key = (type(pipe), type(pipe.text_encoder), dtype)
    if key not in ERASERS:
        config = FEW_PROMPTS.with_options({"edit.max_ratio": 0.5})
        ERASERS[key] = unseen.fit(pipe, "zeppelin", config=config, progress=False)
    return ERASERS[key]


@pytest.fixture
def planted(eraser_of):
    """A function that gives an eraser which finds "zeppelin" and nothing else as a pipeline reads it.

    A fit on a random encoder may also fire on "a lemon": what the weights are decides, and with them the version of
    transformers that drew them.
    """
    return lambda pipe, **options: eraser_of(pipe.tokenizer, pipe.text_encoder, form=text_path(pipe).form, **options)


def test_fit_attach_generate_detach(pipe):
    weights = {name: value.clone() for name, value in pipe.text_encoder.state_dict().items()}
    before = [generate(pipe, prompt) for prompt in (TARGET, UNRELATED)]
    eraser = fitted(pipe)
    with unseen.attach(pipe, eraser):
        during = [generate(pipe, prompt) for prompt in (TARGET, UNRELATED)]
        made = embed(pipe, TARGET, negative_prompt="", max_sequence_length=backbone_of(pipe).prompt_length)
        again = generate(pipe, None, prompt_embeds=made[0], negative_prompt_embeds=made[1])
    assert not torch.equal(during[0], before[0]) and torch.equal(during[1], before[1])
    assert torch.equal(again, during[0])
    assert torch.equal(generate(pipe, TARGET), before[0])
    assert all(torch.equal(value, weights[name]) for name, value in pipe.text_encoder.state_dict().items())


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_batches_and_several_videos_a_prompt(pipe, planted, batch):
    eraser = planted(pipe, layer=2)  # the last block, where tuples go wrong silently
    prompts = [TARGET, UNRELATED, "a lemon"][:batch]
    before = embed(pipe, prompts, num_videos_per_prompt=2, negative_prompt=[""] * batch)
    with unseen.attach(pipe, eraser):
        after = embed(pipe, prompts, num_videos_per_prompt=2, negative_prompt=[""] * batch)
    assert after[0].shape == before[0].shape and torch.equal(after[1], before[1])
    same = [torch.equal(a, b) for a, b in zip(after[0], before[0], strict=True)]
    assert same == [prompt != TARGET for prompt in prompts for _ in range(2)]


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float16", marks=pytest.mark.slow), "bfloat16"])
def test_dtypes_as_they_are_loaded(pipe, tmp_path, dtype):
    pipe.text_encoder.save_pretrained(tmp_path)
    kind = getattr(torch, dtype)
    # loaded so, a T5 keeps one matrix of every block in float32 and hands out float32 states
    pipe.text_encoder = type(pipe.text_encoder).from_pretrained(tmp_path, dtype=kind).eval()
    eraser = fitted(pipe, dtype)
    before = embed(pipe, [TARGET, UNRELATED])[0]
    with unseen.attach(pipe, eraser):
        after = embed(pipe, [TARGET, UNRELATED])[0]
    assert after.dtype == before.dtype == kind
    assert not torch.equal(after[0], before[0]) and torch.equal(after[1], before[1])
    if dtype == "bfloat16":  # an eraser fits the same weights at another precision
        pipe.text_encoder = pipe.text_encoder.float()
        unseen.attach(pipe, eraser).detach()


def can_offload_in_groups():
    """Older diffusers look for the machine's accelerator and do not get over that it has none."""
    try:
        apply_group_offloading(nn.Sequential(nn.Linear(1, 1)), torch.device("cpu"), offload_type="leaf_level")
    except AttributeError:
        assert torch.accelerator.current_accelerator() is None
        return False
    return True


@pytest.mark.parametrize("offload", ["model", "group"])
def test_offloading(pipe, planted, offload):
    """Layer by layer ("sequential") accelerate cannot do it on a CPU that computes too: a plain call fails as well."""
    if offload == "group" and not can_offload_in_groups():
        with pytest.raises(LoadError, match="machine with an accelerator"):
            start_offload(pipe, offload, "cpu")
        pytest.skip("this diffusers cannot offload in groups on a machine without an accelerator")
    eraser = planted(pipe)
    plain = generate(pipe, TARGET)
    with unseen.attach(pipe, eraser):
        expected = generate(pipe, TARGET)
    assert not torch.equal(expected, plain)
    start_offload(pipe, offload, "cpu")
    with unseen.attach(pipe, eraser) as handle:
        assert torch.equal(generate(pipe, TARGET), expected)
        assert {firing.token for firing in handle.explain(TARGET)} == {"zeppelin"}
    assert torch.equal(generate(pipe, TARGET), plain)


@pytest.mark.parametrize("family", ["bert", "t5", "umt5"])
def test_offloaded_weights_have_the_same_fingerprint(family):
    pipe = make_wan(family)
    expected = fingerprint(pipe.text_encoder)
    start_offload(pipe, "sequential", "cpu")
    assert any(parameter.is_meta for parameter in pipe.text_encoder.parameters())
    assert fingerprint(pipe.text_encoder) == expected


@pytest.mark.parametrize("in_place", [False, True])
def test_a_compiled_text_encoder(pipe, planted, in_place):
    eraser = planted(pipe)
    plain = embed(pipe, TARGET)[0]
    with unseen.attach(pipe, eraser):
        expected = embed(pipe, TARGET)[0]
    assert not torch.equal(expected, plain)
    if in_place:
        pipe.text_encoder.compile(backend="eager")
    else:
        pipe.text_encoder = torch.compile(pipe.text_encoder, backend="eager")
    compiled = pipe.text_encoder
    assert torch.equal(embed(pipe, TARGET)[0], plain)  # compiled before the hooks are there
    with unseen.attach(pipe, eraser):
        assert torch.equal(embed(pipe, TARGET)[0], expected)
    assert pipe.text_encoder is compiled and torch.equal(embed(pipe, TARGET)[0], plain)
    assert not in_place or compiled._compiled_call_impl is not None


def test_both_transformers_of_wan_a14b_read_the_edited_prompt(eraser_of):
    pipe = make_wan(two_transformers=True)
    eraser = eraser_of(pipe.tokenizer, pipe.text_encoder)
    read: dict[str, list[torch.Tensor]] = {"transformer": [], "transformer_2": []}

    def listener(name):
        return lambda module, args, kwargs: read[name].append(kwargs["encoder_hidden_states"])

    for name in read:
        getattr(pipe, name).register_forward_pre_hook(listener(name), with_kwargs=True)
    with unseen.attach(pipe, eraser):
        generate(pipe, TARGET, num_inference_steps=4)
        edited = embed(pipe, TARGET, max_sequence_length=512)[0]
    assert all(any(torch.equal(states, edited) for states in seen) for seen in read.values())


def test_a_pipeline_folder_loads_whole_or_for_a_fit_only(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)
    text = load(tmp_path, text_only=True)
    assert text.vae is None and text.transformer is None and isinstance(text.text_encoder, torch.nn.Module)
    few = {"prompts.pairs": 20, "prompts.retain": 20, "edit.max_ratio": 0.5}  # what it has learned does not matter
    eraser = unseen.fit(text, "zeppelin", config=SMALLEST_FIT.with_options(few), progress=False)
    whole = load(tmp_path, device="cpu", dtype="float32")
    assert torch.equal(generate(whole, TARGET), generate(pipe, TARGET))
    unseen.attach(whole, eraser).detach()
    halves = [load(tmp_path, text_only=only, dtype="bfloat16").text_encoder for only in (True, False)]
    assert [next(encoder.parameters()).dtype for encoder in halves] == [torch.bfloat16] * 2
    with pytest.raises(LoadError, match="dtype must be one of"):
        load(tmp_path, dtype="int8")
    with pytest.raises(LoadError, match="exclude each other"):
        load(tmp_path, device="balanced", offload="model")


def test_a_revision_is_that_of_the_whole_pipeline(tmp_path, monkeypatch):
    """A hub cache with two revisions of one pipeline, which differ in their text encoder's weights."""
    repo = tmp_path / "models--some--pipeline"
    (repo / "refs").mkdir(parents=True)
    marks = []
    for seed, (branch, commit) in enumerate([("main", "a" * 40), ("second", "b" * 40)]):
        pipe = make_pipe("t5", seed)
        pipe.save_pretrained(repo / "snapshots" / commit)
        (repo / "refs" / branch).write_text(commit)
        marks.append(fingerprint(pipe.text_encoder))
    assert marks[0] != marks[1]
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # where nobody answers
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    asked = [{"text_only": True}, {"revision": "second", "text_only": True}, {"revision": "second"}]
    loaded = [fingerprint(load("some/pipeline", **options).text_encoder) for options in asked]
    assert loaded == [marks[0], marks[1], marks[1]]
    with pytest.raises(LoadError, match=r"^model_index.json of some/pipeline is neither in the local hub cache"):
        load("some/pipeline", revision="third", text_only=True)


def test_a_fit_within_a_memory_budget_trains_layers_in_groups(encoder_of, tokenizer):
    encoder = encoder_of("t5")
    assert isinstance(encoder, T5EncoderModel)
    memory = fit_memory(SMALL_FIT, PromptForm(32), layers=3, **shape_of(encoder))
    assert memory.peak(1) < memory.peak(2) < memory.peak(3) == memory.peak()
    budget = (memory.peak(1) + memory.peak(2)) / 2 / 1e9
    assert memory.group_within(int(budget * 1e9)) == 1
    eraser = unseen.fit(
        (tokenizer, encoder), "zeppelin", config=SMALL_FIT.with_options({"memory_budget": budget}), progress=False
    )
    assert eraser.report["layers"] == [0, 1, 2] and len(eraser.report["costs"]["total"]) == 3
    assert [value is not None for value in eraser.report["fvu"]] == [layer == eraser.layer for layer in range(3)]
    fired = dict(eraser.explain(tokenizer, encoder, TARGET))
    assert fired["zeppelin"] > 0.3
    assert not any(activity for _, activity in eraser.explain(tokenizer, encoder, UNRELATED))
    with pytest.raises(FitError, match="one layer at a time"):
        unseen.fit(
            (tokenizer, encoder), "zeppelin", config=SMALL_FIT.with_options({"memory_budget": 1e-6}), progress=False
        )
