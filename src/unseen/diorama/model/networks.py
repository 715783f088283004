"""Diorama's networks: the classes of Wan2.2-5B and of CogVideoX-2B at a small size."""

from __future__ import annotations

from typing import Any, Literal

from diffusers import (
    AutoencoderKLCogVideoX,
    AutoencoderKLWan,
    CogVideoXDDIMScheduler,
    CogVideoXTransformer3DModel,
    UniPCMultistepScheduler,
    WanTransformer3DModel,
)
from transformers import T5Config, T5EncoderModel

Which = Literal["wan", "cogvideox"]
WHICH: tuple[Which, ...] = ("wan", "cogvideox")
"""The two video models."""

TEXT_LENGTH = 80
"""Text positions that a transformer reads. Wan2.2 has 512 and CogVideoX 226, which would cost most of the time."""
TOKENS = 180
"""What both transformers make of a clip: 5 latent frames of 6 × 6."""

WAN_TEXT_DIM = 384
"""Width of MiniLM."""

WAN_VAE: dict[str, Any] = {
    "is_residual": True,
    "patch_size": 4,
    "in_channels": 48,
    "out_channels": 48,
    "base_dim": 64,
    "decoder_base_dim": 80,
    "z_dim": 48,
    "dim_mult": [1, 1],
    "num_res_blocks": 1,
    "temperal_downsample": [True],
    "scale_factor_spatial": 8,
    "scale_factor_temporal": 2,
}
"""Residual and patchified as Wan2.2's VAE, with patches of 4 × 4 pixels; a clip of 9 × 96 × 96 becomes 48 channels ×
5 × 12 × 12."""

WAN_TRANSFORMER: dict[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 5,
    "attention_head_dim": 64,
    "in_channels": 48,
    "out_channels": 48,
    "text_dim": WAN_TEXT_DIM,
    "freq_dim": 128,
    "ffn_dim": 1280,
    "num_layers": 8,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 32,
}

COGVIDEOX_VAE: dict[str, Any] = {
    "block_out_channels": (16, 32, 64),
    "latent_channels": 8,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "temporal_compression_ratio": 2,
    "sample_height": 96,
    "sample_width": 96,
}
"""A clip of 9 × 96 × 96 becomes 8 channels × 5 × 24 × 24. CogVideoX halves time twice and space three times; at this
size that leaves a blur."""

T5_WIDTH = 256
T5_VOCABULARY = 3072
T5: dict[str, Any] = {
    "vocab_size": T5_VOCABULARY,
    "d_model": T5_WIDTH,
    "d_kv": 32,
    "d_ff": 640,
    "num_layers": 12,
    "num_heads": 8,
    "feed_forward_proj": "gated-gelu",
    "dropout_rate": 0.0,
    "is_encoder_decoder": False,
    "use_cache": False,
}
"""As T5-v1.1, of which CogVideoX reads the encoder; trained here, since no small one comes in a package."""

COGVIDEOX_TRANSFORMER: dict[str, Any] = {
    "num_attention_heads": 5,
    "attention_head_dim": 64,
    "in_channels": 8,
    "out_channels": 8,
    "time_embed_dim": 128,
    "text_embed_dim": T5_WIDTH,
    "num_layers": 8,
    "sample_width": 24,
    "sample_height": 24,
    "sample_frames": 9,
    "patch_size": 4,
    "temporal_compression_ratio": 2,
    "max_text_seq_length": TEXT_LENGTH,
    "spatial_interpolation_scale": 1.0,
    "temporal_interpolation_scale": 1.0,
}
"""As CogVideoX-2B: text and video in one attention, positions by sines and cosines."""

SHIFT = 8.0
"""Flow shift of Diorama-Wan's noise schedule in generation. Training has its own; Wan2.2-5B has 5."""


def build_wan_vae(statistics: dict[str, Any] | None = None) -> AutoencoderKLWan:
    """A VAE with fresh weights; `statistics` holds `latents_mean` and `latents_std`, one value a channel."""
    channels = WAN_VAE["z_dim"]
    mean = statistics["latents_mean"] if statistics else [0.0] * channels
    std = statistics["latents_std"] if statistics else [1.0] * channels
    return AutoencoderKLWan(**WAN_VAE, latents_mean=mean, latents_std=std).eval()


def build_cogvideox_vae(statistics: dict[str, Any] | None = None) -> AutoencoderKLCogVideoX:
    """A VAE with fresh weights; `statistics` holds `scaling_factor`."""
    levels = len(COGVIDEOX_VAE["block_out_channels"])
    blocks = {
        "down_block_types": ("CogVideoXDownBlock3D",) * levels,
        "up_block_types": ("CogVideoXUpBlock3D",) * levels,
    }
    scale = statistics["scaling_factor"] if statistics else 1.0
    return AutoencoderKLCogVideoX(**COGVIDEOX_VAE, **blocks, scaling_factor=scale).eval()


def build_vae(which: Which, statistics: dict[str, Any] | None = None) -> AutoencoderKLWan | AutoencoderKLCogVideoX:
    """The VAE of one of the two models, with fresh weights."""
    return build_wan_vae(statistics) if which == "wan" else build_cogvideox_vae(statistics)


def build_transformer(which: Which) -> WanTransformer3DModel | CogVideoXTransformer3DModel:
    """The transformer of one of the two models, with fresh weights."""
    if which == "wan":
        return WanTransformer3DModel(**WAN_TRANSFORMER).eval()
    return CogVideoXTransformer3DModel(**COGVIDEOX_TRANSFORMER).eval()


def build_t5() -> T5EncoderModel:
    """Diorama-CogVideoX's text encoder with fresh weights."""
    return T5EncoderModel(T5Config(**T5)).eval()


def build_scheduler(which: Which) -> UniPCMultistepScheduler | CogVideoXDDIMScheduler:
    """The scheduler that the model at full size ships with.

    Diorama-Wan's transformer predicts the clean latents instead of the velocity.
    """
    if which == "wan":
        return UniPCMultistepScheduler(prediction_type="sample", use_flow_sigmas=True, flow_shift=SHIFT, solver_order=1)
    return CogVideoXDDIMScheduler(
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        snr_shift_scale=3.0,
        timestep_spacing="trailing",
        clip_sample=False,
    )
