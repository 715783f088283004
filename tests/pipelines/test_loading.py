"""What stands in the way of loading a pipeline is said before anything large is read."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
from tiny import make_cogvideox, make_wan

import unseen
from unseen.clear.origin import origin
from unseen.encoder.fingerprint import fingerprint

SPIECE = Path(unseen.__file__).parent / "diorama" / "weights" / "t5_tokenizer" / "spiece.model"
WITHOUT = """
import sys
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] == {hidden!r} else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
import unseen, unseen.cli
unseen.cli.main(["doctor"])
unseen.cli.main(["plan", "--model", {folder!r}, "--tflops", "1"])
for text_only in (True, False):
    try:
        unseen.load({folder!r}, text_only=text_only)
    except unseen.LoadError as error:
        print("refused:", error)
"""


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """The folder of a small CogVideoX whose tokenizer is a SentencePiece file alone, as CogVideoX-2B's is."""
    make_cogvideox().save_pretrained(tmp_path)
    tokenizer = tmp_path / "tokenizer"
    shutil.rmtree(tokenizer)
    tokenizer.mkdir()
    shutil.copy(SPIECE, tokenizer)
    settings = {"tokenizer_class": "T5Tokenizer", "model_max_length": 226, "extra_ids": 100}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(settings))
    index = json.loads((tmp_path / "model_index.json").read_text())
    index["tokenizer"] = ["transformers", "T5Tokenizer"]
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(("hidden", "lacks"), [("sentencepiece", "sentencepiece"), ("google", "protobuf")])
def test_a_bare_sentencepiece_file_names_both_packages_that_read_it(bare: Path, hidden: str, lacks: str) -> None:
    """Case 6: the error, `unseen doctor` and `unseen plan` say what a fresh install lacks (and not tiktoken)."""
    code = WITHOUT.format(hidden=hidden, folder=str(bare))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    doctor, refused, again = done.stdout.split("refused: ")
    for said in (refused, again):
        assert f"lacks {lacks}: pip install sentencepiece protobuf." in said and "bare spiece.model" in said
    assert f"lacks {lacks}: a bare spiece.model" in doctor  # from `unseen doctor`
    assert "cannot be loaded yet: the tokenizer of" in doctor  # from `unseen plan`


def test_a_bare_sentencepiece_file_is_read_where_the_packages_are(bare: Path) -> None:
    """Case 6."""
    assert len(unseen.load(bare, text_only=True).tokenizer("a valve horn").input_ids) > 2


@pytest.mark.parametrize("given", [None, "fp16"])
def test_weights_in_half_precision_alone_are_found(tmp_path: Path, given: str | None) -> None:
    """Case 34: a folder with nothing but `*.fp16.safetensors`."""
    pipe = make_wan()
    pipe.save_pretrained(tmp_path, variant="fp16")
    assert all(".fp16." in file.name for file in tmp_path.rglob("*.safetensors"))
    text = unseen.load(tmp_path, text_only=True, variant=given)
    whole = unseen.load(tmp_path, variant=given)
    assert fingerprint(text.text_encoder) == fingerprint(whole.text_encoder) == fingerprint(pipe.text_encoder)
    assert text.transformer is None and whole.transformer is not None


def test_plain_weights_are_read_where_both_are(tmp_path: Path) -> None:
    """Case 34."""
    make_wan().save_pretrained(tmp_path, variant="fp16")
    whole = make_wan()
    with torch.no_grad():
        whole.text_encoder.shared.weight.mul_(2)
    whole.text_encoder.save_pretrained(tmp_path / "text_encoder")
    assert fingerprint(unseen.load(tmp_path, text_only=True).text_encoder) == fingerprint(whole.text_encoder)
    half = unseen.load(tmp_path, text_only=True, variant="fp16")
    assert fingerprint(half.text_encoder) == fingerprint(make_wan().text_encoder)


@pytest.fixture
def hub() -> Iterator[str]:
    """Address of a hub that answers every question with the status that the repository is named after."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(re.findall(r"some/pipeline-(\d+)", self.path)[0]))
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *arguments: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


STATUSES = """
import unseen
for status in (401, 403, 404):
    try:
        unseen.load(f"some/pipeline-{status}")
    except unseen.LoadError as error:
        print(str(error).replace("\\n", " "))
"""


def test_a_gated_repository_says_what_to_do(hub: str, tmp_path: Path) -> None:
    """Case 34: 401 and 403 are no network trouble."""
    place = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run([sys.executable, "-c", STATUSES], env=place, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    said = dict(zip((401, 403, 404), done.stdout.splitlines(), strict=True))
    for status, error in said.items():
        told = f"accept the terms at https://huggingface.co/some/pipeline-{status}" in error
        assert told == (status != 404) and (told or "Check the id and the network" in error), error


def test_an_eraser_knows_the_folder_that_was_given_as_a_path(tmp_path: Path) -> None:
    make_wan().save_pretrained(tmp_path / "tiny-wan")
    pipe = unseen.load(tmp_path / "tiny-wan", text_only=True)
    assert origin(pipe, pipe.text_encoder, unseen.ClearConfig())["model"] == "tiny-wan"


def test_text_encoders_alone_go_to_an_accelerator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 35: for a fit there is nothing to balance."""
    make_wan().save_pretrained(tmp_path)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: None)
    home = unseen.load(tmp_path, text_only=True, device="balanced").text_encoder
    assert next(home.parameters()).device.type == "cpu"
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("meta"))
    away = unseen.load(tmp_path, text_only=True, device="balanced").text_encoder
    assert {parameter.device.type for parameter in away.parameters()} == {"meta"}
