"""Every command in docs/real-models.md runs, offline, on tiny stand-ins with the folders of the real models."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from tiny import make_cogvideox, make_wan

from unseen.cli import main

TEXT = (Path(__file__).parents[2] / "docs" / "real-models.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("unseen ")
]
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
SMALL_FIT = shlex.split(
    "--prompts.pairs 60 --prompts.held-out 12 --prompts.retain 60 --sae.num-features 256 --sae.steps 120"
    " --search.rounds 3 --search.warm-up 1"
)
SMALL_CALL = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 1, "max_sequence_length": 226}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    make_wan("umt5").save_pretrained(folder / "wan")
    make_cogvideox("t5").save_pretrained(folder / "cogvideox")
    return folder


def as_stand_in(text: str, folder: Path) -> str:
    """A command or example with tiny models, a word that their tokenizer knows, and no GPU."""
    for given, instead in (
        ("Wan-AI/Wan2.2-TI2V-5B-Diffusers", str(folder / "wan")),
        ("zai-org/CogVideoX-2b", str(folder / "cogvideox")),
        ("cuda", "cpu"),
        ("French horn", "zeppelin"),
        ("bfloat16", "float32"),  # on a CPU, half-precision convolutions are slow or missing
        ("float16", "float32"),
    ):
        text = text.replace(given, instead)
    return text


def arguments(command: str, folder: Path) -> list[str]:
    command = as_stand_in(command, folder)
    words = shlex.split(command)[1:]
    small = {"generate": ["--call", json.dumps(SMALL_CALL)], "fit": SMALL_FIT}
    return [*words, *small.get(words[0], [])]


def test_the_page_has_commands_for_both_models():
    for model in ("Wan-AI/Wan2.2-TI2V-5B-Diffusers", "zai-org/CogVideoX-2b"):
        for name in ("plan", "fit", "generate"):
            assert any(c.startswith(f"unseen {name}") and model in c for c in COMMANDS), (name, model)


def test_the_commands_run_in_the_order_of_the_page(workplace, monkeypatch, capsys):
    monkeypatch.chdir(workplace)
    for command in COMMANDS:
        assert main(arguments(command, workplace)) in (0, 3), (command, capsys.readouterr().err)
    assert (workplace / "erasers/wan/french-horn/unseen_eraser.json").exists()
    lines = [json.loads(line) for line in (workplace / "runs/audit.jsonl").read_text(encoding="utf-8").splitlines()]
    encoded = [line for line in lines if line["event"] == "encoded"]
    assert encoded and all(line["fired"] for line in encoded)
    for model in ("wan", "cogvideox"):  # before, after, and side by side
        assert len(list((workplace / "runs" / model).glob("*.mp4"))) == 3

    names = {}
    for example in EXAMPLES:  # in one namespace: the second goes on from the first
        small = example.replace('table")', f'table", **{SMALL_CALL})')
        exec(as_stand_in(small, workplace), names)
    assert names["video"].shape == (5, 32, 32, 3)
    names["handle"].detach()
