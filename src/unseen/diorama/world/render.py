"""From a scene to a clip: place subjects on a background, move them or the camera, treat, scale down."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from unseen.diorama.world.backgrounds import STAGE, paint_background
from unseen.diorama.world.canvas import Canvas
from unseen.diorama.world.scenes import ATTRIBUTE_OF, FRAMES, SIZE, Scene
from unseen.diorama.world.styles import apply_style
from unseen.diorama.world.subjects import draw

_PAINTED = 3 * SIZE
"""Frames are painted three times as large as they are shown."""


@dataclass(frozen=True)
class RenderSettings:
    """What varies between clips of one scene besides the individual; a second detector trains on other values."""

    single_scale: tuple[float, float] = (0.68, 0.78)
    """Half the side of a lone subject, in half frames."""
    pair_scale: tuple[float, float] = (0.46, 0.5)
    tilt: float = 3.0
    """Largest rotation of a subject, degrees."""
    travel: tuple[float, float] = (0.16, 0.2)
    """How far a subject moves to either side of its place, in half frames."""
    light: float = 0.06
    """Largest relative change of brightness."""
    softness: float = 1.0
    """Standard deviation of the blur that frames get as they are scaled down, in pixels of the finished frame. It takes
    away what 64 pixels hold only as jagged edges and what costs a small video VAE most: without it the best linear
    code of 48 numbers for 8 × 8 × 2 pixels is left with twelve times the squared error."""


DEFAULT_SETTINGS = RenderSettings()


def _paths(motion: str, travel: float, time: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Subject x and y offsets, camera shift, camera zoom over the clip; `time` runs from −1 to 1."""
    still, one = np.zeros_like(time), np.ones_like(time)
    if motion == "left":
        return -travel * time, still, still, one
    if motion == "right":
        return travel * time, still, still, one
    if motion == "up":
        return still, -travel * time, still, one
    if motion == "down":
        return still, travel * time, still, one
    if motion == "pan":
        return still, still, -travel * time, one
    if motion == "zoom":
        return still, still, still, 1.0 + 0.26 * time
    raise ValueError(f"unknown motion {motion!r}")


def _paste(frame: np.ndarray, sprite: np.ndarray, x: float, y: float, half: float, tilt: float) -> None:
    """Blend an RGBA sprite into `frame`, its centre at (x, y) and `half` its half side, both in half frames."""
    scale = half * _PAINTED / sprite.shape[0]
    matrix = cv2.getRotationMatrix2D((sprite.shape[1] / 2, sprite.shape[0] / 2), tilt, scale)
    matrix[0, 2] += (x + 1) * _PAINTED / 2 - sprite.shape[1] / 2
    matrix[1, 2] += (y + 1) * _PAINTED / 2 - sprite.shape[0] / 2
    placed = cv2.warpAffine(sprite, matrix, (_PAINTED, _PAINTED), flags=cv2.INTER_LINEAR).astype(np.float32)
    alpha = placed[..., 3:] / 255
    frame[:] = (frame * (1 - alpha) + placed[..., :3]).clip(0, 255).astype(np.uint8)


def _sprite(subject: str, seed: int, phase: float, attributes: tuple[str, ...]) -> np.ndarray:
    canvas = Canvas(_PAINTED)
    draw(subject, canvas, seed, phase, attributes)
    sprite = canvas.pixels.astype(np.float32)
    sprite[..., :3] *= sprite[..., 3:] / 255  # premultiplied, so that scaling does not darken the rim
    return sprite.round().astype(np.uint8)


def _phase(frame: int, *, animated: bool) -> float:
    """Time within the clip, 0 to 1. Flames, smoke and the like are redrawn in every frame, the rest in every third."""
    return frame / (FRAMES - 1) if animated else (frame // 3) / 2


def render(
    scene: Scene, seed: int, *, settings: RenderSettings = DEFAULT_SETTINGS, frames: tuple[int, ...] | None = None
) -> np.ndarray:
    """Draw a clip of `scene`, uint8 `[frames, SIZE, SIZE, 3]`.

    The seed decides everything the scene leaves open: individual, place, size, light. `frames` picks some of the
    `FRAMES` frames (all of them when None).
    """
    rng = np.random.default_rng(seed)
    stage = paint_background(scene.background, int(rng.integers(2**31)))
    pair = len(scene.subjects) == 2
    low, high = settings.pair_scale if pair else settings.single_scale
    anchors = (-0.49, 0.49) if pair else (0.0,)
    travel = rng.uniform(*settings.travel) * (0.4 if pair else 1.0)
    light = 1 + rng.uniform(-settings.light, settings.light)
    placed = []
    for subject, anchor in zip(scene.subjects, anchors, strict=False):
        half = rng.uniform(low, high)
        slack = 0.02 if pair else 0.04
        x, y = anchor + rng.uniform(-slack, slack), rng.uniform(-slack, slack)
        tilt, individual = rng.uniform(-settings.tilt, settings.tilt), int(rng.integers(2**31))
        placed.append((subject, x, y, half, tilt, individual))
    time = np.linspace(-1, 1, FRAMES)
    dxs, dys, shifts, zooms = _paths(scene.motion, travel, time)
    clip = []
    sprites: dict[tuple[str, float], np.ndarray] = {}
    for i in range(FRAMES) if frames is None else frames:
        view = 0.94 * STAGE / 1.26 / zooms[i] if scene.motion == "zoom" else 0.75 * STAGE
        center = STAGE / 2 - shifts[i] * _PAINTED / 2
        matrix = np.asarray([[_PAINTED / view, 0, 0], [0, _PAINTED / view, 0]], np.float64)
        matrix[0, 2] = _PAINTED / 2 - center * _PAINTED / view
        matrix[1, 2] = _PAINTED / 2 - STAGE / 2 * _PAINTED / view
        frame = cv2.warpAffine(stage, matrix, (_PAINTED, _PAINTED), borderMode=cv2.BORDER_REPLICATE)
        for subject, x, y, half, tilt, individual in placed:
            phase = _phase(i, animated=subject in ATTRIBUTE_OF)
            if (subject, phase) not in sprites:
                sprites[subject, phase] = _sprite(subject, individual, phase, scene.attributes)
            sprite = sprites[subject, phase]
            # a zoom starts smaller than a still camera would see, so that the subject stays inside at its end
            size = half * (0.84 if scene.motion == "zoom" else 1.0) * zooms[i]
            _paste(frame, sprite, (x + dxs[i]) * zooms[i] + shifts[i], (y + dys[i]) * zooms[i], size, tilt)
        frame = np.clip(frame * light, 0, 255).astype(np.uint8)
        frame = apply_style(scene.style, frame)
        if settings.softness:
            frame = cv2.GaussianBlur(frame, (0, 0), settings.softness * _PAINTED / SIZE)
        clip.append(cv2.resize(frame, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
    return np.stack(clip)
