"""Load a pipeline from the hub or a folder: all of it, or no more than a fit needs."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
from pathlib import Path
from typing import Any, Literal

from ..errors import LoadError

Offload = Literal["model", "group", "sequential"]
DTYPES = ("float32", "float16", "bfloat16")
_TEXT = re.compile(r"(text_encoder|tokenizer)(_\d)?$")
_VARIANT = re.compile(r"\.([a-z][a-z0-9]*)(-\d+-of-\d+)?\.(?:safetensors|bin)$")
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+$")


def model_index(source: str | Path, *, revision: str | None = None) -> dict[str, Any]:
    """A pipeline's `model_index.json`: the names and classes of its components.

    Raises:
        LoadError: `source` is neither a pipeline folder nor a hub id that can be reached or is cached.
    """
    return json.loads(fetch(source, "model_index.json", revision=revision).read_text(encoding="utf-8"))


def fetch(source: str | Path, name: str, *, revision: str | None = None) -> Path:
    """One file of a pipeline, from its folder, the hub cache or the hub. Raises `LoadError` where there is none."""
    folder = Path(source)
    if folder.is_dir():
        if not (folder / name).is_file():
            raise LoadError(f"{folder} is not a whole pipeline folder: it has no {name}.")
        return folder / name
    if not _HUB_ID.fullmatch(str(source)):
        raise LoadError(
            f"expected a pipeline folder or a hub id such as Wan-AI/Wan2.2-TI2V-5B-Diffusers, got {source}, which is"
            " neither."
        )
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(str(source), name, revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        if _asks_for_login(error):
            raise LoadError(
                f"{source} is gated, private or not there for you: the hub answered that you may not read it. Log in"
                f" (hf auth login) and accept the terms at https://huggingface.co/{source}, or check the id."
            ) from error
        raise LoadError(
            f"{name} of {source} is neither in the local hub cache nor could it be fetched"
            f" ({type(error).__name__}). Check the id and the network, or give a local folder."
        ) from error


def _asks_for_login(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is an answer of the hub's that somebody else may read this (401, 403)."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403):
            return True
        error = error.__cause__ or error.__context__
    return False


def weights_variant(folder: Path) -> str | None:
    """The variant ("fp16") of which alone the weights in a component's folder are; None where there are others too."""
    files = [file.name for file in folder.glob("*") if file.suffix in (".safetensors", ".bin")]
    kinds = {match[1] if (match := _VARIANT.search(name)) else None for name in files}
    return next(iter(kinds)) if len(kinds) == 1 else None


def missing_for_sentencepiece() -> list[str]:
    """What Python lacks of what transformers reads a bare SentencePiece file with, as pip calls it."""
    lacking = []
    for package, module in (("sentencepiece", "sentencepiece"), ("protobuf", "google.protobuf")):
        try:
            found = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:  # not even the package around it
            found = False
        if not found:
            lacking.append(package)
    return lacking


def unreadable_tokenizers(source: str | Path, index: dict[str, Any], *, revision: str | None = None) -> str | None:
    """Why tokenizers of a pipeline cannot be read here, and what to install; None if they can.

    transformers' own message about a bare `spiece.model`, as CogVideoX-2B has it, asks for tiktoken, which does not
    help.
    """
    lacking = missing_for_sentencepiece()
    if not lacking:
        return None

    def there(name: str) -> bool:
        try:
            return fetch(source, name, revision=revision).is_file()
        except LoadError:
            return False

    for part in (name for name, entry in index.items() if name.startswith("tokenizer") and entry and entry[0]):
        for file in ("spiece.model", "tokenizer.model", "sentencepiece.bpe.model"):
            if not there(f"{part}/tokenizer.json") and there(f"{part}/{file}"):
                return (
                    f"the {part} of {source} is a bare {file}, which is read with sentencepiece and protobuf, and this"
                    f" Python lacks {' and '.join(lacking)}: pip install sentencepiece protobuf"
                )
    return None


