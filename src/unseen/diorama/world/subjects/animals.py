"""English springer and cat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from unseen.diorama.world.canvas import Canvas, Color, Point, arc, curve, shade
from unseen.diorama.world.subjects.pen import INK, WHITE, Pen, pick


def _fur(rng: np.random.Generator) -> tuple[Color, ...]:
    """Coat and patches of either four-legged animal."""
    return pick(
        rng,
        (
            ((242, 236, 226), (120, 62, 36)),  # white and liver
            ((240, 240, 240), (64, 62, 72)),  # white and black
            ((244, 226, 190), (222, 122, 40)),  # cream and ginger
            ((170, 180, 200), (84, 96, 124)),  # blue-grey
            ((208, 164, 106), (110, 72, 42)),  # tan and brown
        ),
    )


def draw_english_springer(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A standing spaniel from the side: long drooping ears, blunt muzzle, patches, feathered legs and tail."""
    coat, patch = _fur(rng)
    flip, tilt = bool(rng.random() < 0.5), float(rng.uniform(-4, 4))
    ear, leg, stride = rng.uniform(0.52, 0.64), rng.uniform(0.84, 0.92), rng.uniform(-0.07, 0.07)
    saddle, spots, chest = rng.uniform(-0.45, -0.1), rng.uniform(-1, 1, (5, 2)), rng.uniform(0.36, 0.44)
    lift, sets_off = rng.uniform(-0.12, 0.1), rng.uniform(0, 2 * np.pi)
    wag = 0.1 * np.sin(6 * np.pi * phase + sets_off)
    pen = Pen(canvas, flip=flip, tilt=tilt, scale=0.93, shift=(0.0, -0.01))
    tail = -0.42 + lift + wag
    pen.shape(
        [(-0.66, -0.16), (-0.84, tail + 0.06), (-0.96, tail), (-0.94, tail + 0.26), (-0.82, 0.02), (-0.66, 0.04)], coat
    )
    far = shade(coat, 0.72)
    for x in (-0.42 - stride, 0.2 + stride):
        pen.shape([(x - 0.1, 0.2), (x - 0.1, leg - 0.03), (x + 0.14, leg - 0.03), (x + 0.1, 0.2)], far, smooth=False)
    pen.shape(
        [
            (-0.76, -0.02),
            (-0.62, -0.22),
            (-0.2, -0.2),
            (0.16, -0.24),
            (0.3, -0.5),
            (0.62, -0.4),
            (0.62, 0.0),
            (0.5, 0.3),
            (0.2, chest + 0.04),
            (-0.2, chest - 0.04),
            (-0.6, 0.36),
        ],
        coat,
    )
    pen.disc((saddle, -0.03), (0.27, 0.15), patch, angle=6, outline=0)
    pen.disc((-0.62, 0.03), (0.09, 0.13), patch, outline=0)
    # feathering: a ragged fringe hangs from the belly and from the back of the near legs
    fringe = [(-0.3, 0.3), (-0.24, 0.5), (-0.12, 0.4), (-0.06, 0.54), (0.06, 0.42), (0.12, 0.56), (0.26, 0.3)]
    pen.shape(fringe, coat, smooth=False, outline=0)
    pen.line(fringe[1:-1], INK, 0.045, smooth=False)
    front, hind = 0.42 + stride, -0.6 - stride
    pen.shape(
        [
            (front - 0.14, 0.1),
            (front - 0.26, 0.42),
            (front - 0.14, 0.46),
            (front - 0.22, 0.64),
            (front - 0.1, 0.66),
            (front - 0.1, leg),
            (front + 0.18, leg),
            (front + 0.16, leg - 0.09),
            (front + 0.1, leg - 0.12),
            (front + 0.14, 0.1),
        ],
        coat,
        smooth=False,
    )
    pen.shape(
        [
            (hind + 0.2, 0.14),
            (hind + 0.22, 0.4),
            (hind + 0.04, 0.6),
            (hind + 0.06, leg - 0.12),
            (hind + 0.16, leg - 0.08),
            (hind + 0.16, leg),
            (hind - 0.12, leg),
            (hind - 0.14, 0.68),
            (hind - 0.24, 0.6),
            (hind - 0.16, 0.5),
            (hind - 0.24, 0.36),
            (hind - 0.14, 0.1),
        ],
        coat,
        smooth=False,
    )
    # cover the joints between the legs and the body
    pen.disc((front, 0.1), (0.11, 0.1), coat, outline=0)
    pen.disc((hind + 0.03, 0.12), (0.13, 0.1), coat, outline=0)
    for dx, dy in spots:
        pen.disc((front + 0.06 * dx, 0.48 + 0.3 * dy), (0.025, 0.025), patch, outline=0)
    pen.shape(
        [
            (0.3, -0.6),
            (0.4, -0.84),
            (0.58, -0.88),
            (0.7, -0.76),
            (0.74, -0.62),
            (0.94, -0.58),
            (0.97, -0.38),
            (0.84, -0.28),
            (0.6, -0.24),
            (0.38, -0.34),
        ],
        coat,
    )
    pen.shape(
        [(0.32, -0.62), (0.42, -0.81), (0.58, -0.84), (0.66, -0.74), (0.68, -0.6), (0.56, -0.42)], patch, outline=0
    )
    pen.disc((0.94, -0.54), (0.07, 0.06), INK, outline=0)
    pen.line([(0.92, -0.36), (0.74, -0.36)], INK, 0.04)
    pen.disc((0.66, -0.65), (0.06, 0.06), WHITE, outline=0)
    pen.disc((0.67, -0.65), (0.042, 0.042), INK, outline=0)
    flap = 0.02 * np.sin(4 * np.pi * phase + sets_off)
    low = -0.62 + ear + 0.1
    pen.shape(
        [
            (0.4, -0.74),
            (0.52, -0.6),
            (0.6 + flap, low - 0.24),
            (0.54 + flap, low),
            (0.36 + flap, low + 0.04),
            (0.2 + flap, low - 0.14),
            (0.26, -0.56),
        ],
        patch,
        outline=0.06,
    )
    for x in (0.32, 0.45):
        pen.line([(x + 0.02, -0.42), (x - 0.03, low - 0.24), (x + 0.02 + flap, low - 0.08)], shade(patch, 1.3), 0.035)


