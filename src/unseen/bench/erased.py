"""One erased concept, measured: fit, draw every role's prompts before and after, and read all clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from unseen.bench.fits import Fitted
from unseen.bench.prompts import Prompt
from unseen.bench.readings import Readings, join
from unseen.bench.run import Clips
from unseen.bench.study import Study


@dataclass
class Erased:
    """A concept's clips and readings by role."""

    key: str
    fitted: Fitted
    before: dict[str, Clips] = field(default_factory=dict)
    after: dict[str, Clips] = field(default_factory=dict)
    seen_before: dict[str, Readings] = field(default_factory=dict)
    seen_after: dict[str, Readings] = field(default_factory=dict)

    def prompts(self, role: str) -> tuple[Prompt, ...]:
        """The prompts of a role."""
        return self.before[role].prompts

    def shown(self, role: str = "target") -> tuple[np.ndarray, np.ndarray]:
        """Frames of a role's prompts that show the concept itself, before and after, each bool `[clips, frames]`."""
        return self.seen_before[role].shows(self.key), self.seen_after[role].shows(self.key)


def measure(study: Study, key: str, fitted: Fitted, prompts: dict[str, list[Prompt]]) -> Erased:
    """Draw `prompts` (by role) without and with the eraser and let the judge read them."""
    done = Erased(key, fitted)
    for role, asked in prompts.items():
        if not asked:
            continue
        done.before[role], done.after[role] = study.clips(asked), study.clips(asked, fitted.method)
        done.seen_before[role], done.seen_after[role] = study.read(done.before[role]), study.read(done.after[role])
    return done


def joined(results: Sequence[Erased], role: str) -> tuple[Readings, Readings] | None:
    """Readings of one role over several concepts, before and after; None where no concept has the role."""
    having = [r for r in results if role in r.before]
    if not having:
        return None
    return join([r.seen_before[role] for r in having]), join([r.seen_after[role] for r in having])


def pooled_hits(results: Sequence[Erased], role: str = "target") -> tuple[np.ndarray, np.ndarray, list[Prompt]]:
    """`Erased.shown` over several concepts, with the prompts."""
    pairs = [r.shown(role) for r in results]
    prompts = [p for r in results for p in r.prompts(role)]
    return np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs]), prompts
