"""Imports every module of the core, where nothing but torch, transformers, safetensors and what these need is there.

python core_alone.py          # in an environment that holds the wheel and its dependencies
python core_alone.py --hide   # anywhere: what only extras bring is taken out of sight
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import re
import sys
from typing import Any

CORE = (
    *("errors", "names", "concept", "files", "hub", "prompts", "encoder", "pipelines"),
    *("clear", "runtime", "baselines"),
    *("cli", "doctor", "plan"),
)
"""What has to import; the commands too, which then say what to install."""


def brought_by(package: str) -> set[str]:
    """Names of a package and of all that it needs, as pip normalises them."""
    found, todo = set(), [package]
    while todo:
        name = re.sub(r"[-_.]+", "-", todo.pop()).lower()
        if name in found:
            continue
        found.add(name)
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        todo += [re.split(r"[^\w.-]", need)[0] for need in needs if "extra ==" not in need]
    return found


class Hiding:
    """A finder that finds nothing of some packages."""

    def __init__(self, finder: Any, hidden: set[str]):
        self.finder, self.hidden = finder, hidden

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        return None if name.partition(".")[0] in self.hidden else self.finder.find_spec(name, path, target)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)


def extras() -> set[str]:
    """The modules of every installed package that torch, transformers and safetensors do not bring."""
    allowed = {"unseen", "pip", "setuptools"}.union(*map(brought_by, ("torch", "transformers", "safetensors")))
    modules = importlib.metadata.packages_distributions()
    return {
        module
        for module, owners in modules.items()
        if not {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners} & allowed
    }


def hide_extras() -> list[str]:
    """Take them all out of sight."""
    hidden = extras()
    sys.meta_path[:] = [Hiding(finder, hidden) for finder in sys.meta_path]
    return sorted(hidden)


def main() -> None:
    """Import them all, and say how many."""
    hidden = hide_extras() if "--hide" in sys.argv else []
    import unseen

    count = 0
    for name in unseen.__all__:
        getattr(unseen, name)
    for part in CORE:
        module = importlib.import_module(f"unseen.{part}")
        count += 1
        for inner in pkgutil.walk_packages(getattr(module, "__path__", []), f"unseen.{part}."):
            importlib.import_module(inner.name)
            count += 1
    print(f"{count} modules imported; {len(hidden)} packages hidden")
    if "diffusers" in sys.modules:
        sys.exit("the core imported diffusers")


if __name__ == "__main__":
    main()
