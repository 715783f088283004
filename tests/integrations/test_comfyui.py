"""ComfyUI's objects with erasers. The classes below have the surface of ComfyUI's `CLIP`, `SDClipModel`, `T5` and of
WanVideoWrapper's `T5EncoderModel` (names, signatures, what reaches the transformer), around transformers' real blocks.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from unseen import EraserBypassedError, UnguardedInputError, UnsupportedEncoderError, WrongEncoderError
from unseen.encoder.fingerprint import fingerprint
from unseen.integrations.comfyui.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

TARGET, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river"
FOLDER = Path(__file__).parents[2] / "integrations/comfyui"


class T5(nn.Module):
    """`comfy.text_encoders.t5.T5`: no configuration, weights called as in transformers, embeddings for ids."""

    def __init__(self, encoder):
        super().__init__()
        self.shared, self.encoder = encoder.shared, encoder.encoder
        del self.encoder.embed_tokens  # ComfyUI's stack has none

    def get_input_embeddings(self):
        return self.shared

    def forward(self, input_ids, attention_mask, embeds=None, num_tokens=None, intermediate_output=None, **kwargs):
        states, hooks = [], []
        if intermediate_output is not None:
            block = self.encoder.block[intermediate_output]
            hooks.append(
                block.register_forward_hook(lambda m, a, out: states.append(out if torch.is_tensor(out) else out[0]))
            )
        last = self.encoder(inputs_embeds=embeds, attention_mask=attention_mask).last_hidden_state
        for hook in hooks:
            hook.remove()
        return last, self.encoder.final_layer_norm(states[0]) if states else None


class SDClipModel(nn.Module):
    """One encoder of a `cond_stage_model`."""

    def __init__(self, transformer):
        super().__init__()
        self.transformer, self.layer, self.layer_idx = transformer, "last", None

    @torch.no_grad()
    def encode_token_weights(self, token_weight_pairs):
        ids = torch.tensor([[pair[0] for pair in row] for row in token_weight_pairs])
        embeds = self.transformer.get_input_embeddings()(ids)
        mask = (ids != 0).long()
        index = self.layer_idx if self.layer == "hidden" else None
        last, middle = self.transformer(None, mask, embeds=embeds, num_tokens=[ids.shape[1]], intermediate_output=index)
        weights = torch.tensor([[pair[1] for pair in row] for row in token_weight_pairs])
        return (last if middle is None else middle) * weights[..., None], None


class TextEncoders(nn.Module):
    """`WanT5Model` and its like."""

    def __init__(self, transformers):
        super().__init__()
        for name, transformer in transformers.items():
            setattr(self, name, SDClipModel(transformer))

    def encode_token_weights(self, tokens):
        parts = [getattr(self, name).encode_token_weights(rows)[0] for name, rows in tokens.items()]
        return torch.cat(parts, dim=1), None


class SDTokenizer:
    """Ids and weights; words by id."""

    def __init__(self, tokenizer):
        self.tokenizer, self.inv_vocab = tokenizer, {v: k for k, v in tokenizer.get_vocab().items()}

    def tokenize_with_weights(self, text):
        ids = self.tokenizer(text, padding="max_length", max_length=16).input_ids
        return [[(number, 1.0) for number in ids]]


class Tokenizers:
    """One for each encoder, under its name."""

    def __init__(self, tokenizers):
        for name, tokenizer in tokenizers.items():
            setattr(self, name, SDTokenizer(tokenizer))

    def tokenize_with_weights(self, text):
        return {name: one.tokenize_with_weights(text) for name, one in vars(self).items()}


class Patcher:
    """As much as is looked at."""

    patches: dict = {}  # noqa: RUF012


class CLIP:
    """`comfy.sd.CLIP`: its clone is made anew, of this class."""

    def __init__(self, transformers=None, tokenizers=None, no_init=False):
        if not no_init:
            self.cond_stage_model, self.tokenizer = TextEncoders(transformers), Tokenizers(tokenizers)
            self.patcher, self.layer_idx = Patcher(), None

    def clone(self):
        n = CLIP(no_init=True)
        n.cond_stage_model, n.tokenizer, n.patcher, n.layer_idx = (
            self.cond_stage_model, self.tokenizer, self.patcher, self.layer_idx,
        )  # fmt: skip
        return n

    def tokenize(self, text):
        return self.tokenizer.tokenize_with_weights(text)

    def encode_from_tokens(self, tokens, return_pooled=False, return_dict=False):
        for one in self.cond_stage_model.children():
            one.layer, one.layer_idx = ("last", None) if self.layer_idx is None else ("hidden", self.layer_idx)
        cond, pooled = self.cond_stage_model.encode_token_weights(tokens)
        return {"cond": cond, "pooled_output": pooled} if return_dict else (cond, pooled) if return_pooled else cond

    def encode_from_tokens_scheduled(self, tokens, unprojected=False, add_dict={}, show_pbar=True):  # noqa: B006
        made = self.encode_from_tokens(tokens, return_pooled=True, return_dict=True)
        return [[made.pop("cond"), {**made, **add_dict}]]


def text_encode(clip, text):
    """What the node CLIPTextEncode does."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))


