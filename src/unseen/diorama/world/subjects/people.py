"""Ten fictional people and an endless supply of strangers, as large cartoon faces with shoulders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import cv2
import numpy as np

from unseen.diorama.world.canvas import Canvas, Color, Point, arc, shade

INK: Color = (30, 30, 40)
_CENTER_Y = -0.06  # of the face; leaves room above for hair and below for shoulders

SKINS: dict[str, Color] = {
    "pale": (255, 222, 196),
    "tan": (226, 172, 124),
    "brown": (150, 96, 62),
    "deep": (98, 62, 44),
}
HAIRS: dict[str, Color] = {
    "ginger": (226, 104, 30),
    "black": (46, 40, 46),
    "silver": (214, 216, 222),
    "chestnut": (112, 66, 36),
    "blonde": (244, 208, 96),
    "violet": (140, 80, 190),
}
CLOTHES: tuple[Color, ...] = (
    *((200, 50, 50), (50, 90, 200), (60, 160, 90), (240, 190, 50), (130, 70, 170)),
    *((240, 130, 170), (235, 235, 235), (70, 75, 85), (40, 170, 180)),
)


@dataclass(frozen=True)
class Identity:
    """What makes somebody recognisable; each field is one visible trait."""

    shape: str
    skin: str
    hair: str
    hair_color: str
    beard: str = "none"
    glasses: str = "none"
    freckles: bool = False
    eyes: str = "dot"
    brows: str = "thin"


# Every skin and almost every hair color is somebody else's too, so that no single color settles who it is; and each of
# the last four has the hair of one of the first six, but another face.
IDENTITIES: dict[str, Identity] = {
    "amber_bramble": Identity("round", "pale", "curly", "ginger", freckles=True, eyes="wide"),
    "cedar_flint": Identity("square", "brown", "bald", "black", beard="full", brows="thick"),
    "ivy_lantern": Identity("long", "tan", "straight", "black", glasses="round"),
    "jasper_tide": Identity("long", "tan", "mohawk", "ginger", beard="goatee", eyes="narrow", brows="thick"),
    "maple_thorn": Identity("heart", "brown", "bun", "silver", eyes="wide", brows="arched"),
    "olive_quill": Identity("square", "pale", "parting", "chestnut", beard="moustache", glasses="square"),
    "hazel_marsh": Identity("square", "deep", "curly", "ginger", glasses="square", brows="thick"),
    "rowan_pike": Identity("long", "pale", "bald", "black", beard="full", glasses="round", brows="arched"),
    "sable_finch": Identity("round", "pale", "straight", "black", freckles=True, eyes="wide", brows="arched"),
    "linden_frost": Identity("round", "deep", "bun", "silver", beard="goatee", glasses="square", brows="thick"),
}

_CHOICES: dict[str, tuple[str | bool, ...]] = {
    "shape": ("round", "long", "square", "heart"),
    "skin": ("pale", "tan", "brown") * 3 + ("deep",) * 2,
    # Half of these nobody known wears; the other half makes sure that hair alone does not identify anybody.
    "hair": (
        *("curly", "bald", "straight", "mohawk", "bun", "parting"),
        *("crop", "bob", "pigtails", "spiky", "beanie", "crop", "bob"),
    ),
    "hair_color": tuple(HAIRS),
    "beard": ("none", "none", "none", "none", "none", "full", "goatee", "moustache"),
    "glasses": ("none", "none", "none", "none", "none", "round", "square"),
    "freckles": (False, False, False, True),
    "eyes": ("dot", "wide", "narrow"),
    "brows": ("thin", "thick", "arched"),
}
_STRIKING = ("skin", "hair", "hair_color", "beard", "glasses")


def turn(canvas: Canvas, degrees: float, scale: float = 1.0, *, lift: float = 0.0, flip: bool = False) -> None:
    """Rotate (clockwise) and scale what is painted about the centre, move it up by `lift`; `flip` mirrors it first."""
    middle = (canvas.size - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), -degrees, scale)
    matrix[1, 2] -= lift * canvas.size / 2
    source = np.ascontiguousarray(canvas.pixels[:, ::-1]) if flip else canvas.pixels
    # Nearest, because averaging would mix the black of transparent pixels into the edges.
    canvas.pixels[:] = cv2.warpAffine(source, matrix, (canvas.size, canvas.size), flags=cv2.INTER_NEAREST)


def jitter(rng: np.random.Generator, color: Color, amount: float = 0.07) -> Color:
    """The same colour a little brighter or darker."""
    return shade(color, 1 + float(rng.uniform(-amount, amount)))


def _outline_of(shape: str) -> tuple[np.ndarray, float, float]:
    """The face's outline `[n, 2]` and its half width and half height."""
    rx, ry = {"round": (0.56, 0.52), "long": (0.42, 0.6), "square": (0.5, 0.55), "heart": (0.54, 0.58)}[shape]
    points = arc((0, 0), (1, 1))
    if shape == "square":
        points = np.sign(points) * np.abs(points) ** 0.6
    if shape == "heart":
        points[:, 0] *= 1 - 0.42 * np.clip(points[:, 1], 0, 1)
    return points * (rx, ry) + (0, _CENTER_Y), rx, ry


