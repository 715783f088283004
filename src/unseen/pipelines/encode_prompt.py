"""Come between a pipeline and its `encode_prompt`: where erasers are guarded, and where most other methods act."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

Around = Callable[[Callable[..., Any], dict[str, Any]], Any]
"""`around(encode_prompt, options) -> outputs`, with every option by name."""


def wrap_encode_prompt(pipe: Any, around: Around) -> Callable[[], None]:
    """Let `pipe.encode_prompt` be `around`, on this instance only; returns what undoes it."""
    # Usually the class's method; where another tool wrapped it on the instance, that wrapper is put back.
    original, own = pipe.encode_prompt, vars(pipe).get("encode_prompt")
    signature = inspect.signature(original)
    collecting = [n for n, p in signature.parameters.items() if p.kind is inspect.Parameter.VAR_KEYWORD]

    @functools.wraps(original)
    def encode_prompt(*args: Any, **kwargs: Any) -> Any:
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        options = dict(call.arguments)
        for name in collecting:
            options |= options.pop(name)
        return around(original, options)

    def unwrap() -> None:
        del pipe.encode_prompt
        if own is not None:
            pipe.encode_prompt = own

    pipe.encode_prompt = encode_prompt
    return unwrap
