"""From prompts to clips: named by what the denoiser is given, drawn where no clip of that name is kept; or rendered.

A clip that was made once is never made again.
"""

from __future__ import annotations

import hashlib
import inspect
import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from tqdm import tqdm

import unseen
from unseen.bench.clips.engines import Engine
from unseen.bench.clips.job import UNEDITED, Job, Method, add_bits, digest, versions
from unseen.bench.prompts.writer import Prompt
from unseen.diorama.world.concepts import without
from unseen.diorama.world.render import render
from unseen.files import write_whole


@dataclass(frozen=True)
class Clips:
    """What was drawn for some prompts by one method."""

    prompts: tuple[Prompt, ...]
    frames: np.ndarray
    """uint8 `[prompts, frames, H, W, 3]`"""
    identical: np.ndarray
    """bool `[prompts]`: the denoiser is given what it is given without the method, so the clip is the base clip."""
    names: tuple[str, ...] = ()
    """Under which each is kept."""


class ClipStore:
    """Clips on disk, one compressed file each, under `folder/<two letters>/<name>.npz`.

    A clip's name is a digest of everything that the denoiser is given, and of the denoiser. So whatever changes in the
    code that edits embeddings, a clip is found again only if the same embeddings come out.
    """

    def __init__(self, folder: str | Path, *, weights: str, call: Mapping[str, Any]):
        """`weights` is the `weights_fingerprint`; `call` are the arguments of the pipeline call that shape a clip."""
        self.folder = Path(folder)
        settings = {key: str(value) for key, value in call.items()}
        self._common = {"weights": weights, "call": settings, "versions": versions()}

    def name(self, given: str, seed: int) -> str:
        """Name of the clip from noise `seed` where `given` is the digest of the embeddings (see `make`)."""
        return digest(**self._common, given=given, seed=int(seed))

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.npz"

    def load(self, name: str) -> np.ndarray | None:
        """The clip, uint8 `[frames, H, W, 3]`, or None where there is none (a damaged file counts as none)."""
        path = self._path(name)
        try:
            with np.load(path, allow_pickle=False) as stored:
                return stored["frames"]
        except FileNotFoundError:
            return None
        except (BadZipFile, ValueError, EOFError, KeyError, OSError):
            path.unlink(missing_ok=True)  # it will be made again
            return None

    def save(self, name: str, frames: np.ndarray) -> None:
        """Keep a clip; the file appears complete or not at all, so an interruption leaves nothing half written."""
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        file = io.BytesIO()
        np.savez_compressed(file, frames=frames)
        write_whole(path, file.getvalue())


def rendered(key: str, prompts: Sequence[Prompt], *, erased: bool = False) -> Clips:
    """Exact renders of the prompts' scenes: what a perfect video model would draw, without an eraser or, where the
    concept is `erased`, with a perfect one."""
    shown = [without(p.scene, key) if erased else p.scene for p in prompts]
    frames = np.stack([render(scene, p.seed) for scene, p in zip(shown, prompts, strict=True)])
    return Clips(tuple(prompts), frames, np.zeros(len(prompts), bool))


def embeddings(pipe: Any, text: str, call: dict[str, Any]) -> list[torch.Tensor]:
    """All tensors that the pipeline's `encode_prompt` gives for one prompt, guidance and length as in `call`.

    One prompt at a time: the rounding of an embedding may depend on what else is in its batch.
    """
    known = inspect.signature(type(pipe).encode_prompt).parameters
    options = {
        "do_classifier_free_guidance": call.get("guidance_scale", 0) > 1,
        "max_sequence_length": call.get("max_sequence_length"),
    }
    options = {name: value for name, value in options.items() if name in known and value is not None}
    with torch.no_grad():
        made = pipe.encode_prompt([text], **options)
    return [value for value in (made if isinstance(made, tuple) else (made,)) if torch.is_tensor(value)]


def _bits(tensors: Iterable[torch.Tensor]) -> str:
    state = hashlib.sha256()
    for tensor in tensors:
        state.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        add_bits(state, tensor)
    return state.hexdigest()


@cache
def acting_code() -> str:
    """Digest of the code of all baselines and of what they act through: what a method does in the denoiser cannot be
    seen in embeddings, so its clips are as old as this code."""
    root = Path(unseen.__file__).parent
    files = sorted(path for part in ("baselines", "runtime") for path in (root / part).rglob("*.py"))
    return digest(code={path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in files})


def _batches(things: Sequence[Any], size: int) -> Iterable[Sequence[Any]]:
    return (things[start : start + size] for start in range(0, len(things), size))


