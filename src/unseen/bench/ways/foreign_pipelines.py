"""Pipelines that the library does not know by name: real classes, tiny, with an eraser at each text encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from typing import Any, NamedTuple

import diffusers
import torch
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3Model

import unseen
from unseen.bench.ways.families import make_text_part
from unseen.bench.ways.scene import NEGATIVE, TARGET, Finding, Scene, edited_by
from unseen.bench.ways.tiny import VOCABULARY, WIDTH, make_eraser, make_tokenizer
from unseen.bench.ways.way import way
from unseen.clear.eraser import ClearEraser
from unseen.pipelines import text_paths

_TEXT = ("encoder_hidden_states", "pooled_projections", "cap_feats", "text_bth")


class Family(NamedTuple):
    """How a family is built and called."""

    denoiser: Callable[[], nn.Module]
    call: dict[str, Any]
    embeds: Sequence[str | None]
    """Under which names the call takes what `encode_prompt` gives, in order."""
    guidance: dict[str, Any]
    """Arguments that switch guidance by a negative prompt on."""
    pipe: Callable[[], Any] | None = None


def _qwen() -> nn.Module:
    torch.manual_seed(5)
    config = Qwen3Config(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=4, head_dim=8,
    )  # fmt: skip
    encoder: Any = Qwen3Model(config)
    nn.init.normal_(encoder.get_input_embeddings().weight)
    return encoder.eval()


def _z_image() -> Any:
    tokenizer = make_tokenizer(model_max_length=64)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    return diffusers.ZImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=None,
        text_encoder=_qwen(),
        tokenizer=tokenizer,
        transformer=None,
    )


def _z_image_denoiser() -> nn.Module:
    transformer = diffusers.ZImageTransformer2DModel(
        all_patch_size=(2,), all_f_patch_size=(1,), in_channels=16, dim=32, n_layers=1, n_refiner_layers=1, n_heads=2,
        n_kv_heads=2, cap_feat_dim=WIDTH, axes_dims=[8, 4, 4], axes_lens=[256, 32, 32],
    )  # fmt: skip
    with torch.no_grad():
        transformer.x_pad_token.fill_(1)
        transformer.cap_pad_token.fill_(1)
    return transformer


def _ernie() -> Any:
    return diffusers.ErnieImagePipeline(
        transformer=None,
        vae=None,
        text_encoder=_qwen(),
        tokenizer=make_tokenizer(model_max_length=64),
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        pe=None,
        pe_tokenizer=None,
    )


_VIDEO = {"height": 32, "width": 32, "num_frames": 9, "num_inference_steps": 2, "output_type": "latent"}
_IMAGE = {"height": 32, "width": 32, "num_inference_steps": 2, "output_type": "latent"}
_MASKED = ("prompt_embeds", "prompt_attention_mask")
FAMILIES: dict[str, Family] = {
    "LTXPipeline": Family(
        lambda: diffusers.LTXVideoTransformer3DModel(
            in_channels=8, out_channels=8, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16,
            num_layers=1, caption_channels=WIDTH,
        ),
        {**_VIDEO, "max_sequence_length": 32}, _MASKED, {"guidance_scale": 3.0},
    ),
    "MochiPipeline": Family(
        lambda: diffusers.MochiTransformer3DModel(
            num_attention_heads=2, attention_head_dim=8, num_layers=2, pooled_projection_dim=16, in_channels=12,
            text_embed_dim=WIDTH, time_embed_dim=4,
        ),
        {**_VIDEO, "num_frames": 7, "max_sequence_length": 32}, _MASKED, {"guidance_scale": 3.0},
    ),
    "PixArtSigmaPipeline": Family(
        lambda: diffusers.PixArtTransformer2DModel(
            num_attention_heads=2, attention_head_dim=8, num_layers=1, cross_attention_dim=16, sample_size=4,
            caption_channels=WIDTH, use_additional_conditions=False, out_channels=8,
        ),
        {**_IMAGE, "use_resolution_binning": False, "clean_caption": False, "max_sequence_length": 32},
        _MASKED, {"guidance_scale": 3.0},
    ),
    "FluxPipeline": Family(
        lambda: diffusers.FluxTransformer2DModel(
            in_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
            joint_attention_dim=WIDTH, pooled_projection_dim=WIDTH, axes_dims_rope=(4, 4, 8),
        ),
        {**_IMAGE, "max_sequence_length": 32}, ("prompt_embeds", "pooled_prompt_embeds"), {"true_cfg_scale": 3.0},
    ),
    "StableDiffusion3Pipeline": Family(
        lambda: diffusers.SD3Transformer2DModel(
            sample_size=8, patch_size=1, in_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=2,
            joint_attention_dim=WIDTH, caption_projection_dim=16, pooled_projection_dim=32, out_channels=4,
        ),
        {**_IMAGE, "max_sequence_length": 32}, ("prompt_embeds", None, "pooled_prompt_embeds"),
        {"guidance_scale": 3.0},
    ),
    "HunyuanVideoPipeline": Family(
        lambda: diffusers.HunyuanVideoTransformer3DModel(
            in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=12, num_layers=1,
            num_single_layers=1, num_refiner_layers=1, patch_size=1, text_embed_dim=WIDTH,
            pooled_projection_dim=WIDTH, rope_axes_dim=(4, 4, 4),
        ),
        {**_VIDEO, "max_sequence_length": 32},
        ("prompt_embeds", "pooled_prompt_embeds", "prompt_attention_mask"), {"true_cfg_scale": 3.0},
    ),
    "ZImagePipeline": Family(
        _z_image_denoiser, {**_IMAGE, "max_sequence_length": 32}, ("prompt_embeds",), {"guidance_scale": 3.0}, _z_image
    ),
    "ErnieImagePipeline": Family(
        lambda: diffusers.ErnieImageTransformer2DModel(
            hidden_size=32, num_attention_heads=2, num_layers=1, ffn_hidden_size=32, in_channels=128,
            out_channels=128, text_in_dim=WIDTH, rope_axes_dim=(4, 4, 8),
        ),
        {**_IMAGE, "use_pe": False}, ("prompt_embeds",), {"guidance_scale": 3.0}, _ernie,
    ),
}  # fmt: skip


class Foreign(Scene):
    """A pipeline of another family with an eraser at each of its text encoders."""

    def __init__(self, name: str) -> None:
        family = FAMILIES[name]
        torch.manual_seed(0)
        pipe = family.pipe() if family.pipe is not None else make_text_part(name)
        pipe.register_modules(transformer=family.denoiser().eval())
        if name == "PixArtSigmaPipeline":
            pipe.scheduler = diffusers.DDIMScheduler()
        pipe.set_progress_bar_config(disable=True)
        self.family, self.erasers = family, _erasers(name, pipe)
        self.pipe, self.log, self.findings, self.expected = pipe, [], [], []
        self.one_batch = self.guided = False
        self.given: list[list[Tensor]] = []
        self._spy_on(pipe.transformer)
        self.plain_text = self._recorded(lambda: self.draw(TARGET))
        self.encoded_plain = self.encode(TARGET)
        with ExitStack() as stack:
            for path, eraser in zip(text_paths(pipe), self.erasers, strict=True):
                stack.enter_context(edited_by(path.encoder, eraser))
            self.erased_text = self._recorded(lambda: self.draw(TARGET))

    def _spy_on(self, module: Any) -> None:
        original = module.forward
        names = list(__import__("inspect").signature(original).parameters)

        def forward(*args: Any, **kwargs: Any) -> Any:
            by_name = {**dict(zip(names, args, strict=False)), **kwargs}
            self.given.append([t.detach().clone() for name in _TEXT for t in _tensors(by_name.get(name))])
            return original(*args, **kwargs)

        module.forward = forward

    def _recorded(self, run: Callable[[], Any]) -> list[list[Tensor]]:
        self.given.clear()
        run()
        return [list(one) for one in self.given]

    def draw(self, prompt: Any = None, guided: bool = False, **options: Any) -> None:
        """One picture or clip, without guidance by default."""
        none = 0.0 if "ZImage" in type(self.pipe).__name__ else 1.0
        off = {name: none for name in self.family.guidance}
        given = {**self.family.call, **(self.family.guidance if guided else off), **options}
        self.pipe(prompt, generator=torch.Generator().manual_seed(0), **given)

    @torch.no_grad()
    def encode(self, prompt: str) -> dict[str, Any]:
        """What `encode_prompt` gives for one prompt, as arguments of the call."""
        import inspect

        parameters = inspect.signature(self.pipe.encode_prompt).parameters
        given: dict[str, Any] = {
            "device": "cpu",
            "prompt_2": None,
            "prompt_3": None,
            "do_classifier_free_guidance": False,
        }
        given["max_sequence_length"] = self.family.call.get("max_sequence_length", 128)
        given["clean_caption"] = False
        given = {name: value for name, value in given.items() if name in parameters}
        made = self.pipe.encode_prompt(prompt, **given)
        made = made if isinstance(made, tuple) else (made,)
        return {name: part for name, part in zip(self.family.embeds, made, strict=False) if name and part is not None}

    def attach_all(self) -> unseen.Handle:
        """Every eraser at once."""
        return unseen.attach(self.pipe, self.erasers)

    def judge(self, expected: list[list[Tensor]], what: str) -> None:
        """What the denoiser was given has to be `expected`; then it is forgotten."""
        flat, wanted = ([t for one in given for t in one] for given in (self.given, expected))
        fine = len(flat) == len(wanted) and all(torch.equal(a, b) for a, b in zip(flat, wanted, strict=True))
        self.findings.append(Finding(what, fine, not fine and self._holds_plain()))
        self.given.clear()

    def _holds_plain(self) -> bool:
        plain = [t for one in self.plain_text for t in one]
        erased = [t for one in self.erased_text for t in one]
        own = [p for p, e in zip(plain, erased, strict=True) if not torch.equal(p, e)]
        return any(t.shape[-2:] == p.shape[-2:] and _contains(t, p) for one in self.given for t in one for p in own)

    def look_through_the_log(self) -> None:
        """Whatever was not judged must not hold the concept."""
        if self.given:
            self.findings.append(Finding("text at the denoiser", not self._holds_plain(), self._holds_plain()))


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [t for item in value for t in _tensors(item)] if isinstance(value, list | tuple) else []


def _contains(given: Tensor, row: Tensor) -> bool:
    rows = given.reshape(-1, *row.shape[-2:]) if row.ndim > 1 else given
    one = row[0] if row.ndim == 3 else row
    return any(torch.equal(r, one) for r in rows) if one.ndim == rows.ndim - 1 else torch.equal(given, row)


@cache
def _planted_at(name: str) -> dict[str, ClearEraser]:
    return {}


def _erasers(name: str, pipe: Any) -> list[ClearEraser]:
    known = _planted_at(name)
    if not known:
        for path in text_paths(pipe):
            layer = min(1, (path.form.blocks or 3) - 1)
            known[path.name] = make_eraser(path.tokenizer, path.encoder, layer=layer, form=path.form)
    return list(known.values())


def _register(name: str) -> None:
    def scene() -> Scene:
        return Foreign(name)

    def add(right: Any, what: str, tried: str, run: Callable[[Any], None]) -> None:
        run.__module__ = __name__
        way(right, scene=scene, name=f"{name}, {what}", tried=tried)(run)

    def prompt(s: Foreign) -> None:
        with s.attach_all():
            s.given.clear()
            s.draw(TARGET)
            s.judge(s.erased_text, "the prompt")

    def negative(s: Foreign) -> None:
        with s.attach_all():
            s.given.clear()
            s.draw("a blue wolf near the river", guided=True, negative_prompt=NEGATIVE)
            s.check(bool(s.given), "it was drawn")
            s.look_through_the_log()

    def foreign(s: Foreign) -> None:
        with s.attach_all():
            s.given.clear()
            s.draw(**s.encoded_plain)

    def own(s: Foreign) -> None:
        with s.attach_all():
            made = s.encode(TARGET)
            s.given.clear()
            s.draw(**made)
            s.judge(s.erased_text, "own embeddings")

    def replaced(s: Foreign) -> None:
        with s.attach_all():
            twin = type(s.pipe.transformer).from_config(s.pipe.transformer.config).eval()
            twin.load_state_dict(s.pipe.transformer.state_dict())
            s._spy_on(twin)
            s.pipe.transformer = twin
            s.given.clear()
            s.draw(**s.encoded_plain)

    add("erased", "a prompt", "the prompt as text", prompt)
    add("unchanged", "a negative prompt", "guidance away from a negative prompt that names the concept", negative)
    add("refused", "foreign embeddings", "embeddings made before attach", foreign)
    add("erased", "own embeddings", "embeddings made by encode_prompt while attached", own)
    add("refused", "another denoiser", "the denoiser is exchanged, then embeddings made before attach", replaced)


for _name in FAMILIES:
    _register(_name)
