"""A small drawing surface: shapes in unit coordinates, painted large, with transparency.

Coordinates run from −1 (left, top) to +1 (right, bottom). A subject is painted once per frame at three times the
size it is shown at and is scaled down afterwards, so edges come out smooth without any anti-aliasing here.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

Point = tuple[float, float]
Color = tuple[float, float, float]
"""Red, green, blue, each from 0 to 255."""

_SHIFT = 4  # cv2's fixed-point bits: positions are kept to a sixteenth of a pixel


def shade(color: Color, factor: float) -> Color:
    """Darken (factor < 1) or lighten towards white (factor > 1) a colour."""
    if factor <= 1:
        return (color[0] * factor, color[1] * factor, color[2] * factor)
    mix = min(factor - 1, 1.0)
    return (color[0] + (255 - color[0]) * mix, color[1] + (255 - color[1]) * mix, color[2] + (255 - color[2]) * mix)


class Canvas:
    """An RGBA picture, `size` × `size`, fully transparent at first; `pixels` is uint8 `[size, size, 4]`."""

    def __init__(self, size: int = 192) -> None:
        self.size = size
        self.pixels = np.zeros((size, size, 4), np.uint8)

    def _fixed(self, points: Sequence[Point] | np.ndarray) -> np.ndarray:
        scaled = (np.asarray(points, np.float64) + 1) * (self.size / 2) - 0.5
        return np.round(scaled * (1 << _SHIFT)).astype(np.int32).reshape(-1, 1, 2)

    def _width(self, width: float) -> int:
        return max(1, round(width * self.size / 2))

    def polygon(self, points: Sequence[Point] | np.ndarray, color: Color, *, outline: Color | None = None) -> None:
        """Fill a polygon; `outline` also draws its border, 0.03 wide."""
        cv2.fillPoly(self.pixels, [self._fixed(points)], (*color, 255), cv2.LINE_8, _SHIFT)
        if outline is not None:
            self.line([*points, points[0]], outline, 0.03)

    def line(self, points: Sequence[Point] | np.ndarray, color: Color, width: float) -> None:
        """A stroke with round ends through `points`; `width` in unit coordinates."""
        thickness = self._width(width)
        cv2.polylines(self.pixels, [self._fixed(points)], False, (*color, 255), thickness, cv2.LINE_8, _SHIFT)

    def ellipse(
        self,
        center: Point,
        radii: Point,
        color: Color,
        *,
        angle: float = 0.0,
        start: float = 0.0,
        end: float = 360.0,
        width: float | None = None,
        outline: Color | None = None,
    ) -> None:
        """A filled ellipse or pie, or with `width` only its arc. Angles in degrees, clockwise from the +x axis."""
        points = arc(center, radii, angle=angle, start=start, end=end)
        if width is not None:
            self.line(points, color, width)
            return
        if end - start < 360:
            points = np.vstack([points, np.asarray([center])])
        self.polygon(points, color)
        if outline is not None:
            self.line(np.vstack([points, points[:1]]), outline, 0.03)

    def rectangle(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        color: Color,
        *,
        radius: float = 0.0,
        outline: Color | None = None,
    ) -> None:
        """An upright rectangle with corners rounded by `radius`."""
        if radius <= 0:
            corners: Sequence[Point] | np.ndarray = [(left, top), (right, top), (right, bottom), (left, bottom)]
        else:
            corners = np.vstack(
                [
                    arc((right - radius, top + radius), (radius, radius), start=270, end=360),
                    arc((right - radius, bottom - radius), (radius, radius), start=0, end=90),
                    arc((left + radius, bottom - radius), (radius, radius), start=90, end=180),
                    arc((left + radius, top + radius), (radius, radius), start=180, end=270),
                ]
            )
        self.polygon(corners, color)
        if outline is not None:
            self.line(np.vstack([np.asarray(corners), np.asarray(corners)[:1]]), outline, 0.03)

    def blob(self, points: Sequence[Point], color: Color, *, outline: Color | None = None) -> None:
        """A closed smooth shape through `points`."""
        smooth = curve([*points], closed=True)
        self.polygon(smooth, color)
        if outline is not None:
            self.line(np.vstack([smooth, smooth[:1]]), outline, 0.03)

    def stroke(self, points: Sequence[Point], color: Color, width: float) -> None:
        """A smooth open stroke through `points`."""
        self.line(curve(points), color, width)

    def tint(self, points: Sequence[Point] | np.ndarray, color: Color, opacity: float) -> None:
        """Blend `color` over what is already painted inside a polygon (shadows, glints); adds no new area."""
        mask = np.zeros((self.size, self.size), np.uint8)
        cv2.fillPoly(mask, [self._fixed(points)], 255, cv2.LINE_8, _SHIFT)
        inside = (mask > 0) & (self.pixels[..., 3] > 0)
        old = self.pixels[inside, :3].astype(np.float32)
        self.pixels[inside, :3] = (old + (np.asarray(color, np.float32) - old) * opacity).astype(np.uint8)

    def soft(self, center: Point, radii: Point, color: Color, opacity: float) -> None:
        """A puff that fades out towards its rim and is painted over what is there (smoke, glow)."""
        axis = (np.arange(self.size, dtype=np.float32) + 0.5) / (self.size / 2) - 1
        squared = ((axis[None, :] - center[0]) / radii[0]) ** 2 + ((axis[:, None] - center[1]) / radii[1]) ** 2
        top = np.clip(1 - squared, 0, 1)[..., None] * opacity
        under = self.pixels[..., 3:].astype(np.float32) / 255
        alpha = top + under * (1 - top)
        mixed = np.asarray(color, np.float32) * top + self.pixels[..., :3].astype(np.float32) * under * (1 - top)
        self.pixels[..., :3] = np.where(alpha > 0, mixed / np.maximum(alpha, 1e-6), 0).astype(np.uint8)
        self.pixels[..., 3:] = np.round(alpha * 255).astype(np.uint8)


def arc(center: Point, radii: Point, *, angle: float = 0.0, start: float = 0.0, end: float = 360.0) -> np.ndarray:
    """Points `[n, 2]` along an ellipse's arc; degrees, clockwise on the picture from the +x axis."""
    steps = max(6, int(abs(end - start) / 6))
    theta = np.radians(np.linspace(start, end, steps + 1))
    x, y = radii[0] * np.cos(theta), radii[1] * np.sin(theta)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return np.stack([center[0] + x * cos - y * sin, center[1] + x * sin + y * cos], 1)


def curve(points: Sequence[Point] | np.ndarray, *, closed: bool = False, steps: int = 10) -> np.ndarray:
    """A Catmull–Rom spline through `points`, `[n, 2]`."""
    knots = np.asarray(points, np.float64)
    padded = np.vstack([knots[-1:], knots, knots[:2]]) if closed else np.vstack([knots[:1], knots, knots[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - 3 * c + d - a) * t**3))
    if not closed:
        pieces.append(knots[-1:])
    return np.vstack(pieces)


def mirrored(points: Sequence[Point]) -> list[Point]:
    """The same points with left and right swapped."""
    return [(-x, y) for x, y in points]
