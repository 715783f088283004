"""A bank of sparse autoencoders, one per candidate layer, trained together in batched matrix products.

For states `h`, layer mean `μ` and scale `s` (one number per layer, so that one learning rate serves all):
`f = act(W_enc (h − μ)/s + b_enc)`, `ĥ = s W_dec f + μ`, with `act` = ReLU (CLEAR) or ReLU followed by TopK.
Here `μ` plays the role of the decoder bias `b_dec`; it is the layer's mean and is not trained.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import NamedTuple

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
    """Mean state, the decoder bias, `[L, 1, d]`."""
    scale: Tensor
    """Scale of the states, `[L, 1, 1]`."""
    top_k: int | None = None
    """Features kept per token; None keeps all positive ones."""

    @property
    def num_features(self) -> int:
        """Features per layer (m)."""
        return self.W_dec.shape[1]

    def of_layer(self, layer: int) -> SaeBank:
        """The bank with one layer only (`layer` counts within the bank)."""
        parts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "top_k"}
        return SaeBank(**{name: part[layer : layer + 1] for name, part in parts.items()}, top_k=self.top_k)

    def normalise(self, h: Tensor) -> Tensor:
        """`(h − μ)/s` for `h` `[L, N, d]`."""
        return (h - self.mean) / self.scale

    def encode(self, h: Tensor) -> Tensor:
        """Feature activations `[L, N, m]` of states `[L, N, d]`."""
        return _activate(torch.baddbmm(self.b_enc, self.normalise(h), self.W_enc), self.top_k)

    def decode(self, f: Tensor) -> Tensor:
        """Reconstructions `[L, N, d]` of activations `[L, N, m]`."""
        return torch.bmm(f, self.W_dec) * self.scale + self.mean


def _activate(pre: Tensor, top_k: int | None) -> Tensor:
    return _keep(F.relu(pre), top_k)


def _keep(f: Tensor, top_k: int | None) -> Tensor:
    if top_k is None:
        return f
    kept = f.topk(min(top_k, f.shape[-1]), dim=-1)
    return torch.zeros_like(f).scatter_(-1, kept.indices, kept.values)


def ordinary_tokens(hidden: Tensor, limit: float = 5.0) -> Tensor:
    """Tokens whose norm is below `limit` times the median at every layer, `[tokens]` bool, for `hidden` `[L, tokens,
    d]`.

    T5-like encoders put massive activations on a few positions (`</s>`). Those would own the reconstruction loss, so
    the trainer leaves them out; BERT's [CLS] and [SEP] are normalised, stay in, and get features of their own.
    """
    norms = torch.stack([layer.float().norm(dim=-1) for layer in hidden])
    return (norms < limit * norms.median(dim=1, keepdim=True).values).all(dim=0)


@torch.no_grad()
def _moments(sample: Tensor) -> tuple[Tensor, Tensor]:
    """Mean `[L, 1, d]` and scale `[L, 1, 1]` of `sample` `[L, N, d]`, float32, from a copy of one layer at a time."""
    means, scales = [], []
    for layer in sample.split(1):
        means.append(layer.float().mean(dim=1, keepdim=True))
        scales.append((layer - means[-1]).square_().mean(dim=(1, 2), keepdim=True).sqrt().clamp_min(1e-8))
    return torch.cat(means), torch.cat(scales)


class _Step(NamedTuple):
    """What the two ways to compute a step agree on."""

    error: Tensor
    """Mean squared error per token, `[L]`."""
    norm: Tensor
    """Mean L1 norm of a token's features, `[L]`."""
    W_enc: Tensor
    """Gradient of the encoder, `[L, d, m]`; sparse, `[L, m, d]`."""
    b_enc: Tensor
    """Gradient of its bias, `[L, 1, m]`."""
    W_dec: Tensor
    """Gradient of the decoder, `[L, m, d]`."""


