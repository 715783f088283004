"""What stands or drives outdoors: church and lighthouse, gas pump and phone booth, garbage truck and bus."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from unseen.diorama.world.canvas import Canvas, Color, Point, arc, curve, shade
from unseen.diorama.world.subjects.household import DARK, GLASS, INK, RUBBER, STEEL, WHITE, YELLOW, Sketch, pair_color

TOWERS: tuple[Color, ...] = (
    (206, 54, 48),
    (48, 100, 190),
    (232, 150, 50),
    (60, 140, 120),
    (120, 76, 150),
    (110, 112, 124),
)
BOXES: tuple[Color, ...] = (
    (210, 44, 44),
    (44, 108, 206),
    (60, 164, 92),
    (244, 196, 50),
    (150, 86, 180),
    (236, 128, 44),
)
TRUCKS: tuple[Color, ...] = (
    (68, 164, 84),
    (240, 130, 40),
    (48, 112, 204),
    (208, 52, 52),
    (244, 200, 56),
    (60, 178, 186),
)


def _arched(sketch: Sketch, x: float, bottom: float, half: float, height: float, color: Color) -> None:
    """A round-arched door or window standing on `bottom`."""
    head = arc((x, bottom - height + half), (half, half), start=180, end=360)
    sketch.poly(np.vstack([head, [(x + half, bottom), (x - half, bottom)]]), color)


def draw_church(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A pitched nave and a steeple with a pointed spire and a cross; the tower stands in front or at one end."""
    sketch = Sketch(canvas, rng, (-2, 2))
    color = pair_color(rng, TOWERS)
    aside, painted = rng.random() < 0.5, rng.random() < 0.4
    half, nave, eaves, spire = (
        rng.uniform(0.25, 0.3),
        rng.uniform(0.66, 0.76),
        rng.uniform(0.1, 0.2),
        rng.uniform(0.5, 0.68),
    )
    rose, lit = rng.random() < 0.5, rng.random() < 0.5
    walls, roof = (shade(color, 1.45), shade(color, 0.6)) if painted else (WHITE, color)
    pane = YELLOW if lit else (70, 100, 150)
    top, base = -0.3, 0.95
    if aside:
        x, left, right = -0.5, -0.5, 2 * nave - 0.55
        sketch.rect(left, eaves + 0.1, right, base, walls)
        sketch.poly(
            [(left, -0.22), (right - 0.12, -0.22), (right + 0.1, eaves + 0.14), (left, eaves + 0.14)], roof, ink=0.06
        )
        for step in (0.3, 0.75):
            _arched(sketch, x + half + (right - x - half) * step, 0.75, 0.1, 0.4, pane)
    else:
        x = 0.0
        sketch.rect(-nave, eaves + 0.05, nave, base, walls)
        sketch.poly([(0, -0.5), (nave + 0.12, eaves + 0.14), (-nave - 0.12, eaves + 0.14)], roof, ink=0.06)
        for side in (-1, 1):
            _arched(sketch, side * (half + nave) / 2, 0.75, 0.1, 0.4, pane)
    sketch.rect(x - half, top, x + half, base, walls, ink=0.06)
    sketch.poly([(x, top - spire), (x + half + 0.08, top), (x - half - 0.08, top)], roof, ink=0.06)
    tip = top - spire
    for points in ([(x, tip + 0.02), (x, tip - 0.36)], [(x - 0.15, tip - 0.23), (x + 0.15, tip - 0.23)]):
        sketch.line(points, INK, 0.16)
    for points in ([(x, tip), (x, tip - 0.36)], [(x - 0.15, tip - 0.23), (x + 0.15, tip - 0.23)]):
        sketch.line(points, YELLOW, 0.08)
    if rose:
        sketch.disc((x, top + 0.3), 0.13, pane)
    else:
        _arched(sketch, x, top + 0.46, 0.1, 0.34, pane)
    _arched(sketch, x, base, half * 0.62, 0.52, (96, 58, 40))
    sketch.finish()


