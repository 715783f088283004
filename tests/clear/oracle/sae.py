"""A bank of sparse autoencoders, one per candidate block, trained together in batched matrix products.

For block output `h`, layer mean `μ` and scale `s` (one number per block, so that one learning rate serves all):
`f = act(W_enc (h − μ)/s + b_enc)`, `ĥ = s W_dec f + μ`, with `act` = ReLU (CLEAR) or ReLU followed by TopK.
Here `μ` plays the role of the decoder bias `b_dec`; it is the layer's mean and is not trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


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
    """Mean block output, the decoder bias, `[L, 1, d]`."""
    scale: Tensor
    """Scale of the block output, `[L, 1, 1]`."""
    top_k: int | None = None
    """Features kept per token; None keeps all positive ones."""

    @property
    def num_features(self) -> int:
        """Features per block (m)."""
        return self.W_dec.shape[1]

    def of_layer(self, layer: int) -> SaeBank:
        """The bank with one block only (`layer` counts within the bank)."""
        parts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "top_k"}
        return SaeBank(**{name: part[layer : layer + 1] for name, part in parts.items()}, top_k=self.top_k)

    def normalise(self, h: Tensor) -> Tensor:
        """`(h − μ)/s` for `h` `[L, N, d]`."""
        return (h - self.mean) / self.scale

    def encode(self, h: Tensor) -> Tensor:
        """Feature activations `[L, N, m]` of block outputs `[L, N, d]`."""
        return _activate(torch.baddbmm(self.b_enc, self.normalise(h), self.W_enc), self.top_k)

    def decode(self, f: Tensor) -> Tensor:
        """Reconstructions `[L, N, d]` of activations `[L, N, m]`."""
        return torch.bmm(f, self.W_dec) * self.scale + self.mean


def _activate(pre: Tensor, top_k: int | None) -> Tensor:
    f = F.relu(pre)
    if top_k is None:
        return f
    kept = f.topk(min(top_k, f.shape[-1]), dim=-1)
    return torch.zeros_like(f).scatter_(-1, kept.indices, kept.values)


def ordinary_tokens(hidden: Tensor, limit: float = 5.0) -> Tensor:
    """Tokens whose norm is below `limit` times the median at every block, `[tokens]` bool, for `hidden` `[L, tokens,
    d]`.

    T5-like encoders put massive activations on a few positions (`</s>`). Those would own the reconstruction loss, so
    the trainer leaves them out; BERT's [CLS] and [SEP] are normalised, stay in, and get features of their own.
    """
    norms = hidden.norm(dim=-1)
    return (norms < limit * norms.median(dim=1, keepdim=True).values).all(dim=0)


class SaeTrainer:
    """Trains a bank. The loss of a block is FVU (squared error over total variance) plus λ times the mean L1 norm."""

    def __init__(
        self,
        sample: Tensor,
        num_features: int,
        *,
        l1: float,
        lr: float,
        steps: int,
        seed: int = 0,
        top_k: int | None = None,
        start_bias: float = -0.1,
    ):
        """`sample` are block outputs `[L, N, d]` that set mean, scale and the starting decoder rows."""
        layers, count, d = sample.shape
        generator = torch.Generator().manual_seed(seed)
        mean = sample.mean(dim=1, keepdim=True)
        scale = (sample - mean).square().mean(dim=(1, 2), keepdim=True).sqrt().clamp_min(1e-8)
        # Decoder rows start on data (jittered, centred tokens): far fewer features die than from random directions.
        rows = (sample - mean)[:, torch.randint(count, (num_features,), generator=generator)]
        rows = rows / scale + 0.5 * torch.randn(rows.shape, generator=generator)
        W_dec = F.normalize(rows, dim=-1)
        W_enc = W_dec.transpose(1, 2).contiguous()
        # Scaled tokens have norm √d: the lower the bias, the closer to its starting token a row answers.
        b_enc = torch.full((layers, 1, num_features), start_bias * d**0.5)
        self.bank = SaeBank(W_enc, b_enc, W_dec, mean, scale, top_k)
        self.parameters = [W_enc, b_enc, W_dec]
        for parameter in self.parameters:
            parameter.requires_grad_()
        self.l1 = l1
        self.optimizer = torch.optim.Adam(self.parameters, lr=lr, betas=(0.9, 0.99), fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: min(1.0, (step + 1) / 20, max(0.02, (steps - step) / (0.4 * steps)))
        )

    def losses(self, h: Tensor) -> Tensor:
        """Loss per block `[L]` on block outputs `[L, N, d]`."""
        x = self.bank.normalise(h)
        f = _activate(torch.baddbmm(self.bank.b_enc, x, self.bank.W_enc), self.bank.top_k)
        error = (x - torch.bmm(f, self.bank.W_dec)).square().sum(dim=-1).mean(dim=-1)
        variance = x.square().sum(dim=-1).mean(dim=-1)
        return error / variance + self.l1 * f.sum(dim=-1).mean(dim=-1) / x.shape[-1] ** 0.5

    def step(self, h: Tensor, layer_weights: Tensor | None = None) -> Tensor:
        """One optimiser step on `h` `[L, N, d]`, blocks weighted by `layer_weights` `[L]`; returns the losses `[L]`."""
        losses = self.losses(h)
        self.optimizer.zero_grad()
        (losses.sum() if layer_weights is None else (losses * layer_weights).sum()).backward()
        W_dec = self.bank.W_dec
        with torch.no_grad():
            # The norm of a decoder row is fixed at one: only the gradient across the row may act.
            assert W_dec.grad is not None
            W_dec.grad -= (W_dec.grad * W_dec).sum(dim=-1, keepdim=True) * W_dec
        self.optimizer.step()
        self.schedule.step()
        with torch.no_grad():
            W_dec.copy_(F.normalize(W_dec, dim=-1))
        return losses.detach()

    def keep(self, places: Sequence[int]) -> None:
        """Go on with the autoencoders at `places` only; they train on as if the others were still there."""
        index = torch.tensor(places)
        kept = []
        for old in self.parameters:
            new = old.detach()[index].clone().requires_grad_()
            moments = self.optimizer.state.pop(old, {})
            self.optimizer.state[new] = {k: v[index].clone() if v.ndim else v for k, v in moments.items()}
            kept.append(new)
        self.optimizer.param_groups[0]["params"] = kept
        self.parameters = kept
        W_enc, b_enc, W_dec = kept
        self.bank = SaeBank(W_enc, b_enc, W_dec, self.bank.mean[index], self.bank.scale[index], self.bank.top_k)

    def finish(self) -> SaeBank:
        """The bank as it stands, detached from training."""
        parts = {f.name: getattr(self.bank, f.name) for f in fields(SaeBank) if f.name != "top_k"}
        return SaeBank(**{name: part.detach().clone() for name, part in parts.items()}, top_k=self.bank.top_k)


class SharedSaeTrainer(SaeTrainer):
    """One autoencoder for all blocks, on outputs scaled block by block; finishes as a bank like any other."""

    def __init__(self, sample: Tensor, num_features: int, **options: Any):
        self.block_mean = sample.mean(dim=1, keepdim=True)
        self.block_scale = (sample - self.block_mean).square().mean(dim=(1, 2), keepdim=True).sqrt().clamp_min(1e-8)
        super().__init__(self._flat(sample), num_features, **options)

    def _flat(self, h: Tensor) -> Tensor:
        return ((h - self.block_mean) / self.block_scale).reshape(1, -1, h.shape[-1])

    def step(self, h: Tensor, layer_weights: Tensor | None = None) -> Tensor:
        """One optimiser step on `h` `[L, N, d]`; all blocks weigh the same. Returns the loss, `[1]`."""
        return super().step(self._flat(h))

    def keep(self, places: Sequence[int]) -> None:
        """Go on with some blocks only."""
        index = torch.tensor(places)
        self.block_mean, self.block_scale = self.block_mean[index], self.block_scale[index]

    def finish(self) -> SaeBank:
        """The bank as it stands: the same features at every block."""
        one, blocks = super().finish(), len(self.block_mean)
        W_enc, b_enc, W_dec = (part.expand(blocks, -1, -1).contiguous() for part in (one.W_enc, one.b_enc, one.W_dec))
        mean, scale = self.block_mean + self.block_scale * one.mean, self.block_scale * one.scale
        return SaeBank(W_enc, b_enc, W_dec, mean, scale, one.top_k)


@torch.no_grad()
def statistics(bank: SaeBank, hidden: Tensor, dead_on: Tensor) -> dict[str, list[float]]:
    """Per block, on held-out `hidden` `[L, N, d]`: `fvu`, `l0` (active features a token); `dead` on `dead_on`.

    FVU is squared error over variance around the training mean; `dead` the share of features silent on all of
    `dead_on`.
    """
    f = bank.encode(hidden)
    error = (hidden - bank.decode(f)).square().sum(dim=(1, 2))
    variance = (hidden - bank.mean).square().sum(dim=(1, 2))
    silent = torch.stack([(bank.of_layer(k).encode(dead_on[k : k + 1])[0] > 0).any(dim=0) for k in range(len(dead_on))])
    return {
        "fvu": (error / variance).tolist(),
        "l0": (f > 0).float().sum(dim=-1).mean(dim=-1).tolist(),
        "dead": (1 - silent.float().mean(dim=-1)).tolist(),
    }
