"""`benchmarks/fit_figures.py` draws what a fit's own report says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import SMALLEST_FIT, make_eraser, make_pipe

from unseen.clear.fit import fit
from unseen.concept import Concept

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "fit_figures.py"


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fit_figures", BENCHMARK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.filterwarnings("ignore::unseen.errors.FitWarning")  # so small a fit seldom works; it searches all the same
def test_each_candidate_layer_is_a_line_of_the_one_and_each_part_of_the_cost_of_the_other(drawing: ModuleType) -> None:
    pipe: Any = make_pipe()
    eraser = fit(pipe, Concept("zeppelin"), config=SMALLEST_FIT, progress=False)
    drawn = drawing.figures(eraser)
    lines = {name: len(re.findall("<polyline", svg)) for name, svg in drawn.items()}
    assert lines == {"method-preferences.svg": len(eraser.report["layers"]), "method-costs.svg": 3}
    with pytest.raises(ValueError, match="has no search"):
        drawing.figures(make_eraser(pipe.tokenizer, pipe.text_encoder))
