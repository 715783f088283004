"""What is shipped beside the code says what is true."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest
import yaml

import unseen

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_core_depends_on_three_packages() -> None:
    names = [requirement.split(">")[0] for requirement in PROJECT["dependencies"]]
    assert names == ["torch", "transformers", "safetensors"]


def test_one_version_is_said_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert unseen.__version__ == PROJECT["version"] == citation["version"]


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda path: path.name)
def test_workflows_and_forms_are_yaml(path: Path) -> None:
    assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict)


def test_continuous_integration_tries_all_pythons_and_versions() -> None:
    text = (ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8")
    matrix = yaml.safe_load(text)["jobs"]["tests"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13"] and matrix["versions"] == ["locked", "oldest", "newest"]
    for python in matrix["python"]:
        assert f"Programming Language :: Python :: {python}" in PROJECT["classifiers"]
    assert "core_alone.py" in text and "make test-oldest" in text


def test_what_make_docs_installs_is_the_extra() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert [one for one in PROJECT["optional-dependencies"]["docs"] if f'"{one}"' not in makefile] == []


def test_the_site_is_built_strictly(tmp_path: Path) -> None:
    pytest.importorskip("mkdocstrings", reason="pip install 'unseen[docs]'")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Erase" in (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "on_progress" in (tmp_path / "api" / "fitting.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_wheel_runs_from_an_empty_environment_offline(tmp_path: Path) -> None:
    """The wheel is all that is installed; what it depends on is lent by this environment, and nothing is fetched."""
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), "."]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", "--no-index", wheel], check=True, timeout=300)
    (site,) = (tmp_path / "empty/lib").glob("python3*/site-packages")
    lent = [path for path in sys.path if path.endswith("site-packages")]
    (site / "lent.pth").write_text("\n".join(lent) + "\n")
    run = {"cwd": tmp_path, "capture_output": True, "text": True, "timeout": 560}
    where = subprocess.run([python, "-c", "import unseen; print(unseen.__file__)"], **run)
    assert str(tmp_path) in where.stdout
    environment = {"PATH": str(python.parent), "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path), "OMP_NUM_THREADS": "2"}
    done = subprocess.run([tmp_path / "empty/bin/unseen", "demo", "--quick"], env=environment, **run)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs/demo/report.html").stat().st_size > 10_000
