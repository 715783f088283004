"""What the table says of one pipeline: whether an eraser is fitted, attached, and does what it should there.

Every cell is tried on the pipeline itself. A cell is right, wrong, or has the reason why it does not apply.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import zoo
from torch import Tensor, nn

import unseen
from unseen.clear.config import ClearConfig
from unseen.encoder.layers import layer_name
from unseen.errors import FitWarning, UnguardedInputError
from unseen.pipelines import adapted, text_encoders, text_paths
from unseen.runtime.attach import unguarded_inputs

COLUMNS = ("fit", "attach", "rewrite", "generate", "detach", "offload", "batch", "pictures")
TARGET, UNRELATED = "a red zeppelin near the river", "a blue wolf near the river"
QUOTED = 'a red zeppelin near the river and "zeppelin"'
FIT = ClearConfig().with_options(
    {
        "prompts.pairs": 60, "prompts.held_out": 12, "prompts.retain": 60, "prompts.max_length": 32,
        "sae.num_features": 256, "sae.steps": 240, "sae.l1_coefficient": 0.03, "search.rounds": 3, "search.warm_up": 1,
        "edit.max_ratio": 0.5,
    }
)  # fmt: skip
"""Settings of a fit that takes a second or two."""


class Cell(NamedTuple):
    """One answer."""

    fine: bool | None
    """None: it does not apply here, for the reason in `text`."""
    text: str

    @property
    def shown(self) -> str:
        """As it stands in the page."""
        return f"{ {True: '✓', False: '✗', None: '–'}[self.fine] } {self.text}".rstrip()


def row(name: str) -> dict[str, Cell]:
    """All cells of a pipeline of the zoo, by column."""
    pipe = zoo.make(name)
    pictures = unguarded_inputs(adapted(pipe))
    cells: dict[str, Cell] = {}
    erasers = _tried(cells, "fit", lambda: _fit(pipe))
    if erasers is None:
        return {column: cells.get(column, Cell(False, "not tried")) for column in COLUMNS}
    cells["pictures"] = _refused(pipe, erasers, pictures)
    allowed = {"allow_image_input": bool(pictures)}
    plain = {prompt: zoo.draw(pipe, name, prompt) for prompt in (TARGET, UNRELATED, QUOTED)}
    hooks, kind = _hooks(pipe), type(pipe)
    erased: dict[str, Tensor] = {}
    alone = _batches(pipe, name)

    def attached() -> Cell:
        with unseen.attach(pipe, erasers, **allowed) as handle:
            cells["rewrite"] = _rewritten(handle)
            fired = {firing.encoder for firing in handle.explain(QUOTED)}
            _tried(cells, "generate", lambda: _generated(pipe, name, plain, erased))
            _tried(cells, "batch", lambda: Cell(None, alone) if alone else _batch(pipe, name, handle))
        missing = set(text_encoders(pipe)) - fired
        return Cell(not missing, f"silent at {', '.join(sorted(missing))}" if missing else "")

    _tried(cells, "attach", attached)
    same = all(torch.equal(zoo.draw(pipe, name, prompt), plain[prompt]) for prompt in plain)
    cells["detach"] = Cell(same and _hooks(pipe) == hooks and type(pipe) is kind, "")
    _tried(cells, "offload", lambda: _offloaded(pipe, name, erasers, allowed, erased, plain))
    return {column: cells.get(column, Cell(False, "not tried")) for column in COLUMNS}


def _tried(cells: dict[str, Cell], column: str, run: Callable[[], Any]) -> Any:
    """The result of `run`, which is or has the cell; an error is one too."""
    try:
        result = run()
    except Exception as error:  # whatever goes wrong belongs into the table
        cells[column] = Cell(False, f"{type(error).__name__}: {str(error).splitlines()[0][:160]}")
        return None
    cells[column], rest = result if isinstance(result, tuple) and not isinstance(result, Cell) else (result, None)
    return rest


def _fit(pipe: Any) -> tuple[Cell, list[Any]]:
    """One eraser at each text encoder; what the form of its prompts asks for is said."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)  # of random weights not much can be learned
        erasers = [unseen.fit(pipe, "zeppelin", config=FIT, encoder=n, progress=False) for n in text_encoders(pipe)]
    said = [layer_name(eraser.layer) for eraser in erasers]
    for path in text_paths(pipe):
        if path.form.whole is not None:
            said.append(f"states from before are handed on too: at most {layer_name(path.form.whole)}")
        if path.form.silent:
            said.append(f"{path.name} runs for quoted words only")
    return Cell(True, ", ".join(said)), erasers


