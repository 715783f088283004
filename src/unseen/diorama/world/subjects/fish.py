"""Tench and goldfish."""

from __future__ import annotations

import numpy as np

from unseen.diorama.world.canvas import Canvas, Color, arc, shade
from unseen.diorama.world.subjects.pen import INK, WHITE, Pen, pick


def _swim(rng: np.random.Generator) -> tuple[Color, ...]:
    """Body, fins and belly of either fish."""
    return pick(
        rng,
        (
            ((240, 130, 40), (170, 60, 20), (255, 205, 120)),  # orange
            ((225, 190, 50), (150, 100, 20), (255, 240, 160)),  # gold
            ((110, 130, 60), (50, 65, 35), (215, 200, 120)),  # olive
            ((120, 160, 200), (45, 75, 130), (225, 235, 245)),  # steel blue
            ((205, 55, 60), (120, 20, 40), (250, 180, 165)),  # red
            ((150, 100, 65), (80, 45, 30), (230, 195, 150)),  # bronze
        ),
    )


def draw_tench(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A long, thick-waisted fish: rounded dark fins, a small blunt tail, barbels at the mouth, fine scales."""
    body, fin, belly = _swim(rng)
    flip, tilt = bool(rng.random() < 0.5), float(rng.uniform(-9, 9))
    deep, dorsal, barbel = rng.uniform(0.34, 0.42), rng.uniform(0.32, 0.4), rng.uniform(0.9, 1.2)
    sets_off = rng.uniform(0, 2 * np.pi)
    wag = 0.07 * np.sin(4 * np.pi * phase + sets_off)
    pen = Pen(canvas, flip=flip, tilt=tilt, scale=0.93, shift=(0.01, 0.03))
    # fins lie behind the body, so that their roots are hidden
    pen.shape(
        [
            (-0.55, -0.14),
            (-0.76, -0.3 + wag),
            (-0.96, -0.32 + wag),
            (-0.9, wag),
            (-0.96, 0.32 + wag),
            (-0.76, 0.3 + wag),
            (-0.55, 0.14),
        ],
        fin,
    )
    top = -deep - dorsal
    pen.shape([(0.28, -deep + 0.1), (0.2, top + 0.05), (-0.02, top), (-0.22, top + 0.16), (-0.28, -0.2)], fin)
    pen.shape([(0.12, deep - 0.1), (0.08, deep + 0.26), (-0.1, deep + 0.27), (-0.16, deep - 0.1)], fin)
    pen.shape([(-0.28, 0.2), (-0.32, 0.5), (-0.5, 0.52), (-0.54, 0.15)], fin)
    for root, tip in ((0.86, 0.0), (0.76, -0.06)):
        pen.line(
            [(root, 0.1), (root + 0.05, 0.1 + 0.16 * barbel), (root + tip - 0.02, 0.1 + 0.36 * barbel)],
            fin,
            0.05,
            edge=0.025,
        )
    outline = [
        (0.93, 0.06),
        (0.8, -0.16),
        (0.5, -deep * 0.92),
        (0.1, -deep),
        (-0.3, -deep * 0.68),
        (-0.62, -0.17),
        (-0.66, 0.0),
        (-0.62, 0.17),
        (-0.3, deep * 0.7),
        (0.1, deep),
        (0.5, deep * 0.9),
        (0.8, 0.2),
    ]
    pen.shape(outline, body, outline=0.065)
    pen.tint(
        [(0.78, 0.16), (0.4, 0.14), (-0.5, 0.08), (-0.3, deep * 0.6), (0.1, deep * 0.92), (0.5, deep * 0.8)], belly, 0.6
    )
    # many tiny scales read as a fine grain
    for row, y in enumerate(np.arange(-0.24, 0.25, 0.11)):
        for x in np.arange(-0.5 + 0.055 * (row % 2), 0.34, 0.11):
            if abs(y) < deep * 0.75 * (1 - max(0.0, -x - 0.05)):
                pen.disc((x, y), (0.022, 0.022), shade(body, 0.55), outline=0)
    pen.line([(0.46, -deep * 0.75), (0.38, 0.0), (0.46, deep * 0.75)], shade(body, 0.45), 0.05)
    pen.shape([(0.36, 0.1), (0.16, 0.13), (0.08, 0.27), (0.22, 0.27)], fin, outline=0.04)
    pen.disc((0.66, -0.07), (0.095, 0.095), WHITE, outline=0.03)
    pen.disc((0.68, -0.07), (0.045, 0.045), INK, outline=0)
    pen.line([(0.91, 0.1), (0.8, 0.13)], INK, 0.05)


def draw_goldfish(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A round fish with a sail on its back, a huge flowing double tail and large scales."""
    body, fin, belly = _swim(rng)
    flip, tilt = bool(rng.random() < 0.5), float(rng.uniform(-9, 9))
    deep, dorsal, flow = rng.uniform(0.44, 0.52), rng.uniform(0.38, 0.44), rng.uniform(0.9, 1.06)
    sets_off = rng.uniform(0, 2 * np.pi)
    wag = 0.07 * np.sin(4 * np.pi * phase + sets_off)
    pen = Pen(canvas, flip=flip, tilt=tilt, scale=0.92, shift=(0.02, 0.0))
    veil = shade(fin, 1.3)
    up, down = -0.72 * flow, 0.8 * flow
    pen.shape(
        [
            (-0.1, 0.0),
            (-0.34, -0.4 + wag),
            (-0.66, up + wag),
            (-0.94, up + 0.08 + wag),
            (-0.86, -0.42 - wag),
            (-0.93, -0.14 - wag),
            (-0.62, 0.02),
            (-0.3, 0.1),
        ],
        fin,
    )
    pen.shape(
        [
            (-0.1, 0.05),
            (-0.3, 0.48 - wag),
            (-0.52, down - wag),
            (-0.86, down + 0.02 - wag),
            (-0.84, 0.56 + wag),
            (-0.95, 0.26 + wag),
            (-0.62, 0.06),
            (-0.3, 0.0),
        ],
        fin,
    )
    for tip in ((-0.8, up + 0.14 + wag), (-0.82, -0.2 - wag), (-0.82, 0.28 + wag), (-0.72, down - 0.1 - wag)):
        pen.line([(-0.25, 0.03), (-0.52, tip[1] * 0.5), tip], veil, 0.05)
    top = -deep - dorsal
    pen.shape([(0.55, -deep + 0.16), (0.4, top + 0.08), (0.12, top), (-0.16, top + 0.22), (-0.1, -0.2)], fin)
    for x in (0.32, 0.14, -0.02):
        pen.line([(x + 0.06, -deep + 0.12), (x, top + 0.14)], veil, 0.045)
    pen.shape([(0.3, deep - 0.12), (0.2, deep + 0.3), (0.0, deep + 0.38 + wag), (0.02, deep - 0.12)], fin)
    pen.shape(
        [
            (0.94, 0.02),
            (0.82, -0.24),
            (0.5, -deep + 0.02),
            (0.15, -deep + 0.08),
            (-0.2, -0.16),
            (-0.22, 0.14),
            (0.1, deep - 0.06),
            (0.45, deep),
            (0.82, 0.26),
        ],
        body,
        outline=0.065,
    )
    pen.tint([(0.8, 0.16), (0.4, 0.16), (-0.1, 0.12), (0.1, deep - 0.12), (0.45, deep - 0.06)], belly, 0.6)
    for row, y in enumerate((-0.22, -0.03, 0.16, 0.32)):
        for x in np.arange(3) * 0.17 - 0.02 + 0.08 * (row % 2):
            pen.line(arc((x, y), (0.09, 0.1), start=90, end=270), shade(body, 0.6), 0.035, smooth=False)
    pen.shape([(0.46, 0.1), (0.3, 0.12), (0.14, 0.34), (0.34, 0.34)], fin, outline=0.045)
    pen.disc((0.68, -0.12), (0.13, 0.13), WHITE, outline=0.045)
    pen.disc((0.7, -0.12), (0.07, 0.07), INK, outline=0)
    pen.line([(0.93, 0.08), (0.82, 0.1)], INK, 0.05)


DRAWINGS = {
    "tench": draw_tench,
    "goldfish": draw_goldfish,
}
