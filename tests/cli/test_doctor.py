"""The doctor knows what breaks, and says what to do."""

from __future__ import annotations

import importlib.util

import pytest

from unseen import doctor
from unseen.cli import main


@pytest.mark.parametrize(
    ("found", "verdict"),
    [(None, "problem"), ("4.40.0", "problem"), ("4.57.6", "ok"), ("5.0.0", "problem"), ("5.2.1", "problem"),
     ("5.3.0", "ok"), ("5.23.0.dev0", "ok")],
)  # fmt: skip
def test_broken_versions_of_transformers_are_known(found: str | None, verdict: str) -> None:
    finding = doctor.check_transformers(found)
    assert finding.verdict == verdict
    assert bool(finding.advice) == (verdict != "ok")


def test_what_is_missing_is_named() -> None:
    assert doctor.check_python((3, 9)).verdict == "problem"
    assert "no_such_module" in doctor.check_extra(("json", "no_such_module"), "diorama").detail
    assert doctor.check_diffusers("0.30.1").verdict == "problem" and doctor.check_diffusers(None).verdict == "note"


def test_a_cached_pipeline_is_told_from_a_missing_one(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    model = doctor.MODELS[0]
    assert doctor.check_cached(model).verdict == "note"
    repo = tmp_path / f"models--{model.replace('/', '--')}"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc")
    (repo / "snapshots" / "abc").mkdir(parents=True)
    (repo / "snapshots" / "abc" / "model_index.json").write_text("{}")
    assert doctor.check_cached(model).verdict == "ok"


def test_the_doctor_finds_this_installation_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert "transformers" in shown and "problem" not in shown


def test_the_doctor_exits_with_one_when_something_will_not_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "installed", lambda package: "5.1.0" if package == "transformers" else "1.0")
    assert main(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "UMT5" in shown and "To mend: pip install 'transformers>=5.3'" in shown


def test_whatever_is_not_well_comes_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = list(doctor.examine((), "diorama"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    monkeypatch.setattr(doctor, "installed", lambda package: None)
    findings = [*nothing, *doctor.examine(("cv2",), "diorama")]
    assert sum(finding.verdict != "ok" for finding in findings) >= 8
    assert [finding for finding in findings if finding.verdict != "ok" and not finding.advice] == []
