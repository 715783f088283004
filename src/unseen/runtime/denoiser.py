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
from itertools import groupby
from typing import Any, cast

import torch
from torch import Tensor, nn

from ..encoder.layers import eager
from ..errors import EraserBypassedError, UnseenError, UnsupportedPipelineError
from .call import Checked, Denoising, denoising
from .proofs import LEDGER, Proof, digests, tensors_in

_TEXT = re.compile(
    r"^(?!.*(image|mask|_lens|_ids|indices|control|layers)).*"
    r"(encoder_hidden_states|pooled|prompt|caption|cap_feats|text|txt|proj_embedding|global_hidden_states|conditioning$)"
)
"""Names under which diffusers' denoisers, and what stands before them, take text."""
_NESTED = {"added_cond_kwargs": ("text_embeds",)}
_STEP = ("timestep", "timesteps", "t", "timestep_ratio")
_KEPT = 8  # tensors that are remembered as checked, in one call
EDITED, NEGATIVE, EITHER = "edited", "negative", "either"
"""Whose text a row is; somebody's negative prompt may be somebody else's harmless prompt."""


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

    key = object()

    @torch.compiler.disable
    def check(module: nn.Module, args: tuple, kwargs: dict) -> None:
        proof = wanted()
        if module is inner and key in denoising().inside:
            return  # the compiled module around it was checked
        if proof is not None and proof.keys:  # a caller for whom nothing is erased may use anything
            try:
                _check(type(inner).__name__, _given(names, positions, args, kwargs), proof, None if passes_on else key)
            except UnseenError as error:
                refused(error)
                raise

    def pass_on(_: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        proof = wanted()
        if proof is None or not proof.keys:
            return
        kinds = [k for v in _given(names, positions, args, kwargs) for k in _kinds(v, proof, denoising(), "")]
        for tensor in tensors_in(output):
            if NEGATIVE not in kinds:
                LEDGER.record(tensor, proof)
            elif len(kinds) == len(tensor):
                of = torch.tensor([kind == NEGATIVE for kind in kinds], device=tensor.device)
                LEDGER.record(tensor[~of], proof)
                denoising().negative |= frozenset(digests_as_cast(tensor[of]))
            else:
                denoising().negative |= frozenset(digests_as_cast(tensor))

    compiled, around = inner._compiled_call_impl, module is not inner

    def checked(*args: Any, **kwargs: Any) -> Any:
        check(inner, args, kwargs)
        denoising().inside.add(key)
        try:
            return cast(Any, compiled)(*args, **kwargs)
        finally:
            denoising().inside.discard(key)

    def hook(_: nn.Module, args: tuple, kwargs: dict) -> None:
        # Where what is compiled is checked from outside, nothing in here may break its graph.
        if not (torch.compiler.is_compiling() and (around or compiled is not None)):
            check(inner, args, kwargs)

    def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:
        check(module, args, kwargs)
        denoising().inside.add(key)

    handles = [inner.register_forward_pre_hook(hook, with_kwargs=True)]
    if around:  # whoever holds the inner module of a compiled one comes past it too
        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        leave = torch.compiler.disable(lambda *args: denoising().inside.discard(key))
        handles.append(module.register_forward_hook(leave, always_call=True))
    if passes_on:
        handles.append(inner.register_forward_hook(pass_on, with_kwargs=True))
    if compiled is not None:  # compiled in place, perhaps before the hook was there: it runs without it
        checked.of_unseen = True  # type: ignore[attr-defined]
        inner._compiled_call_impl = checked

    still = weakref.ref(inner)  # who can undo it does not keep it alive

    def undo() -> None:
        for handle in handles:
            handle.remove()
        module = still()
        if module is not None and compiled is not None and module._compiled_call_impl is checked:
            module._compiled_call_impl = compiled

    return undo


def compiled_since(inner: nn.Module) -> bool:
    """Whether a checked module was compiled in place after its check was installed."""
    compiled = inner._compiled_call_impl
    return compiled is not None and not hasattr(compiled, "of_unseen")


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


def _check(component: str, given: Sequence[Any], wanted: Proof, key: object | None) -> None:
    state = denoising()
    kinds = [kind for value in given for kind in _kinds(value, wanted, state, component)]
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
        if isinstance(scale, int | float) and (scale < 1 or (alone and scale == 1 and name == "guidance_scale")):
            raise EraserBypassedError(
                f"the {component} was given a negative prompt while {name} is {scale:g}: below 1 the negative prompt,"
                " which the erasers leave alone, is what is drawn. Raise it, or leave the negative prompt out."
            )


def _kinds(value: Any, wanted: Proof, state: Denoising, component: str) -> list[str]:
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
