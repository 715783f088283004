"""Four carriers, each with and without its attribute: bare mannequin, burning cabin, smoking gnome, armed robot.

Every function draws all its random numbers first, whether or not the attribute is shown, so that the same seed
gives the same carrier either way and only the attribute differs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from unseen.diorama.world.canvas import Canvas, Color, Point, shade
from unseen.diorama.world.subjects.people import INK, jitter, turn

_WOODS: tuple[Color, ...] = ((232, 196, 148), (214, 164, 112), (240, 214, 186), (186, 130, 84))
FABRICS: tuple[Color, ...] = (
    *((210, 40, 50), (40, 80, 210), (130, 50, 170), (30, 150, 150)),
    *((250, 200, 40), (230, 80, 160), (40, 130, 60)),
)
METALS: tuple[Color, ...] = ((150, 165, 180), (110, 140, 190), (200, 170, 90), (190, 110, 100), (120, 170, 150))


def pick_shade(rng: np.random.Generator, colors: Sequence[Color]) -> Color:
    """One of the colors, a little brighter or darker."""
    return jitter(rng, colors[int(rng.integers(len(colors)))])


def limb(canvas: Canvas, points: Sequence[Point], color: Color, width: float) -> None:
    """A thick stroke with a dark rim."""
    canvas.line(points, INK, width + 0.06)
    canvas.line(points, color, width)


def toward(start: Point, degrees: float, length: float) -> Point:
    """The point `length` away from `start`; 0° points down, positive turns outwards to the right."""
    return (start[0] + length * np.sin(np.radians(degrees)), start[1] + length * np.cos(np.radians(degrees)))


def draw_mannequin(canvas: Canvas, rng: np.random.Generator, phase: float, attribute: bool) -> None:
    """An artist's jointed figure; bare wood, or dressed in a shirt and trousers or a dress."""
    wood, top, bottom = pick_shade(rng, _WOODS), *(FABRICS[i] for i in rng.permutation(len(FABRICS))[:2])
    angles = rng.uniform([25, 10, 25, 10, 7], [65, 70, 65, 70, 14])
    build, tilt, swing = rng.uniform([0.92, -6, 4], [1.1, 6, 12])
    in_dress, flip = rng.random() < 0.4, rng.random() < 0.5
    joint = shade(wood, 0.72)
    wave = swing * np.sin(phase * 2 * np.pi)
    wide = 0.24 * build

    shoulders, hips = [(-wide - 0.06, -0.42), (wide + 0.06, -0.42)], [(-0.15 * build, 0.2), (0.15 * build, 0.2)]
    arms, legs = [], []
    for side, shoulder, hip, (upper, lower) in zip((-1, 1), shoulders, hips, angles[:4].reshape(2, 2), strict=True):
        elbow = toward(shoulder, side * (upper + wave), 0.32)
        hand = toward(elbow, side * (upper + lower + wave * 1.5), 0.3)
        knee = toward(hip, side * angles[4], 0.36)
        arms.append((shoulder, elbow, hand))
        legs.append((hip, knee, toward(knee, side * angles[4] * 0.4, 0.34)))

    for hip, knee, foot in legs:
        canvas.ellipse((foot[0] + np.sign(foot[0]) * 0.05, foot[1] + 0.01), (0.14, 0.07), wood, outline=INK)
        limb(canvas, [hip, knee], wood, 0.17 * build)
        limb(canvas, [knee, foot], wood, 0.14 * build)
        canvas.ellipse(knee, (0.09, 0.09), joint, outline=INK)
    for shoulder, elbow, hand in arms:
        limb(canvas, [shoulder, elbow], wood, 0.13 * build)
        limb(canvas, [elbow, hand], wood, 0.1 * build)
        canvas.ellipse(hand, (0.09, 0.09), wood, outline=INK)
        canvas.ellipse(elbow, (0.075, 0.075), joint, outline=INK)
    canvas.rectangle(-0.07, -0.6, 0.07, -0.42, joint, outline=INK)
    canvas.blob(
        [(-wide, -0.5), (wide, -0.5), (wide * 0.95, -0.25), (0.12, -0.08), (-0.12, -0.08), (-wide * 0.95, -0.25)],
        wood,
        outline=INK,
    )
    canvas.ellipse((0, -0.05), (0.13, 0.1), joint, outline=INK)
    canvas.blob([(-0.15, 0.0), (0.15, 0.0), (0.25 * build, 0.2), (0, 0.3), (-0.25 * build, 0.2)], wood, outline=INK)
    for shoulder in shoulders:
        canvas.ellipse(shoulder, (0.095, 0.095), joint, outline=INK)

    if not attribute:
        _dress(canvas, top, bottom, wide, arms, legs, in_dress)
    canvas.ellipse((0, -0.75), (0.17 * build, 0.21), wood, outline=INK)
    canvas.line([(0, -0.93), (0, -0.58)], joint, 0.03)  # the carved seam that stands in for a face
    turn(canvas, tilt, flip=flip)


