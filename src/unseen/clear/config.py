"""Every setting of a CLEAR fit, in four groups. The command line is made from these classes and their docstrings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

MaskKind = Literal["contrast", "literal", "soft", "relative"]
CriterionName = Literal["output", "l_con", "l_con_sums", "leakage", "residual", "damage", "probe", "reconstruction"]


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """Which prompts a fit reads, and how."""

    pairs: int = 240
    """Prompt pairs written from the concept's name; ignored where enough pairs are passed to `fit`."""
    held_out: int = 40
    """Pairs kept from the autoencoders, on which layer and strength are chosen and FVU is measured."""
    retain: int = 480
    """Retain prompts: ordinary prompts about other things beside the paired negatives; 0 = none."""
    max_length: int = 64
    """Tokens per prompt, at most the pipeline's. Where the text encoder attends to its padding (CogVideoX), the
    pipeline's own length is used instead."""
    batch_size: int = 64
    """Prompts per pass of the text encoder."""


@dataclass(frozen=True, kw_only=True)
class SaeConfig:
    """The sparse autoencoders, one for each candidate layer."""

    num_features: int = 640
    """Features per autoencoder (m)."""
    expansion: int | None = None
    """Features as a multiple of the encoder's width d, in place of `num_features`."""
    top_k: int | None = None
    """Features kept per token; None = all positive ones, made sparse by `l1_coefficient`."""
    l1_coefficient: float = 0.06
    """λ, weight of the L1 norm of the features."""
    start_bias: float | None = None
    """Encoder bias at the start, in units of a token's deviation along a decoder row; lower starts sparser. None = −2,
    with `top_k` 0."""
    lr: float | None = None
    """Learning rate; states are scaled, so it serves every layer. None = 0.16/√d."""
    batch_size: int = 256
    """Tokens per step and layer."""
    steps: int = 180
    """Training steps in all."""
    max_tokens: int = 200_000
    """Most tokens whose states are trained on."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The search for the layer."""

    layer: int | None = None
    """Fix the layer instead of searching it; −1 = the embedding output."""
    embedding: bool = False
    """Whether the embedding output is a candidate too."""
    criterion: CriterionName = "output"
    """Cost that the layer preferences minimize, one of `unseen.clear.criteria.CRITERIA`: measured at the output of the
    encoder, the paper's `L_con`, or another."""
    rounds: int = 3
    """Alternations of phase A (autoencoders) and phase B (layer preferences)."""
    warm_up: int = 1
    """Rounds before phase B starts, so that α does not judge untrained autoencoders."""
    phase_a_weight: float = 0.0
    """Share of an autoencoder's training weight that follows its layer's preference; 1 = the paper's `p_l`.
    Autoencoders that share no parameter learn the same from Adam whatever their weights, but for the noise of sampling
    `p_l`."""
    steps: int = 20
    """Layer-preference steps per round."""
    lr: float = 0.1
    """Learning rate of log α."""
    tau_start: float = 2.0
    """First Gumbel-Softmax temperature."""
    tau_end: float = 0.3
    """Last Gumbel-Softmax temperature."""
    damage_weight: float = 0.5
    """Output criterion: weight of the damage to context tokens."""
    depth_weight: float = 0.15
    """Output criterion: price of the last layer over the first, rising evenly. On video, edits at late layers also took
    backgrounds and styles with them: few layers are left to read the prompt again without the concept."""
    leak_weight: float = 1.0
    """Output criterion: weight of specific energy on negatives relative to positives."""


@dataclass(frozen=True, kw_only=True)
class EditConfig:
    """What is taken away, where, and how much of it."""

    mask: MaskKind = "contrast"
    """How specific features are told from shared ones; see `unseen.clear.select`."""
    rho: float = 0.0
    """Literal mask: share of negative tokens on which a specific feature may be active."""
    min_rate: float = 0.01
    """Contrast mask: least share of positive tokens on which a specific feature is active."""
    max_ratio: float = 0.1
    """Contrast mask: largest mean activation on negatives, relative to that on positives."""
    max_features: int | None = 48
    """Most specific features kept, those with the most energy on positives; None = all."""
    strength: float | None = None
    """γ; None = the smallest of `strengths` that brings the residual below `residual_bound`."""
    strengths: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0)
    """Candidates for γ."""
    residual_bound: float = 0.15
    """Largest share of the concept's probe score that may remain at the encoder's output."""
    replace_with: Literal["neutral", "nothing"] = "neutral"
    """What takes the place of an erased object or person, unless the concept says so itself: what the encoder makes of
    "a thing" or "a person", or nothing, so that the concept is only subtracted."""
    mentions: bool = True
    """Whether the eraser also acts on phrases that mean the concept in other words than its names, where the pipeline's
    video model can be asked what it would show for them (`unseen.runtime.rewriting.paraphrase`)."""
    gate: bool = True
    """Act only on prompts whose specific features together exceed a threshold learned from the negatives."""
    gate_position: float = 0.25
    """Where the threshold lies between negatives (0) and positives (1); low values favor erasing."""