def _cat_face(pen: Pen, center: Point, size: float, coat: Color, patch: Color, blaze: bool) -> None:
    """A cat's head from the front: pointed ears, slit eyes, whiskers."""

    def at(points: Sequence[Point] | np.ndarray) -> np.ndarray:
        return np.asarray(points) * size + np.asarray(center)

    for side in (-1, 1):
        pen.shape(at([(side * 0.98, -0.15), (side * 0.88, -1.3), (side * 0.12, -0.66)]), patch, smooth=False)
        pen.shape(
            at([(side * 0.8, -0.5), (side * 0.76, -0.98), (side * 0.42, -0.66)]),
            (238, 160, 160),
            smooth=False,
            outline=0,
        )
    pen.shape(at(arc((0, 0), (1.08, 0.84))), coat, smooth=False)
    mask = [(-1.0, -0.1), (-0.7, -0.6), (0.0, -0.8), (0.7, -0.6), (1.0, -0.1), (0.5, 0.05), (0.0, -0.5), (-0.5, 0.05)]
    if blaze:
        pen.shape(at(mask), patch, outline=0)
    else:
        for x in (-0.32, 0.0, 0.32):
            pen.line(at([(x, -0.72), (x * 0.8, -0.34)]), patch, 0.15 * size)
    for side in (-1, 1):
        pen.shape(at(arc((side * 0.46, -0.08), (0.24, 0.24))), (190, 225, 90), smooth=False, outline=0.035)
        pen.shape(at(arc((side * 0.46, -0.08), (0.09, 0.22))), INK, smooth=False, outline=0)
        for rise in (0.16, 0.52):
            ends = at([(side * 0.4, 0.34), (side * 1.5, rise)])
            pen.line(ends, WHITE, 0.03, smooth=False, edge=0.022)
    pen.shape(at([(-0.17, 0.2), (0.17, 0.2), (0.0, 0.4)]), (225, 100, 110), smooth=False, outline=0.03)
    pen.line(at([(-0.24, 0.56), (0.0, 0.42), (0.24, 0.56)]), INK, 0.035, smooth=False)


