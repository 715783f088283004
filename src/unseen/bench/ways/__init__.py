"""Ways past attached erasers, tried one by one: `python -m unseen.bench.ways`. One module per family."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unseen.bench.ways.way import Way

_OTHERS = {"__main__", "crafted", "families", "scene", "tiny", "way"}


def every_way() -> list[Way]:
    """All ways, family by family."""
    from unseen.bench.ways.way import registered

    for module in pkgutil.iter_modules(__path__):
        if module.name not in _OTHERS:
            importlib.import_module(f"{__name__}.{module.name}")
    return registered()
