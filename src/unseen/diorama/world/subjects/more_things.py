"""More things, none with a twin: each is told by its outline alone and by one or two bold parts inside it."""

from __future__ import annotations

import numpy as np

from unseen.diorama.world.canvas import Canvas, Color, Point, arc, shade
from unseen.diorama.world.subjects.pen import INK, WHITE, Pen, pick

BRIGHT: tuple[tuple[Color, Color], ...] = (
    ((215, 55, 50), (250, 210, 70)),
    ((50, 115, 205), (250, 240, 225)),
    ((245, 175, 45), (190, 60, 45)),
    ((55, 155, 100), (250, 225, 130)),
)
"""Paint and trimming of whatever may have any colour."""
WOOD: tuple[tuple[Color, Color], ...] = (
    ((225, 150, 70), (110, 60, 35)),
    ((215, 105, 50), (85, 45, 30)),
    ((240, 190, 110), (130, 75, 40)),
    ((195, 125, 65), (75, 45, 30)),
)
"""Pale and dark wood."""


def draw_bicycle(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """Two wheels with a frame of tubes between them, a saddle and a bent handlebar, from the side."""
    paint, _ = pick(rng, BRIGHT)
    wheel, rise, turn = rng.uniform(0.4, 0.44), rng.uniform(-0.04, 0.04), rng.uniform(0, 60)
    pen = Pen(canvas, scale=0.96)
    y = 0.86 - wheel
    for x in (-0.5, 0.5):
        for k in range(3):
            spoke = arc((x, y), (wheel, wheel), start=turn + 60 * k + 60 * phase, end=turn + 60 * k + 60 * phase + 180)
            pen.line([spoke[0], spoke[-1]], (225, 228, 235), 0.04, smooth=False)
        pen.line(arc((x, y), (wheel, wheel)), INK, 0.15, smooth=False)
        pen.line(arc((x, y), (wheel - 0.06,) * 2), (225, 228, 235), 0.05, smooth=False)
    crank, seat, head = (-0.06, y + 0.04), (-0.24, -0.34 + rise), (0.36, -0.34 + rise)
    tubes: list[list[Point]] = [
        [(-0.5, y), seat, head, crank, (-0.5, y)],
        [crank, seat],
        [(0.5, y), (0.31, -0.52 + rise)],
    ]
    for ink in (0.2, 0.0):
        for tube in tubes:
            pen.line(tube, INK if ink else paint, ink or 0.1, smooth=False)
    pen.line([seat, (-0.29, -0.56 + rise)], (210, 214, 222), 0.06, smooth=False, edge=0.04)
    pen.shape(
        [(-0.54, -0.7 + rise), (-0.3, -0.68 + rise), (-0.04, -0.62 + rise), (-0.26, -0.5 + rise), (-0.5, -0.52 + rise)],
        (95, 60, 45),
    )
    bar: list[Point] = [(0.31, -0.52), (0.27, -0.72), (0.46, -0.78), (0.62, -0.72), (0.62, -0.56), (0.5, -0.5)]
    pen.line([(x, at + rise) for x, at in bar], (95, 60, 45), 0.08, edge=0.045)
    pen.disc(crank, (0.13, 0.13), (225, 228, 235))


def draw_sailboat(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A low hull with a mast, a large triangular sail behind it and a smaller one before it."""
    paint, trim = pick(rng, BRIGHT)
    foot, mast, sets_off = rng.uniform(0.34, 0.4), rng.uniform(-0.08, 0.0), rng.uniform(0, 2 * np.pi)
    pen = Pen(canvas, tilt=3 * np.sin(2 * np.pi * phase + sets_off), scale=0.96)
    pen.line([(mast, 0.5), (mast, -0.92)], (150, 95, 55), 0.06, smooth=False, edge=0.04)
    bulge = [(mast + 0.09, -0.84), (mast + 0.4, -0.5), (mast + 0.68, -0.05), (mast + 0.82, foot), (mast + 0.09, foot)]
    pen.shape(bulge, WHITE, smooth=False)
    pen.shape([(mast + 0.09, 0.02), (mast + 0.72, 0.02), (mast + 0.82, foot), (mast + 0.09, foot)], paint, smooth=False)
    pen.shape([(mast - 0.09, -0.72), (mast - 0.09, foot), (-0.8, foot), (-0.52, -0.1)], trim, smooth=False)
    pen.shape([(-0.93, 0.5), (0.93, 0.5), (0.8, 0.72), (0.6, 0.9), (-0.56, 0.9), (-0.78, 0.74)], paint, smooth=False)
    pen.line([(-0.82, 0.63), (0.83, 0.63)], WHITE, 0.08, smooth=False)


def draw_teapot(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A round pot with a spout to one side, a looped handle at the other and a lid with a knob."""
    glaze, trim = pick(rng, BRIGHT)
    wide, spout = rng.uniform(0.54, 0.6), rng.uniform(-0.04, 0.04)
    pen = Pen(canvas, scale=0.96)
    pen.line([(-0.42, -0.24), (-0.78, -0.32), (-0.88, 0.04), (-0.7, 0.36), (-0.4, 0.46)], glaze, 0.13, edge=0.055)
    pen.shape(
        [
            (0.36, 0.1),
            (0.56, 0.0),
            (0.66, -0.3),
            (0.78, -0.48 + spout),
            (0.98, -0.46 + spout),
            (0.88, -0.2),
            (0.78, 0.26),
            (0.4, 0.52),
        ],
        glaze,
    )
    pen.shape([(-0.34, 0.68), (0.34, 0.68), (0.4, 0.86), (-0.4, 0.86)], trim, smooth=False)
    pen.disc((0, 0.18), (wide, 0.56), glaze)
    pen.shape(np.vstack([arc((0, -0.32), (0.36, 0.3), start=180, end=360), [(0.36, -0.3)]]), trim, smooth=False)
    pen.line([(-0.4, -0.3), (0.4, -0.3)], shade(glaze, 0.7), 0.07, smooth=False, edge=0.045)
    pen.disc((0, -0.72), (0.13, 0.12), glaze)
    for k in range(5):  # a flower
        pen.disc((0.15 * np.cos(1.257 * k - 1.57), 0.2 + 0.15 * np.sin(1.257 * k - 1.57)), (0.1, 0.1), WHITE, outline=0)
    pen.disc((0, 0.2), (0.09, 0.09), trim, outline=0)


def draw_alarm_clock(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A round clock face on two feet with two bells on top and a hammer between them."""
    case, bell = pick(rng, BRIGHT)
    size, hour = rng.uniform(0.6, 0.64), rng.uniform(0.85, 1.2)
    shake = 3 * np.sin(8 * np.pi * phase)
    pen = Pen(canvas, tilt=shake)
    for side in (-1, 1):
        pen.line([(side * 0.3, 0.6), (side * 0.52, 0.9)], case, 0.13, smooth=False, edge=0.055)
        pen.line([(side * 0.3, -0.4), (side * 0.46, -0.62)], INK, 0.1, smooth=False)
        dome = arc((side * 0.47, -0.58), (0.37, 0.34), angle=side * 38, start=180, end=360)
        pen.shape(dome, bell, smooth=False)
    pen.line([(0, -0.4), (0, -0.76)], (210, 214, 222), 0.06, smooth=False, edge=0.04)
    pen.line([(-0.09, -0.8), (0.09, -0.8)], (210, 214, 222), 0.12, smooth=False, edge=0.045)
    pen.disc((0, 0.16), (size, size), case)
    pen.disc((0, 0.16), (size - 0.14,) * 2, WHITE, outline=0.045)
    for k in range(0, 12, 3):
        ring = arc((0, 0.16), (size - 0.24,) * 2, start=30 * k, end=30 * k + 1)
        pen.disc((ring[0, 0], ring[0, 1]), (0.045, 0.045), INK, outline=0)
    pen.line([(0, 0.16), (0, -0.18)], INK, 0.07, smooth=False)
    pen.line([(0, 0.16), (0.25 * np.sin(hour), 0.16 - 0.25 * np.cos(hour))], INK, 0.09, smooth=False)
    pen.disc((0, 0.16), (0.07, 0.07), (215, 55, 50), outline=0)


def draw_guitar(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """An upright acoustic guitar: a waisted body with a round hole, a long neck with frets and a head with pegs."""
    body, dark = pick(rng, WOOD)
    wide, waist = rng.uniform(0.62, 0.67), rng.uniform(0.36, 0.4)
    pen = Pen(canvas, tilt=12, scale=0.97)
    for side in (-1, 1):
        for y in (-0.9, -0.75):
            pen.line([(0, y), (side * 0.24, y)], (235, 235, 230), 0.07, smooth=False, edge=0.035)
    half: list[Point] = [(0.18, -0.26), (0.44, -0.2), (0.5, 0.02), (waist, 0.22), (0.52, 0.4)]
    half += [(wide, 0.64), (0.52, 0.86), (0.24, 0.95)]
    pen.shape([*half, *[(-x, y) for x, y in reversed(half)]], body)
    pen.disc((0, 0.2), (0.26, 0.26), shade(body, 1.5), outline=0)
    pen.disc((0, 0.2), (0.2, 0.2), INK, outline=0)
    pen.shape([(-0.11, -0.66), (0.11, -0.66), (0.11, 0.04), (-0.11, 0.04)], dark, smooth=False)
    pen.shape([(-0.17, -0.97), (0.17, -0.97), (0.13, -0.64), (-0.13, -0.64)], dark, smooth=False)
    for y in (-0.5, -0.36, -0.22, -0.08):
        pen.line([(-0.07, y), (0.07, y)], (240, 225, 180), 0.04, smooth=False)
    pen.line([(-0.24, 0.66), (0.24, 0.66)], dark, 0.1, smooth=False, edge=0.03)
    for x in (-0.04, 0.04):
        pen.line([(x, 0.08), (x, 0.66)], (245, 240, 225), 0.025, smooth=False)


def draw_snowman(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """Two balls of snow with a hat, a carrot for a nose, a scarf, buttons and twigs for arms."""
    scarf, band = pick(rng, BRIGHT)
    belly, arm, sets_off = rng.uniform(0.48, 0.52), rng.uniform(-0.04, 0.04), rng.uniform(0, 2 * np.pi)
    wave = 0.08 * np.sin(2 * np.pi * phase + sets_off)
    pen = Pen(canvas)
    for side in (-1, 1):
        hand = (side * 0.9, -0.12 + arm + side * wave)
        pen.line([(side * 0.34, 0.26), hand], (125, 75, 40), 0.06, smooth=False, edge=0.035)
        twig = [(side * 0.94, 0.08 + arm + side * wave), (side * 0.74, 0.0 + arm), (side * 0.76, -0.22 + arm)]
        pen.line(twig[1:], (125, 75, 40), 0.055, smooth=False, edge=0.03)
    for y, size in ((0.44, belly), (-0.28, 0.34)):
        pen.disc((0, y), (size, size * 0.96), (205, 218, 236))
        pen.disc((-0.05 * size, y - 0.05 * size), (size * 0.88, size * 0.86), WHITE, outline=0)
    pen.shape([(0.1, 0.0), (0.34, 0.02), (0.36, 0.42), (0.16, 0.42)], scarf, smooth=False)
    pen.line([(-0.28, -0.02), (0, 0.06), (0.28, -0.02)], scarf, 0.13, edge=0.05)
    for y in (0.34, 0.56, 0.76):
        pen.disc((-0.04, y), (0.065, 0.065), INK, outline=0)
    for x in (-0.14, 0.14):
        pen.disc((x, -0.36), (0.055, 0.055), INK, outline=0)
    pen.shape([(-0.02, -0.3), (0.36, -0.18), (-0.02, -0.16)], (245, 135, 40), smooth=False, outline=0.035)
    pen.shape([(-0.26, -0.95), (0.26, -0.95), (0.24, -0.52), (-0.24, -0.52)], (70, 72, 88), smooth=False)
    pen.line([(-0.2, -0.63), (0.2, -0.63)], band, 0.1, smooth=False)
    pen.line([(-0.4, -0.53), (0.4, -0.53)], (70, 72, 88), 0.07, smooth=False, edge=0.045)


def draw_rocket(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """An upright pale rocket with a pointed nose, a round window, fins and a flame below."""
    paint, trim = pick(rng, BRIGHT)
    wide, fin = rng.uniform(0.3, 0.34), rng.uniform(0.66, 0.74)
    flare = 0.06 * np.sin(6 * np.pi * phase)
    pen = Pen(canvas, scale=0.96)
    pen.shape([(-0.22, 0.52), (0.22, 0.52), (0.16, 0.74), (0, 0.94 + flare), (-0.16, 0.74)], (245, 120, 35))
    pen.shape([(-0.1, 0.52), (0.1, 0.52), (0.07, 0.66), (0, 0.78 + flare), (-0.07, 0.66)], (255, 230, 90), outline=0)
    for side in (-1, 1):
        points = [(side * 0.24, 0.02), (side * fin, 0.44), (side * fin, 0.78), (side * 0.2, 0.52)]
        pen.shape(points, paint, smooth=False)
    half: list[Point] = [(0, -0.97), (0.16, -0.76), (wide - 0.04, -0.46), (wide, -0.1), (wide - 0.03, 0.3), (0.2, 0.56)]
    pen.shape([*half, *[(-x, y) for x, y in reversed(half[1:])]], (238, 240, 244), smooth=False)
    pen.shape([*half[:3], *[(-x, y) for x, y in reversed(half[1:3])]], paint, smooth=False)
    pen.disc((0, -0.12), (0.18, 0.18), trim)
    pen.disc((0, -0.12), (0.1, 0.1), (95, 175, 225), outline=0.04)
    pen.line([(-0.2, 0.34), (0.2, 0.34)], paint, 0.1, smooth=False)


def draw_pineapple(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """An oval golden fruit crossed by slanting lines, with a crown of pointed green leaves."""
    skin, leaf = pick(
        rng,
        (
            ((250, 195, 50), (70, 170, 70)),
            ((240, 165, 45), (50, 150, 80)),
            ((225, 185, 60), (95, 160, 50)),
            ((250, 210, 90), (40, 140, 110)),
        ),
    )
    wide, spread = rng.uniform(0.46, 0.54), rng.uniform(0.94, 1.06)
    pen = Pen(canvas)
    for lean, length in ((-64, 0.56), (64, 0.56), (-38, 0.66), (38, 0.66), (-14, 0.68), (14, 0.68), (0, 0.5)):
        way = np.radians(lean * spread)
        up, side = np.array([np.sin(way), -np.cos(way)]), np.array([np.cos(way), np.sin(way)]) * 0.13
        root = np.array([0, -0.26])
        middle = root + up * length * 0.5
        green = leaf if lean % 4 == 0 else shade(leaf, 1.3)
        pen.shape(np.array([root - side, middle - side, root + up * length, middle + side]), green, smooth=False)
    center, tall = 0.34, 0.59
    pen.disc((0, center), (wide, tall), skin)
    for slant in (-1, 1):
        for at in (-0.56, -0.28, 0.0, 0.28, 0.56):
            reach = np.linspace(-1, 1, 60)
            line = np.stack([at + 0.66 * reach * slant, center + 0.75 * reach], 1)
            inside = line[(line[:, 0] / wide) ** 2 + ((line[:, 1] - center) / tall) ** 2 < 0.92]
            pen.line(inside, shade(skin, 0.55), 0.05, smooth=False)


def draw_windmill(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A tapering Dutch mill with a cap, a door and four long sails, which turn."""
    cap, wall = pick(
        rng,
        (
            ((190, 70, 55), (240, 228, 205)),
            ((60, 105, 165), (225, 235, 240)),
            ((85, 120, 70), (215, 165, 120)),
            ((165, 80, 110), (235, 165, 125)),
        ),
    )
    start, foot = rng.uniform(16, 36), rng.uniform(0.5, 0.56)
    pen = Pen(canvas)
    hub = (0.0, -0.16)
    pen.shape([(-0.3, -0.14), (0.3, -0.14), (foot, 0.94), (-foot, 0.94)], wall, smooth=False)
    pen.shape([(-0.37, -0.1), (-0.32, -0.36), (0, -0.54), (0.32, -0.36), (0.37, -0.1)], cap, smooth=False)
    pen.shape([(-0.13, 0.92), (-0.13, 0.66), (0, 0.58), (0.13, 0.66), (0.13, 0.92)], cap, smooth=False)
    for quarter in range(4):
        sail = Pen(canvas, tilt=start + 90 * quarter + 40 * phase, scale=0.96, shift=hub)
        sail.line([(0, 0), (0.78, 0)], (150, 100, 60), 0.07, smooth=False, edge=0.035)
        sail.shape([(0.24, -0.02), (0.78, -0.02), (0.78, 0.25), (0.24, 0.25)], WHITE, smooth=False, outline=0.05)
        for x in (0.42, 0.6):
            sail.line([(x, 0), (x, 0.24)], (150, 100, 60), 0.045, smooth=False)
    pen.disc(hub, (0.1, 0.1), (250, 205, 80))


def draw_drum(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A drum seen a little from above, laced in zigzags, with two sticks above its skin."""
    shell, rim = pick(rng, BRIGHT)
    wide, sets_off = rng.uniform(0.72, 0.78), rng.uniform(0, 2 * np.pi)
    pen = Pen(canvas)
    top, low = -0.16, 0.66
    side = np.vstack([arc((0, low), (wide, 0.24), start=0, end=180), [(-wide, top), (wide, top)]])
    pen.shape(side, shell, smooth=False)
    across = np.linspace(-1, 1, 7)
    edge = 0.22 * np.sqrt(1 - across**2)
    zigzag = np.stack([across * wide * 0.98, np.where(np.arange(7) % 2 == 0, top + 0.1, low - 0.1) + edge], 1)
    pen.line(zigzag, WHITE, 0.06, smooth=False, edge=0.03)
    pen.line(arc((0, low), (wide, 0.24), start=0, end=180), rim, 0.13, smooth=False, edge=0.05)
    pen.disc((0, top), (wide, 0.26), WHITE)
    pen.line(arc((0, top), (wide, 0.26)), rim, 0.1, smooth=False, edge=0.045)
    for hand in (-1, 1):
        lift = 0.07 * (1 + np.sin(4 * np.pi * phase + sets_off + hand * np.pi / 2))
        tip = (hand * 0.12, top - 0.04 - lift)
        pen.line([(hand * 0.74, -0.84), tip], (225, 170, 100), 0.08, smooth=False, edge=0.045)
        pen.disc(tip, (0.1, 0.085), (225, 170, 100), outline=0.05)


def draw_mushroom(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A toadstool: a broad domed cap with large white spots on a thick pale stalk."""
    cap = pick(rng, (((215, 45, 40),), ((235, 115, 40),), ((150, 75, 170),), ((190, 110, 60),)))[0]
    wide, stalk = rng.uniform(0.84, 0.92), rng.uniform(0.22, 0.27)
    pen = Pen(canvas)
    half: list[Point] = [(stalk, 0.0), (stalk, 0.4), (stalk + 0.1, 0.78)]
    pen.shape([*half, (0, 0.93), *[(-x, y) for x, y in reversed(half)]], (246, 236, 214))
    dome = np.vstack([arc((0, 0.12), (wide, 1.02), start=180, end=360), arc((0, 0.12), (wide, 0.18), start=0, end=180)])
    pen.shape(dome, cap, smooth=False)
    pen.disc((0, 0.2), (wide * 0.62, 0.08), (250, 225, 195), outline=0.04)
    for x, y, size in ((-0.02, -0.58, 0.2), (-0.46, -0.24, 0.17), (0.44, -0.3, 0.19), (0.0, -0.1, 0.13)):
        pen.disc((x, y), (size, size * 0.88), WHITE, outline=0)
    for x in (-0.74, 0.74):
        pen.disc((x * wide / 0.9, 0.05), (0.1, 0.09), WHITE, outline=0)


DRAWINGS = {
    "bicycle": draw_bicycle,
    "sailboat": draw_sailboat,
    "teapot": draw_teapot,
    "alarm_clock": draw_alarm_clock,
    "guitar": draw_guitar,
    "snowman": draw_snowman,
    "rocket": draw_rocket,
    "pineapple": draw_pineapple,
    "windmill": draw_windmill,
    "drum": draw_drum,
    "mushroom": draw_mushroom,
}