@pytest.fixture
def eraser(tokenizer, encoder_of, eraser_of):
    return eraser_of(tokenizer, encoder_of("umt5"))


@pytest.fixture
def clip(tokenizer, encoder_of):
    return CLIP({"umt5xxl": T5(encoder_of("umt5"))}, {"umt5xxl": tokenizer})


@pytest.fixture
def apply():
    return NODE_CLASS_MAPPINGS["UnseenApplyToClip"]().apply


def test_the_classes_below_hold_the_weights_that_transformers_holds(clip, encoder_of):
    assert fingerprint(clip.cond_stage_model.umt5xxl.transformer) == fingerprint(encoder_of("umt5"))


def test_a_clip_with_erasers_and_one_without_in_one_graph(clip, eraser, apply):
    plain = {text: text_encode(clip, text)[0][0] for text in (TARGET, UNRELATED)}
    erased, _ = apply(clip, (eraser,))
    made = {text: text_encode(erased, text)[0][0] for text in (TARGET, UNRELATED)}
    assert not torch.equal(made[TARGET], plain[TARGET]) and torch.equal(made[UNRELATED], plain[UNRELATED])
    assert torch.equal(text_encode(clip, TARGET)[0][0], plain[TARGET])  # the other branch
    assert torch.equal(erased.encode_from_tokens(erased.tokenize(TARGET)), made[TARGET])
    assert isinstance(erased, CLIP) and type(clip) is CLIP


def test_the_edit_is_that_of_the_encoder_as_transformers_runs_it(clip, eraser, apply, tokenizer, encoder_of):
    import unseen

    encoder = encoder_of("umt5")
    inputs = tokenizer(TARGET, padding="max_length", max_length=16, return_tensors="pt")
    with torch.no_grad(), unseen.guard_encoder(tokenizer, encoder, eraser):
        expected = encoder(inputs.input_ids, attention_mask=inputs.attention_mask).last_hidden_state
    made = text_encode(apply(clip, (eraser,))[0], TARGET)[0][0]
    torch.testing.assert_close(made, expected, rtol=1e-5, atol=1e-5)


def test_clones_that_later_nodes_make_keep_the_erasers(clip, eraser, apply):
    erased, _ = apply(clip, (eraser,))
    made = text_encode(erased, TARGET)[0][0]
    assert torch.equal(text_encode(erased.clone().clone(), TARGET)[0][0], made)


def test_a_name_opens_the_gate_though_no_ids_reach_the_encoder(clip, eraser, apply):
    from unseen.clear.gate import open_gate

    shut = open_gate(1)
    shut[-1] = 1e9
    plain = text_encode(clip, TARGET)[0][0]
    erased, _ = apply(clip, (dataclasses.replace(eraser, gate=shut),))
    assert not torch.equal(text_encode(erased, TARGET)[0][0], plain)


