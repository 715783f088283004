"""Two balls, two things that hang in the sky and two brass instruments.

Each pair shares one palette and one size range, so that only the shape tells which of the two it is.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from unseen.diorama.world.canvas import Canvas, Color, arc, curve, shade
from unseen.diorama.world.subjects.pen import INK, WHITE, Pen, pick


def _ball(rng: np.random.Generator) -> Color:
    """The colour of either ball."""
    return pick(
        rng,
        (
            ((240, 240, 236),),
            ((235, 225, 50),),
            ((245, 140, 40),),
            ((245, 130, 175),),
            ((150, 215, 60),),
            ((95, 175, 235),),
        ),
    )[0]


def _sphere(pen: Pen, radius: float, y: float, color: Color) -> None:
    """A ball that is lit from the upper left."""
    pen.disc((0, y), (radius, radius), shade(color, 0.72))
    pen.disc((-0.07 * radius, y - 0.07 * radius), (radius * 0.86, radius * 0.86), color, outline=0)


def draw_golf_ball(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A dimpled ball on a tee."""
    color = _ball(rng)
    tee = pick(rng, (((215, 165, 100),), ((225, 60, 50),), ((250, 250, 250),), ((60, 100, 200),)))[0]
    tilt, flip, radius = float(rng.uniform(-6, 6)), bool(rng.random() < 0.5), rng.uniform(0.66, 0.72)
    rows, turn = int(rng.integers(5, 7)), rng.uniform(-0.5, 0.5)
    pen = Pen(canvas, flip=flip, tilt=tilt)
    y = -0.92 + radius
    rim = y + radius
    pen.shape(
        [
            (-0.34, rim - 0.1),
            (0.34, rim - 0.1),
            (0.3, rim + 0.05),
            (0.12, rim + 0.17),
            (0.09, 0.84),
            (0, 0.92),
            (-0.09, 0.84),
            (-0.12, rim + 0.17),
            (-0.3, rim + 0.05),
        ],
        tee,
        smooth=False,
    )
    _sphere(pen, radius, y, color)
    # rows of dimples, closer together and flatter towards the rim as on a sphere
    pitch = np.pi / (rows + 1)
    for row in range(rows):
        up = -np.pi / 2 + pitch * (row + 1)
        ring = max(3, round(np.cos(up) * (rows + 1)))
        for k in range(-ring, ring + 1):
            across = (k + 0.5 * (row % 2) + turn * 0.2) * np.pi / (ring + 0.5)
            depth = np.cos(across) * np.cos(up)
            if abs(across) < np.pi / 2 and depth > 0.28:
                center = (radius * np.sin(across) * np.cos(up), y + radius * np.sin(up))
                size = 0.82 * radius / (rows + 1)
                radii = (size * max(0.5, np.cos(across)), size * max(0.5, np.cos(up)))
                pen.disc(center, radii, shade(color, 0.5), outline=0)
                pen.disc(
                    (center[0] + 0.014, center[1] + 0.02),
                    (radii[0] * 0.66, radii[1] * 0.6),
                    shade(color, 0.7),
                    outline=0,
                )