def _dense_step(bank: SaeBank, x: Tensor, f: Tensor, per_error: Tensor, per_feature: Tensor) -> _Step:
    """For scaled tokens `x` and their features `f` before TopK; `per_error` and `per_feature`, `[L, 1, 1]`, say how
    much the loss grows with one token's squared error, and with one of its features."""
    f = _keep(f, bank.top_k)
    residual = torch.bmm(f, bank.W_dec).sub_(x)
    error = residual.square().sum(dim=-1).mean(dim=-1)
    residual *= 2 * per_error
    slope = torch.bmm(residual, bank.W_dec.mT).add_(per_feature).mul_(f > 0)
    return _Step(
        error,
        f.sum(dim=-1).mean(dim=-1),
        torch.bmm(x.mT, slope),
        slope.sum(dim=1, keepdim=True),
        torch.bmm(f.mT, residual),
    )


def _sparse_step(bank: SaeBank, x: Tensor, f: Tensor, per_error: Tensor, per_feature: Tensor) -> _Step:
    """`_dense_step` by the active features alone; by all of them where so many are active that it would not pay."""
    (layers, count, d), m = x.shape, f.shape[-1]
    if bank.top_k is None:
        place = f.view(-1).nonzero()[:, 0]
    else:
        kept = f.view(-1, m).topk(min(bank.top_k, m), dim=-1, sorted=False).indices
        place = (kept + m * torch.arange(len(kept))[:, None]).view(-1)
    if len(place) > f.numel() / 8:
        dense = _dense_step(bank, x, f, per_error, per_feature)
        return dense._replace(W_enc=dense.W_enc.mT.contiguous())
    # One entry per active feature of a token; the tokens, and the features, of all layers are numbered through.
    active, token = f.view(-1)[place], place // m
    layer = token // count
    feature = place - (token - layer) * m
    order = feature.argsort(stable=True)

    def sums(of: Tensor, by: Tensor, at: Tensor, into: Tensor, total: int) -> Tensor:
        """Rows `of[at]` times `by`, added up as `into`, which is sorted, says: `[total, d]`."""
        entries = into.bincount(minlength=total)
        return F.embedding_bag(at, of.view(-1, d), entries.cumsum(0) - entries, mode="sum", per_sample_weights=by)

    with torch.enable_grad():
        decoded = sums(bank.W_dec, active.requires_grad_(), feature, token, layers * count)
    residual = decoded.detach().view_as(x) - x
    error = residual.square().sum(dim=-1).mean(dim=-1)
    residual *= 2 * per_error
    (slope,) = torch.autograd.grad(decoded, active, residual.view(-1, d))
    active = active.detach()
    slope = slope.add_(per_feature.view(-1)[layer]).mul_(active > 0)
    by_feature = token[order], feature[order], layers * m
    return _Step(
        error,
        f.new_zeros(layers).index_add_(0, layer, active) / count,
        sums(x, slope[order], *by_feature).view(layers, m, d),
        f.new_zeros(layers * m).index_add_(0, feature, slope).view(layers, 1, m),
        sums(residual, active[order], *by_feature).view(layers, m, d),
    )


@contextmanager
def _tf32(wanted: bool) -> Iterator[None]:
    """Lets CUDA's float32 products use TF32, for as long as the context lasts."""
    matmul = torch.backends.cuda.matmul
    name, value = ("fp32_precision", "tf32") if hasattr(matmul, "fp32_precision") else ("allow_tf32", True)
    before = getattr(matmul, name)
    if wanted:
        setattr(matmul, name, value)
    try:
        yield
    finally:
        if wanted:
            setattr(matmul, name, before)


