"""What stands in the way of loading a pipeline is said before anything large is read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import make_cogvideox

import unseen

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