def test_what_would_not_be_erased_stops_the_graph(clip, eraser, apply, eraser_of, encoder_of, tokenizer):
    other = encoder_of("umt5", seed=1)
    foreign = eraser_of(tokenizer, other)
    with pytest.raises(WrongEncoderError, match="Rounded copies"):
        text_encode(apply(clip, (foreign,))[0], TARGET)
    erased, _ = apply(clip, (eraser,))
    early = erased.clone()
    early.layer_idx = 0  # CLIP Set Last Layer: the eraser acts at block 1
    with pytest.raises(EraserBypassedError, match="CLIP Set Last Layer"):
        text_encode(early, TARGET)
    early.layer_idx = 1
    text_encode(early, TARGET)
    patched = erased.clone()
    patched.patcher = Patcher()
    patched.patcher.patches = {"layer": 1}
    with pytest.raises(EraserBypassedError, match="LoRA"):
        text_encode(patched, TARGET)
    with pytest.raises(UnsupportedEncoderError, match="has erasers already"):
        apply(erased, (eraser,))
    with pytest.raises(UnsupportedEncoderError, match="expected a CLIP"):
        apply(object(), (eraser,))


def test_a_second_encoder_without_an_eraser_stops_the_graph(eraser, apply, tokenizer, encoder_of):
    both = {"umt5xxl": T5(encoder_of("umt5")), "t5xxl": T5(encoder_of("umt5", seed=1))}
    clip = CLIP(both, {"umt5xxl": tokenizer, "t5xxl": tokenizer})
    with pytest.raises(UnguardedInputError, match="also went through t5xxl"):
        text_encode(apply(clip, (eraser,))[0], TARGET)
    text_encode(apply(clip, (eraser,), allow_unguarded=True)[0], TARGET)


def test_a_failing_encoding_leaves_nothing_behind(clip, eraser, apply):
    plain = text_encode(clip, TARGET)[0][0]
    erased, _ = apply(clip, (eraser,))
    with pytest.raises(KeyError):
        erased.encode_from_tokens({"umt5xxl": [[]], "nothing": []}, return_pooled={}["missing"])
    with pytest.raises((AttributeError, IndexError, RuntimeError, ValueError)):
        erased.encode_from_tokens({"absent": [[(5, 1.0)]]})
    assert torch.equal(text_encode(clip, TARGET)[0][0], plain)
    assert not torch.equal(text_encode(erased, TARGET)[0][0], plain)


def test_embeddings_from_elsewhere_stop_the_graph(clip, eraser, apply):
    check = NODE_CLASS_MAPPINGS["UnseenRequireErased"]().check
    cached = text_encode(clip, TARGET)  # from before, or from a disk cache
    erased, proof = apply(clip, (eraser,))
    made = text_encode(erased, TARGET)
    assert check(proof, conditioning=made)[0] is made
    for other in (
        cached,
        [[made[0][0] * 1.3, {}]],
        [*made, *cached],
        [[torch.zeros(0, 3), {}]][:0] or [[torch.ones(1), {}]],
    ):
        with pytest.raises(EraserBypassedError, match="did not come out"):
            check(proof, conditioning=other)
    with pytest.raises(ValueError, match="got neither"):
        check(proof)


def test_the_words_that_fired_are_shown(clip, eraser, apply):
    show = NODE_CLASS_MAPPINGS["UnseenShowFired"]().show
    for one in (clip, apply(clip, (eraser,))[0]):
        said = show((eraser,), TARGET, clip=one)
        assert re.fullmatch(r"zeppelin: zeppelin \d\.\d\d", said["result"][0]) and said["ui"]["text"] == [
            said["result"][0]
        ]
    assert "nothing fires" in show((eraser,), UNRELATED, clip=clip)["result"][0]
    with pytest.raises(ValueError, match="one of them only"):
        show((eraser,), TARGET)


