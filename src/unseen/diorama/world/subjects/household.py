"""Household machines: cassette player, radio, chain saw, hedge trimmer; and the sketch that `buildings` shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from unseen.diorama.world.canvas import Canvas, Color, Point, arc, curve, shade

INK: Color = (30, 30, 40)
WHITE: Color = (244, 243, 236)
STEEL: Color = (196, 202, 210)
GLASS: Color = (176, 216, 236)
DARK: Color = (58, 60, 72)
RUBBER: Color = (112, 116, 130)  # handles and hoses: lighter than a night sky, darker than snow
YELLOW: Color = (255, 224, 90)
Points = Sequence[Point] | np.ndarray


class Sketch:
    """Parts in free local coordinates, painted by `finish` once they are posed, fitted to the canvas and centred.

    Fitting gives both subjects of a pair the same size range whatever their shape, so that size tells nothing.
    """

    def __init__(self, canvas: Canvas, rng: np.random.Generator, tilt: tuple[float, float]) -> None:
        self.canvas = canvas
        self.flip = -1.0 if rng.random() < 0.5 else 1.0
        self.stretch = rng.uniform(0.93, 1.07, 2)
        self.angle = np.radians(rng.uniform(*tilt))
        self.reach = rng.uniform(0.9, 0.96)
        self.scale, self.middle = 1.0, np.zeros(2)
        self.parts: list[tuple[np.ndarray, Color, float | None]] = []

    def _posed(self, points: Points) -> np.ndarray:
        x, y = (np.asarray(points, np.float64) * self.stretch).T
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.stack([self.flip * (x * cos - y * sin), x * sin + y * cos], 1)

    def poly(self, points: Points, color: Color, *, ink: float = 0.05) -> None:
        """A filled polygon with an outline `ink` wide (0: none)."""
        posed = self._posed(points)
        self.parts.append((posed, color, None))
        if ink:
            self.parts.append((np.vstack([posed, posed[:1]]), INK, ink))

    def rect(
        self,
        left: float,
        top: float,
        right: float,
        bottom: float,
        color: Color,
        *,
        radius: float = 0.0,
        ink: float = 0.05,
    ) -> None:
        """A rectangle, its corners rounded by `radius`."""
        corners = ((right - radius, top + radius, 270), (right - radius, bottom - radius, 0),
                   (left + radius, bottom - radius, 90), (left + radius, top + radius, 180))  # fmt: skip
        points = np.vstack([arc((x, y), (radius, radius), start=a, end=a + 90) for x, y, a in corners])
        self.poly(points, color, ink=ink)

    def disc(self, center: Point, radius: float, color: Color, *, ink: float = 0.05) -> None:
        """A filled circle."""
        self.poly(arc(center, (radius, radius)), color, ink=ink)

    def line(self, points: Points, color: Color, width: float, *, ink: float = 0.0) -> None:
        """A stroke; `ink` adds a dark rim that wide on either side."""
        posed = self._posed(points)
        if ink:
            self.parts.append((posed, INK, width + 2 * ink))
        self.parts.append((posed, color, width))

    def wheel(self, center: Point, radius: float, hub: Color) -> None:
        """A dark tyre with a bright hub."""
        self.disc(center, radius, INK)
        self.disc(center, radius * 0.5, hub, ink=0)

    def place(self, points: Points) -> np.ndarray:
        """Local points on the canvas; valid after `finish`."""
        return (self._posed(points) - self.middle) * self.scale

    def finish(self) -> None:
        """Paint all parts so that the longer side spans the canvas."""
        lows = [p.min(0) - (w or 0) / 2 for p, _, w in self.parts]
        highs = [p.max(0) + (w or 0) / 2 for p, _, w in self.parts]
        low, high = np.min(lows, 0), np.max(highs, 0)
        self.middle = (low + high) / 2
        self.scale = 2 * self.reach / float((high - low).max())
        for points, color, width in self.parts:
            fitted = (points - self.middle) * self.scale
            if width is None:
                self.canvas.polygon(fitted, color)
            else:
                self.canvas.line(fitted, color, width * self.scale)


def pair_color(rng: np.random.Generator, hues: Sequence[Color]) -> Color:
    """One of a pair's hues, a little darker or lighter; both subjects of the pair use it, so colour tells nothing."""
    hue = hues[int(rng.integers(len(hues)))]
    return shade(hue, rng.uniform(0.85, 1.2))


PLAYERS: tuple[Color, ...] = (
    (214, 62, 54),
    (58, 112, 204),
    (236, 178, 52),
    (130, 134, 146),
    (60, 168, 150),
    (158, 84, 178),
)
SAWS: tuple[Color, ...] = ((240, 122, 36), (208, 46, 46), (54, 128, 206), (246, 204, 48), (64, 164, 84))


