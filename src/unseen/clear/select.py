"""From autoencoders to an eraser: specific features, a gate, a strength, and what takes the concept's place.

Which features belong to the concept is said by a mask `m_spec` per feature, `[..., m]`, from activations on tokens of
positive prompts and of prompts without the concept. CLEAR sets `m_shared` from activity on the negatives and
`m_spec = 1 − m_shared`; what "activity" means is our reading.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple
from weakref import ref

import torch
from torch import Tensor

from ..concept import Concept, Kind
from ..encoder.activations import encode_by_length, iter_blocks
from ..encoder.layers import layer_name
from ..errors import FitError
from ..prompts.writer import write_prompts
from .config import ClearConfig, EditConfig
from .data import FitData
from .eraser import ClearEraser
from .gate import fit_gate, open_gate, prompt_maxima
from .probe import residuals, roles_of_pairs
from .sae import SaeBank
from .witness import failure_on_witness

_PAIRS = 96
NEUTRAL: dict[Kind, str] = {"object": "thing", "identity": "a person"}
"""By kind of concept, the words that name nobody and nothing in particular. Without a style or an attribute the rest of
the prompt still says what to draw."""


class Activity(NamedTuple):
    """How the features of one or more autoencoders behave on some tokens; each entry `[..., m]`."""

    rate: Tensor
    """Share of tokens on which the feature is active."""
    mean: Tensor
    """Mean activation over all tokens, silent ones included."""
    energy: Tensor
    """Mean squared activation over all tokens."""


def activity(f: Tensor) -> Activity:
    """`Activity` of feature activations `f` `[..., tokens, m]`."""
    return Activity((f > 0).float().mean(dim=-2), f.mean(dim=-2), f.square().mean(dim=-2))


def activity_on(data: FitData, bank: SaeBank, tokens: Tensor, layer: int | None = None) -> Activity:
    """`Activity` of `bank`, of `layer` alone or all layers, on `tokens` `[n]`; concepts fitted together share most."""
    states, key = data.states.hidden, data.where[tokens].numpy().tobytes()
    if key not in bank.known or bank.known[key][0]() is not states:
        hidden = data.hidden(tokens) if layer is None else data.hidden_at(layer, tokens)[None]
        bank.known[key] = ref(states), activity(bank.encode(hidden))
    return bank.known[key][1]


def literal_mask(negatives: Activity, rho: float = 0.0) -> Tensor:
    """`m_spec` = 1 where a feature is active on at most a share `rho` of the negative tokens.

    With few negatives a feature that never fired anywhere counts as specific and may later fire on an unseen word.
    """
    return (negatives.rate <= rho).float()


def soft_mask(positives: Activity, negatives: Activity) -> Tensor:
    """`m_spec` = 1 − relative frequency: rate on negatives over rate on positives, cut to [0, 1]; silent features get
    0."""
    shared = negatives.rate / positives.rate.clamp_min(1e-12)
    return torch.where(positives.rate > 0, 1 - shared.clamp(max=1), 0.0)


def relative_mask(negatives: Activity) -> Tensor:
    """`m_spec` = 1 − mean activation on negatives over that of the most active feature: the soft mask of a third
    party's transcription of the paper. A feature that never fired counts as specific."""
    return 1 - negatives.mean / (negatives.mean.amax(dim=-1, keepdim=True) + 1e-8)


def contrast_mask(positives: Activity, negatives: Activity, *, min_rate: float, max_ratio: float) -> Tensor:
    """`m_spec` = 1 where a feature fires on more than `min_rate` of the positive tokens while its mean activation on
    the negatives is below `max_ratio` times that on the positives. A feature that never fired is never specific."""
    return ((positives.rate > min_rate) & (negatives.mean < max_ratio * positives.mean)).float()