class HuggingfaceTokenizer:
    """The wrapper's, around a tokenizer of transformers."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer


class T5EncoderModel:
    """WanVideoWrapper's: called with texts and a device; gives a tensor `[tokens, d]` for each."""

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, HuggingfaceTokenizer(tokenizer)
        self.dtype, self.quantization, self.state_dict = torch.float32, "disabled", model.state_dict()

    @torch.no_grad()
    def __call__(self, texts, device):
        inputs = self.tokenizer.tokenizer(texts, padding=True, return_tensors="pt").to(device)
        states = self.model(inputs.input_ids, inputs.attention_mask)
        states = states if torch.is_tensor(states) else states[0]
        return [one[:length] for one, length in zip(states, inputs.attention_mask.sum(dim=1), strict=True)]


def wan_text_encode(t5, text):
    """What the node WanVideoTextEncode does with the encoder; it may drop the state dictionary after the first time."""
    encoder = t5["model"]
    assert (
        encoder.quantization == "disabled" and t5["dtype"] == encoder.dtype and list(encoder.model.named_parameters())
    )
    if hasattr(encoder, "state_dict"):
        del encoder.state_dict
    return {
        "prompt_embeds": encoder([text], torch.device("cpu")),
        "negative_prompt_embeds": encoder([""], torch.device("cpu")),
    }


@pytest.fixture
def diffsynth():
    """The file of `diffsynth` with Wan's native T5, as tests/encoder/ reads it."""
    import importlib.metadata

    try:
        installed = importlib.metadata.distribution("diffsynth")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("needs: pip install --no-deps diffsynth==1.1.9")
    file = installed.locate_file("diffsynth/models/wan_video_text_encoder.py")
    spec = importlib.util.spec_from_file_location("wan_video_text_encoder", str(file))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["transformers", "native"])
def t5(request, tokenizer, encoder_of, monkeypatch):
    model = encoder_of("umt5")
    if request.param == "native":
        monkeypatch.syspath_prepend(Path(__file__).parents[1] / "encoder")
        native = importlib.import_module("test_native_t5")
        model = native.converted(
            native.diffsynth.__wrapped__() if hasattr(native.diffsynth, "__wrapped__") else None, model
        )
    return {"model": T5EncoderModel(model, tokenizer), "dtype": torch.float32}


def test_the_text_encoder_of_the_wan_wrapper(t5, eraser):
    plain = {text: wan_text_encode(t5, text)["prompt_embeds"][0] for text in (TARGET, UNRELATED)}
    erased, proof = NODE_CLASS_MAPPINGS["UnseenApplyToWanT5"]().apply(t5, (eraser,))
    made = {text: wan_text_encode(erased, text) for text in (TARGET, UNRELATED)}
    assert not torch.equal(made[TARGET]["prompt_embeds"][0], plain[TARGET])
    assert torch.equal(made[UNRELATED]["prompt_embeds"][0], plain[UNRELATED])
    assert torch.equal(wan_text_encode(t5, TARGET)["prompt_embeds"][0], plain[TARGET])
    check = NODE_CLASS_MAPPINGS["UnseenRequireErased"]().check
    assert check(proof, text_embeds=made[TARGET])[1] is made[TARGET]
    with pytest.raises(EraserBypassedError, match="use_disk_cache"):
        check(proof, text_embeds={"prompt_embeds": [plain[TARGET]]})
    shown = NODE_CLASS_MAPPINGS["UnseenShowFired"]().show((eraser,), TARGET, t5=erased)
    assert shown["result"][0].startswith("zeppelin: zeppelin ")
    with pytest.raises(UnsupportedEncoderError, match="has erasers already"):
        NODE_CLASS_MAPPINGS["UnseenApplyToWanT5"]().apply(erased, (eraser,))
    with pytest.raises(UnsupportedEncoderError, match="expected"):
        NODE_CLASS_MAPPINGS["UnseenApplyToWanT5"]().apply({"model": 3}, (eraser,))


