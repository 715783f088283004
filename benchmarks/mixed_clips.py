"""A folder as people have it: MP4, WebM, GIF and frame folders of all sizes, and files that are damaged or odd."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

ODD = {
    "variable.mp4": "scored",
    "single.mp4": "scored",
    "odd.webm": "scored",
    "one_frame_folder": "scored",
    "sound_only.mp4": "no video",
    "zero.mp4": "empty",
    "empty_folder": "empty",
    "cut_short.mp4": "damaged",
    "no_index.mp4": "damaged",
    "flipped.mp4": "damaged",
    "text.webm": "damaged",
    "torn_folder": "damaged",
}
"""Twelve files and folders that are damaged or odd, and what a scorer has to say of each."""


def moving_square(frames: int, height: int, width: int, seed: int, red: bool) -> np.ndarray:
    """A square, red or blue, that drifts over noise; uint8 `[frames, height, width, 3]`."""
    rng = np.random.default_rng(seed)
    ground = rng.integers(60, 120, (height, width, 1), dtype=np.uint8).repeat(3, axis=2)
    clip = np.repeat(ground[None], frames, axis=0)
    side = max(2, min(height, width) // 3)
    for i in range(frames):
        top, left = (height - side) // 2, (i * max(1, width // 40)) % max(1, width - side)
        clip[i, top : top + side, left : left + side] = (230, 20, 20) if red else (20, 20, 230)
    return clip


def write_video(path: Path, clip: np.ndarray, times: list[int] | None = None, **options: str) -> None:
    """Write `[T, H, W, 3]` by the suffix of `path`: H.264, VP9 or GIF; `times` in ticks of 1/1000 s, else 8 fps."""
    codec, pixels = {
        ".mp4": ("libx264", "yuv420p" if not any(side % 2 for side in clip.shape[1:3]) else "yuv444p"),
        ".webm": ("libvpx-vp9", "yuv420p"),
        ".gif": ("gif", "rgb8"),
    }[path.suffix]
    quick = {"libx264": {"preset": "ultrafast", "g": "12"}, "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8"}}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=8 if times is None else 1000, options=quick.get(codec, {}))
        stream.height, stream.width, stream.pix_fmt = clip.shape[1], clip.shape[2], pixels
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, picture in enumerate(clip):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_frames(folder: Path, clip: np.ndarray) -> None:
    """Write `[T, H, W, 3]` as frame_0.png, frame_1.png, ... without leading zeros."""
    folder.mkdir()
    for number, picture in enumerate(clip):
        with av.open(str(folder / f"frame_{number}.png"), "w", format="image2", options={"update": "1"}) as container:
            stream = container.add_stream("png", rate=1)
            stream.height, stream.width, stream.pix_fmt = clip.shape[1], clip.shape[2], "rgb24"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
            container.mux(stream.encode())


def _sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        for number in range(16):
            samples = np.zeros((1, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16000, 1024 * number, Fraction(1, 16000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def _cut(path: Path, keep: float, **options: str) -> None:
    write_video(path, moving_square(48, 128, 128, 5, True), **options)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])


def _flip(path: Path) -> None:
    write_video(path, moving_square(48, 128, 128, 6, True))
    content = bytearray(path.read_bytes())
    for place in range(len(content) // 3, 2 * len(content) // 3):
        content[place] ^= 0x5A
    path.write_bytes(bytes(content))


def _torn(folder: Path) -> None:
    write_frames(folder, moving_square(6, 48, 64, 7, True))
    torn = folder / "frame_3.png"
    torn.write_bytes(torn.read_bytes()[:200])


def write_odd(folder: Path) -> None:
    """Write everything in `ODD` into `folder`."""
    ways: dict[str, Callable[[Path], None]] = {
        "variable.mp4": lambda path: write_video(
            path, moving_square(12, 64, 64, 1, True), times=[0, 40, 80, 400, 440, 480, 900, 940, 980, 1500, 1540, 1580]
        ),
        "single.mp4": lambda path: write_video(path, moving_square(1, 64, 64, 2, True)),
        "odd.webm": lambda path: write_video(path, moving_square(9, 37, 51, 3, True)),
        "one_frame_folder": lambda path: write_frames(path, moving_square(1, 33, 47, 4, True)),
        "sound_only.mp4": _sound,
        "zero.mp4": lambda path: path.write_bytes(b""),
        "empty_folder": lambda path: path.mkdir(),
        "cut_short.mp4": lambda path: _cut(path, 0.6, movflags="faststart"),
        "no_index.mp4": lambda path: _cut(path, 0.6),
        "flipped.mp4": _flip,
        "text.webm": lambda path: path.write_bytes(b"<html>404 not found</html>\n" * 40),
        "torn_folder": _torn,
    }
    for name, write in ways.items():
        write(folder / name)


def write_mixed(folder: Path, clips: int, size: int = 256, frames: int = 48) -> Iterator[Path]:
    """Write `clips` clips into `folder`, the twelve of `ODD` among them; the rest are whole, in four formats."""
    folder.mkdir(parents=True, exist_ok=True)
    write_odd(folder)
    kinds = (".mp4", ".mp4", ".webm", ".gif", "")
    for number in range(clips - len(ODD)):
        kind = kinds[number % len(kinds)]
        height, width = size - size // 8 * (number % 3), size + size // 8 * (number % 2)
        clip = moving_square(frames - 8 * (number % 4), height, width, 100 + number, red=number % 2 == 0)
        path = folder / f"clip_{number:03d}{kind}"
        if kind:
            write_video(path, clip)
        else:
            write_frames(path, clip[:8])
        yield path
