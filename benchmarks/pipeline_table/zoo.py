"""Tiny pipelines of many families: real diffusers classes, built from configurations with random weights.

Those without a video autoencoder give latents; their text encoders and denoisers are whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import diffusers
import numpy as np
import torch
from diffusers.guiders import ClassifierFreeGuidance
from PIL import Image
from tokenizers import processors
from torch import nn
from transformers import (
    ByT5Tokenizer,
    Gemma2Config,
    Gemma2Model,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    GlmConfig,
    GlmModel,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    MistralConfig,
    PixtralVisionConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLTextConfig,
    Qwen2_5_VLTextModel,
)

from unseen.bench.ways.families import make_cogvideox, make_text_part, make_wan
from unseen.bench.ways.foreign_pipelines import FAMILIES
from unseen.bench.ways.tiny import BLOCKS, VOCABULARY, WIDTH, make_encoder, make_pipe, make_tokenizer

TEXT = {
    "vocab_size": VOCABULARY, "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": BLOCKS,
    "num_attention_heads": 4, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
SIGHT = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 28,
    "patch_size": 14,
}  # fmt: skip
_QWEN_TEXT = {**TEXT, "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}}
_FLOW = diffusers.FlowMatchEulerDiscreteScheduler
_VIDEO = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 2}
_PICTURE = {"height": 32, "width": 32, "num_inference_steps": 2, "output_type": "latent"}


class Kind(NamedTuple):
    """A pipeline of the table."""

    make: Callable[[], Any]
    call: dict[str, Any]
    """Arguments of its call beside the prompt."""
    output: str = ""
    """What a modular pipeline is asked for."""
    quoted: bool = False
    """Whether one of its encoders reads nothing but words in quotation marks."""


def _loud(encoder: Any) -> nn.Module:
    """With words as loud as in a trained model."""
    nn.init.normal_(encoder.get_input_embeddings().weight)
    return encoder.eval()


def _chat(**options: Any) -> Any:
    """A chat model's tokenizer, which as Qwen's adds no tokens of its own."""
    tokenizer = make_tokenizer(**options)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    return tokenizer


def _seeded(make: Callable[[], Any]) -> Callable[[], Any]:
    def made() -> Any:
        torch.manual_seed(0)
        pipe = make()
        pipe.set_progress_bar_config(disable=True)
        if isinstance(getattr(pipe, "transformer", None), nn.Module):
            _wake(pipe.transformer)
        return pipe

    return made


@torch.no_grad()
def _wake(denoiser: nn.Module) -> None:
    """Let layers that start at zero, so that they do nothing before training, do something."""
    for weight in denoiser.parameters():
        if weight.ndim > 1 and not weight.any():
            nn.init.normal_(weight, std=0.2)


# Text encoders


def gemma3() -> nn.Module:
    config = Gemma3Config(text_config={**TEXT, "head_dim": 8}, vision_config=SIGHT, mm_tokens_per_image=4)
    return _loud(Gemma3ForConditionalGeneration(config))


def gemma2() -> nn.Module:
    return _loud(Gemma2Model(Gemma2Config(**TEXT, head_dim=8)))


def qwen_vl() -> nn.Module:
    sight = {"depth": 2, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": WIDTH}
    ids = {"image_token_id": 9, "video_token_id": 10, "vision_start_token_id": 11}
    return _loud(
        Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=_QWEN_TEXT, vision_config=sight, **ids))
    )


def qwen_text() -> nn.Module:
    return _loud(Qwen2_5_VLTextModel(Qwen2_5_VLTextConfig(**{**_QWEN_TEXT, "num_hidden_layers": 5})))


def mistral3() -> nn.Module:
    text = MistralConfig(**{**TEXT, "num_hidden_layers": 30}, head_dim=8)  # FLUX.2 reads states 10, 20 and 30
    return _loud(
        Mistral3ForConditionalGeneration(Mistral3Config(text_config=text, vision_config=PixtralVisionConfig(**SIGHT)))
    )


def glm() -> nn.Module:
    return _loud(GlmModel(GlmConfig(**TEXT, head_dim=8)))


# Pictures


def picture() -> Image.Image:
    return Image.fromarray(np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3))


def _clip_of(frames: int) -> list[Image.Image]:
    return [picture() for _ in range(frames)]


# Pipelines that are known by name


def _wan_class(name: str, **more: Any) -> Callable[[], Any]:
    def make() -> Any:
        parts = {k: v for k, v in make_pipe().components.items() if k != "transformer_2"}
        wanted = __import__("inspect").signature(getattr(diffusers, name).__init__).parameters
        return getattr(diffusers, name)(**{k: v for k, v in {**parts, **more}.items() if k in wanted})

    return make


def _wan_i2v() -> Any:
    pipe = _wan_class("WanImageToVideoPipeline", image_encoder=None, image_processor=None, expand_timesteps=True)()
    return pipe


def _wan_vace() -> Any:
    pipe = make_pipe()
    transformer = diffusers.WanVACETransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4,
        text_dim=WIDTH, freq_dim=16, ffn_dim=32, num_layers=2, rope_max_seq_len=32, vace_layers=[0],
        vace_in_channels=4 * 2 + 64,
    )  # fmt: skip
    return diffusers.WanVACEPipeline(
        tokenizer=pipe.tokenizer, text_encoder=pipe.text_encoder, vae=pipe.vae, scheduler=pipe.scheduler,
        transformer=transformer.eval(),
    )  # fmt: skip


def _wan_modular() -> Any:
    pipe, source = diffusers.WanModularPipeline(), make_pipe()
    pipe.update_components(**{n: p for n, p in source.components.items() if n in pipe._component_specs and p})
    return pipe


def _flux_modular() -> Any:
    pipe, source = diffusers.FluxModularPipeline(), _foreign("FluxPipeline")
    pipe.update_components(**{n: p for n, p in source.components.items() if n in pipe._component_specs and p})
    return pipe


def _cogvideox_class(name: str) -> Callable[[], Any]:
    def make() -> Any:
        pipe = make_cogvideox()
        return getattr(diffusers, name)(**pipe.components)

    return make


# Others


def _foreign(name: str) -> Any:
    family = FAMILIES[name]
    pipe = family.pipe() if family.pipe is not None else make_text_part(name)
    pipe.register_modules(transformer=family.denoiser().eval())
    if name == "PixArtSigmaPipeline":
        pipe.scheduler = diffusers.DDIMScheduler()
    return pipe


def _ltx2() -> Any:
    from diffusers.pipelines.ltx2 import LTX2TextConnectors

    connectors = LTX2TextConnectors(
        caption_channels=WIDTH, text_proj_in_factor=BLOCKS + 1, video_connector_num_attention_heads=2,
        video_connector_attention_head_dim=16, video_connector_num_layers=1, video_connector_num_learnable_registers=None,
        audio_connector_num_attention_heads=2, audio_connector_attention_head_dim=16, audio_connector_num_layers=1,
        audio_connector_num_learnable_registers=None, connector_rope_base_seq_len=32,
    )  # fmt: skip
    transformer = diffusers.LTX2VideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, cross_attention_dim=16,
        audio_in_channels=8, audio_out_channels=8, audio_num_attention_heads=2, audio_attention_head_dim=4,
        audio_cross_attention_dim=8, num_layers=1, caption_channels=WIDTH,
    )  # fmt: skip
    vae = diffusers.AutoencoderKLLTX2Video(
        latent_channels=4, block_out_channels=(8, 8, 8, 8), decoder_block_out_channels=(8, 8, 8),
        layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 4,
    )  # fmt: skip
    audio = diffusers.AutoencoderKLLTX2Audio(
        base_channels=8, ch_mult=(1, 1, 1), num_res_blocks=1, latent_channels=2, mel_bins=16, resolution=16
    )
    return diffusers.LTX2Pipeline(
        scheduler=_FLOW(), vae=vae.eval(), audio_vae=audio.eval(), text_encoder=gemma3(),
        tokenizer=make_tokenizer(model_max_length=32), connectors=connectors.eval(), transformer=transformer.eval(),
        vocoder=None,
    )  # fmt: skip


def _kandinsky5() -> Any:
    transformer = diffusers.Kandinsky5Transformer3DModel(
        in_visual_dim=4, in_text_dim=WIDTH, in_text_dim2=WIDTH, time_dim=16, out_visual_dim=4, model_dim=32, ff_dim=32,
        num_text_blocks=1, num_visual_blocks=1, axes_dims=(4, 6, 6),
    )  # fmt: skip
    pipe = diffusers.Kandinsky5T2VPipeline(
        transformer=transformer.eval(), vae=None, text_encoder=qwen_vl(), tokenizer=make_tokenizer(),
        text_encoder_2=make_encoder("clip"), tokenizer_2=make_tokenizer(model_max_length=77), scheduler=_FLOW(),
    )  # fmt: skip
    # its instruction has 129 tokens for Qwen's tokenizer
    pipe.prompt_template_encode_start_idx = len(pipe.tokenizer(pipe.prompt_template.partition("{}")[0]).input_ids) - 1
    return pipe


def _hunyuan15() -> Any:
    transformer = diffusers.HunyuanVideo15Transformer3DModel(
        in_channels=9, out_channels=4, num_attention_heads=2, attention_head_dim=16, num_layers=1,
        num_refiner_layers=1, text_embed_dim=WIDTH, text_embed_2_dim=WIDTH, image_embed_dim=16,
        rope_axes_dim=(4, 6, 6), target_size=16, task_type="t2v",
    )  # fmt: skip
    pipe = diffusers.HunyuanVideo15Pipeline(
        text_encoder=qwen_text(), tokenizer=_chat(), transformer=transformer.eval(), vae=_hunyuan15_vae(),
        scheduler=_FLOW(), text_encoder_2=make_encoder("t5"), tokenizer_2=ByT5Tokenizer(),
        guider=ClassifierFreeGuidance(guidance_scale=3.0),
    )  # fmt: skip
    pipe.prompt_template_encode_start_idx = len(pipe.tokenizer(pipe.system_message).input_ids)  # 108 for Qwen's
    return pipe


def _hunyuan15_vae() -> Any:
    return diffusers.AutoencoderKLHunyuanVideo15(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(4, 4), layers_per_block=1,
        spatial_compression_ratio=4, temporal_compression_ratio=2, downsample_match_channel=False,
        upsample_match_channel=False,
    ).eval()  # fmt: skip


def _flux2() -> Any:
    transformer = diffusers.Flux2Transformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=WIDTH * 3, timestep_guidance_channels=16, axes_dims_rope=(4, 4, 4, 4),
    )  # fmt: skip
    return diffusers.Flux2Pipeline(
        scheduler=_FLOW(), vae=None, text_encoder=mistral3(), tokenizer=_chat(), transformer=transformer.eval()
    )


def _sana() -> Any:
    transformer = diffusers.SanaTransformer2DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, num_layers=1,
        num_cross_attention_heads=2, cross_attention_head_dim=8, cross_attention_dim=16, caption_channels=WIDTH,
        sample_size=8,
    )  # fmt: skip
    return diffusers.SanaPipeline(
        tokenizer=make_tokenizer(), text_encoder=gemma2(), vae=None, transformer=transformer.eval(), scheduler=_FLOW()
    )


def _sana_video() -> Any:
    transformer = diffusers.SanaVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=12, num_layers=1,
        num_cross_attention_heads=2, cross_attention_head_dim=12, cross_attention_dim=24, caption_channels=WIDTH,
        sample_size=8, rope_max_seq_len=32,
    )  # fmt: skip
    return diffusers.SanaVideoPipeline(
        tokenizer=make_tokenizer(), text_encoder=gemma2(), vae=make_pipe().vae, transformer=transformer.eval(),
        scheduler=_FLOW(),
    )  # fmt: skip


def _lumina2() -> Any:
    transformer = diffusers.Lumina2Transformer2DModel(
        sample_size=4, in_channels=4, hidden_size=24, num_layers=1, num_refiner_layers=1, num_attention_heads=2,
        num_kv_heads=1, multiple_of=2, scaling_factor=1.0, axes_dim_rope=(4, 4, 4), axes_lens=(512, 16, 16),
        cap_feat_dim=WIDTH,
    )  # fmt: skip
    return diffusers.Lumina2Pipeline(
        transformer=transformer.eval(), scheduler=_FLOW(), vae=None, text_encoder=gemma2(), tokenizer=make_tokenizer()
    )


def _auraflow() -> Any:
    transformer = diffusers.AuraFlowTransformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_mmdit_layers=1, num_single_dit_layers=1, attention_head_dim=8,
        num_attention_heads=2, joint_attention_dim=WIDTH, caption_projection_dim=16, pos_embed_max_size=64,
    )  # fmt: skip
    return diffusers.AuraFlowPipeline(
        tokenizer=make_tokenizer(), text_encoder=make_encoder("umt5"), vae=None, transformer=transformer.eval(),
        scheduler=_FLOW(),
    )  # fmt: skip


def _skyreels() -> Any:
    transformer = diffusers.SkyReelsV2Transformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=WIDTH, freq_dim=16,
        ffn_dim=32, num_layers=1, rope_max_seq_len=32,
    )  # fmt: skip
    return diffusers.SkyReelsV2Pipeline(
        tokenizer=make_tokenizer(), text_encoder=make_encoder("umt5"), transformer=transformer.eval(),
        vae=make_pipe().vae, scheduler=diffusers.UniPCMultistepScheduler(flow_shift=8.0, use_flow_sigmas=True),
    )  # fmt: skip


def _latte() -> Any:
    transformer = diffusers.LatteTransformer3DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=8, num_layers=1,
        cross_attention_dim=16, sample_size=4, patch_size=2, norm_type="ada_norm_single", caption_channels=WIDTH,
        video_length=1, norm_elementwise_affine=False, attention_bias=True, num_embeds_ada_norm=1000,
        activation_fn="gelu-approximate",
    )  # fmt: skip
    return diffusers.LattePipeline(
        tokenizer=make_tokenizer(), text_encoder=make_encoder("t5"), vae=None, transformer=transformer.eval(),
        scheduler=diffusers.DDIMScheduler(),
    )  # fmt: skip


def _allegro() -> Any:
    transformer = diffusers.AllegroTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, num_layers=1,
        cross_attention_dim=24, sample_height=4, sample_width=4, sample_frames=4, caption_channels=WIDTH,
    )  # fmt: skip
    return diffusers.AllegroPipeline(
        tokenizer=make_tokenizer(), text_encoder=make_encoder("t5"), vae=None, transformer=transformer.eval(),
        scheduler=diffusers.EulerAncestralDiscreteScheduler(),
    )  # fmt: skip


def _qwen_image() -> Any:
    transformer = diffusers.QwenImageTransformer2DModel(
        in_channels=16, out_channels=4, num_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=WIDTH, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip
    return diffusers.QwenImagePipeline(
        scheduler=_FLOW(), vae=None, text_encoder=qwen_vl(), tokenizer=make_tokenizer(), transformer=transformer.eval()
    )


def _cogview4() -> Any:
    transformer = diffusers.CogView4Transformer2DModel(
        in_channels=4, out_channels=4, num_layers=1, attention_head_dim=8, num_attention_heads=2, text_embed_dim=WIDTH,
        time_embed_dim=8, condition_dim=4, pos_embed_max_size=64, sample_size=8, rope_axes_dim=(4, 4),
    )  # fmt: skip
    tokenizer = make_tokenizer(padding_side="left")
    return diffusers.CogView4Pipeline(
        tokenizer=tokenizer, text_encoder=glm(), vae=None, transformer=transformer.eval(), scheduler=_FLOW()
    )


def _unet(width: int, **more: Any) -> nn.Module:
    return diffusers.UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=8, in_channels=4, out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=width, attention_head_dim=4, norm_num_groups=2, **more,
    ).eval()  # fmt: skip


def _vae() -> nn.Module:
    return diffusers.AutoencoderKL(
        block_out_channels=(4, 8), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=4, norm_num_groups=2,
    ).eval()  # fmt: skip


def _stable_diffusion() -> Any:
    return diffusers.StableDiffusionPipeline(
        vae=_vae(), text_encoder=make_encoder("clip"), tokenizer=make_tokenizer(model_max_length=32),
        unet=_unet(WIDTH), scheduler=diffusers.DDIMScheduler(steps_offset=1, clip_sample=False), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


def _sdxl() -> Any:
    from unseen.bench.ways.families import _clip

    unet = _unet(
        WIDTH, addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=40
    )
    short = make_tokenizer(model_max_length=32)
    return diffusers.StableDiffusionXLPipeline(
        vae=_vae(), text_encoder=_clip(1), text_encoder_2=_clip(2), tokenizer=short, tokenizer_2=short, unet=unet,
        scheduler=diffusers.DDIMScheduler(steps_offset=1, clip_sample=False),
    )  # fmt: skip


def _animatediff() -> Any:
    adapter = diffusers.MotionAdapter(
        block_out_channels=(8, 16), motion_layers_per_block=1, motion_norm_num_groups=2, motion_num_attention_heads=2
    )
    return diffusers.AnimateDiffPipeline(
        vae=_vae(), text_encoder=make_encoder("clip"), tokenizer=make_tokenizer(model_max_length=32),
        unet=_unet(WIDTH), motion_adapter=adapter.eval(), scheduler=diffusers.DDIMScheduler(beta_schedule="linear", steps_offset=1, clip_sample=False),
    )  # fmt: skip


_WAN = {**_VIDEO, "max_sequence_length": 16, "output_type": "pt"}
_COG = {**_VIDEO, "output_type": "pt"}
_SHORT = {"max_sequence_length": 32}
ZOO: dict[str, Kind] = {
    "WanPipeline (2.2-5B)": Kind(make_wan, _WAN),
    "WanPipeline (2.2-A14B)": Kind(lambda: make_wan(two_transformers=True), {**_WAN, "num_inference_steps": 3}),
    "WanImageToVideoPipeline": Kind(_wan_i2v, {**_WAN, "image": picture()}),
    "WanVideoToVideoPipeline": Kind(
        _wan_class("WanVideoToVideoPipeline"),
        {"video": _clip_of(5), "height": 32, "width": 32, "num_inference_steps": 3, **_SHORT, "output_type": "pt"},
    ),
    "WanVACEPipeline": Kind(_wan_vace, _WAN),
    "WanModularPipeline": Kind(_wan_modular, {**_VIDEO, "max_sequence_length": 16}, output="latents"),
    "CogVideoXPipeline": Kind(make_cogvideox, _COG),
    "CogVideoXVideoToVideoPipeline": Kind(
        _cogvideox_class("CogVideoXVideoToVideoPipeline"),
        {"video": _clip_of(5), "height": 32, "width": 32, "num_inference_steps": 3, "output_type": "pt"},
    ),
    "LTXPipeline": Kind(lambda: _foreign("LTXPipeline"), FAMILIES["LTXPipeline"].call),
    "LTX2Pipeline": Kind(_ltx2, {**_VIDEO, "height": 64, "width": 64, "num_frames": 9, **_SHORT, "output_type": "latent", "guidance_scale": 1.0,
                                 "audio_guidance_scale": 1.0}),
    "MochiPipeline": Kind(lambda: _foreign("MochiPipeline"), FAMILIES["MochiPipeline"].call),
    "HunyuanVideoPipeline": Kind(lambda: _foreign("HunyuanVideoPipeline"), FAMILIES["HunyuanVideoPipeline"].call),
    "HunyuanVideo15Pipeline": Kind(_hunyuan15, {**_VIDEO, "output_type": "latent"}, quoted=True),
    "Kandinsky5T2VPipeline": Kind(_kandinsky5, {**_VIDEO, "output_type": "latent", "guidance_scale": 3.0}),
    "AnimateDiffPipeline": Kind(_animatediff, {**_VIDEO, "num_frames": 2, "output_type": "latent"}),
    "SanaVideoPipeline": Kind(
        _sana_video,
        {"height": 32, "width": 32, "frames": 5, "num_inference_steps": 2, "use_resolution_binning": False,
         "output_type": "latent", "clean_caption": False, "complex_human_instruction": None},
    ),
    "SkyReelsV2Pipeline": Kind(_skyreels, {**_VIDEO, **_SHORT, "output_type": "latent"}),
    "LattePipeline": Kind(_latte, {**_PICTURE, "video_length": 1, "clean_caption": False}),
    "AllegroPipeline": Kind(
        _allegro, {**_VIDEO, "num_frames": 4, **_SHORT, "output_type": "latent", "clean_caption": False}
    ),
    "FluxPipeline": Kind(lambda: _foreign("FluxPipeline"), FAMILIES["FluxPipeline"].call),
    "FluxModularPipeline": Kind(_flux_modular, {**_PICTURE, **_SHORT}, output="latents"),
    "Flux2Pipeline": Kind(_flux2, _PICTURE),
    "StableDiffusionPipeline": Kind(_stable_diffusion, _PICTURE),
    "StableDiffusionXLPipeline": Kind(_sdxl, _PICTURE),
    "StableDiffusion3Pipeline": Kind(
        lambda: _foreign("StableDiffusion3Pipeline"), FAMILIES["StableDiffusion3Pipeline"].call
    ),
    "PixArtSigmaPipeline": Kind(lambda: _foreign("PixArtSigmaPipeline"), FAMILIES["PixArtSigmaPipeline"].call),
    "SanaPipeline": Kind(
        _sana, {**_PICTURE, "use_resolution_binning": False, "clean_caption": False, "complex_human_instruction": None}
    ),
    "Lumina2Pipeline": Kind(_lumina2, _PICTURE),
    "AuraFlowPipeline": Kind(_auraflow, _PICTURE),
    "QwenImagePipeline": Kind(_qwen_image, {**_PICTURE, "true_cfg_scale": 1.0}),
    "CogView4Pipeline": Kind(_cogview4, _PICTURE),
    "ZImagePipeline": Kind(lambda: _foreign("ZImagePipeline"), FAMILIES["ZImagePipeline"].call),
    "ErnieImagePipeline": Kind(lambda: _foreign("ErnieImagePipeline"), FAMILIES["ErnieImagePipeline"].call),
}  # fmt: skip
"""By name of the class."""


def make(name: str) -> Any:
    """A pipeline of the zoo, always with the same weights."""
    return _seeded(ZOO[name].make)()


def draw(pipe: Any, name: str, prompt: Any) -> torch.Tensor:
    """What the pipeline makes of a prompt, always from the same noise."""
    kind = ZOO[name]
    options = {**kind.call, "generator": torch.Generator().manual_seed(0)}
    if kind.output:
        made = pipe(prompt=prompt, output=kind.output, **options)
    else:
        made = pipe(prompt=prompt, **options)
        made = made[0] if not hasattr(made, "frames") else made.frames
        made = getattr(made, "images", made)
    made = made[0] if isinstance(made, list | tuple) else made
    return torch.as_tensor(made)
