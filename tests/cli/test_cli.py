"""The command line says what is wrong in one sentence, and its help names everything there is."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unseen.cli import EVALUATIONS, TRAINERS, main


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that a failing command writes to standard error."""
    assert main(argv) == 2
    output = capsys.readouterr()
    assert output.err.count("\n") == 1 and output.err.startswith("unseen: "), output.err
    assert "Traceback" not in output.err
    return output.err


def test_an_unknown_concept_is_named_with_near_matches(capsys: pytest.CaptureFixture[str]) -> None:
    assert "french horn" in said(capsys, "demo", "Frenh horn").lower()


def test_two_different_concepts_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "one concept" in said(capsys, "demo", "church", "--concept", "tench")


def test_comparing_needs_an_eraser(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--eraser" in said(capsys, "generate", "a church", "--compare")


def test_a_folder_without_an_eraser_says_how_to_make_one(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "unseen fit" in said(capsys, "generate", "a church", "--eraser", str(tmp_path / "none"))


def test_a_damaged_eraser_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "unseen_eraser.json").write_text("{")
    (tmp_path / "unseen_eraser.safetensors").write_bytes(b"x")
    assert str(tmp_path) in said(capsys, "generate", "a church", "--eraser", str(tmp_path))


def test_a_bad_pair_file_is_named_with_its_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text("positive,negative\na church,a house\na church,\n")
    assert f"{path}, line 3" in said(capsys, "fit", "church", "--pairs", str(path))


def test_a_concept_that_cannot_be_fitted_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "differ" in said(capsys, "fit", "church", "--synonym", "Church")


def test_a_folder_without_a_pipeline_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "model_index.json" in said(capsys, "fit", "church", "--model", str(tmp_path))


def test_a_model_that_is_neither_folder_nor_hub_id_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "neither" in said(capsys, "plan", "--model", "no such thing")


@pytest.mark.parametrize("call", ["{", "[1]"])
def test_call_arguments_must_be_a_json_object(capsys: pytest.CaptureFixture[str], call: str) -> None:
    assert "--call" in said(capsys, "generate", "a church", "--call", call)


@pytest.mark.parametrize("argv", [["fit"], ["evaluate"], ["generate", "x", "--colour"], []])
def test_wrong_usage_exits_with_two(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ((), "demo fit prompts generate evaluate sweep ablate plan doctor train".split()),
        (("demo",), ["--concept", "--out", "--quick", "--seed"]),
        (
            ("fit",),
            [
                "--kind",
                "--synonym",
                "--replace-with",
                "--pairs",
                "--config",
                "--out",
                "--model",
                "--dtype",
                "--memory-budget",
                "--encoder",
            ],
        ),
        (("prompts",), ["--kind", "--synonym", "--use", "--pack", "--for", "--count", "--seed"]),
        (
            ("generate",),
            ["--eraser", "--strength", "--compare", "--call", "--offload", "--device", "--revision", "--audit"],
        ),
        (("evaluate",), [*EVALUATIONS, "--clips", "--model", "--split", "--config", "--concepts", "--quick"]),
        (("plan",), ["--model", "--dtype", "--memory-budget", "--tflops"]),
        (("sweep",), ["--clips", "--steps", "--concepts", "--results", "--quick"]),
    ],
)
def test_help_names_everything(capsys: pytest.CaptureFixture[str], command: tuple[str, ...], words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in words)


def test_the_prompts_of_a_fit_can_be_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prompts", "nudity", "--kind", "attribute", "--count", "12"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert sum("nudity" in line.split("  |  ")[0] for line in shown) == 12 and "microscope" not in shown[0]
    assert any(line.startswith("stays: ") for line in shown)
    assert main(["prompts", "celebrity", "--pack", "--for", "Ada Brandt", "--synonym", "Brandt"]) == 0
    assert "Ada Brandt  |  " in capsys.readouterr().out


def test_prompts_of_no_pack_and_no_use_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no pack 'nudism'" in said(capsys, "prompts", "nudism", "--pack")
    assert "must be one of" in said(capsys, "prompts", "hat", "--use", "worn")


def test_train_explains_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(part in shown for part in TRAINERS)


def test_a_console_that_lacks_a_sign_gets_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 20: a report on any console."""
    done = subprocess.run(
        [sys.executable, "-m", "unseen", "doctor"],
        capture_output=True, text=True, encoding="cp1252", timeout=300,
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
    )  # fmt: skip
    assert "Traceback" not in done.stderr and "charmap" not in done.stderr
    assert done.returncode == 0 and "transformers" in done.stdout
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(io.BytesIO(), encoding="cp1252", write_through=True))
    assert main(["fit", "Jan Řeka", "--kind", "style", "--model", "nowhere →"]) == 2
    shown = sys.stderr.buffer.getvalue().decode("cp1252")  # type: ignore[attr-defined]
    assert "neither" in shown and "nowhere ?" in shown and "--synonym" in shown


def test_the_module_runs_as_a_command() -> None:
    done = subprocess.run([sys.executable, "-m", "unseen", "--help"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and "evaluate" in done.stdout