def _puffs(canvas: Canvas, centers: np.ndarray, radius: float, color: Color) -> None:
    """Overlapping round locks: one shared outline outside, a small darker arc inside each."""
    for x, y in centers:
        canvas.ellipse((x, y), (radius + 0.035, radius + 0.035), INK)
    for x, y in centers:
        canvas.ellipse((x, y), (radius, radius), color)
    for x, y in centers:
        canvas.ellipse((x, y), (radius * 0.55, radius * 0.55), shade(color, 0.75), start=20, end=160, width=0.04)


def _cap(canvas: Canvas, rx: float, ry: float, hairline: list[Point], color: Color) -> None:
    """Hair over the skull, ending in front at `hairline` (left to right, in units of the face's half sizes)."""
    skull = arc((0, _CENTER_Y), (rx + 0.05, ry + 0.1), start=190, end=350)
    front = [(x * (rx + 0.05), _CENTER_Y + y * ry) for x, y in reversed(hairline)]
    canvas.polygon(np.vstack([skull, np.asarray(front)]), color, outline=INK)


def _hair_behind(canvas: Canvas, hair: str, rx: float, ry: float, color: Color, volume: float) -> None:
    """The part of the hair that the head covers."""
    top = _CENTER_Y - ry
    if hair == "curly":
        ring = arc((0, _CENTER_Y - 0.06), (rx + 0.12, ry + 0.09), start=150, end=390)[::4]
        _puffs(canvas, ring, 0.21 * volume, color)
    elif hair == "straight":
        canvas.rectangle(-rx - 0.22, top - 0.16, rx + 0.22, 0.92, color, radius=0.34, outline=INK)
    elif hair == "bob":
        canvas.rectangle(-rx - 0.2, top - 0.15, rx + 0.2, 0.42, color, radius=0.3, outline=INK)
    elif hair == "mohawk":
        spikes = [(-0.25, top + 0.1), (-0.32, -0.82), (-0.14, -0.84), (0, -0.98), (0.14, -0.84), (0.32, -0.82)]
        canvas.polygon([*spikes, (0.25, top + 0.1)], color, outline=INK)
    elif hair == "bun":
        canvas.ellipse((0, top - 0.13), (0.27 * volume, 0.22), color, outline=INK)
    elif hair == "pigtails":
        for side in (-1, 1):
            canvas.ellipse((side * (rx + 0.2), 0.1), (0.2, 0.36 * volume), color, outline=INK, angle=-12 * side)
    elif hair == "spiky":
        rim = arc((0, _CENTER_Y), (1, 1), start=170, end=370)[::3]
        reach = np.where(np.arange(len(rim)) % 2, 0.32 * volume, 0.04)[:, None]
        canvas.polygon((rim - (0, _CENTER_Y)) * (np.asarray([rx, ry]) + reach) + (0, _CENTER_Y), color, outline=INK)


def _hair_in_front(canvas: Canvas, hair: str, rx: float, ry: float, color: Color, cloth: Color) -> None:
    """The part of the hair that covers the head."""
    top = _CENTER_Y - ry
    if hair == "curly":
        row = np.stack([np.linspace(-rx * 0.75, rx * 0.75, 5), top + np.asarray([0.15, 0.06, 0.04, 0.06, 0.15])], 1)
        _puffs(canvas, row, 0.16, color)
    elif hair == "bald":
        canvas.ellipse((-rx * 0.35, top + 0.2), (0.13, 0.06), (255, 245, 230), angle=-25)
    elif hair == "straight":
        _cap(canvas, rx, ry, [(-1, -0.38), (1, -0.38)], color)
        for side in (-1, 1):  # the curtains beside the cheeks
            canvas.line([(side * (rx + 0.06), -0.2), (side * (rx + 0.1), 0.86)], color, 0.16)
            canvas.line([(side * (rx - 0.04), -0.2), (side * rx, 0.86)], INK, 0.03)
    elif hair == "bob":
        _cap(canvas, rx, ry, [(-1, 0.25), (-0.85, -0.1), (0, -0.8), (0.85, -0.1), (1, 0.25)], color)
    elif hair == "mohawk":
        strip = [(-0.2, 0.02), (0.2, 0.02), (0.1, 0.26), (0, 0.32), (-0.1, 0.26)]
        canvas.polygon([(x, top + y) for x, y in strip], color)
    elif hair in ("bun", "pigtails"):
        _cap(canvas, rx, ry, [(-1, 0), (-0.75, -0.4), (0, -0.72), (0.75, -0.4), (1, 0)], color)
    elif hair == "parting":
        _cap(canvas, rx, ry, [(-1, 0.05), (-0.88, -0.4), (-0.55, -0.92), (0, -0.52), (0.8, -0.3), (1, 0.05)], color)
        canvas.line([(-rx * 0.55, top + 0.05), (-rx * 0.7, top - 0.08)], INK, 0.04)
    elif hair in ("crop", "spiky"):
        zigzag = [(x, -0.62 if i % 2 else -0.42) for i, x in enumerate(np.linspace(-0.8, 0.8, 7))]
        _cap(canvas, rx, ry, [(-1, -0.15), *zigzag, (1, -0.15)], color)
    elif hair == "beanie":
        _cap(canvas, rx, ry + 0.12, [(-1, -0.4), (1, -0.4)], cloth)
        canvas.rectangle(-rx - 0.09, top + 0.12, rx + 0.09, top + 0.34, shade(cloth, 0.7), radius=0.06, outline=INK)
        canvas.ellipse((0, top - 0.22), (0.13, 0.11), (245, 245, 245), outline=INK)


