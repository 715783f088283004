"""Which motion a clip shows, by image registration.

    python -m unseen.metrics.motion --check

Every hypothesis is a trajectory: the picture, or a part of it, shifts or grows steadily from the first frame to the
last. Frames are brought back along it and their median taken; a pixel is explained as well as it agrees with that
layer. The camera moved if one trajectory explains the whole picture; a subject moved if it takes two layers, one that
follows the trajectory and one that stays. `--check` measures the error on fresh renders.
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass

import cv2
import numpy as np

STILL = "still"
"""Nothing moves; the answer for a subject's motion where there is no subject."""
_SIDE = 32  # registration at this width: finer detail is noise
_CLIP = 40.0  # grey levels; a pixel that is this wrong is simply wrong
_SHIFTS = (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.5, 13.0)  # from first to last frame, at `_SIDE`
_GROWTHS = (0.12, 0.18, 0.22, 0.26, 0.3, 0.36)  # half the change of scale from first to last frame
_DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}

_EDGE = 5  # rows at the top and at the bottom in which a subject rarely is

# Chosen on renders of other seeds than `check` uses, where the groups lie apart.
_STILL_BELOW = 0.6
_ZOOM_BELOW = 2.8
_PAN_ABOVE = -0.3


@dataclass(frozen=True)
class Evidence:
    """How badly each hypothesis explains a clip: mean clipped difference in grey levels, smaller is better."""

    still: float
    zoom: float
    pan: float
    """Everything shifts left, at the speed that explains it best."""
    layered: dict[str, float]
    """By direction: a subject shifts before a background that stays."""
    left_again: float
    """The layered error for "left", but without the strips at the sides that a camera would uncover."""
    edge_stays: float
    """0 to 1: how much of what tells both layers apart in the outermost rows speaks for the one that stays."""

    @property
    def motion(self) -> str:
        """The motion that explains the clip."""
        direction = min(self.layered, key=lambda name: self.layered[name])
        best = self.layered[direction]
        if self.still < _STILL_BELOW:
            return STILL
        if self.zoom < _ZOOM_BELOW * best and self.zoom < self.still:
            return "zoom"  # one layer that grows does nearly as well as any two that shift
        gain = (self.still - self.pan) / max(self.still - best, 1e-6)  # of what two layers explain, one explains this
        if gain - 0.6 * np.log(self.pan / max(self.left_again, 1e-6)) - self.edge_stays > _PAN_ABOVE:
            return "pan"
        return direction


def _residual(frames: np.ndarray, matrices: list[np.ndarray]) -> np.ndarray:
    """The clipped difference of each pixel from the layer on this trajectory, `[t, h, w]`."""
    size = (frames.shape[2], frames.shape[1])
    flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
    back = [cv2.warpAffine(f, m, size, flags=flags, borderMode=border) for f, m in zip(frames, matrices, strict=True)]
    layer = np.median(np.stack(back), axis=0)
    forth = [cv2.warpAffine(layer, m, size, flags=cv2.INTER_LINEAR, borderMode=border) for m in matrices]
    return np.minimum(np.abs(np.stack(forth) - frames).mean(-1), _CLIP)


def evidence(clip: np.ndarray) -> Evidence:
    """Register a clip, uint8 `[t, h, w, 3]`, against every hypothesis."""
    if clip.ndim != 4 or clip.shape[-1] != 3 or len(clip) < 3 or clip.dtype != np.uint8:
        raise ValueError(f"expected one clip, uint8 [3 or more, h, w, 3], but got {clip.dtype} {list(clip.shape)}")
    chosen = np.unique(np.linspace(0, len(clip) - 1, 5).round().astype(int))
    time = 2 * chosen / (len(clip) - 1) - 1
    frames = np.stack([cv2.resize(clip[i], (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for i in chosen])
    frames = frames.astype(np.float32)
    stays = np.minimum(np.abs(np.median(frames, axis=0) - frames).mean(-1), _CLIP)
    layered: dict[str, float] = {}
    pan = left_again = np.inf
    edge_stays = 0.0
    for name, (dx, dy) in _DIRECTIONS.items():
        layered[name] = np.inf
        for shift in _SHIFTS:
            moves = _residual(
                frames, [np.asarray([[1, 0, dx * shift / 2 * t], [0, 1, dy * shift / 2 * t]]) for t in time]
            )
            both = np.minimum(moves, stays)
            rim = int(np.ceil(shift / 2))
            if name == "left":
                pan = min(pan, float(moves[:, :, rim:-rim].mean()))
            if both.mean() < layered[name]:
                layered[name] = float(both.mean())
                if name == "left":
                    left_again = float(both[:, :, rim:-rim].mean())
                    gap = np.delete(moves - stays, np.s_[_EDGE:-_EDGE], axis=1)[:, :, rim:-rim]
                    for_stays, for_moves = np.maximum(gap, 0).mean(), np.maximum(-gap, 0).mean()
                    edge_stays = float(for_stays / (for_stays + for_moves + 0.025))
    middle, rim, zoom = (_SIDE - 1) / 2, _SIDE // 8, np.inf
    for growth in _GROWTHS:
        scales = 1 + growth * time
        grows = _residual(frames, [np.asarray([[s, 0, middle * (1 - s)], [0, s, middle * (1 - s)]]) for s in scales])
        zoom = min(zoom, float(grows[:, rim:-rim, rim:-rim].mean()))
    return Evidence(float(stays.mean()), zoom, pan, layered, left_again, edge_stays)


def motion_of(clip: np.ndarray) -> str:
    """The motion of a clip, uint8 `[t, h, w, 3]`: one of left, right, up, down, pan, zoom, or "still"."""
    return evidence(clip).motion


def motions_of(clips: np.ndarray) -> list[str]:
    """The motion of each clip, uint8 `[n, t, h, w, 3]`."""
    return [motion_of(clip) for clip in clips]


def check(clips: int = 300, seed: int = 20_260_003) -> tuple[float, Counter[tuple[str, str]]]:
    """The share of fresh renders whose motion is read wrongly, and how often each (drawn, read) pair came up."""
    from unseen.diorama.world.render import render  # only here: the metric itself knows nothing of Diorama
    from unseen.diorama.world.sampling import sample_scene

    rng = np.random.default_rng(seed)
    seen: Counter[tuple[str, str]] = Counter()
    while seen.total() < clips:
        scene = sample_scene(rng, held_out=bool(rng.random() < 0.22))
        drawn = STILL if not scene.subjects and scene.motion in _DIRECTIONS else scene.motion
        seen[drawn, motion_of(render(scene, int(rng.integers(2**31))))] += 1
    return sum(n for (drawn, read), n in seen.items() if drawn != read) / clips, seen


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m unseen.metrics.motion", description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="measure the error on fresh renders")
    parser.add_argument("--clips", type=int, default=300)
    options = parser.parse_args(argv)
    if not options.check:
        parser.error("nothing to do; pass --check")
    cv2.setNumThreads(1)
    error, seen = check(options.clips)
    print(f"motion read wrongly on {100 * error:.1f} % of {options.clips} fresh renders")
    names = sorted({name for pair in seen for name in pair})
    print(f"{'drawn':>8} | " + " ".join(f"{name:>6}" for name in names) + "  (read)")
    for drawn in names:
        print(f"{drawn:>8} | " + " ".join(f"{seen[drawn, read]:6d}" for read in names))


if __name__ == "__main__":
    main()
