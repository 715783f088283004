"""Whether an eraser acts at all, tried on a hidden state of the concept that it carries with it.

An eraser may be whole, of the right shapes, and still erase nothing: a bias that no state overcomes, a gate that stays
shut, a decoder that points the other way. None of this shows in the numbers by themselves; it shows at once on a state
on which the eraser has to act.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from .eraser import ClearEraser

_FACTOR = 100.0
"""How far the witness may be from the mean, either way: the strongest state is a few times as strong."""


@torch.no_grad()
def failure_on_witness(eraser: ClearEraser) -> str | None:
    """Why `eraser` does not do on its witness what it must, as a sentence; None if it does, or has no witness.

    Its features must fire about as strongly as `unit_firing` says, its gate must be within their reach, and the edit
    must lower them.
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
    edited = eraser.witness - eraser.scale * (f @ eraser.W_dec)
    after = float((eraser.active_features(edited) * eraser.mask).norm())
    if not after < before:
        return f"its edit does not lower what it is to remove ({before:g} before, {after:g} after)."
    return None
