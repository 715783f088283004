"""Diorama's networks: the classes of Wan2.2-5B at a small size."""

from __future__ import annotations

from typing import Any

from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanTransformer3DModel

TEXT_LENGTH = 32
"""Text positions the transformer reads; 512, as for Wan, would cost most of the time."""
TEXT_DIM = 384

VAE_CONFIG: dict[str, Any] = {
    "is_residual": True,
    "patch_size": 4,
    "in_channels": 48,
    "out_channels": 48,
    "base_dim": 48,
    "decoder_base_dim": 56,
    "z_dim": 48,
    "dim_mult": [1, 1],
    "num_res_blocks": 1,
    "temperal_downsample": [True],
    "scale_factor_spatial": 8,
    "scale_factor_temporal": 2,
}
"""Residual and patchified as Wan2.2's VAE. A 9 × 64 × 64 clip becomes latents of 48 channels × 5 × 8 × 8.

Patches of 4 × 4 pixels, because small convolutions at full resolution learn far more slowly and stay blurred."""

TRANSFORMER_CONFIG: dict[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 4,
    "attention_head_dim": 64,
    "in_channels": 48,
    "out_channels": 48,
    "text_dim": TEXT_DIM,
    "freq_dim": 128,
    "ffn_dim": 640,
    "num_layers": 6,
    "cross_attn_norm": True,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 32,
}
"""80 tokens a clip."""

SHIFT = 8.0
"""Flow shift of the noise schedule in generation. Training has its own, Wan2.2-5B has 5. Chosen together
with the solver's order on development wording (`unseen evaluate picture --split development --quick`)."""


def build_vae(statistics: dict[str, Any] | None = None) -> AutoencoderKLWan:
    """A VAE with fresh weights; `statistics` holds `latents_mean` and `latents_std`, one value a channel."""
    channels = VAE_CONFIG["z_dim"]
    mean = statistics["latents_mean"] if statistics else [0.0] * channels
    std = statistics["latents_std"] if statistics else [1.0] * channels
    return AutoencoderKLWan(**VAE_CONFIG, latents_mean=mean, latents_std=std).eval()


def build_transformer() -> WanTransformer3DModel:
    """A transformer with fresh weights."""
    return WanTransformer3DModel(**TRANSFORMER_CONFIG).eval()


def build_scheduler() -> UniPCMultistepScheduler:
    """The flow-matching scheduler that Wan2.2 ships with, for a transformer that predicts the clean latents."""
    return UniPCMultistepScheduler(prediction_type="sample", use_flow_sigmas=True, flow_shift=SHIFT, solver_order=1)