@dataclass
class Runner:
    """Has clips drawn, for one pipeline, and keeps them in one store."""

    pipe: Any
    """Is asked for embeddings; the clips are drawn by `engine`."""
    store: ClipStore
    engine: Engine
    call: dict[str, Any]
    """Arguments of the pipeline call."""
    batch_size: int = 8
    progress: bool = True
    drawn: int = 0
    """Clips drawn by this runner so far, not counting those found in the store or reused."""
    _given: dict[tuple[str, str], str] = field(default_factory=dict)
    """By the method's key and text."""

    def clips(self, prompts: Sequence[Prompt], method: Method = UNEDITED) -> Clips:
        """Clips of `prompts` under `method`, from the store where they lie there; every finished batch is kept at once.

        A prompt that the method encodes bit-identically is not drawn again: its base clip has the same name.
        """
        self.prepare([(prompts, method)])
        names = tuple(self.names(prompts, method))
        frames = []
        for name in names:
            clip = self.store.load(name)
            assert clip is not None, "a clip that was just kept is gone"
            frames.append(clip)
        stacked = np.stack(frames) if frames else np.zeros((0, 0, 0, 0, 3), np.uint8)
        identical = self.unchanged(prompts, method) & (method is not UNEDITED)
        return Clips(tuple(prompts), stacked, identical, names)

    def prepare(self, asked: Iterable[tuple[Sequence[Prompt], Method]]) -> None:
        """Draw what calls of `clips` with these arguments will ask for; all in one go, so that many workers are busy.

        A call's batches are always composed in the same way, and one of which some clips are missing is drawn whole.
        So an interrupted run ends with the same frames as one that was not interrupted.
        """
        jobs: list[Job] = []
        missing: list[dict[str, int]] = []  # for each job, names of clips to keep, with their place in the batch
        planned: set[str] = set()
        for prompts, method in asked:
            identical = self.unchanged(prompts, method)
            for edit, members in ((UNEDITED, identical), (method, ~identical)):
                chosen = [prompts[i] for i in np.flatnonzero(members).tolist()]
                # by name, so that a prompt asked for twice is drawn once
                wanted = dict(zip(self.names(chosen, edit), chosen, strict=True))
                for batch in _batches(list(wanted.items()), self.batch_size):
                    new = {
                        name: place
                        for place, (name, _) in enumerate(batch)
                        if name not in planned and self.store.load(name) is None
                    }
                    if new:
                        planned |= set(new)
                        missing.append(new)
                        jobs.append(Job(edit, tuple(p.text for _, p in batch), tuple(p.seed for _, p in batch)))
        self._draw(jobs, missing)

    def names(self, prompts: Sequence[Prompt], method: Method = UNEDITED) -> list[str]:
        """Names of the clips of `prompts` under `method`."""
        given = self._digests([prompt.text for prompt in prompts], method)
        acting = "" if method.text_only else f" {method.key} {acting_code()}"
        return [self.store.name(one + acting, p.seed) for one, p in zip(given, prompts, strict=True)]

    def unchanged(self, prompts: Sequence[Prompt] | Sequence[str], method: Method) -> np.ndarray:
        """bool `[prompts]`: whether the denoiser is given, under `method`, what it is given without it."""
        texts = [prompt if isinstance(prompt, str) else prompt.text for prompt in prompts]
        if method is UNEDITED or not method.text_only:
            return np.full(len(texts), method is UNEDITED)
        pairs = zip(self._digests(texts, UNEDITED), self._digests(texts, method), strict=True)
        return np.asarray([before == after for before, after in pairs], bool)

    def _digests(self, texts: Sequence[str], method: Method) -> list[str]:
        new = [text for text in dict.fromkeys(texts) if (method.key, text) not in self._given]
        if new:
            with method.applied_to(self.pipe):
                for text in new:
                    self._given[method.key, text] = _bits(embeddings(self.pipe, text, self.call))
        return [self._given[method.key, text] for text in texts]

    def _draw(self, jobs: Sequence[Job], missing: Sequence[dict[str, int]]) -> None:
        names = sorted({job.method.name for job in jobs})
        what = names[0] if len(names) == 1 else f"{len(names)} methods"
        total = sum(len(job.texts) for job in jobs)
        with (
            tqdm(total=total, desc=f"clips, {what}", unit="clip", disable=not (self.progress and jobs)) as bar,
            closing(self.engine.draw(jobs)) as drawing,
        ):
            for number, frames in drawing:
                for name, place in missing[number].items():
                    self.store.save(name, frames[place])
                self.drawn += len(frames)
                bar.update(len(frames))
