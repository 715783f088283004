"""Whose text the rows of a tensor are: a prompt's that the erasers have seen, or a negative prompt's in its place."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from ...errors import EraserBypassedError
from ..context.call import Checked, Denoising, denoising
from ..context.proofs import LEDGER, Proof, digests, tensors_in

_KEPT = 8  # tensors that are remembered as checked, in one call
EDITED, NEGATIVE, EITHER = "edited", "negative", "either"
"""Whose text a row is; somebody's negative prompt may be somebody else's harmless prompt."""


def check_text(component: str, given: Sequence[Any], wanted: Proof, key: object | None) -> None:
    """Raise `EraserBypassedError` unless a component may be given this text.

    `key` stands for its check; None where it passes text on and draws nothing.
    """
    state = denoising()
    kinds = [kind for value in given for kind in kinds_of(value, wanted, state, component)]
    if not kinds:
        raise EraserBypassedError(
            f"the {component} was called without text embeddings where the erasers look for them, so they cannot tell"
            " what it was asked for. Detach the erasers, or please report the pipeline."
        )
    if key is None:  # it passes text on, and draws nothing
        return
    alone = NEGATIVE in kinds and EDITED not in kinds
    # Where both lie in one batch, a pass with the negative prompt alone is no guidance either.
    if alone and (key not in state.after_prompt or component in state.order):
        raise EraserBypassedError(
            f"the {component} was given the negative prompt in place of the prompt, which the erasers leave alone."
            " Keep negative_prompt_embeds out of prompt_embeds, in callbacks too; in a loop of your own, let the prompt"
            " go first."
        )
    if NEGATIVE in kinds:
        _require_guidance(component, state, alone)
    state.after_prompt.discard(key)
    if EDITED in kinds or EITHER in kinds:
        state.after_prompt.add(key)


def _require_guidance(component: str, state: Denoising, alone: bool) -> None:
    """Refuse guidance that leads to the negative prompt instead of away from it."""
    pipe = None if state.pipe is None else state.pipe()
    if pipe is None or "true_cfg_scale" in inspect.signature(type(pipe).__call__).parameters:
        return  # with a `true_cfg_scale` guidance is decided by it when the call begins
    scales = {name: getattr(pipe, f"_{name}", None) for name in ("guidance_scale", "guidance_scale_2")}
    for name, scale in scales.items():
        # Z-Image counts from 0, prompt + scale · (prompt − negative prompt), and says so.
        if name == "guidance_scale" and getattr(pipe, "do_classifier_free_guidance", False) is True:
            continue
        if isinstance(scale, int | float) and (scale < 1 or (alone and scale == 1 and name == "guidance_scale")):
            raise EraserBypassedError(
                f"the {component} was given a negative prompt while {name} is {scale:g}: below 1 the negative prompt,"
                " which the erasers leave alone, is what is drawn. Raise it, or leave the negative prompt out."
            )


def kinds_of(value: Any, wanted: Proof, state: Denoising, component: str) -> list[str]:
    """By row (a prompt, or one of several in a list) whether it is erased, or a negative prompt."""
    if isinstance(value, Tensor):
        kinds = list(_row_kinds(value, wanted, state, component))
    else:  # one tensor [tokens, d] per prompt, or pyramids of them
        parts = [_row_kinds(tensor, wanted, state, component) for tensor in tensors_in(value)]
        kinds = [next((k for k in (NEGATIVE, EDITED, EITHER) if k in part), "") for part in parts]
    negative, edited = kinds.count(NEGATIVE), kinds.count(EDITED) + kinds.count(EITHER)
    if EDITED in kinds and negative > edited:
        raise EraserBypassedError(
            f"the {component} was given {negative} negative prompts beside {edited} prompts; guidance has one for each."
            " Keep negative_prompt_embeds out of prompt_embeds, in callbacks too."
        )
    if (
        component
        and {NEGATIVE, EDITED} <= set(kinds)
        and not _in_order(kinds, state.order.setdefault(component, kinds))
    ):
        raise EraserBypassedError(
            f"in the middle of a clip the {component} was given prompts and negative prompts in another order than"
            " before, so the negative prompt, which the erasers leave alone, would be drawn. Keep"
            " negative_prompt_embeds out of prompt_embeds, in callbacks too."
        )
    return kinds


def _in_order(kinds: list[str], before: list[str]) -> bool:
    """Whether prompts and negative prompts lie in a batch as they did in the first of the clip."""
    if len(kinds) == len(before):
        return kinds == before
    first, second = (
        [kind for kind, _ in groupby(k for k in one if k in (NEGATIVE, EDITED))] for one in (kinds, before)
    )
    return first == second


def _row_kinds(tensor: Tensor, wanted: Proof, state: Denoising, component: str) -> tuple[str, ...]:
    for entry in state.checked:
        if entry.tensor is tensor and _as_checked(entry, state):
            return entry.kinds
    kinds = tuple(_looked_up(tensor, wanted, state, component))
    version = None if tensor.is_inference() else tensor._version
    entry = Checked(tensor, tensor.detach().clone(), version, kinds)
    state.checked[:] = [*(e for e in state.checked if e.tensor is not tensor), entry][-_KEPT:]
    return kinds


def _as_checked(entry: Checked, state: Denoising) -> bool:
    """Whether a tensor still holds what it held; writing into its data or its storage leaves no other trace.

    On an accelerator nothing waits for the answer: it is read when the clip is done, before anybody gets it.
    """
    tensor = entry.tensor
    if tensor.device != entry.copy.device or tensor.dtype != entry.copy.dtype or tensor.shape != entry.copy.shape:
        return False
    if tensor.device.type == "cpu":
        return torch.equal(tensor, entry.copy)
    if entry.version is None or entry.version != tensor._version:
        return False
    differs = (tensor != entry.copy).any()
    state.changed = differs if state.changed is None else state.changed | differs.to(state.changed.device)
    return True


def require_unchanged(state: Denoising) -> None:
    """At the end of a clip: raise `EraserBypassedError` if text was written into behind its version."""
    if state.changed is not None and bool(state.changed):
        raise EraserBypassedError(
            "text embeddings were written into while a clip was made, past what PyTorch keeps account of (.data), so"
            " the concept may be in it. Pass prompt=, or embeddings that handle.encode(prompts) made."
        )


def _looked_up(tensor: Tensor, wanted: Proof, state: Denoising, component: str) -> list[str]:
    if not tensor.is_floating_point() or not tensor.ndim or tensor.layout != torch.strided:
        raise EraserBypassedError(
            f"expected text embeddings of a real floating-point type in the {component}, got {tensor.dtype}, in which"
            " they cannot be told from others. Pass them as float32, bfloat16 or float16."
        )
    if not tensor.numel():
        return [""] * len(tensor)
    found = digests(tensor)
    rows: list[list[int]] = found.reshape(len(found) if found.ndim else 1, -1).tolist()
    known = LEDGER.proofs({digest for row in rows for digest in row})
    kinds = []
    for row in rows:
        missing = [d for d in set(row) if d and not (d in known and known[d].covers(wanted))]
        if any(digest not in state.negative for digest in missing):
            raise EraserBypassedError(_unknown(component, [known[d] for d in missing if d in known], wanted))
        # a row of zeros alone says nothing: an unconditional one, or padding
        both = any(row) and all(digest in state.negative for digest in row if digest)
        kinds.append(NEGATIVE if missing else EITHER if both else EDITED if any(row) else "")
    return kinds


def _unknown(component: str, near: Sequence[Proof], wanted: Proof) -> str:
    """Why text is refused, and what to do."""
    if near and wanted.rewritten and not any(proof.rewritten for proof in near):
        reason = "were made where paraphrases are not looked for"
    elif near:
        reason = "have passed other erasers, or the same at other strengths"
    else:
        reason = "did not pass the attached erasers"
    return (
        f"the {component} was given text embeddings that {reason}, so the concept may still be in them. Pass prompt=,"
        " or make them with handle.encode(prompts); a pipeline that shares components with the attached one has to be"
        " attached with it, unseen.attach([pipe, other], erasers); embeddings that you vouch for go through"
        " handle.trust(embeddings)."
    )


def digests_as_cast(value: Any) -> set[int]:
    """Digests of all vectors in `value`, in all types that they may be cast to."""
    return {
        digest
        for tensor in tensors_in(value)
        if tensor.is_floating_point() and tensor.ndim
        for dtype in (torch.float32, torch.bfloat16, torch.float16)
        for digest in digests(tensor.to(dtype)).flatten().unique().tolist()
    }


def negative_digests(outputs: Sequence[Any]) -> set[int]:
    """Digests of a negative prompt's embeddings, in all types that they may be cast to."""
    return digests_as_cast(list(outputs)) - {0}
