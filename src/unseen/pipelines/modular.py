"""diffusers' modular pipelines, seen as pipelines with an `encode_prompt`.

A modular pipeline is a tree of blocks that hand a state on. One of them turns the prompt into embeddings; which inputs
and outputs it has, it says itself. `ModularText` runs that block for `encode_prompt`, and while it is entered the block
runs through `encode_prompt` in turn, so that whatever stands there stands in the pipeline's way.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import UnsupportedPipelineError

_HERE = "_unseen_text"


def is_modular(pipe: Any) -> bool:
    """Whether `pipe` is one of diffusers' modular pipelines, by the name of a class that it derives from."""
    return any(cls.__name__ == "ModularPipeline" for cls in type(pipe).__mro__)


def modular_text(pipe: Any) -> ModularText:
    """The text side of a modular pipeline; the same one while anything is attached to it.

    Raises:
        UnsupportedPipelineError: none of its blocks encodes prompts, or several do.
    """
    known = vars(pipe).get(_HERE)
    if known is not None:
        return known
    blocks = [block for block in _leaves(pipe._blocks) if _encodes(block)]
    if len(blocks) != 1:
        found = ", ".join(type(block).__name__ for block in blocks) or "none"
        raise UnsupportedPipelineError(
            f"expected one block that encodes prompts in {type(pipe).__name__}, found {found}. Build the pipeline from"
            " the blocks of one workflow: ModularPipeline(blocks, workflow=...)."
        )
    # Named like the pipeline, which is what messages are about.
    facts = {"__module__": __name__, "encode_prompt": _encode_prompt(blocks[0])}
    return type(type(pipe).__name__, (ModularText,), facts)(pipe, blocks[0])


class ModularText:
    """A modular pipeline with `encode_prompt`; everything else is the pipeline's own."""

    encode_prompt: Callable[..., Any]

    def __init__(self, pipe: Any, block: Any) -> None:
        self.pipe, self.block = pipe, block
        self._entered = 0
        self._classes = type(pipe), type(block)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("pipe", "block"):
            raise AttributeError(name)
        return getattr(self.pipe, name)

    @property
    def call_inputs(self) -> tuple[str, ...]:
        """Names of what the pipeline's call takes."""
        return tuple(self.pipe._blocks.input_names)

    @property
    def _guidance_scale(self) -> float | None:
        """That of the guider, which a modular pipeline has in place of an argument."""
        return getattr(getattr(self.pipe, "guider", None), "guidance_scale", None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._classes[0].__call__(self.pipe, *args, **kwargs)

    def run_block(self, options: dict[str, Any]) -> tuple:
        """What the block makes of `options`, in the order of its outputs."""
        from diffusers.modular_pipelines import PipelineState

        state = PipelineState()
        for name, value in options.items():
            state.set(name, value)
        self._classes[1].__call__(self.block, self.pipe, state)
        return tuple(state.get(name) for name in self.block.intermediate_output_names)

    def enter(self) -> Callable[[], None]:
        """Let the pipeline's call and its block run through this object; returns what undoes it."""
        if not self._entered:
            vars(self.pipe)[_HERE] = self
            self.pipe.__class__ = _subclass(self._classes[0], self._call)
            self.block.__class__ = _subclass(self._classes[1], self._call_block)
        self._entered += 1

        def leave() -> None:
            self._entered -= 1
            if not self._entered:
                vars(self.pipe).pop(_HERE, None)
                self.pipe.__class__, self.block.__class__ = self._classes

        return leave

    def _call(self, pipe: Any, *args: Any, **kwargs: Any) -> Any:
        if pipe is not self.pipe:  # a copy; its denoiser refuses what has not come by here
            return self._classes[0].__call__(pipe, *args, **kwargs)
        return self(*args, **kwargs)

    def _call_block(self, block: Any, components: Any, state: Any) -> Any:
        if components is not self.pipe:
            return self._classes[1].__call__(block, components, state)
        given = block.get_block_state(state)
        options = {name: getattr(given, name, None) for name in block.input_names}
        guided = any(map(_is_negative, block.intermediate_output_names))
        guided = guided and bool(getattr(components, "requires_unconditional_embeds", True))
        outputs = self.encode_prompt(**options, do_classifier_free_guidance=guided)
        for name, value in zip(block.intermediate_output_names, outputs, strict=True):
            setattr(given, name, value)
        block.set_block_state(state, given)
        return components, state


def _encode_prompt(block: Any) -> Callable[..., Any]:
    """`encode_prompt` with the block's own inputs as arguments."""

    def encode_prompt(self: ModularText, *args: Any, **kwargs: Any) -> tuple:
        call = signature.bind(self, *args, **kwargs)
        call.apply_defaults()
        options = dict(list(call.arguments.items())[1:])
        guided = options.pop("do_classifier_free_guidance")
        if not guided:  # the block may encode one all the same, which is then left out
            options |= {name: None for name in options if _is_negative(name)}
        made = zip(block.intermediate_output_names, self.run_block(options), strict=True)
        return tuple(value if guided or not _is_negative(name) else None for name, value in made)

    plain, named = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
    inputs = [param for param in block.inputs if param.name not in (None, "prompt")]
    parameters = [inspect.Parameter("self", plain), inspect.Parameter("prompt", plain, default=None)]
    parameters += [inspect.Parameter(param.name, named, default=param.default) for param in inputs]
    parameters.append(inspect.Parameter("do_classifier_free_guidance", named, default=True))
    signature = inspect.Signature(parameters)
    encode_prompt.__signature__ = signature  # type: ignore[attr-defined]
    return encode_prompt


def _subclass(cls: type, call: Callable[..., Any]) -> type:
    """A class like `cls` whose objects are called by `call(object, ...)`."""
    facts = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    return type(cls.__name__, (cls,), {**facts, "__call__": lambda self, *args, **kwargs: call(self, *args, **kwargs)})


def _leaves(block: Any) -> Iterator[Any]:
    """The blocks that do the work, below those that only put others in order."""
    inner = getattr(block, "sub_blocks", None)
    if not inner:
        yield block
    for one in (inner or {}).values():
        yield from _leaves(one)


def _encodes(block: Any) -> bool:
    components = [spec.name for spec in block.expected_components]
    outputs = [name for name in block.intermediate_output_names if name != "prompt"]  # as of one that rewrites prompts
    return "prompt" in block.input_names and any(n.startswith("text_encoder") for n in components) and bool(outputs)


def _is_negative(name: str) -> bool:
    return name.startswith("negative_")