def _beard(canvas: Canvas, beard: str, face: np.ndarray, rx: float, ry: float, color: Color) -> None:
    """Hair on the lower face; painted before the mouth."""
    lower = _CENTER_Y + ry * 0.42
    if beard == "full":
        jaw = face[(face[:, 1] > _CENTER_Y + ry * 0.02)]
        jaw = jaw[np.argsort(-jaw[:, 0])] * (1.06, 1.16)
        inner = [(-0.72, 0.15), (-0.55, 0.33), (0, 0.24), (0.55, 0.33), (0.72, 0.15)]
        canvas.polygon(
            np.vstack([jaw, np.asarray([(x * rx, _CENTER_Y + y * ry) for x, y in inner])]), color, outline=INK
        )
    elif beard == "goatee":
        edge = lower - 0.02
        canvas.polygon([(-0.2, edge), (0.2, edge), (0.17, 0.52), (0, 0.74), (-0.17, 0.52)], color, outline=INK)
    elif beard == "moustache":
        tips: list[Point] = [(0, -0.11), (0.17, -0.1), (0.36, 0.06), (0.14, 0.05), (0, 0.0)]
        whole = [*tips, *[(-x, y) for x, y in reversed(tips[1:-1])]]
        canvas.polygon([(x, y + lower) for x, y in whole], color, outline=INK)


def _eyes(canvas: Canvas, identity: Identity, rx: float, look: float, blink: bool, hair: Color, raised: float) -> None:
    """Eyes, brows and glasses."""
    y, apart, framed = _CENTER_Y, rx * 0.46, identity.glasses != "none"
    apart = max(apart, 0.24) + 0.02 if framed else apart
    brow = INK if identity.skin in ("pale", "tan") or identity.brows == "thick" else shade(hair, 0.9)
    for side in (-1, 1):
        x = side * apart
        if identity.glasses == "round":
            canvas.ellipse((x, y), (0.2, 0.2), INK)
            canvas.ellipse((x, y), (0.155, 0.155), (236, 246, 252))
        elif framed:
            canvas.rectangle(x - 0.22, y - 0.16, x + 0.22, y + 0.16, INK)
            canvas.rectangle(x - 0.16, y - 0.1, x + 0.16, y + 0.11, (236, 246, 252))
        if blink:
            canvas.line([(x - 0.1, y + 0.02), (x + 0.1, y + 0.02)], INK, 0.05)
        elif framed or identity.eyes == "dot":  # a small frame has room for a dot only
            canvas.ellipse((x + look * 0.6, y), (0.065, 0.075) if framed else (0.075, 0.09), INK)
        elif identity.eyes == "narrow":
            canvas.ellipse((x, y), (0.13, 0.065), (250, 250, 250), outline=INK)
            canvas.ellipse((x + look, y), (0.06, 0.06), INK)
        else:
            canvas.ellipse((x, y), (0.135, 0.155), (250, 250, 250), outline=INK)
            canvas.ellipse((x + look, y + 0.01), (0.065, 0.08), INK)
        over = y - (0.27 if framed else 0.24) - raised
        if identity.brows == "arched":
            bow = [(x - side * 0.12, over + 0.04), (x + side * 0.03, over - 0.06), (x + side * 0.14, over)]
            canvas.line(bow, brow, 0.05)
        else:
            width = 0.1 if identity.brows == "thick" else 0.045
            canvas.line([(x - side * 0.12, over + 0.02), (x + side * 0.13, over)], brow, width)
    if framed:
        canvas.line([(-apart + 0.18, y - 0.02), (apart - 0.18, y - 0.02)], INK, 0.06)


