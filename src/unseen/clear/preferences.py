"""Which layer to edit: preferences α, learned by Gumbel-Softmax against a cost per layer (the paper's phase B)."""

from __future__ import annotations

import torch
from torch import Tensor


class LayerPreferences:
    """The learned `α` (as logits `log α`) with an annealed temperature and a record of its path."""

    def __init__(self, layers: int, *, lr: float, tau_start: float, tau_end: float, rounds: int, seed: int = 0):
        self.log_alpha = torch.zeros(layers, requires_grad=True)
        self.optimizer = torch.optim.Adam([self.log_alpha], lr=lr)
        self.generator = torch.Generator().manual_seed(seed)
        self.tau_start, self.tau_end, self.rounds = tau_start, tau_end, rounds
        self.round = 0
        self.history: list[list[float]] = [self.alpha().tolist()]

    @property
    def tau(self) -> float:
        """Temperature of the current round; falls geometrically from `tau_start` to `tau_end`."""
        progress = min(1.0, self.round / max(1, self.rounds - 1))
        return self.tau_start * (self.tau_end / self.tau_start) ** progress

    def alpha(self) -> Tensor:
        """Preferences `[L]`, normalised to sum to one."""
        return self.log_alpha.detach().softmax(dim=0)

    def best(self) -> int:
        """`l* = argmax α`."""
        return int(self.log_alpha.argmax())

    def sample(self, count: int = 1) -> Tensor:
        """Relaxed one-hot samples `p = softmax((log α + Gumbel noise)/τ)`, `[count, L]`."""
        uniform = torch.rand(count, len(self.log_alpha), generator=self.generator).clamp(1e-9, 1 - 1e-7)
        return ((self.log_alpha - (-uniform.log()).log()) / self.tau).softmax(dim=-1)

    def learn(self, costs: Tensor, *, steps: int, samples: int = 32) -> None:
        """Phase B of a round: lower `E Σ_l p_l cost_l` for fixed `costs` `[L]`, then record α and cool down."""
        for _ in range(steps):
            loss = (self.sample(samples) * costs).sum(dim=-1).mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.history.append(self.alpha().tolist())
        self.round += 1
