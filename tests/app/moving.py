"""Small videos for the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from unseen.bench.views.media import write_mp4


def write_clip(path: Path, *, speed: int) -> None:
    """Nine frames of one picture that moves `speed` pixels to the right from frame to frame."""
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[16:48, 8:32] = 255
    write_mp4(path, np.stack([np.roll(picture, speed * frame, axis=1) for frame in range(9)]))
