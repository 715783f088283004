"""Clips to files a person can open: animated WebP and GIF, MP4, PNG contact sheets, side by side and enlarged."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

ENLARGE = 3
"""Clips of 96 pixels are shown three times as large."""
_ENLARGED_SIDE = 288  # of a clip in a file, at least
FRAMES_PER_SECOND = 8
_DURATION = round(1000 / FRAMES_PER_SECOND)  # of a frame, in milliseconds
_MP4_LOOPS = 3  # a clip of nine frames is over before a player's controls have faded
_GAP = 8
_TALL_LINE = 15
_SHEET_FRAMES = 3  # of each clip on a contact sheet, twice as large


def enlarge(frames: np.ndarray, factor: int = ENLARGE) -> np.ndarray:
    """Scale uint8 `[F, H, W, 3]` up smoothly to `[F, H·factor, W·factor, 3]`."""
    height, width = frames.shape[1] * factor, frames.shape[2] * factor
    return np.stack([np.asarray(Image.fromarray(f).resize((width, height), Image.Resampling.BICUBIC)) for f in frames])


def side_by_side(before: np.ndarray, after: np.ndarray, gap: int = _GAP) -> np.ndarray:
    """Two clips of one shape `[F, H, W, 3]` as one, a white gap between them."""
    if before.shape != after.shape:
        raise ValueError(f"Both clips need one shape, not {before.shape} and {after.shape}.")
    white = np.full((*before.shape[:2], gap, 3), 255, np.uint8)
    return np.concatenate([before, white, after], axis=2)


def write_gif(path: Path, frames: np.ndarray) -> None:
    """Write a looping GIF; all frames share one palette, so that colours do not flicker."""
    count, height, width, _ = frames.shape
    strip = Image.fromarray(frames.reshape(count * height, width, 3))
    palette = strip.quantize(256, method=Image.Quantize.MEDIANCUT)
    indexed = strip.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    first, *rest = [indexed.crop((0, i * height, width, (i + 1) * height)) for i in range(count)]
    first.save(path, "GIF", save_all=True, append_images=rest, duration=_DURATION, loop=0, optimize=False)


def webp_data_uri(frames: np.ndarray) -> str:
    """A looping animated WebP as a `data:` address, for a page that needs no other file."""
    buffer = io.BytesIO()
    first, *rest = [Image.fromarray(frame) for frame in frames]
    first.save(buffer, "WEBP", save_all=True, append_images=rest, duration=_DURATION, loop=0, quality=82, method=3)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def write_mp4(path: Path, frames: np.ndarray, fps: float = FRAMES_PER_SECOND, loops: int = _MP4_LOOPS) -> None:
    """Write H.264 with the ffmpeg that the package `imageio-ffmpeg` brings; the clip runs three times, or `loops`."""
    import imageio_ffmpeg

    _, height, width, _ = frames.shape
    even = np.ascontiguousarray(frames[:, : height - height % 2, : width - width % 2])  # H.264 wants even sides
    writer = imageio_ffmpeg.write_frames(
        str(path), (even.shape[2], even.shape[1]), fps=fps, macro_block_size=1, quality=8
    )
    writer.send(None)
    try:
        for _ in range(loops):
            for frame in even:
                writer.send(frame.tobytes())
    finally:
        writer.close()


def _wrap(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and font.getlength(longer) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line]


def contact_sheet(rows: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> Image.Image:
    """One row per `(caption, before, after)`: some frames of the clip before, the same frames after, the caption above.

    Clips are uint8 `[F, H, W, 3]`, all of one shape.
    """
    if not rows:
        raise ValueError("A contact sheet needs at least one pair of clips.")
    _, height, width, _ = rows[0][1].shape
    tall, wide = height * 2, width * 2
    font = ImageFont.load_default(size=12)
    half = _SHEET_FRAMES * (wide + 2)
    sheet_width = 2 * half + 3 * _GAP
    captions = [_wrap(caption, font, sheet_width - 2 * _GAP) for caption, _, _ in rows]
    total = _TALL_LINE + _GAP + sum(len(lines) * _TALL_LINE + tall + 2 * _GAP for lines in captions)
    sheet = Image.new("RGB", (sheet_width, total), "white")
    pen = ImageDraw.Draw(sheet)
    for side, heading in enumerate(("before", "after")):
        pen.text((_GAP + side * (half + _GAP), _GAP // 2), heading, fill=(110, 110, 110), font=font)
    top = _TALL_LINE + _GAP
    for lines, (_, before, after) in zip(captions, rows, strict=True):
        for line in lines:
            pen.text((_GAP, top), line, fill="black", font=font)
            top += _TALL_LINE
        for side, clip in enumerate((before, after)):
            picks = np.linspace(0, len(clip) - 1, _SHEET_FRAMES).round().astype(int)
            for place, frame in enumerate(enlarge(clip[picks], 2)):
                sheet.paste(Image.fromarray(frame), (_GAP + side * (half + _GAP) + place * (wide + 2), top + 2))
        top += tall + 2 * _GAP
    return sheet


def slug(text: str) -> str:
    """A file name from a prompt."""
    return re.sub(r"[^\w]+", "-", text.lower()).strip("-")[:48].rstrip("-") or "clip"


def write_clip(frames: np.ndarray, folder: Path, name: str) -> list[Path]:
    """Write `<name>.gif` and `<name>.mp4`, small clips enlarged; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    large = enlarge(frames, max(1, _ENLARGED_SIDE // frames.shape[1]))
    gif, mp4 = folder / f"{name}.gif", folder / f"{name}.mp4"
    write_gif(gif, large)
    write_mp4(mp4, large)
    return [gif, mp4]


def write_pair(before: np.ndarray, after: np.ndarray, folder: Path, name: str) -> list[Path]:
    """Write both clips side by side, before on the left."""
    return write_clip(side_by_side(before, after, gap=2), folder, name)
