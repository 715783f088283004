"""What a video model expects to see when it has read a prompt and generated nothing yet. Ours, not the paper's.

One denoising step from pure noise gives the mean of all clips that the prompt may lead to. From the same noise it
depends on the prompt alone, and two prompts that lead to the same things are alike in it, whatever their words.

The step is an Euler step of our own: the transformer is called once, at the last timestep. Whether it predicts the
velocity, the noise or the clip itself, the clip that it expects is its prediction times a constant plus a constant, as
the noise is always the same. So the prediction is the preview, and no scheduler has a say in it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import partial
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..encoder.layers import eager
from .backbone import backbone_of, cleaned

PIPELINES = ("WanPipeline", "CogVideoXPipeline")
"""Classes that can be asked: those that draw from text alone."""
TOKENS = 16
"""Most tokens along a side of the one frame that is looked at; the step costs a fraction of one of a whole clip."""
_LAST = 999  # of a thousand timesteps: nothing but noise
_TEXTS = 32  # encoded at a time
_FRAMES = 16  # previewed at a time; together they are smaller than a clip
_SEED = 7_400_000  # any, as long as it stays: previews from different noise cannot be compared
_SAMPLED, _VALUES = 8, 4  # weights looked at, and values of each, to see whether they changed
_asking: ContextVar[bool] = ContextVar("asking", default=False)
_LOCKS: WeakKeyDictionary[nn.Module, RLock] = WeakKeyDictionary()
_LOCKS_LOCK = RLock()


def cannot_preview(pipe: Any) -> str | None:
    """Why `preview` cannot ask this pipeline, as a clause; None if it can."""
    if not any(cls.__name__ in PIPELINES for cls in type(pipe).__mro__):
        return f"{type(pipe).__name__} is none of the classes that can be previewed ({', '.join(PIPELINES)})"
    if not isinstance(getattr(pipe, "transformer", None), nn.Module):
        return "the pipeline was loaded without its transformer"
    return None


def can_preview(pipe: Any) -> bool:
    """Whether `preview` can ask this pipeline."""
    return cannot_preview(pipe) is None


@torch.no_grad()
def encode_texts(pipe: Any, texts: Sequence[str], length: int) -> list[Tensor]:
    """What the pipeline's class makes of each text, `[positions, d]` on the CPU, without padding that it zeroes."""
    backbone = backbone_of(pipe)
    assert backbone is not None
    rows: list[Tensor] = []
    for start in range(0, len(texts), _TEXTS):
        part = list(texts[start : start + _TEXTS])
        counts, longest = [length] * len(part), length
        if not backbone.attends_pads:  # what stands in the padding is not read, so it need not be made
            ids = pipe.tokenizer([cleaned(backbone, text) for text in part]).input_ids
            counts = [min(len(row), length) for row in ids]
            longest = max(counts)
        options = {"do_classifier_free_guidance": False, "max_sequence_length": longest}
        embeds = _encode_prompt(pipe)(pipe, part, **options)[0].cpu()
        rows += [row[:count].clone() for row, count in zip(embeds, counts, strict=True)]
    return rows


def _encode_prompt(pipe: Any) -> Callable:
    """`encode_prompt` as the pipeline's class has it: neither wrapped on the instance nor intercepted."""
    return next(
        found for cls in type(pipe).__mro__ if inspect.isfunction(found := vars(cls).get("encode_prompt", None))
    )


def default_length(pipe: Any) -> int:
    """Positions that `encode_prompt` pads to unless it is told otherwise."""
    return inspect.signature(_encode_prompt(pipe)).parameters["max_sequence_length"].default


def call_length(pipe: Any) -> int:
    """Positions that a call of the pipeline encodes at unless it is told otherwise: Wan's are not `encode_prompt`'s."""
    of_call = inspect.signature(type(pipe).__call__).parameters.get("max_sequence_length")
    return default_length(pipe) if of_call is None else of_call.default


def preview_length(pipe: Any, length: int) -> int:
    """Positions that texts are previewed at, when prompts are encoded at `length`.

    A CogVideoX transformer without rotary embeddings has positions for one length only.
    """
    config: Any = eager(pipe.transformer).config
    return length if getattr(config, "use_rotary_positional_embeddings", True) else int(config.max_text_seq_length)