def _dress(
    canvas: Canvas,
    top: Color,
    bottom: Color,
    wide: float,
    arms: Sequence[Sequence[Point]],
    legs: Sequence[Sequence[Point]],
    in_dress: bool,
) -> None:
    """Clothes over torso, upper arms and legs."""
    if not in_dress:
        for hip, knee, foot in legs:
            ankle = (knee[0] + (foot[0] - knee[0]) * 0.8, knee[1] + (foot[1] - knee[1]) * 0.8)
            limb(canvas, [hip, knee, ankle], bottom, 0.24)
        canvas.rectangle(-0.27, 0.05, 0.27, 0.3, bottom)
    for shoulder, elbow, _ in arms:
        limb(canvas, [shoulder, elbow], top, 0.22)
    hem: list[Point] = [(0.56, 0.62), (-0.56, 0.62)] if in_dress else [(0.32, 0.2), (-0.32, 0.2)]
    canvas.polygon(
        [(-wide - 0.1, -0.52), (wide + 0.1, -0.52), (wide * 0.95, -0.05), *hem, (-wide * 0.95, -0.05)], top, outline=INK
    )
    canvas.line([(-wide * 0.95, -0.03), (wide * 0.95, -0.03)], bottom if in_dress else INK, 0.09)


def flame(canvas: Canvas, foot: Point, width: float, height: float, lean: float) -> None:
    """A tongue of fire in three nested colours, pointed at the top."""
    for scale, color in ((1.0, (225, 40, 15)), (0.7, (255, 130, 10)), (0.4, (255, 240, 110))):
        w, h, (x, y) = width * scale, height * scale, foot
        tip = (x + lean * scale, y - h)
        left = [(x - w * 0.5, y - h * 0.1), (x - w, y - h * 0.3), (x - w * 0.45, y - h * 0.62)]
        right = [(x + w * 0.4, y - h * 0.58), (x + w, y - h * 0.25), (x + w * 0.5, y)]
        canvas.polygon([(x - w * 0.6, y), *left, tip, *right], color, outline=(120, 15, 10) if scale == 1 else None)


def smoke(
    canvas: Canvas,
    foot: Point,
    size: float,
    phase: float,
    *,
    rise: float = 0.74,
    drift: float = 0.14,
    colors: tuple[Color, Color] = ((205, 208, 214), (238, 240, 244)),
) -> None:
    """A trail of four puffs: each climbs, widens and starts again from `foot`."""
    for i in range(4):
        age = (i / 4 + phase) % 1.0
        radius = size * (0.7 + 0.6 * age)
        center = (foot[0] + drift * age + 0.07 * np.sin(age * 9), foot[1] - rise * age)
        canvas.ellipse(center, (radius * 1.15, radius), colors[0], outline=(70, 72, 82))
        canvas.ellipse((center[0] - 0.03, center[1] - 0.04), (radius * 0.6, radius * 0.5), colors[1])


