"""The edit of several erasers at one layer, whatever order they come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..encoder.hooks import Edit
from ..encoder.layers import layer_name
from ..errors import NonFiniteError
from .eraser import ClearEraser, Delta


def combined_edit(
    erasers: Sequence[ClearEraser],
    strengths: Sequence[float],
    observe: Callable[[list[Delta]], None] | None = None,
    named: Callable[[ClearEraser, int], Tensor | None] | None = None,
) -> Edit:
    """The edit of several erasers at one layer; all look at the same unedited hidden states, so order does not matter.

    `observe(deltas)`, if given, sees what each eraser does in every pass, in the order given. `named(eraser, batch)`,
    if given, knows which prompts of the batch say a name of the concept, bool `[batch]`, or None if it does not know
    the batch.

    Raises:
        NonFiniteError: by the edit, where hidden states, before or after it, are not finite in their own dtype.
    """
    # Floating-point sums depend on their order: changes are added in an order that is the erasers' own.
    order = sorted(range(len(erasers)), key=lambda place: (erasers[place].key, strengths[place]))

    def edit(hidden: Tensor, valid: Tensor | None) -> Tensor | None:
        given = hidden.float()
        edited: Tensor | None = None
        changed = torch.zeros(hidden.shape[:-1], dtype=torch.bool, device=hidden.device)
        deltas: dict[int, Delta] = {}
        for place in order:
            eraser = erasers[place]
            delta = eraser.delta(given, valid, strengths[place], None if named is None else named(eraser, len(hidden)))
            if observe is not None:
                deltas[place] = delta
            if delta.touched.any():
                edited = given.clone() if edited is None else edited
                edited[delta.touched] += delta.change[delta.touched]
                changed |= delta.touched
        if observe is not None:
            observe([deltas[place] for place in range(len(erasers))])
        if edited is not None and not torch.isfinite(edited[changed].to(hidden.dtype)).all():
            raise NonFiniteError(
                f"hidden states at {layer_name(erasers[0].layer)} are not finite after the edit in {hidden.dtype}."
                " Lower the strength, or load the text encoder in bfloat16 or float32."
            )
        return edited

    return edit
