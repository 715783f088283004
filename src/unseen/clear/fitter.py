"""Fit a `ClearEraser`: prompts → block outputs → autoencoders and layer preferences in turns → mask, gate, strength."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..concept import Concept, PromptPair
from ..encoder.activations import BlockActivations, PromptForm, candidate_layers, encode_by_length, iter_blocks
from ..encoder.fingerprint import architecture, fingerprint
from ..encoder.hooks import require_unedited
from ..encoder.layers import EMBEDDING, layer_name
from ..errors import FitError
from ..prompts.writer import FitPrompts, write_prompts
from .config import ClearConfig
from .criteria import CRITERIA
from .eraser import ClearEraser
from .gate import fit_gate, open_gate, prompt_maxima, streamed_maxima
from .grouped import fit_in_groups
from .layer_search import LayerCosts, LayerPreferences
from .memory import fit_memory, shape_of
from .replacement import exchange, stand_in
from .report import describe, only_numbers
from .sae import SaeBank, SaeTrainer, SharedSaeTrainer, ordinary_tokens
from .search_view import SEARCH_TOKENS, output_judge, search_view
from .specificity import Activity, activity, contrast_mask, literal_mask, soft_mask
from .witness import failure_on_witness


class ClearFitter:
    """Runs one fit. `fit` is the usual way in; the steps are public so that they can be watched and tested."""

    def __init__(
        self,
        tokenizer: Any,
        encoder: nn.Module,
        concept: Concept,
        config: ClearConfig,
        *,
        seed: int = 0,
        pairs: Sequence[PromptPair] | None = None,
        form: PromptForm | None = None,
        progress: bool = True,
    ):
        self.started = time.perf_counter()
        """When the fit began; its report says how long it took."""
        self.tokenizer, self.encoder, self.concept, self.config = tokenizer, encoder, concept, config
        self.seed, self.progress = seed, progress
        self.form = form or PromptForm(config.max_length)
        self.generator = torch.Generator().manual_seed(seed)
        require_unedited(encoder)
        self.encoder_fingerprint, self.encoder_architecture = fingerprint(encoder), architecture(encoder)
        self.layers = candidate_layers(encoder, embedding=config.embedding or config.layer == EMBEDDING, form=self.form)
        self.searched = list(self.layers)
        """All candidates; `layers` are those not dropped yet, and `kept` their places among `searched`."""
        self.kept = list(range(len(self.layers)))
        self.stand_ins: dict[tuple[str, str, int], Tensor] = {}
        """What the encoder makes of names that may take the concept's place: by name, kind and block, `[d]`."""
        if config.layer is not None and config.layer not in self.layers:
            raise FitError(
                f"ClearConfig.layer is {config.layer}, but this text encoder has blocks 0 to {self.layers[-1]}"
                f" (and {EMBEDDING} for the embedding output)."
            )
        self.prompts: FitPrompts = write_prompts(
            concept,
            seed=seed,
            pairs=config.pairs,
            retain=config.neutral,
            user_pairs=pairs,
            held_out=config.held_out,
        )
        if len(self.prompts.pairs) < 2 * config.held_out:
            raise FitError(
                f"expected at least {2 * config.held_out} prompt pairs (twice held_out), got {len(self.prompts.pairs)}."
                " Give more pairs or lower ClearConfig.held_out."
            )

    def fit(self) -> ClearEraser:
        """The whole fit. Raises `FitError` when no block has a feature specific to the concept."""
        if self.config.memory_budget is not None:
            needs = fit_memory(self.config, self.form, layers=len(self.layers), **shape_of(self.encoder))
            group = needs.group_within(int(self.config.memory_budget * 1e9))
            if group < len(self.layers):
                return fit_in_groups(self, group)
        self.encode()
        return self.finish(*self.search())

    def finish(self, bank: SaeBank, preferences: LayerPreferences, costs: Sequence[LayerCosts]) -> ClearEraser:
        """The eraser, its strength and its report from what the search found."""
        layer = self.config.layer if self.config.layer is not None else self.searched[preferences.best()]
        eraser = self.select(bank, layer)
        eraser, choice = self.choose_strength(eraser)  # by the subtraction alone: a replacement would hide its residual
        eraser = replace(self.fill(eraser), mentions=self.config.mentions)
        report = describe(self, bank, eraser, preferences, costs)
        report.update(choice)
        report["seconds"] = round(time.perf_counter() - self.started, 2)
        return replace(eraser, report=only_numbers(report))

    # Prompts to activations

    def encode(self, known: tuple[Sequence[str], BlockActivations] | None = None) -> None:
        """Encode all prompts but those `known` (with their activations), and split off the held-out ones."""
        config, prompts = self.config, self.prompts
        n = len(prompts.pairs)
        texts = [pair.positive for pair in prompts.pairs] + [pair.negative for pair in prompts.pairs]
        texts += [*prompts.retain, *prompts.same_word]
        new = [text for text in texts if text not in known[0]] if known else texts
        self.activations = encode_by_length(
            self.tokenizer, self.encoder, new, self.form, layers=self.layers, batch_size=config.encode_batch
        )
        if known:
            place = {text: number for number, text in enumerate((*known[0], *new))}
            self.activations = known[1].followed_by(self.activations).in_order([place[text] for text in texts])
        self.texts = texts
        number = torch.arange(len(texts))
        held_out = (number < 2 * n) & (number % n >= n - config.held_out)
        held_out |= (number >= 2 * n) & (number < 2 * n + len(prompts.retain)) & (number % 10 == 0)
        self.positive_prompts = number < n
        self.same_word_prompts = number >= 2 * n + len(prompts.retain)
        self.held_out_prompts = held_out
        self.train_tokens = ~self.activations.of_prompts(held_out)
        self.positive_tokens = self.activations.of_prompts(self.positive_prompts)
        self.sae_tokens = (self.train_tokens & ordinary_tokens(self.activations.hidden)).nonzero()[:, 0]
        if len(self.sae_tokens) > config.max_tokens:
            shuffled = torch.randperm(len(self.sae_tokens), generator=self.generator)
            self.sae_tokens = self.sae_tokens[shuffled[: config.max_tokens]]
        self.judge = output_judge(self)

    # Alternating optimisation

    def search(self) -> tuple[SaeBank, LayerPreferences, list[LayerCosts]]:
        """Train the bank (phase A) and the layer preferences (phase B) in turns."""
        config = self.config
        layers = len(self.layers)
        trainer, preferences = self.trainer(), self.preferences()
        costs: list[LayerCosts] = []
        bar = tqdm(total=config.rounds * config.sae_steps, desc=f"fit {self.concept.name}", disable=not self.progress)
        with bar:
            for round_index in range(config.rounds):
                warming_up = round_index < config.warm_up
                for _ in range(config.sae_steps):  # phase A: α fixed
                    batch = self.training_batch()
                    p = torch.full((layers,), 1 / layers) if warming_up else preferences.sample()[0].detach()
                    weights = config.even + (1 - config.even) * layers * p
                    trainer.step(batch, weights[self.kept])
                    bar.update()
                if not warming_up:  # phase B: autoencoders fixed
                    found = self.layer_costs(trainer.finish())
                    # a dropped block keeps the costs it was dropped with
                    costs.append(found.within(costs[-1], self.kept) if costs else found)
                    preferences.learn(costs[-1].total, steps=config.alpha_steps)
                    self._prune(trainer, preferences)
        return trainer.finish(), preferences, costs

    def _prune(self, trainer: SaeTrainer, preferences: LayerPreferences) -> None:
        """Drop blocks that are hardly preferred any more from activations and autoencoders."""
        alpha = preferences.alpha()
        wanted = [self.searched.index(self.config.layer)] if self.config.layer is not None else []
        stay = [
            place
            for place, k in enumerate(self.kept)
            if alpha[k] >= self.config.prune or k == preferences.best() or k in wanted
        ]
        if len(stay) < len(self.kept):
            trainer.keep(stay)
            self.activations = self.activations._replace(hidden=self.activations.hidden[stay])
            self.kept = [self.kept[place] for place in stay]
            self.layers = [self.searched[k] for k in self.kept]

    def prefer(self, bank: SaeBank) -> tuple[LayerPreferences, list[LayerCosts]]:
        """Learn the layer preferences on a finished bank: phase B of every round, with the same costs in each."""
        preferences, costs = self.preferences(), self.layer_costs(bank)
        for _ in range(preferences.rounds):
            preferences.learn(costs.total, steps=self.config.alpha_steps)
        return preferences, [costs]

    def trainer(self) -> SaeTrainer:
        """A trainer for the autoencoders of `layers`, not trained yet."""
        config = self.config
        return (SharedSaeTrainer if config.shared else SaeTrainer)(
            self.activations.hidden[:, self.sample(self.sae_tokens, 8 * SEARCH_TOKENS)],
            config.features,
            l1=config.l1,
            lr=config.lr,
            steps=config.rounds * config.sae_steps,
            seed=self.seed,
            start_bias=config.start_bias,
        )

    def training_batch(self) -> Tensor:
        """Block outputs `[L, batch, d]` of random training tokens."""
        picked = torch.randint(len(self.sae_tokens), (self.config.batch,), generator=self.generator)
        return self.activations.hidden[:, self.sae_tokens[picked]]

    def narrow(self, layers: Sequence[int]) -> None:
        """Work on some of the searched blocks only; `encode` reads them next."""
        self.layers, self.kept = list(layers), [self.searched.index(layer) for layer in layers]

    def preferences(self) -> LayerPreferences:
        """Layer preferences over all searched blocks, not learned yet."""
        config = self.config
        return LayerPreferences(
            len(self.searched),
            lr=config.alpha_lr,
            tau_start=config.tau_start,
            tau_end=config.tau_end,
            rounds=config.rounds - config.warm_up,
            seed=self.seed,
        )

    def layer_costs(self, bank: SaeBank) -> LayerCosts:
        """Cost of each block with the bank as it stands."""
        return CRITERIA[self.config.criterion](search_view(self, bank))

    def place_of(self, layer: int) -> int:
        """Where block `layer` stands in the activations and in the bank."""
        return self.layers.index(layer)

    def specificity(self, positives: Activity, negatives: Activity) -> Tensor:
        """`m_spec` `[..., m]` by the configured mask."""
        config = self.config
        if config.mask == "literal":
            return literal_mask(negatives, config.rho)
        if config.mask == "soft":
            return soft_mask(positives, negatives)
        return contrast_mask(positives, negatives, min_rate=config.min_rate, max_ratio=config.max_ratio)

    def activities(self, bank: SaeBank, limit: int | None, layer: int | None = None) -> tuple[Activity, Activity]:
        """How the bank's features behave on training tokens (at most `limit` of each side): positives, negatives."""
        # Prompts that share a word with the concept are the gate's business: at early blocks, where a word is still
        # itself, they would leave no feature specific to a name made of ordinary words.
        negatives = ~self.positive_tokens & ~self.activations.of_prompts(self.same_word_prompts)
        parts, places = [], slice(None) if layer is None else slice(self.place_of(layer), self.place_of(layer) + 1)
        for side in (self.positive_tokens, negatives):
            tokens = (side & self.train_tokens).nonzero()[:, 0]
            tokens = tokens if limit is None else self.sample(tokens, limit)
            parts.append(activity(bank.encode(self.activations.hidden[places, tokens])))
        return parts[0], parts[1]

    def sample(self, tokens: Tensor, limit: int) -> Tensor:
        """At most `limit` of `tokens`, drawn by the fit's generator."""
        return tokens[torch.randperm(len(tokens), generator=self.generator)[:limit]] if len(tokens) > limit else tokens

    # From the bank to an eraser

    def select(self, bank: SaeBank, layer: int) -> ClearEraser:
        """The eraser at `layer` with γ = 1: specific features by all training tokens, and its gate; a plain one."""
        positives, negatives = self.activities(bank.of_layer(self.place_of(layer)), None, layer)
        mask = self.specificity(positives, negatives)[0]
        eraser = self.try_select(bank, layer, mask, positives.energy[0])
        if eraser is None:
            raise FitError(
                f"no feature of {layer_name(layer)} is specific to {self.concept.name!r}. Is the name a word that the"
                " text encoder knows? Try synonyms, more pairs, or a larger ClearConfig.max_ratio."
            )
        if self.config.gate:
            used = ~self.held_out_prompts
            gate = fit_gate(
                self._maxima(eraser)[used],
                self.positive_prompts[used],
                self.same_word_prompts[used],
                position=self.config.gate_position,
            )
            eraser = replace(eraser, gate=gate)
        eraser = replace(eraser, unit_firing=self._unit_firing(eraser))
        witness = replace(eraser, witness=self._witness(eraser))
        return eraser if failure_on_witness(witness) else witness

    def fill(self, eraser: ClearEraser) -> ClearEraser:
        """The eraser with what takes the concept's place, if anything does, at its strength."""
        other = stand_in(self.concept, vacancy=self.config.vacancy)
        if other is None:
            return eraser
        target, mean_edit = exchange(self, eraser, other)
        return replace(eraser, target=target, mean_edit=mean_edit)

    def try_select(self, bank: SaeBank, layer: int, mask: Tensor, energy: Tensor) -> ClearEraser | None:
        """An eraser with an open gate and γ = 1 from `mask` and positive `energy`, both `[m]`; None if nothing is
        left."""
        chosen = mask.nonzero()[:, 0]
        if self.config.max_features is not None and len(chosen) > self.config.max_features:
            chosen = chosen[(mask.square() * energy)[chosen].topk(self.config.max_features).indices].sort().values
        if not len(chosen):
            return None
        place = self.place_of(layer)
        return ClearEraser(
            concept=self.concept,
            layer=layer,
            strength=1.0,
            encoder_fingerprint=self.encoder_fingerprint,
            encoder_architecture=self.encoder_architecture,
            W_enc=bank.W_enc[place][:, chosen].clone(),
            b_enc=bank.b_enc[place, 0, chosen].clone(),
            W_dec=bank.W_dec[place][chosen].clone(),
            mask=mask[chosen].clone(),
            b_dec=bank.mean[place, 0].clone(),
            scale=bank.scale[place, 0, 0].clone(),
            gate=open_gate(len(chosen)),
            target=torch.zeros(bank.mean.shape[-1]),
            mean_edit=torch.zeros(bank.mean.shape[-1]),
            max_length=self.form.length,
        )

    def _maxima(self, eraser: ClearEraser) -> Tensor:
        """Maximum of each selected feature over each prompt, `[prompts, k]`."""
        if self.form.attend_pads or self.form.skip:  # the gate will see tokens that the activations lack
            parts = iter_blocks(
                self.tokenizer, self.encoder, self.texts, form=self.form, layers=[eraser.layer], every_token=True
            )
            return streamed_maxima(parts, eraser.active_features, len(self.texts), eraser.num_features)
        f = eraser.active_features(self.activations.hidden[self.place_of(eraser.layer)])
        return prompt_maxima(f, self.activations.prompt, len(self.positive_prompts))

    def features_of(self, eraser: ClearEraser) -> Tensor:
        """What the eraser sees on every token of the fit's prompts, `[tokens, k]`: masked, and zero where its gate is
        shut."""
        f = eraser.active_features(self.activations.hidden[self.place_of(eraser.layer)])
        opened = eraser.opens(prompt_maxima(f, self.activations.prompt, len(self.positive_prompts)))
        return f * eraser.mask * opened[self.activations.prompt][:, None]

    def _witness(self, eraser: ClearEraser) -> Tensor:
        """The hidden state `[d]` of a positive prompt's token on which the eraser's features fire most."""
        firing = self.features_of(eraser).norm(dim=-1)
        return self.activations.hidden[self.place_of(eraser.layer)][(firing * self.positive_tokens).argmax()]

    def _unit_firing(self, eraser: ClearEraser) -> float:
        """Mean over positive prompts of the strongest activity in the prompt."""
        norm = self.features_of(eraser).norm(dim=-1, keepdim=True)
        strongest = prompt_maxima(norm, self.activations.prompt, len(self.positive_prompts))[self.positive_prompts]
        return max(float(strongest.mean()), 1e-6)

    def choose_strength(self, eraser: ClearEraser) -> tuple[ClearEraser, dict[str, Any]]:
        """γ as configured, or the smallest candidate whose residual at the encoder's output is within the bound."""
        config = self.config
        candidates = config.strengths if config.strength is None else (config.strength,)
        tried = {}
        for gamma in sorted(candidates):
            judged = self.judge(eraser.with_strength(gamma))
            tried[gamma] = {name: round(value, 4) for name, value in judged.items()}
            if max(value for name, value in judged.items() if name.startswith("residual")) <= config.residual_bound:
                break
        else:
            gamma = min(tried, key=lambda g: max(abs(v) for name, v in tried[g].items() if name.startswith("residual")))
        return eraser.with_strength(gamma), {"strength_trials": {str(key): value for key, value in tried.items()}}
