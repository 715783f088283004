"""The five places a scene is set in, each a parametric picture, larger than the frame so that a camera can move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unseen.diorama.world.canvas import Canvas, Color, curve, shade
from unseen.diorama.world.subjects.calm import CalmGenerator

STAGE = 256
"""Side of a painted background in pixels; the frame sees 192 of them."""


def _vary(rng: Any, color: Color, amount: float = 12) -> Color:
    r, g, b = np.clip(np.asarray(color) + rng.uniform(-amount, amount, 3), 0, 255)
    return (float(r), float(g), float(b))


def _sky(canvas: Canvas, top: Color, bottom: Color, horizon: float) -> None:
    rows = max(1, int((horizon + 1) / 2 * canvas.size) + 1)
    mix = np.linspace(0, 1, rows)[:, None]
    canvas.pixels[:rows, :, :3] = ((1 - mix) * np.asarray(top) + mix * np.asarray(bottom)).astype(np.uint8)[:, None]
    canvas.pixels[..., 3] = 255


def _ridge(rng: Any, height: float, roughness: float, knots: int = 6) -> np.ndarray:
    xs = np.linspace(-1.1, 1.1, knots)
    ys = height + rng.uniform(-roughness, roughness, knots)
    return np.vstack([curve(np.stack([xs, ys], 1)), [(1.1, 1.1), (-1.1, 1.1)]])


def _meadow(canvas: Canvas, rng: Any) -> None:
    horizon = rng.uniform(-0.3, 0.0)
    _sky(canvas, _vary(rng, (110, 178, 232)), _vary(rng, (206, 232, 246)), 0.2)
    for x in rng.uniform(-0.9, 0.9, 2):
        y = rng.uniform(-0.85, -0.55)
        for dx, r in ((-0.14, 0.1), (0.0, 0.15), (0.15, 0.11)):
            canvas.ellipse((x + dx, y), (r * 1.3, r), (250, 252, 255))
    canvas.polygon(_ridge(rng, horizon, 0.12), _vary(rng, (92, 158, 92)))
    canvas.polygon(_ridge(rng, horizon + 0.28, 0.06), _vary(rng, (104, 184, 74)))
    for x, y in zip(rng.uniform(-1, 1, 5), rng.uniform(horizon + 0.45, 1, 5), strict=True):
        flower = ((250, 244, 120), (250, 250, 250), (236, 120, 150))[int(rng.integers(3))]
        canvas.ellipse((x, y), (0.045, 0.045), flower)


def _desert(canvas: Canvas, rng: Any) -> None:
    horizon = rng.uniform(-0.3, 0.0)
    _sky(canvas, _vary(rng, (244, 186, 110)), _vary(rng, (252, 228, 176)), 0.2)
    canvas.ellipse((rng.uniform(-0.7, 0.7), rng.uniform(-0.8, -0.55)), (0.16, 0.16), (255, 246, 200))
    sand = _vary(rng, (222, 178, 112))
    canvas.polygon(_ridge(rng, horizon, 0.16, 5), shade(sand, 0.84))
    canvas.polygon(_ridge(rng, horizon + 0.25, 0.14, 5), sand)
    canvas.polygon(_ridge(rng, horizon + 0.72, 0.1, 5), shade(sand, 1.2))
    for side in (-1, 1):
        x, y, tall = side * rng.uniform(0.55, 0.85), horizon + rng.uniform(0.3, 0.5), rng.uniform(0.36, 0.5)
        green = _vary(rng, (66, 124, 74))
        canvas.line([(x, y), (x, y - tall)], green, 0.1)
        canvas.line([(x, y - tall * 0.4), (x + 0.13, y - tall * 0.4), (x + 0.13, y - tall * 0.75)], green, 0.07)
        canvas.line([(x, y - tall * 0.55), (x - 0.12, y - tall * 0.55), (x - 0.12, y - tall * 0.85)], green, 0.07)


def _night(canvas: Canvas, rng: Any) -> None:
    horizon = rng.uniform(0.2, 0.45)
    _sky(canvas, _vary(rng, (12, 14, 46), 6), _vary(rng, (44, 46, 104), 8), 0.6)
    for x, y in zip(rng.uniform(-1, 1, 8), rng.uniform(-1, 0.2, 8), strict=True):
        size = rng.uniform(0.024, 0.034)
        canvas.ellipse((x, y), (size, size), (240, 240, 214))
    x, y = rng.uniform(-0.65, 0.65), rng.uniform(-0.75, -0.55)
    canvas.ellipse((x, y), (0.18, 0.18), (246, 240, 204))
    canvas.ellipse((x + 0.08, y - 0.04), (0.15, 0.15), (22, 24, 60))
    canvas.polygon(_ridge(rng, horizon, 0.14), (20, 26, 50))
    canvas.polygon(_ridge(rng, horizon + 0.25, 0.08), (12, 16, 34))


def _snow(canvas: Canvas, rng: Any) -> None:
    horizon = rng.uniform(-0.25, 0.0)
    _sky(canvas, _vary(rng, (168, 188, 208), 8), _vary(rng, (214, 224, 234), 6), 0.2)
    canvas.polygon(_ridge(rng, horizon, 0.1), _vary(rng, (222, 230, 240), 4))
    for x in np.concatenate([rng.uniform(-1, -0.45, 2), rng.uniform(0.45, 1, 2)]):
        base, tall = horizon + rng.uniform(0.15, 0.35), rng.uniform(0.5, 0.7)
        canvas.line([(x, base), (x, base - 0.1)], (92, 66, 50), 0.06)
        for part in (0.0, 0.3, 0.6):
            wide, foot = 0.2 * (1 - part * 0.7), base - 0.08 - tall * part * 0.8
            canvas.polygon([(x - wide, foot), (x, foot - tall * 0.45), (x + wide, foot)], (44, 92, 76))
            canvas.polygon(
                [(x - wide * 0.5, foot - tall * 0.22), (x, foot - tall * 0.45), (x + wide * 0.5, foot - tall * 0.22)],
                (244, 248, 252),
            )
    canvas.polygon(_ridge(rng, horizon + 0.4, 0.06), (246, 249, 253))
    for x, y in zip(rng.uniform(-1, 1, 7), rng.uniform(-1, 1, 7), strict=True):
        canvas.ellipse((x, y), (0.04, 0.04), (255, 255, 255))


def _street(canvas: Canvas, rng: Any) -> None:
    kerb = rng.uniform(0.3, 0.45)
    _sky(canvas, _vary(rng, (172, 190, 206), 8), _vary(rng, (206, 214, 220), 6), 0.4)
    x = -1.05
    while x < 1.0:
        wide, top = rng.uniform(0.46, 0.66), rng.uniform(-0.85, -0.3)
        wall = ((168, 96, 80), (150, 140, 128), (188, 160, 120), (116, 124, 140))[int(rng.integers(4))]
        canvas.rectangle(x, top, x + wide, kerb, _vary(rng, wall))
        for wx in np.arange(x + 0.09, x + wide - 0.14, 0.21):
            for wy in np.arange(top + 0.11, kerb - 0.2, 0.34):
                canvas.rectangle(wx, wy, wx + 0.13, wy + 0.2, (232, 220, 152) if rng.random() < 0.4 else (78, 90, 106))
        x += wide
    canvas.rectangle(-1.1, kerb, 1.1, kerb + 0.14, (186, 184, 178))
    canvas.rectangle(-1.1, kerb + 0.14, 1.1, 1.1, _vary(rng, (82, 84, 90), 6))
    start = rng.uniform(-1.2, -0.9)
    for dash in np.arange(start, 1.1, 0.42):
        canvas.rectangle(dash, kerb + 0.34, dash + 0.24, kerb + 0.41, (238, 226, 150))


_PAINTERS: dict[str, Callable[[Canvas, Any], None]] = {
    "meadow": _meadow,
    "desert": _desert,
    "night": _night,
    "snow": _snow,
    "street": _street,
}


def paint_background(background: str, seed: int) -> np.ndarray:
    """The picture of a place, uint8 `[STAGE, STAGE, 3]`; each seed is another view of such a place."""
    canvas = Canvas(STAGE)
    _PAINTERS[background](canvas, CalmGenerator(np.random.default_rng(seed)))
    return np.ascontiguousarray(canvas.pixels[..., :3])