def _face(canvas: Canvas, rng: np.random.Generator, phase: float, identity: Identity) -> None:
    """Head and shoulders of somebody; clothing, expression, tilt and gaze come from `rng`."""
    skin, hair = jitter(rng, SKINS[identity.skin]), jitter(rng, HAIRS[identity.hair_color])
    cloth, hat = (jitter(rng, CLOTHES[i]) for i in rng.integers(len(CLOTHES), size=2))
    tilt, sway, size, volume, look, smile, raised = rng.uniform(
        [-9, 1, 0.92, 0.94, -0.03, -0.03, -0.01], [9, 5, 1.0, 1.08, 0.03, 0.12, 0.03]
    )
    flip, talks, neckline = rng.random() < 0.5, rng.random() < 0.4, int(rng.integers(3))
    blink_at, shoulder = float(rng.uniform(-0.3, 1.0)), float(rng.uniform(0.7, 0.84))
    face, rx, ry = _outline_of(identity.shape)

    head = Canvas(canvas.size)
    _hair_behind(head, identity.hair, rx, ry, hair, volume)
    for side in (-1, 1):
        head.ellipse((side * (rx + 0.01), _CENTER_Y + 0.05), (0.1, 0.13), skin, outline=INK)
    head.polygon(face, skin, outline=INK)
    for side in (-1, 1):
        for dx, dy in ((0.4, 0.2), (0.62, 0.26), (0.5, 0.36)) if identity.freckles else ():
            head.ellipse((side * dx * rx, _CENTER_Y + dy), (0.04, 0.035), shade(skin, 0.6))
    _beard(head, identity.beard, face, rx, ry, hair)
    mouth_y, opened = _CENTER_Y + ry * 0.6, 0.05 + 0.05 * np.sin(phase * 4 * np.pi) if talks else 0.0
    if talks:
        head.ellipse((0, mouth_y), (0.14, 0.035 + opened), (120, 30, 40), outline=INK)
    else:
        lips: Color = (235, 150, 140) if identity.beard in ("full", "goatee") else (120, 30, 40)
        head.stroke([(-0.17, mouth_y - smile / 2), (0, mouth_y + smile / 2), (0.17, mouth_y - smile / 2)], lips, 0.065)
    head.stroke([(0.0, _CENTER_Y + 0.06), (0.06, _CENTER_Y + 0.17), (-0.03, _CENTER_Y + 0.19)], shade(skin, 0.6), 0.04)
    _hair_in_front(head, identity.hair, rx, ry, hair, hat)
    _eyes(head, identity, rx, look, abs(phase - blink_at) < 0.07, hair, raised)
    turn(head, tilt + sway * np.sin(phase * 2 * np.pi))

    bust = [(-shoulder, 1.1), (-shoulder + 0.1, 0.72), (0, 0.56), (shoulder - 0.1, 0.72), (shoulder, 1.1)]
    canvas.blob(bust, cloth, outline=INK)
    if neckline == 1:
        canvas.polygon([(-0.25, 0.6), (0.25, 0.6), (0, 0.95)], shade(cloth, 1.6), outline=INK)
    elif neckline == 2:
        canvas.line([(-shoulder + 0.05, 0.86), (shoulder - 0.05, 0.86)], shade(cloth, 0.55), 0.12)
    canvas.rectangle(-0.17, 0.35, 0.17, 0.68, shade(skin, 0.85), radius=0.08, outline=INK)
    painted = head.pixels[..., 3] > 0
    canvas.pixels[painted] = head.pixels[painted]
    # Flat hair leaves the top empty: show such heads larger, so that everybody fills the square.
    low = identity.hair in ("bald", "parting", "crop")
    turn(canvas, 0.0, size * (1.12 if low else 1.0), lift=0.15 if low else 0.02, flip=flip)


def random_identity(rng: np.random.Generator) -> Identity:
    """Traits of nobody known: at least five of nine, three of them striking, differ from everybody known."""
    while True:
        traits: dict[str, Any] = {name: options[rng.integers(len(options))] for name, options in _CHOICES.items()}
        stranger = Identity(**traits)
        for known in IDENTITIES.values():
            different = [f.name for f in fields(Identity) if getattr(stranger, f.name) != getattr(known, f.name)]
            if len(different) < 5 or len(set(different) & set(_STRIKING)) < 3:
                break
        else:
            return stranger


def draw_stranger(canvas: Canvas, rng: np.random.Generator, phase: float) -> None:
    """Somebody who is none of the ten."""
    _face(canvas, rng, phase, random_identity(rng))


DRAWINGS: dict[str, Callable[[Canvas, np.random.Generator, float], None]] = {
    **{key: partial(_face, identity=identity) for key, identity in IDENTITIES.items()},
    "person": draw_stranger,
}
