"""`unseen.fit`: one call from a pipeline and a concept to an eraser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..concept import Concept, PromptPair
from ..text_encoder import pads_attended
from .config import ClearConfig
from .eraser import ClearEraser
from .fitter import ClearFitter


def fit(
    pipe: Any,
    concept: Concept | str,
    *,
    config: ClearConfig | None = None,
    seed: int = 0,
    pairs: Sequence[PromptPair] | None = None,
    progress: bool = True,
) -> ClearEraser:
    """Fit an eraser for `concept`.

    Args:
        pipe: A pipeline with `tokenizer` and `text_encoder`, or the pair `(tokenizer, encoder)`. Only the text
        encoder is
            used; transformer and VAE need not be loaded.
        concept: What to erase; a string means `Concept(string)`.
        config: Settings; default `ClearConfig()`, the published method is `ClearConfig.paper()`.
        seed: Seed of prompts, autoencoders and layer search.
        pairs: Your own prompt pairs (see `load_pairs`) instead of those made from the name.
        progress: Show a progress bar.

    Returns:
        A frozen `ClearEraser`; `eraser.report` says how the fit went.

    Raises:
        FitError: Too few pairs, or no feature specific to the concept.
    """
    tokenizer, encoder = pipe if isinstance(pipe, tuple) else (pipe.tokenizer, pipe.text_encoder)
    was_training = encoder.training
    encoder.eval()
    try:
        return ClearFitter(
            tokenizer,
            encoder,
            Concept(concept) if isinstance(concept, str) else concept,
            config or ClearConfig(),
            seed=seed,
            pairs=pairs,
            attend_pads=not isinstance(pipe, tuple) and pads_attended(pipe),
            progress=progress,
        ).fit()
    finally:
        encoder.train(was_training)