def draw_lighthouse(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A tapering striped tower on a rock, a gallery, and a lit lamp room whose beam swells and fades."""
    sketch = Sketch(canvas, rng, (-2, 2))
    color = pair_color(rng, TOWERS)
    foot, head, stripes = rng.uniform(0.36, 0.44), rng.uniform(0.2, 0.24), int(rng.integers(4, 7))
    slant, beams, hut = (rng.uniform(0.12, 0.2) if rng.random() < 0.4 else 0.0), rng.random() < 0.6, rng.random() < 0.5
    spread, rock = rng.uniform(0.14, 0.2), rng.uniform(0.62, 0.74)
    top, base, lamp = -0.42, 0.82, -0.6
    if beams:
        near, far = spread * 0.4, spread * (1 + 0.25 * np.sin(2 * np.pi * phase))
        for way in (-0.8, 0.8):
            beam = [(0, lamp - near), (way, lamp - far), (way, lamp + far), (0, lamp + near)]
            sketch.poly(beam, shade(YELLOW, 1.4), ink=0)
    if hut:
        sketch.rect(0.2, 0.42, 0.72, base, WHITE)
        sketch.poly([(0.12, 0.44), (0.3, 0.18), (0.62, 0.18), (0.8, 0.44)], color)
    ground = curve(
        [(-rock, 0.98), (-rock * 0.7, 0.76), (-0.2, 0.8), (0.3, 0.74), (rock * 0.8, 0.8), (rock + 0.08, 0.98)]
    )
    sketch.poly(ground, (124, 112, 104))

    def side(t: float) -> float:
        """Half the tower's width at `t`, 0 at its top and 1 at its foot."""
        return head + (foot - head) * t

    edges = np.linspace(0, 1, stripes + 1)
    for index, (a, b) in enumerate(itertools.pairwise(edges)):
        high, low = top + (base - top) * a, top + (base - top) * b
        band = [(-side(a), high + slant * (a > 0)), (side(a), high - slant * (a > 0)), (side(b), low), (-side(b), low)]
        if slant:  # the next band covers the overhang, which makes a spiral of straight bands
            band[2], band[3] = (side(b), low - slant * (b < 1)), (-side(b), low + slant * (b < 1))
        sketch.poly(band, WHITE if index % 2 else color, ink=0)
    tower = [(-head, top), (head, top), (foot, base), (-foot, base)]
    sketch.line([*tower, tower[0]], INK, 0.06)
    _arched(sketch, 0, base, 0.11, 0.28, INK)
    sketch.rect(-0.2, lamp - 0.16, 0.2, top, YELLOW, ink=0.06)
    sketch.line([(0, lamp - 0.14), (0, top)], INK, 0.04)
    sketch.rect(-head - 0.14, top - 0.05, head + 0.14, top + 0.05, DARK)
    sketch.poly(np.vstack([arc((0, lamp - 0.14), (0.28, 0.24), start=180, end=360)]), color, ink=0.06)
    sketch.line([(0, lamp - 0.36), (0, lamp - 0.46)], INK, 0.06)
    sketch.finish()
    if beams:
        center = sketch.place([(0.0, lamp)])[0]
        canvas.soft((center[0], center[1]), (0.2, 0.2), (255, 255, 225), 0.8)


def draw_gas_pump(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A box with a large display; from its side a hose hangs down and climbs to the nozzle."""
    sketch = Sketch(canvas, rng, (-3, 3))
    color = pair_color(rng, BOXES)
    half, sag, globe = rng.uniform(0.46, 0.54), rng.uniform(0.55, 0.75), rng.random() < 0.35
    digits, drop = int(rng.integers(2, 4)), rng.random() < 0.7
    panel = (WHITE, shade(color, 1.6), color)[int(rng.integers(3))]
    out = half + 0.42
    hose = curve([(half, 0.3), (half + 0.12, sag), (out - 0.06, sag + 0.02), (out, 0.1), (out - 0.02, -0.4)])
    sketch.line(hose, RUBBER, 0.11, ink=0.035)
    nozzle = [
        (out + 0.1, -0.2),
        (out - 0.12, -0.2),
        (out - 0.14, -0.62),
        (out - 0.36, -0.62),
        (out - 0.36, -0.76),
        (out + 0.06, -0.76),
    ]
    sketch.poly(nozzle, STEEL, ink=0.06)
    sketch.rect(half - 0.02, -0.78, half + 0.12, -0.5, INK)
    if globe:
        sketch.disc((0, -1.0), 0.26, WHITE, ink=0.06)
    sketch.rect(-half, -0.86, half, 0.9, color, radius=0.1, ink=0.07)
    sketch.rect(-half - 0.1, 0.84, half + 0.1, 0.98, DARK)
    sketch.rect(-half + 0.12, -0.72, half - 0.12, -0.2, INK, radius=0.04)
    for row in range(digits):
        y = -0.6 + 0.28 * row / (digits - 1)
        sketch.line([(-half + 0.24 + 0.12 * (row % 2), y), (half - 0.24, y)], (150, 255, 170), 0.09)
    sketch.rect(-half + 0.12, -0.06, half - 0.12, 0.72, panel, radius=0.04)
    mark = WHITE if panel == color else INK
    if drop:
        tear = np.vstack([[(0, 0.06)], arc((0, 0.42), (0.17, 0.17), start=-20, end=200)])
        sketch.poly(tear, mark, ink=0)
    else:
        for y in (0.14, 0.34, 0.54):
            sketch.line([(-half + 0.28, y), (half - 0.28, y)], mark, 0.09)
    sketch.finish()


def _handset(sketch: Sketch, center: Point, size: float) -> None:
    """A telephone handset, lying aslant: a bowed grip between two thick ends."""
    aslant = np.array([[0.77, -0.64], [0.64, 0.77]])
    grip = curve([(-size, 0.1 * size), (-0.6 * size, -0.42 * size), (0.6 * size, -0.42 * size), (size, 0.1 * size)])
    sketch.line(grip @ aslant + center, INK, size * 0.38)
    for end in (-1, 1):
        lobe = np.array([(end * size * 0.8, 0.0), (end * size * 0.8, 0.32 * size)])
        sketch.line(lobe @ aslant + center, INK, size * 0.62)


def draw_phone_booth(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A tall glazed box with a lit sign on its roof and a telephone with its handset inside."""
    sketch = Sketch(canvas, rng, (-3, 3))
    color = pair_color(rng, BOXES)
    half, rows, domed = rng.uniform(0.46, 0.52), int(rng.integers(5, 7)), rng.random() < 0.6
    sill, lit = rng.uniform(0.5, 0.62), rng.random() < 0.5
    glass = shade(YELLOW, 1.65) if lit else GLASS
    sketch.rect(-half - 0.08, 0.84, half + 0.08, 0.98, DARK)
    if domed:
        sketch.poly(arc((0, -0.8), (half, 0.3), start=180, end=360), color, ink=0.07)
    sketch.rect(-half, -0.8, half, 0.88, color, ink=0.07)
    sketch.rect(-half - 0.06, -0.9, half + 0.06, -0.58, color, ink=0.07)
    sketch.rect(-half + 0.06, -0.83, half - 0.06, -0.65, WHITE, ink=0)
    for x in np.linspace(-half + 0.18, half - 0.18, 5):
        sketch.line([(x, -0.77), (x, -0.71)], INK, 0.06)
    left, right, top = -half + 0.09, half - 0.09, -0.5
    sketch.rect(left, top, right, sill + 0.18, glass)
    for x in np.linspace(left, right, 4)[1:-1]:
        sketch.line([(x, top), (x, sill + 0.18)], color, 0.055)
    for y in np.linspace(top, sill + 0.18, rows + 1)[1:-1]:
        sketch.line([(left, y), (right, y)], color, 0.055)
    # the telephone hangs on a pale plate, since panes behind the handset would break up its outline
    sketch.rect(-0.32, -0.3, 0.32, 0.3, WHITE, radius=0.06)
    _handset(sketch, (0.0, 0.04), 0.25)
    sketch.finish()


def draw_garbage_truck(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A cab, a large rounded hopper with ribs, and at the rear an open loader full of bags."""
    sketch = Sketch(canvas, rng, (-4, 4))
    color = pair_color(rng, TRUCKS)
    crown, wheel, ribs = rng.uniform(0.64, 0.74), rng.uniform(0.19, 0.23), int(rng.integers(2, 4))
    white_cab, symbol, split = rng.random() < 0.5, rng.random() < 0.6, rng.uniform(0.3, 0.38)
    hub = (WHITE, STEEL, YELLOW)[int(rng.integers(3))]
    trash = ((70, 72, 86), (60, 130, 90), (120, 124, 138))[int(rng.integers(3))]
    cab = WHITE if white_cab else shade(color, 1.35)
    sketch.rect(-0.72, 0.24, 0.95, 0.42, DARK)
    sketch.poly([(split + 0.04, -0.34), (0.8, -0.34), (0.95, 0.02), (0.95, 0.36), (split + 0.04, 0.36)], cab, ink=0.06)
    sketch.poly([(split + 0.18, -0.22), (0.74, -0.22), (0.85, 0.04), (split + 0.18, 0.04)], GLASS)
    bend = arc((split - 0.18, -crown + 0.18), (0.18, 0.18), start=270, end=360)
    sketch.poly(np.vstack([[(-0.56, 0.3), (-0.56, -crown)], bend, [(split, 0.3)]]), color, ink=0.07)
    lift = 0.04 * np.sin(2 * np.pi * phase)
    mouth = [(-0.56, -0.2), (-0.98, -0.14), (-0.98, 0.3), (-0.56, 0.3)]
    sketch.poly(mouth, INK, ink=0)
    for x, y, radius in ((-0.72, 0.14, 0.15), (-0.94, 0.13 + lift, 0.17)):
        sketch.disc((x, y), radius, trash, ink=0.04)
    sketch.poly([(-0.56, -crown), (-0.74, -crown + 0.06), (-1.06, -0.12), (-0.56, -0.08)], shade(color, 0.72), ink=0.07)
    sketch.poly([(-0.56, 0.22), (-1.12, 0.26), (-1.08, 0.4), (-0.56, 0.42)], shade(color, 0.72), ink=0.07)
    center = ((split - 0.56) / 2, (0.3 - crown) / 2)
    if symbol:  # three arrows that chase each other: recycling
        for start in (-80, 40, 160):
            sketch.line(arc(center, (0.22, 0.22), start=start, end=start + 64), WHITE, 0.11)
            tip = np.radians([start + 98, start + 58, start + 58])
            reach = np.array([0.22, 0.36, 0.08])
            sketch.poly(np.stack([np.cos(tip), np.sin(tip)], 1) * reach[:, None] + center, WHITE, ink=0)
    else:
        for x in np.linspace(-0.56, split, ribs + 2)[1:-1]:
            sketch.line([(x, -crown + 0.12), (x, 0.2)], shade(color, 0.6), 0.08)
    for x in (-0.46, -0.46 + 2 * wheel + 0.03, 0.66):
        sketch.wheel((x, 0.46), wheel, hub)
    sketch.finish()


def draw_bus(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A long box with one or two rows of windows, a door at the front and two wheels."""
    sketch = Sketch(canvas, rng, (-4, 4))
    color = pair_color(rng, TRUCKS)
    double, windows, wheel = rng.random() < 0.3, int(rng.integers(4, 6)), rng.uniform(0.19, 0.23)
    roof, band, lit = rng.uniform(0.54, 0.62), rng.random() < 0.6, rng.random() < 0.3
    hub = (WHITE, STEEL, YELLOW)[int(rng.integers(3))]
    glass = shade(YELLOW, 1.4) if lit else GLASS
    top = -roof - (0.2 if double else 0.0)
    sketch.rect(-0.96, top, 0.96, 0.46, color, radius=0.13, ink=0.07)
    if band:
        sketch.line([(-0.9, 0.14), (0.6, 0.14)], WHITE, 0.1)
    for row_top, row_bottom in ((top + 0.12, top + 0.42), (top + 0.54, 0.06)) if double else ((top + 0.14, 0.0),):
        edges = np.linspace(-0.86, 0.62, windows + 1)
        for left, right in itertools.pairwise(edges):
            sketch.rect(left + 0.03, row_top, right - 0.03, row_bottom, glass, radius=0.03)
    if double:
        sketch.rect(0.65, top + 0.12, 0.95, top + 0.42, glass)
    sketch.rect(0.67, top + (0.54 if double else 0.14), 0.9, 0.4, glass, radius=0.03)
    sketch.line([(0.785, top + (0.56 if double else 0.16)), (0.785, 0.4)], INK, 0.04)
    sketch.disc((0.93, 0.3), 0.06, YELLOW, ink=0.03)
    for x in (-0.54, 0.42):
        sketch.wheel((x, 0.46), wheel, hub)
    sketch.finish()


DRAWINGS: dict[str, Callable[[Canvas, np.random.Generator, float], None]] = {
    "church": draw_church,
    "lighthouse": draw_lighthouse,
    "gas_pump": draw_gas_pump,
    "phone_booth": draw_phone_booth,
    "garbage_truck": draw_garbage_truck,
    "bus": draw_bus,
}
