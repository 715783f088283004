"""`unseen plan`: what a fit, a sweep and an evaluation need, from a pipeline's configuration files alone.

Networks are built on torch's meta device, where they have shapes but no memory, so that sizes are exact. Times are
rough: operations divided by what the device was measured, or is said, to do.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .clear.config import ClearConfig
from .clear.memory import PROGRAM, FitMemory, fit_memory, shape_of
from .encoder.activations import PromptForm
from .encoder.layers import num_blocks
from .pipelines import Backbone, backbone_of
from .pipelines.loading import fetch, model_index, unreadable_tokenizers

EVALUATION_CLIPS = 1200
"""300 clips about the concept and 300 about other things, each before and after."""
SWEEP_CLIPS = 40
"""Clips per layer and strength; what an edit leaves bit-identical is not drawn again, so this is the most."""
SWEEP_STRENGTHS = 3
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_EFFICIENCY = 0.4
"""Share of a device's matrix-product speed that whole networks reach."""
_CLIP_BYTES = 2_000_000


class Need(NamedTuple):
    """What one task takes."""

    task: str
    device: int
    """Bytes on the device that computes (the GPU, or main memory where there is none)."""
    ram: int
    """Bytes of main memory beside that."""
    disk: int
    """Bytes written."""
    operations: float
    """Floating-point operations."""

    def seconds(self, speed: float) -> float:
        """Roughly how long it takes where matrix products make `speed` operations a second."""
        return self.operations / (speed * _EFFICIENCY)


def network(source: str | Path, component: str, entry: Sequence[str], revision: str | None = None) -> Any:
    """The network of a component, on the meta device, in float32; `entry` is its library and class."""
    import torch

    library, name = entry

    config = json.loads(fetch(source, f"{component}/config.json", revision=revision).read_text(encoding="utf-8"))
    with torch.device("meta"):
        if library == "transformers":
            import transformers

            cls = getattr(transformers, name)
            return cls(cls.config_class.from_dict(config))
        import diffusers

        return getattr(diffusers, name).from_config(config)


