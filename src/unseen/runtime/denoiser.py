"""The second choke point: a denoiser takes no text that the erasers have not seen, whoever hands it over.

Every component that is given text embeddings is checked as it is called. A row may hold what came out of an edited pass
or, in guidance, the negative prompt of the same call; the negative prompt alone, twice in a row, is no guidance.
"""

from __future__ import annotations

import inspect
import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..encoder.layers import eager
from ..errors import EraserBypassedError, UnseenError, UnsupportedPipelineError
from .call import Denoising, denoising
from .proofs import LEDGER, Proof, digests, tensors_in

_TEXT = re.compile(
    r"^(?!.*(image|mask|_lens|_ids|indices|control|layers)).*"
    r"(encoder_hidden_states|pooled|prompt|caption|cap_feats|text|txt|proj_embedding|global_hidden_states|conditioning$)"
)
"""Names under which diffusers' denoisers, and what stands before them, take text."""
_NESTED = {"added_cond_kwargs": ("text_embeds",)}
_STEP = ("timestep", "timesteps", "t", "timestep_ratio")
_KEPT = 8  # tensors that are remembered as checked, in one call
EDITED, NEGATIVE = "edited", "negative"


def text_inputs(module: nn.Module) -> tuple[str, ...]:
    """Parameters of a component's forward pass that take text embeddings."""
    parameters = inspect.signature(_forward(module)).parameters
    found = [name for name in parameters if _TEXT.match(name)]
    return (*found, *(name for name in _NESTED if name in parameters))


def readers_of_text(pipe: Any, encoders: Sequence[nn.Module]) -> dict[str, nn.Module]:
    """The components of a pipeline that are given its embeddings, by name; the text encoders are none of them."""
    components = getattr(pipe, "components", {})
    return {
        name: module
        for name, module in components.items()
        if isinstance(module, nn.Module) and eager(module) not in encoders and text_inputs(module)
    }


def require_readers(pipe: Any, readers: Mapping[str, nn.Module]) -> None:
    """Raise `UnsupportedPipelineError` where a denoiser is there and it is not known how it takes text."""
    for name in ("transformer", "transformer_2", "unet", "prior", "decoder"):
        module = getattr(pipe, name, None)
        if isinstance(module, nn.Module) and name not in readers:
            raise UnsupportedPipelineError(
                f"{type(pipe).__name__}'s {name} ({type(module).__name__}) takes text in a way that this library does"
                " not know, so nothing could be refused there. Please report the pipeline."
            )


