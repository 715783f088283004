"""What a search wants to reach: what the bare model makes of prompts that name the concept.

Two views of it. *States* are what the text encoder hands on, averaged over a prompt (Ring-A-Bell, Tsai et al. 2024,
asks the text encoder alone too). A *preview* is what the denoiser predicts from pure noise in one step; to come close
to the prediction for the named prompt is UnlearnDiffAtk's objective (Zhang et al. 2024) at one timestep.

Both are measured by how much of the way a prompt goes: 0 is where the prompt without the concept is, 1 where the
prompt with its name is, and whatever leads elsewhere counts against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from unseen.errors import UnseenError
from unseen.pipelines.preview import default_length, encode_texts, preview
from unseen.runtime.context.call import EncodeCall, during

See = Literal["states", "preview"]
_BATCH = 16


@dataclass(frozen=True)
class Aim:
    """Where prompts without the concept are, and where those with its name are."""

    see: See
    neutral: tuple[str, ...]
    start: Tensor
    """Of the neutral prompts on the bare model, `[prompts, values]`."""
    way: Tensor
    """From there to the named prompts, `[prompts, values]`."""
    length: int
    """Positions that prompts are encoded at."""

    def reached(self, seen: Tensor) -> Tensor:
        """How much of the way each goes, `[..., prompts]` for `seen [..., prompts, values]`; 1 is all of it."""
        off = (seen - self.start - self.way).square().sum(-1)
        return 1 - off / self.way.square().sum(-1)


def aim_at(pipe: Any, named: Sequence[str], neutral: Sequence[str], see: See, length: int | None = None) -> Aim:
    """The aim of a search, on a bare pipeline; `length` as the pipeline's calls encode, by default as it does itself.

    Raises:
        ValueError: a prompt is the same in both lists.
    """
    if same := [a for a, b in zip(named, neutral, strict=True) if a == b]:
        raise ValueError(f"expected a prompt that names the concept and one that does not, got {same[0]!r} twice.")
    length = default_length(pipe) if length is None else length
    seen = look(pipe, [*named, *neutral], see, length)
    return Aim(see, tuple(neutral), seen[len(named) :], seen[: len(named)] - seen[len(named) :], length)


@torch.no_grad()
def look(pipe: Any, texts: Sequence[str], see: See, length: int) -> Tensor:
    """What `pipe`, with all that is attached to it, makes of texts, `[texts, values]`; NaN where it refuses one."""
    rows: list[Tensor | None] = []
    for start in range(0, len(texts), _BATCH):
        rows += _encoded(pipe, list(texts[start : start + _BATCH]), length)
    some = next((row for row in rows if row is not None), None)
    if some is None:
        raise ValueError("expected a pipeline that encodes at least one of the prompts, but it refuses them all.")
    given = torch.stack([torch.full_like(some, torch.nan) if row is None else row for row in rows])
    if see == "states":
        return averaged(given)
    with asking():
        return preview(pipe, list(given), length)


def averaged(states: Tensor) -> Tensor:
    """The mean of a prompt's states `[..., tokens, d]`; positions that are all zeros are padding."""
    real = (states != 0).any(-1, keepdim=True)
    return (states * real).sum(-2) / real.sum(-2).clamp_min(1)


@contextmanager
def asking() -> Iterator[None]:
    """The denoiser and the text encoder may be asked, with every edit in place."""
    with during(EncodeCall(object())):
        yield


def _encoded(pipe: Any, texts: list[str], length: int) -> list[Tensor | None]:
    options = {"do_classifier_free_guidance": True, "max_sequence_length": length}  # some methods need guidance
    try:
        return [row.float().cpu() for row in pipe.encode_prompt(texts, **options)[0]]
    except UnseenError:
        if len(texts) == 1:
            return [None]
        return [row for text in texts for row in _encoded(pipe, [text], length)]


def climb(pipe: Any, aim: Aim, text: str, place: int, penalty: Callable[[Tensor], Tensor] | None) -> Tensor:
    """The gradient of `reached` by the embeddings of the tokens of `text`, `[tokens, d]`, special ones included.

    `text` stands for the neutral prompt number `place`. The gradient comes through the edited text encoder and, for
    previews, the denoiser; `penalty` takes something off for a preview `[values]`, a guard's own score for instance.
    """
    kept: list[Tensor] = []

    def catch(module: Any, args: Any, output: Tensor) -> Tensor | None:
        if kept:
            return None
        leaf = output.detach().clone().requires_grad_()
        kept.append(leaf)
        return leaf

    table = pipe.text_encoder.get_input_embeddings().weight  # some encoders look tokens up in a module that shares it
    found = (m for m in pipe.text_encoder.modules() if isinstance(m, nn.Embedding) and m.weight.shape == table.shape)
    hooks = [module.register_forward_hook(catch) for module in found]
    try:
        with torch.enable_grad(), asking():
            rows = encode_texts.__wrapped__(pipe, [text], aim.length)  # type: ignore[attr-defined]
            previewed = preview.__wrapped__  # type: ignore[attr-defined]
            seen = averaged(rows[0]) if aim.see == "states" else previewed(pipe, rows, aim.length)[0]
            goal = aim.reached(seen.expand_as(aim.start))[place]
            if penalty is not None:
                goal = goal - penalty(seen)
            [gradient] = torch.autograd.grad(goal, kept[0])
    finally:
        for hook in hooks:
            hook.remove()
    return gradient[0]
