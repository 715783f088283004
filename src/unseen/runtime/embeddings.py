"""Embeddings that carry the proof of what they have passed, in a file too."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..errors import DamagedFileError
from ..files import write_whole
from .context.proofs import LEDGER, Proof

_FORMAT = "unseen-embeddings-1"


class Embeddings(dict[str, Tensor]):
    """Arguments for a pipeline, `pipe(**embeddings)`, made by `Handle.encode`.

    In this process they are known to every handle whose erasers, at their strengths, they have passed. `save` writes
    them with their proof; `Embeddings.load` makes them known in another process.
    """

    def __init__(self, tensors: dict[str, Tensor], proof: Proof):
        super().__init__(tensors)
        self.proof = proof

    def packed(self) -> bytes:
        """The content of a safetensors file with the proof in its header."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.items()}
        proven = {"rewritten": self.proof.rewritten, "settled": self.proof.settled}
        facts = {"keys": sorted(self.proof.keys), **proven, "sha256": _digest(tensors)}
        return save(tensors, {_FORMAT: json.dumps(facts)})

    def save(self, path: str | Path) -> None:
        """Write `packed()` to a file."""
        write_whole(Path(path), self.packed())

    @classmethod
    def load(cls, path: str | Path) -> Embeddings:
        """Read what `save` wrote. Raises `DamagedFileError` if it is no such file or was changed."""
        path = Path(path)
        try:
            with safe_open(path, "pt") as file:
                facts: Any = json.loads((file.metadata() or {})[_FORMAT])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dictionary)
            proof = Proof(frozenset(map(str, facts["keys"])), bool(facts["rewritten"]), bool(facts.get("settled")))
            whole = facts["sha256"] == _digest(tensors)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise DamagedFileError(
                f"{path}: is not a file of embeddings that Embeddings.save wrote ({type(error).__name__}). Make them"
                " again with handle.encode(prompts)."
            ) from error
        if not whole:
            raise DamagedFileError(f"{path}: was changed after it was written. Make the embeddings again.")
        LEDGER.record({n: t for n, t in tensors.items() if not n.startswith("negative")}, proof)
        return cls(tensors, proof)


def _digest(tensors: dict[str, Tensor]) -> str:
    return hashlib.sha256(save(tensors)).hexdigest()
