"""Every knob of a CLEAR fit, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .specificity import MaskKind


@dataclass(frozen=True, kw_only=True)
class ClearConfig:
    """Settings of a fit. The defaults are what measured best on MiniLM; `ClearConfig.paper()` is the literal method."""

    pairs: int = 240
    """Prompt pairs written from the concept's name; ignored when pairs are passed to `fit`."""
    held_out: int = 40
    """Pairs kept from the autoencoders, on which layer and strength are chosen and FVU is measured."""
    neutral: int = 480
    """Ordinary prompts about other things beside the paired negatives; 0 = none."""
    max_length: int = 64
    """Tokens per prompt, at most the pipeline's. Where the text encoder attends to its padding (CogVideoX), the
    pipeline's own length is used instead."""
    encode_batch: int = 64
    """Prompts per text-encoder batch."""
    memory_budget: float | None = None
    """GB that a fit may use, the loaded text encoder included; blocks that do not fit together are trained in groups.
    None = as much as it takes."""
    max_tokens: int = 200_000
    """Tokens whose block outputs are kept for training; memory is blocks × tokens × d × 4 bytes."""

    features: int = 640
    """Features per autoencoder (m)."""
    shared: bool = False
    """One autoencoder for all blocks instead of one each."""
    l1: float = 0.03
    """λ, weight of the L1 norm of the features."""
    start_bias: float = -0.3
    """Encoder bias at the start, in units of √d; lower starts sparser."""
    lr: float = 4e-3
    """Learning rate of the autoencoders (activations are scaled, so it serves every block)."""
    batch: int = 256
    """Tokens per step and block."""
    rounds: int = 6
    """Alternations of phase A (autoencoders) and phase B (layer preferences)."""
    sae_steps: int = 80
    """Autoencoder steps per round."""
    alpha_steps: int = 20
    """Layer-preference steps per round."""
    alpha_lr: float = 0.1
    """Learning rate of log α."""
    warm_up: int = 2
    """Rounds before phase B starts, so that α does not judge untrained autoencoders."""
    tau_start: float = 2.0
    """First Gumbel-Softmax temperature."""
    tau_end: float = 0.3
    """Last Gumbel-Softmax temperature."""
    even: float = 0.5
    """Share of the training weight given to all blocks evenly, whatever α prefers; 0 = the paper's pure `p_l`."""

    prune: float = 0.02
    """Blocks whose preference has fallen below this are dropped from the fit, so that its cost tends to one block's;
    0 = never."""

    mask: MaskKind = "contrast"
    """How specific features are told from shared ones; see `unseen.clear.specificity`."""
    rho: float = 0.0
    """Literal mask: share of negative tokens on which a specific feature may be active."""
    min_rate: float = 0.01
    """Contrast mask: least share of positive tokens on which a specific feature is active."""
    max_ratio: float = 0.1
    """Contrast mask: largest mean activation on negatives, relative to that on positives."""
    max_features: int | None = 48
    """Most specific features kept, those with the most energy on positives; None = all."""

    criterion: Literal["output", "l_con", "leakage", "residual", "damage", "probe", "reconstruction"] = "output"
    """Cost that the layer preferences minimise, one of `unseen.clear.criteria.CRITERIA`: measured at the encoder's
    output, the paper's `L_con`, or another."""
    damage_weight: float = 0.5
    """Output criterion: weight of the damage to context tokens."""
    depth_weight: float = 0.15
    """Output criterion: price of the last block over the first, rising evenly. On video, edits at late blocks also took
    backgrounds and styles with them: few blocks are left to read the prompt again without the concept."""
    leak_weight: float = 1.0
    """Output criterion: weight of specific energy on negatives relative to positives."""
    layer: int | None = None
    """Fix the block instead of searching it."""
    embedding: bool = False
    """Whether the embedding output, index −1, is a candidate too."""

    strength: float | None = None
    """γ; None = the smallest of `strengths` that brings the residual below `residual_bound`."""
    strengths: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0)
    """Candidates for γ."""
    residual_bound: float = 0.15
    """Largest share of the concept's probe score that may remain at the encoder's output."""
    vacancy: bool = True
    """Whether the place of an erased object or person, unless the concept has `replace_with`, is given what the encoder
    makes of "a thing" or "a person"; else the concept is only subtracted."""
    mentions: bool = True
    """Whether the eraser also acts on phrases that mean the concept in other words than its names, where the pipeline's
    video model can be asked what it would show for them (`unseen.runtime.paraphrase`)."""
    gate: bool = True
    """Act only on prompts whose specific features together exceed a threshold learned from the negatives."""
    gate_position: float = 0.25
    """Where the threshold lies between negatives (0) and positives (1); low values favour erasing."""

    def __post_init__(self) -> None:
        if self.held_out < 8 or self.rounds < 1 or not 0 <= self.warm_up < self.rounds:
            raise ValueError(
                "expected held_out ≥ 8, rounds ≥ 1 and 0 ≤ warm_up < rounds, got "
                f"held_out={self.held_out}, rounds={self.rounds}, warm_up={self.warm_up}."
            )
        if self.strength is not None and not self.strength >= 0:
            raise ValueError(f"strength must be ≥ 0 or None, got {self.strength}.")
        if not self.strengths:
            raise ValueError("strengths must name at least one candidate.")

    @classmethod
    def paper(cls) -> ClearConfig:
        """CLEAR as published, in our reading: literal mask, `L_con`, paired negatives only, fixed γ, no gate."""
        return cls(
            neutral=0,
            mask="literal",
            rho=0.01,
            max_features=None,
            criterion="l_con",
            strength=1.0,
            vacancy=False,
            mentions=False,
            gate=False,
            warm_up=0,
            even=0.0,
            prune=0.0,
        )
