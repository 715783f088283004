"""Things that share a word with an object's name and stand in the open: pump, bench, bin, cart, parasol."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from unseen.diorama.world.canvas import Canvas, Color, arc, curve, shade
from unseen.diorama.world.subjects.pen import INK, WHITE, Pen, pick

WATER: Color = (110, 190, 245)
IRON: Color = (74, 78, 90)


def draw_water_pump(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """An old village pump: an iron column with a long curved lever, a drooping spout and a bucket under it."""
    iron, pail = pick(
        rng,
        (
            ((66, 128, 92), (188, 194, 204)),
            ((196, 66, 56), (176, 124, 72)),
            ((66, 108, 176), (196, 150, 92)),
            ((112, 116, 130), (200, 84, 62)),
        ),
    )
    wide, stroke = rng.uniform(0.2, 0.23), rng.uniform(8, 14)
    raised = np.radians(stroke * np.sin(2 * np.pi * phase))
    pen = Pen(canvas)
    # lever: turns about the head of the column and hangs down on the right
    lever = np.array([(-0.08, -0.06), (0.26, -0.1), (0.5, 0.12), (0.6, 0.52), (0.62, 0.86)])
    cos, sin = np.cos(raised * 0.5), np.sin(raised * 0.5)
    swung = lever @ np.array([[cos, -sin], [sin, cos]]) + [0.14, -0.66]
    pen.line(swung, shade(iron, 0.75), 0.11, edge=0.045)
    pen.disc((float(swung[-1, 0]), float(swung[-1, 1])), (0.1, 0.1), shade(iron, 0.75))
    pen.line([(-0.56, -0.1), (-0.56, 0.44)], WATER, 0.13, smooth=False, edge=0.03)
    spout = curve([(0.1, -0.3), (-0.3, -0.32), (-0.52, -0.22), (-0.56, -0.04)])
    pen.line(spout, iron, 0.2, smooth=False, edge=0.05)
    pen.line([(-0.64, -0.02), (-0.48, -0.02)], iron, 0.12, smooth=False, edge=0.045)
    pen.shape([(0.12 - wide, -0.62), (0.12 + wide, -0.62), (0.12 + wide * 0.9, 0.8), (0.12 - wide * 0.9, 0.8)], iron,
              smooth=False, outline=0.065)  # fmt: skip
    pen.tint([(0.18, -0.6), (0.3, -0.6), (0.28, 0.78), (0.18, 0.78)], INK, 0.3)
    pen.line([(0.02, -0.5), (0.02, 0.7)], shade(iron, 1.4), 0.06, smooth=False)
    for y in (-0.02, 0.5):
        pen.line([(0.12 - wide, y), (0.12 + wide, y)], iron, 0.09, smooth=False, edge=0.045)
    pen.shape([(-0.3, 0.92), (0.54, 0.92), (0.46, 0.76), (-0.22, 0.76)], iron, smooth=False, outline=0.06)
    cap = np.vstack([arc((0.12, -0.6), (wide + 0.08, 0.22), start=180, end=360)])
    pen.shape(cap, iron, smooth=False, outline=0.065)
    pen.disc((0.12, -0.86), (0.09, 0.09), iron)
    pen.disc((0.14, -0.66), (0.06, 0.06), WHITE, outline=0.04)
    # the bucket
    pen.shape([(-0.9, 0.42), (-0.22, 0.42), (-0.32, 0.92), (-0.8, 0.92)], pail, smooth=False, outline=0.065)
    pen.line([(-0.84, 0.66), (-0.28, 0.66)], shade(pail, 0.6), 0.06, smooth=False)
    pen.disc((-0.56, 0.42), (0.35, 0.1), WATER)
    pen.line([(-0.56, 0.1), (-0.56, 0.42)], WATER, 0.13, smooth=False)


def draw_park_bench(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A bench from the front: slats for the back, slats for the seat, and iron arms and legs on both sides."""
    wood = pick(rng, (((190, 120, 62),), ((84, 142, 88),), ((222, 176, 112),), ((150, 84, 54),)))[0]
    reach, rise = rng.uniform(0.76, 0.8), rng.uniform(0.7, 0.76)
    pen = Pen(canvas, shift=(0.0, -0.02))
    for side in (-1, 1):
        pen.line([(side * 0.56, -rise), (side * 0.56, 0.72)], IRON, 0.12, smooth=False, edge=0.03)
    step = (rise + 0.08) / 3
    for k in range(3):
        top = -rise + step * k
        corners = [(-reach, top), (reach, top), (reach, top + step * 0.66), (-reach, top + step * 0.66)]
        pen.shape(corners, wood, smooth=False, outline=0.045)
        pen.line([(-reach + 0.06, top + 0.06), (reach - 0.06, top + 0.06)], shade(wood, 1.3), 0.04, smooth=False)
    # the seat comes forward: wider and lighter towards the front
    seat = [(-reach, 0.14), (reach, 0.14), (reach + 0.08, 0.44), (-reach - 0.08, 0.44)]
    pen.shape(seat, shade(wood, 1.3), smooth=False)
    pen.line([(-reach - 0.02, 0.28), (reach + 0.02, 0.28)], INK, 0.05, smooth=False)
    front = reach + 0.08
    pen.shape([(-front, 0.44), (front, 0.44), (front, 0.54), (-front, 0.54)], shade(wood, 0.8), smooth=False)
    for side in (-1, 1):
        leg = [(side * 0.8, 0.5), (side * 0.77, 0.7), (side * 0.85, 0.88)]
        pen.line(leg, IRON, 0.13, edge=0.03)
        arm = [
            (side * 0.82, 0.42),
            (side * 0.85, 0.1),
            (side * 0.86, -0.12),
            (side * 0.78, -0.22),
            (side * 0.66, -0.16),
        ]
        pen.line(arm, IRON, 0.13, edge=0.03)


