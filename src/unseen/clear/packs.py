"""Packs: erasers of many concepts in one folder or repository, written and read at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..errors import DamagedFileError
from ..files import read_pair, write_pair
from ..hub import fetched, pushed
from .card import card
from .eraser import FILES, ClearEraser

PACK_VERSION = 1
_STEM = "unseen_erasers"
PACK_FILES = (f"{_STEM}.json", f"{_STEM}.safetensors")
MOST = 4096
"""Erasers in one pack."""
_MAX_WEIGHTS = 4 << 30


def save_erasers(erasers: Sequence[ClearEraser], folder: str | Path) -> None:
    """Write a pack, `unseen_erasers.json` and `unseen_erasers.safetensors`, into `folder`.

    Raises `ValueError` for none, too many, or two of one concept at one text encoder.
    """
    marks = [(eraser.name.casefold(), eraser.encoder_fingerprint) for eraser in erasers]
    if not 0 < len(marks) <= MOST or len(set(marks)) < len(marks):
        raise ValueError(
            f"expected 1 to {MOST} erasers, each for another concept or another text encoder, got"
            f" {', '.join(eraser.name for eraser in erasers) or 'none'}."
        )
    facts: list[dict[str, Any]] = []
    tensors: dict[str, Tensor] = {}
    for number, eraser in enumerate(erasers):
        own, numbers = eraser.parts()
        facts.append(own)
        tensors |= {f"{number}.{name}": tensor for name, tensor in numbers.items()}
    write_pair(folder, _STEM, PACK_VERSION, {"erasers": facts}, tensors)


def load_erasers(source: str | Path, *, revision: str | None = None) -> list[ClearEraser]:
    """The erasers of a pack, in their order, or the one that a folder holds; each is tried on its witness.

    Args:
        source: A folder, or a repository on the hub ("org/repo"), which is fetched into the hub's cache.
        revision: Branch, tag or commit on the hub.

    Raises:
        DamagedFileError: As `ClearEraser.from_pretrained`; of a pack with one bad eraser nothing is loaded.
        LoadError: There is no such repository, or it cannot be reached.
    """
    folder = fetched(source, (PACK_FILES, FILES), revision=revision)
    if not (folder / PACK_FILES[0]).exists():
        return [ClearEraser.from_pretrained(folder)]
    facts, tensors = read_pair(folder, _STEM, PACK_VERSION, {"erasers": list}, _MAX_WEIGHTS)
    where = folder / PACK_FILES[0]
    if not 0 < len(facts["erasers"]) <= MOST:
        raise DamagedFileError(f"{where}: expected 1 to {MOST} erasers, got {len(facts['erasers'])}.")
    own: list[dict[str, Tensor]] = [{} for _ in facts["erasers"]]
    for name, tensor in tensors.items():
        number, _, rest = name.partition(".")
        if not number.isascii() or not number.isdigit() or int(number[:6]) >= len(own):
            raise DamagedFileError(
                f"{where}: expected tensors of {len(own)} erasers, got {name[:40]!r}. Save it again."
            )
        own[int(number[:6])][rest] = tensor
    return [ClearEraser.from_parts(one, numbers, where) for one, numbers in zip(facts["erasers"], own, strict=True)]


def push_to_hub(
    erasers: ClearEraser | Sequence[ClearEraser],
    repo_id: str,
    *,
    revision: str | None = None,
    private: bool | None = None,
    token: str | None = None,
    license: str | None = None,
    rates: Mapping[str, Mapping[str, str]] | None = None,
) -> str:
    """Publish one eraser, or a pack of several, with a card, in one commit.

    Args:
        erasers: What to publish.
        repo_id: "org/repo"; made if there is none.
        revision: Branch, made if there is none; default is the repository's main one.
        private: Whether a new repository is private; default is the organisation's.
        token: Default is the one that `hf auth login` stored.
        license: An identifier that the hub knows, such as "apache-2.0".
        rates: By concept, what was measured on video: `{"church": {"frames that show it": "0 % [0, 3]"}}`.

    Returns:
        The commit, which `from_pretrained(repo_id, revision=...)` takes.

    Raises:
        LoadError: The hub cannot be reached, or refuses.
        ValueError: Erasers that make no pack, or rates of another concept.
    """
    given = [erasers] if isinstance(erasers, ClearEraser) else list(erasers)

    def write(folder: Path) -> None:
        if isinstance(erasers, ClearEraser):
            erasers.save_pretrained(folder)
        else:
            save_erasers(given, folder)

    return pushed(
        repo_id,
        write,
        card_of(given, license=license, rates=rates, source=repo_id),
        revision=revision,
        private=private,
        token=token,
        replaces=(*FILES, *PACK_FILES),
    )


def card_of(
    erasers: Sequence[ClearEraser],
    *,
    license: str | None = None,
    rates: Mapping[str, Mapping[str, str]] | None = None,
    source: str = "org/repo",
) -> str:
    """The card of a repository with these erasers, in Markdown."""
    facts: list[dict[str, Any]] = [{**e.parts()[0], "key": e.key, "features": e.num_features} for e in erasers]
    return card(facts, license, rates, source)
