"""A clip as the file that a client asked for."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np

Kind = Literal["mp4", "gif", "npy"]
MEDIA_TYPES: dict[str, str] = {"mp4": "video/mp4", "gif": "image/gif", "npy": "application/octet-stream"}


def as_file(frames: np.ndarray, kind: Kind, fps: float) -> bytes:
    """uint8 frames `[n, H, W, 3]` as H.264, as a GIF that loops, or as they are (numpy, for programs)."""
    if kind == "npy":
        body = io.BytesIO()
        np.save(body, frames, allow_pickle=False)
        return body.getvalue()
    return _gif(frames, fps) if kind == "gif" else _mp4(frames, fps)


def _gif(frames: np.ndarray, fps: float) -> bytes:
    from PIL import Image

    body = io.BytesIO()
    first, *rest = [Image.fromarray(frame) for frame in frames]
    first.save(body, "GIF", save_all=True, append_images=rest, duration=round(1000 / fps), loop=0)
    return body.getvalue()


def _mp4(frames: np.ndarray, fps: float) -> bytes:
    from unseen.bench.views.media import write_mp4

    with tempfile.TemporaryDirectory(prefix="unseen-") as folder:
        path = Path(folder) / "clip.mp4"  # the index of an MP4 is written at its end, so a pipe will not do
        write_mp4(path, frames, fps, loops=1)
        return path.read_bytes()
