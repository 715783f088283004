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
from conftest import make_eraser
from model_folders import MODELS, write_folder, write_lora
from safetensors.torch import save_file

import unseen
from unseen.cli import build_parser, main
from unseen.doctor import FEW_BITS, examine
from unseen.errors import UnguardedInputError, WrongEncoderError

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["real-models.md", *(f"models/{page.name}" for page in sorted((DOCS / "models").glob("*.md")))]
TEXTS = {page: (DOCS / page).read_text(encoding="utf-8") for page in PAGES}
QUICK = ("real-models.md", "models/wan2.2-a14b.md", "models/flux.md")
"""One page of each sort; the others take five seconds each and are slow tests."""
OF_PACKAGES = {"torchao": "torchao", "bitsandbytes": "BitsAndBytesConfig"}
"""Packages that are no dependency, and a word of the example that needs them."""
TARGET, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river"
INSTEAD = {
    "cuda": "cpu",
    "French horn": "zeppelin",
    "bfloat16": "float32",  # on a CPU, half-precision convolutions are slow or missing
    "float16": "float32",
}
SMALL = {
    "prompts.pairs": 30, "prompts.held_out": 8, "prompts.retain": 30, "prompts.max_length": 32,
    "sae.num_features": 128, "sae.steps": 60, "sae.l1_coefficient": 0.03, "search.rounds": 2, "search.steps": 5,
    "edit.max_ratio": 0.5,
}  # fmt: skip
"""Settings of a fit that takes a second."""
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
    small = [text for name, value in SMALL.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    return [*given, *small] if given[0] == "fit" else given


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
    monkeypatch.setattr("unseen.bench.views.media._ENLARGED_SIDE", 32)  # most of the time would go into large GIFs

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
    size.pop("complex_human_instruction", None)  # SANA's own, which stands before every prompt
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
    return "compile" not in example and not any(word in example for word in OF_PACKAGES.values())


@pytest.mark.parametrize(
    "page", [page if page in QUICK else pytest.param(page, marks=pytest.mark.slow) for page in PAGES]
)
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


@pytest.mark.parametrize("package", OF_PACKAGES)
def test_weights_in_few_bits(package, at):
    pytest.importorskip(package, reason=f"pip install {package}")
    page = "real-models.md"
    at(page)
    (example,) = (example for example in blocks(page, "python") if OF_PACKAGES[package] in example)
    model = "Wan-AI/Wan2.2-TI2V-5B-Diffusers"
    pipe = unseen.load(model)
    erasers = fitted(pipe)
    names = {"torch": torch, "unseen": unseen, "pipe": pipe, "erasers": erasers}
    run_examples(page, names, lambda one: one == example)
    linears = {"torchao": "attn1.to_q", "bitsandbytes": "SelfAttention.q"}
    part = names["pipe"].transformer if package == "torchao" else names["pipe"].text_encoder
    inner = next(module for name, module in part.named_modules() if name.endswith(linears[package]))
    assert package in type(inner.weight).__module__
    require_erasure(names["pipe"], names["erasers"])
    if package == "bitsandbytes":
        with pytest.raises(WrongEncoderError, match="a rounded copy"):
            unseen.attach(names["pipe"], erasers)


def fitted(pipe: Any) -> list[Any]:
    """An eraser at each text encoder."""
    config = unseen.ClearConfig().with_options(SMALL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", unseen.FitWarning)
        return [
            unseen.fit(pipe, "zeppelin", config=config, encoder=n, progress=False) for n in unseen.text_encoders(pipe)
        ]


@pytest.mark.slow
@pytest.mark.parametrize("model", list(MODELS)[:6])  # the pages of LTX-2, HunyuanVideo and FLUX offload in groups too
def test_both_ways_of_offloading(model, folders, zoo, monkeypatch):
    folder = folders(model)
    draw_small(getattr(diffusers, MODELS[model].pipeline), zoo.ZOO[MODELS[model].kind].call, monkeypatch)
    erasers = fitted(unseen.load(folder, text_only=True))
    for way in ("group", "model"):
        require_erasure(unseen.load(folder, offload=way, device="cpu"), erasers)


@pytest.mark.slow
def test_the_example_that_compiles(at, monkeypatch, capsys):
    pytest.importorskip("peft", reason='pip install "unseen[models]"')
    at("real-models.md")
    run_commands("real-models.md", capsys)
    monkeypatch.setattr(torch.nn.Module, "compile", functools.partialmethod(torch.nn.Module.compile, backend="eager"))
    names = run_examples("real-models.md", {}, lambda one: not any(word in one for word in OF_PACKAGES.values()))
    assert any(module._compiled_call_impl is not None for module in names["pipe"].transformer.modules())
    require_erasure(names["pipe"], names["erasers"])


def test_a_lora_of_the_text_encoder_makes_it_another_encoder(folders, tmp_path):
    pytest.importorskip("peft", reason='pip install "unseen[models]"')
    pipe = unseen.load(folders("black-forest-labs/FLUX.1-dev"))
    eraser = make_eraser(pipe.tokenizer, pipe.text_encoder)
    other = make_eraser(pipe.tokenizer_2, pipe.text_encoder_2)
    unseen.attach(pipe, [eraser, other]).detach()
    torch.manual_seed(0)
    tensors = {}
    for name, module in pipe.text_encoder.named_modules():
        if name.endswith("q_proj"):
            base = f"text_encoder.text_model.{name.removeprefix('text_model.')}"
            tensors[f"{base}.lora_A.weight"] = torch.randn(2, module.in_features)
            tensors[f"{base}.lora_B.weight"] = torch.randn(module.out_features, 2)
    save_file(tensors, tmp_path / "style.safetensors")
    pipe.load_lora_weights(tmp_path, weight_name="style.safetensors")
    with pytest.raises(WrongEncoderError):
        unseen.attach(pipe, [eraser, other])
    pipe.unload_lora_weights()
    with unseen.attach(pipe, [eraser, other]):
        pipe.encode_prompt("a zeppelin", None)
        pipe.load_lora_weights(tmp_path, weight_name="style.safetensors")
        with pytest.raises(unseen.EraserBypassedError, match="text_encoder had layers exchanged, by an adapter"):
            pipe.encode_prompt("a zeppelin", None)
        pipe.unload_lora_weights()
        pipe.encode_prompt("a zeppelin", None)
    pipe.load_lora_weights(tmp_path, weight_name="style.safetensors")
    own = make_eraser(pipe.tokenizer, pipe.text_encoder)
    with unseen.attach(pipe, [own, other]):
        pipe.encode_prompt("a zeppelin", None)
        pipe.set_adapters(pipe.get_active_adapters(), 0.5)
        with pytest.raises(unseen.EraserBypassedError, match="had an adapter scaled"):
            pipe.encode_prompt("a zeppelin", None)


def test_a_pipeline_that_reads_its_vaes_configuration_loads_for_a_fit(folders):
    pipe = unseen.load(folders("hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v"), text_only=True)
    assert pipe.vae is None and pipe.transformer is None
    assert unseen.text_encoders(pipe) == ("text_encoder", "text_encoder_2")


def test_stable_diffusion_without_t5_needs_two_erasers(folders):
    folder = folders("stabilityai/stable-diffusion-3.5-medium")
    pipe = diffusers.DiffusionPipeline.from_pretrained(folder, text_encoder_3=None, tokenizer_3=None)
    assert unseen.text_encoders(pipe) == ("text_encoder", "text_encoder_2")


def test_ltx_video_with_conditions_is_refused(folders):
    pipe = unseen.load(folders("Lightricks/LTX-Video"))
    eraser = make_eraser(pipe.tokenizer, pipe.text_encoder)
    unseen.attach(pipe, eraser).detach()
    with pytest.raises(UnguardedInputError, match="LTXConditionPipeline also takes"):
        unseen.attach(diffusers.LTXConditionPipeline(**pipe.components), eraser)


def test_every_page_fits_generates_and_attaches():
    for page in PAGES:
        for command in commands(page):
            build_parser().parse_args(arguments(command))
        programs = [command.split()[1] for command in commands(page)]
        assert {"fit", "generate"} <= set(programs), page
        assert any("unseen.attach(" in example for example in blocks(page, "python")), page
        assert len(TEXTS[page].splitlines()) < 45 or page == "real-models.md", page
    assert {model for page in PAGES for model in models(page)} == set(MODELS)
    linked = re.findall(r"\((models/[^)]+)\)", TEXTS["real-models.md"])
    assert sorted(linked) == sorted(PAGES[1:])


def test_the_doctor_knows_every_package_that_a_page_installs():
    asked = {
        name for text in TEXTS.values() for line in re.findall(r"pip install ([^`\n]+)", text) for name in line.split()
    }
    assert asked - {"-e", '".[models]"'} == set(FEW_BITS)
    looked_at = {finding.what for finding in examine((), "diorama")}
    assert {"extra 'models'", "tokenizers", "weights in 8 and 4 bits"} <= looked_at
