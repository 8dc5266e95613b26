"""Selections of k of c channels by weights that sum to k: the weights, the channels they make, penalties."""

import math
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

_CUTS, _ROUNDS = 64, 11
"""An interval is cut into that many parts that many times: more often than float64 has digits."""


def selection_weights(logits: Float[Tensor, " c"], k: int, temperature: float) -> Float[Tensor, " c"]:
    """Return w_j = σ((l_j − τ) / T) with τ such that Σ w = k, in float64; differentiable.

    Each is in [0, 1], in the order of the logits; for T → 0 they become 1 for the k greatest.

    Args:
        logits: l; of k channels or more.
        k: what the weights sum to.
        temperature: T, above 0.

    Example:
        >>> weights = selection_weights(torch.tensor([0.0, 3.0, 1.0, 2.0]), 2, temperature=0.01)
        >>> weights.round(decimals=3).tolist()
        [0.0, 1.0, 0.0, 1.0]
    """
    if k == len(logits):
        return torch.ones_like(logits, dtype=torch.float64) + 0 * logits.double()
    weights: Tensor = _Weights.apply(logits.double(), k, temperature)  # type: ignore[no-untyped-call]  # torch
    return weights


class _Weights(torch.autograd.Function):
    """The weights, with the gradient v (g − Σ v g / Σ v) / T, where v = w (1 − w)."""

    @staticmethod
    def forward(ctx: Any, logits: Float[Tensor, " c"], k: int, temperature: float) -> Float[Tensor, " c"]:
        ranked = logits.sort(descending=True).values
        # From between the k-th and the next: what decides is small then, and loses no digit.
        z = (logits - (ranked[k - 1] + ranked[k]) / 2) / temperature
        # At the lower end the k + 1 greatest sum to k or more, at the upper one all to less.
        reach = (ranked[k - 1] - ranked[k]) / (2 * temperature) + math.log(len(logits))
        low, high = -reach, reach
        for _ in range(_ROUNDS):
            steps = torch.linspace(0, 1, _CUTS + 1, dtype=z.dtype, device=z.device)
            cuts = low + (high - low) * steps
            enough = torch.sigmoid(z - cuts[:, None]).sum(1) >= k
            first = int(enough.sum().clamp(1, _CUTS)) - 1
            low, high = cuts[first], cuts[first + 1]
        weights = torch.sigmoid(z - (low + high) / 2)
        ctx.save_for_backward(weights)
        ctx.temperature = temperature
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, " c"]) -> tuple[Tensor, None, None]:
        (weights,) = ctx.saved_tensors
        v = weights * (1 - weights)
        total = v.sum()
        mean = torch.where(total > 0, (v * gradient).sum() / total.clamp(min=torch.finfo(v.dtype).tiny), 0.0)
        return v * (gradient - mean) / ctx.temperature, None, None


def selection_matrix(weights: Float[Tensor, " c"], k: int, order: Int[Tensor, " c"]) -> Float[Tensor, "k c"]:
    """Return S with S_rj = |[c_{j−1}, c_j] ∩ [r, r + 1]|, c the cumulative weights in spectral order.

    Rows sum to 1, columns to the weights. Equal weights bin the spectrum into k broad bands; k weights of 1
    gather k bands.

    Args:
        weights: they sum to k.
        k: rows.
        order: the channels in spectral order.

    Example:
        >>> selection_matrix(torch.full((4,), 0.5), 2, torch.arange(4)).tolist()  # two broad bands
        [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]]
    """
    ends = torch.cumsum(weights[order], 0).clamp(max=k)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    rows = torch.arange(k, dtype=weights.dtype, device=weights.device)[:, None]
    overlap = (torch.minimum(ends, rows + 1) - torch.maximum(starts, rows)).clamp(min=0)
    return overlap[:, torch.argsort(order)]


def hard_weights(chosen: Int[Tensor, " k"], channels: int) -> Float[Tensor, " c"]:
    """Return 1 for the chosen channels, else 0.

    Example:
        >>> hard_weights(torch.tensor([1, 3]), 4).tolist()
        [0.0, 1.0, 0.0, 1.0]
    """
    weights = torch.zeros(channels, dtype=torch.float64, device=chosen.device)
    weights[chosen] = 1.0
    return weights


def entropy(probabilities: Float[Tensor, " c"]) -> Float[Tensor, ""]:
    """Return H = −Σ p log p, with 0 log 0 = 0.

    Example:
        >>> round(entropy(torch.full((2,), 0.5)).item(), 4)  # ln 2
        0.6931
    """
    terms: Tensor = torch.special.xlogy(probabilities, probabilities)
    return -terms.sum()


def entropy_penalty(weights: Float[Tensor, " c"], k: int, target: float | None = None) -> Float[Tensor, ""]:
    """Return (log c − H) / (log c − log k), from 0 for equal weights to 1 for k of them; or (H − target)².

    H is the entropy of the probabilities w / k. 0 where k = c.

    Example:
        >>> entropy_penalty(torch.full((4,), 0.5), 2).item()  # equal weights
        0.0
    """
    found: Tensor = entropy(weights / k)
    if target is not None:
        return (found - target).square()
    c = len(weights)
    return (math.log(c) - found) / (math.log(c) - math.log(k)) if k < c else 0.0 * found


def diversity_penalty(
    weights: Float[Tensor, " c"], correlation: Float[Tensor, "c c"], k: int
) -> Float[Tensor, ""]:
    """Return Σ_{i≠j} w_i w_j ρ_ij² / (k (k − 1)): 0 for uncorrelated bands, 1 for copies; 0 where k = 1.

    Example:
        >>> correlation = torch.tensor([[1.0, 0.5], [0.5, 1.0]])
        >>> diversity_penalty(torch.ones(2), correlation, 2).item()
        0.25
    """
    squared = correlation.square()
    squared = squared - torch.diag(squared.diagonal())
    return weights @ squared @ weights / max(k * (k - 1), 1)


def jaccard(first: Int[Tensor, " k"], second: Int[Tensor, " k"]) -> float:
    """Return |A ∩ B| / |A ∪ B| of two selections.

    Example:
        >>> jaccard(torch.tensor([0, 1, 2]), torch.tensor([1, 2, 3]))
        0.5
    """
    a, b = set(first.tolist()), set(second.tolist())
    return len(a & b) / len(a | b)
