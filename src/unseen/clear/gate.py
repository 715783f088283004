"""The gate: does this prompt speak of the concept at all? Ours, not the paper's.

A ReLU feature fires a little on many words. Inside a prompt about the concept these traces matter: the layers have
spread the concept over the other tokens. In any other prompt, removing them would be damage. So the gate decides per
prompt, by the maxima of the selected features over its tokens; below the threshold the prompt is left exactly as it is.
It weighs features together, since "tennis ball" shares a word with "golf ball".
"""

from __future__ import annotations

import torch
from torch import Tensor

from .gradients import Adam


def open_gate(num_features: int) -> Tensor:
    """A gate that lets everything pass, `[k + 1]`."""
    return torch.cat([torch.zeros(num_features), torch.tensor([-1.0])])


def prompt_maxima(f: Tensor, prompt: Tensor, prompts: int) -> Tensor:
    """Maximum of each feature over each prompt, `[prompts, k]`, from token activations `[tokens, k]`."""
    index = prompt.to(f.device)[:, None].expand(-1, f.shape[1])
    return f.new_zeros(prompts, f.shape[1]).scatter_reduce(0, index, f, reduce="amax")


@torch.no_grad()
def fit_gate(maxima: Tensor, positive: Tensor, hard: Tensor, *, position: float, steps: int = 200) -> Tensor:
    """Gate `[k + 1]` (weights, threshold) from prompt maxima `[prompts, k]`.

    A logistic regression with non-negative weights: more activity never shuts the gate. `positive` and `hard`
    (negatives that share a word with the concept) are masks `[prompts]`. The threshold lies at `position` between the
    highest negatives and the lowest positives; where these overlap, it lets the positives pass.
    """
    unit = maxima[positive].mean(dim=0).clamp_min(1e-6)
    x = maxima / unit
    importance = torch.where(positive, 1 / positive.sum(), 0.5 / (~positive).sum().clamp_min(1))
    importance = importance + torch.where(hard, 0.5 / hard.sum().clamp_min(1), 0.0)
    raw, bias = torch.full((x.shape[1],), 1.0 / x.shape[1]), torch.zeros(())
    optimizer, wanted = Adam([raw, bias], lr=0.05), positive.float()
    for _ in range(steps):
        # The gradient of the weighted cross-entropy and of 0.01 ‖raw‖², in half the time that autograd takes for it.
        slope = (torch.sigmoid(x @ raw.clamp_min(0) + bias) - wanted) * importance
        optimizer.step([(x.T @ slope) * (raw >= 0) + 0.02 * raw, slope.sum()])
    # Every feature keeps a little weight, so that a paraphrase that sets off unusual features can still open the gate.
    weights = raw.clamp_min(0)
    weights = weights + 0.1 * weights.mean() + 1e-4
    scores = x @ weights
    easy = ~positive & ~hard
    low = float(scores[easy].quantile(0.995)) if easy.any() else 0.0
    low = max(low, float(scores[hard].quantile(0.9)) if hard.any() else 0.0)
    high = float(scores[positive].quantile(0.02))
    threshold = low + position * (high - low) if low < high else 0.9 * high
    return torch.cat([weights / unit, torch.tensor([threshold])])
