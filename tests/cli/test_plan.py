"""`unseen plan`: sizes are those of the real networks, and a fit needs about what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tiny import make_cogvideox, make_text_part, make_wan

from unseen.clear.config import ClearConfig
from unseen.cli import main
from unseen.plan import needs


def size(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("make", [make_wan, make_cogvideox])
def test_sizes_are_those_of_the_real_networks(make, tmp_path):
    pipe = make()
    pipe.save_pretrained(tmp_path)
    found, remarks = needs(tmp_path, config=ClearConfig(), dtype="bfloat16")
    fit, evaluation, sweep = found
    assert fit.task == "fit at text_encoder" and [evaluation.task, sweep.task] == ["evaluation", "sweep"]
    whole = size(pipe.text_encoder) + size(pipe.transformer) + size(pipe.vae)
    assert evaluation.device == 2 * whole
    assert fit.device > 2 * size(pipe.text_encoder) and fit.operations > 0 < sweep.operations
    assert needs(tmp_path, config=ClearConfig(), dtype="float32")[0][1].device == 4 * whole
    assert len(remarks) == 1


def test_a_second_transformer_is_counted(tmp_path):
    pipe = make_wan(two_transformers=True)
    pipe.save_pretrained(tmp_path)
    whole = sum(size(part) for part in (pipe.text_encoder, pipe.transformer, pipe.transformer_2, pipe.vae))
    assert needs(tmp_path, config=ClearConfig(), dtype="float16")[0][1].device == 2 * whole


def test_an_unknown_pipeline_gets_a_plan_for_its_fits(tmp_path):
    make_text_part("FluxPipeline").save_pretrained(tmp_path)
    found, remarks = needs(tmp_path, config=ClearConfig())
    assert [need.task for need in found] == ["fit at text_encoder", "fit at text_encoder_2"]
    assert "not known by name" in remarks[0]


def test_the_command_prints_it(tmp_path, capsys):
    make_wan().save_pretrained(tmp_path)
    assert main(["plan", "--model", str(tmp_path), "--tflops", "100"]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("fit at text_encoder", "evaluation", "sweep", "100 TFLOP/s"))


@pytest.mark.slow
def test_a_fit_at_full_width_needs_what_the_plan_says():
    """T5-XXL's shapes, eight blocks in float32: the peak is between 60 and 100 % of the plan."""
    done = subprocess.run(
        [sys.executable, "full_width.py"], cwd=Path(__file__).parents[1], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    planned, peak, layer = map(int, done.stdout.split())
    assert 0 <= layer < 8
    assert 0.6 * planned <= peak <= planned, f"planned {planned / 1e9:.2f} GB, peak {peak / 1e9:.2f} GB"
