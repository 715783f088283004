"""What all erasers at one layer do together: the result does not depend on their order, and silent ones cost nothing.

Most prompts concern no eraser. So one product over the features of all of them finds those that may act at all, and
only these compute their change, exactly as if they were alone.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..encoder.hooks import Edit
from ..encoder.layers import layer_name
from ..errors import NonFiniteError
from .eraser import ClearEraser, Delta

SCREENED_FROM = 4
"""Fewer erasers are asked one by one."""
_SLACK = 1e-5  # relative error that the screening allows itself; what is within it is computed exactly


def combined_edit(erasers: Sequence[ClearEraser], strengths: Sequence[float]) -> Edit:
    """The edit of several erasers at one layer, as a hook: all look at the same unedited hidden states."""
    together, nobody = LayerEdit(erasers), [None] * len(erasers)
    return lambda hidden, valid: together.act(hidden, valid, strengths, nobody)[0]


class Acting(NamedTuple):
    """One eraser of a layer in one pass."""

    place: int
    """Among the erasers of the layer."""
    delta: Delta


class _Screen(NamedTuple):
    """The features of all erasers beside each other, K in all."""

    weight: Tensor
    """`W_enc / scale`, `[d, K]`."""
    bias: Tensor
    """`b_enc − b_dec W_enc / scale`, `[K]`."""
    size: Tensor
    """Norms of the columns of `weight`, `[K]`: how far rounding may carry a feature."""
    gate: Tensor
    """Gate weights, `[K]`."""
    owner: Tensor
    """The eraser that each feature belongs to, `[K]`."""
    threshold: Tensor
    """Of each gate, `[erasers]`."""


class LayerEdit:
    """The erasers of one layer of one text encoder, sorted by key so that sums are order-free."""

    def __init__(self, erasers: Sequence[ClearEraser]):
        self.layer = erasers[0].layer
        self.erasers = tuple(erasers)
        """In the order given."""
        self._order = sorted(range(len(erasers)), key=lambda place: erasers[place].key)
        self._screens: dict[torch.device, _Screen] = {}
        self._lock = threading.Lock()

    def act(
        self, hidden: Tensor, valid: Tensor | None, strengths: Sequence[float], named: Sequence[Tensor | None]
    ) -> tuple[Tensor | None, list[Acting]]:
        """The edited `[batch, tokens, d]`, or None where nothing acts, and what each acting eraser does.

        `strengths` and `named` (prompts that say a name, bool `[batch]`, or None) are in the order of `erasers`. Raises
        `NonFiniteError` when hidden states are not finite: no comparison with them means anything.
        """
        screen = self._screen_on(hidden.device)
        candidates = self._order
        if screen is not None:
            with torch.autocast(hidden.device.type, enabled=False):  # rounded, it would miss some
                may = self._screened(screen, hidden, valid, named)
            candidates = [place for place in self._order if may[place]]
        acting = []
        for place in candidates:
            if strengths[place]:
                delta = self.erasers[place].delta(hidden, valid, strengths[place], named[place])
                if bool(delta.touched.any()):
                    acting.append(Acting(place, delta))
        if not acting:
            return None, []
        changed = hidden.float().clone()
        for _, delta in acting:
            changed[delta.touched] += delta.change[delta.touched]
        if not bool(changed.to(hidden.dtype).isfinite().all()):
            raise NonFiniteError(
                f"hidden states at {layer_name(self.layer)} are not finite after the edit in {hidden.dtype}. Lower the"
                " strength, or load the text encoder in bfloat16 or float32."
            )
        return changed, acting

    def _screened(
        self, screen: _Screen, hidden: Tensor, valid: Tensor | None, named: Sequence[Tensor | None]
    ) -> list[bool]:
        """Which erasers may act, at worst one too many."""
        states = hidden.float() if valid is None else hidden.float().masked_fill(~valid[..., None], 0)
        features = states @ screen.weight + screen.bias
        slack = _SLACK * (states.norm(dim=-1).amax(dim=1)[:, None] * screen.size + screen.bias.abs())
        highest = (features.amax(dim=1) + slack).clamp_min(0)  # [batch, K]
        none = torch.zeros(len(hidden), len(screen.threshold), device=hidden.device)
        scores = none.index_add(1, screen.owner, highest * screen.gate)
        fires = none.index_add(1, screen.owner, highest) > 0
        opened = scores * (1 + _SLACK) > screen.threshold
        for place, said in enumerate(named):
            if said is not None:
                opened[:, place] |= said.to(hidden.device)
        may = torch.cat([(fires & opened).any(dim=0), states.isfinite().all()[None]]).tolist()  # one trip to the host
        if not may.pop():
            raise NonFiniteError(self._broken())
        return may

    def _screen_on(self, device: torch.device) -> _Screen | None:
        if len(self.erasers) < SCREENED_FROM:
            return None
        with self._lock:
            if device not in self._screens:
                self._screens[device] = _screen(self.erasers, device)
            return self._screens[device]

    def _broken(self) -> str:
        names = ", ".join(eraser.name for eraser in self.erasers[:3])
        return (
            f"the text encoder's hidden states after {layer_name(self.layer)}, where {names} would be erased, are not"
            " finite, so nothing can be decided on them. Load the text encoder in bfloat16 or float32."
        )


def _screen(erasers: Sequence[ClearEraser], device: torch.device) -> _Screen:
    weights = [eraser.W_enc / eraser.scale for eraser in erasers]
    biases = [eraser.b_enc - eraser.b_dec @ weight for eraser, weight in zip(erasers, weights, strict=True)]
    weight = torch.cat(weights, dim=1)
    owner = torch.repeat_interleave(torch.arange(len(erasers)), torch.tensor([e.num_features for e in erasers]))
    fields = (
        weight,
        torch.cat(biases),
        weight.norm(dim=0),
        torch.cat([eraser.gate[:-1] for eraser in erasers]),
        owner,
        torch.stack([eraser.gate[-1] for eraser in erasers]),
    )
    return _Screen(*(field.to(device) for field in fields))
