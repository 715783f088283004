"""A pen that mirrors and tilts: what animals and things are drawn with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unseen.diorama.world.canvas import Canvas, Color, Point, arc, curve, mirrored

INK: Color = (30, 30, 40)
WHITE: Color = (250, 250, 246)
OUTLINE = 0.055  # about one pixel at the size subjects are shown at; thinner outlines vanish


class Pen:
    """Paints on a canvas after turning, scaling, moving and mirroring all points: a pose is chosen only once."""

    def __init__(
        self, canvas: Canvas, *, flip: bool = False, tilt: float = 0.0, scale: float = 1.0, shift: Point = (0.0, 0.0)
    ) -> None:
        self.canvas, self.flip, self.shift = canvas, flip, np.asarray(shift)
        cos, sin = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
        self.turn = scale * np.array([[cos, sin], [-sin, cos]])

    def place(self, points: Sequence[Point] | np.ndarray) -> np.ndarray:
        """The points where the canvas shall have them."""
        placed = np.asarray(points, np.float64) @ self.turn + self.shift
        return np.asarray(mirrored([(x, y) for x, y in placed])) if self.flip else placed

    def shape(
        self, points: Sequence[Point] | np.ndarray, color: Color, *, smooth: bool = True, outline: float = OUTLINE
    ) -> None:
        """A filled closed shape with a dark outline (none if 0)."""
        placed = self.place(curve(points, closed=True) if smooth else points)
        self.canvas.polygon(placed, color)
        if outline:
            self.canvas.line(np.vstack([placed, placed[:1]]), INK, outline)

    def disc(self, center: Point, radii: Point, color: Color, *, angle: float = 0.0, outline: float = OUTLINE) -> None:
        """A filled ellipse."""
        self.shape(arc(center, radii, angle=angle), color, smooth=False, outline=outline)

    def line(
        self,
        points: Sequence[Point] | np.ndarray,
        color: Color,
        width: float,
        *,
        smooth: bool = True,
        edge: float = 0.0,
    ) -> None:
        """A stroke; with `edge` it has a dark border that wide on either side."""
        placed = self.place(curve(points) if smooth else points)
        if edge:
            self.canvas.line(placed, INK, width + 2 * edge)
        self.canvas.line(placed, color, width)

    def tint(self, points: Sequence[Point] | np.ndarray, color: Color, opacity: float) -> None:
        """Blend a colour into what is painted inside a smooth closed shape."""
        self.canvas.tint(self.place(curve(points, closed=True)), color, opacity)


def pick(rng: np.random.Generator, choices: Sequence[tuple[Color, ...]]) -> tuple[Color, ...]:
    """One of the colour sets, each channel moved a little so that no two draws are quite the same."""
    chosen = choices[int(rng.integers(len(choices)))]
    moved = rng.uniform(-8, 8, 3)
    shifted = np.clip(np.asarray(chosen, np.float64) + moved, 0, 255)
    return tuple((float(red), float(green), float(blue)) for red, green, blue in shifted)
