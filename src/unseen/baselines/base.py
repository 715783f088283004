"""What every method's fit ends in: frozen, kept in two files, put on a pipeline for the length of a `with` block."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor

from ..clear import validation
from ..concept import Concept
from ..encoder.fingerprint import fingerprint
from ..errors import DamagedFileError, EraserError, UnseenError, WrongEncoderError
from ..files import read_pair, write_pair
from ..pipelines import text_path
from ..runtime.chokepoints.guard import Guard
from ..runtime.chokepoints.interception import Interceptor

FORMAT_VERSION = 1
_STEM = "unseen_method"
_SCHEMA: dict[str, type] = {"method": str, "concepts": list, "settings": dict, "encoder_fingerprint": str}


@dataclass(frozen=True)
class FittedBaseline:
    """A fitted method. Its tensors are copied, and kept in float32 on the CPU.

    Raises:
        EraserError: a field has another type than is said here, a setting is not of its method, or a number is not
            finite.
    """

    method: str
    """Its name in `unseen.baselines.BASELINES`."""
    concepts: tuple[Concept, ...]
    """What it removes."""
    settings: Mapping[str, Any]
    """Constants that it was fitted with or is applied with; JSON-able."""
    encoder_fingerprint: str
    """Of the text encoder it was fitted on; another one is refused."""
    tensors: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    """What it learned."""

    def __post_init__(self) -> None:
        from . import BASELINES

        if not isinstance(self.method, str) or self.method not in BASELINES:
            raise EraserError(f"method must be one of {', '.join(BASELINES)}, got {self.method!a:.80}. Fit it again.")
        concepts = tuple(validation.concept(concept) for concept in self.concepts)
        if not concepts:
            raise EraserError(f"{self.method} needs at least one concept, got none. Fit it again.")
        if not isinstance(self.tensors, Mapping) or not all(isinstance(name, str) for name in self.tensors):
            raise EraserError("tensors must be a dictionary of tensors by name. Fit it again.")
        kept = {
            "concepts": concepts,
            "settings": _checked_settings(self.method, self.settings, BASELINES[self.method].settings),
            "encoder_fingerprint": validation.digest("encoder_fingerprint", self.encoder_fingerprint),
            "tensors": {name: validation.tensor(name, tensor) for name, tensor in self.tensors.items()},
        }
        for name, value in kept.items():
            object.__setattr__(self, name, value)

    @property
    def key(self) -> str:
        """Short digest: two artefacts with the same key do the same."""
        facts = [self.method, [asdict(c) for c in self.concepts], dict(self.settings), self.encoder_fingerprint]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode() + save(dict(self.tensors))).hexdigest()[:16]

    def put_on(self, pipe: Any, stack: ExitStack) -> Interceptor | Guard | None:
        """For `unseen.attach`, which puts baselines on pipelines: what comes between the pipeline and its encoding.

        Raises:
            WrongEncoderError: it was fitted on another text encoder.
        """
        from . import BASELINES

        actual = fingerprint(text_path(pipe).encoder)
        if actual != self.encoder_fingerprint:
            raise WrongEncoderError(
                f"{self.method} for {self.names} was fitted on the text encoder {self.encoder_fingerprint[:12]}, this"
                f" pipeline has {actual[:12]}. Fit it on this pipeline."
            )
        return BASELINES[self.method].put_on(pipe, self, stack)

    def with_settings(self, **settings: Any) -> FittedBaseline:
        """The same artefact applied with other constants. Raises `ValueError` for one that the method does not have."""
        _refuse_unknown(self.method, settings, self.settings)
        return replace(self, settings={**self.settings, **settings})

    @property
    def names(self) -> str:
        """The concepts in words."""
        return ", ".join(concept.name for concept in self.concepts)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `unseen_method.json` and `unseen_method.safetensors` into `folder`."""
        facts = {
            "method": self.method,
            "concepts": [asdict(concept) for concept in self.concepts],
            "settings": dict(self.settings),
            "encoder_fingerprint": self.encoder_fingerprint,
        }
        write_pair(folder, _STEM, FORMAT_VERSION, facts, self.tensors)

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> FittedBaseline:
        """Load an artefact.

        Raises:
            DamagedFileError: a file is missing, is not what `save_pretrained` writes, was changed afterwards, or is of
                another version.
        """
        facts, tensors = read_pair(folder, _STEM, FORMAT_VERSION, _SCHEMA)
        try:
            concepts = tuple(validation.concept_of(concept) for concept in facts["concepts"])
            return cls(facts["method"], concepts, facts["settings"], facts["encoder_fingerprint"], tensors)
        except UnseenError as error:
            raise DamagedFileError(f"{Path(folder) / _STEM}.json: {error}") from error


def _checked_settings(method: str, given: Any, known: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a method, each of the type of its default."""
    settings = validation.json_object("settings", dict(given) if isinstance(given, Mapping) else given)
    if wrong := sorted(set(settings) ^ set(known)):
        raise EraserError(f"{method} has the settings {', '.join(known) or 'none'}; {wrong[0]!a:.80} is wrong there.")
    for name, default in known.items():
        number = isinstance(default, int | float) and not isinstance(default, bool)
        kinds = (int, float) if number else (type(default),)
        if not isinstance(settings[name], kinds) or isinstance(settings[name], bool) != isinstance(default, bool):
            raise EraserError(
                f"{method}'s {name} must be like its default {default!r}, got {settings[name]!a:.80}. Fit it again."
            )
    return settings


def _refuse_unknown(method: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(f"{method} has no setting {unknown[0]!r}; it has {', '.join(known) or 'none'}.")


class Baseline(NamedTuple):
    """One way to keep concepts out of what a pipeline draws."""

    name: str
    settings: Mapping[str, Any]
    """Default constants, and with them all that may be set."""
    learn: Callable[..., Mapping[str, Tensor]]
    """`learn(pipe, concepts, settings, seed, progress)`: the tensors of the artefact."""
    put_on: Callable[[Any, FittedBaseline, ExitStack], Interceptor | Guard | None]
    """`put_on(pipe, fitted, stack)`: enters what it changes into `stack`, returns what comes between the pipeline and
    its `encode_prompt`, if anything."""
    text_only: bool
    """Whether it acts through the prompt's embeddings alone."""

    @torch.inference_mode(False)  # some methods are trained by autograd, which the caller may have switched off
    @torch.enable_grad()
    def fit(
        self,
        pipe: Any,
        concepts: Sequence[Concept | str] | Concept | str,
        *,
        seed: int = 0,
        progress: bool = True,
        **settings: Any,
    ) -> FittedBaseline:
        """Fit the method for one or several concepts; `settings` replace its constants.

        Raises:
            ValueError: no concept, or a setting that the method does not have.
        """
        given = [concepts] if isinstance(concepts, Concept | str) else list(concepts)
        wanted = tuple(Concept(concept) if isinstance(concept, str) else concept for concept in given)
        if not wanted:
            raise ValueError(f"expected at least one concept for {self.name}, got none.")
        _refuse_unknown(self.name, settings, self.settings)
        used = {**self.settings, **settings}
        tensors = self.learn(pipe, wanted, used, seed, progress)
        return FittedBaseline(self.name, wanted, used, fingerprint(text_path(pipe).encoder), tensors)


def nothing_to_learn(
    pipe: Any, concepts: Sequence[Concept], settings: Mapping[str, Any], seed: int, progress: bool
) -> dict[str, Tensor]:
    """For methods that need no fit."""
    return {}
