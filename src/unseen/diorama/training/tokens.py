"""Captions as tokens, and the training of Diorama-CogVideoX's SentencePiece tokenizer.

    python -m unseen.diorama.training.tokens     # needs the packages sentencepiece and protobuf

The tokenizer learns from the captions that the video model is trained on and from the library's own prompts.
"""

from __future__ import annotations

import argparse
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoTokenizer, BertModel, PreTrainedTokenizerBase

from unseen.concept import Concept
from unseen.diorama.model.minilm import load_minilm
from unseen.diorama.model.networks import T5_VOCABULARY, TEXT_LENGTH, Which
from unseen.diorama.model.text import TOKENIZER, load_t5, load_t5_tokenizer
from unseen.diorama.stored import WEIGHTS
from unseen.diorama.training.checkpoints import CHECKPOINTS
from unseen.diorama.training.clips import training_captions, training_scene
from unseen.prompts.writer import PromptWriter

CARRIED = CHECKPOINTS / "minilm"
"""Where MiniLM lies on a machine that was given nothing but this repository and this folder."""
EXTRA_IDS = 8
"""Sentinels as T5 has them; the first stands for hidden words in training."""


def load_tokenizer(which: Which, weights: Path = WEIGHTS) -> PreTrainedTokenizerBase:
    """The tokenizer of one of the two models; on a bare machine MiniLM's is the carried one."""
    if which == "cogvideox":
        return load_t5_tokenizer(weights)
    if CARRIED.exists():
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(CARRIED)
        return tokenizer
    return load_minilm()[0]


def load_encoder(which: Which, weights: Path = WEIGHTS) -> nn.Module:
    """The text encoder of one of the two models, frozen; on a bare machine MiniLM is the carried one."""
    if which == "cogvideox":
        return load_t5(weights)[1]
    if CARRIED.exists():
        encoder = BertModel.from_pretrained(CARRIED, add_pooling_layer=False, dtype=torch.float32)
        return encoder.eval().requires_grad_(False)
    return load_minilm()[1]


def carry_minilm() -> None:
    """Write MiniLM in half precision, 46 MB, for a machine that has no package to read it from."""
    tokenizer, encoder = load_minilm()
    tokenizer.save_pretrained(CARRIED)
    encoder.half().save_pretrained(CARRIED)


def token_ids(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, batch: int = 20_000) -> np.ndarray:
    """int32 `[n, TEXT_LENGTH]`, padded as the pipelines pad."""
    parts = []
    for start in range(0, len(texts), batch):
        encoded: Any = tokenizer(
            list(texts[start : start + batch]),
            padding="max_length",
            truncation=True,
            max_length=TEXT_LENGTH,
            return_tensors="np",
        )
        parts.append(encoded["input_ids"].astype(np.int32))
    return np.concatenate(parts)


def ordinary_prompts(count: int, seed: int = 0) -> list[str]:
    """Prompts about everyday things, most of which no clip shows, as the library writes them for a fit."""
    return PromptWriter(Concept("nothing in particular"), seed).retain(count)


def corpus(scenes: int) -> list[str]:
    """Training captions, and half as many prompts about everyday things."""
    texts = [text for i in range(scenes) for text in training_captions(training_scene(i), i, 4)]
    return texts + ordinary_prompts(2 * scenes)


def train_tokenizer(scenes: int, weights: Path = WEIGHTS) -> None:
    """Learn the pieces and store `spiece.model` beside the `tokenizer.json` that is made of it."""
    import sentencepiece
    from transformers import T5TokenizerFast

    folder = weights / TOKENIZER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus(scenes)),
        model_writer=model,
        vocab_size=T5_VOCABULARY - EXTRA_IDS,
        character_coverage=1.0,
        model_type="unigram",
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    tokenizer = T5TokenizerFast.from_pretrained(folder, extra_ids=EXTRA_IDS, model_max_length=TEXT_LENGTH)
    tokenizer.save_pretrained(folder)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="unseen train tokens", description=__doc__.split("\n")[0])
    parser.add_argument("--scenes", type=int, default=20_000, help="to take captions of (default: %(default)s)")
    parser.add_argument("--carry", action="store_true", help="only write MiniLM to where a bare machine looks for it")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder of the weights (default: the package's)")
    options = parser.parse_args(argv)
    if options.carry:
        carry_minilm()
    else:
        train_tokenizer(options.scenes, options.weights)


if __name__ == "__main__":
    main()
