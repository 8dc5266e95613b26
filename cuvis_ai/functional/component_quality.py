"""Orthogonality and explained variance of a set of components W (k, c), one a row.

The tutorial's WᵀW − I, for components as columns, is W Wᵀ − I here.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


def gram_deviation(components: Float[Tensor, "k c"]) -> Float[Tensor, "k k"]:
    """Return W Wᵀ − I.

    Example:
        >>> gram_deviation(torch.tensor([[1.0, 0.0], [0.0, 2.0]])).tolist()
        [[0.0, 0.0], [0.0, 3.0]]
    """
    with torch.autocast(components.device.type, enabled=False):
        eye = torch.eye(len(components), dtype=components.dtype, device=components.device)
        return components @ components.T - eye


def orthogonality_penalty(components: Float[Tensor, "k c"]) -> Float[Tensor, ""]:
    """Return ‖W Wᵀ − I‖²_F, or 0 with zero gradient below rounding level.

    Rounding level is (8 k ε)² for the dtype's ε: an optimizer that scales its steps, such as Adam,
    would otherwise amplify rounding noise of 1e-13 to errors of 1e-2.

    Example:
        >>> orthogonality_penalty(torch.tensor([[1.0, 0.0], [0.0, 2.0]])).item()
        9.0
    """
    penalty = gram_deviation(components).square().sum()
    rounding = (8 * len(components) * torch.finfo(components.dtype).eps) ** 2
    return penalty * (penalty.detach() > rounding)


def orthogonality_error(components: Float[Tensor, "k c"]) -> Float[Tensor, ""]:
    """Return ‖W Wᵀ − I‖_F.

    Example:
        >>> orthogonality_error(torch.tensor([[1.0, 0.0], [0.0, 2.0]])).item()
        3.0
    """
    return gram_deviation(components).square().sum().sqrt()


class ExplainedVariance(NamedTuple):
    """Shares of the total variance of what enters the components."""

    per_component: Float[Tensor, " k"]
    """ŵᵢ Σ ŵᵢᵀ / tr Σ with ŵᵢ = wᵢ / ‖wᵢ‖; 0 for a component of zeros."""
    total: Float[Tensor, ""]
    """(2 tr A − tr(A G)) / tr Σ with A = W Σ Wᵀ and G = W Wᵀ."""


def explained_variance(
    components: Float[Tensor, "k c"],
    score_covariance: Float[Tensor, "k k"],
    total_variance: Float[Tensor, ""],
) -> ExplainedVariance:
    """Return how much of the variance Σ of the input the components explain.

    `total` is the R² of decoding scores with the transpose, x̂ = m + Wᵀ W (x − m). For orthonormal
    rows it is the classical share. It never exceeds 1, and falls, below 0 even, when components
    collapse onto each other or drift in length. All are 0 where the input does not vary.

    Args:
        components: W.
        score_covariance: A = W Σ Wᵀ.
        total_variance: tr Σ, the sum of the input's channel variances.

    Example:
        >>> share = explained_variance(torch.tensor([[1.0, 0.0]]), torch.tensor([[3.0]]), torch.tensor(4.0))
        >>> share.total.item()  # a variance of 3 out of 3 + 1
        0.75
    """
    gram = components @ components.T
    lengths = gram.diagonal()
    variances = score_covariance.diagonal()
    # A component of zeros has no direction and explains nothing; neither has an input that is constant.
    safe_lengths = torch.where(lengths > 0, lengths, 1.0)
    safe_total = torch.where(total_variance > 0, total_variance, 1.0)
    total = 2.0 * variances.sum() - (score_covariance * gram).sum()
    return ExplainedVariance(variances / safe_lengths / safe_total, total / safe_total)