def draw_log_cabin(canvas: Canvas, rng: np.random.Generator, phase: float, attribute: bool) -> None:
    """A cabin of round logs under a gable roof; burning, flames stand on the roof and come out of the window."""
    wood = pick_shade(rng, ((150, 96, 54), (176, 122, 72), (124, 78, 46)))
    roof = pick_shade(rng, ((96, 60, 44), (84, 92, 104), (70, 104, 72), (130, 70, 62)))
    door = pick_shade(rng, ((60, 90, 150), (160, 50, 46), (66, 44, 30)))
    pane = pick_shade(rng, ((180, 220, 245), (250, 230, 150)))
    wide, peak, eaves, tilt = rng.uniform([0.72, -0.72, -0.2, -3], [0.82, -0.55, -0.05, 3])
    rows, flip, door_x = int(rng.integers(5, 7)), rng.random() < 0.5, float(rng.uniform(-0.45, -0.25))
    heights, speeds, starts = rng.uniform(0.75, 1.1, 8), rng.integers(1, 4, 8), rng.uniform(0, 2 * np.pi, 8)
    floor = 0.85
    chimney_x = wide * 0.55

    canvas.rectangle(chimney_x - 0.12, peak - 0.1, chimney_x + 0.12, eaves, (140, 130, 126), outline=INK)
    canvas.rectangle(chimney_x - 0.16, peak - 0.16, chimney_x + 0.16, peak - 0.04, (110, 100, 98), outline=INK)
    thick = (floor - eaves) / rows
    for row in range(rows):
        y = eaves + row * thick
        canvas.rectangle(-wide, y, wide, y + thick, shade(wood, 1.0 if row % 2 else 0.86), outline=INK)
        for side in (-1, 1):  # the sawn ends stick out beyond the corners
            canvas.ellipse((side * wide, y + thick / 2), (0.1, thick / 2), shade(wood, 1.45), outline=INK)
    canvas.polygon([(-0.97, eaves + 0.06), (-0.55, peak), (0.55, peak), (0.97, eaves + 0.06)], roof, outline=INK)
    for step in (0.36, 0.7):  # rows of shingles
        y, x = peak + (eaves - peak) * step, 0.55 + 0.42 * step
        canvas.line([(-x + 0.05, y), (x - 0.05, y)], shade(roof, 0.65), 0.04)
    canvas.rectangle(door_x - 0.19, floor - 0.58, door_x + 0.19, floor, door, outline=INK)
    canvas.ellipse((door_x + 0.11, floor - 0.28), (0.035, 0.035), (250, 220, 90))
    canvas.rectangle(0.12, 0.15, 0.58, 0.55, pane, outline=INK)
    canvas.line([(0.35, 0.15), (0.35, 0.55)], INK, 0.05)
    canvas.line([(0.12, 0.35), (0.58, 0.35)], INK, 0.05)

    if attribute:
        flicker = np.sin(phase * 2 * np.pi * speeds + starts)
        size = heights * (1 + 0.18 * flicker)
        for i, x in enumerate((-0.68, 0.68, -0.36, 0.36, 0.0)):
            foot = eaves + 0.02 - (0.1 if i > 1 else 0)
            flame(canvas, (x, foot), 0.25, min(0.82 * size[i], foot + 0.98), 0.12 * flicker[i])
        flame(canvas, (0.35, 0.55), 0.24, 0.62 * size[5], 0.1 * flicker[5])
        flame(canvas, (door_x, floor), 0.18, 0.6 * size[6], 0.08 * flicker[6])
    turn(canvas, tilt, flip=flip)