def draw_cat(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A cat, sitting or walking: pointed ears, whiskers and a long curved tail."""
    coat, patch = _fur(rng)
    flip, tilt, sits, blaze = (
        bool(rng.random() < 0.5),
        float(rng.uniform(-4, 4)),
        rng.random() < 0.5,
        rng.random() < 0.5,
    )
    head, girth, curl = rng.uniform(0.36, 0.42), rng.uniform(0.92, 1.08), rng.uniform(-0.08, 0.1)
    stride, sets_off = rng.uniform(-0.06, 0.06), rng.uniform(0, 2 * np.pi)
    wag = 0.06 * np.sin(4 * np.pi * phase + sets_off)
    if sits:
        pen = Pen(canvas, flip=flip, tilt=tilt, scale=0.94, shift=(-0.2, -0.01))
        tail = [
            (0.2, 0.8),
            (0.62, 0.82),
            (0.86, 0.5),
            (0.76, 0.14 + curl),
            (0.84 + wag, -0.18 + curl),
            (0.98 + wag, -0.14 + curl),
        ]
        pen.line(tail, coat, 0.17, edge=0.05)
        pen.line(curve(tail)[-14:], patch, 0.17, smooth=False)
        wide = 0.5 * girth
        pen.shape(
            [
                (-0.22, -0.2),
                (0.22, -0.2),
                (0.36, 0.2),
                (wide, 0.66),
                (0.4, 0.93),
                (-0.4, 0.93),
                (-wide, 0.66),
                (-0.36, 0.2),
            ],
            coat,
        )
        for side in (-1, 1):
            pen.shape([(side * 0.34, 0.24), (side * (wide - 0.06), 0.62), (side * 0.32, 0.62)], patch, outline=0)
            pen.line([(side * 0.26, 0.84), (side * 0.3, 0.62), (side * 0.24, 0.5)], INK, 0.045)
            pen.disc((side * 0.14, 0.88), (0.15, 0.08), coat, outline=0.045)
        pen.line([(0, 0.34), (0, 0.86)], INK, 0.045)
        _cat_face(pen, (0.0, -0.4), head, coat, patch, blaze)
        return
    pen = Pen(canvas, flip=flip, tilt=tilt, scale=0.9, shift=(-0.04, -0.02))
    tail = [(-0.6, 0.1), (-0.84, -0.12), (-0.82, -0.48 + curl), (-0.62, -0.74 + curl), (-0.5 + wag, -0.56 + curl)]
    pen.line(tail, coat, 0.15, edge=0.05)
    pen.line(curve(tail)[-14:], patch, 0.15, smooth=False)
    far = shade(coat, 0.72)
    for x in (-0.38 - stride, 0.2 + stride):
        pen.line([(x, 0.3), (x, 0.84)], far, 0.16, edge=0.05)
    low = 0.42 * girth
    pen.shape(
        [
            (-0.76, 0.16),
            (-0.6, -0.08),
            (-0.1, -0.14),
            (0.4, -0.2),
            (0.66, 0.0),
            (0.56, 0.34),
            (0.0, low),
            (-0.66, 0.44),
        ],
        coat,
    )
    for x in (-0.44, -0.2, 0.04):
        pen.line([(x, -0.07), (x - 0.03, 0.16)], patch, 0.1)
    for x in (-0.6 - stride, 0.44 + stride):
        pen.line([(x, 0.3), (x, 0.82), (x + 0.06, 0.85)], coat, 0.17, smooth=False, edge=0.05)
        pen.disc((x, 0.28), (0.13, 0.14), coat, outline=0)
    _cat_face(pen, (0.5, -0.38), head - 0.02, coat, patch, blaze)


DRAWINGS = {
    "english_springer": draw_english_springer,
    "cat": draw_cat,
}
