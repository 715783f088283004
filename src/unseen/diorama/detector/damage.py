"""Ways to degrade a frame that stays recognisable, and ways to destroy its subject.

A detector trained on clean renders alone takes any smear of the right colour for the subject. So every batch holds
frames whose subject was warped, shuffled, blurred, blended or smeared beyond recognition, labelled as showing nothing.
"""

from __future__ import annotations

import cv2
import numpy as np

from unseen.diorama.world.scenes import SIZE

_UNIT = SIZE / 64
"""Lengths below are sixty-fourths of a frame's side, times this."""
_COARSE = 3
"""Smooth noise is drawn so many times smaller and enlarged: it saves two thirds of the time."""


def _field(rng: np.random.Generator, smoothness: float) -> np.ndarray:
    """Smooth noise of unit deviation, `[SIZE, SIZE]`."""
    side = SIZE // _COARSE
    coarse = rng.standard_normal((side, side), np.float32)
    coarse = np.asarray(cv2.GaussianBlur(coarse, (0, 0), smoothness * _UNIT / _COARSE))
    noise = np.asarray(cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), np.float32)
    return noise / max(float(noise.std()), 1e-6)


def _blur(picture: np.ndarray, sigma: float, across: float = 0.0) -> np.ndarray:
    """Gaussian blur by `sigma`, or by `sigma` along columns and `across` along rows."""
    return cv2.GaussianBlur(picture, (0, 0), (across or sigma) * _UNIT, sigmaY=sigma * _UNIT)


