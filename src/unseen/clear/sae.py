"""A bank of sparse autoencoders, one per candidate layer, trained together in batched matrix products.

For states `h`, layer mean `μ` and scale `s` (one number per layer, so that one learning rate serves all):
`f = act(W_enc (h − μ)/s + b_enc)`, `ĥ = s W_dec f + μ`, with `act` = ReLU (CLEAR) or ReLU followed by TopK.
Here `μ` plays the role of the decoder bias `b_dec`; it is the layer's mean and is not trained.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .config import SaeConfig
from .gradients import dense_step, keep_largest, sparse_step, tf32

SAMPLE_TOKENS = 32768
"""Tokens that set mean, scale and start of the autoencoders."""


@dataclass(frozen=True)
class SaeBank:
    """L autoencoders with m features each, as trained; float32."""

    W_enc: Tensor
    """Encoder, `[L, d, m]`."""
    b_enc: Tensor
    """Encoder bias, `[L, 1, m]`."""
    W_dec: Tensor
    """Decoder, unit rows, `[L, m, d]`."""
    mean: Tensor
    """Mean state, the decoder bias, `[L, 1, d]`."""
    scale: Tensor
    """Scale of the states, `[L, 1, 1]`."""
    top_k: int | None = None
    """Features kept per token; None keeps all positive ones."""

    @property
    def num_features(self) -> int:
        """Features per layer (m)."""
        return self.W_dec.shape[1]

    @cached_property
    def known(self) -> dict[bytes, Any]:
        """What several concepts ask about its features, once it was computed; no copy has it."""
        return {}

    @cached_property
    def layers(self) -> list[SaeBank]:
        """A bank of each layer alone, in order."""
        names = "W_enc", "b_enc", "W_dec", "mean", "scale"
        return [replace(self, **{n: getattr(self, n)[k : k + 1] for n in names}) for k in range(len(self.W_enc))]

    def normalise(self, h: Tensor) -> Tensor:
        """`(h − μ)/s` for `h` `[L, N, d]`."""
        return (h - self.mean) / self.scale

    def encode(self, h: Tensor) -> Tensor:
        """Feature activations `[L, N, m]` of states `[L, N, d]`."""
        return keep_largest(F.relu(torch.baddbmm(self.b_enc, self.normalise(h), self.W_enc)), self.top_k)

    def decode(self, f: Tensor) -> Tensor:
        """Reconstructions `[L, N, d]` of activations `[L, N, m]`."""
        return torch.bmm(f, self.W_dec) * self.scale + self.mean


def ordinary_tokens(hidden: Tensor, limit: float = 5.0) -> Tensor:
    """Tokens whose norm is below `limit` times the median at every layer, `[tokens]` bool, for `hidden` `[L, tokens,
    d]`.

    T5-like encoders put massive activations on a few positions (`</s>`). Those would own the reconstruction loss, so
    the trainer leaves them out; BERT's [CLS] and [SEP] are normalised, stay in, and get features of their own.
    """
    norms = torch.stack([layer.float().norm(dim=-1) for layer in hidden])
    return (norms < limit * norms.median(dim=1, keepdim=True).values).all(dim=0)


class SaeTrainer:
    """Trains a bank. The loss of a layer is FVU (squared error over total variance) plus λ times the mean L1 norm.

    The gradients are written out: of the five products of a step only the first must be dense. States may have any
    floating dtype and lie on any device; parameters and arithmetic are float32 there.
    """

    def __init__(self, sample: Tensor, config: SaeConfig, *, seed: int = 0, fast: bool = True):
        """Everything is made on the device of `sample`, from random numbers of the CPU.

        Decoder rows start on random directions. On tokens, as we once did, a quarter to a half of them never fires
        again.

        Args:
            sample: states `[L, N, d]` that set mean and scale.
            config: its `steps` say how often `step` will be called. The learning rate warms up, and falls over the last
                two fifths of them; its default 0.16/√d is in proportion to the entries of a decoder row.
            seed: of the start.
            fast: the quickest arithmetic instead of the plainest: sparse products on a CPU, TF32 on CUDA.
        """
        (layers, _, d), device = sample.shape, sample.device
        features = config.num_features if config.expansion is None else config.expansion * d
        means, scales = [], []
        for layer in sample.split(1):  # a copy of one at a time
            means.append(layer.float().mean(dim=1, keepdim=True))
            scales.append((layer - means[-1]).square_().mean(dim=(1, 2), keepdim=True).sqrt().clamp_min(1e-8))
        rows = torch.randn((layers, features, d), generator=torch.Generator().manual_seed(seed)).to(device)
        W_dec = F.normalize(rows, dim=-1)
        self.fast, self.sparse = fast, fast and device.type == "cpu"
        # Sparse gradients come feature by feature, so that is how the encoder lies in memory then, as `[L, m, d]`.
        W_enc = W_dec.clone() if self.sparse else W_dec.mT.contiguous()
        start_bias = config.start_bias
        if start_bias is None:
            start_bias = -2.0 if config.top_k is None else 0.0
        b_enc = torch.full((layers, 1, features), start_bias, device=device)
        self.bank = SaeBank(
            W_enc.mT if self.sparse else W_enc, b_enc, W_dec, torch.cat(means), torch.cat(scales), config.top_k
        )
        self.l1, self.parameters = config.l1_coefficient, [W_enc, b_enc, W_dec]
        lr, steps = 0.16 / d**0.5 if config.lr is None else config.lr, config.steps
        self.optimizer = torch.optim.Adam(self.parameters, lr=lr, betas=(0.8, 0.95), fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: min(1.0, (step + 1) / 5, max(0.02, (steps - step) / (0.4 * steps)))
        )

    @torch.no_grad()
    def step(self, h: Tensor, layer_weights: Tensor | None = None) -> Tensor:
        """One optimizer step on `h` `[L, N, d]`, layers weighted by `layer_weights` `[L]`; returns the losses `[L]`."""
        bank, (count, d) = self.bank, h.shape[1:]
        with tf32(self.fast and h.is_cuda):
            x = bank.normalise(h)
            f = F.relu_(torch.baddbmm(bank.b_enc, x, bank.W_enc))
            variance = x.square().sum(dim=-1).mean(dim=-1)
            weights = torch.ones_like(variance) if layer_weights is None else layer_weights
            per_error = (weights / variance / count)[:, None, None]
            per_feature = (weights / d**0.5 * self.l1 / count)[:, None, None]
            derive = sparse_step if self.sparse else dense_step
            done = derive(bank.W_dec, bank.top_k, x, f, per_error, per_feature)
        for parameter, gradient in zip(self.parameters, done[2:], strict=True):
            parameter.grad = gradient
        # The norm of a decoder row is fixed at one: only the gradient across the row may act.
        W_dec = bank.W_dec
        assert W_dec.grad is not None
        W_dec.grad -= (W_dec.grad * W_dec).sum(dim=-1, keepdim=True) * W_dec
        self.optimizer.step()
        self.schedule.step()
        W_dec.copy_(F.normalize(W_dec, dim=-1))
        return done.error / variance + self.l1 * done.norm / d**0.5

    def finish(self) -> SaeBank:
        """The bank as it stands, detached from training."""
        W_enc, b_enc, W_dec = (part.clone().contiguous() for part in (self.bank.W_enc, *self.parameters[1:]))
        return replace(self.bank, W_enc=W_enc, b_enc=b_enc, W_dec=W_dec)
