"""The gradients of one training step of a bank of autoencoders, written out.

`SaeTrainer` (in `sae.py`) says what the loss is; here is nothing but its derivative, in two ways that agree: by dense
products, bit for bit as automatic differentiation has it, and by the active features alone, which on a CPU takes a
fraction of the time. And a step of Adam, for the few numbers of a gate or of layer preferences.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


def keep_largest(f: Tensor, top_k: int | None) -> Tensor:
    """Features `[..., m]` with all but the `top_k` largest set to zero; None keeps them all."""
    if top_k is None:
        return f
    kept = f.topk(min(top_k, f.shape[-1]), dim=-1)
    return torch.zeros_like(f).scatter_(-1, kept.indices, kept.values)


class Step(NamedTuple):
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


def dense_step(W_dec: Tensor, top_k: int | None, x: Tensor, f: Tensor, per_error: Tensor, per_feature: Tensor) -> Step:
    """For scaled tokens `x` and their features `f` before TopK; `per_error` and `per_feature`, `[L, 1, 1]`, say how
    much the loss grows with one token's squared error, and with one of its features."""
    f = keep_largest(f, top_k)
    residual = torch.bmm(f, W_dec).sub_(x)
    error = residual.square().sum(dim=-1).mean(dim=-1)
    residual *= 2 * per_error
    slope = torch.bmm(residual, W_dec.mT).add_(per_feature).mul_(f > 0)
    return Step(
        error,
        f.sum(dim=-1).mean(dim=-1),
        torch.bmm(x.mT, slope),
        slope.sum(dim=1, keepdim=True),
        torch.bmm(f.mT, residual),
    )


def sparse_step(W_dec: Tensor, top_k: int | None, x: Tensor, f: Tensor, per_error: Tensor, per_feature: Tensor) -> Step:
    """`dense_step` by the active features alone; by all of them where so many are active that it would not pay."""
    (layers, count, d), m = x.shape, f.shape[-1]
    if top_k is None:
        place = f.view(-1).nonzero()[:, 0]
    else:
        kept = f.view(-1, m).topk(min(top_k, m), dim=-1, sorted=False).indices
        place = (kept + m * torch.arange(len(kept))[:, None]).view(-1)
    if len(place) > f.numel() / 8:
        dense = dense_step(W_dec, top_k, x, f, per_error, per_feature)
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
        decoded = sums(W_dec, active.requires_grad_(), feature, token, layers * count)
    residual = decoded.detach().view_as(x) - x
    error = residual.square().sum(dim=-1).mean(dim=-1)
    residual *= 2 * per_error
    (slope,) = torch.autograd.grad(decoded, active, residual.view(-1, d))
    active = active.detach()
    slope = slope.add_(per_feature.view(-1)[layer]).mul_(active > 0)
    by_feature = token[order], feature[order], layers * m
    return Step(
        error,
        f.new_zeros(layers).index_add_(0, layer, active) / count,
        sums(x, slope[order], *by_feature).view(layers, m, d),
        f.new_zeros(layers * m).index_add_(0, feature, slope).view(layers, 1, m),
        sums(residual, active[order], *by_feature).view(layers, m, d),
    )


class Adam:
    """`torch.optim.Adam` bit for bit, without what it spends on each step: several times what a few numbers take."""

    def __init__(self, parameters: Sequence[Tensor], lr: float):
        self.parameters, self.lr, self.steps = parameters, lr, 0
        self.moments = [(torch.zeros_like(parameter), torch.zeros_like(parameter)) for parameter in parameters]

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Change the parameters in place, where no gradients are recorded."""
        self.steps += 1
        size, shrunk = self.lr / (1 - 0.9**self.steps), (1 - 0.999**self.steps) ** 0.5
        for parameter, (mean, square), gradient in zip(self.parameters, self.moments, gradients, strict=True):
            mean.lerp_(gradient, 1 - 0.9)
            square.mul_(0.999).addcmul_(gradient, gradient, value=1 - 0.999)
            parameter.addcdiv_(mean, (square.sqrt() / shrunk).add_(1e-8), value=-size)


@contextmanager
def tf32(wanted: bool) -> Iterator[None]:
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
