"""From autoencoders to an eraser: specific features, a gate, a strength, and what takes the concept's place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..concept import Concept, Kind
from ..encoder.activations import encode_by_length, iter_blocks
from ..encoder.layers import layer_name
from ..errors import FitError
from ..prompts.writer import write_prompts
from .config import ClearConfig, EditConfig
from .data import FitData, subset
from .eraser import ClearEraser
from .gate import fit_gate, open_gate, prompt_maxima, streamed_maxima
from .masks import Activity, activity, contrast_mask, literal_mask, relative_mask, soft_mask
from .pairs import roles_of_pairs
from .sae import SaeBank
from .witness import failure_on_witness

_PAIRS = 96
NEUTRAL: dict[Kind, str] = {"object": "thing", "identity": "a person"}
"""By kind of concept, the words that name nobody and nothing in particular. Without a style or an attribute the rest of
the prompt still says what to draw."""


def activities(
    data: FitData,
    bank: SaeBank,
    *,
    layer: int | None = None,
    limit: int | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Activity, Activity]:
    """How the features of `bank` behave on training tokens, at most `limit` of each side: positives, negatives.

    `bank` is that of all layers of `data`, or of `layer` alone.
    """
    # Prompts that share a word with the concept are the gate's business: at early layers, where a word is still
    # itself, they would leave no feature specific to a name made of ordinary words.
    sides = data.positive, ~data.positive & ~data.same_word
    result = []
    for side in sides:
        tokens = data.tokens_of(side & ~data.held_out)
        if limit is not None and generator is not None:
            tokens = subset(tokens, limit, generator)
        hidden = data.hidden(tokens) if layer is None else data.hidden_at(layer, tokens)[None]
        result.append(activity(bank.encode(hidden)))
    return result[0], result[1]


def specificity(positives: Activity, negatives: Activity, config: EditConfig) -> Tensor:
    """`m_spec` `[..., m]` by the configured mask."""
    if config.mask == "literal":
        return literal_mask(negatives, config.rho)
    if config.mask == "soft":
        return soft_mask(positives, negatives)
    if config.mask == "relative":
        return relative_mask(negatives)
    return contrast_mask(positives, negatives, min_rate=config.min_rate, max_ratio=config.max_ratio)


def trial(
    data: FitData, bank: SaeBank, layer: int, mask: Tensor, energy: Tensor, config: EditConfig
) -> ClearEraser | None:
    """An eraser at `layer` with an open gate and γ = 1, or None where no feature is specific.

    `bank` is that of `layer` alone; `mask` and energy on positives are `[m]`.
    """
    chosen = mask.nonzero()[:, 0]
    if config.max_features is not None and len(chosen) > config.max_features:
        chosen = chosen[(mask.square() * energy)[chosen].topk(config.max_features).indices].sort().values
    if not len(chosen):
        return None
    width = bank.mean.shape[-1]
    return ClearEraser(
        concept=data.concept,
        layer=layer,
        strength=1.0,
        encoder_fingerprint=data.source.fingerprint,
        encoder_architecture=data.source.architecture,
        W_enc=bank.W_enc[0][:, chosen],
        b_enc=bank.b_enc[0, 0, chosen],
        W_dec=bank.W_dec[0][chosen],
        mask=mask[chosen],
        b_dec=bank.mean[0, 0],
        scale=bank.scale[0, 0, 0],
        gate=open_gate(len(chosen)),
        target=torch.zeros(width),
        mean_edit=torch.zeros(width),
        max_length=data.source.path.form.length,
    )


def select(data: FitData, bank: SaeBank, layer: int, config: ClearConfig, *, mask: Tensor | None = None) -> ClearEraser:
    """The eraser at `layer` with γ = 1: specific features by all training tokens, and its gate.

    `bank` is that of `layer` alone. `mask` `[m]` is used in place of the specificity mask, for controls.

    Raises:
        FitError: no feature is specific to the concept.
    """
    positives, negatives = activities(data, bank, layer=layer)
    specific = specificity(positives, negatives, config.edit)[0] if mask is None else mask.to(bank.W_dec.device)
    eraser = trial(data, bank, layer, specific, positives.energy[0], config.edit)
    if eraser is None:
        raise FitError(
            f"no feature of {layer_name(layer)} is specific to {data.concept.name!r}. Is the name a word that the text"
            " encoder knows? Try synonyms, more pairs, or a larger edit.max_ratio."
        )
    if config.edit.gate:
        used = ~data.held_out
        gate = fit_gate(
            _maxima(data, eraser)[used],
            data.positive[used],
            data.same_word[used],
            position=config.edit.gate_position,
        )
        eraser = replace(eraser, gate=gate)
    firing = features_of(data, eraser).norm(dim=-1)
    strongest = prompt_maxima(firing[:, None], data.prompt, len(data.number))[data.positive]
    eraser = replace(eraser, unit_firing=max(float(strongest.mean()), 1e-6))
    # The state on which its features fire most goes with it: what is loaded is tried on it.
    firing = features_of(data, eraser).norm(dim=-1) * data.of_prompts(data.positive).to(firing.device)
    witness = replace(eraser, witness=data.hidden_at(layer, firing.argmax().cpu()[None])[0])
    return eraser if failure_on_witness(witness) else witness


def features_of(data: FitData, eraser: ClearEraser) -> Tensor:
    """What the eraser sees on every token of the fit's prompts, `[tokens, k]`: masked, and zero where its gate is
    shut."""
    f = eraser.active_features(data.hidden_at(eraser.layer))
    opened = eraser.opens(prompt_maxima(f, data.prompt, len(data.number)))
    return f * eraser.mask.to(f.device) * opened[data.prompt][:, None]


def _maxima(data: FitData, eraser: ClearEraser) -> Tensor:
    """Maximum of each selected feature over each prompt, `[prompts, k]`, on the CPU."""
    path = data.source.path
    if path.form.attend_pads or path.form.skip:  # the gate will see tokens that the states lack
        parts = iter_blocks(
            path.tokenizer, path.encoder, data.texts,
            form=path.form, layers=[eraser.layer], every_token=True, device=data.source.device, dtype=None,
        )  # fmt: skip
        return streamed_maxima(parts, eraser.active_features, len(data.number), eraser.num_features)
    f = eraser.active_features(data.hidden_at(eraser.layer))
    return prompt_maxima(f, data.prompt, len(data.number)).cpu()


def choose_strength(data: FitData, eraser: ClearEraser, config: EditConfig) -> tuple[ClearEraser, dict[str, Any]]:
    """γ as configured, or the smallest candidate whose residual at the encoder's output is within the bound; and what
    was tried.

    It is chosen by the subtraction alone: a replacement would hide its residual.
    """
    tried: dict[float, dict[str, float]] = {}
    for gamma in sorted(config.strengths if config.strength is None else (config.strength,)):
        tried[gamma] = data.output_probe(eraser.with_strength(gamma))
        if max(residuals(tried[gamma])) <= config.residual_bound:
            break
    else:
        gamma = min(tried, key=lambda g: max(map(abs, residuals(tried[g]))))
    trials = {str(float(g)): {name: round(value, 4) for name, value in judged.items()} for g, judged in tried.items()}
    return eraser.with_strength(gamma), trials


def residuals(judged: dict[str, float]) -> list[float]:
    """The residuals of all roles."""
    return [value for name, value in judged.items() if name.startswith("residual")]


def in_its_place(concept: Concept, config: EditConfig) -> str | None:
    """The words that take the concept's place: `replace_with`, else those of `NEUTRAL`; None for nothing."""
    if concept.replace_with is not None or config.replace_with == "nothing":
        return concept.replace_with
    words = NEUTRAL.get(concept.kind)
    return None if words is None or concept.is_mentioned_in(words) else words