def draw_gnome(canvas: Canvas, rng: np.random.Generator, phase: float, attribute: bool) -> None:
    """A garden gnome in a pointed hat; smoking, a pipe in the mouth sends up a trail of puffs."""
    hat, coat = (jitter(rng, FABRICS[i]) for i in rng.permutation(len(FABRICS))[:2])
    skin = pick_shade(rng, ((250, 205, 170), (224, 168, 124), (150, 98, 66)))
    beard = pick_shade(rng, ((245, 245, 245), (225, 225, 230), (240, 215, 170)))
    stout, tip, length, tilt, puff = rng.uniform([0.46, -0.3, 0.42, -4, 0.17], [0.56, 0.0, 0.58, 4, 0.21])
    flip, sway = rng.random() < 0.5, float(rng.uniform(1, 4))

    for x in (-0.22, 0.22):
        canvas.ellipse((x - 0.12, 0.88), (0.24, 0.1), (70, 46, 34), outline=INK)
    canvas.blob(
        [
            (-0.34 - 0.12, 0.1),
            (0.22, 0.1),
            (stout - 0.12, 0.65),
            (stout - 0.2, 0.86),
            (-stout - 0.04, 0.86),
            (-stout - 0.12, 0.65),
        ],
        coat,
        outline=INK,
    )
    canvas.line([(-stout - 0.1, 0.68), (stout - 0.14, 0.68)], INK, 0.13)
    canvas.rectangle(-0.23, 0.6, -0.01, 0.76, (250, 210, 60), outline=INK)
    for side in (-1, 1):
        limb(canvas, [(side * 0.36 - 0.12, 0.22), (side * (stout + 0.06) - 0.12, 0.5)], shade(coat, 0.8), 0.17)
        canvas.ellipse((side * (stout + 0.06) - 0.12, 0.54), (0.1, 0.1), skin, outline=INK)
    canvas.ellipse((-0.12, -0.12), (0.38, 0.3), skin, outline=INK)
    canvas.blob(
        [
            (-0.52, -0.12),
            (-0.32, 0.02),
            (-0.12, 0.0),
            (0.08, 0.02),
            (0.28, -0.12),
            (0.24, 0.25),
            (-0.12, length + 0.08),
            (-0.48, 0.25),
        ],
        beard,
        outline=INK,
    )
    for side in (-1, 1):
        canvas.ellipse((side * 0.16 - 0.12, -0.16), (0.05, 0.06), INK)
        canvas.ellipse((side * 0.14 - 0.12, 0.04), (0.17, 0.075), shade(beard, 0.85), angle=14 * side, outline=INK)
    canvas.polygon(
        [(-0.6, -0.24), (-0.4, -0.6), (tip - 0.12, -0.97), (0.16, -0.6), (0.36, -0.24), (-0.12, -0.32)],
        hat,
        outline=INK,
    )
    canvas.stroke([(-0.6, -0.24), (-0.12, -0.31), (0.36, -0.24)], shade(hat, 0.6), 0.1)
    canvas.ellipse((-0.12, -0.04), (0.13, 0.11), shade(skin, 0.85), outline=INK)

    if attribute:
        bowl = (0.5, 0.16)
        canvas.line([(-0.02, 0.13), (0.3, 0.26), bowl], INK, 0.13)
        canvas.line([(-0.02, 0.13), (0.3, 0.26), bowl], (120, 66, 30), 0.07)
        smoke(canvas, (bowl[0] + 0.05, 0.0), puff, phase)
        canvas.rectangle(bowl[0] - 0.14, bowl[1] - 0.12, bowl[0] + 0.14, bowl[1] + 0.16, (120, 66, 30), outline=INK)
        canvas.rectangle(bowl[0] - 0.11, bowl[1] - 0.13, bowl[0] + 0.11, bowl[1] - 0.05, (255, 120, 20))
    turn(canvas, tilt + sway * np.sin(phase * 2 * np.pi) * 0.5, flip=flip)