def install_check(
    module: nn.Module, wanted: Callable[[], Proof | None], refused: Callable[[UnseenError], None]
) -> Callable[[], None]:
    """Let `module` refuse text that has not passed what `wanted()` says now; returns the function that undoes it.

    `wanted` gives None when nothing is to be checked any more; `refused` is told of every refusal.
    """
    names, inner = text_inputs(module), eager(module)
    positions = list(inspect.signature(_forward(module)).parameters)
    passes_on = not any(name in positions for name in _STEP)  # a connector, not a denoiser

    @torch.compiler.disable
    def check(_: nn.Module, args: tuple, kwargs: dict) -> None:
        proof = wanted()
        if proof is not None:
            try:
                _check(type(inner).__name__, _given(names, positions, args, kwargs), proof)
            except UnseenError as error:
                refused(error)
                raise

    def pass_on(_: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        proof = wanted()
        if proof is not None and denoising().last_was_negative:
            denoising().negative |= frozenset(_digests_in(output))
        elif proof is not None:
            LEDGER.record(output, proof)

    # Whoever holds the inner module of a compiled one comes past it too.
    checked_at = (module,) if module is inner else (module, inner)
    handles = [m.register_forward_pre_hook(check, with_kwargs=True) for m in checked_at]
    if passes_on:
        handles.append(inner.register_forward_hook(pass_on, with_kwargs=True))
    compiled = inner._compiled_call_impl
    if compiled is not None:  # compiled in place, perhaps before the hook was there: it runs without it

        def checked(*args: Any, **kwargs: Any) -> Any:
            check(inner, args, kwargs)
            return compiled(*args, **kwargs)

        inner._compiled_call_impl = checked

    still = weakref.ref(inner)  # who can undo it does not keep it alive

    def undo() -> None:
        for handle in handles:
            handle.remove()
        module = still()
        if module is not None and compiled is not None and module._compiled_call_impl is checked:
            module._compiled_call_impl = compiled

    return undo


def _forward(module: nn.Module) -> Callable[..., Any]:
    """The forward pass as its class wrote it: other tools' wrappers on the instance hide the parameters."""
    return partial(type(eager(module)).forward, module)


def _given(names: Sequence[str], positions: Sequence[str], args: tuple, kwargs: Mapping[str, Any]) -> list[Any]:
    """The text that a component was called with."""
    by_name = {**dict(zip(positions, args, strict=False)), **kwargs}
    found = []
    for name in names:
        value = by_name.get(name)
        if name in _NESTED:
            value = [value.get(key) for key in _NESTED[name]] if isinstance(value, dict) else None
        if value is not None:
            found.append(value)
    return found


def _check(component: str, given: Sequence[Any], wanted: Proof) -> None:
    state = denoising()
    tensors = [tensor for value in given for tensor in tensors_in(value)]
    if not tensors:
        raise EraserBypassedError(
            f"the {component} was called without text embeddings where the erasers look for them, so they cannot tell"
            " what it was asked for. Detach the erasers, or please report the pipeline."
        )
    kinds = {_kind_of(tensor, wanted, state, component) for tensor in tensors}
    only_negative = NEGATIVE in kinds and EDITED not in kinds
    if only_negative and state.last_was_negative:
        raise EraserBypassedError(
            f"the {component} was given the negative prompt in place of the prompt, which the erasers leave alone."
            " Keep negative_prompt_embeds out of prompt_embeds, in callbacks too."
        )
    state.last_was_negative = only_negative


def _kind_of(tensor: Tensor, wanted: Proof, state: Denoising, component: str) -> str:
    """Whether `tensor` holds erased prompts (a negative one beside each at most) or negative prompts alone."""
    version = None if tensor.is_inference() else tensor._version
    for known, then, kind in state.checked:
        if known is tensor and then == version:
            return kind
    rows = _row_kinds(tensor, wanted, state, component)
    negative, edited = rows.count(NEGATIVE), rows.count(EDITED)
    if edited and negative > edited:
        raise EraserBypassedError(
            f"the {component} was given {negative} negative prompts beside {edited} prompts; guidance has one for each."
            " Keep negative_prompt_embeds out of prompt_embeds, in callbacks too."
        )
    kind = NEGATIVE if negative and not edited else EDITED if edited else ""
    if version is not None:
        state.checked[:] = [*state.checked[1 - _KEPT :], (tensor, version, kind)]
    return kind


def _row_kinds(tensor: Tensor, wanted: Proof, state: Denoising, component: str) -> list[str]:
    if not tensor.is_floating_point() or not tensor.ndim:
        raise EraserBypassedError(
            f"expected text embeddings of a real floating-point type in the {component}, got {tensor.dtype}, in which"
            " they cannot be told from others. Pass them as float32, bfloat16 or float16."
        )
    found = digests(tensor)
    rows: list[list[int]] = found.reshape(len(found) if found.ndim else 1, -1).tolist()
    known = LEDGER.proofs({digest for row in rows for digest in row})
    kinds = []
    for row in rows:
        missing = [d for d in set(row) if d and not (d in known and known[d].covers(wanted))]
        if any(digest not in state.negative for digest in missing):
            raise EraserBypassedError(_unknown(component, [known[d] for d in missing if d in known], wanted))
        # a row of zeros alone says nothing: an unconditional one, or padding
        kinds.append(NEGATIVE if missing else EDITED if any(row) else "")
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


def _digests_in(value: Any) -> set[int]:
    return {
        digest
        for tensor in tensors_in(value)
        if tensor.is_floating_point() and tensor.ndim
        for dtype in (torch.float32, torch.bfloat16, torch.float16)
        for digest in digests(tensor.to(dtype)).flatten().unique().tolist()
    }


def negative_digests(outputs: Sequence[Any]) -> set[int]:
    """Digests of a negative prompt's embeddings, in all types that they may be cast to."""
    return _digests_in(list(outputs)) - {0}
