"""Diorama: two small text-to-video models that run on a laptop, trained on clips that this package draws.

They are a genuine `diffusers.WanPipeline` and a genuine `diffusers.CogVideoXPipeline`; what works on them works on Wan
and on CogVideoX.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "GENERATION": "model.pipeline",
    "load_pipeline": "model.pipeline",
    "load_text_encoder": "model.pipeline",
    "export": "model.pipeline",
    "generate": "model.pipeline",
    "as_uint8": "model.pipeline",
    "load_detector": "detector.detector",
    "Scene": "world.scenes",
    "render": "world.render",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    # loaded when asked for: drawing needs OpenCV, generating needs diffusers, neither needs the other
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
