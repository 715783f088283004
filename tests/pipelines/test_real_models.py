"""Every command and example of docs/real-models.md and docs/models/ runs, offline, on tiny stand-ins.

A stand-in is a pipeline of the real class with random weights, saved in a folder that is named as the hub id, so that
the pages' own words find it. Instead of a GPU it gets the processor, in float32, instead of a French horn a word that
its tokenizer knows, and instead of full-size clips small ones.
"""

from __future__ import annotations

import functools
import re
import shlex
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from model_folders import MODELS, write_folder, write_lora

import unseen
from unseen.cli import main
from unseen.doctor import FEW_BITS, examine

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["real-models.md", *(f"models/{page.name}" for page in sorted((DOCS / "models").glob("*.md")))]
TEXTS = {page: (DOCS / page).read_text(encoding="utf-8") for page in PAGES}
TARGET, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river"
INSTEAD = {
    "cuda": "cpu",
    "French horn": "zeppelin",
    "bfloat16": "float32",  # on a CPU, half-precision convolutions are slow or missing
    "float16": "float32",
}
SMALL_FIT = """
    --prompts.pairs 60 --prompts.held-out 8 --prompts.retain 60 --prompts.max-length 32 --sae.num-features 128
    --sae.steps 60 --sae.l1-coefficient 0.03 --search.rounds 2 --search.steps 5 --edit.max-ratio 0.5
    """.split()
LORA = re.compile(r'load_lora_(?:weights|adapter)\(\s*"([^"]+)",\s*weight_name=("[^"]+"|\w+\.format\("\w+"\))')


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXTS[page], re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    return [line for block in blocks(page, "sh") for line in block.splitlines() if line.startswith("unseen ")]


def models(page: str) -> list[str]:
    code = "\n".join(blocks(page, "sh") + blocks(page, "python"))
    return [model for model in MODELS if model in code]


def as_stand_in(text: str) -> str:
    for given, instead in INSTEAD.items():
        text = text.replace(given, instead)
    return text


def arguments(command: str) -> list[str]:
    given = shlex.split(as_stand_in(command))[1:]
    return [*given, *SMALL_FIT] if given[0] == "fit" else given


@pytest.fixture(scope="module")
def folders(zoo: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Where the stand-in of a model lies; written once."""
    root = tmp_path_factory.mktemp("hub")

    @functools.cache
    def written(model: str) -> Path:
        if not hasattr(diffusers, MODELS[model].pipeline):
            pytest.skip(f"this diffusers has no {MODELS[model].pipeline}")
        return write_folder(zoo, model, root)

    return written


@pytest.fixture
def at(folders, zoo, tmp_path, monkeypatch) -> Callable[[str], None]:
    """A function that lets a page's words find its models and LoRAs from the current folder, and clips be small."""
    monkeypatch.chdir(tmp_path)

    def place(page: str) -> None:
        for model in models(page):
            link = tmp_path / model
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(folders(model))
        for model in models(page):
            draw_small(getattr(diffusers, MODELS[model].pipeline), zoo.ZOO[MODELS[model].kind].call, monkeypatch)
        code = "\n".join(blocks(page, "python"))
        for repository, name in LORA.findall(code):
            (loaded,) = re.findall(r'unseen\.load\(\s*"([^"]+)"', code)
            write_lora(tmp_path / repository / file_of(name, code), folders(loaded))

    return place


def file_of(name: str, code: str) -> str:
    """The file name that stands in the code, as a text or as `variable.format("...")`."""
    if name.startswith('"'):
        return name.strip('"')
    variable, word = re.fullmatch(r'(\w+)\.format\("(\w+)"\)', name).groups()  # type: ignore[union-attr]
    (form,) = re.findall(rf'^{variable} = "(.*)"$', code, re.MULTILINE)
    return form.format(word)


def draw_small(pipeline: type, call: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pipeline.__call__
    size = {name: value for name, value in call.items() if name != "output_type"}
    steps = size.pop("num_inference_steps")

    @functools.wraps(whole)
    def small(self: Any, *args: Any, **options: Any) -> Any:
        few = min(options.get("num_inference_steps", steps), 4)
        return whole(self, *args, **{**options, **size, "num_inference_steps": few})

    monkeypatch.setattr(pipeline, "__call__", small)


def draw(pipe: Any, prompt: str) -> torch.Tensor:
    made = pipe(prompt, output_type="np", generator=torch.Generator().manual_seed(0))
    return torch.as_tensor(made.frames[0] if hasattr(made, "frames") else made.images[0])


def require_erasure(pipe: Any, erasers: list[Any]) -> None:
    """The concept's clip changes and another's stays, bit for bit; so does everything afterwards."""
    plain = [draw(pipe, prompt) for prompt in (TARGET, UNRELATED)]
    with unseen.attach(pipe, erasers):
        during = [draw(pipe, prompt) for prompt in (TARGET, UNRELATED)]
    assert plain[0].isfinite().all() and plain[0].std() > 0
    assert not torch.equal(during[0], plain[0]) and torch.equal(during[1], plain[1])
    assert torch.equal(draw(pipe, TARGET), plain[0])


def run_commands(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands(page):
        assert main(arguments(command)) in (0, 3), (command, capsys.readouterr().err)


def run_examples(page: str, names: dict[str, Any], keep: Callable[[str], bool]) -> dict[str, Any]:
    """The examples that are to be run, in order and in one namespace."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", unseen.FitWarning)  # random weights: how well it works is not the point
        for example in blocks(page, "python"):
            if keep(example):
                exec(compile(as_stand_in(example), f"docs/{page}", "exec"), names)
    return names


def quick(example: str) -> bool:
    """Neither compiled nor with packages that are no dependency."""
    return "compile" not in example and not any(package in example for package in FEW_BITS)


@pytest.mark.parametrize("page", PAGES)
def test_everything_on_a_page_runs(page, at, monkeypatch, capsys):
    pytest.importorskip("peft", reason='pip install "unseen[models]"')
    at(page)
    run_commands(page, capsys)
    names = run_examples(page, {}, quick)
    pipe = names["pipe"]
    require_erasure(pipe, names["erasers"])
    assert any("lora_" in name for name, _ in pipe.transformer.named_modules())
    for folder in re.findall(r"--out (runs/\S+)", TEXTS[page]):  # before, after, side by side, and a sheet
        assert len(list(Path(folder).iterdir())) == 7
    if page == "real-models.md":
        assert "encoded" in Path("runs/audit.jsonl").read_text(encoding="utf-8")


def test_every_page_fits_generates_and_attaches():
    for page in PAGES:
        programs = [command.split()[1] for command in commands(page)]
        assert {"fit", "generate"} <= set(programs), page
        assert any("unseen.attach(" in example for example in blocks(page, "python")), page
        assert len(TEXTS[page].splitlines()) < 45 or page == "real-models.md", page
    assert {model for page in PAGES for model in models(page)} == set(MODELS)
    linked = re.findall(r"\((models/[^)]+)\)", TEXTS["real-models.md"])
    assert sorted(linked) == sorted(PAGES[1:])


def test_the_doctor_knows_every_package_that_a_page_installs():
    asked = {name for text in TEXTS.values() for line in re.findall(r"pip install ([^`\n]+)", text) for name in line.split()}
    assert asked - {"-e", '".[models]"'} == {"torchao", "bitsandbytes"}
    looked_at = {finding.what for finding in examine((), "diorama")}
    assert {"extra 'models'", "tokenizers", "weights in 8 and 4 bits"} <= looked_at
