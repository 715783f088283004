"""Detectors by name: our own, and those that other packages bring through the entry point group `unseen.detectors`."""

from __future__ import annotations

import importlib
import importlib.metadata
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from unseen.detectors.base import Detector, DetectorCard, FrameDetector
from unseen.errors import DetectorError

GROUP = "unseen.detectors"
BUILT_IN: Mapping[str, str] = {
    "imagenet": "unseen.detectors.imagenet:imagenet",
    "nudenet": "unseen.detectors.nudenet:nudenet",
    "nsfw": "unseen.detectors.nsfw:nsfw",
    "face": "unseen.detectors.face:face",
    "style": "unseen.detectors.style:style",
    "classifier": "unseen.detectors.classifier:classifier",
    "zero-shot": "unseen.detectors.zero_shot:zero_shot",
    "judge": "unseen.detectors.judge:judge",
}
"""Where each of ours is made; nothing is imported before it is asked for."""


def _plugins() -> dict[str, importlib.metadata.EntryPoint]:
    return {entry.name: entry for entry in importlib.metadata.entry_points(group=GROUP)}


def available_detectors() -> tuple[str, ...]:
    """Names that `load_detector` knows. Some need an extra of this package, weights, or a model from the hub."""
    return tuple(sorted({*BUILT_IN, *_plugins()}))


def load_detector(name: str, **options: Any) -> Detector:
    """Load a detector.

    Args:
        name: One of `available_detectors()`; "name:0.2" is short for `threshold=0.2`.
        options: What the detector takes beside, see its page in docs/detectors.md.

    Raises:
        DetectorError: there is none of this name, it does not take these options, or something that it needs is
            missing; the message says what to install.
    """
    plain, colon, threshold = name.partition(":")
    if colon:
        if "threshold" in options:
            raise DetectorError(f"expected one threshold, got {name!r} and threshold={options['threshold']}.")
        try:
            options["threshold"] = float(threshold)
        except ValueError:
            raise DetectorError(
                f"expected a threshold after the colon, as in {plain}:0.2, got {threshold!r}."
            ) from None
    made = _maker(plain)
    _check_options(plain, made, options)
    detector = made(**options)
    if not isinstance(detector, Detector):
        raise DetectorError(
            f"the entry point {plain!r} gave a {type(detector).__name__}, which is no detector: it must be callable and"
            " have a `card`."
        )
    return detector


def _maker(name: str) -> Callable[..., Any]:
    """The function that makes a detector from options."""
    if name in BUILT_IN:
        module, _, function = BUILT_IN[name].partition(":")
        return getattr(importlib.import_module(module), function)
    entry = _plugins().get(name)
    if entry is None:
        raise DetectorError(
            f"there is no detector {name!r}; there are {', '.join(available_detectors())}. Packages add theirs through"
            f" the entry point group {GROUP}."
        )
    try:
        made = entry.load()
    except (ImportError, AttributeError) as error:
        raise DetectorError(
            f"the detector {name!r} is entered as {entry.value}, which does not load: {error}."
        ) from error
    return _adapter(name, made) if _reads_frames(made) else made


def _check_options(name: str, made: Callable[..., Any], options: Mapping[str, Any]) -> None:
    taken = inspect.signature(made).parameters
    loose = any(each.kind is each.VAR_KEYWORD for each in taken.values())
    unknown = [] if loose else [option for option in options if option not in taken]
    if unknown:
        raise DetectorError(
            f"the detector {name!r} does not take {', '.join(unknown)}; it takes {', '.join(taken) or 'no options'}."
        )
    needed = [each.name for each in taken.values() if each.default is each.empty and each.kind is each.KEYWORD_ONLY]
    absent = [each for each in needed if each not in options]
    if absent:
        raise DetectorError(
            f"the detector {name!r} needs {' and '.join(absent)}: load_detector({name!r}, {absent[0]}=…)."
        )
    limit = options.get("threshold", 0.5)
    if not isinstance(limit, (int, float)) or not 0 <= limit <= 1:
        raise DetectorError(f"expected a threshold from 0 to 1, got {limit!r}.")


def _reads_frames(made: Any) -> bool:
    """Whether an entry point is itself a function of frames, not one that makes a detector from options."""
    if isinstance(made, Detector) and not inspect.isclass(made):
        return True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(made).parameters.values()
    return sum(each.default is each.empty and each.kind in positional for each in parameters) == 1


def _adapter(name: str, function: Any) -> Callable[..., Detector]:
    if isinstance(function, Detector):
        return lambda: function
    return lambda *, threshold=0.5: from_callable(name, function, threshold=threshold)


def from_callable(
    name: str,
    function: Callable[[np.ndarray], np.ndarray],
    *,
    classes: tuple[str, ...] = (),
    threshold: float = 0.5,
    version: str = "",
    licence: str = "",
) -> FrameDetector:
    """A detector from a plain function of frames.

    Args:
        name: What it is called in tables; also its only class unless `classes` says otherwise.
        function: From uint8 `[n, H, W, 3]` to bool or probabilities, `[n]` or `[n, classes]`.
        classes: What the columns of its answers stand for.
        threshold: From which probability a frame shows a class.
        version: Of the function or its weights, for the tables.
        licence: Likewise.
    """
    classes = classes or (name,)
    return FrameDetector(DetectorCard(name, version, classes, dict.fromkeys(classes, threshold), licence), function)
