"""Which embeddings have passed which erasers: a ledger of digests, one for every token's vector.

Pipelines repeat embeddings, slice them, pad them with zeros, put several in a batch and cast them, but they hand the
vectors of single tokens on as they are. So a vector is what is known, in each of the types that it may be cast to.
Digests are made where the tensor lies; only they travel to the host.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

MAX_KNOWN = 1 << 19
"""Vectors that are remembered, in all types together: some thousand prompts; the oldest are forgotten first."""
_CAST_TO = (torch.float32, torch.bfloat16, torch.float16)
_MIX = 0x9E3779B97F4A7C15 - (1 << 64)


class Proof(NamedTuple):
    """What a vector has passed."""

    keys: frozenset[str]
    """Keys of the erasers, at the strengths they had."""
    rewritten: bool
    """Whether paraphrases in its prompt were looked for."""
    settled: bool = False
    """Whether its prompt went through the closed loop."""

    def covers(self, other: Proof) -> bool:
        """Whether what `other` asks for is proven."""
        rewritten, settled = self.rewritten or not other.rewritten, self.settled or not other.settled
        return self.keys >= other.keys and rewritten and settled

    def joined(self, other: Proof) -> Proof:
        """Proven both ways: the same vector came out of two passes."""
        return Proof(self.keys | other.keys, self.rewritten or other.rewritten, self.settled or other.settled)


def digests(vectors: Tensor) -> Tensor:
    """A digest of every vector `[..., d]` → int64 `[...]` on the same device; 0 for a vector of zeros."""
    weights = _weights(vectors.shape[-1], vectors.device)
    bits = (vectors.detach().to(torch.float32) + 0.0).contiguous().view(torch.int32).to(torch.int64)  # −0 becomes 0
    bits = (bits ^ (bits >> 15)) * _MIX
    return (bits * weights).sum(dim=-1)


@lru_cache(maxsize=16)
def _weights(width: int, device: torch.device) -> Tensor:
    """Odd numbers that the values of a vector are weighed with, int64 `[width]`; the same in every process."""
    generator = torch.Generator().manual_seed(width)
    with torch.inference_mode(False):  # kept for calls that are not in inference mode
        return (torch.randint(-(1 << 62), 1 << 62, (width,), generator=generator) * 2 + 1).to(device)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Every tensor in nested lists, tuples and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)


class Ledger:
    """Digest → proof. Safe for threads."""

    def __init__(self, most: int = MAX_KNOWN):
        self._most = most
        self._known: OrderedDict[int, Proof] = OrderedDict()
        self._lock = threading.Lock()

    def record(self, value: Any, proof: Proof) -> None:
        """Every floating-point vector in `value` has passed what `proof` says."""
        for tensor in tensors_in(value):
            # what has no values (on the meta device) stays unknown, and is refused
            if tensor.is_floating_point() and tensor.numel() and tensor.ndim and not tensor.is_meta:
                for dtype in _CAST_TO:
                    # A cast that overflows gives a vector that no model can use; it is known all the same.
                    self._record(digests(tensor.to(dtype)).flatten().unique().tolist(), proof)

    def _record(self, found: Iterable[int], proof: Proof) -> None:
        with self._lock:
            for digest in found:
                before = self._known.pop(digest, None)
                self._known[digest] = proof if before is None else before.joined(proof)
            while len(self._known) > self._most:
                self._known.popitem(last=False)

    def proofs(self, found: Iterable[int]) -> dict[int, Proof]:
        """What is known of these digests; unknown ones are missing."""
        with self._lock:
            return {digest: self._known[digest] for digest in found if digest in self._known}

    def covers(self, tensor: Tensor, wanted: Proof) -> bool:
        """Whether every vector of `tensor` is zero or has passed what is wanted."""
        found = set(digests(tensor).flatten().unique().tolist()) - {0}
        known = self.proofs(found)
        return len(known) == len(found) and all(proof.covers(wanted) for proof in known.values())


LEDGER = Ledger()
"""Of this process."""
