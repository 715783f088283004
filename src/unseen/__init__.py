"""unseen: erase concepts from text-to-video diffusion pipelines."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "clear.config": ("ClearConfig",),
    "clear.eraser": ("ClearEraser",),
    "clear.fit": ("fit",),
    "clear.many": ("fit_many",),
    "clear.packs": ("load_erasers", "push_to_hub", "save_erasers"),
    "concept": ("Concept", "PromptPair"),
    "errors": (
        "AlreadyAttachedError",
        "AuditError",
        "ConceptError",
        "ConceptWarning",
        "DamagedFileError",
        "EraserBypassedError",
        "EraserError",
        "FitError",
        "FitWarning",
        "GuidanceNeededError",
        "LoadError",
        "NonFiniteError",
        "PromptFileError",
        "StaleCopyError",
        "UnguardedInputError",
        "UnseenError",
        "UnsupportedEncoderError",
        "UnsupportedPipelineError",
        "WrongEncoderError",
    ),
    "prompts.files": ("load_pairs", "load_prompts"),
    "prompts.pack": ("ConceptPack", "load_pack"),
    "pipelines": ("load", "text_encoders"),
    "runtime.attach": ("attach", "guard_encoder"),
    "runtime.embeddings": ("Embeddings",),
    "runtime.habits": (
        "disable_erasers",
        "enable_erasers",
        "eraser_handle",
        "get_active_erasers",
        "load_eraser",
        "set_erasers",
        "unload_erasers",
    ),
    "runtime.handle": ("Firing", "Handle", "Status"),
}
"""Public names, by the module that defines them; `__init__.pyi` is the same table for type checkers."""

_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import unseen` itself costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
