"""From a scene to a clip: draw its layers, place them, and compose them on whatever device they lie.

A clip is one stage (its background) and up to three sprites (its subjects), moved and scaled in each frame. Layers are
drawn by OpenCV; composing is one batched operation, so that a graphics card makes thousands of clips a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unseen.diorama.world.backgrounds import paint_background
from unseen.diorama.world.canvas import Canvas
from unseen.diorama.world.scenes import FRAMES, SIZE, Scene
from unseen.diorama.world.styles import apply_style, blur
from unseen.diorama.world.subjects import draw

SPRITE = 128
"""Side of a drawn subject in pixels; alone in a clip it covers about 70 of a frame's 96."""
STAGE = 160
"""Side of a drawn background in pixels; a still camera sees 120 of them."""
MOST_SUBJECTS = 3
PHASES = (0.0, 0.5, 1.0)
"""The moments in which a subject is drawn."""
PHASE_OF_FRAME = (0, 0, 0, 1, 1, 1, 1, 2, 2)
"""Poses change where a new latent frame begins (1, 3, 5 and 7), which spares the video VAE half of the work."""
_PAINTED = 2
"""Frames are composed this many times as large as they are shown."""


@dataclass(frozen=True)
class RenderSettings:
    """What varies between clips of one scene besides the individual; a second detector trains on other values."""

    single_scale: tuple[float, float] = (0.68, 0.78)
    """Half the side of a lone subject, in half frames."""
    pair_scale: tuple[float, float] = (0.46, 0.5)
    triple_scale: tuple[float, float] = (0.32, 0.35)
    tilt: float = 3.0
    """Largest rotation of a subject, degrees."""
    travel: tuple[float, float] = (0.16, 0.2)
    """How far a subject moves to either side of its place, in half frames."""
    light: float = 0.06
    """Largest relative change of brightness."""
    softness: float = 0.0
    """Standard deviation of a blur of the finished frames, in pixels."""


DEFAULT_SETTINGS = RenderSettings()


@dataclass(frozen=True)
class Placement:
    """Where everything is in each frame; all lengths in half frames, y downwards."""

    view: np.ndarray
    """float32 `[FRAMES, 2]`: the camera's shift to the right and the half width of what it sees, in half stages."""
    sprites: np.ndarray
    """float32 `[MOST_SUBJECTS, FRAMES, 4]`: center x and y, half side, tilt in degrees; absent subjects are zero."""
    light: float
    seeds: tuple[int, ...]
    """Of the stage, and of each subject's individual."""