def draw_garbage_can(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A ribbed metal bin that narrows downwards, handles at its sides, under a domed lid with a grip."""
    metal = pick(rng, (((170, 178, 188),), ((128, 146, 158),), ((118, 150, 122),), ((188, 176, 158),)))[0]
    ribs, foot, tilt = int(rng.integers(5, 6)), rng.uniform(0.46, 0.5), rng.uniform(-7, -5)
    pen = Pen(canvas)
    for side in (-1, 1):
        pen.line([(side * 0.6, -0.12), (side * 0.82, -0.08), (side * 0.8, 0.2), (side * 0.58, 0.2)], shade(metal, 0.7),
                 0.08, smooth=False, edge=0.045)  # fmt: skip
    body = np.vstack([[(-0.66, -0.36), (0.66, -0.36)], arc((0, 0.82), (foot, 0.1), start=0, end=180)])
    pen.shape(body, metal, smooth=False, outline=0.075)
    pen.tint([(0.3, -0.34), (0.63, -0.34), (foot, 0.84), (0.2, 0.9)], INK, 0.2)
    for k in range(ribs):
        share = 2 * (k + 0.5) / ribs - 1
        pen.line([(share * 0.62, -0.2), (share * foot * 0.95, 0.78)], shade(metal, 0.5), 0.07, smooth=False)
        x = share - 0.09
        pen.line([(x * 0.62, -0.2), (x * foot * 0.95, 0.78)], shade(metal, 1.55), 0.05, smooth=False)
    for y, half in ((-0.28, 0.65), (0.78, foot + 0.01)):
        pen.line([(-half, y), (0, y + 0.06), (half, y)], metal, 0.08, edge=0.035)
    # the lid sits a little askew and rattles
    lid = Pen(canvas, tilt=float(tilt + 3 * np.sin(2 * np.pi * phase)))
    lid.line([(-0.18, -0.7), (-0.16, -0.88), (0.16, -0.88), (0.18, -0.7)], shade(metal, 0.7), 0.08, edge=0.045)
    dome = np.vstack([arc((0, -0.46), (0.72, 0.3), start=180, end=360)])
    lid.shape(dome, shade(metal, 1.15), smooth=False, outline=0.07)
    lid.tint([(0.2, -0.72), (0.5, -0.66), (0.68, -0.48), (0.3, -0.48)], INK, 0.2)
    lid.line([(-0.76, -0.42), (0.76, -0.42)], metal, 0.11, smooth=False, edge=0.05)


def draw_golf_cart(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A small open buggy from the side: a flat roof on thin posts, a seat, two small wheels, clubs at the back."""
    body, bag = pick(
        rng,
        (
            ((246, 244, 236), (206, 58, 52)),
            ((70, 150, 96), (236, 180, 60)),
            ((214, 66, 56), (60, 104, 178)),
            ((246, 204, 84), (66, 140, 96)),
        ),
    )
    roof, radius, jolt = rng.uniform(-0.82, -0.76), rng.uniform(0.24, 0.27), 0.02 * np.sin(2 * np.pi * phase)
    pen = Pen(canvas, scale=0.95, shift=(0.03, 0.01 + float(jolt)))
    # bag with three clubs
    for x in (-0.92, -0.78, -0.64):
        pen.line([(-0.72, 0.1), (x, -0.42)], (226, 230, 236), 0.05, smooth=False, edge=0.03)
        pen.line([(x - 0.02, -0.44), (x + 0.09, -0.4)], (120, 126, 140), 0.09, smooth=False, edge=0.03)
    pen.shape([(-0.94, -0.2), (-0.66, -0.26), (-0.54, 0.4), (-0.78, 0.44)], bag, smooth=False, outline=0.06)
    # posts and roof
    pen.line([(-0.44, 0.0), (-0.5, roof)], (222, 226, 232), 0.06, smooth=False, edge=0.04)
    pen.line([(0.7, 0.14), (0.42, roof)], (222, 226, 232), 0.06, smooth=False, edge=0.04)
    pen.shape([(-0.72, roof + 0.06), (-0.62, roof - 0.1), (0.52, roof - 0.1), (0.64, roof + 0.06)], body, smooth=False,
              outline=0.07)  # fmt: skip
    # seat and steering wheel
    pen.line([(-0.38, 0.1), (-0.44, -0.24)], (120, 84, 60), 0.16, smooth=False, edge=0.045)
    pen.line([(-0.36, 0.12), (0.06, 0.12)], (120, 84, 60), 0.16, smooth=False, edge=0.045)
    pen.line([(0.54, 0.3), (0.36, -0.06)], INK, 0.07, smooth=False)
    pen.line([(0.24, -0.02), (0.46, -0.14)], INK, 0.1, smooth=False)
    # a low floor between the rear box and the sloping nose
    shell = [(-0.86, 0.24), (0.1, 0.24), (0.16, 0.52), (0.44, 0.52), (0.58, 0.06), (0.7, 0.06), (0.9, 0.34),
             (0.94, 0.64), (-0.9, 0.64)]  # fmt: skip
    pen.shape(shell, body, smooth=False, outline=0.07)
    pen.line([(-0.8, 0.55), (0.86, 0.55)], shade(body, 0.72), 0.07, smooth=False)
    pen.disc((0.84, 0.4), (0.07, 0.08), (255, 236, 140), outline=0.04)
    ground = Pen(canvas)
    for x in (-0.54, 0.58):
        ground.disc((x, 0.92 - radius), (radius, radius), (44, 44, 54))
        ground.disc((x, 0.92 - radius), (radius * 0.5, radius * 0.5), (214, 218, 226), outline=0)


def draw_parasol(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A beach umbrella: a striped canopy with a scalloped rim, aslant on one pole that stands in a heap of sand."""
    first, second = pick(
        rng,
        (
            ((222, 56, 50), (250, 246, 236)),
            ((50, 120, 206), (250, 246, 236)),
            ((246, 196, 50), (232, 100, 60)),
            ((46, 158, 142), (252, 236, 180)),
        ),
    )
    lean, high = rng.uniform(11, 15), rng.uniform(0.6, 0.66)
    tilt = float(lean + 2 * np.sin(2 * np.pi * phase))
    foot = np.array([-0.2, 0.82])
    cos, sin = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    turned = foot @ np.array([[cos, sin], [-sin, cos]])
    pen = Pen(canvas, tilt=tilt, shift=(float(foot[0] - turned[0]), float(foot[1] - turned[1])))
    middle, rim, half = -0.2, -0.22, 0.86
    pen.line([(middle, 0.84), (middle, -0.8)], (240, 226, 196), 0.09, smooth=False, edge=0.045)
    # ribs fan out from the top; each stripe ends in a scallop
    edges = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 7)) * half
    top = rim - high
    for k, (left, right) in enumerate(pairwise(edges)):
        share = np.linspace(0, 1, 14)
        bow = np.stack([middle + left * np.sin(share * np.pi / 2), rim - high * np.cos(share * np.pi / 2)], 1)
        back = np.stack([middle + right * np.sin(share * np.pi / 2), rim - high * np.cos(share * np.pi / 2)], 1)
        scallop = arc((middle + (left + right) / 2, rim), ((right - left) / 2, 0.09), start=180, end=0)
        stripe = np.vstack([bow, scallop, back[::-1]])
        pen.shape(stripe, first if k % 2 == 0 else second, smooth=False)
    pen.disc((middle, top - 0.04), (0.07, 0.07), first)
    sand = Pen(canvas)
    heap = np.vstack([arc((-0.1, 0.92), (0.8, 0.24), start=180, end=360)])
    sand.shape(heap, (236, 208, 140), smooth=False, outline=0.06)
    for x, y in ((-0.5, 0.84), (0.1, 0.8), (0.4, 0.86), (-0.14, 0.87)):
        sand.disc((x, y), (0.04, 0.025), (196, 160, 96), outline=0)


DRAWINGS: dict[str, Callable[[Canvas, np.random.Generator, float], None]] = {
    "water_pump": draw_water_pump,
    "park_bench": draw_park_bench,
    "garbage_can": draw_garbage_can,
    "golf_cart": draw_golf_cart,
    "parasol": draw_parasol,
}
