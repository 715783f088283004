"""What a video model expects to see when it has read a prompt and drawn nothing yet. Ours, not the paper's.

One denoising step from pure noise gives the mean of all clips that the prompt may lead to. From the same noise it
depends on the prompt alone, and two prompts that lead to the same things are alike in it, whatever their words.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .backbone import backbone_of, cleaned

PIPELINES = ("WanPipeline", "CogVideoXPipeline")
"""Classes that can be asked: those that draw from text alone."""
NOISES = 4
"""Noises that a view is averaged over."""
TOKENS = 16
"""Most tokens along a side of the one frame that is looked at; the step costs a fraction of one of a whole clip."""
_BATCH = 32
_SEED = 7_400_000  # any, as long as it stays: views from different noise cannot be compared


def has_first_sight(pipe: Any) -> bool:
    """Whether `first_sight` can ask this pipeline: its class is known, and its transformer is loaded."""
    known = any(cls.__name__ in PIPELINES for cls in type(pipe).__mro__)
    return known and getattr(pipe, "transformer", None) is not None


def first_sight(pipe: Any, prompts: Sequence[str], *, max_sequence_length: int | None = None) -> Tensor:
    """The latents of one frame after a single step without guidance, `[prompts, values]`, float32 on the CPU.

    The pipeline itself takes the step, on a copy of the object that shares its components, so that neither its state
    nor its scheduler changes. Its own `encode_prompt` is used, as its class has it. Hooks on the text encoder stay.
    """
    viewer = copy.copy(pipe)
    vars(viewer).pop("encode_prompt", None)  # a wrapper on the instance
    viewer.scheduler = type(pipe.scheduler).from_config(pipe.scheduler.config)
    viewer.maybe_free_model_hooks = lambda: None  # the pipeline is in the middle of a call, which will do that
    viewer.set_progress_bar_config(disable=True)
    length = {} if max_sequence_length is None else {"max_sequence_length": max_sequence_length}
    size = _side(pipe)
    views = []
    with torch.no_grad():
        for start in range(0, len(prompts), _BATCH):
            part = list(prompts[start : start + _BATCH])
            # CogVideoX takes noise of the embeddings' type, and the text encoder may be loaded in another one
            embeds = _encode(viewer, part, length).to(pipe.transformer.dtype)
            latents = viewer(
                prompt_embeds=embeds.repeat_interleave(NOISES, dim=0),
                height=size,
                width=size,
                num_frames=1,
                num_inference_steps=1,
                guidance_scale=1.0,
                generator=[torch.Generator().manual_seed(_SEED + turn) for _ in part for turn in range(NOISES)],
                output_type="latent",
                return_dict=False,
                **length,
            )[0]
            views.append(latents.float().unflatten(0, (len(part), NOISES)).mean(dim=1).flatten(1).cpu())
    return torch.cat(views)


def _encode(viewer: Any, prompts: list[str], length: dict[str, int]) -> Tensor:
    """The pipeline's embeddings, `[prompts, positions, d]`; without reading padding that is set to zero afterwards."""

    def encode(**options: int) -> Tensor:
        return viewer.encode_prompt(prompts, do_classifier_free_guidance=False, **options)[0]

    backbone = backbone_of(viewer)
    assert backbone is not None
    if backbone.attends_pads:
        return encode(**length)
    positions = length.get("max_sequence_length", _default_length(viewer))
    longest = max(len(ids) for ids in viewer.tokenizer([cleaned(backbone, p) for p in prompts]).input_ids)
    short = encode(max_sequence_length=min(longest, positions))
    return nn.functional.pad(short, (0, 0, 0, positions - short.shape[1]))


def _default_length(viewer: Any) -> int:
    return inspect.signature(viewer.encode_prompt).parameters["max_sequence_length"].default


def _side(pipe: Any) -> int:
    """Pixels along a side of the frame: at most `TOKENS` tokens, and no more than the model was made for."""
    backbone, config = backbone_of(pipe), pipe.transformer.config
    assert backbone is not None
    if backbone.name == "Wan":  # an eighth of the positions that its rotary embedding knows: 4 tokens for Diorama
        return min(TOKENS, config.rope_max_seq_len // 8) * config.patch_size[-1] * pipe.vae_scale_factor_spatial
    tokens = min(TOKENS, config.sample_height // config.patch_size, config.sample_width // config.patch_size)
    return tokens * config.patch_size * pipe.vae_scale_factor_spatial
