"""A small eraser for a planted concept, in parts that can be spoiled before they are written with right checksums."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from unseen.clear.eraser import FORMAT_VERSION, METADATA_FILE, WEIGHTS_FILE
from unseen.concept import Concept
from unseen.files import facts_digest

_WIDTH, _FEATURES, _UNIT = 16, 3, 10.0


@dataclass
class Parts:
    """An eraser for a planted concept, as facts and tensors that can be spoiled before they are written."""

    facts: dict[str, Any]
    tensors: dict[str, Tensor]
    rows: Tensor
    """The planted directions, orthonormal, `[k, d]`."""
    planted: dict[str, Tensor]
    """The tensors as they were."""
    instead: dict[str, Callable[[Path], object]] = field(default_factory=dict)
    """By file name, what makes another file in place of the proper one."""
    raw_facts: Callable[[str], bytes] | None = None
    """Changes the JSON text, whose checksum is then that of the facts."""
    raw_weights: Callable[[bytes], bytes] | None = None
    """Changes the weights before their checksum is taken."""

    def files(self) -> dict[str, bytes]:
        """Both files by name, with right checksums."""
        weights = save({name: tensor.contiguous() for name, tensor in self.tensors.items()})
        weights = weights if self.raw_weights is None else self.raw_weights(weights)
        facts = {"weights_sha256": hashlib.sha256(weights).hexdigest(), **self.facts}
        text = json.dumps({**facts, "sha256": facts_digest(facts)})
        content = text.encode() if self.raw_facts is None else self.raw_facts(text)
        return {METADATA_FILE: content, WEIGHTS_FILE: weights}

    def write(self, folder: Path) -> None:
        """Write both files, or what stands in place of one."""
        for name, content in self.files().items():
            if name in self.instead:
                self.instead[name](folder / name)
            else:
                (folder / name).write_bytes(content)


def sound_parts(rng: random.Random) -> Parts:
    """An eraser that removes three planted directions, in one of the forms that a fit gives."""
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    rows = torch.linalg.qr(torch.randn(_WIDTH, _FEATURES, generator=generator))[0].T.contiguous()
    mean, scale = torch.randn(_WIDTH, generator=generator), torch.tensor(rng.choice((0.5, 1.0, 40.0)))
    elsewhere = torch.randn(2, _WIDTH, generator=generator)
    filled = rng.random() < 0.5
    away = scale * (elsewhere - elsewhere @ rows.T @ rows) * filled
    tensors = {
        "W_enc": rows.T.contiguous(),
        "b_enc": torch.full((_FEATURES,), -0.2),
        "W_dec": rows.clone(),
        "mask": torch.tensor([1.0, 1.0, rng.choice((1.0, 0.8))]),
        "b_dec": mean,
        "scale": scale,
        "gate": torch.tensor([0.3, 0.3, 0.3, rng.choice((1.0, 3.0))]),
        "target": away[0],
        "mean_edit": away[1],
        "witness": mean + scale * torch.tensor([4.0, 5.0, 6.0]) @ rows,
    }
    fired = torch.tensor([3.8, 4.8, 5.8]) * tensors["mask"]
    tensors["witness_edited"] = tensors["witness"] - scale * fired @ rows + away.sum(dim=0) * (fired.norm() / _UNIT)
    concept = Concept("zeppelin", synonyms=rng.choice(((), ("Luftschiff", "飛行船"))))
    facts = {
        "format_version": FORMAT_VERSION,
        "concept": asdict(concept),
        "layer": rng.choice((-1, 0, 23)),
        "strength": rng.choice((1.0, 1.5, 2, 3.0)),
        "unit_firing": _UNIT,
        "max_length": 64,
        "encoder_fingerprint": "0123456789abcdef" * 4,
        "encoder_architecture": rng.choice(("", "fedcba9876543210" * 4)),
        "mentions": rng.random() < 0.5,
        "report": {"seconds": 1.5},
    }
    return Parts(facts, tensors, rows, dict(tensors))
