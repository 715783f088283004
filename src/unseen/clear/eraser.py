"""The eraser that ships: the selected features of one block, and the edit `h' = h − γ W_dec (f ⊙ m_spec)`.

Frozen and small (kilobytes). Tokens on which no selected feature is active are returned as they came, bit for bit, and
so is every prompt that does not open the gate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from safetensors.torch import save
from torch import Tensor, nn

from ..concept import Concept
from ..encoder.activations import PromptForm, encode_blocks
from ..encoder.hooks import Edit
from ..files import read_pair, write_pair

if TYPE_CHECKING:
    from ..runtime.handle import Handle

FORMAT_VERSION = 3
_STEM = "unseen_eraser"
METADATA_FILE, WEIGHTS_FILE = f"{_STEM}.json", f"{_STEM}.safetensors"
_TENSORS = ("W_enc", "b_enc", "W_dec", "mask", "b_dec", "scale", "gate", "replacement")


class Delta(NamedTuple):
    """What an eraser wants to change in one batch of hidden states."""

    change: Tensor
    """To be added to the hidden states, `[batch, tokens, d]`, float32."""
    touched: Tensor
    """Tokens that are changed at all, `[batch, tokens]`, bool."""
    activity: Tensor
    """Norm of the selected features' activations, in units of its mean on the concept's own tokens, `[batch,
    tokens]`."""


@dataclass(frozen=True)
class ClearEraser:
    """Erases one concept at one block. Made by `unseen.fit`, or loaded with `from_pretrained`."""

    concept: Concept
    """What is erased."""
    layer: int
    """Index of the block whose output is edited, 0..L−1, or −1 for the embedding output."""
    strength: float
    """Erasure strength γ; 1 subtracts what the features reconstruct, 0 changes nothing."""
    encoder_fingerprint: str
    """`text_encoder.fingerprint` of the encoder the eraser was fitted on."""
    W_enc: Tensor = field(repr=False)
    """Encoder of the selected features, `[d, k]`."""
    b_enc: Tensor = field(repr=False)
    """Encoder bias, `[k]`."""
    W_dec: Tensor = field(repr=False)
    """Decoder rows, `[k, d]`."""
    mask: Tensor = field(repr=False)
    """Specificity `m_spec` of the selected features, in (0, 1], `[k]`."""
    b_dec: Tensor = field(repr=False)
    """Mean output of the block, `[d]`."""
    scale: Tensor = field(repr=False)
    """Scale of the block's output, `[]`."""
    gate: Tensor = field(repr=False)
    """Non-negative weights on each feature's maximum over the prompt, and last the threshold, `[k + 1]`. All weights
    zero and a negative threshold: always open."""
    replacement: Tensor = field(repr=False)
    """Added in place of the concept at full activity, `[d]`; zero where the concept is only subtracted."""
    mentions: bool = False
    """Whether phrases that mean the concept in other words than its names are erased too, where the pipeline's video
    model can be asked (`unseen.runtime.paraphrase`)."""
    typical: float = 1.0
    """Mean norm of the activations on the concept's own tokens, the unit of `Delta.activity`."""
    max_length: int = 64
    """Tokens per prompt during the fit."""
    report: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """How the fit went; JSON-able."""

    @property
    def num_features(self) -> int:
        """Number of selected features (k)."""
        return self.W_dec.shape[0]

    @property
    def name(self) -> str:
        """Name of the concept."""
        return self.concept.name

    @property
    def key(self) -> str:
        """Short digest of weights, block and strength: two erasers with the same key make the same edit."""
        facts = f"{self.layer}/{self.strength}/{self.typical}"
        if self.mentions:
            facts += "/mentions"
        digest = hashlib.sha256(save(self._tensors()) + facts.encode())
        return digest.hexdigest()[:16]

    def active_features(self, hidden: Tensor) -> Tensor:
        """`f` `[..., tokens, k]` of block outputs `[..., tokens, d]`, before mask and gate."""
        x = (hidden.float() - self.b_dec.to(hidden.device)) / self.scale.to(hidden.device)
        return torch.relu(x @ self.W_enc.to(hidden.device) + self.b_enc.to(hidden.device))

    def opens(self, maxima: Tensor) -> Tensor:
        """Whether the gate opens, `[...]`, for the maximum of each feature over a prompt `[..., k]`."""
        gate = self.gate.to(maxima.device)
        return (maxima * gate[:-1]).sum(dim=-1) > gate[-1]

    def features(self, hidden: Tensor, valid: Tensor | None = None, named: Tensor | None = None) -> Tensor:
        """`f ⊙ m_spec` `[batch, tokens, k]` of block outputs `[batch, tokens, d]`, zero where the gate is shut.

        `valid` `[batch, tokens]` marks the tokens that are no masked padding; padding neither fires nor opens the gate.
        `named` `[batch]` marks prompts that say a name of the concept: there it is open, whatever the features say.
        """
        f = self.active_features(hidden)
        if valid is not None:
            f = f * valid[..., None]
        opened = self.opens(f.amax(dim=-2))
        if named is not None:
            opened = opened | named.to(hidden.device)
        return f * self.mask.to(hidden.device) * opened[:, None, None]

    def delta(
        self,
        hidden: Tensor,
        valid: Tensor | None = None,
        strength: float | None = None,
        named: Tensor | None = None,
    ) -> Delta:
        """The change for block outputs `[batch, tokens, d]` at `strength` (default: the eraser's own)."""
        gamma = self.strength if strength is None else strength
        f = self.features(hidden, valid, named)
        activity = f.norm(dim=-1) / self.typical
        change = -gamma * self.scale.to(hidden.device) * (f @ self.W_dec.to(hidden.device))
        if self.replacement.any():
            change = change + activity.clamp(max=1)[..., None] * self.replacement.to(hidden.device)
        touched = (activity > 0) if gamma else torch.zeros_like(activity, dtype=torch.bool)
        return Delta(change, touched, activity)

    def with_strength(self, strength: float) -> ClearEraser:
        """The same eraser with another γ ≥ 0."""
        if not strength >= 0:
            raise ValueError(f"strength must be a number ≥ 0, got {strength!r}.")
        return replace(self, strength=float(strength))

    def applied_to(self, pipe: Any, *, on_negative: bool = False) -> Handle:
        """`with eraser.applied_to(pipe):` attaches for the length of the block; see `unseen.attach`."""
        from ..runtime.handle import attach_erasers

        return attach_erasers(pipe, [self], None, on_negative)

    def encode(self, pipe: Any, prompt: str | Sequence[str], **options: Any) -> Tensor:
        """Prompt embeddings with the concept erased, `[prompts, tokens, d]`, as `pipe.encode_prompt` makes them.

        They may be passed to the pipeline as `prompt_embeds=` while this eraser is attached. `options` go to
        `pipe.encode_prompt`, for instance `max_sequence_length`.
        """
        prompt = prompt if isinstance(prompt, str) else list(prompt)
        with torch.no_grad(), self.applied_to(pipe):
            return pipe.encode_prompt(prompt, do_classifier_free_guidance=False, **options)[0]

    def explain(self, tokenizer: Any, encoder: nn.Module, prompt: str) -> list[tuple[str, float]]:
        """Every token of `prompt` with the activity of this eraser on it (0: left alone; 1: as on the concept itself).

        The prompt is taken as it comes; `Handle.explain` exchanges other words for the concept first.
        """
        tokens = encode_blocks(tokenizer, encoder, [prompt], PromptForm(self.max_length), layers=[self.layer])
        activity = self.delta(tokens.hidden).activity[0]
        names = tokenizer.convert_ids_to_tokens(tokens.token_id.tolist())
        return list(zip(names, activity.tolist(), strict=True))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `unseen_eraser.json` and `unseen_eraser.safetensors` into `folder`, which is created if need be."""
        facts = {
            "concept": asdict(self.concept),
            "layer": self.layer,
            "strength": self.strength,
            "typical": self.typical,
            "max_length": self.max_length,
            "encoder_fingerprint": self.encoder_fingerprint,
            "mentions": self.mentions,
            "report": self.report,
        }
        write_pair(folder, _STEM, FORMAT_VERSION, facts, self._tensors())

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> ClearEraser:
        """Load an eraser. Raises `DamagedFileError` if a file is missing, was changed, or is of an unknown version."""
        metadata, tensors = read_pair(folder, _STEM, FORMAT_VERSION)
        names = ("layer", "strength", "typical", "max_length", "encoder_fingerprint", "mentions", "report")
        facts: dict[str, Any] = {name: metadata[name] for name in names}
        concept = Concept(**metadata["concept"])
        return cls(concept=concept, **facts, **cast(dict[str, Any], tensors))

    def _tensors(self) -> dict[str, Tensor]:
        return {name: getattr(self, name).contiguous() for name in _TENSORS}


def combined_edit(
    erasers: Sequence[ClearEraser],
    strengths: Sequence[float],
    observe: Callable[[list[Delta]], None] | None = None,
    named: Callable[[ClearEraser, int], Tensor | None] | None = None,
) -> Edit:
    """The edit of several erasers at one block; all look at the same unedited hidden states, so order does not matter.

    `observe(deltas)`, if given, sees what each eraser does in every pass. `named(eraser, batch)`, if given, knows which
    prompts of the batch say a name of the concept, bool `[batch]`, or None if it does not know the batch.
    """

    def edit(hidden: Tensor, valid: Tensor | None) -> Tensor | None:
        said = [None if named is None else named(eraser, len(hidden)) for eraser in erasers]
        deltas = [e.delta(hidden, valid, s, n) for e, s, n in zip(erasers, strengths, said, strict=True)]
        if observe is not None:
            observe(deltas)
        touched = torch.stack([delta.touched for delta in deltas]).any(dim=0)
        if not touched.any():
            return None
        # Floating-point sums depend on their order; adding the changes sorted by size makes the result exactly
        # order-free.
        changes = (
            torch.stack([delta.change * delta.touched[..., None] for delta in deltas]).sort(dim=0).values.sum(dim=0)
        )
        return torch.where(touched[..., None], hidden.float() + changes, hidden.float())

    return edit