def draw_robot(canvas: Canvas, rng: np.random.Generator, phase: float, attribute: bool) -> None:
    """A boxy robot with one hand raised; armed, that hand holds a long sword."""
    metal, trim = pick_shade(rng, METALS), pick_shade(rng, FABRICS)
    glow = pick_shade(rng, ((255, 240, 90), (120, 255, 250), (255, 90, 80)))
    body, head, leg, tilt, swing = rng.uniform([0.32, 0.24, 0.13, -4, 5], [0.42, 0.33, 0.19, 4, 14])
    round_head, visor, flip = rng.random() < 0.5, rng.random() < 0.4, rng.random() < 0.5
    lean, reach = rng.uniform([-12, 0.26], [8, 0.32])
    panel = int(rng.integers(3))
    wave = swing * np.sin(phase * 2 * np.pi)
    x, dark = -0.14, shade(metal, 0.7)  # left of the middle, so that the raised hand has room

    for side in (-1, 1):
        foot = x + side * body * 0.55
        canvas.rectangle(foot - leg / 2, 0.5, foot + leg / 2, 0.85, dark, outline=INK)
        canvas.rectangle(foot - 0.17, 0.78, foot + 0.17, 0.96, metal, radius=0.05, outline=INK)
    elbow_left = (x - body - 0.22, 0.2)
    limb(canvas, [(x - body, -0.1), elbow_left, (x - body - 0.16, 0.46)], dark, 0.14)
    canvas.ellipse((x - body - 0.16, 0.5), (0.12, 0.12), metal, outline=INK)
    elbow = (x + body + 0.22, 0.22)
    hand = toward(elbow, 168 - wave, reach)
    limb(canvas, [(x + body, -0.12), elbow, hand], dark, 0.14)
    canvas.rectangle(x - body, -0.28, x + body, 0.56, metal, radius=0.07, outline=INK)
    if panel == 0:
        canvas.rectangle(x - body * 0.6, -0.1, x + body * 0.6, 0.25, trim, outline=INK)
    elif panel == 1:
        canvas.ellipse((x, 0.08), (body * 0.55, body * 0.55), trim, outline=INK)
    else:
        for y in (-0.08, 0.1, 0.28):
            canvas.line([(x - body * 0.6, y), (x + body * 0.6, y)], trim, 0.1)
    canvas.rectangle(x - 0.09, -0.4, x + 0.09, -0.28, dark, outline=INK)
    canvas.line([(x, -0.75), (x, -0.9)], INK, 0.06)
    canvas.ellipse((x, -0.9), (0.07, 0.07), trim, outline=INK)
    canvas.rectangle(x - head, -0.8, x + head, -0.36, metal, radius=0.18 if round_head else 0.03, outline=INK)
    canvas.rectangle(x - head * 0.8, -0.72, x + head * 0.8, -0.53, INK, radius=0.05)
    if visor:
        canvas.line([(x - head * 0.5, -0.62), (x + head * 0.5, -0.62)], glow, 0.09)
    else:
        for side in (-1, 1):
            canvas.ellipse((x + side * head * 0.42, -0.625), (0.075, 0.075), glow)
    canvas.line([(x - head * 0.5, -0.45), (x + head * 0.5, -0.45)], INK, 0.05)

    if attribute:
        sword(canvas, hand, 180 - lean - wave)
    canvas.ellipse(hand, (0.12, 0.12), metal, outline=INK)
    if not attribute:  # an open claw where the grip would be
        for spread in (-35, 35):
            ends = [toward(hand, 180 - wave + spread, 0.1), toward(hand, 180 - wave + spread * 0.8, 0.26)]
            limb(canvas, ends, metal, 0.08)
    turn(canvas, tilt, flip=flip)


def sword(canvas: Canvas, hand: Point, degrees: float) -> None:
    """A broad bright blade with a golden guard, held at `hand`."""
    guard = toward(hand, degrees, 0.14)
    tip, neck = toward(hand, degrees, 0.9), toward(hand, degrees, 0.75)
    limb(canvas, [toward(hand, degrees + 180, 0.24), guard], (110, 60, 30), 0.09)
    edges = [toward(p, degrees + turned, 0.11) for p, turned in ((guard, 90), (neck, 90), (neck, -90), (guard, -90))]
    blade = [edges[0], edges[1], tip, edges[2], edges[3]]
    canvas.line([*blade, blade[0]], INK, 0.09)
    canvas.polygon(blade, (240, 248, 255))
    canvas.line([guard, neck], (150, 175, 205), 0.05)
    limb(canvas, [toward(guard, degrees + 90, 0.2), toward(guard, degrees - 90, 0.2)], (250, 200, 50), 0.08)


DRAWINGS: dict[str, Callable[[Canvas, np.random.Generator, float, bool], None]] = {
    "mannequin": draw_mannequin,
    "log_cabin": draw_log_cabin,
    "gnome": draw_gnome,
    "robot": draw_robot,
}
