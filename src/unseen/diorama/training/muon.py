"""Muon that also runs on an ordinary processor.

`torch.optim.Muon` orthogonalises in bfloat16, which such a processor computes hundreds of times slower than float32.
This is the same update (Jordan et al. 2024), with matrices of one shape handled together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalised(matrices: Tensor, steps: int = 5) -> Tensor:
    """Nearly the closest orthogonal matrices, by Newton–Schulz iteration; `[n, rows, columns]`."""
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + torch.baddbmm(b * gram, gram, gram, beta=1, alpha=c) @ x
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised, for the weight matrices inside a network; everything else belongs to AdamW."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.95,
        decay: float = 0.01,
    ) -> None:
        groups: Any = list(parameters)
        super().__init__(groups, {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                by_shape[p.flatten(1).shape].append(p)  # a convolution is a matrix: output channels × the rest
            for shape, params in by_shape.items():
                gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in params]
                momenta = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in params]
                torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
                updates = torch._foreach_lerp(gradients, momenta, group["momentum"])
                # the scale gives every entry about the size an Adam step has, whatever the shape (Liu et al. 2025)
                scale = 0.2 * max(shape) ** 0.5 * group["lr"]
                dtype = torch.bfloat16 if params[0].is_cuda else torch.float32
                steps = orthogonalised(torch.stack([u.flatten(1) for u in updates]).to(dtype)).float()
                torch._foreach_mul_(params, 1 - group["lr"] * group["decay"])
                moves = [step.view_as(p) for p, step in zip(params, steps.unbind(), strict=True)]
                torch._foreach_add_(params, moves, alpha=-scale)
