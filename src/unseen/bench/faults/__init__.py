"""What goes wrong around a program: it is killed, disks fill, files are damaged, memory runs out.

`fault` is one of them and how it is tried; the other modules are the faults, a kind of work each; `jobs` is what runs
in processes of its own. `python -m unseen.bench.faults` tries them all and prints how many were survived.
"""

from collections.abc import Iterator

from unseen.bench.faults.fault import Fault, registered


def every_fault() -> Iterator[Fault]:
    """All faults, kind by kind."""
    from unseen.bench.faults import asking, device, embeddings, prompts, saving, scoring, serving, videos  # noqa: F401

    for kind in registered():
        yield from kind.faults()