class SaeTrainer:
    """Trains a bank. The loss of a layer is FVU (squared error over total variance) plus λ times the mean L1 norm.

    The gradients are written out: of the five products of a step only the first must be dense. States may have any
    floating dtype and lie on any device; parameters and arithmetic are float32 there.
    """

    def __init__(
        self,
        sample: Tensor,
        num_features: int,
        *,
        l1: float,
        lr: float | None = None,
        steps: int,
        seed: int = 0,
        top_k: int | None = None,
        start_bias: float | None = None,
        fast: bool = True,
    ):
        """Everything is made on the device of `sample`, from random numbers of the CPU.

        Decoder rows start on random directions. On tokens, as we once did, a quarter to a half of them never fires
        again.

        Args:
            sample: states `[L, N, d]` that set mean and scale.
            num_features: features per layer (m).
            l1: λ.
            lr: highest learning rate; it warms up, and falls over the last two fifths of the steps. None = 0.16/√d, in
                proportion to the entries of a decoder row.
            steps: how often `step` will be called.
            seed: of the start.
            top_k: features kept per token; None keeps all positive ones.
            start_bias: encoder bias at the start, in units of a token's deviation along a row; lower starts sparser.
                None = −2, with TopK 0.
            fast: the quickest arithmetic instead of the plainest: sparse products on a CPU, TF32 on CUDA.
        """
        layers, _, d = sample.shape
        device = sample.device
        mean, scale = _moments(sample)
        rows = torch.randn((layers, num_features, d), generator=torch.Generator().manual_seed(seed)).to(device)
        W_dec = F.normalize(rows, dim=-1)
        self.fast, self.sparse = fast, fast and device.type == "cpu"
        # Sparse gradients come feature by feature, so that is how the encoder lies in memory then, as `[L, m, d]`.
        W_enc = W_dec.clone() if self.sparse else W_dec.mT.contiguous()
        if start_bias is None:
            start_bias = -2.0 if top_k is None else 0.0
        self.parameters = [W_enc, torch.full((layers, 1, num_features), start_bias, device=device), W_dec]
        self._set_bank(mean, scale, top_k)
        self.l1 = l1
        lr = 0.16 / d**0.5 if lr is None else lr
        self.optimizer = torch.optim.Adam(self.parameters, lr=lr, betas=(0.8, 0.95), fused=True)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: min(1.0, (step + 1) / 5, max(0.02, (steps - step) / (0.4 * steps)))
        )

    @torch.no_grad()
    def step(self, h: Tensor, layer_weights: Tensor | None = None) -> Tensor:
        """One optimizer step on `h` `[L, N, d]`, layers weighted by `layer_weights` `[L]`; returns the losses `[L]`."""
        bank, (count, d) = self.bank, h.shape[1:]
        with _tf32(self.fast and h.is_cuda):
            x = bank.normalise(h)
            f = F.relu_(torch.baddbmm(bank.b_enc, x, bank.W_enc))
            variance = x.square().sum(dim=-1).mean(dim=-1)
            weights = torch.ones_like(variance) if layer_weights is None else layer_weights
            per_error = (weights / variance / count)[:, None, None]
            per_feature = (weights / d**0.5 * self.l1 / count)[:, None, None]
            done = (_sparse_step if self.sparse else _dense_step)(bank, x, f, per_error, per_feature)
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

    def _set_bank(self, mean: Tensor, scale: Tensor, top_k: int | None) -> None:
        W_enc, b_enc, W_dec = self.parameters
        self.bank = SaeBank(W_enc.mT if self.sparse else W_enc, b_enc, W_dec, mean, scale, top_k)

    def finish(self) -> SaeBank:
        """The bank as it stands, detached from training."""
        parts = {f.name: getattr(self.bank, f.name) for f in fields(SaeBank) if f.name != "top_k"}
        return SaeBank(**{name: part.clone().contiguous() for name, part in parts.items()}, top_k=self.bank.top_k)


@torch.no_grad()
def statistics(bank: SaeBank, hidden: Tensor, dead_on: Tensor) -> dict[str, list[float]]:
    """Per layer, on held-out `hidden` `[L, N, d]`: `fvu`, `l0` (active features a token); `dead` on `dead_on`.

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
