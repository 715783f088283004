"""Come between a pipeline and its transformers, for the methods that change what is predicted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from ..errors import UnsupportedPipelineError
from ..pipelines import Backbone, backbone_of, denoisers

Forward = Callable[..., Any]


def known_backbone(pipe: Any, what: str) -> Backbone:
    """The backbone of a pipeline whose transformer `what` has to know."""
    backbone = backbone_of(pipe)
    if backbone is None:
        raise UnsupportedPipelineError(
            f"{what} knows the transformers of Wan and CogVideoX, not those of {type(pipe).__name__}."
        )
    return backbone


@contextmanager
def prediction_through(
    pipe: Any, backbone: Backbone, around: Callable[[Forward, dict[str, Any]], Tensor]
) -> Iterator[None]:
    """While this is open, every call of a transformer gives `around(forward, arguments)`, a prediction like its own.

    `forward(**arguments)` is the transformer's own prediction, a tensor.
    """
    with ExitStack() as stack:
        for module in denoisers(pipe, backbone).values():
            stack.enter_context(_replaced(module, around))
        yield


@contextmanager
def _replaced(module: nn.Module, around: Callable[[Forward, dict[str, Any]], Tensor]) -> Iterator[None]:
    own, original = vars(module).get("forward"), module.forward

    def predict(**arguments: Any) -> Tensor:
        return original(**{**arguments, "return_dict": False})[0]

    def forward(**arguments: Any) -> Any:
        given = arguments.pop("return_dict", True)
        prediction = around(predict, arguments)
        if not given:
            return (prediction,)
        from diffusers.models.modeling_outputs import Transformer2DModelOutput

        return Transformer2DModelOutput(sample=prediction)

    active = [True]

    def standing(*args: Any, **arguments: Any) -> Any:
        return forward(*args, **arguments) if active[0] else original(*args, **arguments)

    module.forward = standing
    try:
        yield
    finally:
        active[0] = False  # somebody may have wrapped it since, and keeps it
        if vars(module).get("forward") is standing:
            if own is None:
                del module.forward
            else:
                module.forward = own


def text_attentions(transformer: nn.Module, backbone: Backbone) -> list[nn.Module]:
    """The attention of every block in which video tokens read text, first to last."""
    blocks: Any = transformer.get_submodule(backbone.blocks)
    return [block.get_submodule(backbone.text_attention) for block in blocks]
