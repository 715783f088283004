"""Whether a text encoder is still the one that erasers were attached to."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def watch(encoder: nn.Module) -> Callable[[], str | None]:
    """A function that says what became of `encoder` since now, as a sentence goes on after its name; None if nothing.

    It notices weights that were written into, modules that were exchanged (as LoRAs and quantizers do), and adapters
    that were scaled, switched or merged. It takes some 0.1 ms, touches no device, and keeps no weight alive, since
    offloading brings others.
    """
    weights = [(weakref.ref(weight), _version(weight)) for weight in encoder.parameters()]
    parts = [(weakref.ref(m), name, weakref.ref(part)) for m in encoder.modules() for name, part in m.named_children()]
    adapted = [(weakref.ref(m), _adapters(m)) for m in encoder.modules() if isinstance(m.__dict__.get("scaling"), dict)]

    def changed() -> str | None:
        if any((weight := ref()) is not None and _version(weight) != version for ref, version in weights):
            return "had its weights written into"
        if any((parent := ref()) is None or parent._modules.get(name) is not part() for ref, name, part in parts):
            return "had layers exchanged, by an adapter for instance"
        if any((module := ref()) is None or _adapters(module) != state for ref, state in adapted):
            return "had an adapter scaled, switched or merged"
        return None

    return changed


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _adapters(module: nn.Module) -> tuple[Any, ...]:
    """What counts of a layer with LoRAs, as peft keeps it."""
    state = module.__dict__
    names = ("_active_adapter", "_disable_adapters", "merged_adapters")
    return (*state["scaling"].items(), *(repr(state.get(name)) for name in names))
