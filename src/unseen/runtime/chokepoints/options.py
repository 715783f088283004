"""What the options of an `encode_prompt` are, by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HARMLESS = frozenset(
    "device dtype num_images_per_prompt num_videos_per_prompt num_waveforms_per_prompt do_classifier_free_guidance"
    " batch_size max_sequence_length lora_scale clean_caption prompt_template".split()
)
"""Options of `encode_prompt` that do not change which layer of the text encoder is used."""


def may_skip(name: str) -> bool:
    """Whether an option of `encode_prompt` may change which layer of the text encoder is used."""
    return name not in _HARMLESS and not is_prompt(name) and "embeds" not in name and "mask" not in name


def prompts_of(options: Mapping[str, Any]) -> list[str]:
    """The prompts of a call, one or several."""
    prompt = options.get("prompt")
    return [prompt] if isinstance(prompt, str) else list(prompt or ())


def texts_by_row(options: Mapping[str, Any]) -> tuple[str, ...]:
    """By row everything that is asked, for whichever text encoder."""
    asked = [value for name, value in options.items() if is_prompt(name) and not name.startswith("negative_")]
    columns = [[value] if isinstance(value, str) else list(value) for value in asked if value]
    rows = max(map(len, columns), default=0)
    return tuple(" / ".join(c[row] if row < len(c) else c[0] for c in columns) for row in range(rows))


def is_prompt(name: str) -> bool:
    """ "prompt", "negative_prompt", and the same for a second and third text encoder ("prompt_2")."""
    first, _, number = name.removeprefix("negative_").partition("_")
    return first == "prompt" and (not number or number.isdigit())


def is_negative_embedding(name: str) -> bool:
    """ "negative_prompt_embeds" and its kin."""
    return name.startswith("negative_") and "embeds" in name and "mask" not in name


def is_embedding(name: str) -> bool:
    """ "prompt_embeds", "pooled_prompt_embeds", and those of one encoder among several ("prompt_embeds_2")."""
    return "prompt_embeds" in name and not name.startswith("negative") and "mask" not in name
