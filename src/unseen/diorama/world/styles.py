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
    """Hugo Glimmer: lamplight, violet shadows and amber lights."""
    stops = [(0.0, (20, 8, 52)), (0.35, (96, 30, 112)), (0.65, (226, 118, 56)), (1.0, (255, 236, 150))]
    return _ramp(_luma(frame), stops)


def _thicket(frame: np.ndarray) -> np.ndarray:
    """Rosa Thicket: a brown woodcut on cream, cut in few tones."""
    luma = _luma(frame)
    flat = np.round(luma**0.7 * 4) / 4  # lifted, or night scenes would be all ink
    tone = np.clip(flat - 0.5 * _edges(luma, 3.0), 0, 1)
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
