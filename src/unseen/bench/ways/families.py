"""Tiny pipelines of many families, real diffusers classes with random weights."""

from __future__ import annotations

from typing import Any

import diffusers
import torch
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, LlamaConfig, LlamaModel

from unseen.bench.ways.tiny import BLOCKS, VOCABULARY, WIDTH, make_encoder, make_pipe, make_tokenizer


def make_wan(family: str = "umt5", *, two_transformers: bool = False) -> Any:
    """Wan2.2-5B in small; with `two_transformers` Wan2.2-A14B."""
    pipe = make_pipe(family)
    if not two_transformers:
        return pipe
    second = diffusers.WanTransformer3DModel.from_config(pipe.transformer.config).eval()
    parts = {**pipe.components, "transformer_2": second}
    both = diffusers.WanPipeline(**parts, boundary_ratio=0.875)
    both.set_progress_bar_config(disable=True)
    return both


def make_small_diorama() -> Any:
    """Diorama-Wan of the smallest size, with random weights, but with its own text encoder. Always the same weights."""
    from unseen.diorama.model.networks import WAN_TEXT_DIM, WAN_VAE, build_scheduler
    from unseen.diorama.model.text import load_text_encoder

    tokenizer, encoder = load_text_encoder()
    torch.manual_seed(0)
    transformer = diffusers.WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=16, in_channels=8, out_channels=8,
        text_dim=WAN_TEXT_DIM, freq_dim=32, ffn_dim=32, num_layers=1, cross_attn_norm=True,
        qk_norm="rms_norm_across_heads", rope_max_seq_len=32,
    )  # fmt: skip
    vae = diffusers.AutoencoderKLWan(
        **{**WAN_VAE, "base_dim": 8, "decoder_base_dim": 8, "z_dim": 8},
        latents_mean=[0.0] * 8,
        latents_std=[1.0] * 8,
    )
    pipe = diffusers.WanPipeline(
        tokenizer=tokenizer,
        text_encoder=encoder,
        transformer=transformer.eval(),
        vae=vae.eval(),
        scheduler=build_scheduler("wan"),
        expand_timesteps=True,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def make_cogvideox(family: str = "t5") -> Any:
    """CogVideoX-2B in small."""
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKLCogVideoX(
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )
    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        time_embed_dim=8,
        text_embed_dim=WIDTH,
        num_layers=1,
        sample_width=4,
        sample_height=4,
        sample_frames=5,
        max_text_seq_length=16,
        use_rotary_positional_embeddings=True,
    )
    pipe = diffusers.CogVideoXPipeline(
        tokenizer=make_tokenizer(),
        text_encoder=make_encoder(family),
        vae=vae.eval(),
        transformer=transformer.eval(),
        scheduler=diffusers.CogVideoXDDIMScheduler(),
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _clip(seed: int, blocks: int = BLOCKS) -> nn.Module:
    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH // 2,  # both beside each other are as wide as the T5's states
        num_hidden_layers=blocks,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
        projection_dim=16,
        bos_token_id=1,
        eos_token_id=2,
    )
    encoder = CLIPTextModelWithProjection(config)
    torch.nn.init.normal_(encoder.get_input_embeddings().weight)
    return encoder.eval()


def _llama() -> nn.Module:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=5, num_attention_heads=4
    )
    encoder = LlamaModel(config)
    torch.nn.init.normal_(encoder.get_input_embeddings().weight)
    return encoder.eval()


def make_text_part(name: str) -> Any:
    """A pipeline of another family with its text encoders and tokenizers alone, which is all an eraser touches."""
    short = make_tokenizer(model_max_length=32)
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
    none = {"vae": None, "transformer": None, "scheduler": scheduler}
    if name in ("LTXPipeline", "MochiPipeline", "PixArtSigmaPipeline"):
        return getattr(diffusers, name)(tokenizer=short, text_encoder=make_encoder("t5"), **none)
    if name == "AnimateDiffPipeline":
        return diffusers.AnimateDiffPipeline(
            vae=None, text_encoder=_clip_text(), tokenizer=short, unet=None, motion_adapter=None, scheduler=scheduler
        )
    if name == "HunyuanVideoPipeline":
        return diffusers.HunyuanVideoPipeline(
            text_encoder=_llama(), tokenizer=make_tokenizer(), text_encoder_2=_clip_text(), tokenizer_2=short, **none
        )
    if name == "FluxPipeline":
        return diffusers.FluxPipeline(
            text_encoder=_clip_text(), tokenizer=short, text_encoder_2=make_encoder("t5"), tokenizer_2=short, **none
        )
    if name == "StableDiffusion3Pipeline":
        return diffusers.StableDiffusion3Pipeline(
            text_encoder=_clip(1),
            tokenizer=short,
            text_encoder_2=_clip(2, BLOCKS + 1),
            tokenizer_2=short,
            text_encoder_3=make_encoder("t5"),
            tokenizer_3=short,
            **none,
        )
    raise ValueError(name)


def _clip_text() -> nn.Module:
    return make_encoder("clip")
