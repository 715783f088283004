"""The nodes: load erasers, apply them to a CLIP or to WanVideoWrapper's text encoder, see what fired, check."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ...clear.eraser import FILES, ClearEraser
from ...clear.packs import PACK_FILES, load_erasers
from ...hub import is_hub_id
from ...runtime.audit import token_names
from ...runtime.context.call import Record
from .acting import ErasedBy
from .clip import acting_on, erased_clip, plain_clip
from .wan import encoder_of, erased_t5

CATEGORY = "unseen"
ERASERS = "UNSEEN_ERASERS"
"""What ComfyUI calls a tuple of erasers."""
_ON = {"allow_unguarded": ("BOOLEAN", {"default": False, "tooltip": "Other text encoders may run without erasers."})}
_STRENGTH = ("FLOAT", {"default": -1.0, "min": -1.0, "max": 10.0, "step": 0.05, "tooltip": "−1: each eraser's own"})


class LoadErasers:
    """One eraser or a pack, from a folder or the hub; chained to add more."""

    CATEGORY, FUNCTION = CATEGORY, "load"
    RETURN_TYPES, RETURN_NAMES = (ERASERS,), ("erasers",)
    DESCRIPTION = "Loads erasers from a folder that `unseen fit` wrote, or from the hub (org/repo)."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """As ComfyUI asks for them."""
        return {
            "required": {"source": ("STRING", {"default": ""}), "strength": _STRENGTH},
            "optional": {"revision": ("STRING", {"default": ""}), "erasers": (ERASERS,)},
        }

    @classmethod
    def IS_CHANGED(cls, source: str, strength: float, revision: str = "", erasers: Any = None) -> str:
        """What ComfyUI's cache depends on: the files themselves, so that a new fit is never taken for the old."""
        if is_hub_id(source):
            return f"{source}@{revision}" if revision else "nan"  # a branch may have moved: NaN is never equal
        digest = hashlib.sha256()
        for name in (*FILES, *PACK_FILES):
            file = Path(source) / name
            digest.update(file.read_bytes() if file.is_file() else b"-")
        return digest.hexdigest()

    def load(
        self, source: str, strength: float, revision: str = "", erasers: Sequence[ClearEraser] | None = None
    ) -> tuple[tuple[ClearEraser, ...]]:
        """The erasers, those that came in before them."""
        loaded = load_erasers(source, revision=revision or None)
        if strength >= 0:
            loaded = [eraser.with_strength(strength) for eraser in loaded]
        return ((*(erasers or ()), *loaded),)


class ApplyToClip:
    """Erasers on a `CLIP` of ComfyUI's own."""

    CATEGORY, FUNCTION = CATEGORY, "apply"
    RETURN_TYPES, RETURN_NAMES = ("CLIP", "UNSEEN_PROOF"), ("clip", "proof")
    DESCRIPTION = "A CLIP that encodes prompts with erasers. Give it to the positive prompt; the negative may stay."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """As ComfyUI asks for them."""
        return {"required": {"clip": ("CLIP",), "erasers": (ERASERS,)}, "optional": _ON}

    def apply(self, clip: Any, erasers: Sequence[ClearEraser], allow_unguarded: bool = False) -> tuple[Any, ErasedBy]:
        """The CLIP with erasers, and what proves that embeddings came out of it."""
        by = ErasedBy(tuple(erasers), allow_unguarded)
        return erased_clip(clip, by), by


class ApplyToWanT5:
    """Erasers on WanVideoWrapper's text encoder."""

    CATEGORY, FUNCTION = CATEGORY, "apply"
    RETURN_TYPES, RETURN_NAMES = ("WANTEXTENCODER", "UNSEEN_PROOF"), ("wan_t5_model", "proof")
    DESCRIPTION = "WanVideoWrapper's text encoder with erasers; leave use_disk_cache off in the node that encodes."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """As ComfyUI asks for them."""
        return {"required": {"t5": ("WANTEXTENCODER",), "erasers": (ERASERS,)}}

    def apply(self, t5: Any, erasers: Sequence[ClearEraser]) -> tuple[dict[str, Any], ErasedBy]:
        """The text encoder with erasers, and what proves that embeddings came out of it."""
        by = ErasedBy(tuple(erasers))
        return erased_t5(t5, by), by