def test_loading_and_what_the_cache_depends_on(eraser, tmp_path):
    node = NODE_CLASS_MAPPINGS["UnseenLoadErasers"]
    eraser.save_pretrained(tmp_path)
    (first,) = node().load(str(tmp_path), -1.0)
    assert [one.key for one in first] == [eraser.key]
    (chained,) = node().load(str(tmp_path), 0.5, erasers=first)
    assert [one.strength for one in chained] == [1.0, 0.5]
    mark = node.IS_CHANGED(str(tmp_path), -1.0)
    assert mark == node.IS_CHANGED(str(tmp_path), -1.0)
    eraser.with_strength(2.0).save_pretrained(tmp_path)  # another fit in the same folder
    assert node.IS_CHANGED(str(tmp_path), -1.0) != mark
    moving = [float(node.IS_CHANGED("org/repo", -1.0)) for _ in range(2)]
    assert moving[0] != moving[1]  # a branch may have moved; a commit does not
    assert node.IS_CHANGED("org/repo", -1.0, revision="abc") == "org/repo@abc"


@pytest.mark.parametrize("name", NODE_CLASS_MAPPINGS)
def test_nodes_keep_to_the_conventions(name):
    """What ComfyUI's `nodes.py` and `execution.py` ask of a node."""
    import inspect

    node = NODE_CLASS_MAPPINGS[name]
    asked = node.INPUT_TYPES()
    inputs = {**asked["required"], **asked.get("optional", {})}
    assert set(asked) <= {"required", "optional", "hidden"} and name in NODE_DISPLAY_NAME_MAPPINGS
    for kind in inputs.values():
        assert isinstance(kind, tuple) and isinstance(kind[0], str) and kind[0].isupper()
        assert len(kind) == 1 or (len(kind) == 2 and isinstance(kind[1], dict))
    assert isinstance(node.RETURN_TYPES, tuple) and len(node.RETURN_TYPES) == len(node.RETURN_NAMES)
    assert isinstance(node.CATEGORY, str) and isinstance(node.DESCRIPTION, str)
    parameters = inspect.signature(getattr(node, node.FUNCTION)).parameters
    assert set(parameters) - {"self"} == set(inputs)
    for optional in asked.get("optional", {}):
        assert parameters[optional].default is not inspect.Parameter.empty


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.json")), ids=lambda file: file.stem)
def test_workflows_are_wired_to_nodes_that_exist(file):
    """API-format workflows: every link leads to an output of the type that the input takes."""
    graph = json.loads(file.read_text(encoding="utf-8"))
    ours = {key for key, node in graph.items() if node["class_type"] in NODE_CLASS_MAPPINGS}
    assert len(ours) >= 3
    for key in ours:
        node = NODE_CLASS_MAPPINGS[graph[key]["class_type"]]
        asked = node.INPUT_TYPES()
        inputs = {**asked["required"], **asked.get("optional", {})}
        given = graph[key]["inputs"]
        assert set(given) <= set(inputs) and set(asked["required"]) <= set(given)
        for name, value in given.items():
            if isinstance(value, list):
                source = graph[value[0]]
                if source["class_type"] in NODE_CLASS_MAPPINGS:
                    assert NODE_CLASS_MAPPINGS[source["class_type"]].RETURN_TYPES[value[1]] == inputs[name][0]
    assert any(isinstance(v, list) and v[0] in ours for n in graph.values() for v in n["inputs"].values())


def test_the_folder_to_copy_gives_comfyui_the_nodes():
    spec = importlib.util.spec_from_file_location("unseen_nodes", FOLDER / "unseen/__init__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.NODE_CLASS_MAPPINGS is NODE_CLASS_MAPPINGS and module.NODE_DISPLAY_NAME_MAPPINGS
