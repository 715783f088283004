"""Tiny real models, built in memory from configurations: no mocks, no downloads. Tests build theirs here too."""

from __future__ import annotations

import re
from copy import deepcopy
from functools import cache
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    CLIPTextConfig,
    CLIPTextModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5EncoderModel,
    UMT5Config,
    UMT5EncoderModel,
)

from unseen.clear.eraser import ClearEraser
from unseen.clear.gate import open_gate
from unseen.concept import Concept
from unseen.encoder.activations import SHORT, PromptForm, encode_blocks
from unseen.encoder.fingerprint import fingerprint
from unseen.prompts import lexicon as lexicon

WIDTH = 32
BLOCKS = 3
NOUNS = "zeppelin apple lemon chair table dog wolf piano river garden tree".split()
WORDS = sorted(
    {
        word
        for text in [*NOUNS, *(t for value in vars(lexicon).values() if isinstance(value, tuple | list) for t in value)]
        for word in re.findall(r"[a-z]+", text.lower())
    }
)
VOCABULARY = 2048


def make_encoder(family: str, seed: int = 0) -> nn.Module:
    """A random text encoder with `BLOCKS` blocks of width `WIDTH`, in eval mode."""
    torch.manual_seed(seed)
    encoder: Any = _random_encoder(family)
    # Words as loud as in a trained model; by default BERT and CLIP start with words as quiet as positions.
    torch.nn.init.normal_(encoder.get_input_embeddings().weight)
    return encoder.eval()


def _random_encoder(family: str) -> nn.Module:
    if family == "bert":
        config = BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            num_hidden_layers=BLOCKS,
            num_attention_heads=4,
            intermediate_size=64,
        )
        return BertModel(config, add_pooling_layer=False)
    if family == "clip":
        config = CLIPTextConfig(
            vocab_size=VOCABULARY,
            hidden_size=WIDTH,
            num_hidden_layers=BLOCKS,
            num_attention_heads=4,
            intermediate_size=64,
            max_position_embeddings=80,
            bos_token_id=1,
            eos_token_id=2,
        )
        return CLIPTextModel(config)
    config_class, model_class = {"t5": (T5Config, T5EncoderModel), "umt5": (UMT5Config, UMT5EncoderModel)}[family]
    config = config_class(vocab_size=VOCABULARY, d_model=WIDTH, d_kv=8, d_ff=64, num_layers=BLOCKS, num_heads=4)
    return model_class(config)


def make_tokenizer(**options: Any) -> PreTrainedTokenizerFast:
    """One token per word, `<s>` in front and `</s>` behind."""
    vocabulary = {word: index for index, word in enumerate(["<pad>", "<s>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>", **options
    )


@cache
def _video_model(seed: int) -> tuple[nn.Module, nn.Module, torch.Tensor]:
    """Wan's VAE and transformer in small, and the state that making them leaves torch's generator in."""
    from diffusers import AutoencoderKLWan, WanTransformer3DModel

    with torch.inference_mode(False), torch.device("cpu"):  # whatever mode the first caller is in
        torch.manual_seed(seed)
        vae = AutoencoderKLWan(
            base_dim=4,
            z_dim=4,
            dim_mult=[1, 1, 1, 1],
            num_res_blocks=1,
            temperal_downsample=[False, True, True],
            latents_mean=[0.0] * 4,
            latents_std=[1.0] * 4,
        )
        transformer = WanTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=4,
            out_channels=4,
            text_dim=WIDTH,
            freq_dim=16,
            ffn_dim=32,
            num_layers=1,
            rope_max_seq_len=32,
        )
    return vae.eval(), transformer.eval(), torch.get_rng_state()


def make_pipe(family: str = "umt5", seed: int = 0) -> Any:
    """A tiny `WanPipeline` on the path of Wan2.2-5B (`expand_timesteps=True`)."""
    from diffusers import FlowMatchEulerDiscreteScheduler, WanPipeline

    encoder = make_encoder(family, seed)
    vae, transformer, state = _video_model(seed)  # copies are made in a third of the time
    torch.set_rng_state(state)
    pipe = WanPipeline(
        tokenizer=make_tokenizer(),
        text_encoder=encoder,
        vae=deepcopy(vae),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=2.0),
        transformer=deepcopy(transformer),
        expand_timesteps=True,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def make_eraser(
    tokenizer: Any,
    encoder: nn.Module,
    word: str = "zeppelin",
    layer: int = 1,
    form: PromptForm = SHORT,
    **changes: Any,
) -> ClearEraser:
    """An eraser with one planted feature: a linear discriminant that finds `word` at block `layer` and nothing else.

    `form` is that of the pipeline that the eraser is for: attended padding changes what the words become.
    """
    frames = (
        "a {}",
        "a photo of a {}",
        "{} near the river",
        "a red {} near the river",
        "a blue {} and a {} in the garden",
    )
    prompts = [frame.format(a, b) for a in NOUNS for b in NOUNS for frame in frames if a != b or "{} and" not in frame]
    prompts = [*dict.fromkeys(prompts), "an apple on the table"]
    tokens = encode_blocks(tokenizer, encoder, prompts, form, layers=[layer])
    hidden, own = tokens.hidden[0], tokens.token_id == tokenizer.convert_tokens_to_ids(word)
    mean = hidden.mean(dim=0)
    x = hidden - mean
    difference = x[own].mean(dim=0) - x[~own].mean(dim=0)
    spread = x.T @ x / len(x)
    discriminant = torch.linalg.solve(spread + 1e-4 * torch.trace(spread) * torch.eye(len(mean)), difference)
    row = torch.nn.functional.normalize(difference, dim=0)
    # Scaled so that one edit takes exactly the feature's activation away.
    direction = discriminant / (discriminant @ row)
    projected = x @ direction
    bias = (projected[own].min() + projected[~own].max()) / 2
    assert projected[own].min() > projected[~own].max(), f"{word!r} is not separable at block {layer}"
    values: dict[str, Any] = {
        "concept": Concept(word),
        "layer": layer,
        "strength": 1.0,
        "encoder_fingerprint": fingerprint(encoder),
        "W_enc": direction[:, None].clone(),
        "b_enc": -bias[None].clone(),
        "W_dec": row[None].clone(),
        "mask": torch.ones(1),
        "b_dec": mean.clone(),
        "scale": torch.tensor(1.0),
        "gate": open_gate(1),
        "target": torch.zeros(len(mean)),
        "mean_edit": torch.zeros(len(mean)),
        "witness": hidden[own][projected[own].argmax()].clone(),
    }
    return ClearEraser(**{**values, **changes})
