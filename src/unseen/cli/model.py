"""Which pipeline a command works on, and loading it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from unseen.cli.commands import UsageError, refuse_idle, require_extra
from unseen.cli.options import changed, option

DIORAMA = {None: "wan", "diorama-wan": "wan", "diorama-cogvideox": "cogvideox"}
"""What `--model` may be for one of Diorama's two models."""
DType = Literal["float32", "float16", "bfloat16"]
_DEVICES = ("cpu", "cuda", "mps", "xpu")


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """A diffusers pipeline, or one of the two that are built in."""

    model: str | None = option(None, metavar="ID")
    """A diffusers pipeline: a folder, a hub id, or one of the built-in diorama-wan (the default) and
    diorama-cogvideox."""
    revision: str | None = option(None, metavar="REF")
    """Branch, tag or commit on the hub."""
    dtype: DType | None = None
    """Of the weights (default: as stored)."""
    device: str | None = option(None, metavar="D")
    """"cuda", "cpu", ... or "balanced" over all GPUs (default: cpu)."""


def check_model(options: ModelOptions) -> None:
    """Refuse, before anything is loaded, what would do nothing and devices that are not there."""
    if options.model in DIORAMA:
        refuse_idle(changed(options, "revision", "dtype", "device"), "--model ID (Diorama runs as it is)")
    require_device("--device", options.device)


def require_device(name: str, device: str | None) -> None:
    """Refuse a device that torch does not know or this machine does not have."""
    if device is None or device == "balanced":
        return
    import torch

    try:
        asked = torch.device(device)
    except RuntimeError:
        asked = None
    if asked is None or asked.type not in _DEVICES:
        raise UsageError(f"{name}: expected {', '.join(_DEVICES)}, a numbered one such as cuda:1, got {device!r}.")
    backend = {"cuda": torch.cuda, "mps": torch.backends.mps, "xpu": torch.xpu}.get(asked.type)
    count = torch.cuda.device_count() if asked.type == "cuda" else 1
    if backend is not None and (not backend.is_available() or (asked.index or 0) >= count):
        raise UsageError(
            f"{name}: this machine has no {device} that torch can use. Leave it out, or see unseen doctor."
        )


def load_model(options: ModelOptions, *, text_only: bool = False, offload: Any = None) -> Any:
    """The pipeline, or with `text_only` no more of it than a fit needs."""
    require_extra()
    if options.model in DIORAMA:
        from unseen.diorama import load_pipeline, load_text_encoder

        which: Any = DIORAMA[options.model]
        # a pair of tokenizer and encoder is taken to be Wan's kind, which hides padding
        return load_text_encoder() if text_only and which == "wan" else load_pipeline(which)
    from unseen.pipelines import load

    assert options.model is not None
    return load(
        options.model,
        text_only=text_only,
        dtype=options.dtype,
        device=options.device,
        revision=options.revision,
        offload=offload,
    )
