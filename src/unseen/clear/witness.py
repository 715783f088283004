"""Whether an eraser acts at all, tried on a hidden state of the concept that it carries with it.

An eraser may be whole, of the right shapes, and still erase nothing: a bias that no state overcomes, a gate that stays
shut, a decoder that points the other way. None of this shows in the numbers by themselves; it shows at once on a state
on which the eraser has to act.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor


class Tried(Protocol):
    """What is tried of an eraser."""

    @property
    def witness(self) -> Tensor | None: ...
    @property
    def mask(self) -> Tensor: ...
    @property
    def scale(self) -> Tensor: ...
    @property
    def W_dec(self) -> Tensor: ...
    @property
    def b_dec(self) -> Tensor: ...
    @property
    def unit_firing(self) -> float: ...
    def active_features(self, hidden: Tensor) -> Tensor: ...
    def opens(self, maxima: Tensor) -> Tensor: ...
    def replacement_at(self, gamma: float) -> Tensor: ...
    def delta(self, hidden: Tensor, *, strength: float, named: Tensor) -> Any: ...


_FACTOR = 100.0
"""How far the witness may be from the mean, either way: the strongest state is a few times as strong."""
_TOLERANCE = 1e-3
"""Of the edit, for processors that round differently."""


@torch.no_grad()
def edited_witness(eraser: Tried) -> Tensor | None:
    """What γ = 1 makes of the eraser's witness, its gate open, `[d]`; it is kept in the file beside the witness."""
    if eraser.witness is None:
        return None
    state = eraser.witness[None, None]
    return eraser.witness + eraser.delta(state, strength=1.0, named=torch.ones(1, dtype=torch.bool)).change[0, 0]


@torch.no_grad()
def failure_on_witness(eraser: Tried, edited: Tensor | None = None) -> str | None:
    """Why `eraser` does not do on its witness what it must, as a sentence; None if it does, or has no witness.

    Its features must fire about as strongly as `unit_firing` says, its gate must be within their reach, and the edit
    must lower them without throwing the state far off; and the outcome must be `edited`, if that is given.
    """
    if eraser.witness is None:
        return None
    firing = eraser.active_features(eraser.witness[None])
    f = firing * eraser.mask
    before, unit = float(f.norm()), eraser.unit_firing
    if not unit / _FACTOR <= before <= unit * _FACTOR:
        return f"it does not fire on the concept's own hidden state as it says ({before:g} against {unit:g})."
    if not eraser.opens(_FACTOR * firing.amax(dim=0)):
        return "its gate stays shut whatever a prompt says."
    subtracted = eraser.scale * (f @ eraser.W_dec)
    after = float((eraser.active_features(eraser.witness - subtracted) * eraser.mask).norm())
    if not after < before:
        return f"its edit does not lower what it is to remove ({before:g} before, {after:g} after)."
    far = _FACTOR * float((eraser.witness - eraser.b_dec).norm())
    moved = max(float(subtracted.norm()), float(eraser.replacement_at(1.0).norm()))
    if not moved <= far:
        return f"its edit moves a hidden state by {moved:g}, and the concept lies {far / _FACTOR:g} from the mean."
    made = edited_witness(eraser)
    if edited is not None and made is not None and not float((made - edited).norm()) <= _TOLERANCE * moved:
        return "its edit is not the one that it was saved with."
    return None