def _refused(pipe: Any, erasers: list[Any], pictures: list[str]) -> Cell:
    if not pictures:
        return Cell(None, "takes none")
    try:
        unseen.attach(pipe, erasers).detach()
    except UnguardedInputError:
        return Cell(True, f"refused: {', '.join(pictures)}")
    return Cell(False, f"{', '.join(pictures)} not refused")


def _rewritten(handle: Any) -> Cell:
    said = handle.status().paraphrases
    if said != "on":
        return Cell(None, "names alone: " + said.removeprefix("off: ").partition(" (")[0])
    return Cell(handle.rewrite(TARGET) == TARGET, "")  # a name stays as it is


def _generated(pipe: Any, name: str, plain: dict[str, Tensor], erased: dict[str, Tensor]) -> Cell:
    """What was asked for changes, another prompt's clip stays as it was, bit for bit."""
    erased.update({prompt: zoo.draw(pipe, name, prompt) for prompt in plain})
    if not torch.equal(erased[UNRELATED], plain[UNRELATED]):
        return Cell(False, "another prompt's clip changed")
    same = [prompt for prompt in (TARGET, QUOTED) if torch.equal(erased[prompt], plain[prompt])]
    return Cell(not same, "the concept's clip stayed" if same else "")


def _batches(pipe: Any, name: str) -> str:
    """Why the pipeline itself, with nothing attached, takes no list of prompts; empty if it does."""
    try:
        zoo.draw(pipe, name, [TARGET, UNRELATED])
    except Exception as error:  # whatever the pipeline says
        return f"the pipeline takes none: {str(error).splitlines()[0].partition('.')[0]}"
    return ""


def _batch(pipe: Any, name: str, handle: Any) -> Cell:
    both = [TARGET, UNRELATED]
    during = zoo.draw(pipe, name, both)
    with handle.using({}):
        plain = zoo.draw(pipe, name, both)
    same = [torch.equal(a, b) for a, b in zip(during, plain, strict=True)]
    return Cell(same == [False, True], "" if same == [False, True] else f"unchanged: {same}")


def _offloaded(
    pipe: Any,
    name: str,
    erasers: list[Any],
    allowed: dict[str, bool],
    erased: dict[str, Tensor],
    plain: dict[str, Tensor],
) -> Cell:
    """With components that come and go the same clip as without."""
    said = _start_offload(pipe)
    with unseen.attach(pipe, erasers, **allowed):
        during = zoo.draw(pipe, name, TARGET)
    after = zoo.draw(pipe, name, TARGET)
    return Cell(torch.equal(during, erased[TARGET]) and torch.equal(after, plain[TARGET]), said)


def _start_offload(pipe: Any) -> str:
    """Switch model offload on; returns how, where it is not the pipeline's own."""
    if hasattr(pipe, "enable_model_cpu_offload"):
        pipe.enable_model_cpu_offload(device="cpu")
        return ""
    from diffusers.modular_pipelines.components_manager import custom_offload_with_hook

    # as `ComponentsManager.enable_auto_cpu_offload`, which first asks an accelerator how much memory it has left
    parts = [(name, part) for name, part in pipe.components.items() if isinstance(part, nn.Module)]
    hooks = [
        custom_offload_with_hook(name, part, torch.device("cpu", 0), offload_strategy=lambda hooks, **_: hooks)
        for name, part in parts
    ]
    for hook in hooks:
        for other in hooks:
            if other is not hook:
                hook.add_other_hook(other)
    return "by a ComponentsManager's hooks"


def _hooks(pipe: Any) -> list[int]:
    """How many hooks sit on each module, apart from those with which transformers collects states for good."""
    modules = [m for part in pipe.components.values() if isinstance(part, nn.Module) for m in part.modules()]
    return [
        len(m._forward_pre_hooks) + sum("output_capturing" not in h.__module__ for h in m._forward_hooks.values())
        for m in modules
    ]
