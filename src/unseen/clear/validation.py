"""What an eraser may hold, checked when it is made, so that nothing that cannot work gets as far as a pipeline.

A comparison with NaN is false, an empty matrix multiplies without complaint: what is wrong in an eraser would
otherwise show as a concept that is not erased. Every function returns the value in the form that is kept, or raises
`EraserError`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from ..concept import Concept
from ..encoder.layers import EMBEDDING
from ..errors import EraserError

MAX_LAYER = 9_999
"""Deeper than any text encoder; which layers there are is known when an eraser meets its encoder."""
MAX_LENGTH = 1_000_000
_TINY = 1e-30
_DO = "Fit it again, or save it again from a whole copy."


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """Every field of an eraser as it is to be kept; `k` and `d` are those of `W_dec`."""
    k, d = matrix_size("W_dec", given["W_dec"])
    shapes: dict[str, tuple[int, ...]] = {
        "W_enc": (d, k), "b_enc": (k,), "W_dec": (k, d), "mask": (k,), "b_dec": (d,), "scale": (), "gate": (k + 1,),
        "target": (d,), "mean_edit": (d,),
    }  # fmt: skip
    if given["witness"] is not None:
        shapes["witness"] = (d,)
    kept: dict[str, Any] = {name: tensor(name, given[name], shape) for name, shape in shapes.items()}
    within("mask", kept["mask"], 0, 1, what="from 0 to 1")
    within("the largest of mask", kept["mask"].max(), _TINY, 1, what="above 0, or nothing is erased")
    within("scale", kept["scale"], _TINY, math.inf, what="above 0")
    within("the weights of gate", kept["gate"][:-1], 0, math.inf, what="≥ 0")
    return kept | {
        "concept": concept(given["concept"]),
        "layer": whole_number("layer", given["layer"], EMBEDDING, MAX_LAYER),
        "strength": number("strength", given["strength"], zero=True),
        "unit_firing": number("unit_firing", given["unit_firing"], zero=False),
        "max_length": whole_number("max_length", given["max_length"], 1, MAX_LENGTH),
        "encoder_fingerprint": digest("encoder_fingerprint", given["encoder_fingerprint"]),
        "encoder_architecture": digest("encoder_architecture", given["encoder_architecture"], empty=True),
        "mentions": truth("mentions", given["mentions"]),
        "report": json_object("report", given["report"]),
    }


def whole_number(name: str, value: Any, least: int, most: int) -> int:
    """A whole number from `least` to `most`; True and 3.0 are none."""
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) <= most:
        raise EraserError(f"{name} must be a whole number from {least} to {most}, got {_short(value)}. {_DO}")
    return int(value)


def number(name: str, value: Any, *, zero: bool) -> float:
    """A finite number ≥ 0, or > 0 where `zero` is not allowed; True is none."""
    bound = "≥ 0" if zero else "> 0"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise EraserError(f"{name} must be a number {bound}, got {_short(value)}. {_DO}")
    try:
        kept = float(value)
    except OverflowError:
        kept = math.inf
    if not math.isfinite(kept) or kept < 0 or (kept == 0 and not zero):
        raise EraserError(f"{name} must be a finite number {bound}, got {_short(value)}. {_DO}")
    return kept


def truth(name: str, value: Any) -> bool:
    """True or False, and nothing that only counts as such."""
    if not isinstance(value, bool):
        raise EraserError(f"{name} must be True or False, got {_short(value)}. {_DO}")
    return value


def concept(value: Any) -> Concept:
    """A `Concept` whose names can be written down (a lone surrogate cannot)."""
    if not isinstance(value, Concept):
        raise EraserError(f"concept must be an unseen.Concept, got {_short(value)}. Pass Concept(name).")
    for name in (*value.names, value.replace_with or ""):
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise EraserError(f"a concept's name must be valid Unicode text, got {name!a}. {_DO}") from error
    return value


def concept_of(facts: Any) -> Concept:
    """A concept from the JSON object that it was written as. Raises `EraserError` or `ConceptError`."""
    types: dict[str, type | tuple[type, ...]] = {
        "name": str, "kind": str, "synonyms": list, "replace_with": (str, type(None))
    }  # fmt: skip
    if not isinstance(facts, dict) or set(facts) != set(types):
        raise EraserError(f"a concept must be an object with {', '.join(types)}. Save it again.")
    for name, kind in types.items():
        if not isinstance(facts[name], kind):
            raise EraserError(f"a concept's {name} must not be a {type(facts[name]).__name__}. Save it again.")
    return Concept(**{**facts, "synonyms": tuple(facts["synonyms"])})


def digest(name: str, value: Any, *, empty: bool = False) -> str:
    """64 hexadecimal digits; or none at all, where `empty` is allowed."""
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value or "0" * 64 * empty):
        raise EraserError(
            f"{name} must be 64 hexadecimal digits, got {_short(value)}. Take it from"
            f" unseen.encoder.fingerprint.{name.removeprefix('encoder_')}(encoder)."
        )
    return value


def json_object(name: str, value: Any) -> dict[str, Any]:
    """A dictionary that JSON can hold, copied."""
    if not isinstance(value, dict):
        raise EraserError(f"{name} must be a dictionary, got {_short(value)}. {_DO}")
    try:
        return json.loads(json.dumps(value, allow_nan=False, ensure_ascii=False).encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise EraserError(f"{name} must hold what JSON can hold, and does not ({_short(error)}). {_DO}") from error


def tensor(name: str, value: Any, shape: Sequence[int] | None = None) -> Tensor:
    """A copy in float32 on the CPU, detached and contiguous, of a finite floating tensor of `shape` (None: any)."""
    if not isinstance(value, Tensor):
        raise EraserError(f"{name} must be a tensor, got {_short(value)}. {_DO}")
    if not value.is_floating_point() or value.is_meta or value.layout != torch.strided:
        raise EraserError(
            f"{name} must be a dense floating-point tensor with values, got {value.dtype} on {value.device}. {_DO}"
        )
    if shape is not None and tuple(value.shape) != tuple(shape):
        raise EraserError(f"{name} must have shape {list(shape)}, got {list(value.shape)}. {_DO}")
    with torch.inference_mode(False):  # what inference_mode makes cannot be used outside of it
        kept = value.detach().to("cpu", torch.float32, copy=True).contiguous()
    if not torch.isfinite(kept).all():
        raise EraserError(f"{name} must be finite, and holds NaN or infinity. {_DO}")
    return kept


def matrix_size(name: str, value: Any) -> tuple[int, int]:
    """Rows and columns of a matrix with at least one of each."""
    if not isinstance(value, Tensor) or value.dim() != 2 or 0 in value.shape:
        came = list(value.shape) if isinstance(value, Tensor) else _short(value)
        raise EraserError(f"{name} must have shape [features, width], both at least 1, got {came}. {_DO}")
    return value.shape[0], value.shape[1]


def within(name: str, value: Tensor, low: float, high: float, *, what: str) -> None:
    """Refuses a finite tensor with a value outside `low` to `high`; `what` says in words where it must be."""
    if not bool(((value >= low) & (value <= high)).all()):
        raise EraserError(
            f"{name} must be {what}, got values from {float(value.min()):g} to {float(value.max()):g}. {_DO}"
        )


def _short(value: Any) -> str:
    try:
        text = str(value) if isinstance(value, Exception) else ascii(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, a list inside itself
        text = f"a {type(value).__name__} too large to show"
    return text if len(text) <= 80 else text[:77] + "..."
