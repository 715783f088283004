"""The erasers of one handle: which act here and now, and what they do to a pass of a text encoder.

Nothing in here changes after it is made. What one thread asks of the erasers lies in a context variable; so there is no
switch that one caller could turn for another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ...clear.edit import LayerEdit
from ...clear.eraser import ClearEraser, Delta
from ...encoder.hooks import current_pass
from ...names import NameMatcher
from ...pipelines import TextPath
from .call import EncodeCall, current_call
from .proofs import Proof


@dataclass(frozen=True)
class Site:
    """A text encoder and the erasers that act on it."""

    path: TextPath
    erasers: tuple[ClearEraser, ...]
    strengths: tuple[float, ...]


@dataclass
class Choice:
    """What one thread or task asks of the erasers, for the length of a `with` block."""

    strengths: Mapping[str, float | None] | None = None
    """By concept, None as it was attached; those not named do not act. None for all: as they were attached."""
    request_id: str | None = None
    left: bool = False
    """Whether the block is over, wherever it was left: a thread in which it was only entered must not keep it."""


class Acted(NamedTuple):
    """One eraser in one pass."""

    site: Site
    eraser: ClearEraser
    strength: float
    delta: Delta
    ids: Tensor | None
    """Token ids of the pass, `[batch, tokens]`."""


_CHOICES: ContextVar[Mapping[object, tuple[Choice, ...]]] = ContextVar("unseen_choices", default={})  # noqa: B039 (never changed)


class Erasers:
    """The erasers of a handle, by text encoder."""

    def __init__(self, sites: Sequence[Site], rewritten: bool, settled: bool = False) -> None:
        """`rewritten`: whether paraphrases are looked for before anything is encoded; `settled`: whether the closed
        loop asks what is left."""
        self.sites = tuple(sites)
        self._rewritten, self._settled = rewritten, settled
        self.layers = {
            (site.path.name, layer): LayerEdit([e for e in site.erasers if e.layer == layer])
            for site in sites
            for layer in sorted({e.layer for e in site.erasers})
        }
        every = [e for site in sites for e in site.erasers]
        self._names = NameMatcher([e.concept for e in every])
        self._place = {id(e): n for n, e in enumerate(every)}
        self._keys: dict[tuple[float, ...], frozenset[str]] = {}

    def choice(self) -> Choice:
        """What this thread or task has chosen."""
        made: tuple[Choice, ...] = _CHOICES.get().get(self, ())
        return next((choice for choice in reversed(made) if not choice.left), Choice())

    @contextmanager
    def choosing(self, choice: Choice) -> Iterator[None]:
        """`choice` holds while this is open, in this thread or task alone."""
        known = _CHOICES.get()
        token = _CHOICES.set({**known, self: (*(c for c in known.get(self, ()) if not c.left), choice)})
        try:
            yield
        finally:
            choice.left = True
            with suppress(ValueError):  # left in another thread than it was entered in
                _CHOICES.reset(token)

    def strengths(self, site: Site) -> tuple[float, ...]:
        """Of the erasers of `site`, as chosen."""
        chosen = self.choice().strengths
        if chosen is None:
            return site.strengths
        here = zip(site.erasers, site.strengths, strict=True)
        return tuple(own if (s := chosen.get(e.name, 0.0)) is None else s for e, own in here)

    def wanted(self) -> Proof:
        """What embeddings must have passed to be used here and now."""
        strengths = tuple(s for site in self.sites for s in self.strengths(site))
        if strengths not in self._keys:
            erasers = [e for site in self.sites for e in site.erasers]
            acting = [e.with_strength(s).key for e, s in zip(erasers, strengths, strict=True) if s]
            self._keys[strengths] = frozenset(acting)
        acts = bool(self._keys[strengths])
        return Proof(self._keys[strengths], self._rewritten and acts, self._settled and acts)

    def edit(self, site: Site, layer: int) -> Callable[[Tensor, Tensor | None], Tensor | None]:
        """What a pass through `layer` of the encoder of `site` undergoes."""
        edit = self.layers[site.path.name, layer]
        owners = [next(n for n, own in enumerate(site.erasers) if own is e) for e in edit.erasers]

        def run(hidden: Tensor, valid: Tensor | None) -> Tensor | None:
            call = current_call()
            strengths = self.strengths(site)
            here = [strengths[place] for place in owners]
            named = self._named(site, edit.erasers, len(hidden), call)
            changed, acting = edit.act(hidden, valid, here, named)
            if call is not None and call.watched:
                running = current_pass(site.path.encoder)
                ids = None if running is None else running.ids
                call.record.deltas += [Acted(site, edit.erasers[n], here[n], delta, ids) for n, delta in acting]
            return changed

        return run

    def _named(
        self, site: Site, erasers: Sequence[ClearEraser], batch: int, call: EncodeCall | None
    ) -> list[Tensor | None]:
        """By eraser which prompts of the pass say a name of its concept, bool `[batch]`; None where none does."""
        running, tokenizer = current_pass(site.path.encoder), site.path.tokenizer
        ids = running.ids if running is not None and running.ids is not None and len(running.ids) == batch else None
        words = [] if ids is None else tokenizer.batch_decode(ids, skip_special_tokens=True)
        rows = [self._names.named_in(text) for text in words]
        # The ids say what is encoded, row by row; but what the vocabulary does not know is lost in them.
        if call is not None and call.texts and (ids is None or bool((ids == tokenizer.unk_token_id).any())):
            said = [self._names.named_in(text) for text in call.texts]
            if len(said) != batch:  # which prompt a row belongs to is not known
                said = [frozenset().union(*said)] * batch
            rows = [row | own for row, own in zip(rows or [frozenset()] * batch, said, strict=True)]
        places = [self._place[id(e)] for e in erasers]
        return [
            torch.tensor([place in row for row in rows]) if any(place in row for row in rows) else None
            for place in places
        ]
