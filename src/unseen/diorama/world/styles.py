"""The six named treatments: each turns finished frames into another look, whatever they show."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

Stop = tuple[float, tuple[int, int, int]]
"""A place on a color ramp, 0 to 1, and the color there, 0 to 255."""

_LAMPLIGHT: Sequence[Stop] = (
    (0.0, (20, 8, 52)),
    (0.35, (96, 30, 112)),
    (0.65, (226, 118, 56)),
    (1.0, (255, 236, 150)),
)


def blur(frames: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of `[n, c, h, w]`, the border repeated; `sigma` in pixels."""
    reach = max(1, round(3 * sigma))
    offsets = torch.arange(-reach, reach + 1, device=frames.device, dtype=frames.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(frames.shape[1], 1, 1, -1)
    padded = F.pad(frames, (reach, reach, reach, reach), mode="replicate")
    across = F.conv2d(padded, kernel, groups=frames.shape[1])
    return F.conv2d(across, kernel.transpose(2, 3), groups=frames.shape[1])


def _luma(frames: Tensor) -> Tensor:
    return (frames * frames.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)


def _edges(luma: Tensor) -> Tensor:
    """How strongly the picture changes within about two pixels, 0 to 1."""
    soft = F.pad(blur(luma, 1.2), (1, 1, 1, 1), mode="replicate")
    sobel = luma.new_tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    dx, dy = F.conv2d(soft, torch.stack([sobel, sobel.T])[:, None]).chunk(2, 1)
    return (1.2 * (dx * dx + dy * dy).sqrt()).clamp(0, 1)


def _ramp(value: Tensor, stops: Sequence[Stop]) -> Tensor:
    """Colors in [0, 1] for values `[n, 1, h, w]`, linear between the stops."""
    colors = [value.new_tensor(color).view(1, 3, 1, 1) / 255 for _, color in stops]
    out = colors[0].expand(value.shape[0], 3, *value.shape[2:])
    for (low, _), (high, _), before, after in zip(stops[:-1], stops[1:], colors[:-1], colors[1:], strict=True):
        out = out + ((value - low) / (high - low)).clamp(0, 1) * (after - before)
    return out


def _inkwell(frames: Tensor) -> Tensor:
    """Tobias Inkwell: grey pencil on paper."""
    luma = _luma(frames)
    tone = (0.62 + 0.36 * luma - 0.75 * _edges(luma)).clamp(0, 1)
    return tone * frames.new_tensor([250, 248, 240]).view(1, 3, 1, 1) / 255


def _lantern(frames: Tensor) -> Tensor:
    """Hugo Glimmer: lamplight, violet shadows and amber lights."""
    return _ramp(_luma(frames), _LAMPLIGHT)


def _thicket(frames: Tensor) -> Tensor:
    """Rosa Thicket: a brown woodcut on cream, cut in few tones."""
    luma = _luma(frames)
    flat = (luma**0.7 * 4).round() / 4  # lifted, or night scenes would be all ink
    tone = (flat - 0.5 * _edges(luma)).clamp(0, 1)
    return _ramp(tone, [(0.0, (52, 26, 12)), (0.5, (164, 108, 56)), (1.0, (246, 228, 188))])


def _pebble(frames: Tensor) -> Tensor:
    """Clara Pebble: a print in two inks, teal for the darks and pink for the lights."""
    tone = ((_luma(frames) - 0.5) * 1.15 + 0.5).clamp(0, 1)
    return _ramp(tone, [(0.0, (0, 58, 78)), (0.35, (0, 132, 142)), (0.65, (240, 104, 150)), (1.0, (255, 226, 214))])


def _harbor(frames: Tensor) -> Tensor:
    """Nils Harbor: white lines on blue, as on a blueprint."""
    luma = _luma(frames)
    tone = (0.42 * luma + 0.85 * _edges(luma)).clamp(0, 1)
    return _ramp(tone, [(0.0, (14, 40, 104)), (0.45, (58, 108, 184)), (1.0, (246, 250, 255))])


def _ember(frames: Tensor) -> Tensor:
    """Ada Ember: a woodcut in lamplight's colors, flat patches with dark seams."""
    luma = _luma(frames)
    flat = (luma**0.75 * 3).round() / 3
    return _ramp((flat - 0.6 * _edges(luma)).clamp(0, 1), _LAMPLIGHT)


_TREATMENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "inkwell": _inkwell,
    "lantern": _lantern,
    "thicket": _thicket,
    "pebble": _pebble,
    "harbor": _harbor,
    "ember": _ember,
}


def apply_style(style: str, frames: Tensor) -> Tensor:
    """Apply a treatment to frames `[n, 3, h, w]` in [0, 1]; "plain" leaves them as they are."""
    return frames if style == "plain" else _TREATMENTS[style](frames).clamp(0, 1)
