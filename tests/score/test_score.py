"""`unseen score`: every file is scored or reported, nothing twice, and a killed run ends in the same table."""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("av")

from red import Impatient, Red

from unseen.cli import main
from unseen.cli.score import METRICS
from unseen.errors import DetectorError, PromptFileError, StoreError
from unseen.metrics.streaming import VIDEO_METRICS
from unseen.score import score_folder

HERE = Path(__file__).parent
EVERYTHING = ["flicker", "smoothness", "motion"]


def rows_of(out: Path) -> list[dict[str, str]]:
    """`scores.csv`, by column."""
    with (out / "scores.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def kept_in(out: Path) -> int:
    """Videos that `scores.sqlite` knows."""
    if not (out / "scores.sqlite").exists():
        return 0
    with closing(sqlite3.connect(out / "scores.sqlite")) as store:
        tables = {name for (name,) in store.execute("SELECT name FROM sqlite_master")}
        return store.execute("SELECT count(*) FROM videos").fetchone()[0] if "videos" in tables else 0


@pytest.fixture
def folder(mixed_folder: Path) -> Path:
    """The folder that the benchmark makes, smaller."""
    return mixed_folder


def test_every_file_is_scored_or_reported(folder: Path, mixed: ModuleType, tmp_path: Path) -> None:
    scores = score_folder(folder, detectors=[Red()], metrics=EVERYTHING, out=tmp_path / "out")
    by_file = {row.file: row.status for row in scores.rows}
    assert {name: by_file[name] for name in mixed.ODD} == mixed.ODD
    whole = {name: status for name, status in by_file.items() if name not in mixed.ODD}
    assert len(whole) == 12 and {*whole.values()} == {"scored"}
    assert scores.statuses == {"damaged": 5, "empty": 2, "no video": 1, "scored": 16}
    for row in scores.rows:
        assert (row.sentence == "") == (row.status == "scored")
        if row.status == "scored" and row.file in whole and row.class_name == "red":
            assert row.value == (int(row.file[5:8]) % 2 == 0), row.file
    told = {row["file"]: row for row in rows_of(tmp_path / "out")}
    assert told["variable.mp4"]["variable_rate"] == "1" and told["clip_000.mp4"]["variable_rate"] == "0"
    assert (told["odd.webm"]["width"], told["odd.webm"]["height"], told["odd.webm"]["frames"]) == ("51", "37", "9")
    assert float(told["clip_000.mp4"]["fps"]) == pytest.approx(8) and told["single.mp4"]["fps"] == ""
    red = next(row for row in rows_of(tmp_path / "out") if row["class_name"] == "red")
    assert (red["version"], red["threshold"], red["floor"], len(red["digest"])) == ("1", "0.05", "0.01", 64)
    summary = (tmp_path / "out/summary.md").read_text(encoding="utf-8")
    assert all(name in summary for name, status in mixed.ODD.items() if status != "scored")
    assert "1.00 %" in summary and "not measured" in summary and "[" in summary


def test_one_frame_has_shares_but_no_motion(folder: Path) -> None:
    scores = score_folder(folder, detectors=[Red()], metrics=EVERYTHING)
    values = {row.class_name or row.scorer: row.value for row in scores.rows if row.file == "single.mp4"}
    assert values["red"] == 1 and all(np.isnan(values[name]) for name in EVERYTHING)


def test_chunks_change_nothing_and_bound_what_is_held(folder: Path, tmp_path: Path) -> None:
    tables = []
    for chunk in (1, 7, 1000):
        detector = Red()
        score_folder(folder, detectors=[detector], metrics=EVERYTHING, out=tmp_path / str(chunk), chunk=chunk)
        assert max(detector.chunks) <= chunk
        tables.append((tmp_path / str(chunk) / "scores.csv").read_bytes())
    assert tables[0] == tables[1] == tables[2]


def test_what_was_scored_is_not_scored_again(folder: Path, tmp_path: Path) -> None:
    clips, out = tmp_path / "clips", tmp_path / "out"
    shutil.copytree(folder, clips)
    assert score_folder(clips, detectors=[Red()], out=out).scored_now == 24
    before = (out / "scores.csv").read_bytes()
    again = Red()
    assert score_folder(clips, detectors=[again], out=out).scored_now == 0 and again.chunks == []
    assert (out / "scores.csv").read_bytes() == before
    (clips / "clip_000.mp4").rename(clips / "renamed.mp4")
    assert score_folder(clips, detectors=[again], out=out).scored_now == 0
    other = Red()
    found = score_folder(clips, detectors=[other], metrics=["flicker"], out=out)
    assert found.scored_now == 16 and other.chunks == [], "a new metric decodes what can be read and asks no detector"
    assert score_folder(clips, detectors=[Red(threshold=0.5)], out=out).scored_now == 16
    shutil.copyfile(clips / "clip_001.mp4", clips / "renamed.mp4")
    changed = score_folder(clips, detectors=[again], out=out)
    assert changed.scored_now == 0 and any("same content" in note for note in changed.notes)
    assert {row.value for row in changed.rows if row.file == "renamed.mp4" and row.class_name == "blue"} == {1.0}


def test_a_killed_run_gives_the_same_table(folder: Path, tmp_path: Path) -> None:
    program = (
        "import sys, av, tqdm; from pathlib import Path; from red import Slow; from unseen.score import score_folder;"
        f"print('ready', flush=True); score_folder({str(folder)!r}, detectors=[Slow()], metrics={EVERYTHING!r},"
        "out=Path(sys.argv[1]))"
    )
    path = os.pathsep.join([str(HERE), *sys.path])

    def start(out: Path, slow: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": path, "SLOW": slow}
        command = [sys.executable, "-c", program, str(out)]
        running = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        assert running.stdout is not None and running.stdout.readline() == "ready\n"
        return running

    assert start(tmp_path / "whole", "0").wait(timeout=120) == 0
    moments, kept = random.Random(5), [0]
    for more in (0, 1, 3):  # files that are kept before the end comes, however fast the machine is
        running = start(tmp_path / "killed", "0.2")
        while kept_in(tmp_path / "killed") < kept[-1] + more:
            assert running.poll() is None
            time.sleep(0.02)
        time.sleep(moments.uniform(0, 0.4))
        running.send_signal(signal.SIGKILL)
        assert running.wait(timeout=60) == -signal.SIGKILL
        kept.append(kept_in(tmp_path / "killed"))
    assert kept == sorted(kept) and 4 <= kept[-1] < 24 and not (tmp_path / "killed/summary.md").exists()
    assert start(tmp_path / "killed", "0").wait(timeout=120) == 0
    for name in ("scores.csv", "summary.md"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_ctrl_c_says_what_is_kept(folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(HERE)
    command = ["score", str(folder), "--detector", "red:Impatient", "--out", str(tmp_path)]
    assert main(command) == 130
    said = capsys.readouterr().err
    assert "3 of 24 files are kept" in said and "scores.sqlite" in said
    with pytest.raises(KeyboardInterrupt, match="are kept"):
        score_folder(folder, detectors=[Impatient()], out=tmp_path / "other")


def test_memory_does_not_grow_with_the_video(mixed: ModuleType, tmp_path: Path) -> None:
    import tracemalloc

    peaks = []
    for frames in (40, 400):
        clips = tmp_path / str(frames)
        clips.mkdir()
        mixed.write_video(clips / "long.mp4", mixed.moving_square(frames, 64, 96, 1, True))
        tracemalloc.start()
        score_folder(clips, detectors=[Red()], metrics=EVERYTHING, chunk=8)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0], peaks


def table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_prompts_stand_beside_the_files_and_hold_clips_together(folder: Path, tmp_path: Path) -> None:
    clips = [path.name for path in sorted(folder.glob("clip_*"))]
    one = table(
        tmp_path / "one.csv", "video,prompt,seed", *(f'{name},"a horn, red",{i}' for i, name in enumerate(clips))
    )
    scores = score_folder(folder, detectors=[Red()], prompts=one, out=tmp_path / "one")
    row = next(row for row in scores.rows if row.file == clips[3])
    assert (row.prompt, row.seed) == ("a horn, red", "3")
    assert any("no prompt for 12" in note for note in scores.notes)
    alone = score_folder(folder, detectors=[Red()], prompts={name: name for name in clips})
    assert "over prompts" in alone.summary and "| red 1 | red |" in alone.summary
    stale = table(
        tmp_path / "stale.jsonl", '{"file": "./clip_000.mp4", "prompt": "a"}', '{"file": "x.mp4", "prompt": "b"}'
    )
    assert any("names 1 that are not in the folder: x.mp4" in n for n in score_folder(
        folder, metrics=["flicker"], prompts=stale).notes)  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["name,prompt", "a.mp4,a"], "header must name"),
        (["file,prompt", "a.mp4,"], "line 2"),
        (["file,prompt", ",a horn"], "name of a video"),
        (["file,prompt", "a.mp4,a", "a.mp4,b"], "has a prompt already"),
        (["file,prompt", "nowhere.mp4,a"], "names none of the 24 videos"),
        (["file,prompt"], "no prompts"),
        (["file;prompt", "a.mp4;b"], "semicolons"),
    ],
)
def test_a_table_of_prompts_that_does_not_fit_is_refused(folder: Path, tmp_path: Path, lines, words) -> None:
    with pytest.raises(PromptFileError, match=words):
        score_folder(folder, metrics=["flicker"], prompts=table(tmp_path / "p.csv", *lines))


