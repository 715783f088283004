"""Four of VBench's dimensions as functions of frames; the network that each stands on is passed in.

Definitions after Huang et al., "VBench: Comprehensive Benchmark Suite for Video Generative Models" (CVPR 2024) and its
public code: which frames, how they are scaled, how scores become one number. With ViCLIP (InternVid-10M-FLT), MUSIQ
(SPAQ), CLIP ViT-L/14 with LAION's linear head, and AMT-S the numbers are VBench's. With any other network they are not,
and must not be called by its names: `Score.name` carries the name of the network that was passed in.

Frames are uint8 `[T, H, W, 3]`, RGB.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from unseen.errors import FramesError

ORIGINAL = {
    "overall_consistency": "ViCLIP-InternVid-10M-FLT",
    "imaging_quality": "MUSIQ-SPAQ",
    "aesthetic_quality": "CLIP-ViT-L/14+LAION-linear",
    "motion_smoothness": "AMT-S",
}
"""The network of each dimension."""
CONSISTENCY_FRAMES = 8
TEXT_TOKENS = 32
"""Tokens of a prompt that count for overall consistency."""
CLIP_SIDE = 224
IMAGING_SIDE = 512
_MEAN = (0.48145466, 0.4578275, 0.40821073)
_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
_BATCH = 16


@dataclass(frozen=True)
class Score:
    """One video's score in one dimension."""

    name: str
    """The dimension's name; with another network than VBench's that network's name follows in brackets, and "VBench"
    appears nowhere."""
    value: float
    """On the scale of VBench's summary, 0 to 1 (a cosine for overall consistency). NaN where it is undefined."""
    frames: int
    """Frames that the value rests on."""


def _score(dimension: str, backbone: str, value: float, frames: int) -> Score:
    if not backbone.strip():
        raise ValueError(f"{dimension}: expected the name of the network that was passed in, got nothing; name it.")
    name = f"vbench_{dimension}" if backbone == ORIGINAL[dimension] else f"{dimension} ({backbone})"
    return Score(name, value, frames)


def require_frames(frames: np.ndarray) -> np.ndarray:
    """`frames`, if they are uint8 `[T, H, W, 3]` with at least one frame and pixel; else `FramesError`."""
    array = np.asarray(frames)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3 or not array.size:
        raise FramesError(f"expected frames as uint8 [T, H, W, 3], not empty, but got {array.dtype} {array.shape}")
    return array