class RequireErased:
    """Lets embeddings pass that came out of the encoder with erasers, and stops the graph for any other."""

    CATEGORY, FUNCTION = CATEGORY, "check"
    RETURN_TYPES, RETURN_NAMES = ("CONDITIONING", "WANVIDEOTEXTEMBEDS"), ("conditioning", "text_embeds")
    DESCRIPTION = "Put it before the sampler: embeddings from a disk cache or another encoder stop the graph."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """As ComfyUI asks for them."""
        optional = {"conditioning": ("CONDITIONING",), "text_embeds": ("WANVIDEOTEXTEMBEDS",)}
        return {"required": {"proof": ("UNSEEN_PROOF",)}, "optional": optional}

    @classmethod
    def IS_CHANGED(cls, **inputs: Any) -> float:
        """Always: what comes in may be from a cache that ComfyUI does not know."""
        return float("nan")

    def check(self, proof: ErasedBy, conditioning: Any = None, text_embeds: Any = None) -> tuple[Any, Any]:
        """What came in."""
        if conditioning is None and text_embeds is None:
            raise ValueError("expected conditioning or text_embeds to look at, got neither.")
        for cond, _ in conditioning or ():
            proof.require(cond)
        if text_embeds is not None:
            proof.require(text_embeds["prompt_embeds"])
        return conditioning, text_embeds


class ShowFired:
    """Which words of a prompt erasers act on, and how strongly."""

    CATEGORY, FUNCTION, OUTPUT_NODE = CATEGORY, "show", True
    RETURN_TYPES, RETURN_NAMES = ("STRING",), ("fired",)
    DESCRIPTION = "Shows which words of a prompt fire; 1 is as on the concept itself."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        """As ComfyUI asks for them."""
        return {
            "required": {"erasers": (ERASERS,), "text": ("STRING", {"multiline": True, "default": ""})},
            "optional": {"clip": ("CLIP",), "t5": ("WANTEXTENCODER",)},
        }

    def show(self, erasers: Sequence[ClearEraser], text: str, clip: Any = None, t5: Any = None) -> dict[str, Any]:
        """A line for each eraser that acts."""
        by = ErasedBy(tuple(erasers), allow_unguarded=True)
        if (clip is None) == (t5 is None):
            raise ValueError("expected a clip or WanVideoWrapper's t5, and one of them only.")
        with torch.no_grad():
            if clip is not None:
                plain = plain_clip(clip)
                tokens = plain.tokenize(text)
                with acting_on(plain, by, tokens) as record:
                    plain.encode_from_tokens(tokens)
                lines = _lines(record, [pair[0] for rows in tokens.values() for pair in rows[0]], plain)
            else:
                inner = getattr(t5["model"], "_inner", t5["model"])
                device = next(inner.model.parameters()).device
                with by.acting([encoder_of(inner)], [text]) as record:
                    inner([text], device)
                lines = _lines(record, [], None)
        said = "\n".join(lines) or "nothing fires: the prompt stays as it is"
        return {"ui": {"text": [said]}, "result": (said,)}


def _lines(record: Record, ids: Sequence[int], clip: Any) -> list[str]:
    lines = []
    for acted in record.deltas:
        places = acted.delta.touched[0].nonzero()[:, 0].tolist()
        if acted.ids is not None:
            words = token_names(acted, 0, places)
        else:
            spelled = acted.site.path.tokenizer.convert_ids_to_tokens(ids)
            words = [spelled[place] if place < len(spelled) else str(place) for place in places]
        strong = [float(acted.delta.activity[0, place]) for place in places]
        fired = ", ".join(f"{word} {value:.2f}" for word, value in zip(words, strong, strict=True))
        if fired:
            lines.append(f"{acted.eraser.name}: {fired}")
    return lines


NODE_CLASS_MAPPINGS = {
    "UnseenLoadErasers": LoadErasers,
    "UnseenApplyToClip": ApplyToClip,
    "UnseenApplyToWanT5": ApplyToWanT5,
    "UnseenRequireErased": RequireErased,
    "UnseenShowFired": ShowFired,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "UnseenLoadErasers": "Load Erasers (unseen)",
    "UnseenApplyToClip": "Apply Erasers to CLIP (unseen)",
    "UnseenApplyToWanT5": "Apply Erasers to Wan T5 (unseen)",
    "UnseenRequireErased": "Require Erased Embeddings (unseen)",
    "UnseenShowFired": "Show Which Words Fired (unseen)",
}
