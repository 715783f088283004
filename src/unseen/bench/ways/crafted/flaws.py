"""Ways in which an eraser on disk may be wrong although its checksums are right.

Every flaw is a function that spoils `Parts` and says in a few words how.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unseen.bench.ways.crafted.planted import Parts
from unseen.clear.eraser import FORMAT_VERSION, METADATA_FILE, WEIGHTS_FILE

Flaw = Callable[[Parts, random.Random], str]

# Numbers


def _poke(parts: Parts, rng: random.Random) -> str:
    name, value = rng.choice(sorted(parts.tensors)), rng.choice((torch.nan, torch.inf, -torch.inf))
    flat = parts.tensors[name].clone().reshape(-1)
    flat[rng.randrange(len(flat))] = value
    parts.tensors[name] = flat.reshape(parts.tensors[name].shape)
    return f"one {value} in {name}"


def _fill(parts: Parts, rng: random.Random) -> str:
    name, value = rng.choice(sorted(parts.tensors)), rng.choice((torch.nan, torch.inf, -torch.inf))
    parts.tensors[name] = torch.full_like(parts.tensors[name], value)
    return f"{name} all {value}"


def _cast(parts: Parts, rng: random.Random) -> str:
    name = rng.choice(sorted(parts.tensors))
    kinds = (torch.int64, torch.int32, torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn)
    kind = rng.choice(kinds)
    parts.tensors[name] = parts.tensors[name].to(kind)
    return f"{name} as {kind}"


def _shape(parts: Parts, rng: random.Random) -> str:
    name = rng.choice(sorted(parts.tensors))
    kind = rng.choice(("empty", "shorter", "longer", "one more dimension", "scalar", "transposed"))
    tensor = parts.tensors[name]
    changed = {
        "empty": lambda: tensor.new_zeros(0),
        "shorter": lambda: tensor.reshape(-1)[:-1],
        "longer": lambda: torch.cat([tensor.reshape(-1), tensor.new_zeros(1)]),
        "one more dimension": lambda: tensor[None],
        "scalar": lambda: tensor.sum() if tensor.dim() else tensor[None],
        "transposed": lambda: tensor.T if tensor.dim() == 2 else tensor[None, None],
    }[kind]()
    parts.tensors[name] = changed.contiguous()
    return f"{name} {kind}"


def _features(parts: Parts, rng: random.Random) -> str:
    keep = rng.choice((0, 0, 2))
    for name in rng.choice((("W_dec",), ("W_enc", "b_enc"), ("W_enc", "b_enc", "W_dec", "mask", "gate"))):
        tensor = parts.tensors[name]
        parts.tensors[name] = tensor[:, :keep] if name == "W_enc" else tensor[:keep]
    return f"{keep} features"


def _set(name: str, change: Callable[[Tensor], Tensor], words: str) -> Flaw:
    def flaw(parts: Parts, rng: random.Random) -> str:
        if name in parts.tensors:
            parts.tensors[name] = change(parts.tensors[name])
        return f"{name} {words}"

    return flaw


_USELESS: tuple[Flaw, ...] = (
    _set("gate", lambda t: -t, "negative"),
    _set("gate", lambda t: torch.cat([t[:-1], torch.tensor([1e30])]), "never opens"),
    _set("gate", lambda t: torch.cat([t[:-1] * 0, torch.tensor([0.0])]), "weighs nothing"),
    _set("mask", lambda t: t * 0, "zero"),
    _set("mask", lambda t: t * 1e-40, "tiny"),
    _set("mask", lambda t: t + 1, "above 1"),
    _set("mask", lambda t: -t, "negative"),
    _set("scale", lambda t: t * 0, "zero"),
    _set("scale", lambda t: -t, "negative"),
    _set("scale", lambda t: t * 1e30, "huge"),
    _set("scale", lambda t: t * 1e-30, "tiny"),
    _set("W_dec", lambda t: t * 0, "zero"),
    _set("W_dec", lambda t: -t, "turned round"),
    _set("W_dec", lambda t: t * 1e-20, "tiny"),
    _set("W_dec", lambda t: t * 1e20, "huge"),
    _set("W_dec", lambda t: t.roll(1, dims=0), "in another order"),
    _set("W_enc", lambda t: t * 0, "zero"),
    _set("W_enc", lambda t: -t, "turned round"),
    _set("W_enc", lambda t: t * 1e20, "huge"),
    _set("b_enc", lambda t: t - 1e6, "never overcome"),
    _set("b_enc", lambda t: t + 1e6, "always on"),
    _set("b_dec", lambda t: t + 1e30, "huge"),
    _set("target", lambda t: t + 1e30, "huge"),
    _set("mean_edit", lambda t: t - 1e30, "huge"),
    _set("witness", lambda t: t * 0, "zero"),
    _set("witness", lambda t: t + 1e30, "huge"),
)


def _useless(parts: Parts, rng: random.Random) -> str:
    return rng.choice(_USELESS)(parts, rng)


def _tensor_names(parts: Parts, rng: random.Random) -> str:
    name = rng.choice(sorted(parts.tensors))
    kind = rng.choice(("missing", "renamed", "doubled"))
    tensor = parts.tensors[name] if kind == "doubled" else parts.tensors.pop(name)
    if kind != "missing":
        parts.tensors[f"{name}_"] = tensor.clone()
    return f"{name} {kind}"


def _untried(parts: Parts, rng: random.Random) -> str:
    del parts.tensors["witness"], parts.tensors["witness_edited"]
    return f"no witness, and {rng.choice((_poke, _cast, _shape, _features, _useless))(parts, rng)}"


# Facts

_WRONG: dict[str, tuple[Any, ...]] = {
    "layer": (-5, 10**9, 10**300, True, 1.0, 1.5, "1", None, [], {}),
    "strength": (-1.0, float("nan"), float("inf"), -float("inf"), "NaN", "1", True, None, [], 10**400, -(10**400)),
    "unit_firing": (0, -1.0, float("nan"), float("inf"), True, "1", None, 1e30, 1e-30),
    "max_length": (0, -1, 64.0, True, None, "64", 10**18),
    "encoder_fingerprint": ("", "0" * 63, "G" * 64, 7, None, [], "0123456789ABCDEF" * 4, "0" * 64 + "\n"),
    "encoder_architecture": ("0" * 63, None, 0, False, [], {}, "G" * 64),
    "mentions": (0, 1, "yes", None, []),
    "report": ([], None, "none", 1, {"nan": float("nan")}, {"lone": "\ud800"}),
    "concept": ([], None, "zeppelin", {}, {"name": "zeppelin"}, 1),
    "format_version": (3, 5, True, None, "4", float(FORMAT_VERSION), [], {}),
    "weights_sha256": (None, 1, "", "0" * 64, []),
}
_WRONG_CONCEPT: dict[str, tuple[Any, ...]] = {
    "name": ("", " ", None, 1, [], " zeppelin", "\ud800", True, {}),
    "kind": ("", "thing", None, 1, [], {}),
    "synonyms": ("blimp", None, [1], [""], [[]], ["zeppelin"], {"a": 1}, [None], 1, ["\udfff"]),
    "replace_with": ("", 1, [], "zeppelin", True, {}),
}


def _wrong_fact(parts: Parts, rng: random.Random) -> str:
    name = rng.choice(sorted(_WRONG))
    parts.facts[name] = rng.choice(_WRONG[name])
    return f"{name} = {parts.facts[name]!a:.40}"


def _wrong_concept(parts: Parts, rng: random.Random) -> str:
    name = rng.choice(sorted(_WRONG_CONCEPT))
    parts.facts["concept"][name] = rng.choice(_WRONG_CONCEPT[name])
    return f"concept's {name} = {parts.facts['concept'][name]!a:.40}"


def _missing(parts: Parts, rng: random.Random) -> str:
    of = parts.facts if rng.random() < 0.7 else parts.facts["concept"]
    name = rng.choice(sorted(of))
    del of[name]
    if rng.random() < 0.3:
        of[f"{name}_"] = 1
    return f"{name} missing"


def _more(parts: Parts, rng: random.Random) -> str:
    of = rng.choice((parts.facts, parts.facts["concept"]))
    of[rng.choice(("typical", "replacement", "__class__", "", "self"))] = 1
    return "a key too many"


def _deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


_TEXTS: dict[str, Callable[[str], bytes]] = {
    "200,000 brackets": lambda text: b"[" * 200_000,
    "200,000 brackets in the report": lambda text: text.replace('{"seconds"', "[" * 200_000 + '{"seconds"').encode(),
    "not UTF-8": lambda text: text.encode("utf-16"),
    "a byte order mark": lambda text: text.encode("utf-8-sig"),
    "empty": lambda text: b"",
    "null": lambda text: b"null",
    "a list": lambda text: f"[{text}]".encode(),
    "a string": lambda text: b'"eraser"',
    "strength twice": lambda text: ('{"strength": 0, ' + text[1:]).encode(),
    "a number of 100,000 digits": lambda text: ('{"layer": ' + "1" * 100_000 + ", " + text[1:]).encode(),
    "1e999": lambda text: text.replace("1.5}", "1e999}").encode(),
    "a Git LFS pointer": lambda text: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "20 MB of spaces": lambda text: text.encode() + b" " * 20_000_000,
}


def _text(parts: Parts, rng: random.Random) -> str:
    if rng.random() < 0.1:
        levels = rng.choice((50, 400, 900))
        parts.facts["report"] = {"deep": _deep(levels)}
        parts.facts["layer"] = "deep"
        return f"a report {levels} deep, and a wrong layer"
    words = rng.choice(sorted(_TEXTS))
    parts.raw_facts = _TEXTS[words]
    return words


# The container


def _header(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def rewrite(weights: bytes) -> bytes:
        size = int.from_bytes(weights[:8], "little")
        made = json.dumps(change(json.loads(weights[8 : 8 + size]))).encode()
        return len(made).to_bytes(8, "little") + made + weights[8 + size :]

    return rewrite


def _entry(**changes: Any) -> Callable[[bytes], bytes]:
    return _header(lambda header: {**header, "W_dec": {**header["W_dec"], **changes}})


_CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "seven bytes": lambda data: data[:7],
    "header of 2^63 bytes": lambda data: (2**63).to_bytes(8, "little") + data[8:],
    "header of 100 MB": lambda data: (100_000_000).to_bytes(8, "little") + data[8:],
    "header of brackets": lambda data: (200_000).to_bytes(8, "little") + b"[" * 200_000,
    "header a list": _header(lambda header: [header]),
    "header empty": _header(lambda header: {}),
    "bytes missing": lambda data: data[:-4],
    "bytes left over": lambda data: data + b"\0" * 16,
    "shape too large": _entry(shape=[2**31, 2**31, 2**31]),
    "shape negative": _entry(shape=[-3, -16]),
    "shape of fractions": _entry(shape=[3.0, 16.0]),
    "a shape that the bytes do not fill": _entry(shape=[3, 15]),
    "100,000 dimensions": _entry(shape=[1] * 100_000),
    "offsets outside": _entry(data_offsets=[0, 2**40]),
    "offsets turned round": _entry(data_offsets=[192, 0]),
    "offsets of another": _entry(data_offsets=[64, 256]),
    "a dtype nobody knows": _entry(dtype="F7"),
    "a dtype of another size": _entry(dtype="F64"),
    "a dtype that is a list": _entry(dtype=["F32"]),
    "an entry without a shape": _header(lambda header: {**header, "W_dec": {"dtype": "F32"}}),
    "an entry null": _header(lambda header: {**header, "W_dec": None}),
    "metadata of numbers": _header(lambda header: {**header, "__metadata__": {"a": 1}}),
    "a Git LFS pointer": lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "a pickle": lambda data: b"\x80\x04cposix\nsystem\n(Vtrue\ntR.",
}


def _container(parts: Parts, rng: random.Random) -> str:
    words = rng.choice(sorted(_CONTAINERS))
    parts.raw_weights = _CONTAINERS[words]
    return words


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


_FILES: dict[str, Callable[[Path], object]] = {
    "a named pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a link to /dev/stdin": lambda path: path.symlink_to("/dev/stdin"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nothing": lambda path: path.symlink_to(path.with_name("nothing")),
    "a terabyte": _sparse,
    "missing": lambda path: None,
}


def _file(parts: Parts, rng: random.Random) -> str:
    name, words = rng.choice((METADATA_FILE, WEIGHTS_FILE)), rng.choice(sorted(_FILES))
    parts.instead[name] = _FILES[words]
    return f"{name} is {words}"


FLAWS: dict[str, Flaw] = {
    "not finite": _poke,
    "not finite at all": _fill,
    "dtype": _cast,
    "shape": _shape,
    "features": _features,
    "erases nothing": _useless,
    "tensors": _tensor_names,
    "untried": _untried,
    "fact": _wrong_fact,
    "name": _wrong_concept,
    "missing": _missing,
    "too many": _more,
    "JSON": _text,
    "container": _container,
    "file": _file,
}
"""By kind, what spoils an eraser and says how."""
