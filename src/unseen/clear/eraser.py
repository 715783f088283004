"""The eraser that ships: the selected features of one layer, and the edit `h' = h − γ W_dec (f ⊙ m_spec)`.

Frozen and small (kilobytes). Tokens on which no selected feature is active are returned as they came, bit for bit, and
so is every prompt that does not open the gate. What cannot work is refused when an eraser is made, and what cannot be
computed when it acts: nothing passes because a comparison with NaN is false.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from safetensors.torch import save
from torch import Tensor, nn

from ..concept import Concept
from ..encoder.activations import PromptForm, encode_blocks
from ..encoder.layers import layer_name
from ..errors import DamagedFileError, NonFiniteError, UnseenError
from ..files import read_pair, require_schema, write_pair
from ..hub import fetched
from . import validation
from .stored import FILES as FILES
from .stored import FORMAT_VERSION as FORMAT_VERSION
from .stored import MAX_WEIGHTS, SCHEMA, STEM, TENSORS, WITNESS
from .stored import METADATA_FILE as METADATA_FILE
from .stored import WEIGHTS_FILE as WEIGHTS_FILE
from .witness import edited_witness, failure_on_witness


class Delta(NamedTuple):
    """What an eraser wants to change in one batch of hidden states."""

    change: Tensor
    """To be added to the hidden states, `[batch, tokens, d]`, float32; zero where nothing is touched. Not to be written
    to."""
    touched: Tensor
    """Tokens that are changed at all, `[batch, tokens]`, bool."""
    activity: Tensor
    """Norm of the selected features' activations, in units of its mean on the concept's own tokens, `[batch,
    tokens]`."""


class _Numbers(NamedTuple):
    """An eraser's tensors on one device."""

    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    mask: Tensor
    b_dec: Tensor
    scale: Tensor
    gate: Tensor
    target: Tensor
    mean_edit: Tensor