def test_a_detector_may_refuse_a_video_and_leave_frames_undefined(mixed: ModuleType, tmp_path: Path) -> None:
    dark = mixed.moving_square(8, 64, 64, 1, True)
    dark[2:5] = 0
    mixed.write_frames(tmp_path / "dark", dark)
    mixed.write_video(tmp_path / "small.mp4", mixed.moving_square(8, 32, 32, 1, True))
    mixed.write_frames(tmp_path / "black", np.zeros((3, 64, 64, 3), np.uint8))
    scores = score_folder(tmp_path, detectors=[Red(smallest=48)])
    rows = {row.file: row for row in scores.rows if row.class_name == "red"}
    assert (rows["dark"].value, rows["dark"].undefined_frames, rows["dark"].hits) == (1.0, 3, 5)
    assert np.isnan(rows["black"].value or 0) and rows["black"].undefined_frames == 3
    assert rows["small.mp4"].status == "refused" and "48 pixels" in rows["small.mp4"].sentence
    assert scores.statuses == {"refused": 1, "scored": 2}
    assert "| red 1 | red | 0.05 | 100.0 % [" in scores.summary and "| 1 | 5 | 6 | 1.00 % |" in scores.summary


class Wrong(Red):
    """Gives one number too few."""

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        return super().__call__(frames)[1:]


