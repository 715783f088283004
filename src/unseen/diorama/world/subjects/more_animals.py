"""Penguin, owl and elephant."""

from __future__ import annotations

import numpy as np

from unseen.diorama.world.canvas import Canvas, Point, shade
from unseen.diorama.world.subjects.pen import INK, WHITE, Pen, pick


def draw_penguin(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """An upright bird from the front: dark coat, white belly and face, flippers held off, orange beak and feet."""
    coat, beak = pick(
        rng,
        (
            ((52, 58, 78), (250, 160, 40)),
            ((45, 75, 120), (250, 180, 50)),
            ((75, 72, 80), (245, 130, 45)),
            ((50, 90, 105), (250, 195, 70)),
        ),
    )
    wide, flap, sets_off = rng.uniform(0.53, 0.59), rng.uniform(0.78, 0.86), rng.uniform(0, 2 * np.pi)
    wave = 0.08 * np.sin(2 * np.pi * phase + sets_off)
    pen = Pen(canvas)
    for side in (-1, 1):
        pen.disc((side * 0.24, 0.86), (0.23, 0.1), beak)
        tip = (side * (flap + wave), 0.36)
        pen.shape([(side * 0.26, -0.24), (side * 0.58, -0.02), tip, (side * 0.56, 0.32), (side * 0.36, 0.2)], coat)
    half: list[Point] = [
        (0.0, -0.94),
        (0.26, -0.84),
        (0.38, -0.56),
        (0.4, -0.24),
        (wide, 0.2),
        (wide - 0.02, 0.6),
        (0.3, 0.84),
    ]
    pen.shape([*half, (0, 0.88), *[(-x, y) for x, y in reversed(half[1:])]], coat)
    pen.disc((0, 0.34), (wide - 0.13, 0.46), WHITE, outline=0)
    for side in (-1, 1):
        pen.disc((side * 0.13, -0.56), (0.16, 0.19), WHITE, outline=0)
    for side in (-1, 1):
        pen.disc((side * 0.13, -0.6), (0.065, 0.075), INK, outline=0)
    pen.shape([(-0.15, -0.47), (0, -0.53), (0.15, -0.47), (0, -0.27)], beak, smooth=False, outline=0.045)


def draw_owl(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A squat bird from the front on a branch: ear tufts, two huge round eyes, a small beak, folded wings."""
    coat, pale = pick(
        rng,
        (
            ((150, 95, 55), (235, 205, 160)),
            ((125, 115, 125), (225, 220, 220)),
            ((190, 120, 60), (250, 225, 175)),
            ((105, 75, 65), (215, 180, 145)),
        ),
    )
    wide, eye, look = rng.uniform(0.6, 0.66), rng.uniform(0.28, 0.31), rng.uniform(0, 2 * np.pi)
    glance = 0.05 * np.sin(2 * np.pi * phase + look)
    pen = Pen(canvas)
    pen.line([(-0.85, 0.84), (0.85, 0.78)], (110, 70, 40), 0.15, smooth=False, edge=0.05)
    half: list[Point] = [(0.2, -0.74), (0.4, -0.8), (0.6, -0.96), (0.62, -0.66), (0.62, -0.3)]
    half += [(wide, 0.2), (0.54, 0.62), (0.24, 0.82)]
    pen.shape([(0, -0.7), *half, (0, 0.84), *[(-x, y) for x, y in reversed(half)]], coat)
    pen.disc((0, 0.36), (0.38, 0.42), pale, outline=0)
    for x, y in ((-0.16, 0.26), (0.16, 0.26), (0, 0.42), (-0.16, 0.56), (0.16, 0.56)):
        pen.line([(x - 0.09, y - 0.04), (x, y + 0.05), (x + 0.09, y - 0.04)], shade(coat, 0.8), 0.05, smooth=False)
    for side in (-1, 1):
        wing = [(side * 0.56, -0.06), (side * (wide + 0.06), 0.24), (side * 0.52, 0.74), (side * 0.38, 0.3)]
        pen.shape(wing, shade(coat, 0.72))
        pen.line([(side * 0.12, 0.82), (side * 0.26, 0.82)], (250, 170, 50), 0.1, smooth=False, edge=0.04)
    for side in (-1, 1):
        pen.disc((side * 0.29, -0.36), (eye + 0.02, eye + 0.02), pale)
        pen.disc((side * 0.29, -0.36), (eye * 0.74, eye * 0.74), (255, 210, 60), outline=0.04)
        pen.disc((side * 0.29 + glance, -0.36), (eye * 0.42, eye * 0.42), INK, outline=0)
        pen.disc((side * 0.29 + glance - 0.05, -0.42), (0.04, 0.04), WHITE, outline=0)
    pen.shape([(-0.11, -0.24), (0.11, -0.24), (0, 0.04)], (250, 170, 50), smooth=False, outline=0.045)


def draw_elephant(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A heavy animal from the side: pillar legs, a big flapping ear, a tusk and a long trunk that curls up."""
    hide, inside = pick(
        rng,
        (
            ((150, 158, 172), (225, 170, 175)),
            ((125, 145, 180), (215, 165, 185)),
            ((165, 150, 145), (230, 175, 160)),
            ((140, 170, 175), (235, 190, 180)),
        ),
    )
    ear, reach, sets_off = rng.uniform(0.27, 0.31), rng.uniform(-0.03, 0.03), rng.uniform(0, 2 * np.pi)
    wave = np.sin(2 * np.pi * phase + sets_off)
    pen = Pen(canvas, scale=0.95, shift=(0.0, -0.06))
    far = shade(hide, 0.72)
    pen.line([(-0.84, -0.12), (-0.94, 0.1), (-0.9 + 0.03 * wave, 0.36)], hide, 0.06, edge=0.045)
    for x in (-0.46, 0.1):
        pen.shape([(x - 0.13, 0.2), (x + 0.13, 0.2), (x + 0.13, 0.84), (x - 0.13, 0.84)], far, smooth=False)
    trunk = [(0.68, -0.2), (0.8, 0.1), (0.82, 0.42), (0.72 + reach, 0.62), (0.9, 0.66 + 0.04 * wave)]
    pen.line(trunk, hide, 0.17, edge=0.055)
    for x in (-0.7, 0.26):
        pen.shape([(x - 0.14, 0.1), (x + 0.15, 0.1), (x + 0.15, 0.9), (x - 0.15, 0.9)], hide, smooth=False)
        pen.line([(x - 0.09, 0.84), (x + 0.09, 0.84)], (245, 235, 215), 0.07, smooth=False)
    body = [(-0.88, 0.0), (-0.78, -0.38), (-0.4, -0.56), (0.1, -0.52), (0.42, -0.3), (0.42, 0.2), (0.1, 0.4)]
    pen.shape([*body, (-0.4, 0.4), (-0.8, 0.3)], hide)
    for x in (-0.7, 0.26):
        pen.disc((x, 0.26), (0.115, 0.16), hide, outline=0)
    pen.disc((0.5, -0.34), (0.34, 0.36), hide)
    pen.line([(0.68, -0.2), (0.78, 0.04), (0.815, 0.2)], hide, 0.17)
    pen.shape([(0.52, -0.02), (0.66, 0.0), (0.94, 0.2), (0.7, 0.14)], WHITE, outline=0.045)
    pen.disc((0.64, -0.42), (0.06, 0.065), INK, outline=0)
    flap = 1 + 0.1 * wave
    pen.disc((0.26, -0.26), (ear * flap, 0.4), hide, angle=8)
    pen.disc((0.25, -0.24), (ear * flap * 0.6, 0.26), inside, angle=8, outline=0)


DRAWINGS = {"penguin": draw_penguin, "owl": draw_owl, "elephant": draw_elephant}
