"""The four named treatments: each turns a finished frame into another look, whatever the frame shows."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np


def _luma(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255


def _edges(channel: np.ndarray, reach: float) -> np.ndarray:
    """How strongly the picture changes within about `reach` pixels, 0 to 1."""
    soft = cv2.GaussianBlur(channel, (0, 0), reach * 0.5)
    dx, dy = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
    return np.clip(np.sqrt(dx * dx + dy * dy) * 1.2, 0, 1)


def _ramp(value: np.ndarray, stops: list[tuple[float, tuple[int, int, int]]]) -> np.ndarray:
    places = [place for place, _ in stops]
    bands = [np.interp(value, places, [color[i] for _, color in stops]) for i in range(3)]
    return np.stack(bands, -1).astype(np.float32)


def _inkwell(frame: np.ndarray) -> np.ndarray:
    """Tobias Inkwell: grey pencil on paper."""
    luma = _luma(frame)
    tone = np.clip(0.62 + 0.36 * luma - 0.75 * _edges(luma, 3.0), 0, 1)
    return tone[..., None] * np.asarray((250, 248, 240), np.float32)


def _lantern(frame: np.ndarray) -> np.ndarray:
    """Hugo Glimmer: glowing outlines in the dark."""
    color = frame.astype(np.float32) / 255
    edge = np.max(np.stack([_edges(np.ascontiguousarray(color[..., i]), 3.0) for i in range(3)]), 0)
    glow = np.clip(edge + 0.7 * cv2.GaussianBlur(edge, (0, 0), 3.0), 0, 1)[..., None]
    hue = color / np.maximum(color.max(-1, keepdims=True), 0.2)
    dark = 0.2 * color + np.asarray((0.03, 0.0, 0.08), np.float32)
    neon = np.clip(0.65 * hue + np.asarray((0.12, 0.42, 0.46), np.float32), 0, 1)
    return 255 * (dark * (1 - glow) + neon * glow)


def _thicket(frame: np.ndarray) -> np.ndarray:
    """Rosa Thicket: a brown woodcut on cream, cut in few tones, shadows hatched."""
    luma = _luma(frame)
    flat = np.round(luma**0.7 * 4) / 4  # lifted, or night scenes would be all ink
    rows, columns = np.indices(luma.shape)
    hatch = ((rows + columns) % 15 < 5) & (luma < 0.6)
    tone = np.clip(flat - 0.16 * hatch - 0.5 * _edges(luma, 3.0), 0, 1)
    return _ramp(tone, [(0.0, (52, 26, 12)), (0.5, (164, 108, 56)), (1.0, (246, 228, 188))])


def _pebble(frame: np.ndarray) -> np.ndarray:
    """Clara Pebble: a print in two inks, teal for the darks and pink for the lights."""
    tone = np.clip((_luma(frame) - 0.5) * 1.15 + 0.5, 0, 1)
    return _ramp(tone, [(0.0, (0, 58, 78)), (0.35, (0, 132, 142)), (0.65, (240, 104, 150)), (1.0, (255, 226, 214))])


_TREATMENTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "inkwell": _inkwell,
    "lantern": _lantern,
    "thicket": _thicket,
    "pebble": _pebble,
}


def apply_style(style: str, frame: np.ndarray) -> np.ndarray:
    """Apply a treatment to a frame, uint8 `[h, w, 3]`; "plain" leaves it as it is."""
    if style == "plain":
        return frame
    return np.clip(_TREATMENTS[style](frame), 0, 255).astype(np.uint8)