def replace_concept(data: FitData, eraser: ClearEraser, config: EditConfig) -> ClearEraser:
    """The eraser with what takes the concept's place, if anything does. Ours, not the paper's.

    Subtracting the concept leaves tokens that are about no thing, yet are not what the encoder makes of words that name
    nothing; a video model does not know what to draw for them, and draws a blur. So the place is given what the encoder
    makes of such words: `target` T − h̄, from the mean state of the concept's tokens to that of the other's, and
    `mean_edit` v̄, the mean of what γ = 1 subtracts from the concept's.
    """
    words = in_its_place(data.concept, config)
    if words is None:
        return eraser
    ours = len(data.prompts.pairs[:_PAIRS])
    sides = [
        data.tokens_of((data.number >= first) & (data.number < first + ours)) for first in (0, len(data.prompts.pairs))
    ]
    named = sides[0][roles_of_pairs(*(data.at(tokens) for tokens in sides))[0]["name"]]
    hidden = data.hidden_at(eraser.layer, named)
    f = eraser.active_features(hidden) * eraser.mask.to(hidden.device)
    mean_edit = eraser.scale.to(f.device) * (f @ eraser.W_dec.to(f.device))
    target = _mean_state(words, data, eraser.layer, ours) - hidden.mean(dim=0)
    return replace(eraser, target=target, mean_edit=mean_edit.mean(dim=0))


def _mean_state(words: str, data: FitData, layer: int, pairs: int) -> Tensor:
    """Mean state after `layer` on the tokens of `words`, `[d]`."""
    path = data.source.path
    made = write_prompts(Concept(words, data.concept.kind), seed=data.seed, pairs=pairs, retain=0).pairs
    texts = [pair[side] for side in (0, 1) for pair in made]
    read = encode_by_length(
        path.tokenizer, path.encoder, texts, path.form, layers=[layer], device=data.source.device, dtype=None
    )
    sides = [(read.prompt < len(made)).nonzero()[:, 0], (read.prompt >= len(made)).nonzero()[:, 0]]
    named = sides[0][roles_of_pairs(*(read.at(tokens) for tokens in sides))[0]["name"]]
    return read.hidden[0, named].float().mean(dim=0)