def draw_tennis_ball(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A fuzzy ball with two curved seams."""
    color = _ball(rng)
    tilt, flip, radius = float(rng.uniform(-50, 50)), bool(rng.random() < 0.5), rng.uniform(0.76, 0.81)
    hairs, bend = rng.uniform(0.6, 1.0, 44), rng.uniform(0.5, 0.62)
    flecks = rng.uniform(0, 1, (60, 2))
    spin = rng.uniform(-25, 25) * phase
    pen = Pen(canvas, flip=flip, tilt=tilt + spin)
    for k, hair in enumerate(hairs):
        angle = 2 * np.pi * k / len(hairs)
        tip = np.array([np.cos(angle + 0.07), np.sin(angle + 0.07)]) * (radius + 0.11 * hair)
        pen.line([(radius * np.cos(angle), radius * np.sin(angle)), (tip[0], tip[1])], INK, 0.1, smooth=False)
    for k, hair in enumerate(hairs):
        angle = 2 * np.pi * k / len(hairs)
        tip = np.array([np.cos(angle + 0.07), np.sin(angle + 0.07)]) * (radius + 0.09 * hair)
        pen.line(
            [(radius * 0.9 * np.cos(angle), radius * 0.9 * np.sin(angle)), (tip[0], tip[1])], color, 0.05, smooth=False
        )
    pen.disc((0, 0), (radius, radius), color, outline=0)
    # the shade keeps to the lower right however the ball is turned
    upright = Pen(canvas)
    lower = np.vstack(
        [arc((0, 0), (radius, radius), start=-30, end=120), arc((-0.2, -0.2), (radius, radius), start=110, end=-20)]
    )
    canvas.tint(upright.place(lower), INK, 0.22)
    for angle, reach in flecks:
        spot = np.array([np.cos(2 * np.pi * angle), np.sin(2 * np.pi * angle)]) * radius * 0.92 * np.sqrt(reach)
        pen.line([(spot[0], spot[1]), (spot[0] + 0.05, spot[1] + 0.03)], shade(color, 0.82), 0.03, smooth=False)
    for side in (-1, 1):
        # the ends lie on the ball's rim
        points = arc((side * radius * 1.32, 0), (radius * (1.32 - bend * 0.62), radius * 0.98))
        inside = points[np.hypot(points[:, 0], points[:, 1]) < radius * 1.02]
        inside = inside[np.argsort(inside[:, 1])]
        pen.line(inside, WHITE, 0.13, smooth=False, edge=0.045)


def _cloth(rng: np.random.Generator) -> tuple[Color, ...]:
    """The two colours of the gores of a canopy or an envelope."""
    return pick(
        rng,
        (
            ((220, 50, 45), (250, 245, 235)),
            ((250, 205, 50), (45, 90, 190)),
            ((240, 125, 35), (90, 50, 130)),
            ((40, 150, 140), (250, 235, 170)),
            ((230, 90, 150), (250, 245, 240)),
            ((60, 120, 215), (240, 130, 50)),
        ),
    )


def _load(rng: np.random.Generator) -> Color:
    """The colour of what hangs below: the jumper's suit or the basket."""
    return pick(rng, (((170, 110, 55),), ((215, 160, 85),), ((60, 90, 170),), ((190, 60, 50),)))[0]


def _seams(count: int) -> np.ndarray:
    """Where the seams between `count` gores lie, from −1 to 1; narrower at the sides, as on something round."""
    even = np.linspace(-1, 1, count + 1)
    return (np.sin(even * np.pi / 2) + even) / 2


def _gores(
    pen: Pen, colors: tuple[Color, ...], count: int, levels: np.ndarray, half_width: np.ndarray, sag: float
) -> None:
    """Vertical strips of cloth around a bulging shape.

    Row `i` of the shape lies at the height `levels[i]`; `sag` scallops the lower rim (negative: arched upwards).
    """
    edges = _seams(count)
    for k in range(count):
        left = np.stack([edges[k] * half_width, levels], 1)
        right = np.stack([edges[k + 1] * half_width, levels], 1)
        across = np.linspace(0, 1, 9)[1:-1, None]
        rim = left[-1] + (right[-1] - left[-1]) * across + np.hstack([0 * across, sag * np.sin(np.pi * across)])
        pen.shape(np.vstack([left, rim, right[::-1]]), colors[k % 2], smooth=False, outline=0.04)


def draw_parachute(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A wide scalloped canopy whose lines run together to a small person hanging below."""
    colors = _cloth(rng)
    suit = _load(rng)
    tilt, flip = float(rng.uniform(-7, 7)), bool(rng.random() < 0.5)
    count, wide, deep = int(rng.integers(2, 4)) * 2 + 1, rng.uniform(0.86, 0.95), rng.uniform(0.66, 0.76)
    sets_off = rng.uniform(0, 2 * np.pi)
    sway = 0.05 * np.sin(2 * np.pi * phase + sets_off)
    pen = Pen(canvas, flip=flip, tilt=tilt, scale=0.94, shift=(0.0, -0.03))
    levels = np.linspace(0, 1, 24)
    half = wide * np.sqrt(np.clip(1 - (1 - levels) ** 2, 0, 1))
    rim_y = -0.93 + deep
    # pale lines with a dark border show on snow as well as at night
    for at in _seams(count):
        pen.line([(at * wide, rim_y), (sway, 0.52)], (245, 240, 225), 0.035, smooth=False, edge=0.028)
    for side in (-1, 1):
        pen.line([(sway + side * 0.1, 0.6), (sway + side * 0.13, 0.4)], suit, 0.08, smooth=False, edge=0.04)
        pen.line([(sway, 0.74), (sway * 1.3 + side * 0.1, 0.92)], suit, 0.1, smooth=False, edge=0.04)
    pen.disc((sway, 0.68), (0.13, 0.15), suit, outline=0.045)
    pen.disc((sway, 0.46), (0.11, 0.11), (240, 195, 150), outline=0.045)
    _gores(pen, colors, count, rim_y - deep + levels * deep, half, -0.13)
    pen.tint([(-0.6, rim_y - 0.2), (-0.3, rim_y - deep + 0.08), (-0.4, rim_y - 0.25)], WHITE, 0.4)


def draw_hot_air_balloon(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A full envelope like an upturned drop, with vertical gores, and a basket below."""
    colors = _cloth(rng)
    basket = _load(rng)
    tilt, flip = float(rng.uniform(-5, 5)), bool(rng.random() < 0.5)
    count, wide, band = int(rng.integers(2, 4)) * 2 + 1, rng.uniform(0.68, 0.78), rng.random() < 0.4
    neck, sets_off = rng.uniform(0.16, 0.2), rng.uniform(0, 2 * np.pi)
    pen = Pen(canvas, flip=flip, tilt=tilt + 2 * np.sin(2 * np.pi * phase + sets_off), scale=0.97)
    top, middle, low = -0.95, -0.26, 0.5
    levels = np.linspace(top, low, 40)
    dome = np.sqrt(np.clip(1 - ((levels - middle) / (middle - top)) ** 2, 0, 1))
    fall = np.clip((levels - middle) / (low - middle), 0, 1)
    taper = neck / wide + (1 - neck / wide) * (1 - fall**1.7)
    half = wide * np.where(levels < middle, dome, taper)
    for side in (-1, 1):
        pen.line([(side * neck * 0.9, low), (side * 0.14, 0.74)], (245, 240, 225), 0.04, smooth=False, edge=0.03)
    pen.disc((0, 0.6), (0.05, 0.09), (255, 190, 60), outline=0)
    _gores(pen, colors, count, levels, half, 0.03)
    if band:
        strip = (levels > middle - 0.02) & (levels < middle + 0.22)
        sides = np.stack([half[strip], levels[strip]], 1)
        pen.shape(np.vstack([sides, sides[::-1] * (-1, 1)]), colors[1], smooth=False, outline=0.04)
    pen.tint([(-wide * 0.66, middle), (-wide * 0.4, top + 0.18), (-wide * 0.42, middle + 0.1)], WHITE, 0.4)
    pen.shape([(-0.2, 0.7), (0.2, 0.7), (0.16, 0.95), (-0.16, 0.95)], basket, smooth=False)
    pen.line([(-0.18, 0.82), (0.18, 0.82)], shade(basket, 0.6), 0.04, smooth=False)


def _brass(rng: np.random.Generator) -> Color:
    """The metal or lacquer of either instrument."""
    return pick(
        rng,
        (
            ((240, 190, 60),),
            ((215, 115, 65),),
            ((205, 212, 222),),
            ((80, 135, 215),),
            ((205, 60, 60),),
            ((95, 175, 130),),
        ),
    )[0]


def _flare(pen: Pen, path: np.ndarray, half_width: Callable[[np.ndarray], np.ndarray], color: Color) -> None:
    """A tube along `path` that widens as `half_width` says of the share of the way."""
    along = np.gradient(path, axis=0)
    along /= np.hypot(along[:, :1], along[:, 1:])
    normal = np.stack([-along[:, 1], along[:, 0]], 1)
    half = half_width(np.linspace(0, 1, len(path)))[:, None]
    pen.shape(np.vstack([path + normal * half, (path - normal * half)[::-1]]), color, smooth=False)
    pen.line((path - normal * half * 0.4)[2:-3], shade(color, 1.6), 0.045, smooth=False)


def draw_french_horn(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A round coil of tubing with valves in the middle and a very wide bell at one side."""
    color = _brass(rng)
    tilt, flip = float(rng.uniform(-10, 10)), bool(rng.random() < 0.5)
    bell, coil, tube = rng.uniform(0.44, 0.5), rng.uniform(0.52, 0.58), rng.uniform(0.1, 0.125)
    keys = rng.uniform(0, 2 * np.pi)
    pen = Pen(canvas, flip=flip, tilt=tilt, scale=0.92, shift=(0.0, -0.01))
    x, y = -0.22, -0.1
    # leadpipe with its mouthpiece
    pen.line([(x - 0.1, y - coil), (x - 0.4, y - coil - 0.03), (-0.72, -0.76)], color, 0.07, edge=0.05)
    pen.line([(-0.72, -0.76), (-0.79, -0.78)], shade(color, 1.4), 0.13, smooth=False, edge=0.05)
    pen.line(arc((x, y), (coil, coil)), color, tube, smooth=False, edge=0.05)
    pen.line(
        arc((x, y), (coil - tube - 0.09,) * 2, start=20, end=330),
        shade(color, 0.8),
        tube * 0.8,
        smooth=False,
        edge=0.045,
    )
    for k in range(3):
        press = 0.03 * np.sin(2 * np.pi * phase + keys + 2 * k)
        at = (x - 0.16 + 0.16 * k, y - 0.02 + 0.05 * k)
        pen.line([at, (at[0] - 0.05, at[1] + 0.24 + press)], shade(color, 1.5), 0.05, smooth=False, edge=0.035)
        pen.disc(at, (0.09, 0.09), shade(color, 1.5), outline=0.045)
    # the bell's tube leaves the coil at its top and swings round
    path = curve([(x + 0.02, y - coil), (0.24, y - coil + 0.06), (0.46, -0.26), (0.48, 0.1), (0.44, 0.62)])
    _flare(pen, path, lambda s: 0.07 + 0.1 * s + (bell - 0.2) * s**5, color)
    pen.disc((0.46, 0.58), (bell, 0.36), shade(color, 1.35), angle=-12)
    pen.disc((0.47, 0.59), (bell * 0.78, 0.26), shade(color, 0.62), angle=-12, outline=0)
    pen.disc((0.49, 0.57), (bell * 0.4, 0.13), shade(color, 0.32), angle=-12, outline=0)


def draw_trumpet(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A long straight tube with a mouthpiece, three upright valves and a flared bell."""
    color = _brass(rng)
    tilt, flip = float(rng.uniform(-18, 10)), bool(rng.random() < 0.5)
    bell, tube, loop = rng.uniform(0.52, 0.6), rng.uniform(0.1, 0.12), rng.uniform(0.4, 0.46)
    valves, keys = rng.uniform(-0.26, -0.18), rng.uniform(0, 2 * np.pi)
    pen = Pen(canvas, flip=flip, tilt=tilt, scale=0.91, shift=(0.0, 0.08))
    y = -0.1
    low = y + loop
    ring = np.vstack(
        [
            arc((-0.46, (y + low) / 2), (loop / 2, loop / 2), start=90, end=270),
            arc((0.36, (y + low) / 2), (loop / 2, loop / 2), start=-90, end=90),
        ]
    )
    pen.line(np.vstack([ring, ring[:1]]), shade(color, 0.85), tube, smooth=False, edge=0.05)
    for k in range(3):
        x = valves + 0.22 * k
        press = 0.05 * (1 + np.sin(2 * np.pi * phase + keys + 2 * k))
        pen.line([(x, -0.3), (x, -0.56 + press)], shade(color, 1.6), 0.05, smooth=False, edge=0.035)
        pen.disc((x, -0.59 + press), (0.085, 0.045), WHITE, outline=0.04)
        pen.shape(
            [(x - 0.075, -0.32), (x + 0.075, -0.32), (x + 0.075, 0.5), (x - 0.075, 0.5)],
            shade(color, 1.4),
            smooth=False,
        )
    path = np.stack([np.linspace(-0.8, 0.9, 40), np.full(40, y)], 1)
    _flare(pen, path, lambda s: tube / 2 + 0.02 + 0.06 * s**2 + (bell - 0.13) * s**9, color)
    pen.line([(-0.82, y), (-0.9, y)], shade(color, 1.4), 0.1, smooth=False, edge=0.05)
    pen.line([(-0.93, y - 0.07), (-0.93, y + 0.07)], shade(color, 1.4), 0.06, smooth=False, edge=0.045)
    pen.disc((0.9, y), (0.09, bell), shade(color, 1.35))
    pen.disc((0.91, y), (0.035, bell * 0.72), shade(color, 0.42), outline=0)


DRAWINGS = {
    "golf_ball": draw_golf_ball,
    "tennis_ball": draw_tennis_ball,
    "parachute": draw_parachute,
    "hot_air_balloon": draw_hot_air_balloon,
    "french_horn": draw_french_horn,
    "trumpet": draw_trumpet,
}