@torch.no_grad()
def preview(pipe: Any, rows: Sequence[Tensor], length: int) -> Tensor:
    """What the transformer predicts for each of the encoded texts, `[texts, values]`, float32 on the CPU.

    `rows` are from `encode_texts`; zeros fill them up to `length`. Hooks on the transformer itself, a guard's for
    instance, are not asked; neither step caches nor compiled code take part, nor do they notice.
    """
    backbone, transformer = backbone_of(pipe), eager(pipe.transformer)
    assert backbone is not None
    noise_of, predict = _ADAPTERS[backbone.name]
    device, dtype = pipe._execution_device, pipe.transformer.dtype
    noise = noise_of(pipe).to(device, dtype)
    views = []
    with _standing_aside(transformer):
        for start in range(0, len(rows), _FRAMES):
            part = rows[start : start + _FRAMES]
            embeds = torch.stack([nn.functional.pad(row, (0, 0, 0, length - len(row))) for row in part])
            frames = predict(pipe, noise.expand(len(part), *noise.shape[1:]), embeds.to(device, dtype))
            views.append(frames.float().flatten(1).cpu())
        _make_room(transformer)
    return torch.cat(views)


def _noise(*shape: int) -> Tensor:
    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(_SEED))


def _wan_noise(pipe: Any) -> Tensor:
    config = pipe.transformer.config
    # a fifth of the positions that its rotary embedding knows: for Diorama the 6 × 6 tokens of its clips
    side = min(TOKENS, max(2, config.rope_max_seq_len // 5))
    frames, height, width = config.patch_size
    return _noise(config.in_channels, frames, side * height, side * width)


def _wan(pipe: Any, noise: Tensor, embeds: Tensor) -> Tensor:
    frames, height, width = pipe.transformer.config.patch_size
    tokens = noise[0, 0].numel() // (frames * height * width)
    shape = (len(noise), tokens) if getattr(pipe.config, "expand_timesteps", False) else (len(noise),)
    timestep = torch.full(shape, float(_LAST), device=noise.device)
    return eager(pipe.transformer).forward(noise, timestep, embeds, return_dict=False)[0]


def _cogvideox_noise(pipe: Any) -> Tensor:
    config = pipe.transformer.config
    side = config.patch_size * min(
        TOKENS, config.sample_height // config.patch_size, config.sample_width // config.patch_size
    )
    return _noise(getattr(config, "patch_size_t", None) or 1, config.in_channels, side, side)


def _cogvideox(pipe: Any, noise: Tensor, embeds: Tensor) -> Tensor:
    config, rotary = pipe.transformer.config, None
    if config.use_rotary_positional_embeddings:
        height, width = (side * pipe.vae_scale_factor_spatial for side in noise.shape[-2:])
        rotary = pipe._prepare_rotary_positional_embeddings(height, width, noise.shape[1], noise.device)
    timestep = torch.full((len(noise),), _LAST, device=noise.device)
    forward = eager(pipe.transformer).forward
    return forward(noise, embeds, timestep, image_rotary_emb=rotary, return_dict=False)[0]


_ADAPTERS: dict[str, tuple[Callable[[Any], Tensor], Callable[[Any, Tensor, Tensor], Tensor]]] = {
    "Wan": (_wan_noise, _wan),
    "CogVideoX": (_cogvideox_noise, _cogvideox),
}
"""By backbone: the noise of one frame, and the transformer's prediction from it."""


@contextmanager
def _standing_aside(transformer: nn.Module) -> Iterator[None]:
    """Step caches and compiled code stand aside for what runs in this context, and for nothing else.

    Both are kept where they are, in their order and with their state; a clip that another thread draws meanwhile goes
    through them as ever.
    """
    with _LOCKS_LOCK:
        lock = _LOCKS.setdefault(transformer, RLock())
    with lock, ExitStack() as undo:
        for module in transformer.modules():
            for reference, original in _cached(module):
                for name, plain in original.items():
                    _put(undo, reference, name, partial(_either, plain, getattr(reference, name)))
            if module._compiled_call_impl is not None:  # module.compile()
                _put(
                    undo,
                    module,
                    "_compiled_call_impl",
                    partial(_either, module._call_impl, module._compiled_call_impl),
                )
            if "_orig_mod" in module._modules:  # torch.compile(module)
                _put(undo, module, "forward", partial(_either, module._modules["_orig_mod"], module.forward))
        token = _asking.set(True)
        try:
            yield
        finally:
            _asking.reset(token)


def _either(plain: Any, other: Any, *args: Any, **kwargs: Any) -> Any:
    return (plain if _asking.get() else other)(*args, **kwargs)


def _put(undo: ExitStack, owner: Any, name: str, value: Any) -> None:
    undo.callback(object.__setattr__, owner, name, getattr(owner, name))
    object.__setattr__(owner, name, value)


def _cached(module: nn.Module) -> Iterator[tuple[Any, dict[str, Callable]]]:
    """The functions of diffusers' step caches on a module, with what to call in their stead."""
    registry = getattr(module, "_diffusers_hook", None)
    for hook in registry.hooks.values() if registry is not None else ():
        # not all of a cache's hooks say that they keep state; those for offloading and casting have to run
        if hook._is_stateful or "cache" in type(hook).__module__:
            forward = hook.fn_ref.original_forward or hook.fn_ref.forward
            yield (
                hook.fn_ref,
                {
                    "pre_forward": lambda module, *args, **kwargs: (args, kwargs),
                    "forward": forward,
                    "post_forward": lambda module, output: output,
                },
            )


def _make_room(transformer: nn.Module) -> None:
    """Under model offload, send the transformer back, as the text encoder that comes next would not."""
    hook: Any = getattr(transformer, "_hf_hook", None)
    for part in getattr(hook, "hooks", (hook,)):
        if type(part).__name__ == "CpuOffload":
            part.init_hook(transformer)


_Weights = tuple[Any, list[nn.Parameter], list[nn.Parameter], list[Any]]
_WEIGHTS: WeakKeyDictionary[nn.Module, _Weights] = WeakKeyDictionary()


def _stored(weight: Any) -> Tensor:
    """The numbers that a weight consists of; a packed one (torchao's) is a tensor made of tensors, and has no shape."""
    while hasattr(weight, "__tensor_flatten__"):
        weight = getattr(weight, weight.__tensor_flatten__()[0][0])
    return weight


@torch.no_grad()
def weights_state(module: nn.Module) -> tuple:
    """Something that differs once weights of `module` were changed, adapters loaded or scaled. Takes well under 1 ms.

    Every weight's version is compared, and a few values of some of them, since changes through `.data` leave no other
    trace; where offloading has taken the values away, versions alone.
    """
    module = eager(module)
    adapters = tuple(sorted(getattr(module, "peft_config", None) or ()))
    known = _WEIGHTS.get(module)
    if known is None or known[0] != adapters:
        layers: list[Any] = [m for m in module.modules() if isinstance(getattr(m, "scaling", None), dict)]
        weights = list(module.parameters())
        matrices = [weight for weight in weights if weight.ndim > 1]
        chosen = [*matrices[:: len(matrices) // _SAMPLED or 1], *matrices[-1:]]
        known = (adapters, [weight for weight in weights if not weight.is_inference()], chosen, layers)
        _WEIGHTS[module] = known
    _, weights, chosen, layers = known
    scales = tuple((tuple(m.scaling.items()), str(getattr(m, "active_adapters", ""))) for m in layers[:2])
    merged = tuple(str(getattr(m, "merged_adapters", "")) for m in layers[:2])
    versions = sum([weight._version for weight in weights])
    by_device: dict[torch.device, list[Tensor]] = {}  # one trip to the host for each
    for weight in chosen:
        if not weight.is_meta:
            flat = _stored(weight).detach().reshape(-1)
            found = flat[len(flat) // 2 : len(flat) // 2 + _VALUES].float()
            by_device.setdefault(weight.device, []).append(found)
    values = tuple(number for found in by_device.values() for number in torch.cat(found).tolist())
    return adapters, scales, merged, versions, values
