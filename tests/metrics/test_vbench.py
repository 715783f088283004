"""VBench's definitions give the values that follow on paper from networks whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unseen.errors import DamagedFileError, FramesError
from unseen.metrics import vbench
from unseen.metrics.vbench_files import read_results, write_folder


def grey(levels: list[int], height: int = 12, width: int = 12) -> np.ndarray:
    """Frames of one level each."""
    return np.asarray(levels, np.uint8)[:, None, None, None].repeat(height, 1).repeat(width, 2).repeat(3, 3)


def undone(pixels: Tensor) -> Tensor:
    """The red level, 0 to 1, of what CLIP reads."""
    return pixels[..., 0, :, :] * 0.26862954 + 0.48145466


class MeanRed(nn.Module):
    """Embeds a video or picture as (mean red, 1 − mean red)."""

    def forward(self, pixels: Tensor) -> Tensor:
        red = undone(pixels).mean(dim=(-1, -2))
        red = red.mean(dim=1) if red.ndim == 2 else red
        return torch.stack([red, 1 - red], dim=-1)


@pytest.mark.parametrize(
    ("frames", "chosen"),
    [
        (8, [0, 1, 2, 3, 4, 5, 6, 7]),
        (16, [0, 2, 4, 6, 8, 10, 12, 14]),  # of two in an interval the first: (0 + 1) // 2
        (24, [1, 4, 7, 10, 13, 16, 19, 22]),
        (9, [0, 1, 2, 3, 4, 5, 6, 7]),  # edges 0 1 2 3 4 5 6 7 9: the last interval is 7..8
        (3, [0, 1, 2, 2, 2, 2, 2, 2]),
        (1, [0] * 8),
    ],
)
def test_the_middle_of_eight_intervals(frames: int, chosen: list[int]) -> None:
    assert vbench.middle_frames(frames) == chosen


def test_overall_consistency_is_the_cosine_over_eight_middle_frames() -> None:
    asked: list[tuple[str, int]] = []

    def encode_text(prompt: str, tokens: int) -> Tensor:
        asked.append((prompt, tokens))
        return torch.tensor([[2.0, 0.0]])

    # frames 1, 4, 7, ... of 24 count: four of level 255 and four of level 0 there, anything elsewhere
    levels = [77] * 24
    for place, level in zip([1, 4, 7, 10, 13, 16, 19, 22], [255, 255, 255, 255, 0, 0, 0, 0], strict=True):
        levels[place] = level
    found = vbench.overall_consistency(grey(levels), "a horn", MeanRed(), encode_text, backbone="mean red")
    # mean red is 1/2, the embedding (1/2, 1/2), its cosine with (2, 0) is 1/√2
    assert found.value == pytest.approx(2**-0.5, abs=1e-6) and found.frames == 8
    assert asked == [("a horn", 32)]


def test_clip_sees_the_middle_and_levels_are_whole_for_consistency_only() -> None:
    wide = grey([0], 224, 448)
    wide[:, :, :112] = wide[:, :, 336:] = 255  # outside the centre crop of 224
    assert undone(vbench.clip_input(wide, whole_levels=False)).abs().max() < 1e-6
    edge = grey([0], 4, 4)
    edge[:, :, 2:] = 200
    whole, plain = (undone(vbench.clip_input(edge, whole_levels=each)) * 255 for each in (True, False))
    assert (whole - whole.round()).abs().max() < 1e-3 and whole.min() > -1e-3
    assert plain.min() < -1, "bicubic interpolation undershoots beside an edge"
    assert vbench.clip_input(grey([9], 37, 51), whole_levels=True).shape == (1, 3, 224, 224)


def test_imaging_quality_is_the_mean_of_all_frames_by_a_hundred() -> None:
    def rate(pixels: Tensor) -> Tensor:
        assert pixels.shape[0] == 1
        return 100 * pixels.mean()

    found = vbench.imaging_quality(grey([0, 51, 255]), rate, backbone="brightness")
    assert found.value == pytest.approx((0 + 0.2 + 1) / 3) and found.frames == 3
    assert found.name == "imaging_quality (brightness)"


@pytest.mark.parametrize(
    ("height", "width", "shape"), [(512, 300, (512, 300)), (1024, 601, (512, 300)), (700, 1030, (347, 512))]
)
def test_the_long_side_comes_down_to_512_rounded_down(height: int, width: int, shape: tuple[int, int]) -> None:
    assert vbench.imaging_input(grey([10], height, width)).shape[-2:] == shape


def test_aesthetic_quality_rates_unit_embeddings_by_ten_over_all_frames() -> None:
    head = nn.Linear(2, 1)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[10.0, 0.0]]))
        head.bias.fill_(0.5)
    # level 255 embeds as (1, 0), rated 10.5; level 0 as (0, 1), rated 0.5: the mean is 5.5, by ten 0.55
    found = vbench.aesthetic_quality(grey([255, 0] * 10), MeanRed(), head, backbone="mean red")
    assert found.value == pytest.approx(0.55, abs=1e-5) and found.frames == 20


def test_motion_smoothness_compares_odd_frames_with_what_even_ones_predict() -> None:
    def first(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return before

    # odd frames 1 and 3 differ from frames 0 and 2 by 51 and 0; frame 5 has no right neighbour
    found = vbench.motion_smoothness(grey([0, 51, 100, 100, 7, 200]), first, backbone="copy")
    assert found.value == pytest.approx((255 - 25.5) / 255) and found.frames == 2
    for short in ([5], [5, 9]):
        assert np.isnan(vbench.motion_smoothness(grey(short), first, backbone="copy").value)
    with pytest.raises(FramesError, match="in between"):
        vbench.motion_smoothness(grey([1, 2, 3]), lambda before, after: before[:2], backbone="copy")


def test_only_the_original_network_carries_the_name() -> None:
    def half(pixels: Tensor) -> Tensor:
        return torch.tensor(50.0)

    assert vbench.imaging_quality(grey([1]), half, backbone="MUSIQ-SPAQ").name == "vbench_imaging_quality"
    assert "vbench" not in vbench.imaging_quality(grey([1]), half, backbone="BRISQUE").name
    with pytest.raises(ValueError, match="name"):
        vbench.imaging_quality(grey([1]), half, backbone=" ")


@pytest.mark.parametrize(
    "frames", [np.zeros((0, 4, 4, 3), np.uint8), np.zeros((2, 4, 4, 3)), np.zeros((4, 4, 3), np.uint8)]
)
def test_what_is_no_video_is_refused(frames: np.ndarray) -> None:
    with pytest.raises(FramesError, match="uint8"):
        vbench.imaging_quality(frames, lambda pixels: pixels.mean(), backbone="brightness")


def test_a_folder_for_vbench_and_its_results_back(tmp_path: Path) -> None:
    for name in ("one.mp4", "two.gif", "three.webm"):
        (tmp_path / name).write_bytes(name.encode())
    asked = {tmp_path / "one.mp4": "a horn, “brass”", tmp_path / "two.gif": "a church"}
    originals = write_folder(tmp_path / "for", asked)
    prompts = json.loads((tmp_path / "for/prompts.json").read_text(encoding="utf-8"))
    assert {originals[path]: prompt for path, prompt in prompts.items()} == asked
    assert all(Path(path).read_bytes() == source.name.encode() for path, source in originals.items())
    with pytest.raises(FileExistsError, match="empty folder"):
        write_folder(tmp_path / "for", asked)
    with pytest.raises(FramesError, match=r"three\.webm"):
        write_folder(tmp_path / "other", {tmp_path / "three.webm": "a dog"})
    first, second = originals
    rows = [{"video_path": first, "video_results": 70.0}, {"video_path": second, "video_results": 50.0}]
    smooth = [{"video_path": first, "video_results": 0.9}]
    results = tmp_path / "x_eval_results.json"
    for total in (60.0, 0.6):  # older versions leave the total undivided
        results.write_text(json.dumps({"imaging_quality": [total, rows], "motion_smoothness": [0.9, smooth]}))
        found = read_results(results)
        assert found["imaging_quality"].score == pytest.approx(0.6)
        assert found["imaging_quality"].videos == {first: 0.7, second: 0.5}
        assert found["motion_smoothness"].videos == {first: 0.9}


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", "[" * 100_000, '{"imaging_quality": 3}', '{"a": [0.5, []]}', '{"a": [1, [{"video_path": 1}]]}'],
)
def test_results_that_are_none_are_refused_in_words(tmp_path: Path, content: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(DamagedFileError, match=r"results\.json"):
        read_results(path)
