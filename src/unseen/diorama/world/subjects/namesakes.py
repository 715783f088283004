"""Things that share a word with an object's name: what stands in a house or on a table, and a bell.

`namesakes_outdoors` holds those that stand in the open.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unseen.diorama.world.canvas import Canvas, arc, curve, shade
from unseen.diorama.world.subjects.pen import INK, WHITE, Pen, pick


def draw_record_player(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A box from above with a big black record, its bright label, and an arm that reaches over it."""
    box, label = pick(
        rng,
        (
            ((176, 112, 62), (225, 60, 50)),
            ((205, 70, 62), (245, 205, 60)),
            ((96, 152, 178), (240, 130, 50)),
            ((226, 214, 186), (60, 120, 200)),
        ),
    )
    tilt, radius, turn = float(rng.uniform(-6, 6)), rng.uniform(0.62, 0.66), rng.uniform(0, 180)
    depth = rng.uniform(0.72, 0.78)
    pen = Pen(canvas, tilt=tilt)
    for x in (-0.68, 0.68):
        pen.disc((x, depth), (0.13, 0.1), (70, 70, 80))
    slab = np.vstack(
        [arc((x, y), (0.1, 0.1), start=a, end=a + 90)
         for x, y, a in ((0.8, -depth + 0.1, 270), (0.8, depth - 0.1, 0),
                         (-0.8, depth - 0.1, 90), (-0.8, -depth + 0.1, 180))]
    )  # fmt: skip
    pen.shape(slab, box, smooth=False, outline=0.07)
    middle = (-0.2, 0.0)
    pen.disc(middle, (radius + 0.03, radius + 0.03), shade(box, 0.6), outline=0)
    pen.disc(middle, (radius, radius), (34, 34, 42), outline=0)
    for groove in (0.6, 0.84):
        ring = arc(middle, (radius * groove, radius * groove))
        pen.line(ring, (72, 72, 84), 0.03, smooth=False)
    # two wedges of light that wander as the record turns
    for side in (0, 180):
        start = turn + side + 30 * phase
        glint = np.vstack(
            [
                arc(middle, (radius * 0.94, radius * 0.94), start=start, end=start + 26),
                arc(middle, (radius * 0.42, radius * 0.42), start=start + 26, end=start),
            ]
        )
        pen.shape(glint, (128, 130, 144), smooth=False, outline=0)
    pen.disc(middle, (0.25, 0.25), label, outline=0)
    pen.disc(middle, (0.055, 0.055), INK, outline=0)
    pivot = (0.68, -depth + 0.26)
    pen.disc(pivot, (0.15, 0.15), (150, 154, 164))
    pen.line([pivot, (0.68, 0.14), (0.24, 0.42)], (236, 238, 242), 0.08, smooth=False, edge=0.045)
    pen.line([(0.32, 0.37), (0.19, 0.45)], (236, 238, 242), 0.15, smooth=False, edge=0.045)
    pen.disc((0.7, depth - 0.2), (0.1, 0.1), (236, 238, 242))


