"""unseen: erase concepts from text-to-video diffusion pipelines."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .attach import attach as attach

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .backbones import load as load
    from .backbones import text_encoders as text_encoders
    from .clear.attachment import Firing as Firing
    from .clear.attachment import Handle as Handle
    from .clear.config import ClearConfig as ClearConfig
    from .clear.eraser import ClearEraser as ClearEraser
    from .clear.fit import fit as fit
    from .clear.fitter import ClearFitter as ClearFitter
    from .clear.many import fit_many as fit_many
    from .concept import Concept as Concept
    from .concept import PromptPair as PromptPair
    from .concept import load_pairs as load_pairs
    from .errors import AlreadyAttachedError as AlreadyAttachedError
    from .errors import ConceptError as ConceptError
    from .errors import DamagedFileError as DamagedFileError
    from .errors import EraserBypassedError as EraserBypassedError
    from .errors import FitError as FitError
    from .errors import GuidanceNeededError as GuidanceNeededError
    from .errors import LoadError as LoadError
    from .errors import PromptFileError as PromptFileError
    from .errors import UnguardedInputError as UnguardedInputError
    from .errors import UnseenError as UnseenError
    from .errors import UnsupportedEncoderError as UnsupportedEncoderError
    from .errors import UnsupportedPipelineError as UnsupportedPipelineError
    from .errors import WrongEncoderError as WrongEncoderError

_HOME = {
    "Concept": "concept",
    "PromptPair": "concept",
    "load_pairs": "concept",
    "text_encoders": "backbones",
    "load": "backbones",
    "Handle": "clear.attachment",
    "Firing": "clear.attachment",
    "ClearConfig": "clear.config",
    "ClearEraser": "clear.eraser",
    "ClearFitter": "clear.fitter",
    "fit": "clear.fit",
    "fit_many": "clear.many",
    **dict.fromkeys(
        (
            "UnseenError",
            "ConceptError",
            "PromptFileError",
            "UnsupportedEncoderError",
            "UnsupportedPipelineError",
            "FitError",
            "GuidanceNeededError",
            "LoadError",
            "WrongEncoderError",
            "DamagedFileError",
            "AlreadyAttachedError",
            "EraserBypassedError",
            "UnguardedInputError",
        ),
        "errors",
    ),
}

__all__ = ["__version__", "attach", *_HOME]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import unseen` itself costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