class TooSure(Red):
    """Gives numbers that are no probabilities."""

    def __call__(self, frames: np.ndarray) -> np.ndarray:
        return super().__call__(frames) + 1


def test_videos_named_after_a_prompt_set_are_held_together_by_its_prompts(folder: Path, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    for name in ("a bus, still-0", "a bus, still-1", "0001"):
        shutil.copyfile(folder / "clip_000.mp4", clips / f"{name}.mp4")
    (tmp_path / "all.txt").write_text("a bus, still\na dog\n", encoding="utf-8")
    given = ["score", str(clips), "--metric", "flicker", "--out", str(tmp_path / "out")]
    assert main([*given, "--prompts", str(tmp_path / "all.txt"), "--format", "vbench"]) == 0
    assert {row["file"]: row["prompt"] for row in rows_of(tmp_path / "out")} == {
        "0001.mp4": "a dog", "a bus, still-0.mp4": "a bus, still", "a bus, still-1.mp4": "a bus, still",
    }  # fmt: skip
    (tmp_path / "other.txt").write_text("a cat\n", encoding="utf-8")
    with pytest.raises(PromptFileError, match=r"none of the 3 videos .* is named after one of its prompts"):
        score_folder(clips, metrics=["flicker"], prompts=tmp_path / "other.txt", format="vbench")


def test_what_is_no_detector_is_refused(folder: Path) -> None:
    for detector in (Wrong(), TooSure()):
        with pytest.raises(DetectorError, match="expected probabilities"):
            score_folder(folder, detectors=[detector])
    for wrong in (np.mean, "red"):
        with pytest.raises(DetectorError, match="expected a"):
            score_folder(folder, detectors=[wrong])  # type: ignore[list-item]
    with pytest.raises(DetectorError, match="every detector and metric once"):
        score_folder(folder, metrics=["flicker", "flicker"])


def test_a_store_that_is_none_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "scores.sqlite").write_bytes(b"not a database, but long enough to be looked at" * 30)
    with pytest.raises(StoreError, match="Move it away"):
        score_folder(folder, metrics=["flicker"], out=tmp_path)


def test_the_shell_has_three_exit_codes(folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    clips = tmp_path / "clips"
    clips.mkdir()
    shutil.copyfile(folder / "clip_000.mp4", clips / "a.mp4")
    assert main(["score", str(clips), "--metric", "flicker"]) == 0
    assert rows_of(tmp_path / "runs/score/clips")[0]["status"] == "scored"
    (clips / "b.mp4").write_bytes(b"")
    assert main(["score", str(clips), "--metric", "flicker"]) == 1
    capsys.readouterr()
    for wrong in (
        ["score", "nowhere", "--metric", "flicker"],
        ["score", str(clips)],
        ["score", str(clips), "--metric", "beauty"],
        ["score", str(clips), "--detector", "red:Green"],
        ["score", str(clips), "--detector", "no_such_module:Red"],
        ["score", str(clips), "--metric", "flicker", "--chunk", "0"],
    ):
        assert main(wrong) == 2
        said = capsys.readouterr().err
        assert said.startswith("unseen: ") and said.count("\n") == 1


def test_help_names_the_metrics_there_are() -> None:
    assert tuple(VIDEO_METRICS) == METRICS


def test_the_benchmark_runs_in_small(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.syspath_prepend(HERE.parents[1] / "benchmarks")
    import scoring

    scoring.main(["--clips", "16", "--size", "64", "--frames", "24"])
    said = capsys.readouterr().out
    assert "12 damaged or odd" in said and "times decoding alone" in said and "peak" in said
    for name in ("scoring", "measuring"):
        sys.modules.pop(name, None)
