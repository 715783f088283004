"""What goes wrong around a program: it is killed, disks fill, files are damaged, memory runs out.

`fault` is one of them and how it is tried; the other modules are the faults, a kind of work each; `jobs` is what runs
in processes of its own. `python -m unseen.bench.faults` tries them all and prints how many were survived.
"""

from collections.abc import Iterator
from importlib import import_module

from unseen.bench.faults.fault import Fault, registered

ABOVE = ("unseen.integrations.faults",)
"""Faults of what the bench does not know, as it lies above it: they are found by name."""


def every_fault() -> Iterator[Fault]:
    """All faults, kind by kind."""
    from unseen.bench.faults import device, embeddings, prompts, saving, scoring, videos  # noqa: F401

    for name in ABOVE:
        import_module(name)
    for kind in registered():
        yield from kind.faults()