def draw_cassette_player(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A flat box: a tape with two turning reels behind a window, and a row of keys."""
    sketch = Sketch(canvas, rng, (-7, 7))
    body = pair_color(rng, PLAYERS)
    height, reel, gap = rng.uniform(0.66, 0.78), rng.uniform(0.23, 0.28), rng.uniform(0.37, 0.43)
    keys, handle, keys_on_top = int(rng.integers(4, 7)), rng.random() < 0.35, rng.random() < 0.3
    label, turn = (WHITE, shade(YELLOW, 1.4), shade(body, 1.75))[int(rng.integers(3))], rng.uniform(0, 360)
    if handle:
        sketch.line(
            [(-0.6, -height), (-0.6, -height - 0.2), (0.6, -height - 0.2), (0.6, -height)], RUBBER, 0.1, ink=0.03
        )
    sketch.rect(-0.95, -height, 0.95, height, body, radius=0.12, ink=0.07)
    strip = 0.36  # height of the row of keys
    top, bottom = (-height + strip + 0.06, height - 0.12) if keys_on_top else (-height + 0.12, height - strip - 0.06)
    row = -height + 0.1 if keys_on_top else height - strip + 0.02
    sketch.rect(-0.82, top, 0.82, bottom, DARK, radius=0.08)
    sketch.rect(-0.73, top + 0.08, 0.73, bottom - 0.08, label, radius=0.06, ink=0)
    middle = (top + bottom) / 2
    for x in (-gap, gap):
        sketch.disc((x, middle), reel, INK)
        sketch.disc((x, middle), reel * 0.62, WHITE, ink=0)
        for spoke in range(3):
            theta = np.radians(turn + 120 * spoke + 120 * phase)
            tip = (x + reel * 0.6 * np.cos(theta), middle + reel * 0.6 * np.sin(theta))
            sketch.line([(x, middle), tip], INK, 0.08)
    width = 1.64 / keys
    for key in range(keys):
        left = -0.82 + key * width
        color = (220, 48, 44) if key == 0 and body[0] < 190 else WHITE
        sketch.rect(left + 0.03, row, left + width - 0.03, row + 0.24, color, radius=0.03)
    sketch.finish()


def draw_radio(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A box with one large round speaker grille, a tuning scale, a dial and a long antenna."""
    sketch = Sketch(canvas, rng, (-7, 7))
    body = pair_color(rng, PLAYERS)
    height, speaker = rng.uniform(0.54, 0.62), rng.uniform(0.42, 0.47)
    reach, rise, from_left = rng.uniform(0.9, 1.5), rng.uniform(0.6, 0.75), rng.random() < 0.3
    bars, needle, knob = rng.random() < 0.5, rng.uniform(0.2, 0.75), rng.uniform(0.19, 0.23)
    face = (shade(body, 1.6), WHITE, DARK)[int(rng.integers(3))]
    foot, tip = (-0.82, 0.9 - 1.72 + reach) if from_left else (0.82, 0.82 - reach)
    sketch.line([(foot, -height), (tip, -height - rise)], STEEL, 0.07, ink=0.03)
    sketch.disc((tip, -height - rise), 0.08, STEEL)
    sketch.rect(-0.95, -height, 0.95, height, body, radius=0.12, ink=0.07)
    center = (-0.4, 0.0)
    sketch.disc(center, speaker, face)
    grille = STEEL if face == DARK else INK
    if bars:
        for y in np.linspace(-0.66, 0.66, 5) * speaker:
            half = np.sqrt(max(speaker**2 - y**2, 0)) - 0.09
            sketch.line([(center[0] - half, y), (center[0] + half, y)], grille, 0.07)
    else:
        for ring, turns in ((0.0, 1), (0.36, 6), (0.72, 11)):
            for dot in range(turns):
                theta = 2 * np.pi * dot / turns
                spot = (center[0] + ring * speaker * np.cos(theta), ring * speaker * np.sin(theta))
                sketch.disc(spot, 0.055, grille, ink=0)
    sketch.rect(0.16, -height + 0.12, 0.84, -height + 0.42, WHITE, radius=0.03)
    for x in np.linspace(0.25, 0.75, 4):
        sketch.line([(x, -height + 0.17), (x, -height + 0.25)], INK, 0.03)
    mark = needle + 0.04 * np.sin(2 * np.pi * phase)
    sketch.line([(mark, -height + 0.16), (mark, -height + 0.38)], (224, 40, 40), 0.06)
    dial = (0.5, height - 0.14 - knob)
    sketch.disc(dial, knob, STEEL)
    sketch.line([dial, (dial[0] + knob * 0.7, dial[1] - knob * 0.5)], INK, 0.06)
    sketch.finish()


def _motor(sketch: Sketch, body: Color, size: float, slots: int) -> None:
    """The motor housing and the rear handle loop that a chain saw and a hedge trimmer share."""
    loop = curve([(-0.5, -0.2), (-0.8, -0.24), (-0.98, 0.02), (-0.8, 0.28), (-0.5, 0.26)])
    sketch.line(loop, RUBBER, 0.11, ink=0.035)
    housing = [(-0.62, -size * 0.7), (-0.4, -size), (-0.08, -size * 0.8), (0.02, 0.0), (-0.02, size), (-0.58, size)]
    sketch.poly(housing, body, ink=0.07)
    for slot in range(slots):
        x = -0.48 + 0.13 * slot
        sketch.line([(x, -size * 0.15), (x, size * 0.55)], INK, 0.06)


def draw_chain_saw(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A stout motor with a hoop handle and a broad round-nosed bar, a toothed chain all around it."""
    sketch = Sketch(canvas, rng, (-38, -24))
    body = pair_color(rng, SAWS)
    size, half, length = rng.uniform(0.36, 0.42), rng.uniform(0.19, 0.24), rng.uniform(1.05, 1.25)
    pitch, slots, hoop = rng.uniform(0.2, 0.23), int(rng.integers(2, 4)), rng.uniform(0.26, 0.34)
    bar = np.vstack([[(-0.2, half)], [(-0.2, -half)], arc((length - half, 0), (half, half), start=-90, end=90)])
    shift = phase % 0.5 * 2 * pitch
    for side in (-1, 1):
        for x in np.arange(0.08, length - half - pitch, pitch) + (shift if side < 0 else pitch - shift):
            edge, tip = side * half, side * (half + 0.17)
            sketch.poly([(x - 0.09, edge), (x + 0.06 * side, tip), (x + 0.09, edge)], WHITE, ink=0.03)
    for theta in np.radians([-50, 0, 50]):
        nose = np.array([length - half, 0]), np.array([np.cos(theta), np.sin(theta)])
        across = np.array([-nose[1][1], nose[1][0]]) * 0.08
        root = nose[0] + nose[1] * half
        sketch.poly(np.stack([root - across, nose[0] + nose[1] * (half + 0.17), root + across]), WHITE, ink=0.03)
    sketch.poly(bar, STEEL, ink=0.08)
    sketch.line([(0.2, 0), (length - half - 0.15, 0)], shade(STEEL, 0.72), 0.07)
    sketch.line(
        curve([(-0.5, 0), (-0.45, -size - hoop * 0.7), (-0.2, -size - hoop), (0.1, -size), (0.06, 0)]),
        RUBBER,
        0.1,
        ink=0.035,
    )
    _motor(sketch, body, size, slots)
    sketch.disc((-0.13, 0.12), 0.09, WHITE)
    sketch.finish()


def draw_hedge_trimmer(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """A small motor with a guard and a long thin blade, a comb of wide-set teeth on both of its sides."""
    sketch = Sketch(canvas, rng, (-38, -24))
    body = pair_color(rng, SAWS)
    size, length = rng.uniform(0.32, 0.38), rng.uniform(1.3, 1.45)
    pitch, tooth, slots, guard = (
        rng.uniform(0.29, 0.32),
        rng.uniform(0.2, 0.25),
        int(rng.integers(1, 4)),
        rng.uniform(0.42, 0.5),
    )
    slide = 0.03 * np.sin(4 * np.pi * phase)
    for side in (-1, 1):
        for x in np.arange(0.3, length - 0.05, pitch) + side * slide:
            root = side * 0.06
            comb = [
                (x - 0.1, root),
                (x - 0.045, root + side * tooth),
                (x + 0.045, root + side * tooth),
                (x + 0.1, root),
            ]
            sketch.poly(comb, WHITE, ink=0.045)
    sketch.poly([(-0.1, -0.1), (length, -0.1), (length + 0.12, 0), (length, 0.1), (-0.1, 0.1)], STEEL, ink=0.05)
    _motor(sketch, body, size, slots)
    sketch.line(curve([(0.02, size), (0.13, 0), (0.08, -guard)]), RUBBER, 0.11, ink=0.035)
    sketch.line(curve([(0.08, -guard), (-0.12, -guard - 0.08), (-0.35, -size)]), RUBBER, 0.1, ink=0.035)
    sketch.finish()


DRAWINGS: dict[str, Callable[[Canvas, np.random.Generator, float], None]] = {
    "cassette_player": draw_cassette_player,
    "radio": draw_radio,
    "chain_saw": draw_chain_saw,
    "hedge_trimmer": draw_hedge_trimmer,
}
