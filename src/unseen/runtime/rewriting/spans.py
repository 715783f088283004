"""Runs of words in a prompt, and which of their neighbours belong to them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from .matching import Word

_RUN = 4  # words of the phrase that is asked
_LINK = 4  # words from the head of a description to what describes it
_REACH = 2  # content words on each side that a run may take in


def joined(seen: Sequence[Word], places: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of neighbouring places without a pause between them."""
    runs: list[tuple[int, int]] = []
    for place in places:
        if runs and place == runs[-1][1] + 1 and not seen[place].paused and place - runs[-1][0] < _RUN:
            runs[-1] = (runs[-1][0], place)
        else:
            runs.append((place, place))
    return runs


def around(seen: Sequence[Word], first: int, last: int) -> tuple[int, int]:
    """A single word with the content word directly before it, which may make it something else: "felt ball"."""
    before = first == last and first > 0 and seen[first - 1].content and not seen[first].paused
    return (first - 1, last) if before else (first, last)


def whole(seen: Sequence[Word], first: int, last: int) -> tuple[int, int]:
    """The run with the content words that touch it, up to `_RUN` words: "carved image inked"."""
    while first > 0 and seen[first - 1].content and not seen[first].paused and last - first + 1 < _RUN:
        first -= 1
    while last + 1 < len(seen) and seen[last + 1].content and not seen[last + 1].paused and last - first + 1 < _RUN:
        last += 1
    return first, last


def head(seen: Sequence[Word], first: int) -> int | None:
    """The word that the run may describe: "woman" before "behind the midnight bakery"."""
    start = first
    while start > 0 and seen[start - 1].content and not seen[start].paused and first - start < 2:
        start -= 1
    for place in range(start - 1, max(start - 1 - _LINK, -1), -1):
        if seen[place + 1].paused:
            return None
        if seen[place].content:
            return place if place < start - 1 else None
    return None


def reach(seen: Sequence[Word], first: int, last: int, barred: Collection[int]) -> tuple[list[int], list[int]]:
    """Where a run may begin and where it may end, the run's own places first: at content words of its own clause."""
    starts, ends = [first], [last]
    for place in range(first - 1, -1, -1):
        if place in barred or seen[place + 1].paused or len(starts) > _REACH:
            break
        if seen[place].content:
            starts.append(place)
    for place in range(last + 1, len(seen)):
        if place in barred or seen[place].paused or len(ends) > _REACH:
            break
        if seen[place].content:
            ends.append(place)
    return starts, ends
