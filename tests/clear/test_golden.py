"""What a fit finds is written down: whoever changes it raises `FIT_VERSION`, so that kept erasers are fitted anew.

Facts, not digests: processors round differently, and a key would change with them.

    python tests/clear/test_golden.py     writes golden.json anew
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from conftest import SMALL_FIT, make_encoder, make_tokenizer

import unseen
from unseen.clear.fit import FIT_VERSION

GOLDEN = Path(__file__).with_name("golden.json")
FAMILIES = ("bert", "t5", "umt5", "clip")
TOLERANCE = 0.2


def facts(family: str) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", unseen.FitWarning)
        eraser = unseen.fit((make_tokenizer(), make_encoder(family)), "zeppelin", config=SMALL_FIT, progress=False)
    return {
        "layer": eraser.layer,
        "costs": eraser.report["costs"]["total"],
        "fvu": eraser.report["fvu"],
        "mean_state": round(float(eraser.b_dec.norm()), 3),
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fit_finds_what_it_found_when_its_version_was_named(family: str) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert golden["version"] == FIT_VERSION, "the version was raised: write golden.json anew (see the docstring)"
    made, expected = facts(family), golden[family]
    for name, value in expected.items():
        assert made[name] == pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE), (
            f"{name} changed: raise unseen.clear.fit.FIT_VERSION and write golden.json anew"
        )


if __name__ == "__main__":
    written = {"version": FIT_VERSION, **{family: facts(family) for family in FAMILIES}}
    GOLDEN.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
