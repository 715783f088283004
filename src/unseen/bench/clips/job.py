"""What is drawn, and under which condition: methods, batches of clips, and digests that tell apart what they depend
on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch

import unseen
from unseen.clear.eraser import ClearEraser

Generate = Callable[..., np.ndarray]
"""`(pipe, prompts, seeds, *, batch_size) -> uint8 [n, frames, H, W, 3]`, as `unseen.diorama.model.pipeline.draw`."""
Drawing = Generator[tuple[int, np.ndarray], None, None]
"""Number of a job and its frames, uint8 `[n, frames, H, W, 3]`, as soon as they are there, in any order."""


def digest(**facts: Any) -> str:
    """SHA-256, hexadecimal, of named facts; any change of a name or a value changes it."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def add_bits(state: Any, tensor: torch.Tensor) -> None:
    """Add a tensor's bits to a hash."""
    state.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)


def weights_fingerprint(pipe: Any) -> str:
    """SHA-256 over every parameter and buffer of the pipeline's parts and their configurations.

    Two pipelines with one fingerprint hold the same numbers, bit for bit.
    """
    state = hashlib.sha256()
    for name, part in sorted(pipe.components.items()):
        if isinstance(part, torch.nn.Module):
            for key, tensor in sorted(part.state_dict().items()):
                state.update(f"{name}.{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
                add_bits(state, tensor)
        settings = getattr(part, "config", None)
        if settings is not None and name == "scheduler":
            # private entries are no settings; one of them lists names in an order that differs between processes
            public = {key: value for key, value in dict(settings).items() if not key.startswith("_")}
            state.update(digest(kind=type(part).__name__, settings=public).encode())
    return state.hexdigest()


def versions() -> dict[str, str]:
    """Of the libraries that turn embeddings and noise into frames."""
    import diffusers

    return {"torch": torch.__version__, "diffusers": diffusers.__version__}


class Applied(Protocol):
    """What puts a method on a pipeline."""

    def __call__(self, pipe: Any, /) -> AbstractContextManager[Any]: ...


@dataclass(frozen=True)
class Method:
    """One way to change what the pipeline draws: an eraser, several, a control, or a baseline."""

    name: str
    """As it is called in tables."""
    key: str
    """Two methods with one key do the same while this process runs."""
    applied_to: Applied
    """`with method.applied_to(pipe):` the pipeline draws with the method, afterwards without it. Workers in other
    processes are sent it, so it should be one that `pickle` can send: `partial(unseen.attach, erasers=eraser)`."""
    text_only: bool = True
    """Whether it acts through the embeddings alone. Then these name its clips; else also its key, and its code."""


def erased_by(name: str, *erasers: ClearEraser, **attached: Any) -> Method:
    """Erasers as a method called `name`, attached with these arguments."""
    key = digest(erasers=sorted(eraser.key for eraser in erasers), **attached)
    return Method(name, key, partial(unseen.attach, erasers=erasers, **attached))


def _as_it_is(pipe: Any) -> AbstractContextManager[None]:
    return nullcontext()


UNEDITED = Method("none", "", _as_it_is)


@dataclass(frozen=True)
class Job:
    """A batch of clips to be drawn together by one method."""

    method: Method
    texts: tuple[str, ...]
    seeds: tuple[int, ...]
    """One a text."""
