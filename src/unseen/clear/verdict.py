"""Whether a fit worked, judged on held-out pairs, and if not, why."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from ..errors import FitError, FitWarning

MOST_LEFT = 0.4
"""Largest share of the concept that a probe may still read at the encoder's output."""
MOST_OVERSHOOT = 0.75
"""How far the edit may go past prompts without the concept, as a share of the way to them."""
MOST_DAMAGE = 1.0
"""Largest change of the rest of the prompt, 1 = as much as the concept itself makes."""
LEAST_FIRED = 0.9
"""Smallest share of prompts about the concept on which the eraser acts."""
MOST_LEAKED = 0.05
"""Largest share of other prompts on which it acts."""


def verdict(judged: Mapping[str, float], fired_on: Mapping[str, float]) -> dict[str, Any]:
    """`worked`, and `reasons`: what is wrong, a sentence each.

    `judged` is what the output probe says of the eraser at its strength, `fired_on` on which share of the held-out
    prompts it acts.
    """
    residuals = {name.removeprefix("residual_"): v for name, v in judged.items() if name.startswith("residual")}
    left, over = max(residuals.items(), key=_value), min(residuals.items(), key=_value)
    acts, leaks = fired_on.get("held_out_positives", 1.0), fired_on.get("held_out_negatives", 0.0)
    reasons = []
    if not left[1] <= MOST_LEFT:
        reasons.append(
            f"{left[1]:.0%} of the concept is still read at the encoder's output ({left[0]} tokens), of which"
            f" {MOST_LEFT:.0%} may be left"
        )
    if not over[1] >= -MOST_OVERSHOOT:
        reasons.append(
            f"the edit goes {-over[1]:.0%} past prompts without the concept ({over[0]} tokens), where"
            f" {MOST_OVERSHOOT:.0%} is the most"
        )
    if not judged["damage"] <= MOST_DAMAGE:
        reasons.append(
            f"the rest of the prompt changes {judged['damage']:.2f} times as much as the concept changes it, where"
            f" {MOST_DAMAGE:g} is the most"
        )
    if not acts >= LEAST_FIRED:
        reasons.append(
            f"it acts on {acts:.0%} of unseen prompts about the concept, where {LEAST_FIRED:.0%} is the least"
        )
    if not leaks <= MOST_LEAKED:
        reasons.append(
            f"it acts on {leaks:.0%} of unseen prompts about other things, where {MOST_LEAKED:.0%} is the most"
        )
    return {"worked": not reasons, "reasons": reasons}


def announce(name: str, found: Mapping[str, Any], *, strict: bool) -> None:
    """Warn of a fit that did not work.

    Raises:
        FitError: it did not, and `strict` is set.
        FitWarning: (a warning) it did not.
    """
    if found["worked"]:
        return
    message = (
        f"the fit of {name!r} did not work: {'; '.join(found['reasons'])}. Look at eraser.report; try synonyms, more"
        " pairs, another search.layer or edit.strength, or another word for the concept."
    )
    if strict:
        raise FitError(message)
    warnings.warn(message, FitWarning, stacklevel=3)


def _value(item: tuple[str, float]) -> float:
    return item[1]
