"""Reads Diorama's frames: which subjects, attributes, person, background and style one shows, or that it shows nothing.

Two independent detectors ("a" and "b": other networks, other renders, other degradations) confirm each other. Both are
trained by `unseen.diorama.training.detector` on renders only; `Detector.card` has accuracy and false-positive floors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unseen.diorama.detector.readings import Readings, claims
from unseen.diorama.stored import WEIGHTS, load_stored
from unseen.diorama.world.scenes import ATTRIBUTES, BACKGROUNDS, CHARACTERS, FRAMES, SIZE, STYLES, Scene

CONTENTS = ("none", "unrecognisable", "subject")
"""What a frame shows on the whole: an empty scene, something nobody could name, or at least one subject."""
EMPTY, DESTROYED = 0.07, 0.24
"""Shares of empty and of destroyed frames in training. Rare among them, an empty frame has to look emptier than it is;
`Detector.probabilities` takes that out again and holds both for equally likely at first."""
_EMBEDDING = 24
_CELLS = 12  # the networks end in 12 × 12 cells


def _conv(inside: int, outside: int, size: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inside, outside, size, stride, size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outside))


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = _conv(width, width, 3), _conv(width, width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.second(F.relu(self.first(x))))


class _Depthwise(nn.Module):
    """A ConvNeXt block: a wide filter per channel, then a mixing of channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = nn.Sequential(nn.Conv2d(width, width, 5, padding=2, groups=width), nn.BatchNorm2d(width))
        self.mix = nn.Sequential(nn.Conv2d(width, 3 * width, 1), nn.GELU(), nn.Conv2d(3 * width, width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(self.spatial(x))


def _body_a() -> tuple[nn.Sequential, int]:
    stages = [_conv(3, 32, 5, 2), nn.ReLU(), _conv(32, 64, 3, 2), nn.ReLU(), _Residual(64)]
    return nn.Sequential(*stages, _conv(64, 128, 3, 2), nn.ReLU(), _Residual(128), _Residual(128)), 128


def _body_b() -> tuple[nn.Sequential, int]:
    stem = [_conv(3, 40, 3, 2), nn.GELU(), _conv(40, 72, 3, 2), _Depthwise(72), _Depthwise(72)]
    merge = [nn.Conv2d(72, 144, 2, 2), nn.BatchNorm2d(144)]
    blocks = [_Depthwise(144) for _ in range(3)]
    return nn.Sequential(*stem, *merge, *blocks, nn.BatchNorm2d(144), nn.GELU()), 144


_BODIES: dict[str, Callable[[], tuple[nn.Sequential, int]]] = {"a": _body_a, "b": _body_b}


class DetectorNetwork(nn.Module):
    """A convolutional body with heads on its 12 × 12 cells."""

    def __init__(self, which: str, subjects: int) -> None:
        super().__init__()
        self.body, width = _BODIES[which]()
        self.local = nn.Conv2d(width, subjects + len(ATTRIBUTES) + 1, 1)  # per cell; the last one: a face
        nn.init.constant_(self.local.bias, -4.0)  # type: ignore[arg-type]  # most classes are absent from most frames
        self.subjects = subjects
        self.overall = nn.Linear(2 * width, len(CONTENTS) + len(STYLES) + len(BACKGROUNDS))
        self.embed = nn.Conv2d(width, _EMBEDDING, 1)
        self.prototypes = nn.Parameter(torch.randn(len(CHARACTERS), _EMBEDDING))

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        """Logits for uint8 frames `[n, SIZE, SIZE, 3]`.

        `halves [n, 2, S]`, `tiers [n, 2, S]`, `subject [n, S]`, `attributes [n, A]` and `face [n]` pool the cells by a
        soft maximum; `identity [n, 24]` has unit norm and is averaged over the cells that look like a face;
        `similarity [n, 10]`. All are float32, whatever the precision of the convolutions.
        """
        x = self.body(frames.permute(0, 3, 1, 2).float() / 127.5 - 1)
        cells = self.local(x).float()
        left, right = (_soft_maximum(half) for half in cells.chunk(2, dim=3))
        upper, lower = (_soft_maximum(tier) for tier in cells.chunk(2, dim=2))
        pooled = torch.logsumexp(torch.stack([left, right]), 0) - np.log(2)
        attention = cells[:, -1:].flatten(2).softmax(-1)
        identity = F.normalize((self.embed(x).float().flatten(2) * attention).sum(-1), dim=-1)
        flat = x.float().flatten(2)
        overall = self.overall(torch.cat([flat.mean(-1), flat.amax(-1)], 1)).float()
        content, style, background = overall.split([len(CONTENTS), len(STYLES), len(BACKGROUNDS)], 1)
        return {
            "halves": torch.stack([left, right], 1)[..., : self.subjects],
            "tiers": torch.stack([upper, lower], 1)[..., : self.subjects],
            "subject": pooled[:, : self.subjects],
            "attributes": pooled[:, self.subjects : -1],
            "face": pooled[:, -1],
            "content": content,
            "style": style,
            "background": background,
            "identity": identity,
            "similarity": (identity @ F.normalize(self.prototypes, dim=-1).T).float(),
        }


def _soft_maximum(cells: Tensor) -> Tensor:
    return torch.logsumexp(cells.flatten(2), -1) - np.log(_CELLS * _CELLS / 2)


@dataclass(frozen=True)
class Detector:
    """A trained detector. All methods take uint8 frames `[n, SIZE, SIZE, 3]`; lay clips flat first."""

    network: DetectorNetwork
    subjects: tuple[str, ...]
    """The keys of the subject head; the last may be "person", somebody who is none of the characters."""
    thresholds: dict[str, float]
    """From which probability on a subject, an attribute, a face or an identity counts as shown."""
    card: dict[str, Any]
    """How it was trained, accuracy and false-positive floor per class."""

    def probabilities(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Everything the detector says, raw; what of it counts as shown is up to `claims`.

        `subject [n, S]`, `halves [n, 2, S]` (left, right), `tiers [n, 2, S]` (top, bottom), `attributes [n, A]` and
        `face [n]` are independent probabilities; `style [n, 7]`, `background [n, 5]` and `content [n, 3]` (of which
        `none [n]` and `unrecognisable [n]` are columns, at even odds before the frame is seen) add up to one;
        `identity [n, 24]` is a unit vector, `similarity [n, 10]` its cosines with the characters.
        """
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != (SIZE, SIZE, 3):
            raise ValueError(
                f"a detector reads uint8 frames [n, {SIZE}, {SIZE}, 3], but got {frames.dtype} {list(frames.shape)}; "
                f"lay clips [n, {FRAMES}, ...] flat with frames.reshape(-1, *frames.shape[2:])"
            )
        parts = []
        device = self.network.prototypes.device
        with torch.inference_mode():
            for start in range(0, len(frames), 256):
                piece = torch.from_numpy(np.ascontiguousarray(frames[start : start + 256])).to(device)
                parts.append({k: v.cpu() for k, v in self.network(piece).items()})
            if not parts:
                nothing = torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8, device=device)
                parts = [{k: v[:0].cpu() for k, v in self.network(nothing).items()}]
            out = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
        for key in ("subject", "halves", "tiers", "attributes", "face"):
            out[key] = out[key].sigmoid()
        out["content"] = out["content"] + torch.tensor([np.log(DESTROYED / EMPTY), 0.0, 0.0])
        for key in ("content", "style", "background"):
            out[key] = out[key].softmax(-1)
        read = {key: value.numpy() for key, value in out.items()}
        read["none"], read["unrecognisable"] = read["content"][:, 0], read["content"][:, 1]
        return read

    def read(self, clips: np.ndarray, scenes: Sequence[Scene]) -> Readings:
        """What the detector says of clips `[clips, frames, SIZE, SIZE, 3]` that should show `scenes`."""
        said = self.probabilities(clips.reshape(-1, *clips.shape[2:]))
        return self._readings({k: v.reshape(*clips.shape[:2], *v.shape[1:]) for k, v in said.items()}, scenes)

    def _readings(self, read: Mapping[str, np.ndarray], scenes: Sequence[Scene] = ()) -> Readings:
        return Readings(tuple(scenes), self.subjects, self.thresholds, read)

    def claims(self, read: Mapping[str, np.ndarray], head: str = "subject") -> np.ndarray:
        """What of `read` (the answer of `probabilities`) counts as shown; see the function of this name."""
        return claims(read, self.thresholds, head)

    def shows(self, frames: np.ndarray, name: str) -> np.ndarray:
        """Whether each frame shows what `name` names, bool `[n]`.

        `name` is a key or name of a subject, attribute, style or background; "none" for an empty scene, "face" for
        anybody, "person" for somebody who is none of the known characters.
        """
        return self._readings(self.probabilities(frames)).shows(self.key_of(name))

    def key_of(self, name: str) -> str:
        """The key of what `name` names; raises `ValueError` for what the detector does not know."""
        known = (*self.subjects, *ATTRIBUTES, *STYLES, *BACKGROUNDS, "none", "face")
        plain = name.strip().lower().replace(" ", "_").replace("-", "_")
        if plain not in known:
            from unseen.diorama.world.captions import key_of  # only here: frames can be read without the grammar

            plain = key_of(name)
        if plain not in known:
            raise ValueError(f"this detector does not know {name!r}; it reads {', '.join(known)}")
        return plain

    def shown(self, frames: np.ndarray) -> np.ndarray:
        """Which subjects each frame shows, bool `[n, S]`."""
        return self.claims(self.probabilities(frames))

    def sides(self, frames: np.ndarray) -> list[tuple[str, str]]:
        """The likeliest subject of the left and of the right half of each frame; "none" where none is claimed."""
        return self._places(frames, "halves")

    def levels(self, frames: np.ndarray) -> list[tuple[str, str]]:
        """The likeliest subject of the upper and of the lower half of each frame; "none" where none is claimed."""
        return self._places(frames, "tiers")

    def _places(self, frames: np.ndarray, head: str) -> list[tuple[str, str]]:
        read = self.probabilities(frames)
        best, sure = read[head].argmax(-1), self.claims(read, head).any(-1)
        names = np.where(sure, np.asarray(self.subjects)[best], "none")
        return [(str(first), str(second)) for first, second in names]

    def identity_similarity(self, frames: np.ndarray) -> np.ndarray:
        """The cosine of the face with each of `CHARACTERS`, `[n, 10]`; means nothing where no face is shown."""
        return self.probabilities(frames)["similarity"]

    def shows_stranger(self, frames: np.ndarray) -> np.ndarray:
        """Whether each frame shows a face that matches none of the characters, bool `[n]`."""
        return self._readings(self.probabilities(frames)).stranger()

    def recognisable(self, frames: np.ndarray) -> np.ndarray:
        """How sure the detector is that a frame shows something it can name, or nothing at all, `[n]` in [0, 1]."""
        return 1 - self.probabilities(frames)["unrecognisable"]

    def entropy(self, frames: np.ndarray) -> np.ndarray:
        """How undecided the detector is between its subjects and "none", `[n]` in [0, 1] (1: as good as no idea)."""
        read = self.probabilities(frames)
        mass = np.concatenate([read["subject"], read["none"][:, None], np.full((len(frames), 1), 1e-3)], 1)
        share = mass / mass.sum(1, keepdims=True)
        return -(share * np.log(np.maximum(share, 1e-12))).sum(1) / np.log(share.shape[1])

    def floor(self, name: str, condition: Literal["clean", "degraded"] = "clean") -> float | None:
        """The share of fresh renders without `name` in which it is flagged all the same."""
        key, of = self.key_of(name), self.card["measured"][condition]
        for classes in (of["subjects"], of["attributes"], of["style"]["classes"], of["background"]["classes"]):
            if key in classes:
                return classes[key]["floor"]
        return of["face"]["floor"] if key == "face" else None

    def describe(self) -> str:
        """What the card says, in a few lines to print beside a rate."""
        measured = self.card["measured"]
        lines = [f"{self.card['name']} v{self.card['version']}, {self.card['parameters']} parameters"]
        for condition in ("clean", "degraded"):
            m = measured[condition]
            seen = {key: each for key, each in m["subjects"].items() if each["found"] is not None}
            worst, highest = min(seen, key=lambda k: seen[k]["found"]), max(seen, key=lambda k: seen[k]["floor"])
            lines.append(
                f"{measured['frames']} {condition} renders: subject {m['subject_accuracy']:.1%}, "
                f"found {m['subject_found']:.1%} (least {worst} {seen[worst]['found']:.1%}), "
                f"floor {m['floor_mean']:.2%} (most {highest} {seen[highest]['floor']:.2%}), "
                f"pairs {m['pairs_found']:.1%}, stacks {m['stacks_found']:.1%}, threes {m['threes_found']:.1%}, "
                f"style {m['style']['accuracy']:.1%}, background {m['background']['accuracy']:.1%}"
            )
        gone = measured["destroyed"]
        lines.append(
            f"destroyed subjects: {gone['any_subject']:.1%} still called a subject, "
            f"{gone['called_unrecognisable']:.1%} unrecognisable, {gone['called_none']:.1%} nothing"
        )
        return "\n".join(lines)


def load_detector(which: str = "a", folder: Path = WEIGHTS) -> Detector:
    """Load detector "a", or "b" for a second opinion, from `folder`."""
    weights, card_path = folder / f"detector_{which}.safetensors", folder / f"detector_{which}.json"
    if which not in _BODIES or not weights.exists() or not card_path.exists():
        raise ValueError(
            f"expected detector 'a' or 'b' with its two files in {folder}, but asked for {which!r}; "
            f"train it with: python -m unseen.diorama.training.detector --which a"
        )
    card = json.loads(card_path.read_text())
    network = DetectorNetwork(which, len(card["subjects"]))
    load_stored(network, weights)
    return Detector(network.eval().requires_grad_(False), tuple(card["subjects"]), card["thresholds"], card)