@dataclass(frozen=True, eq=False)
class ClearEraser:
    """Erases one concept at one layer. Made by `unseen.fit`, or loaded with `from_pretrained`.

    Tensors are copied when an eraser is made, and kept in float32 on the CPU.

    Raises:
        EraserError: a field has another type or shape than is said here, or a number is not finite or out of range.
    """

    concept: Concept
    """What is erased."""
    layer: int
    """Index of the layer whose output is edited, 0..L−1, or −1 for the embedding output."""
    strength: float
    """Erasure strength γ ≥ 0; 1 subtracts what the features reconstruct, 0 changes nothing."""
    encoder_fingerprint: str
    """`unseen.encoder.fingerprint` of the encoder the eraser was fitted on, 64 hexadecimal digits."""
    W_enc: Tensor = field(repr=False)
    """Encoder of the selected features, `[d, k]`, k ≥ 1."""
    b_enc: Tensor = field(repr=False)
    """Encoder bias, `[k]`."""
    W_dec: Tensor = field(repr=False)
    """Decoder rows, `[k, d]`."""
    mask: Tensor = field(repr=False)
    """Specificity `m_spec` of the selected features, in [0, 1] and not all zero, `[k]`."""
    b_dec: Tensor = field(repr=False)
    """Mean output of the layer, `[d]`."""
    scale: Tensor = field(repr=False)
    """Scale of the layer's output, > 0, `[]`."""
    gate: Tensor = field(repr=False)
    """Non-negative weights on each feature's maximum over the prompt, and last the threshold, `[k + 1]`. All weights
    zero and a negative threshold: always open."""
    target: Tensor = field(repr=False)
    """T − h̄, `[d]`: mean state of what takes the concept's place less that of the concept's own tokens; zero where the
    concept is only subtracted."""
    mean_edit: Tensor = field(repr=False)
    """v̄, `[d]`: mean of what γ = 1 subtracts from the concept's own tokens; zero where `target` is."""
    witness: Tensor | None = field(default=None, repr=False)
    """A hidden state `[d]` of the concept's own on which the eraser must act: what is loaded is tried on it."""
    mentions: bool = False
    """Whether phrases that mean the concept in other words than its names are erased too, where the pipeline's video
    model can be asked (`unseen.runtime.rewriting.paraphrase`)."""
    unit_firing: float = 1.0
    """Mean norm of the activations on the concept's own tokens, the unit of `Delta.activity`."""
    max_length: int = 64
    """Tokens per prompt during the fit."""
    encoder_architecture: str = ""
    """`unseen.encoder.fingerprint.architecture` of that encoder, by which a copy with rounded weights is known; empty
    where nobody looked."""
    report: dict[str, Any] = field(default_factory=dict, repr=False)
    """How the fit went; JSON-able."""

    def __post_init__(self) -> None:
        for name, value in validation.checked({f.name: getattr(self, f.name) for f in fields(self)}).items():
            object.__setattr__(self, name, value)

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: copies on other devices stay where they are."""
        return {f.name: self.__dict__[f.name] for f in fields(self)}

    @property
    def num_features(self) -> int:
        """Number of selected features (k)."""
        return self.W_dec.shape[0]

    @property
    def name(self) -> str:
        """Name of the concept."""
        return self.concept.name

    @cached_property
    def key(self) -> str:
        """The beginning of `sha256`: two erasers with the same key make the same edit."""
        return self.sha256[:16]

    @property
    def sha256(self) -> str:
        """SHA-256 of weights, layer, strength and the concept's names, which open the gate: of all that acts. Keep it
        apart from the files, and `from_pretrained` refuses any other eraser in their place."""
        facts = [asdict(self.concept), self.layer, self.strength, self.unit_firing, self.mentions]
        return hashlib.sha256(save(self._tensors(TENSORS)) + json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def replacement_at(self, gamma: float) -> Tensor:
        """R(γ) `[d]`, added where the concept was erased at full activity.

        What γ leaves of the concept's mean state is h̄ − γ v̄. From γ = 1 on, R(γ) = T − (h̄ − γ v̄) leads from there to
        the mean state T of what takes its place. Below, the way from h̄ to T is gone in proportion to γ.
        """
        return min(gamma, 1.0) * self.target + gamma * self.mean_edit

    def active_features(self, hidden: Tensor, valid: Tensor | None = None) -> Tensor:
        """`f` `[..., tokens, k]` of layer outputs `[..., tokens, d]`, before mask and gate; zero outside `valid`.

        Raises:
            NonFiniteError: a hidden state (of a valid token) holds NaN or infinity.
        """
        own = self._on(hidden.device)
        before = (hidden.float() - own.b_dec) / own.scale @ own.W_enc + own.b_enc
        if valid is not None:  # what a model computes at masked padding may be anything
            before = before.masked_fill(~valid.to(hidden.device)[..., None], 0)
        # Checked here, where every coordinate has entered: a ReLU turns −∞ into "the concept is absent".
        self._require_finite(before, "the text encoder's hidden states")
        return torch.relu(before)

    def opens(self, maxima: Tensor) -> Tensor:
        """Whether the gate opens, `[...]`, for the maximum of each feature over a prompt `[..., k]`."""
        gate = self._on(maxima.device).gate
        return ~((maxima * gate[:-1]).sum(dim=-1) <= gate[-1])  # not `>`: what cannot be compared opens it

    def features(self, hidden: Tensor, valid: Tensor | None = None, named: Tensor | None = None) -> Tensor:
        """`f ⊙ m_spec` `[batch, tokens, k]` of layer outputs `[batch, tokens, d]`, zero where the gate is shut.

        `valid` `[batch, tokens]` marks the tokens that are no masked padding; padding neither fires nor opens the gate.
        `named` `[batch]` marks prompts that say a name of the concept: there it is open, whatever the features say.
        """
        f = self.active_features(hidden, valid)
        opened = self.opens(f.amax(dim=-2))
        if named is not None:
            opened = opened | named.to(hidden.device)
        return f * self._on(hidden.device).mask * opened[:, None, None]

    def delta(
        self,
        hidden: Tensor,
        valid: Tensor | None = None,
        strength: float | None = None,
        named: Tensor | None = None,
    ) -> Delta:
        """The change for layer outputs `[batch, tokens, d]` at `strength` (default: the eraser's own).

        Raises:
            NonFiniteError: the hidden states, or what is to be added to them, are not finite.
        """
        gamma = self.strength if strength is None else validation.number("strength", strength, zero=True)
        with torch.autocast(hidden.device.type, enabled=False):  # always in float32
            f = self.features(hidden, valid, named)
            activity = f.norm(dim=-1) / self.unit_firing
            touched = (f > 0).any(dim=-1) & (gamma > 0)
            change = f.new_zeros(()).expand(hidden.shape)
            if touched.any():
                change = f.new_zeros(hidden.shape)
                change[touched] = self._change(f[touched], activity[touched], gamma)
        return Delta(change, touched, activity)

    def _change(self, f: Tensor, activity: Tensor, gamma: float) -> Tensor:
        """What is added to tokens with masked features `[n, k]` and activity `[n]`, `[n, d]`."""
        own = self._on(f.device)
        change = -gamma * own.scale * (f @ own.W_dec)
        if self._replaces:
            change = change + activity.clamp(max=1)[:, None] * self.replacement_at(gamma).to(f.device)
        self._require_finite(change, f"the change that strength {gamma:g} makes")
        return change

    @cached_property
    def _replaces(self) -> bool:
        return bool(self.target.any() or self.mean_edit.any())

    def _require_finite(self, values: Tensor, what: str) -> None:
        if not torch.isfinite(values).all():
            raise NonFiniteError(
                f"{what} at {layer_name(self.layer)} are not finite, so {self.name!r} cannot be erased there."
                " Load the text encoder in bfloat16 or float32; float16 overflows in large encoders."
            )

    @cached_property
    def _copies(self) -> dict[torch.device, _Numbers]:
        return {}

    def _on(self, device: torch.device) -> _Numbers:
        """The tensors on `device`; carried there once."""
        if device not in self._copies:
            with torch.inference_mode(False):  # kept for calls that are not in inference mode
                self._copies[device] = _Numbers(*(getattr(self, name).to(device) for name in TENSORS))
        return self._copies[device]

    def with_strength(self, strength: float) -> ClearEraser:
        """The same eraser with another γ ≥ 0. Raises `EraserError` for anything else."""
        return replace(self, strength=strength)

    def explain(self, tokenizer: Any, encoder: nn.Module, prompt: str) -> list[tuple[str, float]]:
        """Every token of `prompt` with the activity of this eraser on it (0: left alone; 1: as on the concept itself).

        The prompt is taken as it comes; `Handle.explain` exchanges other words for the concept first.
        """
        tokens = encode_blocks(tokenizer, encoder, [prompt], PromptForm(self.max_length), layers=[self.layer])
        activity = self.delta(tokens.hidden).activity[0]
        names = tokenizer.convert_ids_to_tokens(tokens.token_id.tolist())
        return list(zip(names, activity.tolist(), strict=True))

    def parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """What is stored: JSON-able facts, and tensors by name."""
        facts = {name: getattr(self, name) for name in SCHEMA} | {"concept": asdict(self.concept)}
        tensors = self._tensors(TENSORS)
        if self.witness is not None:
            tensors |= zip(WITNESS, (self.witness, cast(Tensor, edited_witness(self))), strict=True)
        return facts, tensors

    @classmethod
    def from_parts(cls, facts: Any, tensors: dict[str, Tensor], where: Path) -> ClearEraser:
        """The eraser of these `parts`, tried on its witness; `where` is the file that an error names.

        Raises `DamagedFileError` for parts that make no eraser, or one that does not act.
        """
        try:
            require_schema(where, facts, SCHEMA)
            if set(tensors) not in ({*TENSORS}, {*TENSORS, *WITNESS}):
                expected, found = ", ".join((*TENSORS, *WITNESS)), ", ".join(sorted(tensors))
                raise DamagedFileError(f"expected the tensors {expected}, got {found:.200}. Save it again.")
            numbers = {name: tensor for name, tensor in tensors.items() if name != "witness_edited"}
            edited = tensors.get("witness_edited")
            edited = edited if edited is None else validation.tensor("witness_edited", edited, tensors["b_dec"].shape)
            concept = validation.concept_of(facts["concept"])
            eraser = cls(**{**facts, "concept": concept}, **cast(dict[str, Any], numbers))
            reason = failure_on_witness(eraser, edited)
        except UnseenError as error:
            raise DamagedFileError(f"{where}: {error}") from error
        if reason is not None:
            raise DamagedFileError(f"{where.with_suffix('.safetensors')}: {reason} Fit it again, or use a whole copy.")
        if eraser.witness is None:
            warnings.warn(
                f"{where.parent}: this eraser holds no witness, so it cannot be tried whether it acts on"
                f" {eraser.name!r}. See Handle.explain, or fit it again.",
                stacklevel=3,
            )
        return eraser

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `unseen_eraser.json` and `unseen_eraser.safetensors` into `folder`, which is created if need be."""
        write_pair(folder, STEM, FORMAT_VERSION, *self.parts())

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, revision: str | None = None, sha256: str | None = None
    ) -> ClearEraser:
        """Load an eraser from a folder or from the hub ("org/repo", at `revision`), and try it on its witness.

        With `sha256`, none is loaded but the one that has it: what the files hold was neither changed nor exchanged.

        Raises:
            DamagedFileError: a file is missing, is not what `save_pretrained` writes, was changed afterwards, is of
                another version, holds an eraser that does not act, or another one than `sha256` says.
            LoadError: there is no such repository, or it cannot be reached.
        """
        folder = fetched(source, (FILES,), revision=revision)
        facts, tensors = read_pair(folder, STEM, FORMAT_VERSION, SCHEMA, MAX_WEIGHTS)
        eraser = cls.from_parts(facts, tensors, folder / METADATA_FILE)
        if sha256 is not None and eraser.sha256 != sha256.lower():
            raise DamagedFileError(
                f"{folder / METADATA_FILE}: expected the eraser with the SHA-256 {sha256}, got {eraser.sha256}. It is"
                " another one, or was changed since. Fetch the right one again."
            )
        return eraser

    def _tensors(self, names: Sequence[str]) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in names}