def draw_hand_saw(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A long steel blade with big teeth along its lower edge and a wooden handle with a hole for the hand."""
    wood = pick(rng, (((196, 122, 60),), ((226, 172, 100),), ((150, 86, 48),), ((206, 78, 56),)))[0]
    steel = shade((196, 204, 214), rng.uniform(0.94, 1.1))
    tilt, tip, count = float(rng.uniform(-40, -34)), rng.uniform(0.14, 0.2), int(rng.integers(7, 10))
    pen = Pen(canvas, tilt=tilt + 5 * float(np.sin(2 * np.pi * phase)) * 0.5, scale=0.95, shift=(-0.03, 0.04))
    left, right, low = -0.46, 1.08, 0.28
    step = (right - left) / count
    teeth = []
    for k in range(count):
        # the lower edge rises a little towards the nose; every tooth leans forward
        y = low - 0.16 * (k / count)
        teeth += [(left + step * k, y), (left + step * (k + 0.62), y + 0.19)]
    blade = [(left, -0.3), (right, low - 0.16 - 2 * tip), (right, low - 0.16), *teeth[::-1]]
    pen.shape(blade, steel, smooth=False, outline=0.065)
    pen.line([(left + 0.2, -0.14), (right - 0.16, low - 0.2 - 1.3 * tip)], shade(steel, 1.6), 0.07, smooth=False)
    grip = curve([(-0.54, -0.26), (-0.8, -0.3), (-0.86, 0.0), (-0.8, 0.28), (-0.52, 0.27), (-0.48, 0.0)], closed=True)
    pen.line(grip, wood, 0.2, smooth=False, edge=0.055)
    for y in (-0.2, 0.16):
        pen.disc((-0.49, y), (0.055, 0.055), (250, 226, 130), outline=0)


def draw_church_bell(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A big bell with a flared rim that swings under a wooden beam, its clapper showing below."""
    bronze, wood = pick(
        rng,
        (
            ((206, 150, 56), (128, 82, 48)),
            ((184, 116, 66), (160, 118, 76)),
            ((158, 148, 104), (120, 80, 56)),
            ((224, 180, 72), (112, 84, 70)),
        ),
    )
    swing, wide, lean = rng.uniform(5, 8), rng.uniform(0.66, 0.72), rng.uniform(-3, 3)
    angle = float(lean + swing * np.sin(2 * np.pi * phase))
    # turned about the beam, not about the middle
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    hinge = np.array([0.0, -0.78])
    turned = hinge @ np.array([[cos, sin], [-sin, cos]])
    pen = Pen(canvas, tilt=angle, shift=(float(-turned[0]), float(hinge[1] - turned[1])))
    pen.line([(0, 0.3), (0, 0.72)], (84, 84, 96), 0.1, smooth=False, edge=0.04)
    pen.disc((0.06 * np.sin(2 * np.pi * phase), 0.74), (0.17, 0.17), (84, 84, 96))
    pen.line([(-0.14, -0.5), (-0.14, -0.78), (0.14, -0.78), (0.14, -0.5)], bronze, 0.1, smooth=False, edge=0.045)
    half = [(0.0, -0.62), (0.28, -0.56), (0.4, -0.34), (0.45, 0.0), (0.54, 0.3), (wide, 0.52), (wide + 0.04, 0.62)]
    side = curve(half, steps=8)
    outline = np.vstack([side, (side * [-1, 1])[::-1]])
    pen.shape(outline, bronze, smooth=False, outline=0.07)
    pen.tint([(0.2, -0.5), (0.36, -0.3), (0.42, 0.0), (0.5, 0.3), (0.64, 0.56), (0.3, 0.56), (0.22, 0.0)], INK, 0.25)
    pen.tint([(-0.2, -0.48), (-0.1, -0.46), (-0.2, 0.0), (-0.3, 0.3), (-0.42, 0.3), (-0.32, 0.0)], WHITE, 0.5)
    for y, reach in ((-0.3, 0.4), (0.34, 0.55)):
        pen.line([(-reach, y), (0, y + 0.06), (reach, y)], shade(bronze, 0.5), 0.06)
    pen.line([(-wide, 0.56), (0, 0.62), (wide, 0.56)], shade(bronze, 1.35), 0.09)
    upright = Pen(canvas)
    upright.shape([(-0.94, -0.94), (0.94, -0.94), (0.94, -0.72), (-0.94, -0.72)], wood, smooth=False, outline=0.065)
    upright.line([(-0.8, -0.83), (0.8, -0.83)], shade(wood, 0.7), 0.04, smooth=False)


def draw_english_muffin(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A flat round bun split in two: one half leans behind, one lies in front with a square of butter on it."""
    crust, crumb = pick(
        rng,
        (
            ((206, 138, 66), (250, 228, 170)),
            ((184, 112, 54), (246, 218, 158)),
            ((224, 164, 92), (252, 238, 196)),
            ((164, 98, 56), (240, 208, 150)),
        ),
    )
    lean, melt, spots = float(rng.uniform(-10, 10)), rng.uniform(0.3, 0.36), rng.uniform(0, 1, (15, 2))
    slide = 0.05 * phase
    back = Pen(canvas, tilt=lean, shift=(0.0, -0.24))
    back.disc((0.02, -0.02), (0.74, 0.64), crust, outline=0.07)
    back.disc((0, 0), (0.62, 0.53), crumb, outline=0)
    for k, (far, size) in enumerate(spots):
        angle, reach = 2.4 * k + 0.5, 0.06 + 0.42 * np.sqrt((k + 0.5 * far) / len(spots))
        spot = (reach * 1.1 * np.cos(angle), reach * np.sin(angle))
        back.disc(spot, (0.03 + 0.06 * size, 0.03 + 0.03 * size), shade(crust, 1.2), angle=70 * k, outline=0)
    pen = Pen(canvas)
    # the crust below, a pale waist, and the cut face on top
    low = np.vstack([arc((0, 0.56), (0.92, 0.36), start=0, end=180), arc((0, 0.34), (0.92, 0.36), start=180, end=360)])
    pen.shape(low, crust, smooth=False, outline=0.07)
    pen.line(arc((0, 0.43), (0.9, 0.36), start=4, end=176), crumb, 0.07, smooth=False)
    pen.disc((0, 0.28), (0.92, 0.38), crust)
    pen.disc((0, 0.28), (0.8, 0.3), crumb, outline=0)
    for x, y in ((-0.58, 0.24), (-0.48, 0.4), (0.56, 0.2), (0.6, 0.36), (0.0, 0.51), (-0.32, 0.06), (0.34, 0.06)):
        pen.disc((x, y), (0.07, 0.04), shade(crust, 1.2), outline=0)
    pen.disc((0.02, 0.3 + slide), (melt + 0.14, 0.19), (255, 226, 90), outline=0)
    top = [(-0.3, 0.16), (0.04, 0.02), (0.34, 0.14), (0.0, 0.3)]
    shown = [(x, y + slide) for x, y in top]
    left, _, right, front = shown
    pen.shape(
        [*shown[:3], (right[0], right[1] + 0.13), (front[0], front[1] + 0.13), (left[0], left[1] + 0.13)],
        (238, 190, 40),
        smooth=False,
        outline=0.06,
    )
    pen.shape(shown, (255, 242, 150), smooth=False, outline=0.0)


def draw_french_fries(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A cardboard pouch, wider at the top, with a fan of square-ended potato sticks standing in it."""
    carton, mark = pick(
        rng,
        (
            ((222, 44, 40), (250, 246, 238)),
            ((186, 30, 48), (252, 206, 70)),
            ((236, 82, 48), (250, 246, 238)),
            ((214, 52, 92), (255, 222, 110)),
        ),
    )
    lengths, leans = rng.uniform(-0.1, 0.1, 11), rng.uniform(-3, 3, 11)
    tilt, potato = float(rng.uniform(-6, 6)), shade((255, 214, 84), rng.uniform(1.0, 1.2))
    pen = Pen(canvas, tilt=tilt + 2 * float(np.sin(2 * np.pi * phase)))
    pen.shape(
        [(-0.7, -0.14), (-0.3, -0.32), (0.3, -0.32), (0.7, -0.14), (0.5, 0.3), (-0.5, 0.3)],
        shade(carton, 0.7),
        smooth=False,
    )
    # the back row first, then the front row between its sticks
    rows = ((-0.48, -0.16, 0.16, 0.48, -0.32, 0.32), (-0.58, 0.58, -0.36, 0.36, -0.06))
    for k, x in enumerate([*rows[0], *rows[1]]):
        behind = k < len(rows[0])
        foot = np.array([x * 0.75, 0.3])
        length = (1.2 if behind else 0.86) - 0.3 * abs(x) + lengths[k]
        angle = np.radians(26 * x + leans[k])
        along, across = np.array([np.sin(angle), -np.cos(angle)]), np.array([np.cos(angle), np.sin(angle)]) * 0.115
        tip = foot + along * length
        color = shade(potato, 0.92) if behind else potato
        pen.shape(
            np.stack([foot - across, tip - across, tip + across, foot + across]), color, smooth=False, outline=0.045
        )
        pen.line(np.stack([foot, tip - along * 0.06]) + across * 0.45, shade(color, 0.84), 0.04, smooth=False)
    rim = curve([(-0.74, -0.2), (-0.4, 0.02), (0, 0.1), (0.4, 0.02), (0.74, -0.2)])
    front = np.vstack([rim, [(0.5, 0.9), (-0.5, 0.9)]])
    pen.shape(front, carton, smooth=False, outline=0.07)
    for x in (-0.36, 0.0, 0.36):
        stripe = [(x * 1.25 - 0.08, 0.26), (x * 1.25 + 0.08, 0.26), (x + 0.06, 0.84), (x - 0.06, 0.84)]
        pen.shape(stripe, mark, smooth=False, outline=0)


DRAWINGS: dict[str, Callable[[Canvas, np.random.Generator, float], None]] = {
    "record_player": draw_record_player,
    "hand_saw": draw_hand_saw,
    "church_bell": draw_church_bell,
    "english_muffin": draw_english_muffin,
    "french_fries": draw_french_fries,
}
