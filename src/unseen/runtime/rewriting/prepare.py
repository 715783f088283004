"""What becomes of prompts before they are encoded: paraphrases are rewritten, then it is asked what is left."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from ...clear.eraser import ClearEraser
from ...concept import Concept
from ...errors import UnsupportedPipelineError
from ..context.call import EncodeCall, during
from ..context.erasers import Erasers
from .loop import Loop, OnResidual
from .matching import Phrase
from .paraphrase import Rewriter, can_preview

log = logging.getLogger("unseen")


class Prepared(NamedTuple):
    """How a prompt is encoded."""

    text: str
    """The prompt with every mention exchanged for its concept's name, and without what the closed loop took away."""
    mentions: tuple[tuple[str, Phrase], ...] = ()
    """Name of the concept and the words that meant it, in order; places are those in the prompt as matched."""
    by_name_only: bool = False
    """Whether the prompt raised too many questions, so that none was asked."""
    residual: tuple[str, ...] = ()
    """Names of concepts that the closed loop still found in it."""
    taken: tuple[str, ...] = ()
    """What the closed loop took away."""
    left: tuple[str, ...] = ()
    """Names of concepts that it leads to even so."""


class Rewriting:
    """What becomes of prompts before they are encoded: a rewriter for each choice of concepts, and the closed loop."""

    def __init__(
        self,
        pipe: Any,
        erasers: Erasers,
        reason: str,
        over_limit: Literal["refuse", "name_only"] = "refuse",
        loop: Loop | None = None,
    ):
        """`pipe` is the pipeline whose video model is asked; None where none can be, for which `reason` says why."""
        self._pipe, self._erasers, self.reason, self._over_limit = pipe, erasers, reason, over_limit
        self.loop = loop
        self._made: dict[frozenset[str], Rewriter] = {}
        self._lock = threading.Lock()

    @property
    def on(self) -> bool:
        """Whether prompts may change before they are encoded."""
        return self._pipe is not None or self.loop is not None

    def __call__(self, pipe: Any, prompts: Sequence[str], length: int | None) -> Sequence[Prepared]:
        """Rewrite for the concepts that act here and now."""
        rewrites = self._rewritten(prompts, length)
        return rewrites if self.loop is None else self._settled(self.loop, rewrites, length)

    def _settled(self, loop: Loop, rewrites: Sequence[Prepared], length: int | None) -> Sequence[Prepared]:
        concepts = self.acting()
        if not concepts:
            return rewrites
        length = loop.length if length is None else length
        texts = [rewrite.text for rewrite in rewrites]
        settled = loop.settle(texts, concepts, self._erasers.wanted().keys, length)
        return [r._replace(text=s.text, residual=s.found, taken=s.taken, left=s.left)
                for r, s in zip(rewrites, settled, strict=True)]  # fmt: skip

    def acting(self) -> dict[str, Concept]:
        """The concepts that are erased here and now, by name."""
        return {
            eraser.concept.name: eraser.concept
            for site in self._erasers.sites
            for eraser, strength in zip(site.erasers, self._erasers.strengths(site), strict=True)
            if strength
        }

    def _rewritten(self, prompts: Sequence[str], length: int | None) -> Sequence[Prepared]:
        acting = {
            eraser.concept.name: eraser.concept
            for site in self._erasers.sites
            for eraser, strength in zip(site.erasers, self._erasers.strengths(site), strict=True)
            if strength and eraser.mentions
        }
        if not acting or self._pipe is None:
            return [Prepared(prompt) for prompt in prompts]
        with self._lock:
            rewriter = self._made.get(frozenset(acting))
            if rewriter is None:
                rewriter = self._made[frozenset(acting)] = Rewriter(
                    self._pipe, list(acting.values()), over_limit=self._over_limit
                )
        return [Prepared(*rewrite) for rewrite in rewriter.rewrite(prompts, length)]


def rewriting_for(
    pipes: Sequence[Any],
    given: Sequence[ClearEraser],
    erasers: Erasers,
    over_limit: Literal["refuse", "name_only"],
    on_residual: OnResidual | None,
) -> Rewriting:
    """What becomes of prompts for these pipelines, which share their components.

    Raises:
        UnsupportedPipelineError: `on_residual` is asked for, and none of their video models can be asked.
    """
    reasons = [can_preview(pipe) for pipe in pipes]
    asked = next((pipe for pipe, reason in zip(pipes, reasons, strict=True) if reason is None), None)
    if on_residual is not None and asked is None:
        raise UnsupportedPipelineError(
            f"expected a pipeline whose video model can be asked what is left of a concept, but {reasons[0]}. Attach"
            " without on_residual=."
        )
    encoders = frozenset(site.path.encoder for site in erasers.sites)
    loop = None
    if on_residual is not None:
        loop = Loop(asked, lambda: during(EncodeCall(erasers, spared=encoders)), on_residual)
    if not any(eraser.mentions for eraser in given):
        reason = "off: no eraser asks for it" if given else "off: no erasers"
        return Rewriting(None, erasers, reason, over_limit, loop)
    if asked is None:
        log.warning("paraphrases of what is erased will not be erased: %s", reasons[0])
        return Rewriting(None, erasers, f"off: {reasons[0]}", over_limit)
    return Rewriting(asked, erasers, "on", over_limit, loop)
