"""Who is told of what erasers do: an audit log, a callback, the logger."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..errors import UnseenError
from .audit import AuditLog, Event, encoded, event
from .context.call import Record
from .context.erasers import Acted, Erasers
from .rewriting.prepare import Prepared

log = logging.getLogger("unseen")


class Watch(NamedTuple):
    """Who is told of what erasers do."""

    audit: AuditLog | None
    audit_prompts: bool
    on_event: Callable[[Event], None] | None

    @property
    def on(self) -> bool:
        """Whether anybody is told."""
        return self.audit is not None or self.on_event is not None

    def tell(self, made: Event) -> None:
        """Write an event down and hand it on."""
        if self.audit is not None:
            self.audit.write(made)
        if self.on_event is not None:
            self.on_event(made)


def heard_by(watch: Watch, erasers: Erasers) -> Callable[[Sequence[str], Sequence[Prepared], Record], None]:
    """Tells `watch` of every prompt that was encoded."""

    def heard(prompts: Sequence[str], rewrites: Sequence[Prepared], record: Record) -> None:
        base = event("encoded", erasers.wanted().keys, erasers.choice().request_id)
        acted: list[Acted] = record.deltas
        for row, prompt in enumerate(prompts):
            rewrite = rewrites[row] if row < len(rewrites) else None
            watch.tell(encoded(base, row, prompt, rewrite, acted, watch.audit_prompts))

    return heard


def refused_by(watch: Watch, erasers: Erasers) -> Callable[[UnseenError], None]:
    """Tells `watch` and the log of everything that is refused."""

    def refused(error: UnseenError) -> None:
        log.info("refused: %s", error)
        if watch.on:
            made = event("refused", erasers.wanted().keys, erasers.choice().request_id)
            watch.tell({**made, "reason": str(error)})

    return refused