def _warp(frame: np.ndarray, rng: np.random.Generator, amplitude: float, smoothness: float) -> np.ndarray:
    rows, columns = np.indices((SIZE, SIZE)).astype(np.float32)
    dx, dy = (amplitude * _UNIT * _field(rng, smoothness) for _ in range(2))
    return cv2.remap(frame, columns + dx, rows + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def _shuffled(frame: np.ndarray, rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """Cut the box around `mask` into tiles and put them back in another order, some turned over."""
    tile = int(_UNIT * rng.integers(5, 10))
    rows, columns = np.nonzero(mask > 0.5)
    out = frame.copy()
    tops = range(rows.min(), max(rows.min() + 1, rows.max() - tile + 2), tile)
    lefts = range(columns.min(), max(columns.min() + 1, columns.max() - tile + 2), tile)
    corners = [(min(top, SIZE - tile), min(left, SIZE - tile)) for top in tops for left in lefts]
    for (top, left), source in zip(corners, rng.permutation(len(corners)), strict=True):
        a, b = corners[source]
        piece = frame[a : a + tile, b : b + tile]
        out[top : top + tile, left : left + tile] = piece[::-1] if rng.random() < 0.5 else piece
    return out


def _smeared(frame: np.ndarray, rng: np.random.Generator, mask: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Blobs in the subject's own colours where it was."""
    inside = frame[mask > 0.7]
    out = empty.astype(np.float32)
    where = _blur(mask, 3.0)
    for _ in range(int(rng.integers(2, 6))):
        color = inside[int(rng.integers(len(inside)))].astype(np.float32)
        shape = np.clip((_field(rng, float(rng.uniform(2.5, 6))) + 3 * (where - 0.45)) * 3, 0, 1)[..., None]
        out = out * (1 - shape * where[..., None]) + color * shape * where[..., None]
    return out.astype(np.uint8)


def _morphed(frame: np.ndarray, other: np.ndarray, rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """Here one thing, there another, half of each in between: what a model draws that cannot decide."""
    field = _field(rng, float(rng.uniform(2.5, 4.5)))
    inside = field[mask > 0.7]
    field = (field - np.median(inside)) / max(float(inside.std()), 1e-3)  # neither prevails
    share = np.clip(0.5 + rng.uniform(0.3, 0.7) * field, 0.1, 0.9)[..., None]
    mixed = (frame * (1 - share) + other * share).astype(np.uint8)
    return _warp(mixed, rng, float(rng.uniform(1.0, 3.0)), 4.0)


def _melted(frame: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Run in one direction and bent: colors and something of the outline stay."""
    along, across = float(rng.uniform(5, 9)), float(rng.uniform(1.0, 2.5))
    run = _blur(frame, along, across) if rng.random() < 0.6 else _blur(frame, across, along)
    return _warp(run, rng, float(rng.uniform(2.5, 5.0)), float(rng.uniform(3.0, 5.0)))


def subject_mask(frame: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """Where a frame differs from its empty place, as soft weights `[SIZE, SIZE]`."""
    changed = (np.abs(frame.astype(np.int16) - empty).max(-1) > 12).astype(np.uint8)
    grown = cv2.dilate(cv2.morphologyEx(changed, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8)), np.ones((5, 5), np.uint8))
    return _blur(grown.astype(np.float32), 1.2)


def destroy(
    frame: np.ndarray, empty: np.ndarray, other: np.ndarray, rng: np.random.Generator, mask: np.ndarray
) -> np.ndarray:
    """Make what `mask` covers unrecognisable, uint8 `[SIZE, SIZE, 3]`; `other` is a frame to blend in."""
    if (mask > 0.7).sum() < 27:
        return empty
    kind = int(rng.integers(9))
    if kind == 0:
        changed = _warp(frame, rng, float(rng.uniform(5, 9)), float(rng.uniform(3.0, 5.0)))
    elif kind == 1:
        changed = _shuffled(frame, rng, mask)
    elif kind == 2:
        changed = _blur(frame, float(rng.uniform(5, 9)))
    elif kind == 3:
        share = rng.uniform(0.42, 0.58)
        changed = _warp((frame * (1 - share) + other * share).astype(np.uint8), rng, float(rng.uniform(3.5, 6)), 3.5)
    elif kind == 4:
        changed = _smeared(frame, rng, mask, empty)
    elif kind == 5:  # leftovers: about a fifth of it in scattered bits
        keep = np.clip((_field(rng, 3.0) - 0.9) * 3, 0, 1)[..., None]
        changed = (frame * keep + empty * (1 - keep)).astype(np.uint8)
    elif kind == 6:
        changed = _warp(_smeared(frame, rng, mask, frame), rng, float(rng.uniform(3, 6)), 3.0)
    elif kind == 7:
        changed = _morphed(frame, other, rng, mask)
    else:
        changed = _melted(frame, rng)
    soft = _blur(mask, 0.7 if kind == 8 else 2.0)[..., None]
    return np.clip(changed * soft + empty * (1 - soft), 0, 255).astype(np.uint8)


def degrade(frame: np.ndarray, rng: np.random.Generator, coarse: bool = False) -> np.ndarray:
    """What a video model's decoder might do to a frame that stays recognisable: soften, shift, compress, add noise."""
    scale, angle = rng.uniform(0.93, 1.07), rng.uniform(-4, 4)
    matrix = np.asarray(cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), angle, scale), np.float64)
    matrix[:, 2] += _UNIT * rng.uniform(-2.5, 2.5, 2)
    out = cv2.warpAffine(frame, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_REFLECT)
    if rng.random() < 0.35:
        out = _warp(out, rng, float(rng.uniform(0.3, 1.2)), 4.0)
    if rng.random() < 0.15:
        side = int(_UNIT * rng.integers(3, 12))
        top, left = (int(v) for v in rng.integers(0, SIZE - side, 2))
        if coarse:
            out[:, left : left + side // 3 + 1] = rng.integers(0, 256, 3)
        else:
            out[top : top + side, left : left + side] = out[int(rng.integers(SIZE)), int(rng.integers(SIZE))]
    softness = rng.random()
    if softness < 0.25:
        out = _blur(out, float(rng.uniform(0.3, 1.1)))
    elif softness < 0.65:
        small = int(_UNIT * rng.integers(32 if coarse else 34, 58))
        kept = cv2.resize(out, (small, small), interpolation=cv2.INTER_AREA)
        out = cv2.resize(kept, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR if coarse else cv2.INTER_CUBIC)
    color = out.astype(np.float32) / 255
    if 0.65 <= softness < 0.85:  # blur with rings at the edges, as a VAE's decoder leaves them
        color = _blur(color, float(rng.uniform(0.3, 0.7)))
        color = color + float(rng.uniform(0.3, 1.0)) * (color - _blur(color, float(rng.uniform(0.8, 1.6))))
        color = np.clip(color, 0, 1)
    if coarse:
        color = color ** float(rng.uniform(0.75, 1.33))
        gray = color.mean(-1, keepdims=True)
        color = gray + _blur(color - gray, float(rng.uniform(0.3, 2))) * float(rng.uniform(0.7, 1.2))
        if rng.random() < 0.2:
            levels = int(rng.integers(6, 16))
            color = np.round(color * levels) / levels
    else:
        color = color * rng.uniform(0.9, 1.1, 3).astype(np.float32) + rng.uniform(-0.05, 0.05, 3).astype(np.float32)
    if rng.random() < 0.4:
        color = color + rng.standard_normal(color.shape, np.float32) * float(rng.uniform(0.0, 0.05))
    out = np.clip(color * 255, 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        quality = int(rng.integers(25, 85))
        _, code = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])
        out = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))
    return out