def _paths(motion: str, travel: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Subject x and y offsets, camera shift and camera zoom in each frame."""
    time = np.linspace(-1, 1, FRAMES)
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


def _anchors(scene: Scene, settings: RenderSettings) -> tuple[tuple[float, float], Sequence[tuple[float, float]]]:
    """The range of half sides, and the place of each subject."""
    if len(scene.subjects) == 3:
        return settings.triple_scale, ((-0.65, 0.0), (0.0, 0.0), (0.65, 0.0))
    if scene.stacked:
        return settings.pair_scale, ((0.0, -0.49), (0.0, 0.49))
    if len(scene.subjects) == 2:
        return settings.pair_scale, ((-0.49, 0.0), (0.49, 0.0))
    return settings.single_scale, ((0.0, 0.0),)


def place(scene: Scene, rng: np.random.Generator, settings: RenderSettings = DEFAULT_SETTINGS) -> Placement:
    """Draw what the scene leaves open: individuals, place, size, light."""
    (low, high), anchors = _anchors(scene, settings)
    crowded = len(scene.subjects) > 1
    seeds = rng.integers(2**31, size=1 + MOST_SUBJECTS)
    draws = rng.uniform(-1, 1, (1 + MOST_SUBJECTS, 4))
    travel = settings.travel[0] + (settings.travel[1] - settings.travel[0]) * (draws[0, 0] + 1) / 2
    dx, dy, shift, zoom = _paths(scene.motion, travel * (0.4 if crowded else 1.0))
    zooming = scene.motion == "zoom"
    # a zoom starts wider than a still camera would, so that the stage's rim stays out of sight at its beginning
    view = np.stack([shift, 0.94 / 1.26 / zoom if zooming else np.full(FRAMES, 0.75)], 1)
    sprites = np.zeros((MOST_SUBJECTS, FRAMES, 4))
    slack = 0.02 if crowded else 0.04
    for i, (x, y) in enumerate(anchors[: len(scene.subjects)]):
        half = low + (high - low) * (draws[i + 1, 0] + 1) / 2
        sprites[i, :, 0] = (x + slack * draws[i + 1, 1] + dx) * zoom + shift
        sprites[i, :, 1] = (y + slack * draws[i + 1, 2] + dy) * zoom
        sprites[i, :, 2] = half * (0.84 if zooming else 1.0) * zoom
        sprites[i, :, 3] = settings.tilt * draws[i + 1, 3]
    return Placement(
        view.astype(np.float32),
        sprites.astype(np.float32),
        float(1 + settings.light * draws[0, 1]),
        tuple(int(seed) for seed in seeds[: 1 + len(scene.subjects)]),
    )


def draw_sprite(subject: str, seed: int, phase: float, attributes: tuple[str, ...] = ()) -> np.ndarray:
    """One subject in one pose, colors multiplied by alpha, uint8 `[4, SPRITE, SPRITE]`."""
    canvas = Canvas(2 * SPRITE)
    draw(subject, canvas, seed, phase, attributes)
    pixels = canvas.pixels.astype(np.float32)
    pixels[..., :3] *= pixels[..., 3:] / 255  # so that scaling does not darken the rim
    small = cv2.resize(pixels, (SPRITE, SPRITE), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small.round().astype(np.uint8).transpose(2, 0, 1))


def draw_stage(background: str, seed: int) -> np.ndarray:
    """One view of a place, uint8 `[3, STAGE, STAGE]`."""
    small = cv2.resize(paint_background(background, seed), (STAGE, STAGE), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small.transpose(2, 0, 1))


def _grid(device: torch.device) -> Tensor:
    """Pixel centers of a painted frame, `[side, side, 2]` in half frames."""
    side = SIZE * _PAINTED
    axis = (torch.arange(side, device=device) + 0.5) * (2 / side) - 1
    return torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)


def compose(stages: Tensor, views: Tensor, sprites: Tensor, places: Tensor, light: Tensor) -> Tensor:
    """Plain frames in [0, 1], `[n, 3, 2·SIZE, 2·SIZE]`, before treatment and scaling down.

    Args:
        stages: uint8 or float in [0, 255], `[n, 3, STAGE, STAGE]`.
        views: `[n, 2]`.
        sprites: `[n, k, 4, SPRITE, SPRITE]`, painted in this order.
        places: `[n, k, 4]`; a half side of 0 means that there is nothing.
        light: `[n]`.
    """
    grid = _grid(stages.device)
    seen = grid * views[:, 1].view(-1, 1, 1, 1)
    seen = torch.stack([seen[..., 0] - views[:, 0].view(-1, 1, 1) * 0.75, seen[..., 1]], -1)
    frames = F.grid_sample(stages.float() / 255, seen, padding_mode="border", align_corners=False)
    for sprite, where in zip(sprites.unbind(1), places.unbind(1), strict=True):
        x, y, half, tilt = (column.view(-1, 1, 1) for column in where.unbind(1))
        cos, sin = torch.cos(tilt * (np.pi / 180)), torch.sin(tilt * (np.pi / 180))
        dx, dy = (grid[..., 0] - x) / half.clamp(min=1e-3), (grid[..., 1] - y) / half.clamp(min=1e-3)
        inside = torch.stack([cos * dx - sin * dy, sin * dx + cos * dy], -1)
        inside = torch.where(half[..., None] > 0, inside, torch.full_like(inside, 9.0))
        layer = F.grid_sample(sprite.float() / 255, inside, padding_mode="zeros", align_corners=False)
        frames = frames * (1 - layer[:, 3:]) + layer[:, :3]
    return (frames * light.view(-1, 1, 1, 1)).clamp(0, 1)


def finish(frames: Tensor, styles: Sequence[str], *, softness: float = 0.0) -> Tensor:
    """Treat each painted frame in its style and scale it down: float in [0, 1], `[n, 3, SIZE, SIZE]`."""
    out = frames.new_empty(len(frames), 3, SIZE, SIZE)
    for style in dict.fromkeys(styles):
        rows = torch.tensor([i for i, s in enumerate(styles) if s == style], device=frames.device)
        out[rows] = F.avg_pool2d(apply_style(style, frames[rows]), _PAINTED)
    return blur(out, softness) if softness else out


@torch.no_grad()
def render(
    scene: Scene, seed: int, *, settings: RenderSettings = DEFAULT_SETTINGS, frames: tuple[int, ...] | None = None
) -> np.ndarray:
    """Draw a clip of `scene`, uint8 `[frames, SIZE, SIZE, 3]`.

    The seed decides everything the scene leaves open. `frames` picks some of the `FRAMES` frames (all when None).
    """
    placement = place(scene, np.random.default_rng(seed), settings)
    times = list(range(FRAMES) if frames is None else frames)
    poses = sorted({PHASE_OF_FRAME[t] for t in times})
    drawn = {
        (i, pose): draw_sprite(subject, placement.seeds[1 + i], PHASES[pose], scene.attributes)
        for i, subject in enumerate(scene.subjects)
        for pose in poses
    }
    count = len(scene.subjects)
    sprites = np.zeros((len(times), count, 4, SPRITE, SPRITE), np.uint8)
    for row, t in enumerate(times):
        for i in range(count):
            sprites[row, i] = drawn[i, PHASE_OF_FRAME[t]]
    stage = torch.from_numpy(draw_stage(scene.background, placement.seeds[0]))
    painted = compose(
        stage.expand(len(times), -1, -1, -1),
        torch.from_numpy(placement.view[times]),
        torch.from_numpy(sprites),
        torch.from_numpy(placement.sprites[:count, times].transpose(1, 0, 2).copy()),
        torch.full((len(times),), placement.light),
    )
    done = finish(painted, [scene.style] * len(times), softness=settings.softness)
    return (done * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