def leak(positives: Activity, negatives: Activity, mask: Tensor) -> Tensor:
    """Specific energy on negatives over that on positives, `[...]`; 0 means the edit never touches negatives."""
    return (negatives.energy * mask.square()).sum(-1) / (positives.energy * mask.square()).sum(-1).clamp_min(1e-12)


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
    """An eraser at `layer`, whose bank it is, with an open gate and γ = 1, or None where no feature is specific;
    `mask` and `energy`, that on positives, are `[m]`."""
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
    positives, negatives = (activity_on(data, bank, side, layer) for side in data.contrast)
    specific = specificity(positives, negatives, config.edit)[0] if mask is None else mask.to(bank.W_dec.device)
    eraser = trial(data, bank, layer, specific, positives.energy[0], config.edit)
    if eraser is None:
        raise FitError(
            f"no feature of {layer_name(layer)} is specific to {data.concept.name!r}. Is the name a word that the text"
            " encoder knows? Try synonyms, more pairs, or a larger edit.max_ratio."
        )
    if config.edit.gate:
        maxima, position = _maxima(data, eraser), config.edit.gate_position
        facts = (fact[~data.held_out] for fact in (maxima, data.positive, data.same_word))
        eraser = replace(eraser, gate=fit_gate(*facts, position=position))
    firing = features_of(data, eraser).norm(dim=-1)
    strongest = data.maxima(firing[:, None])[data.positive]
    eraser = replace(eraser, unit_firing=max(float(strongest.mean()), 1e-6))
    # The state on which its features fire most goes with it: what is loaded is tried on it.
    strongest = (firing * data.positive[data.prompt].to(firing.device)).argmax().cpu()
    witness = replace(eraser, witness=data.hidden_at(layer, strongest[None])[0])
    return eraser if failure_on_witness(witness) else witness


def features_of(data: FitData, eraser: ClearEraser) -> Tensor:
    """What the eraser sees on every token of the fit's prompts, `[tokens, k]`: masked, and zero where its gate is
    shut."""
    f = eraser.active_features(data.hidden_at(eraser.layer))
    opened = eraser.opens(data.maxima(f))
    return f * eraser.mask.to(f.device) * opened[data.prompt][:, None]


def _maxima(data: FitData, eraser: ClearEraser) -> Tensor:
    """Maximum of each selected feature over each prompt, `[prompts, k]`, on the CPU."""
    path, prompts = data.source.path, len(data.positive)
    if path.form.attend_pads or path.form.skip:  # the gate will see tokens that the states lack; none of them is kept
        parts = iter_blocks(
            path.tokenizer, path.encoder, data.prompts.texts,
            form=path.form, layers=[eraser.layer], every_token=True, device=data.source.device, dtype=None,
        )  # fmt: skip
        maxima = torch.zeros(prompts, eraser.num_features)
        for part in parts:
            found = prompt_maxima(eraser.active_features(part.hidden[0]), part.prompt, prompts)
            maxima = torch.maximum(maxima, found.cpu())
        return maxima
    return data.maxima(eraser.active_features(data.hidden_at(eraser.layer))).cpu()


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
    pairs = len(data.prompts.pairs)
    named, _ = data.name_tokens(torch.arange(len(data.positive)) % pairs < _PAIRS)
    hidden = data.hidden_at(eraser.layer, named)
    f = eraser.active_features(hidden) * eraser.mask.to(hidden.device)
    mean_edit = eraser.scale.to(f.device) * (f @ eraser.W_dec.to(f.device))
    key = words, data.concept.kind, data.seed, eraser.layer, min(pairs, _PAIRS)
    if key not in data.source.known:
        data.source.known[key] = _mean_state(words, data, eraser.layer, min(pairs, _PAIRS))
    target = data.source.known[key] - hidden.mean(dim=0)
    return replace(eraser, target=target, mean_edit=mean_edit.mean(dim=0))


def _mean_state(words: str, data: FitData, layer: int, pairs: int) -> Tensor:
    """Mean state after `layer` on the tokens of `words`, `[d]`."""
    path = data.source.path
    made = write_prompts(Concept(words, data.concept.kind), seed=data.seed, pairs=pairs, retain=0).pairs
    texts = [pair[side] for side in (0, 1) for pair in made]
    read = encode_by_length(
        path.tokenizer, path.encoder, texts, path.form, layers=[layer], device=data.source.device, dtype=None
    )
    first = read.prompt < len(made)
    roles, _ = roles_of_pairs(*(read.at(side.nonzero()[:, 0]) for side in (first, ~first)))
    return read.hidden[0, : len(roles["name"])][roles["name"]].float().mean(dim=0)
