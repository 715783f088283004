"""Facts about the pipelines this library knows by name; what it does not know, it finds out (`text_path`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn


@dataclass(frozen=True)
class Backbone:
    """What sets a family of pipelines apart."""

    name: str
    pipelines: tuple[str, ...]
    """Names of its diffusers classes."""
    prompt_length: int
    """Tokens that a prompt is padded or cut to by default."""
    attends_pads: bool
    """Whether the text encoder reads padding like words. The Wan family passes the mask and puts zeros in place of the
    padding afterwards; CogVideoX passes no mask and keeps it."""
    guidance: Literal["two passes", "one batch"]
    """How the prompt and the negative prompt meet: two passes of the transformer, or one batch of both."""
    text_attention: str
    """Name, inside each transformer block, of the attention in which video tokens read text."""
    joint: bool
    """Whether that attention also holds the video tokens themselves (text and video in one sequence)."""
    text_linears: tuple[str, ...]
    """Names, inside a transformer, of the linear layers that first read the text; `*` stands for a block's number."""
    text_embedder: str | None = None
    """What the text passes through before it reaches them, if anything."""
    blocks: str = "blocks"
    """Name of a transformer's list of blocks."""
    transformers: tuple[str, ...] = ("transformer",)
    """Components that denoise. Wan2.2-A14B has two, for high and for low noise; the second may be absent."""
    generation: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the call that the model's makers recommend."""


BACKBONES = (
    Backbone(
        name="Wan",
        pipelines=("WanPipeline", "WanImageToVideoPipeline", "WanVideoToVideoPipeline", "WanVACEPipeline"),
        prompt_length=512,
        attends_pads=False,
        guidance="two passes",
        text_attention="attn2",
        joint=False,
        text_linears=("blocks.*.attn2.to_k", "blocks.*.attn2.to_v"),
        text_embedder="condition_embedder.text_embedder",
        transformers=("transformer", "transformer_2"),
        generation={"num_frames": 121, "height": 704, "width": 1280, "num_inference_steps": 50, "guidance_scale": 5.0},
    ),
    Backbone(
        name="CogVideoX",
        pipelines=(
            "CogVideoXPipeline",
            "CogVideoXImageToVideoPipeline",
            "CogVideoXVideoToVideoPipeline",
            "CogVideoXFunControlPipeline",
        ),
        prompt_length=226,
        attends_pads=True,
        guidance="one batch",
        text_attention="attn1",
        joint=True,
        text_linears=("patch_embed.text_proj",),
        blocks="transformer_blocks",
        generation={"num_frames": 49, "height": 480, "width": 720, "num_inference_steps": 50, "guidance_scale": 6.0},
    ),
)
"""The paper's two backbones."""


def denoisers(pipe: Any, backbone: Backbone) -> dict[str, nn.Module]:
    """The transformers that a pipeline has loaded, by name."""
    found = {name: getattr(pipe, name, None) for name in backbone.transformers}
    return {name: module for name, module in found.items() if isinstance(module, nn.Module)}


def cleaned(backbone: Backbone | None, prompt: str) -> str:
    """A prompt as the pipeline cleans it before it is tokenized (Wan mends Unicode and spaces)."""
    if backbone is None or backbone.name != "Wan":
        return prompt
    from diffusers.pipelines.wan.pipeline_wan import prompt_clean

    return prompt_clean(prompt)


def backbone_of(pipe: Any) -> Backbone | None:
    """The facts about a pipeline, by the name of its class or of a class it derives from; None if it is not known."""
    classes = [pipe] if isinstance(pipe, str) else [cls.__name__ for cls in type(pipe).__mro__]
    return next((backbone for backbone in BACKBONES if any(name in backbone.pipelines for name in classes)), None)