def needs(
    source: str | Path,
    *,
    config: ClearConfig,
    dtype: str = "bfloat16",
    revision: str | None = None,
) -> tuple[list[Need], list[str]]:
    """Everything that can be said about a pipeline, and remarks on how it was found."""
    index = model_index(source, revision=revision)
    backbone = backbone_of(index["_class_name"])
    element = _BYTES[dtype]
    encoders = [name for name in index if name.startswith("text_encoder") and index[name] and index[name][0]]
    found: list[Need] = []
    reason = unreadable_tokenizers(source, index, revision=revision)
    remarks = [] if reason is None else [f"It cannot be loaded yet: {reason}."]
    weights = 0
    fit_operations = 0.0
    layers = 0
    for name in encoders:
        encoder = network(source, name, index[name], revision)
        form = PromptForm(backbone.prompt_length, backbone.attends_pads) if backbone else PromptForm()
        form = form if form.attend_pads else form._replace(length=min(form.length, config.prompts.max_length))
        shape = shape_of(encoder)
        shape |= {"encoder": shape["encoder"] // 4 * element, "element": element}
        layers = num_blocks(encoder)
        memory = fit_memory(config, form, layers=layers, **shape)
        fit_operations = _fit_operations(memory, config, sum(p.numel() for p in encoder.parameters()))
        weights += memory.encoder
        found.append(Need(f"fit at {name}", memory.peak() - PROGRAM, PROGRAM, _eraser(memory), fit_operations))
        if config.memory_budget is not None:
            group = memory.group_within(int(config.memory_budget * 1e9))
            if group < layers:
                remarks.append(
                    f"Within {config.memory_budget:g} GB the {layers} layers of {name} are trained {group} at a time;"
                    f" the fit then needs {memory.peak(group) / 1e9:.1f} GB."
                )
    if backbone is None:
        remarks.append(
            f"{index['_class_name']} is not known by name: padding is taken to be masked, and generation is left out."
        )
        return found, remarks
    clip, rest = _clip_operations(source, index, backbone, element, revision)
    sweep = (layers + 1) * SWEEP_STRENGTHS * SWEEP_CLIPS
    for task, clips, before in (("evaluation", EVALUATION_CLIPS, 0.0), ("sweep", sweep, fit_operations)):
        found.append(Need(task, weights + rest, 0, clips * _CLIP_BYTES, before + clips * clip))
    remarks.append(f"An evaluation draws {EVALUATION_CLIPS} clips, a sweep of one concept at most {sweep}.")
    return found, remarks


def _fit_operations(memory: FitMemory, config: ClearConfig, size: int) -> float:
    """Encoding the prompts, judging an edit at every layer in every round, and training the autoencoders."""
    per_prompt = memory.batch_tokens / min(config.prompts.batch_size, memory.prompts)
    judged = (config.search.rounds - config.search.warm_up) * memory.layers * config.prompts.held_out
    judged += 6 * config.prompts.held_out
    encoding = 2.0 * size * per_prompt * (memory.prompts + judged)
    steps = config.sae.steps * config.sae.batch_size * memory.layers
    return encoding + steps * 6.0 * 2 * memory.width * memory.features


def _eraser(memory: FitMemory) -> int:
    """Bytes of an eraser file with the usual number of features."""
    return 48 * 2 * memory.width * 4


def _clip_operations(
    source: str | Path, index: Mapping[str, Any], backbone: Backbone, element: int, revision: str | None
) -> tuple[float, int]:
    """Operations of one clip at the recommended settings, and bytes of transformers and VAE."""
    call = backbone.generation
    vae = network(source, "vae", index["vae"], revision)
    # CogVideoX keeps these as numbers of doublings, Wan as factors
    spatial = getattr(vae.config, "scale_factor_spatial", None) or 2 ** (len(vae.config.block_out_channels) - 1)
    temporal = getattr(vae.config, "scale_factor_temporal", None) or int(vae.config.temporal_compression_ratio)
    size = sum(p.numel() for p in vae.parameters())
    total = 0.0
    for name in backbone.transformers:
        if not (index.get(name) and index[name][0]):
            continue
        denoiser = network(source, name, index[name], revision)
        patch = denoiser.config.patch_size
        patch = patch if isinstance(patch, int) else patch[-1]
        tokens = ((call["num_frames"] - 1) // temporal + 1) * (call["height"] * call["width"] // (spatial * patch) ** 2)
        own = sum(p.numel() for p in denoiser.parameters())
        width = denoiser.config.num_attention_heads * denoiser.config.attention_head_dim
        attention = 4.0 * denoiser.config.num_layers * tokens**2 * width
        total = 2 * call["num_inference_steps"] * (2.0 * own * tokens + attention)  # guidance: twice
        size += own
    return total, size * element


def measured_speed(device: str | None = None) -> tuple[str, float]:
    """Name of the device and the operations a second of its matrix products, measured for a moment."""
    import torch

    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    side, kind = (8192, torch.bfloat16) if where.type == "cuda" else (1024, torch.float32)
    left = torch.ones(side, side, device=where, dtype=kind)
    (left @ left).sum().item()  # the first product also sets things up
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < 0.3:
        (left @ left).sum().item()
        count += 1
    name = torch.cuda.get_device_name(where) if where.type == "cuda" else "this CPU"
    return name, 2.0 * side**3 * count / (time.perf_counter() - started)


def report(found: list[Need], remarks: list[str], device: str, speed: float) -> str:
    """The plan as text."""
    lines = [f"{'':<26}{'device':>10}{'RAM':>10}{'disk':>10}{'time':>12}"]
    for need in found:
        sizes = "".join(f"{_size(count):>10}" for count in (need.device, need.ram, need.disk))
        lines.append(f"{need.task:<26}{sizes}{_duration(need.seconds(speed)):>12}")
    lines.append("")
    lines.append(f"Times are rough: {device} at {speed / 1e12:.3g} TFLOP/s, of which {_EFFICIENCY:.0%} are reached.")
    return "\n".join(lines + remarks)


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
