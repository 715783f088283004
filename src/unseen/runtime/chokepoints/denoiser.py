"""The second choke point: a denoiser takes no text that the erasers have not seen, whoever hands it over.

Every component that is given text embeddings is checked as it is called. A row may hold what came out of an edited pass
or, in guidance, the negative prompt of the same call; the negative prompt alone, without a prompt before it, is none.
"""

from __future__ import annotations

import inspect
import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from ...encoder.layers import eager
from ...errors import EraserBypassedError, UnseenError, UnsupportedPipelineError
from ..context.call import current_call, denoising
from ..context.proofs import LEDGER, Proof, tensors_in
from .rows import NEGATIVE, check_text, digests_as_cast, kinds_of

_TEXT = re.compile(
    r"^(?!.*(image|mask|_lens|_ids|indices|control|layers|rope)).*"
    r"(encoder_hidden_states|pooled|prompt|caption|cap_feats|text|txt|proj_embedding|global_hidden_states|conditioning$)"
)
"""Names under which diffusers' denoisers, and what stands before them, take text."""
_NESTED = {"added_cond_kwargs": ("text_embeds",)}
_STEP = ("timestep", "timesteps", "t", "timestep_ratio")


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
                check_text(
                    type(inner).__name__, _given(names, positions, args, kwargs), proof, None if passes_on else key
                )
            except UnseenError as error:
                refused(error)
                raise

    def pass_on(_: nn.Module, args: tuple, kwargs: dict, output: Any) -> None:
        proof = wanted()
        if proof is None or not proof.keys:
            return
        kinds = [k for v in _given(names, positions, args, kwargs) for k in kinds_of(v, proof, denoising(), "")]
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
            _set_inside(key, True)

    def entered(part: nn.Module, args: tuple) -> None:
        """Before a part of the module: did it come through the module's own call?"""
        if torch.compiler.is_compiling() or key in denoising().inside or current_call() is not None:
            return  # inside a call of `encode_prompt` it is a preview
        proof = wanted()
        if proof is not None and proof.keys:
            raise EraserBypassedError(
                f"the {type(inner).__name__} was run by its forward method, past the place where text is checked. Call"
                " the module itself, as pipelines do."
            )

    def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:
        check(module, args, kwargs)
        denoising().inside.add(key)

    leave = partial(_leave, key)
    handles = [inner.register_forward_pre_hook(hook, with_kwargs=True)]
    handles.append(inner.register_forward_hook(leave, always_call=True))
    if not passes_on:
        handles += [part.register_forward_pre_hook(entered) for part in inner.children()]
    if around:  # whoever holds the inner module of a compiled one comes past it too
        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
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


@torch.compiler.disable
def _set_inside(key: object, inside: bool) -> None:
    state = denoising().inside
    (state.add if inside else state.discard)(key)


def _leave(key: object, module: nn.Module, args: tuple, output: Any) -> None:
    if not torch.compiler.is_compiling():
        _set_inside(key, False)


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