_LEAST: Mapping[str, float] = {
    **dict.fromkeys(("prompts.max_length", "prompts.batch_size", "sae.num_features", "sae.expansion", "sae.top_k"), 1),
    **dict.fromkeys(("sae.batch_size", "sae.max_tokens"), 1),
    **dict.fromkeys(("prompts.pairs", "prompts.retain", "sae.l1_coefficient", "search.steps"), 0),
    **dict.fromkeys(("sae.lr", "search.lr", "search.tau_start", "search.tau_end"), 1e-12),
}
"""Below these a fit makes no sense, or divides by zero."""


@dataclass(frozen=True, kw_only=True)
class ClearConfig:
    """Settings of a fit. The defaults are what measured best on Diorama; `ClearConfig.paper()` is the literal method.

    Raises:
        ValueError: a setting is out of range, or two contradict each other.
    """

    prompts: PromptConfig = field(default_factory=PromptConfig)
    sae: SaeConfig = field(default_factory=SaeConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    edit: EditConfig = field(default_factory=EditConfig)
    memory_budget: float | None = None
    """GB that a fit may use, the loaded text encoder included; layers that do not fit together are trained in groups.
    None = as much as it takes."""
    fit_device: str | None = None
    """Where states are kept and autoencoders trained, such as "cpu" or "cuda:1"; None = where the encoder computes."""

    def __post_init__(self) -> None:
        prompts, search, edit = self.prompts, self.search, self.edit
        for name, least in _LEAST.items():
            group, _, setting = name.partition(".")
            value = getattr(getattr(self, group), setting)
            if value is not None and not value >= least:
                raise ValueError(f"expected {name} ≥ {least:g}, got {value}.")
        if prompts.held_out < 8 or search.rounds < 1 or not 0 <= search.warm_up < search.rounds:
            raise ValueError(
                "expected prompts.held_out ≥ 8, search.rounds ≥ 1 and 0 ≤ search.warm_up < search.rounds, got "
                f"held_out={prompts.held_out}, rounds={search.rounds}, warm_up={search.warm_up}."
            )
        if self.sae.steps < search.rounds:
            raise ValueError(
                f"expected at least one of sae.steps per round, got {self.sae.steps} for {search.rounds} rounds."
            )
        if edit.strength is not None and not edit.strength >= 0:
            raise ValueError(f"expected edit.strength ≥ 0 or None, got {edit.strength}.")
        if not edit.strengths:
            raise ValueError("expected at least one candidate in edit.strengths, got none.")

    @classmethod
    def paper(cls) -> ClearConfig:
        """CLEAR as published, in our reading: literal mask, `L_con`, phase A weighted by α, paired negatives only,
        fixed γ, no gate."""
        return cls().with_options(
            {
                "prompts.retain": 0,
                "search.criterion": "l_con",
                "search.warm_up": 0,
                "search.phase_a_weight": 1.0,
                "edit.mask": "literal",
                "edit.rho": 0.01,
                "edit.max_features": None,
                "edit.strength": 1.0,
                "edit.replace_with": "nothing",
                "edit.mentions": False,
                "edit.gate": False,
            }
        )

    @classmethod
    def paper_table10(cls) -> ClearConfig:
        """CLEAR with the constants of a third party's transcription of the paper (Sec. 3 and 4, Tables 1, 5, 6, 10),
        which could not be checked against it. Its 2,500 alternations of one step each are made in 25 rounds of 100;
        3,750 steps are said for nudity."""
        return cls().with_options(
            {
                "prompts.retain": 0,
                "sae.expansion": 32,
                "sae.l1_coefficient": 1e-4,
                "sae.start_bias": 0.0,
                "sae.lr": 1e-3,
                "sae.batch_size": 16,
                "sae.steps": 2500,
                "search.criterion": "l_con_sums",
                "search.rounds": 25,
                "search.warm_up": 0,
                "search.phase_a_weight": 1.0,
                "search.steps": 100,
                "search.lr": 3e-2,
                "search.tau_start": 1.0,
                "search.tau_end": 0.1,
                "edit.mask": "relative",
                "edit.max_features": None,
                "edit.strength": 10.0,
                "edit.replace_with": "nothing",
                "edit.mentions": False,
                "edit.gate": False,
            }
        )

    def with_options(self, options: Mapping[str, Any]) -> ClearConfig:
        """These settings with some changed, each named by its path: `{"sae.steps": 60, "fit_device": "cpu"}`.

        Raises:
            ValueError: a name is unknown, or a value is out of range.
        """
        changed: dict[str, Any] = {}
        for name, value in options.items():
            group, _, setting = name.rpartition(".")
            holder = changed.get(group, getattr(self, group, None)) if group else self
            known = {f.name for f in fields(holder)} if is_dataclass(holder) else set()
            if setting not in known or is_dataclass(getattr(holder, setting)):
                raise ValueError(f"expected the path of a setting such as sae.steps, got {name!r}.")
            if group:
                changed[group] = replace(holder, **{setting: value})  # type: ignore[type-var]
            else:
                changed[setting] = value
        return replace(self, **changed)
