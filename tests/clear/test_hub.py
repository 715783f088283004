"""Erasers go to the hub and come back the same, from the hub, its cache or a folder; packs in one read."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from hub_server import serving

import unseen
from unseen import Concept, DamagedFileError, LoadError
from unseen.clear import packs
from unseen.clear.packs import card_of


@pytest.fixture
def zeppelin(pipe, eraser_of):
    report = {
        "fired_on": {"held_out_positives": 1.0, "held_out_negatives": 0.0},
        "top_tokens": [["zeppelin", "air|ship"]],
        "verdict": {"worked": True, "reasons": []},
        "strength_trials": {"1.0": {"residual_name": 0.16, "damage": 0.5}},
        "origin": {
            "model": "Wan-AI/Wan2.2-TI2V-5B-Diffusers", "revision": "", "encoder": "UMT5EncoderModel",
            "date": "2026-01-02T03:04:05+00:00", "libraries": {"torch": "2.13.0"},
            "config": {"edit": {"strength": None}},
        },
    }  # fmt: skip
    return eraser_of(pipe.tokenizer, pipe.text_encoder, report=report)


@pytest.fixture
def wolf(pipe, eraser_of):
    return eraser_of(pipe.tokenizer, pipe.text_encoder, word="wolf")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with serving() as (address, hub):
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        monkeypatch.setattr(
            huggingface_hub.constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            address + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        yield hub
    assert hub.unknown == []


def same(one, other):
    return one.key == other.key and one.report == other.report and one.concept == other.concept


def test_one_eraser_to_the_hub_and_back(hub, zeppelin, wolf):
    first = unseen.push_to_hub(zeppelin, "org/zeppelin", license="apache-2.0", rates={"zeppelin": {"frames": "0 %"}})
    assert same(unseen.ClearEraser.from_pretrained("org/zeppelin"), zeppelin)
    second = unseen.push_to_hub(zeppelin.with_strength(2.0), "org/zeppelin")
    assert first != second
    assert unseen.ClearEraser.from_pretrained("org/zeppelin").strength == 2.0
    assert same(unseen.ClearEraser.from_pretrained("org/zeppelin", revision=first), zeppelin)
    unseen.push_to_hub(wolf, "org/zeppelin", revision="wolves")
    assert same(unseen.ClearEraser.from_pretrained("org/zeppelin", revision="wolves"), wolf)
    assert same(unseen.ClearEraser.from_pretrained("org/zeppelin"), zeppelin.with_strength(2.0))
    assert b'load_eraser(pipe, "org/zeppelin")' in hub.commits["org/zeppelin"][first]["README.md"]
    assert sorted(hub.commits["org/zeppelin"][first]) == [
        "README.md", "unseen_eraser.json", "unseen_eraser.safetensors",
    ]  # fmt: skip


def test_a_pack_to_the_hub_and_onto_a_pipeline(hub, pipe, zeppelin, wolf):
    unseen.push_to_hub(zeppelin, "org/things")
    commit = unseen.push_to_hub([zeppelin, wolf], "org/things")
    assert sorted(hub.commits["org/things"][commit]) == [  # the single eraser is gone
        "README.md", "unseen_erasers.json", "unseen_erasers.safetensors",
    ]  # fmt: skip
    before = len(hub.asked)
    assert all(map(same, unseen.load_erasers("org/things"), [zeppelin, wolf]))
    assert sum(asked.startswith("GET") for asked in hub.asked[before:]) == 2  # one read of each file
    assert unseen.load_eraser(pipe, "org/things", revision=commit) == ("zeppelin", "wolf")
    unseen.unload_erasers(pipe)


@pytest.mark.parametrize(
    ("source", "revision", "message"),
    [
        ("org/nothing", None, "no repository of that name"),
        ("org/zeppelin", "v9", "has no revision 'v9'"),
        ("org/gated", None, "Accept them on its page, and log in"),
        ("org/empty", None, "holds no eraser: it has no unseen_eraser.json"),
    ],
)
def test_what_is_not_there_is_said(hub, zeppelin, source, revision, message):
    unseen.push_to_hub(zeppelin, "org/zeppelin")
    huggingface_hub.HfApi().create_repo("org/empty")
    hub.gated.add("org/gated")
    with pytest.raises(LoadError, match=message):
        unseen.ClearEraser.from_pretrained(source, revision=revision)


def test_without_the_network_the_cache_serves_and_a_lack_is_said(hub, zeppelin, tmp_path):
    unseen.push_to_hub(zeppelin, "org/zeppelin")
    unseen.push_to_hub([zeppelin], "org/pack")
    for repo in ("org/zeppelin", "org/pack"):
        unseen.load_erasers(repo)
    code = (
        "import unseen\n"
        "for repo in ('org/zeppelin', 'org/pack'): print(unseen.load_erasers(repo)[0].key)\n"
        "try: unseen.load_erasers('org/other')\n"
        "except unseen.LoadError as error: print(error)\n"
    )
    environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"}
    environment["PYTHONPATH"] = str(Path(unseen.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    first, second, error = done.stdout.splitlines()
    assert first == second == zeppelin.key
    assert "there is no folder org/other, and org/other is not in the local hub cache" in error


def test_a_pushing_that_cannot_work_is_said(monkeypatch, zeppelin, wolf):
    with pytest.raises(LoadError, match="expected a repository to push to"):
        unseen.push_to_hub(zeppelin, "not a name")
    with pytest.raises(ValueError, match="got some of 'lemon'"):
        unseen.push_to_hub(zeppelin, "org/zeppelin", rates={"lemon": {}})
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(LoadError, match="could not be pushed to"):
        unseen.push_to_hub(zeppelin, "org/zeppelin")


def test_a_folder_is_no_repository(tmp_path, monkeypatch, zeppelin):
    monkeypatch.chdir(tmp_path)
    zeppelin.save_pretrained("erasers/zeppelin")
    assert same(unseen.ClearEraser.from_pretrained("erasers/zeppelin"), zeppelin)
    with pytest.raises(DamagedFileError, match=r"unseen_eraser\.json"):  # a folder here, so nothing is asked of the hub
        unseen.ClearEraser.from_pretrained("erasers/zepelin")
    with pytest.raises(LoadError, match="Leave the revision out"):
        unseen.ClearEraser.from_pretrained("erasers/zeppelin", revision="main")


def test_a_pack_is_one_folder_and_all_or_nothing(tmp_path, zeppelin, wolf):
    unseen.save_erasers([zeppelin, wolf], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(packs.PACK_FILES)
    assert all(map(same, unseen.load_erasers(tmp_path), [zeppelin, wolf]))
    for many in ([], [zeppelin, zeppelin.with_strength(2.0)]):
        with pytest.raises(ValueError, match="expected 1 to"):
            unseen.save_erasers(many, tmp_path)
    data = bytearray((tmp_path / packs.PACK_FILES[1]).read_bytes())
    data[-3] ^= 1
    (tmp_path / packs.PACK_FILES[1]).write_bytes(data)
    with pytest.raises(DamagedFileError, match="does not match its checksum"):
        unseen.load_erasers(tmp_path)


@pytest.mark.parametrize("fault", ["surplus tensor", "no erasers", "text for an eraser", "missing tensor", "silent"])
def test_a_pack_whose_checksums_are_right_and_whose_content_is_not(tmp_path, zeppelin, wolf, fault):
    from unseen.files import write_pair

    facts, tensors = zeppelin.parts()
    tensors = {f"0.{name}": tensor for name, tensor in tensors.items()}
    erasers = [facts]
    if fault == "surplus tensor":
        tensors["1.W_enc"] = torch.ones(1)
    elif fault == "no erasers":
        erasers = []
    elif fault == "text for an eraser":
        erasers = ["zeppelin"]
    elif fault == "missing tensor":
        del tensors["0.mask"]
    else:
        tensors["0.W_dec"] = tensors["0.W_dec"] * 0
    write_pair(tmp_path, "unseen_erasers", packs.PACK_VERSION, {"erasers": erasers}, tensors)
    with pytest.raises(DamagedFileError, match=r"unseen_erasers\."):
        unseen.load_erasers(tmp_path)


def test_the_card_says_what_is_in_the_files(zeppelin):
    named = dataclasses.replace(zeppelin, concept=Concept("zeppelin", synonyms=("air|ship <b>",)))
    card = card_of([named], license="apache-2.0", rates={"zeppelin": {"frames that show it": "0 % [0, 3.0]"}})
    front, _, body = card.removeprefix("---\n").partition("\n---\n")
    assert 'license: "apache-2.0"' in front and "- Wan-AI/Wan2.2-TI2V-5B-Diffusers" in front
    for said in (
        "# zeppelin, erased",
        r"air\|ship \<b\>",
        "| layer | block 1 |",
        "| features | 1 |",
        f"`{named.encoder_fingerprint}`",
        f"`{named.key}`",
        "Wan-AI/Wan2.2-TI2V-5B-Diffusers UMT5EncoderModel",
        "2026-01-02T03:04:05+00:00",
        "torch 2.13.0",
        "| held out positives | 100.0% |",
        "the fit worked",
        "| name tokens | 16.0% |",
        "changes 0.50 times",
        r"| 1 | `zeppelin`, `air\|ship` |",
        "| frames that show it | 0 % [0, 3.0] |",
        'edit: {"strength": null}',
    ):
        assert said in body, said
    silent = card_of([dataclasses.replace(zeppelin, report={})])
    assert "No rate was measured on video." in silent and "stated none" in silent and "base_model" not in silent


def test_a_fit_records_its_origin(pipe_of):
    from conftest import SMALL_FIT

    pipe = pipe_of("t5")
    pipe.text_encoder.config._name_or_path = "/home/me/hub/models--org--tiny-model/snapshots/0123abc/text_encoder"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", unseen.FitWarning)
        eraser = unseen.fit(pipe, "zeppelin", config=SMALL_FIT, progress=False)
    origin = eraser.report["origin"]
    assert origin["model"] == "org/tiny-model" and origin["revision"] == "0123abc" and "/home" not in json.dumps(origin)
    assert origin["encoder"] == "T5EncoderModel" and origin["libraries"]["torch"] == metadata.version("torch")
    assert origin["config"]["sae"]["num_features"] == SMALL_FIT.sae.num_features
    other = pipe_of("t5", seed=1)
    with pytest.raises(unseen.WrongEncoderError, match="of org/tiny-model"):
        unseen.attach(other, eraser)
