"""Detectors from the hub, on tiny real models that are saved to a folder and loaded by path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoModelForImageClassification,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedTokenizerFast,
    ResNetConfig,
    ResNetForImageClassification,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

from unseen.detectors import load_detector, shown
from unseen.errors import DetectorError

FRAMES = np.random.default_rng(0).integers(0, 256, (20, 40, 60, 3), dtype=np.uint8)
LABELS = ("tench, Tinca tinca", "church, church building", "crane", "crane", "French horn, horn", "golf ball")
PART = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def tokenizer(length: int) -> PreTrainedTokenizerFast:
    words = ["<pad>", "<s>", "</s>", "<unk>", *"a photo of something else church barn".split()]
    inner = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, "<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=length, **special)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ResNet, CLIP and SigLIP, each in a folder of its own."""
    root = tmp_path_factory.mktemp("hub")
    torch.manual_seed(0)
    labels = dict(enumerate(LABELS))
    resnet = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], id2label=labels)
    ResNetForImageClassification(resnet).save_pretrained(root / "resnet")
    vision = {**PART, "image_size": 32, "patch_size": 16}
    text = {**PART, "vocab_size": 16, "max_position_embeddings": 64}
    ends = {"eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0}
    clip = CLIPModel(CLIPConfig(text_config={**text, **ends}, vision_config=vision, projection_dim=8))
    clip.save_pretrained(root / "clip")
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(root / "siglip")
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor.save_pretrained(root / "resnet")
    processor.save_pretrained(root / "clip")
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(root / "siglip")
    for name in ("clip", "siglip"):
        tokenizer(64).save_pretrained(root / name)
    return root


def test_a_classifier_gives_its_models_probabilities_for_the_labels_that_are_named(folder):
    detector = load_detector("classifier", model=folder / "resnet", classes=("French horn", "church building", "tench"))
    network = AutoModelForImageClassification.from_pretrained(folder / "resnet").eval()
    with torch.no_grad():
        inputs = AutoImageProcessor.from_pretrained(folder / "resnet")(images=list(FRAMES), return_tensors="pt")
        expected = network(**inputs).logits.softmax(-1).numpy()[:, [4, 1, 0]]
    assert np.allclose(detector(FRAMES), expected, atol=1e-5)
    assert detector.card.version == "resnet"


def test_a_classifiers_top_k(folder):
    names = ("tench", "church", "French horn", "golf ball")
    likely = load_detector("classifier", model=folder / "resnet", classes=names)(FRAMES)
    first = shown(load_detector("classifier", model=folder / "resnet", classes=names, top_k=1), FRAMES)
    assert (first.sum(axis=1) <= 1).all()
    for row in np.flatnonzero(first.any(axis=1)):
        assert likely[row].argmax() == first[row].argmax()
    five = load_detector("classifier", model=folder / "resnet", classes=names, top_k=5)
    assert (shown(five, FRAMES).sum(axis=1) >= 3).all()  # five of the six labels, two of which are not named


@pytest.mark.parametrize(("name", "says"), [("crane", "2 fit; near ones are crane; crane"), ("boat", "none of them")])
def test_a_label_that_is_not_there_or_twice_is_refused(folder, name, says):
    with pytest.raises(DetectorError, match=says):
        load_detector("classifier", model=folder / "resnet", classes=(name,))


def test_clip_compares_a_concept_with_what_it_competes_with(folder):
    church = load_detector("zero-shot", concept="a church", against=["a photo of a barn"], model=folder / "clip")
    barn = load_detector("zero-shot", concept="a barn", against=["a photo of a church"], model=folder / "clip")
    assert np.allclose(church(FRAMES) + barn(FRAMES), 1, atol=1e-5)
    assert church(FRAMES).std() > 1e-4
    three = load_detector("zero-shot", concept="a church", against=["a photo of a barn"] * 2, model=folder / "clip")
    odds = church(FRAMES) / (1 - church(FRAMES))
    assert np.allclose(three(FRAMES), odds / (odds + 2), atol=1e-4)


def test_siglip_judges_each_concept_by_itself(folder):
    both = load_detector("zero-shot", concept=["a church", "a barn"], model=folder / "siglip")
    church = load_detector("zero-shot", concept="a church", model=folder / "siglip")
    assert both.card.classes == ("a church", "a barn")
    assert np.allclose(both(FRAMES)[:, :1], church(FRAMES), atol=1e-5)
    network = AutoModel.from_pretrained(folder / "siglip").eval()
    words = tokenizer(64)("a photo of a church", padding="max_length", max_length=64, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        inputs = AutoImageProcessor.from_pretrained(folder / "siglip")(images=list(FRAMES), return_tensors="pt")
        expected = network(input_ids=words, **inputs).logits_per_image.sigmoid().numpy()
    assert np.allclose(church(FRAMES), expected, atol=1e-5)
    with pytest.raises(DetectorError, match="leave `against` out"):
        load_detector("zero-shot", concept="a church", against=["a photo"], model=folder / "siglip")


def test_models_of_other_kinds_are_refused(folder, tmp_path):
    with pytest.raises(DetectorError, match=r"expected a CLIP or SigLIP model, and .* of the kind 'resnet'"):
        load_detector("zero-shot", concept="a church", model=folder / "resnet")
    with pytest.raises(DetectorError, match="not found as an AutoModel in that folder"):
        load_detector("zero-shot", concept="a church", model=tmp_path)
    with pytest.raises(DetectorError, match=r"template with \{\} in it"):
        load_detector("zero-shot", concept="a church", template="a photo", model=folder / "clip")


def test_offline_a_hub_id_says_what_to_do(tmp_path):
    code = (
        "from unseen.detectors import load_detector\n"
        "from unseen.errors import DetectorError\n"
        "try:\n"
        "    load_detector('classifier')\n"
        "except DetectorError as error:\n"
        "    print(error)\n"
    )
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=offline)
    assert "microsoft/resnet-50 was not found" in done.stdout, done.stdout + done.stderr
    assert "hf download microsoft/resnet-50" in done.stdout and "give a folder" in done.stdout
