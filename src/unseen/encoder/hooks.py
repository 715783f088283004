"""The one hook that reads and edits layer outputs: tuple or tensor, dtype and device are its business alone.

Hidden states are read with the very hook that edits them: `output_hidden_states` ends on a normalized state and may not
see an edit. What a running pass was given (its mask, its token ids) lives in a context variable, so that passes in
several threads know nothing of each other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any, NamedTuple, cast
from weakref import WeakSet

from torch import Tensor, nn

from ..errors import AlreadyAttachedError
from .calls import given_to
from .layers import EMBEDDING, find_blocks

Edit = Callable[[Tensor, Tensor | None], Tensor | None]
"""`(hidden [batch, tokens, d], valid [batch, tokens] bool or None) -> changed hidden, or None to leave it
untouched`."""


class EncoderPass(NamedTuple):
    """What a text encoder was given for the pass that it is making now, in this thread."""

    encoder: nn.Module
    ids: Tensor | None
    """Token ids, `[batch, tokens]`."""
    valid: Tensor | None
    """Tokens that are no masked padding, `[batch, tokens]`, bool; None where no mask was passed (CogVideoX attends to
    its padding, Wan does not)."""


GUARDED: WeakSet[nn.Module] = WeakSet()
"""Text encoders whose passes are edited for a pipeline."""
_COLLECTS_BEFORE_HOOKS = int(version("transformers").partition(".")[0]) < 5
_PASS: ContextVar[EncoderPass | None] = ContextVar("unseen_encoder_pass", default=None)


def current_pass(encoder: nn.Module) -> EncoderPass | None:
    """What `encoder` was given, while it runs; None when its layers are called on their own."""
    running = _PASS.get()
    return running if running is not None and running.encoder is encoder else None


def require_unedited(encoder: nn.Module) -> None:
    """Raise `AlreadyAttachedError` for an encoder from which a fit would learn erased states."""
    if encoder in GUARDED:
        raise AlreadyAttachedError(
            "expected a text encoder without erasers for a fit, got one that erasers are attached to: it would learn"
            " from what they leave. Detach them first."
        )


def rewrite_block_output(output: Any, edit: Callable[[Tensor], Tensor | None]) -> Any | None:
    """Apply `edit` to the hidden states inside whatever a block returned, and pack the result the same way.

    A block returns a tensor or a tuple that starts with one, depending on model and transformers version; a bare tensor
    handed back for a tuple is silently wrong on some batch sizes. The result has dtype and device of the hidden states
    that came (in fp16 models these are fp32, so the model's dtype must not be used). None means "leave as it is".
    """
    hidden = output[0] if isinstance(output, tuple) else output
    edited = edit(hidden)
    if edited is None:
        return None
    edited = edited.to(device=hidden.device, dtype=hidden.dtype)
    return (edited, *output[1:]) if isinstance(output, tuple) else edited


def _rewritten(output: Any, edit: Callable[[Tensor], Tensor | None]) -> Any | None:
    """What a block is to hand on instead of `output`; None for the same, which may have been changed in place.

    transformers 4 collects `hidden_states` before hooks run: from a wrapped `forward`, or between the blocks. What it
    has collected is the very tensor, so that is written into.
    """
    changed = rewrite_block_output(output, edit)
    if changed is None or not _COLLECTS_BEFORE_HOOKS:
        return changed
    hidden, new = (pair[0] if isinstance(pair, tuple) else pair for pair in (output, changed))
    hidden.copy_(new)
    return None


def install_edits(encoder: nn.Module, edits: Mapping[int, Edit]) -> Callable[[], None]:
    """Hook `edits` (block index or `EMBEDDING` → edit) into `encoder`; returns the function that removes every hook.

    An edit also receives the attention mask of the running pass.
    """
    blocks = find_blocks(encoder)
    own = frozenset(blocks)

    def begin(module: nn.Module, args: tuple, kwargs: dict) -> None:
        ids, mask = given_to(module, args, kwargs)
        _PASS.set(EncoderPass(module, ids, None if mask is None else mask > 0))

    def end(module: nn.Module, args: tuple, output: Any) -> None:
        _PASS.set(None)

    def with_mask(edit: Edit) -> Callable[[Tensor], Tensor | None]:
        def edit_with_mask(hidden: Tensor) -> Tensor | None:
            running = current_pass(encoder)
            valid = None if running is None else running.valid
            if valid is not None and valid.shape != hidden.shape[:2]:  # of a pass that an interrupt ended
                valid = None
            # With layers on several devices the mask lies where the first of them computes.
            return edit(hidden, None if valid is None else valid.to(hidden.device))

        return edit_with_mask

    def hook_for(edit: Edit) -> Callable:
        masked = with_mask(edit)
        # A deep copy of the encoder carries the hooks of the original, and nobody could take them off it.
        return lambda module, args, output: _rewritten(output, masked) if module in own else None

    def input_hook_for(edit: Edit) -> Callable:
        masked = with_mask(edit)

        def hook(module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
            given = args or (kwargs["hidden_states"],)
            changed = _rewritten(given, masked) if module in own else None
            if changed is None:
                return None
            return (changed, kwargs) if args else (args, {**kwargs, "hidden_states": changed[0]})

        return hook

    handles = [
        encoder.register_forward_pre_hook(begin, with_kwargs=True),
        encoder.register_forward_hook(end, always_call=True),
    ]
    for index, edit in edits.items():
        if index == EMBEDDING:
            handles.append(blocks[0].register_forward_pre_hook(input_hook_for(edit), with_kwargs=True))
        else:
            handles.append(blocks[index].register_forward_hook(hook_for(edit)))
            _before_capture(blocks[index], handles[-1].id)

    def remove() -> None:
        for handle in handles:
            handle.remove()

    return remove


def _before_capture(block: nn.Module, own: int) -> None:
    """Let the hook with this id run before those with which transformers 5 collects `hidden_states`.

    They are installed on first use and stay; a hook that came later would change what the next block is given, but not
    the state that is handed out. The order of all others stays.
    """
    hooks = cast("OrderedDict[int, Callable[..., Any]]", block._forward_hooks)
    keys = list(hooks)
    first = next((n for n, key in enumerate(keys) if _captures(hooks[key])), len(keys))
    for key in keys[first:]:
        if key != own:
            hooks.move_to_end(key)


def _captures(hook: Callable[..., Any]) -> bool:
    return getattr(hook, "__module__", "") == "transformers.utils.output_capturing"


@contextmanager
def edited(encoder: nn.Module, edits: Mapping[int, Edit]) -> Iterator[None]:
    """`install_edits` for the length of a `with` block."""
    remove = install_edits(encoder, edits)
    try:
        yield
    finally:
        remove()
