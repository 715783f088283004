"""Five more carriers: bare statue, burning haystack, smoking scarecrow, armed knight, wounded teddy bear.

As in `carriers`, every function draws all its random numbers first, whether or not the attribute is shown.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unseen.diorama.world.canvas import Canvas, Color, Point, shade
from unseen.diorama.world.subjects.carriers import FABRICS, flame, limb, pick_shade, smoke, sword, toward
from unseen.diorama.world.subjects.people import INK, turn

_STONES: tuple[Color, ...] = ((216, 216, 210), (206, 210, 216), (222, 214, 198), (198, 206, 200))
_HAYS: tuple[Color, ...] = ((236, 194, 72), (226, 178, 58), (242, 206, 96), (218, 184, 84))
_STEELS: tuple[Color, ...] = ((172, 182, 196), (150, 168, 196), (186, 184, 180), (160, 178, 182))
_FURS: tuple[Color, ...] = ((176, 116, 62), (206, 154, 92), (142, 92, 58), (190, 146, 112))
_BLOOD: Color = (205, 12, 24)


def draw_statue(canvas: Canvas, rng: np.random.Generator, phase: float, attribute: bool) -> None:
    """A classical stone figure that has lost an arm, on a plinth; bare stone, or draped in a bright toga."""
    stone, cloth = pick_shade(rng, _STONES), pick_shade(rng, FABRICS)
    build, tilt, sway = rng.uniform([0.94, -3, 0.5], [1.08, 3, 1.5])
    flip = rng.random() < 0.5
    dark, deep, wide = shade(stone, 0.8), shade(stone, 0.58), 0.27 * build

    canvas.rectangle(-0.5, 0.66, 0.5, 0.94, dark, outline=INK)
    canvas.rectangle(-0.6, 0.6, 0.6, 0.7, stone, outline=INK)
    canvas.rectangle(-0.62, 0.86, 0.62, 0.97, stone, outline=INK)
    for side, knee in ((-1, (-0.19, 0.26)), (1, (0.21, 0.24))):
        foot = (side * 0.2, 0.55)
        limb(canvas, [(side * 0.13, 0.0), knee], stone, 0.21 * build)
        limb(canvas, [knee, foot], stone, 0.15 * build)
        canvas.ellipse((foot[0] + side * 0.06, 0.56), (0.13, 0.06), stone, outline=INK)
    limb(canvas, [(wide + 0.04, -0.44), (wide + 0.19, -0.27)], stone, 0.16)
    canvas.ellipse((wide + 0.22, -0.235), (0.1, 0.06), deep, angle=-48, outline=INK)  # where the arm broke off
    elbow = (-wide - 0.28, -0.2)
    limb(canvas, [(-wide - 0.02, -0.44), elbow, (-0.24, 0.0)], stone, 0.14)
    torso = [(-wide - 0.08, -0.5), (0, -0.56), (wide + 0.08, -0.5), (wide * 0.84, -0.2), (wide * 0.9, 0.08), (0, 0.16)]
    canvas.blob([*torso, (-wide * 0.9, 0.08), (-wide * 0.84, -0.2)], stone, outline=INK)
    for side in (-1, 1):  # chest and belly, as a sculptor carves them
        canvas.ellipse((side * 0.115, -0.36), (0.115, 0.075), deep, start=10, end=170, width=0.04)
        canvas.line([(side * 0.22, 0.0), (side * 0.09, 0.12)], deep, 0.035)
    canvas.line([(0, -0.24), (0, -0.06)], deep, 0.035)
    canvas.ellipse((0, -0.02), (0.03, 0.03), deep)

    if not attribute:
        _toga(canvas, cloth, wide)
    canvas.rectangle(-0.075, -0.62, 0.075, -0.49, dark, outline=INK)
    canvas.ellipse((0, -0.74), (0.17, 0.2), stone, outline=INK)
    for x, y in ((-0.17, -0.78), (0.17, -0.78), (-0.13, -0.88), (0.13, -0.88), (0, -0.92)):
        canvas.ellipse((x, y), (0.075, 0.065), dark, outline=INK)
    for side in (-1, 1):
        canvas.line([(side * 0.1, -0.755), (side * 0.05, -0.755)], deep, 0.04)
    canvas.line([(0, -0.75), (0, -0.67)], deep, 0.035)
    canvas.line([(-0.05, -0.61), (0.05, -0.61)], deep, 0.035)
    turn(canvas, tilt + sway * np.sin(phase * 2 * np.pi), flip=flip)


def _toga(canvas: Canvas, cloth: Color, wide: float) -> None:
    """Cloth over one shoulder, around the body and down to the shins."""
    top: list[Point] = [(0.1, -0.57), (wide + 0.13, -0.51), (wide + 0.04, -0.1), (wide + 0.1, 0.12)]
    hem: list[Point] = [(0.42, 0.42), (0.2, 0.47), (0.0, 0.41), (-0.2, 0.47), (-0.42, 0.4)]
    canvas.polygon([*top, *hem, (-wide - 0.08, 0.1), (-wide - 0.02, -0.18)], cloth, outline=INK)
    for start, end in (((0.22, -0.5), (-0.24, -0.08)), ((0.32, -0.4), (-0.28, 0.08)), ((0.3, -0.2), (-0.1, 0.1))):
        canvas.line([start, end], shade(cloth, 0.62), 0.04)
    for x in (-0.24, -0.06, 0.12, 0.28):
        canvas.line([(x * 0.75, 0.16), (x, 0.38)], shade(cloth, 0.62), 0.04)
    canvas.stroke([(-wide - 0.1, 0.04), (0, 0.14), (wide + 0.08, 0.0)], shade(cloth, 1.45), 0.08)


def draw_haystack(canvas: Canvas, rng: np.random.Generator, phase: float, attribute: bool) -> None:
    """A golden heap of hay with a pitchfork; burning, flames stand all over it and dark smoke rises."""
    hay, handle = pick_shade(rng, _HAYS), pick_shade(rng, ((134, 84, 46), (112, 70, 40), (150, 98, 58), (96, 64, 44)))
    peak, wide, tilt, lean, puff = rng.uniform([-0.64, 0.74, -3, -0.02, 0.2], [-0.52, 0.8, 3, 0.06, 0.24])
    strands, turns = rng.uniform(0, 1, (46, 2)), rng.uniform(-0.35, 0.35, 46)
    heights, starts = rng.uniform(0.8, 1.1, 8), rng.uniform(0, 2 * np.pi, 8)
    flip, left = rng.random() < 0.5, -0.14
    floor = 0.88

    if attribute:
        smoke(canvas, (left - 0.2, -0.3), puff, phase, rise=0.6, drift=-0.3, colors=((84, 84, 92), (116, 116, 124)))
        smoke(canvas, (left + 0.3, -0.3), puff, phase, rise=0.6, drift=0.3, colors=((84, 84, 92), (116, 116, 124)))
    heap = [(left + x * wide, peak + y) for x, y in ((-0.26, 0.05), (-0.08, 0), (0.08, 0), (0.26, 0.05))]
    right = [(left + x * wide, y) for x, y in ((0.62, peak + 0.38), (0.9, 0.2), (1.0, 0.6), (1.02, floor))]
    mirror = [(2 * left - x, y) for x, y in reversed(right)]
    rim = [*mirror, *heap, *right]
    for x, y in (*rim[1:3], *rim[-3:-1]):  # straws that stick out of the sides
        out = np.sign(x - left)
        for reach, lift in ((0.13, -0.09), (0.12, 0.07)):
            limb(canvas, [(x, y), (x + out * reach, y + lift)], hay, 0.04)
    canvas.polygon(rim, hay, outline=INK)
    for (across, down), slant in zip(strands, turns, strict=True):
        y = peak + 0.2 + (floor - peak - 0.24) * np.sqrt(down)
        half = wide * min(1.0, 0.3 + 0.75 * (y - peak) / (floor - peak)) * 0.84
        x = left + (2 * across - 1) * half
        tone = shade(hay, 0.66) if slant > 0 else shade(hay, 1.6)
        canvas.line([(x, y), (x + slant * 0.4 + (x - left) * 0.1, y + 0.15)], tone, 0.045)
    for x in np.linspace(-1.06, 1.06, 13):  # loose straws at the foot
        canvas.line([(left + x * wide, floor), (left + x * wide * 1.08, floor + 0.07)], shade(hay, 0.75), 0.06)

    fork = 0.72 + lean
    limb(canvas, [(fork - 0.16, 0.92), (fork, -0.3)], handle, 0.08)
    for side in (-1, 0, 1):
        foot, tip = (fork + side * 0.15 + 0.01, -0.38), (fork + side * 0.15 + 0.06, -0.8)
        limb(canvas, [foot, tip], (196, 202, 210), 0.05)
    limb(canvas, [(fork - 0.15, -0.34), (fork + 0.17, -0.37)], (196, 202, 210), 0.06)

    if attribute:
        flicker = np.sin(phase * 2 * np.pi * (1 + np.arange(8) % 3) + starts)
        size = heights * (1 + 0.16 * flicker)
        spots = ((-0.62, 0.2), (0.62, 0.2), (-0.32, -0.08), (0.32, -0.08), (0.0, -0.2))
        for i, (x, y) in enumerate((*spots, (-0.5, 0.84), (0.4, 0.7))):
            foot, tall = (left + x * wide, y), (0.74 if i < 5 else 0.56) * size[i]
            flame(canvas, foot, 0.24, min(tall, y + 0.96), 0.1 * flicker[i])
    turn(canvas, tilt, flip=flip)


def draw_scarecrow(canvas: Canvas, rng: np.random.Generator, phase: float, attribute: bool) -> None:
    """A straw man on a pole, arms spread, under a wide hat; smoking, a pipe in the mouth sends up puffs."""
    shirt, trousers = (FABRICS[i] for i in rng.permutation(len(FABRICS))[:2])
    hat = pick_shade(rng, ((140, 92, 50), (110, 84, 60), (164, 120, 62), (92, 70, 58)))
    sack, straw = pick_shade(rng, ((226, 196, 142), (214, 180, 124), (236, 210, 164), (204, 172, 128))), (246, 206, 84)
    width, tilt, sway, puff = rng.uniform([0.2, -3, 1, 0.17], [0.26, 3, 4, 0.2])
    flip, x = rng.random() < 0.5, -0.1
    pole: Color = (120, 78, 44)

    limb(canvas, [(x, 0.3), (x, 0.95)], pole, 0.1)
    limb(canvas, [(x - 0.84, 0.06), (x + 0.84, 0.06)], pole, 0.08)
    for side in (-1, 1):
        for spread in (-0.15, -0.05, 0.05, 0.15):  # straw sticks out of sleeves and trousers
            limb(canvas, [(x + side * 0.62, 0.08), (x + side * 0.82, 0.08 + spread)], straw, 0.045)
            foot = x + side * 0.2
            limb(canvas, [(foot, 0.7), (foot + spread * 0.8, 0.88)], straw, 0.045)
        limb(canvas, [(x + side * 0.1, 0.4), (x + side * 0.2, 0.7)], trousers, 0.22)
        limb(canvas, [(x + side * 0.2, 0.05), (x + side * 0.58, 0.09)], shirt, 0.2)
    body = [(x - width, -0.06), (x + width, -0.06), (x + width + 0.06, 0.46), (x - width - 0.06, 0.46)]
    canvas.polygon(body, shirt, outline=INK)
    canvas.rectangle(x + 0.02, 0.14, x + 0.18, 0.32, trousers, outline=INK)
    canvas.line([(x - width - 0.04, 0.42), (x + width + 0.04, 0.42)], (160, 120, 60), 0.08)
    for spread in (-0.2, -0.1, 0.0, 0.1, 0.2):
        limb(canvas, [(x + spread * 0.6, -0.12), (x + spread * 1.2, 0.02)], straw, 0.045)
    canvas.ellipse((x, -0.36), (0.3, 0.29), sack, outline=INK)
    for side in (-1, 1):
        center = (x + side * 0.12, -0.43)
        for turned in (-1, 1):
            ends = [(center[0] - 0.05, center[1] - 0.05 * turned), (center[0] + 0.05, center[1] + 0.05 * turned)]
            canvas.line(ends, INK, 0.045)
    canvas.polygon([(x - 0.06, -0.29), (x + 0.06, -0.29), (x, -0.39)], (232, 110, 30), outline=INK)
    canvas.stroke([(x - 0.16, -0.2), (x, -0.15), (x + 0.16, -0.2)], INK, 0.04)
    for at in (-0.1, 0.0, 0.1):
        canvas.line([(x + at, -0.22), (x + at, -0.11)], INK, 0.03)
    canvas.polygon([(x - 0.22, -0.58), (x - 0.14, -0.96), (x + 0.12, -0.92), (x + 0.22, -0.58)], hat, outline=INK)
    canvas.line([(x - 0.19, -0.66), (x + 0.19, -0.66)], shirt, 0.09)
    canvas.ellipse((x, -0.56), (0.46, 0.09), hat, outline=INK)

    if attribute:
        bowl = (0.48, -0.16)
        limb(canvas, [(x + 0.12, -0.17), (0.3, -0.08), bowl], (112, 58, 26), 0.07)
        smoke(canvas, (bowl[0] + 0.06, -0.3), puff, phase, rise=0.56, drift=0.16)
        canvas.rectangle(bowl[0] - 0.13, bowl[1] - 0.12, bowl[0] + 0.13, bowl[1] + 0.13, (112, 58, 26), outline=INK)
        canvas.rectangle(bowl[0] - 0.1, bowl[1] - 0.13, bowl[0] + 0.1, bowl[1] - 0.05, (255, 120, 20))
    turn(canvas, tilt + sway * np.sin(phase * 2 * np.pi) * 0.5, flip=flip)


def draw_knight(canvas: Canvas, rng: np.random.Generator, phase: float, attribute: bool) -> None:
    """A figure in plate armor with a plumed helmet and a shield; armed, the raised hand holds a long sword."""
    steel, (crest, field) = pick_shade(rng, _STEELS), (FABRICS[i] for i in rng.permutation(len(FABRICS))[:2])
    build, tilt, swing, lean = rng.uniform([0.29, -3, 4, -10], [0.35, 3, 10, 4])
    flip, x = rng.random() < 0.5, -0.1
    dark, light = shade(steel, 0.7), shade(steel, 1.5)
    wave = swing * np.sin(phase * 2 * np.pi)

    for side in (-1, 1):
        knee, foot = (x + side * 0.18, 0.62), (x + side * 0.2, 0.88)
        limb(canvas, [(x + side * 0.14, 0.4), knee, foot], steel, 0.19)
        canvas.ellipse(knee, (0.13, 0.1), dark, outline=INK)
        canvas.ellipse((foot[0] + side * 0.05, 0.91), (0.18, 0.075), dark, outline=INK)
    elbow = (x + build + 0.27, 0.24)
    hand = toward(elbow, 168 - wave, 0.28)
    limb(canvas, [(x + build, -0.14), elbow, hand], steel, 0.15)
    skirt = [(x - build * 0.9, 0.26), (x + build * 0.9, 0.26), (x + build * 1.15, 0.5), (x - build * 1.15, 0.5)]
    canvas.polygon(skirt, crest, outline=INK)
    chest = [(x - build, -0.2), (x, -0.26), (x + build, -0.2), (x + build * 0.95, 0.1), (x + build * 0.75, 0.32)]
    canvas.blob([*chest, (x - build * 0.75, 0.32), (x - build * 0.95, 0.1)], steel, outline=INK)
    canvas.line([(x, -0.18), (x, 0.26)], light, 0.05)
    for side in (-1, 1):
        canvas.ellipse((x + side * (build + 0.03), -0.15), (0.16, 0.13), light, outline=INK)

    canvas.blob([(x - 0.02, -0.8), (x - 0.08, -0.97), (x - 0.36, -0.94), (x - 0.48, -0.66)], crest, outline=INK)
    helmet = [(x - 0.26, -0.24), (x - 0.29, -0.6), (x - 0.14, -0.82), (x, -0.86), (x + 0.14, -0.82), (x + 0.29, -0.6)]
    canvas.polygon([*helmet, (x + 0.26, -0.24), (x, -0.17)], steel, outline=INK)
    canvas.line([(x - 0.22, -0.55), (x + 0.22, -0.55)], INK, 0.12)
    canvas.line([(x, -0.84), (x, -0.2)], light, 0.06)
    for side in (-1, 1):
        for y in (-0.4, -0.3):
            canvas.line([(x + side * 0.09, y), (x + side * 0.17, y)], INK, 0.045)

    left = x - build - 0.16
    outline = [(left - 0.29, -0.1), (left, -0.16), (left + 0.29, -0.1), (left + 0.27, 0.28), (left, 0.6)]
    canvas.polygon([*outline, (left - 0.27, 0.28)], field, outline=INK)
    canvas.line([(left, -0.06), (left, 0.44)], (250, 250, 246), 0.1)
    canvas.line([(left - 0.18, 0.12), (left + 0.18, 0.12)], (250, 250, 246), 0.1)

    if attribute:
        sword(canvas, hand, 178 - lean - wave)
    canvas.ellipse(hand, (0.13, 0.12), dark, outline=INK)
    if not attribute:  # an open gauntlet
        for spread in (-38, -12, 14):
            limb(canvas, [toward(hand, 175 - wave + spread, 0.1), toward(hand, 175 - wave + spread, 0.2)], steel, 0.06)
    turn(canvas, tilt, flip=flip)


def draw_teddy_bear(canvas: Canvas, rng: np.random.Generator, phase: float, attribute: bool) -> None:
    """A teddy bear that sits with its feet in front; wounded, its belly bleeds and its head is bandaged."""
    fur, bow = pick_shade(rng, _FURS), pick_shade(rng, ((40, 80, 210), (30, 150, 150), (250, 200, 40), (40, 130, 60)))
    stout, head, tilt, sway = rng.uniform([0.42, 0.4, -4, 1], [0.5, 0.45, 4, 4])
    flip = rng.random() < 0.5
    pale, dark = shade(fur, 1.5), shade(fur, 0.78)
    drip = (0.25 + phase) % 1.0

    for side in (-1, 1):
        limb(canvas, [(side * (stout - 0.08), 0.06), (side * (stout + 0.18), 0.36)], fur, 0.24)
        canvas.ellipse((side * head * 0.82, -0.76), (0.19, 0.19), fur, outline=INK)
        canvas.ellipse((side * head * 0.82, -0.75), (0.1, 0.1), pale)
    canvas.ellipse((0, 0.36), (stout, 0.5), fur, outline=INK)
    canvas.ellipse((0, 0.4), (stout * 0.66, 0.36), pale)
    for side in (-1, 1):
        canvas.ellipse((side * 0.52, 0.72), (0.25, 0.23), fur, outline=INK)
        canvas.ellipse((side * 0.53, 0.74), (0.14, 0.13), pale, outline=dark)
    canvas.ellipse((0, -0.42), (head + 0.06, head), fur, outline=INK)
    canvas.ellipse((0, -0.27), (0.23, 0.18), pale, outline=dark)
    canvas.ellipse((0, -0.36), (0.1, 0.07), INK)
    canvas.line([(0, -0.34), (0, -0.22)], INK, 0.04)
    canvas.stroke([(-0.12, -0.2), (0, -0.15 if not attribute else -0.21), (0.12, -0.2)], INK, 0.04)
    for side in (-1, 1):
        canvas.ellipse((side * 0.2, -0.46), (0.065, 0.075), INK)
        canvas.polygon([(0, 0.03), (side * 0.22, -0.07), (side * 0.22, 0.13)], bow, outline=INK)
    canvas.ellipse((0, 0.03), (0.065, 0.065), shade(bow, 0.7), outline=INK)

    if attribute:
        band: list[Point] = [(-head - 0.03, -0.58), (0, -0.66), (head + 0.03, -0.58)]
        canvas.stroke(band, INK, 0.26)
        canvas.stroke(band, (250, 250, 246), 0.2)
        canvas.ellipse((0.2, -0.63), (0.12, 0.085), _BLOOD)
        gash: list[Point] = [(-0.3, 0.22), (-0.08, 0.24), (0.12, 0.34), (0.3, 0.54), (0.06, 0.5), (-0.14, 0.4)]
        canvas.blob(gash, _BLOOD, outline=(90, 0, 8))
        canvas.line([(-0.2, 0.27), (0.02, 0.36), (0.2, 0.47)], (110, 0, 10), 0.07)
        for start, long in (((-0.1, 0.4), 0.3), ((0.08, 0.48), 0.4), ((0.22, 0.52), 0.26)):
            canvas.line([start, (start[0], start[1] + long)], _BLOOD, 0.1)
            canvas.ellipse((start[0], start[1] + long), (0.065, 0.075), _BLOOD)
        canvas.ellipse((-0.1, 0.78 + 0.14 * drip), (0.055, 0.075), _BLOOD)
        canvas.ellipse((0.04, 0.93), (0.3, 0.05), _BLOOD)
    turn(canvas, tilt + sway * np.sin(phase * 2 * np.pi) * 0.5, flip=flip)


DRAWINGS: dict[str, Callable[[Canvas, np.random.Generator, float, bool], None]] = {
    "statue": draw_statue,
    "haystack": draw_haystack,
    "scarecrow": draw_scarecrow,
    "knight": draw_knight,
    "teddy_bear": draw_teddy_bear,
}
