"""Which features of an autoencoder belong to the concept: the masks `m_spec` of CLEAR and of our default.

All masks are per feature, `[..., m]`, from activations on tokens of positive prompts and of prompts without the
concept.
CLEAR sets `m_shared` from activity on the negatives and `m_spec = 1 − m_shared`; what "activity" means is our reading.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Activity(NamedTuple):
    """How the features of one or more autoencoders behave on some tokens; each entry `[..., m]`."""

    rate: Tensor
    """Share of tokens on which the feature is active."""
    mean: Tensor
    """Mean activation over all tokens, silent ones included."""
    energy: Tensor
    """Mean squared activation over all tokens."""


def activity(f: Tensor) -> Activity:
    """`Activity` of feature activations `f` `[..., tokens, m]`."""
    return Activity((f > 0).float().mean(dim=-2), f.mean(dim=-2), f.square().mean(dim=-2))


def literal_mask(negatives: Activity, rho: float = 0.0) -> Tensor:
    """`m_spec` = 1 where a feature is active on at most a share `rho` of the negative tokens.

    With few negatives a feature that never fired anywhere counts as specific and may later fire on an unseen word.
    """
    return (negatives.rate <= rho).float()


def soft_mask(positives: Activity, negatives: Activity) -> Tensor:
    """`m_spec` = 1 − relative frequency: rate on negatives over rate on positives, cut to [0, 1]; silent features get
    0."""
    shared = negatives.rate / positives.rate.clamp_min(1e-12)
    return torch.where(positives.rate > 0, 1 - shared.clamp(max=1), 0.0)


def relative_mask(negatives: Activity) -> Tensor:
    """`m_spec` = 1 − m_shared, where `m_shared` is the mean activation on negatives over that of the most active
    feature: the soft mask of a third party's transcription of the paper. A feature that never fired counts as
    specific."""
    return 1 - negatives.mean / (negatives.mean.amax(dim=-1, keepdim=True) + 1e-8)


def contrast_mask(positives: Activity, negatives: Activity, *, min_rate: float, max_ratio: float) -> Tensor:
    """`m_spec` = 1 where a feature fires on more than `min_rate` of the positive tokens while its mean activation on
    the negatives is below `max_ratio` times that on the positives. A feature that never fired is never specific."""
    return ((positives.rate > min_rate) & (negatives.mean < max_ratio * positives.mean)).float()


def energies(positives: Activity, mask: Tensor) -> tuple[Tensor, Tensor]:
    """`(S_spe, S_uni)`: mean energy of specific and of shared features on positive tokens, each `[...]`.

    `S_spe = E‖f ⊙ m_spec‖²`, `S_uni = E‖f ⊙ (1 − m_spec)‖²` (our reading of the paper).
    """
    return (positives.energy * mask.square()).sum(-1), (positives.energy * (1 - mask).square()).sum(-1)


def leak(positives: Activity, negatives: Activity, mask: Tensor) -> Tensor:
    """Specific energy on negatives over specific energy on positives, `[...]`; 0 means the edit never touches
    negatives."""
    return (negatives.energy * mask.square()).sum(-1) / (positives.energy * mask.square()).sum(-1).clamp_min(1e-12)
