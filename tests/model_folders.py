"""Folders as the hub has them of the real models: tiny pipelines of the same classes, saved with `save_pretrained`.

Where the tables' zoo leaves a part out (it asks for latents), the part is built here, since a folder is whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import diffusers
import torch
from safetensors.torch import save_file
from torch import nn

import unseen

SPIECE = Path(unseen.__file__).parent / "diorama" / "weights" / "t5_tokenizer" / "spiece.model"
_RANK = 2


class Model(NamedTuple):
    """How the folder of a model is made."""

    kind: str
    """Name in the zoo."""
    complete: Callable[[Any], None] = lambda pipe: None
    """Adds what the zoo leaves out."""

    @property
    def pipeline(self) -> str:
        """Its class in diffusers."""
        return self.kind.partition(" ")[0]


def _ltx(pipe: Any) -> None:
    pipe.register_modules(
        vae=diffusers.AutoencoderKLLTXVideo(
            latent_channels=8, block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
            layers_per_block=(1,) * 5, decoder_layers_per_block=(1,) * 5, patch_size=4,
        ).eval()
    )  # fmt: skip


def _ltx2(pipe: Any) -> None:
    from diffusers.pipelines.ltx2 import LTX2Vocoder

    vocoder = LTX2Vocoder(
        in_channels=32, hidden_channels=8, upsample_kernel_sizes=[4, 4], upsample_factors=[2, 2],
        resnet_kernel_sizes=[3], resnet_dilations=[[1, 3, 5]],
    )  # fmt: skip
    vae = diffusers.AutoencoderKLLTX2Video(
        latent_channels=4, block_out_channels=(8,), decoder_block_out_channels=(8,), layers_per_block=(1,),
        decoder_layers_per_block=(1, 1), spatio_temporal_scaling=(True,), decoder_spatio_temporal_scaling=(True,),
        decoder_inject_noise=(False, False), downsample_type=("spatial",), upsample_residual=(False,),
        upsample_factor=(1,), patch_size=1, patch_size_t=1,
    )  # fmt: skip
    pipe.register_modules(vae=vae.eval(), vocoder=vocoder.eval())


def _hunyuan(pipe: Any) -> None:
    pipe.register_modules(
        vae=diffusers.AutoencoderKLHunyuanVideo(
            latent_channels=4, block_out_channels=(8,) * 4, layers_per_block=1, norm_num_groups=4,
        ).eval()
    )  # fmt: skip


def _hunyuan15(pipe: Any) -> None:
    """Qwen's tokenizer makes 108 tokens of the instruction, which the pipeline cuts off; the template fills up."""
    missing = 108 - pipe.prompt_template_encode_start_idx
    pipe.tokenizer.chat_template = f"{{{{ 'the ' * {missing} }}}}{pipe.tokenizer.chat_template}"
    pipe.prompt_template_encode_start_idx = 108
    pipe.register_modules(
        vae=diffusers.AutoencoderKLHunyuanVideo15(
            latent_channels=4, block_out_channels=(16, 16), layers_per_block=1, spatial_compression_ratio=4,
            temporal_compression_ratio=2, downsample_match_channel=False, upsample_match_channel=False,
        ).eval()
    )  # fmt: skip


def _mochi(pipe: Any) -> None:
    pipe.register_modules(
        vae=diffusers.AutoencoderKLMochi(
            encoder_block_out_channels=(32,) * 4, decoder_block_out_channels=(32,) * 4, layers_per_block=(1,) * 5,
        ).eval()
    )  # fmt: skip


def _image_vae(channels: int) -> Callable[[Any], None]:
    def complete(pipe: Any) -> None:
        pipe.register_modules(
            vae=diffusers.AutoencoderKL(
                block_out_channels=(4, 8), down_block_types=("DownEncoderBlock2D",) * 2,
                up_block_types=("UpDecoderBlock2D",) * 2, latent_channels=channels, norm_num_groups=2,
                shift_factor=0.1, use_quant_conv=False, use_post_quant_conv=False,
            ).eval()
        )  # fmt: skip

    return complete


