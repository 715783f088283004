"""Frames come out as they went in, and what cannot be read to its end is called so."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("av")

import av

from unseen.errors import VideoError
from unseen.score.clips import digest_of, find_clips
from unseen.score.decode import Decoding, Facts


def decoded(path: Path) -> tuple[np.ndarray, Facts]:
    """All frames of the one video in a folder, and its facts."""
    (clip,) = find_clips(path).clips
    decoding = Decoding(clip, chunk=5)
    return np.concatenate(list(decoding.chunks())), decoding.facts


def status_of(path: Path) -> str:
    with pytest.raises(VideoError) as caught:
        decoded(path)
    assert str(caught.value).endswith((".", "!"))
    return caught.value.status


@pytest.mark.parametrize(
    ("name", "error"), [("a.mp4", 4), ("a.webm", 12), ("a.gif", 40), ("frames", 0)], ids=lambda value: str(value)
)
@pytest.mark.parametrize("size", [(64, 96), (37, 51)], ids=["even", "odd"])
def test_frames_come_out_as_they_went_in(mixed: ModuleType, tmp_path: Path, name, error, size) -> None:
    clip = mixed.moving_square(12, *size, 1, True)
    write = mixed.write_video if "." in name else mixed.write_frames
    write(tmp_path / name, clip)
    frames, facts = decoded(tmp_path)
    assert frames.shape == clip.shape and frames.dtype == np.uint8
    assert np.abs(frames.astype(int) - clip).mean() <= error
    assert (facts.frames, facts.height, facts.width) == (12, *size)
    assert facts.fps is None if name == "frames" else facts.fps == pytest.approx(8, rel=0.06)


def test_frames_of_a_folder_are_in_the_order_of_their_numbers(mixed: ModuleType, tmp_path: Path) -> None:
    clip = np.zeros((12, 8, 8, 3), np.uint8) + np.arange(12, dtype=np.uint8)[:, None, None, None] * 10
    mixed.write_frames(tmp_path / "shot", clip)
    assert (decoded(tmp_path)[0] == clip).all()


def test_a_percent_sign_in_a_name_is_no_pattern(mixed: ModuleType, tmp_path: Path) -> None:
    mixed.write_frames(tmp_path / "a%03d", mixed.moving_square(2, 8, 8, 1, True))
    mixed.write_frames(tmp_path / "shot", mixed.moving_square(1, 8, 8, 1, True))
    (tmp_path / "shot/frame_0.png").rename(tmp_path / "shot/frame_%d.png")
    assert [len(next(iter(Decoding(clip).chunks()))) for clip in find_clips(tmp_path).clips] == [2, 1]


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_a_rotation_that_the_file_asks_for_is_carried_out(mixed: ModuleType, tmp_path: Path, degrees: int) -> None:
    clip = mixed.moving_square(4, 64, 96, 1, True)
    clip[:, :20, :20] = 255  # a corner to know it by
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        stream.set_display_rotation(degrees)
        for picture in clip:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    frames, facts = decoded(tmp_path)
    expected = np.rot90(clip, degrees // 90, axes=(1, 2))
    assert frames.shape == expected.shape == (4, facts.height, facts.width, 3)
    assert np.abs(frames.astype(int) - expected).mean() < 4


@pytest.mark.parametrize("name", ["a.webm", "a.gif", "a.mp4"])
@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_a_file_that_was_cut_short_is_damaged(mixed: ModuleType, tmp_path: Path, name: str, keep: float) -> None:
    options = {"movflags": "faststart"} if name == "a.mp4" else {}
    mixed.write_video(tmp_path / name, mixed.moving_square(48, 96, 96, 1, True), **options)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(keep * len(content))])
    assert status_of(tmp_path) == "damaged"


def test_a_last_frame_that_is_held_is_no_damage(mixed: ModuleType, tmp_path: Path) -> None:
    times = [0, 100, 200, 300, 400, 4000]
    mixed.write_video(tmp_path / "a.webm", mixed.moving_square(6, 64, 64, 1, True), times=times)
    facts = decoded(tmp_path)[1]
    assert facts.variable_rate and facts.fps == pytest.approx(5 / 4)
    from PIL import Image

    pictures = [Image.fromarray(frame) for frame in mixed.moving_square(6, 64, 64, 1, True)]
    other = tmp_path / "other"
    other.mkdir()
    pictures[0].save(other / "a.gif", save_all=True, append_images=pictures[1:], duration=[100] * 5 + [3000])
    (tmp_path / "a.webm").unlink()
    assert decoded(other)[1].frames == 6


def test_frames_of_different_sizes_are_named(mixed: ModuleType, tmp_path: Path) -> None:
    mixed.write_frames(tmp_path / "shot", mixed.moving_square(3, 16, 16, 1, True))
    mixed.write_frames(tmp_path / "other", mixed.moving_square(1, 16, 24, 1, True))
    (tmp_path / "other/frame_0.png").rename(tmp_path / "shot/frame_3.png")
    (tmp_path / "other").rmdir()
    assert status_of(tmp_path) == "mixed sizes"


def test_a_playlist_opens_no_other_file(mixed: ModuleType, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    mixed.write_video(elsewhere / "secret.mp4", mixed.moving_square(4, 32, 32, 1, True))
    clips = tmp_path / "clips"
    clips.mkdir()
    secret = (elsewhere / "secret.mp4").resolve()
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXTINF:1,", f"file://{secret}", "#EXT-X-ENDLIST"]
    (clips / "a.mp4").write_text("\n".join(lines))
    assert status_of(clips) == "damaged"
    (clips / "a.mp4").write_text(f"ffconcat version 1.0\nfile {secret}\n")
    assert status_of(clips) == "damaged"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipes_and_links_to_nothing_do_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    for clip in find_clips(tmp_path).clips:
        with pytest.raises(VideoError) as caught:
            digest_of(clip)
        assert caught.value.status == "not a file"


def test_a_folder_is_one_video_or_many(mixed: ModuleType, tmp_path: Path) -> None:
    clip = mixed.moving_square(2, 16, 16, 1, True)
    (tmp_path / "a/b").mkdir(parents=True)
    mixed.write_frames(tmp_path / "a/b/shot", clip)
    mixed.write_video(tmp_path / "a/one.GIF".replace("GIF", "gif"), clip)
    mixed.write_frames(tmp_path / "beside", clip)
    mixed.write_video(tmp_path / "beside/two.mp4", clip)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".hidden.mp4").write_bytes(b"")
    found = find_clips(tmp_path)
    assert [clip.name for clip in found.clips] == ["a/b/shot", "a/one.gif", "beside/two.mp4"]
    assert found.other_files == 3, "notes.txt and two pictures beside a video"
    assert [clip.name for clip in find_clips(tmp_path / "a/b/shot").clips] == ["."]