def load(
    source: str | Path,
    *,
    text_only: bool = False,
    dtype: str | None = None,
    device: str | None = None,
    revision: str | None = None,
    offload: Offload | None = None,
    variant: str | None = None,
) -> Any:
    """Load a diffusers pipeline.

    Args:
        source: A folder written by `save_pretrained`, or a hub id.
        text_only: Leave out everything but tokenizers and text encoders, which is all that a fit uses; the rest is not
            even downloaded.
        dtype: One of `DTYPES`; default is what the files hold.
        device: Where to compute, such as "cuda", or "balanced" to spread the components over all GPUs; text encoders
            alone go to one.
        revision: Branch, tag or commit of the hub repository.
        offload: Keep components in main memory and bring them to `device` when they run: one "model" at a time, in
            "group"s of layers, or layer by layer ("sequential").
        variant: Which of several weight files to read ("fp16" for `*.fp16.safetensors`). In a folder that has no
            others they are found.

    Raises:
        LoadError: there is no such pipeline, or an argument does not fit.
    """
    import torch

    if dtype is not None and dtype not in DTYPES:
        raise LoadError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r}.")
    if offload is not None and device == "balanced":
        raise LoadError("offloading and device 'balanced' exclude each other; leave one of them out.")
    kind = None if dtype is None else getattr(torch, dtype)
    index = model_index(source, revision=revision)
    reason = unreadable_tokenizers(source, index, revision=revision)
    if reason is not None:
        raise LoadError(f"{reason}.")
    if text_only:
        pipe = _text_part(source, index, kind, revision, variant)
    else:
        from diffusers import DiffusionPipeline

        options: dict[str, Any] = {} if kind is None else {_dtype_name(): kind}
        if device == "balanced":
            options["device_map"] = "balanced"
        found = {weights_variant(Path(source) / name) for name in index} - {None}
        if variant or found:
            options["variant"] = variant or next(iter(found))
        pipe = DiffusionPipeline.from_pretrained(source, revision=revision, **options)
    pipe.set_progress_bar_config(disable=True)
    if offload is not None:
        start_offload(pipe, offload, device)
        return pipe
    if text_only and device == "balanced":  # nothing to spread, but a fit on the processor would take hours
        accelerator = torch.accelerator.current_accelerator()
        return pipe if accelerator is None else pipe.to(accelerator)
    return pipe if device in (None, "balanced") else pipe.to(device)


def _text_part(source: str | Path, index: dict[str, Any], dtype: Any, revision: str | None, variant: str | None) -> Any:
    """The pipeline with tokenizers, text encoders and scheduler alone, part by part.

    `DiffusionPipeline.from_pretrained` loads a component that is optional (Wan's transformer) even if told not to.
    """
    import diffusers
    import transformers

    pipeline = getattr(diffusers, index["_class_name"], None)
    if pipeline is None:
        raise LoadError(
            f"{source} is a {index['_class_name']}, which this diffusers ({diffusers.__version__}) does not have."
        )
    parts: dict[str, Any] = {}
    for name in inspect.signature(pipeline.__init__).parameters:
        entry = index.get(name)
        if name == "self" or name not in index:
            continue
        if not isinstance(entry, list):
            parts[name] = entry  # a setting of the pipeline, such as expand_timesteps
        elif entry[0] is None or not (_TEXT.fullmatch(name) or name == "scheduler"):
            parts[name] = None
        else:
            cls = getattr(diffusers if entry[0] == "diffusers" else transformers, entry[1])
            weights: dict[str, Any] = {}
            if name.startswith("text_encoder"):
                weights = {} if dtype is None else {"dtype": dtype}
                chosen = variant or weights_variant(Path(source) / name)
                weights |= {"variant": chosen} if chosen else {}
            parts[name] = cls.from_pretrained(source, subfolder=name, revision=revision, **weights)
    try:
        return pipeline(**parts)
    except AttributeError:  # HunyuanVideo-1.5 reads the configuration of its VAE while it is built
        absent = {n: index[n] for n in parts if parts[n] is None and n in ("transformer", "vae") and index[n][0]}
        shapes = {name: _without_weights(source, name, entry[1], revision) for name, entry in absent.items()}
        pipe = pipeline(**{**parts, **shapes})
        pipe.register_modules(**dict.fromkeys(shapes))
        return pipe


def _without_weights(source: str | Path, name: str, cls: str, revision: str | None) -> Any:
    """A network of diffusers on the meta device, which has its configuration and no memory."""
    import diffusers
    import torch

    config = json.loads(fetch(source, f"{name}/config.json", revision=revision).read_text(encoding="utf-8"))
    with torch.device("meta"):
        return getattr(diffusers, cls).from_config(config)


def _dtype_name() -> str:
    """diffusers called it `torch_dtype` until 0.41 and warns about that since."""
    import diffusers

    major, minor = (int(part) for part in diffusers.__version__.split(".")[:2])
    return "dtype" if (major, minor) >= (0, 42) else "torch_dtype"


def start_offload(pipe: Any, offload: Offload, device: str | None = None) -> None:
    """Switch one of diffusers' ways of offloading on; `device` is where to compute (default: the GPU).

    Raises:
        LoadError: this diffusers cannot offload in groups here.
    """
    import torch

    target = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if offload == "model":
        pipe.enable_model_cpu_offload(device=target)
        return
    if offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=target)
        return
    try:
        pipe.enable_group_offload(
            onload_device=target, offload_device=torch.device("cpu"), offload_type="block_level", num_blocks_per_group=1
        )
    except AttributeError as error:
        if torch.accelerator.current_accelerator() is not None:
            raise
        # diffusers 0.36 asks for the type of the machine's accelerator before it looks at the device it was given
        raise LoadError(
            "this diffusers can offload in groups only on a machine with an accelerator, and this one has none. Use"
            " offload 'model', or a newer diffusers."
        ) from error