MODELS = {
    "Wan-AI/Wan2.2-TI2V-5B-Diffusers": Model("WanPipeline (2.2-5B)"),
    "Wan-AI/Wan2.2-T2V-A14B-Diffusers": Model("WanPipeline (2.2-A14B)"),
    "Wan-AI/Wan2.1-T2V-14B-Diffusers": Model(
        "WanPipeline (2.2-5B)", lambda pipe: pipe.register_to_config(expand_timesteps=False)
    ),
    "zai-org/CogVideoX-2b": Model("CogVideoXPipeline"),
    "zai-org/CogVideoX-5b": Model("CogVideoXPipeline"),
    "Lightricks/LTX-Video": Model("LTXPipeline", _ltx),
    "Lightricks/LTX-2": Model("LTX2Pipeline", _ltx2),
    "hunyuanvideo-community/HunyuanVideo": Model("HunyuanVideoPipeline", _hunyuan),
    "hunyuanvideo-community/HunyuanVideo-1.5-Diffusers-480p_t2v": Model("HunyuanVideo15Pipeline", _hunyuan15),
    "genmo/mochi-1-preview": Model("MochiPipeline", _mochi),
    "Efficient-Large-Model/SANA-Video_2B_480p_diffusers": Model("SanaVideoPipeline"),
    "black-forest-labs/FLUX.1-dev": Model("FluxPipeline", _image_vae(16)),
    "stabilityai/stable-diffusion-3.5-medium": Model("StableDiffusion3Pipeline", _image_vae(4)),
}
"""By hub id."""


def write_folder(zoo: ModuleType, model: str, root: Path) -> Path:
    """The stand-in of a model in `root`, in a folder named as its hub id."""
    kind, complete = MODELS[model]
    pipe = zoo.make(kind)
    complete(pipe)
    _deepen(pipe)
    if model.startswith("zai-org/"):
        speak_t5(pipe)
    folder = root / model
    pipe.save_pretrained(folder)
    if model.startswith("zai-org/"):
        bare_tokenizer(folder)
    return folder


def _deepen(pipe: Any) -> None:
    """Two blocks in each transformer: step caches look at the first and skip the others."""
    for name in ("transformer", "transformer_2"):
        one = getattr(pipe, name, None)
        if one is not None and one.config.num_layers == 1:
            torch.manual_seed(0)
            two = type(one).from_config({**one.config, "num_layers": 2}).eval()
            for weight in two.parameters():
                if weight.ndim > 1 and not weight.any():  # it would do nothing before training
                    nn.init.normal_(weight, std=0.2)
            pipe.register_modules(**{name: two})


def speak_t5(pipe: Any) -> None:
    """As many words as T5's own tokenizer has."""
    torch.manual_seed(0)
    pipe.text_encoder.resize_token_embeddings(32128)
    nn.init.normal_(pipe.text_encoder.get_input_embeddings().weight)


def bare_tokenizer(folder: Path) -> None:
    """T5's tokenizer as a SentencePiece file alone, as CogVideoX-2B has it."""
    tokenizer = folder / "tokenizer"
    shutil.rmtree(tokenizer)
    tokenizer.mkdir()
    shutil.copy(SPIECE, tokenizer)
    settings = {"tokenizer_class": "T5Tokenizer", "model_max_length": 226, "extra_ids": 100}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(settings))
    index = json.loads((folder / "model_index.json").read_text())
    index["tokenizer"] = ["transformers", "T5Tokenizer"]
    (folder / "model_index.json").write_text(json.dumps(index))


def write_lora(file: Path, folder: Path) -> None:
    """A LoRA of the transformer in `folder`, with the names that files of its kind have."""
    index = json.loads((folder / "model_index.json").read_text())
    cls = getattr(diffusers, index["transformer"][1])
    transformer = cls.from_pretrained(folder, subfolder="transformer")
    torch.manual_seed(1)
    tensors: dict[str, torch.Tensor] = {}
    for name, module in transformer.named_modules():
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in ("to_q", "to_k", "to_v"):
            down, up = torch.randn(_RANK, module.in_features), torch.randn(module.out_features, _RANK) / 4
            if file.parent.parts[-2:] == ("Kijai", "WanVideo_comfy") or "Wan22-Lightning" in file.parts:
                own = name.replace("attn1.to_", "self_attn.").replace("attn2.to_", "cross_attn.")
                base = f"diffusion_model.{own}"
                tensors |= {f"{base}.lora_down.weight": down, f"{base}.lora_up.weight": up}
                tensors[f"{base}.alpha"] = torch.tensor(float(_RANK))
            else:
                base = f"{'diffusion_model' if 'ltx-2' in file.name else 'transformer'}.{name}"
                tensors |= {f"{base}.lora_A.weight": down, f"{base}.lora_B.weight": up}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, file)
