"""Files of erased embeddings that were changed since."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

import unseen
from unseen.bench.faults.fault import Try, kind, require
from unseen.bench.ways.scene import TARGET, wan
from unseen.runtime.embeddings import Embeddings

_FLIPS = 40


@cache
def _file() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.safetensors"
        s = wan()
        with s.attach() as handle:
            handle.encode(TARGET, max_sequence_length=16).save(path)
        return path.read_bytes()


@kind
def a_bit_of_saved_embeddings_flips() -> Iterator[tuple[str, Try]]:
    """They are refused, or are the same still: an erased embedding never becomes another one unnoticed."""

    def attempt(folder: Path, where: float, bit: int) -> None:
        path = folder / "made.safetensors"
        path.write_bytes(_file())
        honest = {name: value.clone() for name, value in Embeddings.load(path).items() if torch.is_tensor(value)}
        content = bytearray(_file())
        content[int(where * len(content))] ^= 1 << bit
        path.write_bytes(content)
        try:
            loaded = Embeddings.load(path)
        except unseen.UnseenError:
            return
        same = all(torch.equal(loaded[name], value) for name, value in honest.items())
        require(same, "changed embeddings were loaded with their proof")

    for number, (where, bit) in enumerate(np.random.default_rng(5).uniform(0, 1, (_FLIPS, 2))):
        yield f"bit {number + 1}", partial(attempt, where=float(where), bit=int(bit * 8))