def middle_frames(frames: int, count: int = CONSISTENCY_FRAMES) -> list[int]:
    """The middle frame of each of `count` equal intervals; of fewer frames all, and the last one again and again."""
    if frames < 1:
        raise FramesError(f"expected at least one frame, got {frames}")
    edges = [i * frames // min(count, frames) for i in range(min(count, frames) + 1)]
    chosen = [(first + after - 1) // 2 for first, after in itertools.pairwise(edges)]
    return chosen + [chosen[-1]] * (count - len(chosen))


def clip_input(frames: np.ndarray, *, whole_levels: bool, side: int = CLIP_SIDE) -> Tensor:
    """What CLIP reads, float32 `[T, 3, side, side]`: short side to `side` (bicubic, not antialiased), centre crop.

    With `whole_levels` scaled pixels are rounded to 0..255, as VBench's consistency does; its aesthetic quality keeps
    the fractions, and what bicubic interpolation overshoots.
    """
    pixels = torch.from_numpy(require_frames(frames)).permute(0, 3, 1, 2).float()
    height, width = pixels.shape[-2:]
    size = (side, int(side * width / height)) if height <= width else (int(side * height / width), side)
    if size != (height, width):
        pixels = functional.interpolate(pixels, size, mode="bicubic", align_corners=False)
    if whole_levels:
        pixels = pixels.round().clamp(0, 255)
    top, left = round((size[0] - side) / 2), round((size[1] - side) / 2)
    pixels = pixels[:, :, top : top + side, left : left + side] / 255
    return (pixels - torch.tensor(_MEAN).view(3, 1, 1)) / torch.tensor(_DEVIATION).view(3, 1, 1)


def imaging_input(frames: np.ndarray) -> Tensor:
    """What MUSIQ reads, float32 in 0..1 `[T, 3, h, w]`: the long side brought down to 512 where it is longer
    (bilinear, not antialiased, sides rounded down)."""
    pixels = torch.from_numpy(require_frames(frames)).permute(0, 3, 1, 2).float()
    height, width = pixels.shape[-2:]
    if max(height, width) > IMAGING_SIDE:
        scale = IMAGING_SIDE / max(height, width)
        size = (max(1, int(scale * height)), max(1, int(scale * width)))
        pixels = functional.interpolate(pixels, size, mode="bilinear", align_corners=False)
    return pixels / 255


def _batches(frames: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(frames), _BATCH):
        yield frames[start : start + _BATCH]


def overall_consistency(
    frames: np.ndarray,
    prompt: str,
    encode_video: Callable[[Tensor], Tensor],
    encode_text: Callable[[str, int], Tensor],
    *,
    backbone: str,
) -> Score:
    """Cosine of the video's and the prompt's embedding.

    Args:
        frames: the video.
        prompt: what it was asked to show.
        encode_video: from float32 `[1, 8, 3, 224, 224]` to `[1, d]`.
        encode_text: from the prompt and the number of tokens to cut it to (32) to `[1, d]`.
        backbone: the network's name; `ORIGINAL["overall_consistency"]` for VBench's.

    Raises:
        FramesError: frames of another shape or type, or none.
    """
    chosen = require_frames(frames)[middle_frames(len(frames))]
    with torch.no_grad():
        video = encode_video(clip_input(chosen, whole_levels=True)[None]).float().reshape(-1)
        text = encode_text(prompt, TEXT_TOKENS).float().reshape(-1)
    value = float(video @ text / (video.norm() * text.norm()))
    return _score("overall_consistency", backbone, value, len(set(middle_frames(len(frames)))))


def imaging_quality(frames: np.ndarray, rate: Callable[[Tensor], Tensor], *, backbone: str) -> Score:
    """Mean over all frames of `rate` / 100; `rate` gives 0 to 100 for one frame, float32 `[1, 3, h, w]` in 0..1.

    VBench's results hold 0 to 100 for each video; its summary, and this, 0 to 1.

    Raises:
        FramesError: frames of another shape or type, or none.
    """
    with torch.no_grad():
        rated = [float(rate(imaging_input(frame[None]))) for frame in require_frames(frames)]
    return _score("imaging_quality", backbone, float(np.mean(rated)) / 100, len(rated))


def aesthetic_quality(
    frames: np.ndarray, encode_image: Callable[[Tensor], Tensor], head: Callable[[Tensor], Tensor], *, backbone: str
) -> Score:
    """Mean over all frames of `head` / 10, which rates a unit embedding from 0 to 10.

    Args:
        frames: the video.
        encode_image: from float32 `[n, 3, 224, 224]` to `[n, d]`.
        head: from embeddings of length 1, `[n, d]`, to `[n, 1]`.
        backbone: the network's name; `ORIGINAL["aesthetic_quality"]` for VBench's.

    Raises:
        FramesError: frames of another shape or type, or none.
    """
    rated = []
    with torch.no_grad():
        for batch in _batches(require_frames(frames)):
            embedding = functional.normalize(encode_image(clip_input(batch, whole_levels=False)).float(), dim=-1)
            rated += head(embedding).reshape(len(batch)).tolist()
    return _score("aesthetic_quality", backbone, float(np.mean(rated)) / 10, len(rated))


def motion_smoothness(
    frames: np.ndarray, between: Callable[[np.ndarray, np.ndarray], np.ndarray], *, backbone: str
) -> Score:
    """(255 − mean absolute difference) / 255 between odd frames and what `between` makes of their even neighbours.

    `between` takes two frames, uint8 `[H, W, 3]`, and gives the one in the middle, of the same shape and type; padding
    to what a network needs is its business. A last odd frame without a right neighbour does not count. Fewer than three
    frames have no smoothness: NaN.

    Raises:
        FramesError: frames, or a prediction, of another shape or type.
    """
    shown = require_frames(frames)
    differences = []
    for odd in range(1, len(shown) - 1, 2):
        guess = np.asarray(between(shown[odd - 1], shown[odd + 1]))
        if guess.shape != shown[odd].shape or guess.dtype != np.uint8:
            raise FramesError(
                f"expected a frame in between as uint8 {shown[odd].shape}, got {guess.dtype} {guess.shape}"
            )
        differences.append(np.abs(guess.astype(np.int16) - shown[odd]).mean())
    value = (255 - float(np.mean(differences))) / 255 if differences else float("nan")
    return _score("motion_smoothness", backbone, value, len(differences))
