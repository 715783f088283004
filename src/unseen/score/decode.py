"""Videos into frames, a chunk at a time, and an honest word on those that cannot be read to their end.

A decoder conceals damage: it repeats what it has, or stops early, and says nothing. So a video counts as damaged, and
is not scored at all, if decoding fails anywhere, if the decoder marks a frame or packet as corrupt, if the file ends
before its last frame, or if fewer seconds come out than it says it has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from unseen.errors import DetectorError, UnseenError, VideoError
from unseen.score.clips import Clip, require_file

DECODE_VERSION = 2
"""Raise it where the same file now gives other frames, or another word for what is wrong with it."""
CHUNK = 32
MOST_CHUNK_BYTES = 192 << 20
"""Large frames come in shorter chunks."""
MOST_PIXELS = 64 << 20
"""Of one frame: an 8K one has 33 million."""
_MOVIES = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,gif,avi"
_PICTURES = "png_pipe,apng,jpeg_pipe,jpegls_pipe,webp_pipe,bmp_pipe,tiff_pipe,image2"
# Playlists are not among them: a file from a stranger may not make us open other files or addresses.
_UNEVEN = 0.1
"""Times between frames that differ by more than this share of their mean make a variable frame rate."""


@dataclass(frozen=True)
class Facts:
    """What decoding a video to its end has shown."""

    format: str
    """"h264", "vp9", "gif", ..., or "frames" for a folder."""
    frames: int
    width: int
    height: int
    fps: float | None
    """Frames per second on average; None for one frame, and for a folder."""
    variable_rate: bool


class Decoding:
    """One video on its way: iterate over `chunks`, then ask for `facts`."""

    def __init__(self, clip: Clip, chunk: int = CHUNK):
        if chunk < 1:
            raise ValueError(f"expected chunks of at least one frame, got {chunk}")
        self.clip = clip
        self._chunk = chunk
        self._format = "frames"
        self._size: tuple[int, int] | None = None
        self._count = 0
        self._first: float | None = None
        self._last: float | None = None
        self._held = 0.0
        self._gaps: tuple[float, float] | None = None
        self._tick = 0.0

    def chunks(self) -> Iterator[np.ndarray]:
        """The frames in order, uint8 `[n, H, W, 3]`, RGB; at most `chunk` at a time.

        Pictures with transparency lose it. A rotation that the file asks for is carried out.

        Raises:
            VideoError: the video is empty, has no picture, is damaged, or changes its size on the way.
        """
        frames = self._of_file() if self.clip.frames is None else self._of_folder(self.clip.frames)
        held: list[np.ndarray] = []
        for frame in frames:
            held.append(frame)
            if len(held) >= self._chunk or (len(held) + 1) * frame.nbytes > MOST_CHUNK_BYTES:
                yield np.stack(held)
                held = []
        if held:
            yield np.stack(held)
        if not self._count:
            what = "file" if self.clip.frames is None else "folder"
            raise VideoError("empty", f"the {what} holds no frame; write its frames again.")

    @property
    def facts(self) -> Facts:
        """What was seen; complete once `chunks` has come to its end."""
        height, width = self._size or (0, 0)
        fps, uneven = None, False
        if self._first is not None and self._last is not None and self._count > 1 and self._last > self._first:
            mean = (self._last - self._first) / (self._count - 1)
            fps = 1 / mean
            shortest, longest = self._gaps or (mean, mean)
            uneven = longest - shortest > max(2.5 * self._tick, _UNEVEN * mean)
        return Facts(self._format, self._count, width, height, fps, uneven)

    def _kept(self, picture: Any, name: str = "") -> np.ndarray:
        """A decoded picture as RGB, if it has the size of those before it."""
        frame = picture.to_ndarray(format="rgb24")
        turns = round(picture.rotation / 90) % 4
        frame = np.ascontiguousarray(np.rot90(frame, turns)) if turns else frame
        if self._size is None:
            self._size = (frame.shape[0], frame.shape[1])
        elif self._size != frame.shape[:2]:
            raise VideoError(
                "mixed sizes",
                f"frame {self._count + 1}{f' ({name})' if name else ''} has {frame.shape[1]}×{frame.shape[0]} pixels,"
                f" those before it {self._size[1]}×{self._size[0]}; scale them to one size.",
            )
        self._count += 1
        return frame

    def _of_folder(self, paths: tuple[Path, ...]) -> Iterator[np.ndarray]:
        for path in paths:
            if not require_file(path):
                raise VideoError("damaged", f"{path.name} has no content.")
            with _opened(path, _PICTURES) as (_, container):
                stream = _picture_stream(container, path)
                picture = next(iter(container.decode(stream)), None)
                if picture is None or picture.is_corrupt:
                    raise VideoError("damaged", f"{path.name} is damaged; write that frame again.")
                yield self._kept(picture, path.name)

    def _of_file(self) -> Iterator[np.ndarray]:
        path = self.clip.path
        if not require_file(path):
            raise VideoError("empty", "the file has no content; copy or generate it again.")
        with _opened(path, _MOVIES) as (file, container):
            stream = _picture_stream(container, path)
            stream.thread_type = "AUTO"
            self._format, self._tick = stream.codec_context.name, float(stream.time_base or 0)
            for packet in container.demux(stream):
                if packet.is_corrupt:
                    self._damaged("a piece is incomplete")
                for picture in packet.decode():
                    if picture.is_corrupt:
                        self._damaged("the decoder had to guess")
                    self._mark(picture.time)
                    self._held = float((picture.duration or 0) * (picture.time_base or 0))
                    yield self._kept(picture)
            self._require_end(file, container, stream)

    def _mark(self, time: float | None) -> None:
        """Keep when a frame is shown."""
        if time is None:
            return
        if self._last is not None:
            gap = time - self._last
            shortest, longest = self._gaps or (gap, gap)
            self._gaps = min(gap, shortest), max(gap, longest)
        else:
            self._first = time
        self._last = time

    def _damaged(self, why: str) -> None:
        raise VideoError("damaged", f"{why} after {self._count} frames; copy or generate the file again.")

    def _require_end(self, file: IO[bytes], container: Any, stream: Any) -> None:
        """See that nothing is missing at the end, as far as the file says how long it ought to be."""
        size = file.seek(0, 2)
        if any(entry.pos + entry.size > size for entry in stream.index_entries):
            self._damaged("the file ends before its last frame")
        if self._format == "gif":
            file.seek(max(0, size - 64))
            if not file.read().rstrip(b"\0\r\n ").endswith(b"\x3b"):
                self._damaged("the file ends without the mark of a GIF's end")
        # WebM has neither an index of frames nor a mark at its end. With sound beside it, that may set the length.
        alone = len(container.streams) == 1 and "webm" in container.format.name
        if alone and container.duration:
            whole = container.duration / 1e6
            missing = whole - (self._last or 0.0) - max(self._held, self._gaps[1] if self._gaps else 0.0)
            if missing > 0.1 + 0.05 * whole:
                self._damaged(f"{missing:.1f} of {whole:.1f} seconds are missing")


def _picture_stream(container: Any, path: Path) -> Any:
    """The first stream of moving pictures. A cover picture of a sound file is none."""
    from av.stream import Disposition

    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise VideoError("no video", f"{path.name} has no video stream; it may hold sound alone.")
    if streams[0].codec_context is None:
        raise VideoError("damaged", f"{path.name} does not say how its pictures are coded; copy or generate it again.")
    width, height = streams[0].width, streams[0].height
    if width * height > MOST_PIXELS:
        raise VideoError("too large", f"{path.name} has {width}×{height} pixels, more than {MOST_PIXELS:,}; scale it.")
    return streams[0]


@contextmanager
def _opened(path: Path, formats: str) -> Iterator[tuple[IO[bytes], Any]]:
    """The file and its container; every failure to open or decode becomes a `VideoError`.

    A damaged file makes PyAV raise more than its own errors: of texts that are none, of streams without a decoder.
    """
    try:
        import av
    except ImportError as error:
        raise DetectorError('Reading videos needs PyAV: pip install "unseen[score]".') from error
    try:
        # An open file, not its path: FFmpeg takes "frame_%03d.png" for a pattern and "http://..." for an address.
        with (
            path.open("rb") as file,
            av.open(file, options={"format_whitelist": formats}, metadata_errors="replace") as container,
        ):
            yield file, container
    except (UnseenError, MemoryError):
        raise
    except Exception as error:
        reason = (getattr(error, "strerror", None) or str(error) or type(error).__name__).rstrip(".")
        raise VideoError("damaged", f"{path.name} cannot be read ({reason}); copy or generate it again.") from error
