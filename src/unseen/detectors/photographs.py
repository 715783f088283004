"""Photographs that come inside Python packages, on which detectors are tried where nothing can be downloaded."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from unseen.detectors.packages import file_in, release, require

EXTRA = "photographs"
PHOTOGRAPHS: Mapping[str, tuple[str, str]] = {
    **{
        name: ("skimage", f"data/{name}.{ending}")
        for ending, names in (
            ("png", "astronaut brick camera chelsea clock_motion coffee coins grass gravel moon motorcycle_left"),
            ("jpg", "hubble_deep_field retina rocket"),
        )
        for name in names.split()
    },
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "grace_hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}
"""The package and file of each. None shows nudity, or any of the ten objects of Imagenette."""
WITH_FACES = ("astronaut", "camera", "grace_hopper")
"""Two portraits, and a photographer from the side."""
PACKAGES = ("scikit-image", "scikit-learn", "matplotlib")


def photograph(name: str) -> np.ndarray:
    """One of `PHOTOGRAPHS`, uint8 `[H, W, 3]`.

    Raises:
        DetectorError: the package that it comes in is not installed.
    """
    image = require("PIL.Image", EXTRA)
    with image.open(file_in(*PHOTOGRAPHS[name], EXTRA)) as opened:
        return np.asarray(opened.convert("RGB"))


def provenance() -> str:
    """The packages that the photographs come from, with their versions."""
    return ", ".join(release(package) for package in PACKAGES)
