"""`unseen.fit`: one call from a pipeline and a concept to an eraser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from unseen.concept import Concept, PromptPair
from unseen.pipelines import text_path
from .config import ClearConfig
from unseen.clear.eraser import ClearEraser
from .fitter import ClearFitter


# The autoencoders are trained by autograd, which the caller may have switched off.
@torch.inference_mode(False)
@torch.enable_grad()
def fit(
    pipe: Any,
    concept: Concept | str,
    *,
    config: ClearConfig | None = None,
    seed: int = 0,
    pairs: Sequence[PromptPair] | None = None,
    encoder: str | None = None,
    progress: bool = True,
) -> ClearEraser:
    """Fit an eraser for `concept`.

    Args:
        pipe: A diffusers pipeline, or the pair `(tokenizer, encoder)`. Only the text encoder is used; transformer and
            VAE need not be loaded.
        concept: What to erase; a string means `Concept(string)`.
        config: Settings; default `ClearConfig()`, the published method is `ClearConfig.paper()`.
        seed: Seed of prompts, autoencoders and layer search.
        pairs: Your own prompt pairs (see `load_pairs`) instead of those made from the name.
        encoder: Which text encoder, where a pipeline has several (see `unseen.text_encoders`): each needs an eraser.
        progress: Show a progress bar.

    Returns:
        A frozen `ClearEraser`; `eraser.report` says how the fit went.

    Raises:
        FitError: Too few pairs, or no feature specific to the concept.
        UnsupportedPipelineError: The pipeline has no text encoder, or several and `encoder` names none of them.
    """
    config = config or ClearConfig()
    path = text_path(pipe, encoder, max_length=config.max_length)
    was_training = path.encoder.training
    path.encoder.eval()
    try:
        return ClearFitter(
            path.tokenizer,
            path.encoder,
            Concept(concept) if isinstance(concept, str) else concept,
            config,
            seed=seed,
            pairs=pairs,
            form=path.form,
            progress=progress,
        ).fit()
    finally:
        path.encoder.train(was_training)
